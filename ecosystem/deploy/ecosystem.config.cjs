// Workers under PM2: pm2 start ecosystem.config.cjs, then pm2 save. For a new version: pm2 reload
// ecosystem.config.cjs. PM2 then restarts all of them side by side; messages wait in their rows for the second that this takes.
//
// DATABASE_URL and the settings of docs/configuration.md come from the environment in which pm2 is called.
//
//   PM2_WAGRES_BIN       the program [default: /usr/bin/wagres]
//   PM2_WAGRES_WORKERS   how many workers [default: 2, so that one goes on when the other crashes]

const workers = Number(process.env.PM2_WAGRES_WORKERS ?? 2);

module.exports = {
  apps: Array.from({ length: workers }, (_, n) => ({
    name: `wagres-${n + 1}`,
    script: process.env.PM2_WAGRES_BIN ?? '/usr/bin/wagres',
    args: 'worker',
    interpreter: 'none',
    exec_mode: 'fork',
    // /livez, /health and /metrics: each worker has an address of its own.
    env: { WAGRES_HTTP: process.env.WAGRES_HTTP ?? `127.0.0.1:${7470 + n}` },
    // More than a worker takes to drain, in milliseconds: worker.drain_seconds + 75 s. Then PM2 kills it.
    kill_timeout: 90_000,
    // 1,000 sessions take 140 MB, messages in hand up to 64 MB (worker.in_hand_bytes), and files that are on their way come on
    // top.
    max_memory_restart: '512M',
    // A worker ends when the database is away at its start. However long that lasts, it is started again, at most every 15 s.
    exp_backoff_restart_delay: 500,
    max_restarts: Number.MAX_SAFE_INTEGER,
  })),
};
