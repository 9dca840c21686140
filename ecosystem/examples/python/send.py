import os
import psycopg  # pip install psycopg

with psycopg.connect(os.environ["DATABASE_URL"]) as db:
    db.execute("INSERT INTO wa.outbound (session, recipient, body) VALUES (%s, %s, %s)",
               ["shop", "+15550002", "Hello from Python"])
