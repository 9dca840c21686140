//! What the model remembers: the database, the worker processes, WhatsApp's server, and what the properties look at.
//!
//! Times are ticks until something happens, so that the number of states is finite.

/// Messages 0 and 1 are one lane, message 2 is another.
pub const LANES: [u8; 3] = [0, 0, 1];
/// How many ticks a lease lasts.
pub const LEASE: u8 = 3;
/// After how many ticks without a heartbeat a worker gives up.
pub const GIVE_UP: u8 = 2;
/// After how many ticks without a heartbeat a worker whose connection is gone is dead. Until then it sends nothing more.
pub const TAKEN: u8 = 1;
/// After how many ticks a message that failed is tried again.
pub const RETRY: u8 = 1;
/// In how many ticks without a new fault everything has to be well again: the lease, then a comparison that has to see
/// something twice, then a retry.
pub const CALM: u8 = 9;
/// How many epochs a home has. The product takes the time in milliseconds, which is more than any epoch.
const EPOCHS: u8 = 16;

/// One life of a worker: the process, and which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Life {
    /// 0 or 1.
    pub process: u8,
    /// From 0 on.
    pub number: u8,
}

/// The whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// The primary.
    pub db: Db,
    /// A replica that has stopped following.
    pub replica: Option<Db>,
    /// The worker processes.
    pub processes: [Process; 2],
    /// WhatsApp's server.
    pub server: Server,
    /// What may still happen.
    pub left: Faults,
    /// The database has failed over in this tick, and nobody has taken the lease since.
    pub failed_over: bool,
    /// Ticks since the last fault in which something was not as it should be.
    pub calm: u8,
    /// What happened, for the properties.
    pub seen: Seen,
}

/// A database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Db {
    /// `wa.lease.holder`.
    pub holder: Option<Life>,
    /// `wa.lease.epoch`.
    pub epoch: u8,
    /// `wa.needs_holder(wa.session.status)`: the row says that a worker has a connection.
    pub online: bool,
    /// The row of `wa.session_job` that makes the next connection.
    pub job: Job,
    /// The rows of `wa.worker`, in order.
    pub workers: [Option<WorkerRow>; 4],
    /// The rows of `wa.outbound` and `wa.outbound_queue`.
    pub messages: [Row; 3],
    /// `wa.sending.taken`.
    pub taken: [bool; 3],
    /// `wa.auth.home` and the counter in `wa.auth_key`.
    pub auth: (u8, Ratchet),
    /// `wa.auth_home.home`.
    pub home: u8,
    /// `wa.auth_home.timeline`.
    pub known_timeline: u8,
    /// `wa.auth_home.first_epoch`.
    pub first_epoch: u8,
    /// The server's timeline.
    pub timeline: u8,
    /// Ticks until `wa.auth_home.free_at`.
    pub free_in: u8,
    /// How often the received message is in `wa.inbox`.
    pub inbox: u8,
}

/// A job that connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Job {
    /// No job.
    None,
    /// It waits.
    Queued,
    /// The row says that this worker runs it.
    Running(Life),
}

/// A row of `wa.worker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerRow {
    /// `worker_id`.
    pub life: Life,
    /// Ticks until `lease_until`.
    pub lease: u8,
    /// `home`.
    pub home: u8,
    /// `wa.has_hung_up`: the connection of its last heartbeat is gone.
    pub hung_up: bool,
}

/// A message in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// It is to be sent.
    Queued {
        /// `attempts`.
        attempts: u8,
        /// Ticks until its retry, while `waits_for` is `retry`.
        retry: Option<u8>,
        /// A worker has died with it (`wa.worker_ended()` in `last_error`).
        died: bool,
    },
    /// The server has acknowledged it.
    Sent,
    /// It is out of attempts.
    Failed,
}

/// The place in a chain of keys. A reset starts another chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ratchet {
    /// Which chain.
    pub chain: u8,
    /// The next key that nobody has used.
    pub next: u8,
}

/// A process.
#[expect(clippy::struct_excessive_bools, reason = "each is independent of the others")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// It runs; else it was killed.
    pub runs: bool,
    /// It is stopped by SIGSTOP.
    pub frozen: bool,
    /// It was frozen and has run for less than a tick.
    pub waking: bool,
    /// It does not reach Postgres.
    pub cut_off: bool,
    /// Lives begun.
    pub lives: u8,
    /// The present one.
    pub life: Option<Work>,
}

/// What a life has in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Work {
    /// Its id.
    pub id: Life,
    /// Ticks until it gives up.
    pub give_up: u8,
    /// The heartbeat of this tick is to be made.
    pub beat: bool,
    /// What is left of the run of the reconciler: 3 expire, 2 adopt, 1 compare.
    pub reconcile: u8,
    /// The hold of the session, if it is in hand.
    pub hold: Option<Hold>,
    /// The job in hand.
    pub job: Option<HandJob>,
    /// The messages in hand, with the epoch of their claim.
    pub hand: [Option<(u8, Stage)>; 3],
    /// The last comparison found a lease without a connection.
    pub idle: bool,
    /// The last comparison found a hold without a lease.
    pub gone: bool,
    /// The received message.
    pub inbound: Inbound,
    /// The next key of the connection, and the first that is not reserved.
    pub ratchet: (Ratchet, u8),
}

/// A hold of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hold {
    /// Its epoch.
    pub epoch: u8,
    /// Its connection.
    pub link: Link,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// There is none.
    None,
    /// The socket is open.
    Open,
    /// It is over, and the row does not say so.
    Over,
}

/// A job in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HandJob {
    /// The epoch of its claim.
    pub epoch: u8,
    /// Null while it is to be run; then whether it was done.
    pub done: Option<bool>,
}

/// How far a message in hand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It waits for its turn.
    Waiting,
    /// It is sent and not acknowledged.
    OnWire,
    /// It is acknowledged, which is to be written.
    Acknowledged,
    /// The attempt failed, which is to be written.
    Retry,
    /// It was not tried, and goes back.
    Release,
}

/// The message that somebody sends to the session, as a worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inbound {
    /// It is not here.
    None,
    /// It is decrypted.
    Received,
    /// It is committed.
    Stored,
    /// It is acknowledged before the commit, which only a model without the guard does.
    Hasty,
}

/// WhatsApp's server and the recipients behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// The process with the device's one connection: a login replaces the one before.
    pub connection: Option<u8>,
    /// How often each message was shown.
    pub shown: [u8; 3],
    /// A message for the session that is not acknowledged.
    pub pending: bool,
}

/// What may happen how often, and how often in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Faults {
    /// In all.
    pub all: u8,
    /// A process is killed.
    pub crashes: u8,
    /// A killed process is started again.
    pub restarts: u8,
    /// A process is frozen.
    pub freezes: u8,
    /// A process is cut off from Postgres.
    pub cuts: u8,
    /// A statement is committed and its answer lost.
    pub answers: u8,
    /// The server closes a connection.
    pub connections: u8,
    /// A worker gives its session away.
    pub hand_overs: u8,
    /// The connection of a heartbeat ends, and the worker does not notice it.
    pub hang_ups: u8,
    /// The database fails over.
    pub failovers: u8,
}

/// What happened that must not happen, and what is counted.
#[expect(clippy::struct_excessive_bools, reason = "each is independent of the others")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seen {
    /// Something was sent under a lease that the sender does not hold, by a process that had time to know.
    pub second_sender: bool,
    /// The same, by a process in the instant in which it woke.
    pub sent_while_waking: bool,
    /// A write was accepted from a worker that is not the holder.
    pub stale_write: bool,
    /// A message was shown before one that was inserted before it.
    pub overtaken: bool,
    /// A key was used twice.
    pub key_twice: bool,
    /// A row counts more attempts than were begun.
    pub counted_twice: bool,
    /// The attempts that were begun, and the workers that died with the message.
    pub attempts: [u8; 3],
    /// The keys that were used, by chain.
    pub keys: [u8; 4],
}

impl Db {
    /// The row of a worker.
    pub(super) fn worker(&mut self, life: Life) -> Option<&mut WorkerRow> {
        self.workers.iter_mut().flatten().find(|row| row.life == life)
    }

    /// Whether a worker lives.
    pub(super) fn lives(&self, life: Life) -> bool {
        self.workers.iter().flatten().any(|row| row.life == life && row.lease > 0)
    }

    /// Takes the lease under the next epoch, as `wa.next_epoch` gives it.
    pub(super) fn take(&mut self, life: Life, grows: bool) {
        self.holder = Some(life);
        if grows || self.epoch == 0 {
            self.epoch = (self.epoch + 1).max(self.first_epoch);
        }
    }

    /// The trigger `ended` of `wa.lease`, which calls `wa.settle`: what was claimed goes back to the queue. Of each lane, the
    /// first message may have been on its way; it is counted from the second such death on.
    pub(super) fn free(&mut self, most_attempts: u8) -> [bool; 3] {
        self.holder = None;
        let mut met = [false; 2];
        let mut died_with = [false; 3];
        for (at, lane) in LANES.into_iter().enumerate() {
            let Row::Queued { attempts, died, retry } = &mut self.messages[at] else { continue };
            if !self.taken[at] || std::mem::replace(&mut met[usize::from(lane)], true) {
                continue;
            }
            died_with[at] = *died;
            let counted = *attempts + u8::from(*died);
            self.messages[at] = match most_attempts {
                // Attempts do not count.
                0 => continue,
                most if counted >= most => Row::Failed,
                _ => Row::Queued { attempts: counted, died: true, retry: *retry },
            };
        }
        self.taken = [false; 3];
        died_with
    }

    /// The connections of a process end; of all processes with none.
    pub(super) fn hang_up(&mut self, of: Option<u8>) {
        for row in self.workers.iter_mut().flatten().filter(|row| of.is_none_or(|of| row.life.process == of)) {
            row.hung_up = true;
        }
    }

    /// `wa.move_home`.
    pub(super) fn move_home(&mut self, above: bool, waits: bool) {
        self.home += 1;
        self.free_in = if waits { TAKEN } else { 0 };
        if above {
            self.first_epoch = self.home * EPOCHS;
        }
        self.known_timeline = self.timeline;
    }

    /// A tick of the database's clock.
    pub(super) fn tick(&mut self) {
        for worker in self.workers.iter_mut().flatten() {
            worker.lease = worker.lease.saturating_sub(1);
        }
        self.free_in = self.free_in.saturating_sub(1);
        for row in &mut self.messages {
            if let Row::Queued { retry: Some(left), .. } = row {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// Whether all messages are over.
    #[must_use]
    pub fn all_over(&self) -> bool {
        self.messages.iter().all(|row| !matches!(row, Row::Queued { .. }))
    }
}

impl Process {
    /// Whether it can do something.
    #[must_use]
    pub const fn awake(&self) -> bool {
        self.runs && !self.frozen
    }
}

impl State {
    /// Whether the holder has a connection and every message is over.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.is_served() && self.db.all_over() && !self.server.pending
    }

    /// Whether the session is connected by the worker that holds it.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.processes.iter().filter(|it| it.awake() && !it.cut_off).filter_map(|it| it.life).any(|life| {
            self.db.holder == Some(life.id)
                && self.server.connection == Some(life.id.process)
                && life.hold.is_some_and(|hold| hold.link == Link::Open && hold.epoch == self.db.epoch)
        })
    }

    /// The same state with the processes the other way round.
    #[must_use]
    pub(super) fn swapped(&self) -> Self {
        let mut other = *self;
        other.processes.swap(0, 1);
        let life = |life: Life| Life { process: 1 - life.process, ..life };
        for process in &mut other.processes {
            if let Some(work) = &mut process.life {
                work.id = life(work.id);
            }
        }
        for db in std::iter::once(&mut other.db).chain(&mut other.replica) {
            db.holder = db.holder.map(life);
            if let Job::Running(by) = &mut db.job {
                *by = life(*by);
            }
            for worker in db.workers.iter_mut().flatten() {
                worker.life = life(worker.life);
            }
            db.workers.sort_unstable();
        }
        other.server.connection = other.server.connection.map(|process| 1 - process);
        other
    }
}
