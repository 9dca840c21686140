//! What is checked: the models of the product, of which all promises must hold, and one model without each guard, which must
//! break the promise that the guard keeps.

use crate::guards::{Guard, Guards};
use crate::protocol::state::Faults;
use crate::protocol::{Promise, Protocol};

/// What holds whatever happens to workers, as long as Postgres keeps what it has committed.
const ALWAYS: [Promise; 7] = [
    Promise::OneSenderAtOnce,
    Promise::NoStaleWrite,
    Promise::ShownOnce,
    Promise::InOrder,
    Promise::HandIsKnown,
    Promise::NoneForgotten,
    Promise::NotIdle,
];

const NONE: Faults = Faults {
    all: 0,
    crashes: 0,
    restarts: 0,
    freezes: 0,
    cuts: 0,
    answers: 0,
    connections: 0,
    hand_overs: 0,
    hang_ups: 0,
    failovers: 0,
};

/// Any faults but a failover, so many in all.
const fn any(all: u8) -> Faults {
    Faults {
        all,
        crashes: all,
        restarts: all,
        freezes: all,
        cuts: all,
        answers: all,
        connections: all,
        hand_overs: all,
        hang_ups: all,
        failovers: 0,
    }
}

/// Three messages to send, with as many faults.
#[must_use]
pub fn sending(faults: u8) -> Protocol {
    Protocol {
        guards: Guards::all(),
        faults: any(faults),
        messages: 3,
        inbound: false,
        ratchets: false,
        attempts: 0,
        promises: ALWAYS.to_vec(),
    }
}

/// One message to send.
fn message() -> Protocol {
    Protocol { messages: 1, ..sending(0) }
}

/// Two faults at once, of those that change who holds the session.
#[must_use]
pub fn two_workers_fail() -> Protocol {
    let faults = Faults { all: 2, crashes: 1, restarts: 1, freezes: 1, cuts: 1, hang_ups: 1, connections: 1, ..NONE };
    Protocol { faults, messages: 2, ..sending(0) }
}

/// A message to receive, with as many faults.
#[must_use]
pub fn receiving(faults: u8) -> Protocol {
    let promises = vec![
        Promise::NoStaleWrite,
        Promise::NoneForgotten,
        Promise::NotIdle,
        Promise::InboxComplete,
        Promise::InboxOnce,
    ];
    Protocol { messages: 0, inbound: true, promises, ..sending(faults) }
}

/// Keys of a ratchet for two messages, with as many faults.
#[must_use]
pub fn keys(faults: u8) -> Protocol {
    let promises =
        vec![Promise::KeysOnce, Promise::ShownOnce, Promise::InOrder, Promise::NoneForgotten, Promise::NotIdle];
    Protocol { messages: 2, ratchets: true, promises, ..sending(faults) }
}

/// Attempts of a message that may have two.
#[must_use]
pub fn counting() -> Protocol {
    let faults = Faults { all: 2, answers: 1, connections: 1, crashes: 2, ..NONE };
    Protocol { faults, messages: 1, attempts: 3, promises: vec![Promise::CountedOnce], ..sending(0) }
}

/// A failover that loses the newest commits. What of the other promises it leaves out is lost with those commits: a claim, or the right
/// of a worker that was the holder.
#[must_use]
pub fn failover(others: Faults) -> Protocol {
    let faults = Faults { all: others.all + 1, failovers: 1, ..others };
    Protocol { faults, ..keys(0) }
}

/// A failover alone.
#[must_use]
pub fn failover_alone() -> Protocol {
    failover(NONE)
}

/// The same with one message and without keys.
fn failover_of_a_message() -> Protocol {
    Protocol { messages: 1, ratchets: false, ..failover_alone() }
}

/// A failover, and a worker that is killed.
#[must_use]
pub fn failover_and_crash() -> Protocol {
    failover(Faults { all: 1, crashes: 1, ..NONE })
}

/// A failover with another fault and one message.
#[must_use]
pub fn failover_and_fault() -> Protocol {
    let others = Faults { all: 1, crashes: 1, cuts: 1, freezes: 1, hang_ups: 1, connections: 1, ..NONE };
    Protocol { messages: 1, ..failover(others) }
}

/// A model that breaks a promise, because a guard is missing.
#[must_use]
pub fn without(guard: Guard) -> Protocol {
    let (model, faults, promise) = match guard {
        Guard::StopBeforeExpiry => (sending(0), Faults { all: 1, cuts: 1, ..NONE }, Promise::OneSender),
        Guard::ExpireBeforeTakeover => (sending(0), NONE, Promise::OneSender),
        Guard::EpochGrows | Guard::EpochOnOutcome => {
            (sending(0), Faults { all: 1, freezes: 1, ..NONE }, Promise::NoStaleWrite)
        }
        Guard::EpochOnClaim => (sending(0), Faults { all: 1, freezes: 1, ..NONE }, Promise::HandIsKnown),
        Guard::EpochOnInbox => (receiving(0), Faults { all: 1, freezes: 1, ..NONE }, Promise::NoStaleWrite),
        Guard::EpochsAfterFailover => {
            let faults = Faults { all: 3, hand_overs: 1, cuts: 1, failovers: 1, ..NONE };
            (failover_of_a_message(), faults, Promise::NoStaleWrite)
        }
        Guard::SameId => (sending(0), Faults { all: 1, crashes: 1, ..NONE }, Promise::ShownOnce),
        Guard::OneUnderWay | Guard::RetryHoldsLane => {
            (sending(0), Faults { all: 1, connections: 1, ..NONE }, Promise::InOrder)
        }
        Guard::ClaimKeepsHand => (sending(0), NONE, Promise::HandIsKnown),
        Guard::Comparison => (message(), Faults { all: 2, answers: 1, connections: 1, ..NONE }, Promise::NotIdle),
        Guard::AcknowledgeAfterCommit => (receiving(0), Faults { all: 1, crashes: 1, ..NONE }, Promise::InboxComplete),
        Guard::StoreOnce => (receiving(0), Faults { all: 1, answers: 1, ..NONE }, Promise::InboxOnce),
        Guard::ReserveKeys => (keys(0), Faults { all: 1, crashes: 1, ..NONE }, Promise::KeysOnce),
        // Then nothing new begins ever.
        Guard::HeartbeatNoticesFailover => {
            (failover_alone(), Faults { all: 2, crashes: 1, failovers: 1, ..NONE }, Promise::NotIdle)
        }
        Guard::RenewRatchets => {
            (failover_alone(), Faults { all: 2, crashes: 1, failovers: 1, ..NONE }, Promise::KeysOnce)
        }
        Guard::Adopt => (sending(0), Faults { all: 1, crashes: 1, ..NONE }, Promise::NotIdle),
        Guard::HolderIsRegistered => {
            (message(), Faults { all: 2, freezes: 1, connections: 1, ..NONE }, Promise::NotIdle)
        }
        Guard::NothingNewAfterFailover => {
            let model = Protocol { messages: 1, ..failover_alone() };
            (model, Faults { all: 2, connections: 1, failovers: 1, ..NONE }, Promise::KeysOnce)
        }
        Guard::WaitAfterFailover => {
            (failover_of_a_message(), Faults { all: 2, cuts: 1, failovers: 1, ..NONE }, Promise::OneSender)
        }
        Guard::SocketKnowsLease => (sending(0), Faults { all: 1, freezes: 1, ..NONE }, Promise::OneSenderAtOnce),
        Guard::CountOnce => (counting(), counting().faults, Promise::CountedOnce),
    };
    Protocol { guards: base(guard).without(guard), faults, promises: vec![promise], ..model }
}

/// The guards beside this one. What keeps a worker that is cut off from sending is there twice: it closes its sockets, and each socket looks at the clock.
fn base(guard: Guard) -> Guards {
    match guard {
        Guard::StopBeforeExpiry => Guards::all().without(Guard::SocketKnowsLease),
        _ => Guards::all(),
    }
}

/// The same model with the guard.
#[must_use]
pub fn with(guard: Guard) -> Protocol {
    Protocol { guards: base(guard), ..without(guard) }
}
