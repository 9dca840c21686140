// graphile-worker. With --local-queue it fetches and completes in batches, as its page on performance recommends for
// many short jobs; without, every job is fetched and completed by a statement of its own.
// Finished jobs are deleted; it cannot keep them.

import pg from 'pg';
import { Logger, run as runWorker, runMigrations } from 'graphile-worker';
import { connect, countdown, run, timeDrain, timeLatency, url } from './peer.mjs';

const batched = process.argv.includes('--local-queue');
const quiet = new Logger(() => () => {});
// As many jobs at once as keep the one thread of the process busy; the pool is larger than they need.
const worker = {
  concurrentJobs: 24,
  maxPoolSize: 20,
  pollInterval: 1000,
  ...(batched && { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }),
};

const start = async (taskList) => {
  const pgPool = new pg.Pool({ connectionString: url, max: worker.maxPoolSize });
  pgPool.on('error', (error) => console.error(error));
  pgPool.on('connect', (client) => client.on('error', (error) => console.error(error)));
  const runner = await runWorker({ pgPool, preset: { worker }, noHandleSignals: true, logger: quiet, taskList });
  return () => runner.stop();
};

await run(batched ? 'graphile-worker-local-queue' : 'graphile-worker', {
  async insert(jobs) {
    await runMigrations({ connectionString: url, logger: quiet });
    const client = await connect();
    await client.query(
      `SELECT graphile_worker.add_job('noop', json_build_object('i', i)) FROM generate_series(1, $1::int) i`,
      [jobs],
    );
    return {};
  },
  async drain(jobs) {
    const { done, count } = countdown(jobs);
    return timeDrain(
      await connect(),
      () => start({ noop: async () => void count() }),
      done,
      'SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS unfinished',
    );
  },
  async latency(rounds) {
    await runMigrations({ connectionString: url, logger: quiet });
    const client = await connect();
    let arrived;
    await start({ noop: async () => arrived() });
    return timeLatency(
      rounds,
      () => client.query(`SELECT graphile_worker.add_job('noop', '{}')`),
      (listener) => (arrived = listener),
    );
  },
});
