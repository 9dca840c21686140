//! Random interleavings of everything that can happen to messages, over several workers, and the invariants after each step.

#![expect(clippy::panic, reason = "a property that does not hold ends the test")]

use super::{ManualWorker, run, session};
use crate::support::db::fresh;
use anyhow::{Result, bail, ensure};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sqlx::{PgPool, Row as _};
use std::collections::{HashMap, HashSet};
use wagres::jobs::{JobError, OutboundJob};

const SESSIONS: [&str; 2] = ["shop", "cafe"];

#[derive(Debug, Clone)]
enum Step {
    /// One statement that inserts this many messages: session, chat, priority, scheduled for later.
    Insert {
        session: usize,
        chat: u8,
        count: u8,
        priority: i8,
        later: bool,
    },
    /// A worker claims messages.
    Claim(usize),
    /// A worker begins the next message that may be sent.
    Begin(usize),
    /// A worker records the outcome of a message that it began.
    End {
        worker: usize,
        which: usize,
        how: How,
    },
    /// An application cancels a message.
    Cancel(usize),
    /// An operator retries a message by hand.
    Retry(usize),
    Pause(usize),
    Resume(usize),
    /// A worker dies without releasing anything.
    Die(usize),
    /// Another worker takes a session over; the old holder does not notice.
    Take {
        worker: usize,
        session: usize,
    },
    /// The clock of the database jumps ahead.
    Jump,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Sent,
    Retry,
    Release,
    Permanent,
}

fn step() -> impl Strategy<Value = Step> {
    let how =
        prop_oneof![5 => Just(How::Sent), 2 => Just(How::Retry), 1 => Just(How::Release), 1 => Just(How::Permanent)];
    prop_oneof![
        4 => (0..2usize, 0..3u8, 1..4u8, prop_oneof![3 => Just(0i8), 1 => -2..3i8], prop::bool::weighted(0.15))
            .prop_map(|(session, chat, count, priority, later)| Step::Insert { session, chat, count, priority, later }),
        5 => (0..3usize).prop_map(Step::Claim),
        6 => (0..3usize).prop_map(Step::Begin),
        6 => (0..3usize, any::<prop::sample::Index>(), how)
            .prop_map(|(worker, which, how)| Step::End { worker, which: which.index(1000), how }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Cancel(which.index(1000))),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Retry(which.index(1000))),
        1 => (0..2usize).prop_map(Step::Pause),
        1 => (0..2usize).prop_map(Step::Resume),
        1 => (0..3usize).prop_map(Step::Die),
        1 => (0..3usize, 0..2usize).prop_map(|(worker, session)| Step::Take { worker, session }),
        1 => Just(Step::Jump),
    ]
}

/// The test's record of a message.
#[derive(Debug, Default)]
struct Known {
    /// The epochs under which the message was begun, and whether that attempt has ended.
    begun: HashMap<i64, bool>,
    cancelled: bool,
    sent: bool,
}

struct World {
    pool: PgPool,
    workers: Vec<Option<ManualWorker>>,
    /// The messages that each worker has begun and not ended.
    begun: Vec<Vec<OutboundJob>>,
    ids: Vec<i64>,
    known: HashMap<i64, Known>,
    /// Messages retried by hand.
    again: HashSet<i64>,
}

impl World {
    async fn new() -> Result<Self> {
        let db = fresh().await;
        for name in SESSIONS {
            session(&db.pool, name).await?;
        }
        let mut world = Self {
            pool: db.pool,
            workers: vec![],
            begun: vec![vec![], vec![], vec![]],
            ids: vec![],
            known: HashMap::new(),
            again: HashSet::new(),
        };
        for place in 0..3 {
            world.workers.push(Some(ManualWorker::new(&world.pool).await?));
            if let (Some(name), Some(worker)) = (SESSIONS.get(place), &world.workers[place]) {
                worker.hold(name).await?;
            }
        }
        Ok(world)
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match *step {
            Step::Insert { session, chat, count, priority, later } => {
                let ids: Vec<i64> = sqlx::query_scalar(
                    "INSERT INTO wa.outbound (session, recipient, body, priority, send_at)
                     SELECT $1, '1555000' || $2::text, 'n' || n, $3::smallint, CASE WHEN $4 THEN now() + interval '1 hour' END
                     FROM generate_series(1, $5) n RETURNING id",
                )
                .bind(SESSIONS[session])
                .bind(i32::from(chat))
                .bind(i16::from(priority))
                .bind(later)
                .bind(i32::from(count))
                .fetch_all(&self.pool)
                .await?;
                self.known.extend(ids.iter().map(|id| (*id, Known::default())));
                self.ids.extend(ids);
            }
            Step::Claim(worker) => {
                if let Some(manual) = &mut self.workers[worker] {
                    manual.claim().await?;
                }
            }
            Step::Begin(worker) => self.begin(worker).await?,
            Step::End { worker, which, how } => self.end(worker, which, how).await?,
            Step::Cancel(which) => {
                if let Some(id) = self.ids.get(which % self.ids.len().max(1)).copied() {
                    let cancelled: bool =
                        sqlx::query_scalar("SELECT wa.cancel($1)").bind(id).fetch_one(&self.pool).await?;
                    self.known.entry(id).or_default().cancelled |= cancelled;
                }
            }
            Step::Retry(which) => {
                if let Some(id) = self.ids.get(which % self.ids.len().max(1)).copied() {
                    let again: bool = sqlx::query_scalar("SELECT wa.retry($1)").bind(id).fetch_one(&self.pool).await?;
                    if again {
                        self.known.entry(id).or_default().cancelled = false;
                        self.again.insert(id);
                    }
                }
            }
            Step::Pause(session) => run(&self.pool, &format!("SELECT wa.pause('{}')", SESSIONS[session])).await?,
            Step::Resume(session) => run(&self.pool, &format!("SELECT wa.resume('{}')", SESSIONS[session])).await?,
            Step::Die(worker) => {
                if let Some(manual) = self.workers[worker].take() {
                    self.begun[worker].clear();
                    manual.die().await?;
                    // A new worker in its place takes the free sessions.
                    let manual = ManualWorker::new(&self.pool).await?;
                    let free: Vec<String> = sqlx::query_scalar(
                        "SELECT name FROM wa.session JOIN wa.lease USING (session_id) WHERE holder IS NULL ORDER BY name",
                    )
                    .fetch_all(&self.pool)
                    .await?;
                    for name in free {
                        manual.hold(&name).await?;
                    }
                    self.workers[worker] = Some(manual);
                }
            }
            Step::Take { worker, session } => {
                if let Some(manual) = &self.workers[worker] {
                    manual.hold(SESSIONS[session]).await?;
                }
            }
            Step::Jump => {
                run(
                    &self.pool,
                    "UPDATE wa.outbound SET send_at = send_at - interval '2 hours' WHERE status IN ('queued', 'sending');
                     UPDATE wa.outbound_queue SET run_at = run_at - interval '2 hours'",
                )
                .await?;
            }
        }
        self.agrees().await
    }

    /// A message is in the queue if and only if it is live, and among the failed ones if and only if it has failed.
    async fn agrees(&self) -> Result<()> {
        let apart: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM wa.outbound o FULL JOIN wa.outbound_queue q USING (id)
             WHERE coalesce(o.status IN ('queued', 'sending'), false) <> (q.id IS NOT NULL)
                OR (q.session_id, q.chat, q.rank, q.expires_at) IS DISTINCT FROM (o.session_id, o.chat, -o.priority, o.expires_at) AND q.id IS NOT NULL
             UNION ALL
             SELECT id FROM wa.outbound o FULL JOIN wa.outbound_failed f USING (id)
             WHERE coalesce(o.status = 'failed', false) <> (f.id IS NOT NULL)",
        )
        .fetch_all(&self.pool)
        .await?;
        ensure!(apart.is_empty(), "wa.outbound, its queue and its failures disagree over {apart:?}");
        Ok(())
    }

    async fn begin(&mut self, worker: usize) -> Result<()> {
        let Some(job) = self.workers[worker].as_mut().and_then(ManualWorker::next) else { return Ok(()) };
        let known = self.known.entry(job.id).or_default();
        // A deposed holder goes on with the messages in its hand; its outcomes must not change the rows.
        let current: i64 = sqlx::query_scalar("SELECT epoch FROM wa.lease WHERE session_id = $1")
            .bind(job.fence.session_id)
            .fetch_one(&self.pool)
            .await?;
        if current == job.fence.epoch {
            ensure!(!known.cancelled, "{} was cancelled and is begun all the same", job.id);
            ensure!(!known.sent, "{} was sent and is begun again", job.id);
            ensure!(
                known.begun.get(&job.fence.epoch).is_none_or(|ended| *ended),
                "{} is begun twice at epoch {}",
                job.id,
                job.fence.epoch
            );
            // Scheduled messages, and those retried by hand after their end, have no place in the order.
            let earlier: Vec<i64> = sqlx::query_scalar(
                "SELECT o.id FROM wa.outbound o JOIN wa.outbound_queue q USING (id)
                 WHERE o.session_id = $1 AND o.chat = $2 AND o.id < $3 AND o.send_at IS NULL",
            )
            .bind(job.fence.session_id)
            .bind(&*job.chat)
            .bind(job.id)
            .fetch_all(&self.pool)
            .await?;
            let overtaken = earlier.iter().find(|id| !self.again.contains(id));
            ensure!(overtaken.is_none(), "{} overtakes {overtaken:?} of its chat", job.id);
        }
        let known = self.known.entry(job.id).or_default();
        known.begun.insert(job.fence.epoch, false);
        self.begun[worker].push(job);
        Ok(())
    }

    async fn end(&mut self, worker: usize, which: usize, how: How) -> Result<()> {
        let begun = &mut self.begun[worker];
        if begun.is_empty() {
            return Ok(());
        }
        let job = begun.swap_remove(which % begun.len());
        let (id, fence) = (job.id, job.fence);
        let outcome = match how {
            How::Sent => Ok(()),
            How::Retry => Err(JobError::Retry("not now".into())),
            How::Release => Err(JobError::Release("not tried".into())),
            How::Permanent => Err(JobError::Permanent("never".into())),
        };
        let valid: bool = sqlx::query_scalar("SELECT epoch = $2 FROM wa.lease WHERE session_id = $1")
            .bind(fence.session_id)
            .bind(fence.epoch)
            .fetch_one(&self.pool)
            .await?;
        let before = self.row(id).await?;
        let Some(manual) = &mut self.workers[worker] else { bail!("a dead worker ends a message") };
        manual.end(job, outcome).await?;
        let after = self.row(id).await?;
        let known = self.known.entry(id).or_default();
        known.begun.insert(fence.epoch, true);
        if !valid {
            // The new holder may have set the row to sending.
            let same = before == after || (after.0 == "sending" && before.1 == after.1);
            ensure!(same, "{id} was changed by a deposed holder: {before:?} {after:?}");
            return Ok(());
        }
        known.sent |= matches!(how, How::Sent);
        let (status, attempts) = &after;
        let counts = i32::from(!matches!(how, How::Release));
        ensure!(*attempts == before.1 + counts, "{id}: {how:?} under {fence:?} made {after:?} of {before:?}");
        let expected: &[&str] = match how {
            How::Sent => &["sent"],
            How::Retry => &["queued", "failed"],
            How::Release => &["queued"],
            How::Permanent => &["failed"],
        };
        ensure!(expected.contains(&status.as_str()), "{id} is {status} after {how:?}");
        Ok(())
    }

    async fn row(&self, id: i64) -> Result<(String, i32)> {
        let row = sqlx::query("SELECT status::text, attempts FROM wa.outbound WHERE id = $1")
            .bind(id)
            .fetch_one(&self.pool)
            .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// One worker sends all that is left; then compares every row with the record.
    async fn finish(&mut self) -> Result<()> {
        for session in 0..2 {
            self.step(&Step::Resume(session)).await?;
            self.step(&Step::Take { worker: 0, session }).await?;
        }
        let mut idle = 0;
        while idle < 3 {
            self.step(&Step::Jump).await?;
            self.step(&Step::Claim(0)).await?;
            idle += 1;
            loop {
                self.begin(0).await?;
                if self.begun[0].is_empty() {
                    break;
                }
                self.end(0, 0, How::Sent).await?;
                idle = 0;
            }
        }
        let left: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM wa.outbound_queue ORDER BY id").fetch_all(&self.pool).await?;
        ensure!(left.is_empty(), "{left:?} are stuck");
        self.agrees().await?;
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, status::text FROM wa.outbound").fetch_all(&self.pool).await?;
        let there: HashSet<i64> = rows.iter().map(|(id, _)| *id).collect();
        ensure!(self.ids.iter().all(|id| there.contains(id)), "rows were lost");
        for (id, status) in rows {
            let known = self.known.entry(id).or_default();
            ensure!(known.cancelled == (status == "cancelled"), "{id} is {status}, cancelled: {}", known.cancelled);
            ensure!(known.sent == (status == "sent"), "{id} is {status}, sent: {}", known.sent);
        }
        Ok(())
    }
}

/// Runs `cases` interleavings of up to `steps` steps.
fn interleave(cases: u32, steps: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let config = Config { cases, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    // `make test` runs the same interleavings each time, the long variant new ones.
    let mut runner = if cases > 100 {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    };
    let done = runner.run(&prop::collection::vec(step(), 1..steps), |steps| {
        runtime
            .block_on(async {
                let mut world = World::new().await?;
                for step in &steps {
                    world.step(step).await?;
                }
                world.finish().await?;
                world.pool.close().await;
                anyhow::Ok(())
            })
            .map_err(|error| {
                eprintln!("after {} steps: {error:#}", steps.len());
                TestCaseError::fail(format!("{error:#}"))
            })
    });
    if let Err(error) = done {
        panic!("{error}");
    }
}

#[test]
fn r1_q6_q7_q8_nothing_is_lost_doubled_or_overtaken_whatever_happens_in_between() {
    interleave(8, 60);
}

/// The long variant, for `make soak`.
#[test]
#[ignore = "takes minutes: make soak"]
fn r1_q6_q7_q8_nothing_is_lost_doubled_or_overtaken_in_long_interleavings() {
    interleave(500, 400);
}
