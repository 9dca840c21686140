// Measures Baileys' multi-file store with a session of KEYS keys. Prints one line of JSON: the times of loading all keys, and
// of writing one and a hundred Signal sessions.
//
//   store.mjs KEYS ROUNDS FOLDER
import { mkdtemp, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { useMultiFileAuthState } from 'baileys';

const [keys, rounds] = process.argv.slice(2, 4).map(Number);
const folder = await mkdtemp(join(process.argv[4], 'baileys-'));
const bytes = (length) => randomBytes(length);
const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
// The same kinds in the same proportion as in wagres-bench: of ten keys six pre-keys, two sessions, a sender key, a LID.
const ids = { 'pre-key': [], session: [], 'sender-key': [], 'lid-mapping': [] };
const data = { 'pre-key': {}, session: {}, 'sender-key': {}, 'lid-mapping': {} };
const put = (kind, id, value) => {
  ids[kind].push(id);
  data[kind][id] = value;
};
const session = () => ({ version: 'v1', _sessions: { [bytes(33).toString('base64')]: { rootKey: bytes(650).toString('base64') } } });
for (let n = 0; n < keys; n++) {
  const kind = n % 10;
  if (kind < 6) put('pre-key', `${n}`, { public: bytes(32), private: bytes(32) });
  else if (kind < 8) put('session', `9${n}_1.0`, session());
  else if (kind === 8) put('sender-key', `1203630000000${n}@g.us::9${n}_1::0`, bytes(400));
  else put('lid-mapping', `1555${n}`, `9${n}`);
}
const first = await useMultiFileAuthState(folder);
await first.saveCreds();
await first.state.keys.set(data);

const load = async () => {
  const began = performance.now();
  const { state } = await useMultiFileAuthState(folder);
  for (const [kind, wanted] of Object.entries(ids)) {
    const found = await state.keys.get(kind, wanted);
    if (Object.values(found).filter(Boolean).length !== wanted.length) throw new Error(`keys of kind ${kind} are missing`);
  }
  return performance.now() - began;
};
const flush = async (count) => {
  const sessions = Object.fromEntries(Array.from({ length: count }, (_, n) => [`8${n}_1.0`, session()]));
  const began = performance.now();
  await first.state.keys.set({ session: sessions });
  return performance.now() - began;
};
const times = { load: [], one: [], hundred: [] };
for (let round = 0; round < rounds; round++) {
  times.load.push(await load());
}
for (let round = 0; round < rounds; round++) {
  times.one.push(await flush(1));
  times.hundred.push(await flush(100));
}
await rm(folder, { recursive: true });
console.log(JSON.stringify({ load_ms: median(times.load), one_ms: median(times.one), hundred_ms: median(times.hundred) }));
process.exit(0);
