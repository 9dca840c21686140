// A bridge to Chatwoot: what arrives in wa.inbox becomes messages of an inbox of the kind "API" there, and what agents answer
// becomes rows of wa.outbound. npm install pg; then CHATWOOT_URL, CHATWOOT_INBOX (the inbox's identifier) and CALLBACK_SECRET.
// In Chatwoot the inbox's webhook URL is http://THIS-MACHINE:PORT/CALLBACK_SECRET.
import http from 'node:http';
import pg from 'pg';

const { DATABASE_URL, CHATWOOT_URL, CHATWOOT_INBOX, CALLBACK_SECRET, PORT = '0' } = process.env;
const db = new pg.Pool({ connectionString: DATABASE_URL });
db.on('error', (error) => console.error(`connection lost: ${error.message}`));

async function post(path, body) {
  const url = `${CHATWOOT_URL}/public/api/v1/inboxes/${CHATWOOT_INBOX}/${path}`;
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

// A contact has the source_id SESSION/CHAT, by which the callback finds the way back.
const contact = (session, chat) => encodeURIComponent(`${session}/${chat}`);

async function conversation(session, chat) {
  const { rows } = await db.query('SELECT conversation FROM chatwoot WHERE session = $1 AND chat = $2', [session, chat]);
  if (rows.length) return rows[0].conversation;
  await post('contacts', { source_id: `${session}/${chat}`, name: chat.replace(/@.*/, '') });
  const { id } = await post(`contacts/${contact(session, chat)}/conversations`, {});
  await db.query('INSERT INTO chatwoot VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [session, chat, id]);
  return id;
}

// At least once: a message is acknowledged after Chatwoot has it, and claimed again a minute later if that failed.
async function turn() {
  const { rows } = await db.query("SELECT id, session, chat, body, message_id, from_me FROM wa.claim_messages('chatwoot')");
  for (const { id, session, chat, body, message_id, from_me } of rows) {
    if (!from_me) {
      const to = `contacts/${contact(session, chat)}/conversations/${await conversation(session, chat)}/messages`;
      await post(to, { content: body, echo_id: message_id });
    }
    await db.query("SELECT wa.acknowledge_messages('chatwoot', ARRAY[$1::bigint])", [id]);
  }
  return rows.length;
}

// Chatwoot repeats a callback that failed; the dedupe_key makes one message of both.
async function answered({ event, message_type, private: note, id, content, conversation: { contact_inbox } = {} }) {
  if (event !== 'message_created' || message_type !== 'outgoing' || note || !content) return;
  const [session, chat] = contact_inbox.source_id.split('/');
  await db.query('SELECT wa.send_text($1, $2, $3, dedupe_key => $4)', [session, chat, content, `chatwoot-${id}`]);
}

const server = http.createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  if (request.url !== `/${CALLBACK_SECRET}`) return response.writeHead(404).end();
  try {
    await answered(JSON.parse(body));
    response.writeHead(204).end();
  } catch (error) {
    console.error(`callback refused: ${error.message}`);
    response.writeHead(500).end();
  }
});
server.listen(Number(PORT), () => console.log(`port ${server.address().port}`));

let stopping = false;
process.on('SIGTERM', () => { stopping = true; });
while (!stopping) {
  const done = await turn().catch((error) => console.error(`trying again: ${error.message}`));
  if (!done) await new Promise((rest) => { setTimeout(rest, 1000); });
}
server.close();
await db.end();
