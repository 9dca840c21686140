"""Counts the messages of each person in a table of its own and answers them. pip install psycopg"""
import os
import signal
import sys
import time

import psycopg


def turn(db):
    """Counts, answers and acknowledges the next messages in one transaction; returns how many there were."""
    with db.transaction():
        messages = db.execute(
            "SELECT id, session, chat, body, from_me FROM wa.claim_messages('bot')"
        ).fetchall()
        for _, session, chat, body, from_me in messages:
            if from_me or chat.endswith("@g.us"):
                continue
            number = db.execute(
                "INSERT INTO visitor AS v (chat) VALUES (%s) "
                "ON CONFLICT (chat) DO UPDATE SET messages = v.messages + 1 RETURNING messages", [chat]
            ).fetchone()[0]
            db.execute("INSERT INTO wa.outbound (session, recipient, body) VALUES (%s, %s, %s)",
                       [session, chat, f"Message {number}: {body}"])
        db.execute("SELECT wa.acknowledge_messages('bot', %s)", [[message[0] for message in messages]])
    return len(messages)


# Ends the wait, or rolls the transaction back, so that nothing is half done.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as db:
            db.execute("LISTEN wa_inbound")
            while True:
                if turn(db) == 0:
                    next(db.notifies(timeout=30, stop_after=1), None)  # and look now and then
    except psycopg.OperationalError as error:
        print(f"connection lost, connecting again: {error}", file=sys.stderr)
        time.sleep(1)
