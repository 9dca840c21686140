//! The doorbell: how a worker sleeps and misses no message (`src/jobs/claim.rs`, `sql/schema/12_doorbell.sql`).
//!
//! Two workers, one session that moves between them, and three transactions that insert a message each. A transaction of
//! which the worker cannot know commits at any moment after its INSERT.

use crate::check::Told;
use stateright::{Model, Property, Representative};
use std::fmt;

/// Ticks between two looks of a worker that sleeps.
const POLL: u8 = 3;
/// In how many ticks a message is claimed without the poll: a worker that waits for transactions looks once in each.
const PROMPT: u8 = 1;

/// A rule of the doorbell that can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bell {
    /// A worker that sleeps looks at an interval (`Dispatcher::sleep`).
    Poll,
    /// An INSERT notifies the holder, if it is parked (`wa.wake`).
    Ring,
    /// A worker that has parked looks until the transactions that ran at that moment have ended (`Dispatcher::sleep`).
    LookUntilEnded,
    /// It asks which of them run before it looks, not after.
    AskBeforeLook,
    /// A listener that has connected again looks everywhere (`listen` in `src/db/listener.rs`).
    LookAfterReconnect,
    /// A worker looks when a session has connected (`Bells::connected`).
    LookWhenConnected,
}

impl Bell {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Poll,
        Self::Ring,
        Self::LookUntilEnded,
        Self::AskBeforeLook,
        Self::LookAfterReconnect,
        Self::LookWhenConnected,
    ];
}

/// What is checked.
#[derive(Debug, Clone)]
pub struct Doorbell {
    /// The rule that is taken out.
    pub without: Option<Bell>,
    /// How often a listener loses its connection.
    pub lost_listeners: u8,
    /// How often the session moves.
    pub moves: u8,
    /// Transactions may have a snapshot that is older than their INSERT (REPEATABLE READ): what they see of `parked` is old.
    pub old_snapshots: bool,
    /// Each message is claimed promptly; else within the poll.
    pub promptly: bool,
}

/// A transaction that inserts one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Insert {
    /// It has not inserted. With an old snapshot: which workers it sees parked.
    Before(Option<[bool; 2]>),
    /// The row is written, so the transaction has a number; the trigger has not looked.
    Written(Option<[bool; 2]>),
    /// The trigger has looked: it rings for this worker at the commit.
    Rings(Option<usize>),
    /// It has committed, and nobody has claimed the message for so many ticks.
    Waits(u8),
    /// The message is claimed.
    Claimed,
}

/// Where a dispatcher is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    /// It looks for work and does not sleep.
    Awake,
    /// It found nothing.
    Idle,
    /// Parked; it asks which transactions run. The first answer says which it waits for.
    Asks(Option<[bool; 3]>),
    /// It looks. All those that it waits for had ended when it asked.
    Looks([bool; 3], bool),
    /// It waits a moment.
    Pauses([bool; 3], bool),
    /// It sleeps, for so many ticks.
    Sleeps(u8),
    /// It wakes, and says so.
    Wakes,
}

/// A state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    holder: usize,
    inserts: [Insert; 3],
    at: [At; 2],
    /// `wa.worker.parked`.
    parked: [bool; 2],
    /// A notification of messages has arrived.
    rung: [bool; 2],
    /// Something else has rung, which wakes.
    woken: [bool; 2],
    listens: [bool; 2],
    lost_listeners: u8,
    moves: u8,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// An application's transaction takes its snapshot.
    Snapshot(usize),
    /// It inserts.
    Insert(usize),
    /// The trigger looks whether the holder is parked.
    Check(usize),
    /// It commits.
    Commit(usize),
    /// A dispatcher continues.
    Go(usize),
    /// A notification of messages is handled: the worker looks and stays where it is.
    Answer(usize),
    /// A bell wakes a dispatcher.
    Wake(usize),
    /// A listener loses its connection.
    Lose(usize),
    /// A listener connects again.
    Listen(usize),
    /// The session moves to the other worker, which connects it.
    Move,
    /// A tick.
    Tick,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = crate::protocol::action::name;
        match *self {
            Self::Snapshot(at) => write!(f, "transaction {} takes its snapshot", at + 1),
            Self::Insert(at) => write!(f, "transaction {} inserts", at + 1),
            Self::Check(at) => write!(f, "the trigger of transaction {} looks who is parked", at + 1),
            Self::Commit(at) => write!(f, "transaction {} commits", at + 1),
            Self::Go(who) => write!(f, "worker {} continues", name(who)),
            Self::Answer(who) => write!(f, "worker {} receives the notification and claims", name(who)),
            Self::Wake(who) => write!(f, "worker {} is woken", name(who)),
            Self::Lose(who) => write!(f, "worker {} does not listen any more", name(who)),
            Self::Listen(who) => write!(f, "worker {} listens again", name(who)),
            Self::Move => write!(f, "the session moves to the other worker"),
            Self::Tick => write!(f, "time passes"),
        }
    }
}

impl Told for State {
    fn told(&self) -> String {
        let name = crate::protocol::action::name;
        let insert = |insert: &Insert| match insert {
            Insert::Before(None) => "none".to_owned(),
            Insert::Before(Some(_)) => "has a snapshot".to_owned(),
            Insert::Written(_) => "inserts".to_owned(),
            Insert::Rings(None) => "rings for nobody".to_owned(),
            Insert::Rings(Some(who)) => format!("rings for {}", name(*who)),
            Insert::Waits(ticks) => format!("waits since {ticks}"),
            Insert::Claimed => "claimed".to_owned(),
        };
        let worker = |who: usize| {
            let place = match self.at[who] {
                At::Awake => "awake".to_owned(),
                At::Idle => "found nothing".to_owned(),
                At::Asks(_) => "asks what runs".to_owned(),
                At::Looks(..) => "looks".to_owned(),
                At::Pauses(..) => "waits for transactions".to_owned(),
                At::Sleeps(ticks) => format!("sleeps for {ticks}"),
                At::Wakes => "wakes".to_owned(),
            };
            let parked = if self.parked[who] { ", parked" } else { "" };
            let deaf = if self.listens[who] { "" } else { ", deaf" };
            format!("{}: {place}{parked}{deaf}", name(who))
        };
        let inserts: Vec<String> = self.inserts.iter().map(insert).collect();
        format!("holder: {}; messages: {} | {} | {}", name(self.holder), inserts.join(", "), worker(0), worker(1))
    }
}

impl Doorbell {
    fn has(&self, bell: Bell) -> bool {
        self.without != Some(bell)
    }

    /// Claims what is committed, if this worker holds the session. Whether there was something.
    fn claim(state: &mut State, who: usize) -> bool {
        let mut found = false;
        for insert in state.inserts.iter_mut().filter(|_| state.holder == who) {
            if matches!(insert, Insert::Waits(_)) {
                (*insert, found) = (Insert::Claimed, true);
            }
        }
        found
    }

    /// The transactions that have a number and have not ended.
    fn running(state: &State) -> [bool; 3] {
        state.inserts.map(|insert| matches!(insert, Insert::Written(_) | Insert::Rings(_)))
    }

    fn go(&self, state: &mut State, who: usize) -> Option<()> {
        let asleep = At::Sleeps(POLL);
        state.at[who] = match state.at[who] {
            At::Awake => {
                let found = Self::claim(state, who);
                if found { At::Awake } else { At::Idle }
            }
            At::Idle => {
                state.parked[who] = true;
                if !self.has(Bell::LookUntilEnded) {
                    At::Looks([false; 3], true)
                } else if self.has(Bell::AskBeforeLook) {
                    At::Asks(None)
                } else {
                    At::Looks([true; 3], false)
                }
            }
            At::Asks(waits_for) => {
                let running = Self::running(state);
                let waits_for = waits_for.unwrap_or(running);
                let ended = !(0..3).any(|at| waits_for[at] && running[at]);
                if self.has(Bell::AskBeforeLook) {
                    At::Looks(waits_for, ended)
                } else if ended {
                    asleep
                } else {
                    At::Pauses(waits_for, false)
                }
            }
            At::Looks(waits_for, ended) => {
                if Self::claim(state, who) {
                    At::Wakes
                } else if ended {
                    asleep
                } else if self.has(Bell::AskBeforeLook) {
                    At::Pauses(waits_for, false)
                } else {
                    At::Asks((waits_for != [true; 3]).then_some(waits_for))
                }
            }
            At::Pauses(waits_for, true) if self.has(Bell::AskBeforeLook) => At::Asks(Some(waits_for)),
            At::Pauses(waits_for, true) => At::Looks(waits_for, false),
            At::Sleeps(0) => {
                if Self::claim(state, who) {
                    At::Wakes
                } else {
                    asleep
                }
            }
            At::Wakes => {
                state.parked[who] = false;
                At::Awake
            }
            At::Pauses(_, false) | At::Sleeps(_) => return None,
        };
        Some(())
    }

    /// What a worker does without waiting.
    fn duties(who: usize) -> [Step; 4] {
        [Step::Go(who), Step::Answer(who), Step::Wake(who), Step::Listen(who)]
    }

    fn insert(&self, state: &mut State, step: Step) -> Option<()> {
        let (Step::Snapshot(at) | Step::Insert(at) | Step::Check(at) | Step::Commit(at)) = step else { return None };
        let parked = state.parked;
        let insert = &mut state.inserts[at];
        *insert = match (step, *insert) {
            (Step::Snapshot(_), Insert::Before(None)) if self.old_snapshots => Insert::Before(Some(parked)),
            (Step::Insert(_), Insert::Before(seen)) => Insert::Written(seen),
            (Step::Check(_), Insert::Written(seen)) => {
                let rings = seen.unwrap_or(parked)[state.holder] && self.has(Bell::Ring);
                Insert::Rings(rings.then_some(state.holder))
            }
            (Step::Commit(_), Insert::Rings(who)) => {
                if let Some(who) = who.filter(|who| state.listens[*who]) {
                    state.rung[who] = true;
                }
                Insert::Waits(0)
            }
            _ => return None,
        };
        Some(())
    }

    fn tick(&self, state: &mut State) -> Option<()> {
        let busy = |who| Self::duties(who).into_iter().any(|step| self.next_state(state, step).is_some());
        (!busy(0) && !busy(1)).then_some(())?;
        for insert in &mut state.inserts {
            if let Insert::Waits(ticks) = insert {
                *ticks = (*ticks + 1).min(POLL + 1);
            }
        }
        for at in &mut state.at {
            match at {
                At::Sleeps(left) if self.has(Bell::Poll) => *left = left.saturating_sub(1),
                At::Pauses(_, over) => *over = true,
                _ => {}
            }
        }
        Some(())
    }
}

impl Model for Doorbell {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            holder: 0,
            inserts: [Insert::Before(None); 3],
            at: [At::Awake; 2],
            parked: [false; 2],
            rung: [false; 2],
            woken: [false; 2],
            listens: [true; 2],
            lost_listeners: self.lost_listeners,
            moves: self.moves,
        }]
    }

    fn actions(&self, _: &State, steps: &mut Vec<Step>) {
        for who in 0..2 {
            steps.extend(Self::duties(who));
            steps.push(Step::Lose(who));
        }
        for at in 0..3 {
            steps.extend([Step::Snapshot(at), Step::Insert(at), Step::Check(at), Step::Commit(at)]);
        }
        steps.extend([Step::Move, Step::Tick]);
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = *before;
        match step {
            Step::Go(who) => self.go(&mut state, who)?,
            Step::Answer(who) => {
                std::mem::take(&mut state.rung[who]).then_some(())?;
                Self::claim(&mut state, who);
            }
            Step::Wake(who) => {
                let sleeps = matches!(state.at[who], At::Pauses(..) | At::Sleeps(_) | At::Idle);
                (sleeps && std::mem::take(&mut state.woken[who])).then_some(())?;
                state.at[who] = if state.parked[who] { At::Wakes } else { At::Awake };
            }
            Step::Lose(who) => {
                state.lost_listeners = state.lost_listeners.checked_sub(1)?;
                std::mem::take(&mut state.listens[who]).then_some(())?;
            }
            Step::Listen(who) => {
                (!std::mem::replace(&mut state.listens[who], true)).then_some(())?;
                state.woken[who] |= self.has(Bell::LookAfterReconnect);
            }
            Step::Move => {
                state.moves = state.moves.checked_sub(1)?;
                state.holder = 1 - state.holder;
                state.woken[state.holder] |= self.has(Bell::LookWhenConnected);
            }
            Step::Tick => self.tick(&mut state)?,
            step => self.insert(&mut state, step)?,
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn within(state: &State, most: u8) -> bool {
            state.inserts.iter().all(|insert| !matches!(insert, Insert::Waits(ticks) if *ticks > most))
        }
        vec![if self.promptly {
            Property::always("each message is claimed promptly", |_, state| within(state, PROMPT))
        } else {
            Property::always("no message waits longer than the poll", |_, state| within(state, POLL))
        }]
    }
}

impl Representative for State {
    /// The transactions are alike.
    fn representative(&self) -> Self {
        let rank = |at: usize| {
            let waits = self.at.map(|worker| match worker {
                At::Asks(Some(of)) | At::Looks(of, _) | At::Pauses(of, _) => of[at],
                _ => false,
            });
            (self.inserts[at], waits)
        };
        let mut order = [0, 1, 2];
        order.sort_by_key(|at| rank(*at));
        let sorted = |of: [bool; 3]| order.map(|at| of[at]);
        let at = self.at.map(|worker| match worker {
            At::Asks(of) => At::Asks(of.map(sorted)),
            At::Looks(of, ended) => At::Looks(sorted(of), ended),
            At::Pauses(of, over) => At::Pauses(sorted(of), over),
            other => other,
        });
        Self { inserts: order.map(|at| self.inserts[at]), at, ..*self }
    }
}

/// The doorbell as it is, with as many lost listeners and moves of the session.
#[must_use]
pub const fn built(lost_listeners: u8, moves: u8) -> Doorbell {
    Doorbell { without: None, lost_listeners, moves, old_snapshots: false, promptly: true }
}

/// The same with transactions whose snapshot is older than their INSERT: their wake-up may be lost, and the poll finds
/// the message.
#[must_use]
pub const fn with_old_snapshots(lost_listeners: u8, moves: u8) -> Doorbell {
    Doorbell { old_snapshots: true, promptly: false, ..built(lost_listeners, moves) }
}

/// The doorbell without a rule, which breaks the promise.
#[must_use]
pub fn without(bell: Bell) -> Doorbell {
    let model = match bell {
        Bell::Poll => with_old_snapshots(0, 0),
        Bell::LookAfterReconnect => built(1, 0),
        Bell::LookWhenConnected => built(0, 1),
        Bell::Ring | Bell::LookUntilEnded | Bell::AskBeforeLook => built(0, 0),
    };
    Doorbell { without: Some(bell), ..model }
}
