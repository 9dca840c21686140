// An unmodified Baileys client that speaks one JSON object a line: events on stdout, commands on stdin.
//
//   WS_URL   the sandbox's WebSocket
//   CA_ROOT  hex of the root's public key; Baileys checks the server's certificate chain against it
//   AUTH_DIR where the session is kept; the client comes back as the same device when it is kept
//   PAIR_NUMBER  links by pairing code to this number, instead of by QR
//
// stdout: {"event":"qr","qr"} {"event":"code","code"} {"event":"open","jid"} {"event":"close","code"} {"event":"message","from","id","text",
//         "from_me"} {"event":"update","id","status"} {"event":"sent","id","message_id"} {"event":"error","id","error"}
// stdin:  {"cmd":"send","id","to","text"} {"cmd":"exit"}
import readline from 'node:readline';
import makeWASocket, { WA_CERT_DETAILS, jidNormalizedUser, useMultiFileAuthState } from 'baileys';

const { WS_URL, CA_ROOT, AUTH_DIR, PAIR_NUMBER, LOG_LEVEL } = process.env;
if (!WS_URL || !CA_ROOT || !AUTH_DIR) throw new Error('WS_URL, CA_ROOT and AUTH_DIR must be set');
// The only thing the client is told about the sandbox besides its address: whose signature to accept.
WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(CA_ROOT, 'hex');

// Silent unless asked, and never on stdout, which is ours.
const log = (...parts) => LOG_LEVEL && console.error(...parts);
const logger = { level: LOG_LEVEL ?? 'silent', trace() {}, debug: log, info: log, warn: log, error: log, child: () => logger };
const emit = (event, fields) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
const { state, saveCreds } = await useMultiFileAuthState(AUTH_DIR);
// Baileys asks for what it sent when a recipient could not read it.
const sent = new Map();
let sock;
let ending = false;

function connect() {
  sock = makeWASocket({
    auth: state,
    logger,
    waWebSocketUrl: WS_URL,
    version: [2, 3000, 1015901307],
    browser: ['Ubuntu', 'Chrome', '22'],
    syncFullHistory: false,
    getMessage: async (key) => sent.get(key.id),
  });
  sock.ev.on('creds.update', saveCreds);
  sock.ev.on('connection.update', (update) => {
    if (update.qr && PAIR_NUMBER && !state.creds.pairingCode) {
      sock.requestPairingCode(PAIR_NUMBER).then((code) => emit('code', { code }));
    } else if (update.qr) emit('qr', { qr: update.qr });
    if (update.connection === 'open') emit('open', { jid: sock.user?.id });
    if (update.connection === 'close') {
      const code = update.lastDisconnect?.error?.output?.statusCode;
      emit('close', { code });
      // 401 is for good; after anything else, and always after 515 (linked), it comes back.
      if (!ending && code !== 401 && code !== 440) setTimeout(connect, code === 515 ? 0 : 500);
    }
  });
  sock.ev.on('messages.upsert', ({ messages }) => {
    for (const { key, message } of messages) {
      const text = message?.conversation ?? message?.extendedTextMessage?.text;
      if (text === undefined || text === null) continue;
      const from = jidNormalizedUser(key.remoteJidAlt?.endsWith('@s.whatsapp.net') ? key.remoteJidAlt : key.remoteJid);
      emit('message', { from, id: key.id, text, from_me: key.fromMe === true });
    }
  });
  sock.ev.on('messages.update', (updates) => {
    for (const { key, update } of updates) {
      if (update.status !== undefined) emit('update', { id: key.id, status: update.status });
    }
  });
}

async function run({ cmd, id, to, text }) {
  switch (cmd) {
    case 'send': {
      const jid = to.includes('@') ? to : `${to}@s.whatsapp.net`;
      const message = await sock.sendMessage(jid, { text });
      sent.set(message.key.id, message.message);
      return emit('sent', { id, message_id: message.key.id });
    }
    case 'exit':
      ending = true;
      sock?.end(undefined);
      await saveCreds();
      process.exit(0);
      break;
    default:
      throw new Error(`unknown cmd ${cmd}`);
  }
}

connect();
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  let command = {};
  try {
    command = JSON.parse(line);
    await run(command);
  } catch (error) {
    emit('error', { id: command.id, error: String(error?.message ?? error) });
  }
});
// Whoever started this is gone.
lines.on('close', () => process.exit(0));
