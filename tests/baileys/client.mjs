// Drives an unmodified Baileys with one JSON object a line: events on stdout, commands on stdin. The script serves all
// versions of the library; each version has a folder with its own lock file.
//
//   LIBRARY  which version: v6 or v7
//   WS_URL   the sandbox's WebSocket
//   CA_ROOT  the root's public key in hex; Baileys 7 checks the server's chain against it, 6.7 checks no root
//   NODE_EXTRA_CA_CERTS  a file with the root of the media server's certificate (an option of Node)
//   HISTORY  1 waits for the history of a new link, as the library does by default
//
// Messages are JSON with the protocol's names, bytes as base64, large numbers as text. Commands name a message by its
// id; the message must have been sent or received before.
//
// stdout: {"event":"qr","qr"} {"event":"open","jid","lid"} {"event":"close","code"} {"event":"undecryptable","id"}
//         {"event":"message","id","from","sender","chat","from_me","text","content"}: `from` (the chat) and `sender` are
//             numbers where the library knows them, `chat` is the address in the message
//         {"event":"update","id","status"}: 2 server, 3 delivered, 4 read
//         {"event":"library","name","data"}: every other event of the library
//         {"id","result"} or {"id","error"}: the answer to the command with that id
// stdin:  {"id","cmd":"send","to","content"}: a text as {"text"}, the other kinds as in the sandbox's control API:
//             {"reply":{"id","text"}} {"react":{"id","emoji"}} {"edit":{"id","text"}} {"revoke":{"id"}};
//             {"image":{"data","mime","caption"}}; and {"raw":<a message>}, with "id" under that message id. In a raw
//             message "{lone surrogate}" stands for half a character, which JSON from elsewhere cannot carry, and "NaN"
//             for that number
//         {"id","cmd":"code","number"}: requests the pairing code to type on the phone; only after the first "qr"
//         {"id","cmd":"read","message"}
//         {"id","cmd":"download","message"}: the media of a message, as base64
//         {"id","cmd":"call","method","args"}: any method of the socket: groupCreate, sendPresenceUpdate, logout …
//         {"id","cmd":"save","folder"}: the session as files
//         {"id","cmd":"load","folder"}: continues as the device in these files, and saves it there
//         {"id","cmd":"stop"} and {"id","cmd":"start"}: disconnects; connects again as the same device
import readline from 'node:readline';

const { LIBRARY, WS_URL, CA_ROOT, HISTORY, LOG_LEVEL } = process.env;
if (!LIBRARY || !WS_URL || !CA_ROOT) throw new Error('LIBRARY, WS_URL and CA_ROOT must be set');
const library = await import(`./${LIBRARY}/library.mjs`);
const { BufferJSON, WA_CERT_DETAILS, downloadMediaMessage, initAuthCreds, jidNormalizedUser } = library;
const { mediaOptions, proto } = library;
// The client knows two things of the sandbox: its address, and the root whose signature to accept.
if ('PUBLIC_KEY' in WA_CERT_DETAILS) WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(CA_ROOT, 'hex');

// Silent by default, and never on stdout, which carries the events.
const log = (...parts) => LOG_LEVEL && console.error(...parts);
const trace = LOG_LEVEL === 'trace' ? log : () => {};
const logger = { level: LOG_LEVEL ?? 'silent', trace, debug: log, info: log, warn: log, error: log, child: () => logger };
console.log = console.info = console.debug = log;

const isBytes = (value) => value instanceof Uint8Array || value?.type === 'Buffer';
const plain = (key, value) => (isBytes(value) ? Buffer.from(value.data ?? value).toString('base64') : value);
const emit = (line) => process.stdout.write(`${JSON.stringify(line, plain)}\n`);
const asJson = (message) =>
  proto.Message.toObject(proto.Message.fromObject(message), { longs: String, enums: String, bytes: String });

// The session is stored as text, as in a file or a database, so that no object survives its connection.
const store = { creds: undefined, keys: {} };
const reviving = (text) => JSON.parse(text, BufferJSON.reviver);
const saving = (value) => JSON.stringify(value, BufferJSON.replacer);
function session() {
  return {
    creds: store.creds ? reviving(store.creds) : initAuthCreds(),
    keys: {
      get: async (type, ids) => {
        const found = {};
        for (const id of ids) {
          const value = store.keys[`${type}/${id}`];
          if (value === undefined) continue;
          const revived = reviving(value);
          found[id] = type === 'app-state-sync-key' ? proto.Message.AppStateSyncKeyData.fromObject(revived) : revived;
        }
        return found;
      },
      set: async (data) => {
        for (const [type, entries] of Object.entries(data)) {
          for (const [id, value] of Object.entries(entries)) {
            if (value === null || value === undefined) delete store.keys[`${type}/${id}`];
            else store.keys[`${type}/${id}`] = saving(value);
          }
        }
      },
    },
  };
}

// Every message sent and received, by id: to quote it, to change it, and for Baileys' retries.
const messages = new Map();
const known = (id) => messages.get(id) ?? fail(`no message ${id}`);
const fail = (text) => {
  throw new Error(text);
};
let sock;
let state = session();
let stopped = false;
let saveCreds;

function connect() {
  stopped = false;
  sock = library.default({
    auth: state,
    logger,
    waWebSocketUrl: WS_URL,
    version: [2, 3000, 1015901307],
    browser: ['Ubuntu', 'Chrome', '22'],
    syncFullHistory: false,
    // Without this, the first connection holds back all events for 20 seconds when no history arrives.
    ...(HISTORY === '1' ? {} : { shouldSyncHistoryMessage: () => false }),
    getMessage: async (key) => messages.get(key.id)?.message,
  });
  const current = sock;
  const handlers = {
    'creds.update': () => (saveCreds ? saveCreds() : (store.creds = saving(state.creds))),
    'connection.update': (update) => {
      if (update.qr) emit({ event: 'qr', qr: update.qr });
      if (update.connection === 'open') opened(current);
      if (update.connection === 'close') closed(current, update.lastDisconnect?.error?.output?.statusCode);
    },
    'messages.upsert': ({ messages: received }) => received.forEach(message),
    'messages.update': (updates) => {
      for (const { key, update } of updates) {
        if (update.status !== undefined) emit({ event: 'update', id: key.id, status: update.status });
      }
    },
  };
  sock.ev.process((events) => {
    for (const [name, data] of Object.entries(events)) {
      if (handlers[name]) handlers[name](data);
      else emit({ event: 'library', name, data });
    }
  });
}

// An available device sends real delivery receipts; without a name the library does not announce that it is available.
function opened({ ev, user, sendPresenceUpdate }) {
  if (!user.name) ev.emit('creds.update', { me: { ...user, name: 'Baileys' } });
  // The connection may be closed again by then; `close` reports that.
  sendPresenceUpdate('available').catch(log);
  emit({ event: 'open', jid: user.id, lid: user.lid });
}

function closed(which, code) {
  emit({ event: 'close', code });
  // 401 and 403 are final, and after a conflict (440) the newer connection stays. After other codes, and always after
  // 515 (linked), the client reconnects.
  if (stopped || which !== sock || [401, 403, 440].includes(code)) return;
  setTimeout(() => stopped || connect(), code === 515 ? 0 : 100);
}

function message(received) {
  const { key, message: content } = received;
  // A status that arrived while the library held back its events is in the message itself.
  if (key.fromMe && Object.hasOwn(received, 'status')) emit({ event: 'update', id: key.id, status: received.status });
  if (!content) return emit({ event: 'undecryptable', id: key.id });
  messages.set(key.id, received);
  const number = (...forms) => jidNormalizedUser(forms.find((jid) => jid?.endsWith('@s.whatsapp.net')) ?? forms[0]);
  // The other form of an address has different names in 6.7 and 7.
  const { remoteJid, remoteJidAlt, participant, participantAlt, participantPn, senderPn } = key;
  const chat = participant || key.fromMe ? jidNormalizedUser(remoteJid) : number(remoteJid, remoteJidAlt ?? senderPn);
  const sender = key.fromMe
    ? number(sock.user?.id)
    : participant
      ? number(participant, participantAlt ?? participantPn ?? senderPn)
      : chat;
  const text = content.conversation ?? content.extendedTextMessage?.text ?? undefined;
  const fields = { id: key.id, from: chat, sender, chat: remoteJid, from_me: key.fromMe === true, text };
  emit({ event: 'message', ...fields, content: asJson(content) });
}

// Baileys 6.7 may read the encrypted file before it has written it; the server refuses the empty upload, and the caller
// must send again. 7 waits for the file.
async function uploaded(send, attempts = LIBRARY === 'v6' ? 5 : 1) {
  try {
    return await send();
  } catch (error) {
    if (attempts === 1 || error.message !== 'Media upload failed on all hosts') throw error;
    return uploaded(send, attempts - 1);
  }
}

const withSurrogates = (message) => JSON.parse(JSON.stringify(message).replaceAll('{lone surrogate}', '\\ud800'));

async function send(to, { text, reply, react, edit, revoke, image, raw, id }) {
  const jid = to.includes('@') ? to : `${to}@s.whatsapp.net`;
  const sent = async (content, options) => {
    const message = await sock.sendMessage(jid, content, options);
    messages.set(message.key.id, message);
    return { message_id: message.key.id, content: asJson(message.message) };
  };
  if (text !== undefined) return sent({ text });
  if (reply) return sent({ text: reply.text }, { quoted: known(reply.id) });
  if (react) return sent({ react: { text: react.emoji, key: known(react.id).key } });
  if (edit) return sent({ text: edit.text, edit: known(edit.id).key });
  if (revoke) return sent({ delete: known(revoke.id).key });
  if (image) {
    const { data, mime, caption } = image;
    // Baileys makes a thumbnail only of an image that it can decode; these bytes are random.
    const content = { image: Buffer.from(data, 'base64'), jpegThumbnail: '', mimetype: mime, caption };
    return uploaded(() => sent(content));
  }
  if (raw) {
    const message = proto.Message.fromObject(withSurrogates(raw));
    const message_id = await sock.relayMessage(jid, message, { messageId: id });
    return { message_id, content: asJson(raw) };
  }
  return fail('content is one of text, reply, react, edit, revoke, image, raw');
}

const commands = {
  send: ({ to, content }) => send(to, content),
  code: async ({ number }) => ({ code: await sock.requestPairingCode(number) }),
  read: ({ message }) => sock.readMessages([known(message).key]),
  download: async ({ message }) => {
    const context = { logger, reuploadRequest: sock.updateMediaMessage };
    const options = mediaOptions ? mediaOptions(await sock.refreshMediaConn()) : undefined;
    return { data: await downloadMediaMessage(known(message), 'buffer', { options }, context) };
  },
  call: ({ method, args = [] }) => {
    if (typeof sock[method] !== 'function') fail(`the socket has no method ${method}`);
    return sock[method](...args);
  },
  stop: () => {
    stopped = true;
    sock.end(undefined);
  },
  // The session as a folder, written by the library itself.
  save: async ({ folder }) => {
    const { state: saved, saveCreds: write } = await library.useMultiFileAuthState(folder);
    Object.assign(saved.creds, reviving(store.creds));
    const data = {};
    for (const [name, value] of Object.entries(store.keys)) {
      const [type] = name.split('/', 1);
      (data[type] ??= {})[name.slice(type.length + 1)] = reviving(value);
    }
    await saved.keys.set(data);
    await write();
  },
  load: async ({ folder }) => {
    stopped = true;
    sock.end(undefined);
    ({ state, saveCreds } = await library.useMultiFileAuthState(folder));
    connect();
  },
  start: () => {
    state = session();
    connect();
  },
};

connect();
const lines = readline.createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  let command = {};
  try {
    command = JSON.parse(line);
    const run = commands[command.cmd] ?? fail(`unknown cmd ${command.cmd}`);
    emit({ id: command.id, result: (await run(command)) ?? null });
  } catch (error) {
    emit({ id: command.id, error: String(error?.message ?? error) });
  }
});
// The parent process has ended.
lines.on('close', () => process.exit(0));
