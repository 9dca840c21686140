// Counts the messages of each person in a table of its own and answers them. npm install pg
import pg from 'pg';

let stopping = false, rung = false, wake = () => {};
const ring = () => { rung = true; wake(); };
process.on('SIGTERM', () => { stopping = true; ring(); });
async function rest(milliseconds) {
  let timer;
  if (!rung) await new Promise((done) => { wake = done; timer = setTimeout(done, milliseconds); });
  clearTimeout(timer);
  rung = false;
}

// Counts, answers and acknowledges the next messages in one transaction; returns how many there were.
async function turn(db) {
  await db.query('BEGIN');
  const { rows } = await db.query("SELECT id, session, chat, body, from_me FROM wa.claim_messages('bot')");
  for (const { session, chat, body } of rows.filter((row) => !row.from_me && !row.chat.endsWith('@g.us'))) {
    const visitor = await db.query(`INSERT INTO visitor AS v (chat) VALUES ($1)
      ON CONFLICT (chat) DO UPDATE SET messages = v.messages + 1 RETURNING messages`, [chat]);
    await db.query('INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3)',
      [session, chat, `Message ${visitor.rows[0].messages}: ${body}`]);
  }
  await db.query("SELECT wa.acknowledge_messages('bot', $1)", [rows.map((row) => row.id)]);
  await db.query('COMMIT');
  return rows.length;
}

while (!stopping) {
  const db = new pg.Client(process.env.DATABASE_URL);
  db.on('notification', ring).on('error', ring);
  try {
    await db.connect();
    await db.query('LISTEN wa_inbound');
    while (!stopping) if (await turn(db) === 0) await rest(30_000); // and look now and then
  } catch (error) {
    console.error(`connection lost, connecting again: ${error.message}`);
    await rest(1000);
  } finally { await db.end().catch(() => {}); } // rolls back what is open
}
