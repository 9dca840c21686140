// pg-boss, in batches, fetching again at once while batches come back full, and woken by NOTIFY when idle.
// Finished jobs are kept as rows, for seven days by default.

import { PgBoss } from 'pg-boss';
import { connect, countdown, run, timeDrain, timeLatency, url } from './peer.mjs';

const QUEUE = 'noop';
const drainOptions = { batchSize: 500, localConcurrency: 4, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 };
const latencyOptions = { pollingIntervalSeconds: 0.5, notifyPollingIntervalSeconds: 1 };

const open = async (notify) => {
  const boss = new PgBoss({ connectionString: url, max: 20, useListenNotify: notify });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue(QUEUE, { notify });
  return boss;
};

await run('pg-boss', {
  async insert(jobs) {
    const boss = await open(false);
    for (let from = 0; from < jobs; from += 5000) {
      const length = Math.min(5000, jobs - from);
      await boss.insert(QUEUE, Array.from({ length }, (_, i) => ({ data: { i: from + i } })));
    }
    return {};
  },
  async drain(jobs) {
    const { done, count } = countdown(jobs);
    return timeDrain(
      await connect(),
      async () => {
        const boss = await open(false);
        await boss.work(QUEUE, drainOptions, async (batch) => void count(batch.length));
        return () => boss.stop();
      },
      done,
      `SELECT EXISTS (SELECT FROM pgboss.job WHERE name = '${QUEUE}' AND state < 'completed') AS unfinished`,
    );
  },
  async latency(rounds) {
    const boss = await open(true);
    let arrived;
    await boss.work(QUEUE, latencyOptions, async () => arrived());
    return timeLatency(rounds, () => boss.send(QUEUE, {}), (listener) => (arrived = listener));
  },
});
