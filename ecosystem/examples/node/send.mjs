import pg from 'pg'; // npm install pg

const db = new pg.Client(process.env.DATABASE_URL);
await db.connect();
await db.query('INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3)',
  ['shop', '+15550002', 'Hello from Node']);
await db.end();
