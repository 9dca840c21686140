//! What each action does. It returns the next state, or nothing where the action is not possible.

#![expect(clippy::similar_names, reason = "state and stage, hold and held are the words of the protocol")]

use super::action::{Action, Answer, Who};
use super::state::{
    Db, Faults, GIVE_UP, HandJob, Hold, Inbound, Job, LEASE, Life, Link, Process, Ratchet, Row, Stage, State, TAKEN,
    Work, WorkerRow,
};
use super::{Protocol, state};
use crate::guards::Guard;

/// Takes one from the faults that may still happen.
pub(super) fn spend(state: &mut State, kind: fn(&mut Faults) -> &mut u8) -> Option<()> {
    let left = &mut state.left;
    let (all, of_kind) = (left.all.checked_sub(1)?, kind(left).checked_sub(1)?);
    left.all = all;
    *kind(left) = of_kind;
    state.calm = 0;
    Some(())
}

impl Process {
    /// The life of a process that does something now.
    pub(super) fn at_work(&self) -> Option<Work> {
        self.life.filter(|_| self.awake())
    }

    /// The same for a statement.
    pub(super) fn at_database(&self) -> Option<Work> {
        self.at_work().filter(|_| !self.cut_off)
    }
}

impl Work {
    /// The hold, if its connection is open.
    pub(super) fn open(&self) -> Option<Hold> {
        self.hold.filter(|hold| hold.link == Link::Open)
    }

    /// Whether the last heartbeat is so young that nobody else can have the session.
    pub(super) const fn is_fresh(&self) -> bool {
        self.give_up > GIVE_UP - TAKEN
    }

    /// The connection is over: attempts on it failed, and those that had not begun go back.
    pub(super) fn end_connection(&mut self) {
        if let Some(hold) = &mut self.hold {
            hold.link = Link::Over;
        }
        for (_, stage) in self.hand.iter_mut().flatten() {
            *stage = match *stage {
                Stage::OnWire => Stage::Retry,
                Stage::Waiting => Stage::Release,
                other => other,
            };
        }
        self.inbound = Inbound::None;
    }

    /// The hold is lost: its socket is cut, and nothing of it is in hand.
    pub(super) fn lose_hold(&mut self) {
        self.hold = None;
        self.hand = [None; 3];
        self.inbound = Inbound::None;
    }
}

impl Protocol {
    pub(super) fn step(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::Register(who) => self.register(&mut state, who)?,
            Action::Beat(who, answer) => self.beat(&mut state, who, answer)?,
            Action::Expire(who) => self.expire(&mut state, who)?,
            Action::Adopt(who) => self.adopt(&mut state, who)?,
            Action::Compare(who) => self.compare(&mut state, who)?,
            Action::GiveUp(who) => {
                let work = state.processes[who].at_work()?;
                (work.give_up == 0 && self.guards.has(Guard::StopBeforeExpiry)).then(|| end_life(&mut state, who))?;
            }
            Action::ClaimJob(who, answer) => self.claim_job(&mut state, who, answer)?,
            Action::Connect(who) => self.connect(&mut state, who)?,
            Action::FinishJob(who) => finish_job(&mut state, who)?,
            Action::WriteLost(who) => write_lost(&mut state, who)?,
            Action::Replaced(who) => {
                let mut work = state.processes[who].at_work()?;
                work.open()?;
                (state.server.connection != Some(index(who))).then_some(())?;
                work.end_connection();
                state.processes[who].life = Some(work);
            }
            Action::ReleaseDue(who) => release_due(&mut state, who)?,
            Action::Claim(who, most, answer) => self.claim(&mut state, who, most, answer)?,
            Action::Reserve(who) => self.reserve(&mut state, who)?,
            Action::Send(who, at) => self.send(&mut state, who, at, true)?,
            Action::SendInVain(who, at) => {
                spend(&mut state, |left| &mut left.connections)?;
                self.send(&mut state, who, at, false)?;
                let mut work = state.processes[who].life?;
                work.end_connection();
                state.processes[who].life = Some(work);
                drop_socket(&mut state.server, who);
            }
            Action::Acknowledged(who, at) => {
                let work = state.processes[who].life.as_mut().filter(|_| before.processes[who].awake())?;
                let (_, stage) = work.hand[at].as_mut()?;
                (*stage == Stage::OnWire && before.server.connection == Some(index(who))).then_some(())?;
                *stage = Stage::Acknowledged;
            }
            Action::Record(who, answer) => self.record(&mut state, who, answer)?,
            Action::Deliver(who) => {
                let mut work = state.processes[who].at_work()?;
                work.open()?;
                (state.server.pending && state.server.connection == Some(index(who)) && work.inbound == Inbound::None)
                    .then_some(())?;
                work.inbound = Inbound::Received;
                state.processes[who].life = Some(work);
            }
            Action::Store(who, answer) => self.store(&mut state, who, answer)?,
            Action::AcknowledgeInbound(who) => {
                let mut work = state.processes[who].at_work()?;
                let hasty = work.inbound == Inbound::Received && !self.guards.has(Guard::AcknowledgeAfterCommit);
                (hasty || work.inbound == Inbound::Stored).then_some(())?;
                (state.server.connection == Some(index(who))).then_some(())?;
                state.server.pending = false;
                work.inbound = if hasty { Inbound::Hasty } else { Inbound::None };
                state.processes[who].life = Some(work);
            }
            Action::Tick => self.tick(&mut state)?,
            other => self.fault(&mut state, other)?,
        }
        (state != *before).then_some(state)
    }

    fn register(&self, state: &mut State, who: Who) -> Option<()> {
        let process = &mut state.processes[who];
        (process.awake() && !process.cut_off && process.life.is_none()).then_some(())?;
        let id = Life { process: index(who), number: process.lives };
        process.lives += 1;
        let db = &mut state.db;
        if self.guards.has(Guard::HeartbeatNoticesFailover) && db.timeline != db.known_timeline {
            db.move_home(self.guards.has(Guard::EpochsAfterFailover), self.guards.has(Guard::WaitAfterFailover));
        }
        *db.workers.iter_mut().find(|row| row.is_none())? =
            Some(WorkerRow { life: id, lease: LEASE, home: db.home, hung_up: false });
        db.workers.sort_unstable();
        process.life = Some(Work::new(id));
        Some(())
    }

    fn beat(&self, state: &mut State, who: Who, answer: Answer) -> Option<()> {
        let mut work = state.processes[who].at_database().filter(|work| work.beat)?;
        if answer == Answer::Lost {
            spend(state, |left| &mut left.answers)?;
        }
        let home = state.db.home;
        let moved = self.guards.has(Guard::HeartbeatNoticesFailover)
            && (state.db.timeline != state.db.known_timeline
                || state.db.worker(work.id).is_some_and(|row| row.home != home));
        (work.beat, work.reconcile) = (false, 3);
        match state.db.worker(work.id).filter(|row| row.lease > 0 && !moved) {
            Some(row) => (row.lease, row.hung_up) = (LEASE, false),
            // Nobody hears that the lease is lost: the next heartbeat does.
            None if answer == Answer::Lost => {}
            None => {
                end_life(state, who);
                return Some(());
            }
        }
        if answer == Answer::Arrives {
            work.give_up = GIVE_UP;
        }
        state.processes[who].life = Some(work);
        self.pass_over(state, who);
        Some(())
    }

    /// Passes over the statements of the reconciler that would change nothing now: apart they would only be more states.
    fn pass_over(&self, state: &mut State, who: Who) {
        while let Some(left) = state.processes[who].life.map(|work| work.reconcile).filter(|left| *left > 0) {
            let mut after = *state;
            let done = match left {
                3 => self.expire_now(&mut after, who),
                2 => self.adopt_now(&mut after, who),
                _ => self.compare_now(&mut after, who),
            };
            let mut only_passed = *state;
            if let Some(work) = &mut only_passed.processes[who].life {
                work.reconcile = left - 1;
            }
            if done.is_none() || after != only_passed {
                return;
            }
            *state = after;
        }
    }

    fn expire(&self, state: &mut State, who: Who) -> Option<()> {
        self.expire_now(state, who)?;
        self.pass_over(state, who);
        Some(())
    }

    fn expire_now(&self, state: &mut State, who: Who) -> Option<()> {
        let mut work = state.processes[who].at_database().filter(|work| work.reconcile == 3)?;
        work.reconcile = 2;
        let db = &mut state.db;
        let is_dead = |row: &WorkerRow, db: &Db| {
            row.lease == 0
                || row.home != db.home
                || row.hung_up && row.lease <= LEASE - TAKEN
                || row.life != work.id && !self.guards.has(Guard::ExpireBeforeTakeover)
        };
        for at in 0..db.workers.len() {
            let Some(row) = db.workers[at].filter(|row| is_dead(row, db)) else { continue };
            if db.holder == Some(row.life) {
                let died = db.free(self.attempts);
                self.died_with(&mut state.seen.attempts, died);
                db.online = false;
            }
            db.workers[at] = None;
        }
        db.workers.sort_unstable();
        if db.holder.is_none() {
            db.online = false;
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    fn adopt(&self, state: &mut State, who: Who) -> Option<()> {
        self.adopt_now(state, who)?;
        self.pass_over(state, who);
        Some(())
    }

    fn adopt_now(&self, state: &mut State, who: Who) -> Option<()> {
        let mut work = state.processes[who].at_database().filter(|work| work.reconcile == 2)?;
        work.reconcile = 1;
        let db = &mut state.db;
        if db.holder.is_none()
            && !db.online
            && self.may_take(db)
            && self.guards.has(Guard::Adopt)
            && db.worker(work.id).is_some()
        {
            db.take(work.id, self.guards.has(Guard::EpochGrows));
            state.failed_over = false;
            if !matches!(db.job, Job::Running(by) if db.lives(by)) {
                db.job = Job::Queued;
            }
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    fn compare(&self, state: &mut State, who: Who) -> Option<()> {
        self.compare_now(state, who)?;
        self.pass_over(state, who);
        Some(())
    }

    fn compare_now(&self, state: &mut State, who: Who) -> Option<()> {
        let mut work = state.processes[who].at_database().filter(|work| work.reconcile == 1)?;
        work.reconcile = 0;
        let db = &mut state.db;
        if self.guards.has(Guard::Comparison) {
            if db.job == Job::Running(work.id) && work.job.is_none() {
                db.job = Job::Queued;
            }
            let mine = db.holder == Some(work.id);
            let connected = work.hold.is_some_and(|hold| hold.link != Link::None && hold.epoch == db.epoch);
            let idle = mine && !connected && work.job.is_none() && db.job == Job::None;
            if idle && work.idle {
                (db.job, db.online) = (Job::Queued, false);
            }
            let gone = !mine && work.hold.is_some();
            if gone && work.gone {
                work.lose_hold();
                drop_socket(&mut state.server, who);
            }
            (work.idle, work.gone) = (idle, gone);
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    fn claim_job(&self, state: &mut State, who: Who, answer: Answer) -> Option<()> {
        let mut work = state.processes[who].at_database().filter(|work| work.job.is_none())?;
        let db = &state.db;
        let free = match db.job {
            Job::None => false,
            Job::Queued => true,
            Job::Running(by) => !db.lives(by),
        };
        (free && !self.waits_for_notice(db)).then_some(())?;
        (db.holder == Some(work.id) || db.holder.is_none() && !db.online && self.may_take(db)).then_some(())?;
        if answer == Answer::Lost {
            spend(state, |left| &mut left.answers)?;
        }
        let db = &mut state.db;
        if db.holder.is_none() {
            let registered = db.worker(work.id).is_some() || !self.guards.has(Guard::HolderIsRegistered);
            registered.then(|| db.take(work.id, self.guards.has(Guard::EpochGrows)))?;
            state.failed_over = false;
        }
        db.job = Job::Running(work.id);
        if answer == Answer::Arrives {
            work.job = Some(HandJob { epoch: db.epoch, done: None });
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    /// Whether a free lease may be taken: not before those who may still send for the session have stopped.
    fn may_take(&self, db: &Db) -> bool {
        !self.waits_for_notice(db) && db.free_in == 0
    }

    /// Whether nothing new may begin, because the database has failed over and no heartbeat has noticed it.
    fn waits_for_notice(&self, db: &Db) -> bool {
        self.guards.has(Guard::NothingNewAfterFailover) && db.timeline != db.known_timeline
    }

    fn connect(&self, state: &mut State, who: Who) -> Option<()> {
        let mut work = state.processes[who].at_database()?;
        let mut job = work.job.filter(|job| job.done.is_none())?;
        let db = &mut state.db;
        if self.waits_for_notice(db) {
            return None;
        }
        if work.hold.is_some_and(|hold| hold.epoch != job.epoch) {
            work.hold = None;
        }
        let connected = work.open().is_some();
        let held = db.holder.is_some() && db.epoch == job.epoch;
        job.done = Some(connected || held);
        work.job = Some(job);
        if !connected && held {
            if self.guards.has(Guard::RenewRatchets) && db.auth.0 != db.home {
                db.auth = (db.home, Ratchet { chain: db.auth.1.chain + 1 + 2 * u8::from(db.home > 1), next: 0 });
            }
            work.ratchet = (db.auth.1, db.auth.1.next);
            db.online = true;
            work.hold = Some(Hold { epoch: job.epoch, link: Link::Open });
            state.server.connection = Some(index(who));
        } else if !held {
            work.lose_hold();
            drop_socket(&mut state.server, who);
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    /// Time passes for all once everybody who can do something has done it: a process that does not is frozen.
    fn tick(&self, state: &mut State) -> Option<()> {
        (0..2).all(|who| !self.has_duty(state, who)).then_some(())?;
        let well = state.is_well();
        state.db.tick();
        if let Some(replica) = &mut state.replica {
            replica.tick();
        }
        for process in &mut state.processes {
            process.waking = false;
            if let Some(work) = &mut process.life {
                work.give_up = work.give_up.saturating_sub(1);
                work.beat = true;
            }
        }
        state.failed_over = false;
        let able = state.processes.iter().any(|process| process.awake() && !process.cut_off);
        state.calm = if well || !able { 0 } else { (state.calm + 1).min(state::CALM) };
        Some(())
    }
}

impl Work {
    pub(super) fn new(id: Life) -> Self {
        Self {
            id,
            give_up: GIVE_UP,
            beat: true,
            reconcile: 0,
            hold: None,
            job: None,
            hand: [None; 3],
            idle: false,
            gone: false,
            inbound: Inbound::None,
            ratchet: (Ratchet { chain: 0, next: 0 }, 0),
        }
    }
}

/// A place in an array as the state keeps it.
pub(super) fn index(who: Who) -> u8 {
    u8::from(who == 1)
}

/// The server notices that a process has closed its socket.
pub(super) fn drop_socket(server: &mut state::Server, who: Who) {
    server.connection = server.connection.filter(|of| *of != index(who));
}

/// The life of a process ends: its sockets are closed and its memory is gone. The rows stay.
pub(super) fn end_life(state: &mut State, who: Who) {
    state.processes[who].life = None;
    drop_socket(&mut state.server, who);
}

fn finish_job(state: &mut State, who: Who) -> Option<()> {
    let mut work = state.processes[who].at_database()?;
    let done = work.job?.done?;
    work.job = None;
    if state.db.job == Job::Running(work.id) {
        state.db.job = if done { Job::None } else { Job::Queued };
    }
    state.processes[who].life = Some(work);
    Some(())
}

fn write_lost(state: &mut State, who: Who) -> Option<()> {
    let mut work = state.processes[who].at_database()?;
    let hold = work.hold.filter(|hold| hold.link == Link::Over)?;
    if state.db.holder.is_some() && state.db.epoch == hold.epoch {
        state.db.online = false;
        if state.db.job == Job::None {
            state.db.job = Job::Queued;
        }
        work.hold = Some(Hold { link: Link::None, ..hold });
    } else {
        work.lose_hold();
    }
    state.processes[who].life = Some(work);
    Some(())
}

fn release_due(state: &mut State, who: Who) -> Option<()> {
    state.processes[who].at_database()?.open()?;
    for row in &mut state.db.messages {
        if let Row::Queued { retry: retry @ Some(0), .. } = row {
            *retry = None;
        }
    }
    Some(())
}
