// Baileys with its multi-file store sends texts through the sandbox. Prints one line of JSON: messages a second until the
// last delivery receipt, and the time of one message to the server's ack.
//
//   send.mjs '{"sandbox":"ws://…","control":"http://…","numbers":["1558…"],"chats":["1555…"],"messages":N,"samples":N,"folder":"…"}'
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import makeWASocket, { useMultiFileAuthState, WA_CERT_DETAILS } from 'baileys';

const { sandbox, control, numbers, chats, messages, samples, folder } = JSON.parse(process.argv[2]);
// Only the result goes to stdout.
console.log = console.info = console.debug = () => {};
const silent = () => {};
const logger = { level: 'silent', trace: silent, debug: silent, info: silent, warn: silent, error: silent, child: () => logger };
const call = async (path, body) => {
  const answer = await fetch(control + path, body && { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
};
const { root_public_key } = await call('/ca');
WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(root_public_key, 'hex');
const files = await mkdtemp(join(folder, 'baileys-'));

// A linked device: the status of each message by id, and who waits for it.
class Device {
  reached = new Map();
  waiting = new Map();
  texts = 0;

  static async link(number) {
    await call('/phones', { number });
    const device = new Device();
    const { state, saveCreds } = await useMultiFileAuthState(join(files, number));
    await new Promise((opened, failed) => {
      const connect = () => {
        device.socket = makeWASocket({
          auth: state,
          logger,
          waWebSocketUrl: sandbox,
          version: [2, 3000, 1015901307],
          browser: ['Ubuntu', 'Chrome', '22'],
          syncFullHistory: false,
          // Otherwise the first connection holds back all events for 20 seconds if no history arrives.
          shouldSyncHistoryMessage: () => false,
        });
        const { ev } = device.socket;
        ev.on('creds.update', saveCreds);
        ev.on('connection.update', ({ qr, connection }) => {
          if (qr) call(`/phones/${number}/scan`, { qr }).catch(failed);
          if (connection === 'open') opened();
          // After linking the server demands a new connection.
          if (connection === 'close') connect();
        });
        ev.on('messages.update', (updates) => updates.forEach(({ key, update }) => device.progressed(key.id, update.status)));
        ev.on('messages.upsert', ({ messages }) => {
          for (const message of messages) {
            if (message.key.fromMe) device.progressed(message.key.id, message.status);
            else device.texts++;
          }
        });
      };
      connect();
    });
    await call('/phones', { number, phone: 'off' });
    return device;
  }

  // 2: acknowledged by the server; 3: delivered.
  progressed(id, status) {
    if (status === undefined || status <= (this.reached.get(id) ?? 0)) return;
    this.reached.set(id, status);
    for (const wait of this.waiting.get(id) ?? []) if (status >= wait.status) wait.done();
  }

  reaches(id, status) {
    if ((this.reached.get(id) ?? 0) >= status) return undefined;
    return new Promise((done) => this.waiting.set(id, [...(this.waiting.get(id) ?? []), { status, done }]));
  }

  // Resolves with the message's id when the library has sent the message.
  async send(chat, text) {
    const message = await this.socket.sendMessage(`${chat}@s.whatsapp.net`, { text });
    return message.key.id;
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const devices = [];
for (const number of numbers) {
  const device = await Device.link(number);
  for (const chat of chats) await device.reaches(await device.send(chat, 'Hello'), 3);
  for (const chat of chats) await call(`/phones/${chat}/send`, { to: number, text: 'Hi' });
  while (device.texts < chats.length) await pause(10);
  devices.push(device);
}

const cpu = process.cpuUsage();
const began = performance.now();
await Promise.all(
  devices.map(async (device, place) => {
    const share = Math.floor(messages / devices.length) + (place < messages % devices.length ? 1 : 0);
    const sent = [];
    for (let n = 0; n < share; n++) sent.push(await device.send(chats[n % chats.length], `message ${n}`));
    for (const id of sent) await device.reaches(id, 3);
  }),
);
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(cpu);

const times = [];
for (let n = 0; n < samples; n++) {
  const device = devices[n % devices.length];
  const start = performance.now();
  const id = await device.send(chats[n % chats.length], 'one');
  await device.reaches(id, 2);
  times.push(performance.now() - start);
  await device.reaches(id, 3);
}
times.sort((a, b) => a - b);
const part = (percent) => times[Math.round(((times.length - 1) * percent) / 100)];
await rm(files, { recursive: true, force: true });
const report = { per_second: messages / seconds, cpu_us: (user + system) / messages, p50_ms: part(50), p99_ms: part(99) };
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
