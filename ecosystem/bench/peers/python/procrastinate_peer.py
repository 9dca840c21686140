"""procrastinate. It fetches and finishes each job by a statement of its own; the only tuning is more jobs at once.

Finished jobs are kept as rows, for ever by default, and each change of their status adds a row.
"""

import asyncio
import json
import logging
import os
import sys
import time

import procrastinate
import psycopg

PEER = "procrastinate"
CONCURRENCY = 24
# Pause before each job of the latency measurement, so that the worker is idle.
IDLE_SECONDS = 0.03
INSERT = "INSERT INTO procrastinate_jobs (queue_name, task_name, args) "

# It warns about an app in the main module, which matters only if tasks are found by their path.
logging.getLogger("procrastinate").setLevel(logging.ERROR)
url = os.environ.get("DATABASE_URL", "")
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=20))
arrived: "asyncio.Future[float] | None" = None


@app.task(name="noop")
async def noop(i: int) -> None:
    if arrived is not None and not arrived.done():
        arrived.set_result(time.perf_counter())


async def insert(jobs: int) -> dict:
    await app.schema_manager.apply_schema_async()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        values = "SELECT 'default', 'noop', jsonb_build_object('i', i) FROM generate_series(1, %s) i"
        await connection.execute(INSERT + values, [jobs])
    return {}


async def drain(jobs: int) -> dict:
    began = time.perf_counter()
    # The worker ends when no job is left and every job is recorded.
    await app.run_worker_async(
        wait=False, concurrency=CONCURRENCY, install_signal_handlers=False, listen_notify=False
    )
    seconds = time.perf_counter() - began
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'")
        (done,) = await cursor.fetchone()
    if done != jobs:
        raise SystemExit(f"{PEER}: {done} of {jobs} jobs are done")
    return {"seconds": seconds}


async def latency(rounds: int) -> dict:
    global arrived
    await app.schema_manager.apply_schema_async()
    worker = asyncio.create_task(
        app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False, listen_notify=True)
    )
    times = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        # The first job shows that the worker listens.
        for _ in range(rounds + 1):
            await asyncio.sleep(IDLE_SECONDS)
            arrived = asyncio.get_running_loop().create_future()
            began = time.perf_counter()
            await connection.execute(INSERT + "VALUES ('default', 'noop', '{\"i\": 0}')")
            times.append((await arrived - began) * 1000)
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    times = sorted(times[1:])
    return {f"p{part}_ms": times[round((len(times) - 1) * part / 100)] for part in (50, 99)}


ACTIONS = {"insert": insert, "drain": drain, "latency": latency}


async def main() -> None:
    try:
        action, jobs = ACTIONS[sys.argv[1]], int(sys.argv[2])
    except (IndexError, KeyError, ValueError):
        action, jobs = None, 0
    if not url or action is None or jobs < 1:
        raise SystemExit(f"usage: DATABASE_URL=… {PEER} {'|'.join(ACTIONS)} JOBS")
    async with app.open_async():
        figures = await action(jobs)
    print(json.dumps({"peer": PEER, "what": sys.argv[1], "jobs": jobs, **figures}))


asyncio.run(main())
