// Shared by the Node.js peers: the command line, the clock, the printed line.

import pg from 'pg';

export const url = process.env.DATABASE_URL;
const [action, count] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const jobs = Number(count);

/** Pause before each job of the latency measurement, so that the worker is idle. */
const IDLE_MS = 30;

const now = () => Number(process.hrtime.bigint()) / 1e9;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs the action of the command line; `actions` are insert(jobs), drain(jobs) and latency(jobs). */
export async function run(peer, actions) {
  if (!url || !(action in actions) || !Number.isInteger(jobs) || jobs < 1) {
    console.error(`usage: DATABASE_URL=… ${peer} ${Object.keys(actions).join('|')} JOBS`);
    process.exit(2);
  }
  const figures = await actions[action](jobs);
  console.log(JSON.stringify({ peer, what: action, jobs, ...figures }));
  // Timers and pools of the library would keep the process alive.
  process.exit(0);
}

/** A connection beside those of the library. */
export async function connect() {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** Counts the calls of a handler and resolves `done` at the wanted number. */
export function countdown(wanted) {
  let seen = 0;
  let resolve;
  const done = new Promise((it) => (resolve = it));
  return { done, count: (calls = 1) => (seen += calls) >= wanted && resolve() };
}

/** Seconds from the start of the worker until `unfinished` (a query of one boolean) is false. */
export async function timeDrain(client, start, handled, unfinished) {
  const began = now();
  const stop = await start();
  await handled;
  while ((await client.query(unfinished)).rows[0].unfinished) await sleep(2);
  const seconds = now() - began;
  await stop?.();
  return { seconds };
}

/** p50 and p99 of the time from `insert()` to the call of `arrived()` by the handler, one job at a time. */
export async function timeLatency(rounds, insert, onArrival) {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    await sleep(IDLE_MS);
    const arrival = new Promise((resolve) => onArrival(() => resolve(now())));
    const began = now();
    await insert();
    times.push(((await arrival) - began) * 1000);
  }
  times.sort((a, b) => a - b);
  const at = (part) => times[Math.round((times.length - 1) * part)];
  return { p50_ms: at(0.5), p99_ms: at(0.99) };
}
