//! Leases, epochs, claims, outcomes, received messages and failover: one session, two workers, two lanes, three messages.

pub mod action;
mod faults;
mod messages;
pub mod state;
mod step;
mod told;

use crate::guards::Guards;
use action::{Action, Answer};
use state::{
    CALM, Db, Faults, Hold, Job, LANES, LEASE, Life, Link, Process, Ratchet, Row, Seen, Server, State, Work, WorkerRow,
};
use stateright::{Model, Property, Representative};

/// What may happen, and which guards there are.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The guards.
    pub guards: Guards,
    /// What may happen how often.
    pub faults: Faults,
    /// How many of the three messages there are.
    pub messages: usize,
    /// Somebody sends the session a message.
    pub inbound: bool,
    /// Keys are counted.
    pub ratchets: bool,
    /// `max_attempts`; with 0 attempts are not counted.
    pub attempts: u8,
    /// The promises that are checked.
    pub promises: Vec<Promise>,
}

/// What must hold in every state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promise {
    /// Nobody sends for a session of which the lease is not his, except in the instant in which a frozen process wakes.
    OneSender,
    /// The same without the exception.
    OneSenderAtOnce,
    /// No write of a worker that is not the holder is accepted.
    NoStaleWrite,
    /// A message is shown once.
    ShownOnce,
    /// Messages of a lane are shown in order.
    InOrder,
    /// What the holder has in hand is in `wa.sending.taken`, so nobody cancels it.
    HandIsKnown,
    /// Messages are over soon after the last fault.
    NoneForgotten,
    /// The session is connected soon after the last fault.
    NotIdle,
    /// No key is used twice.
    KeysOnce,
    /// A row counts no attempt that was not begun, and fails only after all of them.
    CountedOnce,
    /// A message that the server does not keep is in the inbox.
    InboxComplete,
    /// A message is in the inbox once.
    InboxOnce,
}

impl Promise {
    /// The name that the checker gives a counterexample.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneSender => "one sender",
            Self::OneSenderAtOnce => "one sender, also in the instant of waking",
            Self::NoStaleWrite => "no stale write is accepted",
            Self::ShownOnce => "each message is shown once",
            Self::InOrder => "the messages of a lane are shown in order",
            Self::HandIsKnown => "what is in hand is known",
            Self::NoneForgotten => "no message is forgotten",
            Self::NotIdle => "no session is idle",
            Self::KeysOnce => "no key is used twice",
            Self::CountedOnce => "each attempt is counted once",
            Self::InboxComplete => "no received message is lost",
            Self::InboxOnce => "each received message is stored once",
        }
    }

    /// Whether it holds in this state.
    fn holds(self, model: &Protocol, state: &State) -> bool {
        let State { db, server, seen, .. } = state;
        match self {
            Self::OneSender => !seen.second_sender,
            Self::OneSenderAtOnce => !seen.second_sender && !seen.sent_while_waking,
            Self::NoStaleWrite => !seen.stale_write,
            Self::ShownOnce => server.shown.iter().all(|times| *times < 2),
            Self::InOrder => !seen.overtaken,
            Self::HandIsKnown => state.processes.iter().filter_map(|it| it.life).all(|life| {
                let known =
                    |(at, of): (usize, &Option<(u8, _)>)| of.is_none_or(|(epoch, _)| epoch != db.epoch) || db.taken[at];
                db.holder != Some(life.id) || life.hand.iter().enumerate().all(known)
            }),
            Self::NoneForgotten => state.calm < CALM || db.all_over() && !server.pending,
            Self::NotIdle => state.calm < CALM || state.is_served(),
            Self::KeysOnce => !seen.key_twice,
            Self::CountedOnce => !seen.counted_twice,
            Self::InboxComplete => !model.inbound || server.pending || db.inbox > 0,
            Self::InboxOnce => db.inbox < 2,
        }
    }

    fn property(self) -> Property<Protocol> {
        macro_rules! property {
            ($($promise:ident),*) => {
                match self {
                    $(Self::$promise => Property::always(self.name(), |model, state| Self::$promise.holds(model, state)),)*
                }
            };
        }
        property!(
            OneSender,
            OneSenderAtOnce,
            NoStaleWrite,
            ShownOnce,
            InOrder,
            HandIsKnown,
            NoneForgotten,
            NotIdle,
            KeysOnce,
            CountedOnce,
            InboxComplete,
            InboxOnce
        )
    }
}

impl Protocol {
    /// Whether a process that is awake has something to do, without which time does not pass.
    fn has_duty(&self, state: &State, who: usize) -> bool {
        let mut actions = vec![];
        self.duties(state, who, &mut actions);
        actions.into_iter().any(|action| self.step(state, action).is_some())
    }

    /// What a process does by itself.
    fn duties(&self, state: &State, who: usize, actions: &mut Vec<Action>) {
        if !state.processes[who].awake() {
            return;
        }
        actions.extend([
            Action::Register(who),
            Action::GiveUp(who),
            Action::Beat(who, Answer::Arrives),
            Action::Expire(who),
            Action::Adopt(who),
            Action::Compare(who),
            Action::ClaimJob(who, Answer::Arrives),
            Action::Connect(who),
            Action::FinishJob(who),
            Action::WriteLost(who),
            Action::Replaced(who),
            Action::Record(who, Answer::Arrives),
        ]);
        if self.messages > 0 {
            actions.push(Action::ReleaseDue(who));
            actions.extend([1, 3].map(|most| Action::Claim(who, most, Answer::Arrives)));
            actions.extend((0..LANES.len()).flat_map(|at| [Action::Send(who, at), Action::Acknowledged(who, at)]));
        }
        if self.ratchets {
            actions.push(Action::Reserve(who));
        }
        if self.inbound {
            actions.extend([
                Action::Deliver(who),
                Action::Store(who, Answer::Arrives),
                Action::AcknowledgeInbound(who),
            ]);
        }
    }

    /// Two workers at work, of which the first holds the session and is connected, and messages that wait.
    fn at_work(&self) -> State {
        let queued = Row::Queued { attempts: 0, retry: None, died: false };
        let life = |process| Life { process, number: 0 };
        let worker = |process| Some(WorkerRow { life: life(process), lease: LEASE, home: 0, hung_up: false });
        let work = |process, hold| Work { hold, ..Work::new(life(process)) };
        let process =
            |life| Process { runs: true, frozen: false, waking: false, cut_off: false, lives: 1, life: Some(life) };
        let mut workers = [worker(0), worker(1), None, None];
        workers.sort_unstable();
        State {
            db: Db {
                holder: Some(life(0)),
                epoch: 1,
                online: true,
                job: Job::None,
                workers,
                messages: std::array::from_fn(|at| if at < self.messages { queued } else { Row::Sent }),
                taken: [false; 3],
                auth: (0, Ratchet { chain: 0, next: 0 }),
                home: 0,
                known_timeline: 0,
                first_epoch: 0,
                timeline: 0,
                free_in: 0,
                inbox: 0,
            },
            replica: None,
            processes: [process(work(0, Some(Hold { epoch: 1, link: Link::Open }))), process(work(1, None))],
            server: Server { connection: Some(0), shown: [0; 3], pending: self.inbound },
            left: self.faults,
            failed_over: false,
            calm: 0,
            seen: Seen::default(),
        }
    }

    /// What others do to it.
    fn others(&self, who: usize, actions: &mut Vec<Action>) {
        actions.extend([
            Action::Crash(who),
            Action::Restart(who),
            Action::Freeze(who),
            Action::Thaw(who),
            Action::CutOff(who),
            Action::Mend(who),
            Action::LoseConnection(who),
            Action::HandOver(who),
            Action::HangUp(who),
            Action::Beat(who, Answer::Lost),
            Action::ClaimJob(who, Answer::Lost),
            Action::Record(who, Answer::Lost),
            Action::Store(who, Answer::Lost),
        ]);
        if self.messages > 0 {
            actions.extend([1, 3].map(|most| Action::Claim(who, most, Answer::Lost)));
            actions.extend((0..LANES.len()).map(|at| Action::SendInVain(who, at)));
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.at_work()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in 0..2 {
            self.duties(state, who, actions);
            self.others(who, actions);
        }
        actions.extend([Action::FallBehind, Action::FailOver, Action::Tick]);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action)
    }

    /// Without some guards workers begin lives without end.
    fn within_boundary(&self, state: &State) -> bool {
        state.processes.iter().all(|process| process.lives < 8)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.promises.iter().map(|promise| promise.property()).collect()
    }
}

impl Representative for State {
    /// The workers are alike, so a state and the one with the workers the other way round are the same.
    fn representative(&self) -> Self {
        let swapped = self.swapped();
        if swapped < *self { swapped } else { *self }
    }
}
