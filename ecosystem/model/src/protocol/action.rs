//! What can happen, and the words for it.

use std::fmt;

/// A process, 0 or 1.
pub type Who = usize;

/// Whether the answer to a statement that was committed arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It arrives.
    Arrives,
    /// It is lost.
    Lost,
}

/// One step. Each statement is one step, because it is one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `sql/worker/detect_restore.sql` and `sql/worker/register.sql`: a process begins a life.
    Register(Who),
    /// `sql/worker/heartbeat.sql`.
    Beat(Who, Answer),
    /// `sql/worker/end_gone.sql`, `sql/worker/expire_workers.sql`, and `sql/session/reset_stale.sql` after them.
    Expire(Who),
    /// `sql/session/adopt.sql`.
    Adopt(Who),
    /// `sql/worker/compare.sql`, and what `src/session/comparison.rs` does with it.
    Compare(Who),
    /// `heartbeat_loop` in `src/session/lease.rs` gives up: the sockets are cut and the life ends.
    GiveUp(Who),
    /// `sql/jobs/claim_session.sql`.
    ClaimJob(Who, Answer),
    /// `Sessions::start` in `src/session/registry.rs`: reads the auth state, renews old ratchets, marks the session and logs in.
    Connect(Who),
    /// `sql/jobs/finish_session.sql`.
    FinishJob(Who),
    /// `sql/session/lost.sql`: the connection is over and the next one is queued.
    WriteLost(Who),
    /// The server has closed the socket, because the device has logged in elsewhere.
    Replaced(Who),
    /// `sql/jobs/release_due.sql`.
    ReleaseDue(Who),
    /// `sql/jobs/claim_outbound.sql`, of at most so many messages.
    Claim(Who, u8, Answer),
    /// The library reserves a key (`put_together.sql` in `sql/auth`).
    Reserve(Who),
    /// `transmit` in `src/messages/outbound.rs`.
    Send(Who, usize),
    /// The same, and the connection ends before the server has the message.
    SendInVain(Who, usize),
    /// The server's ack arrives.
    Acknowledged(Who, usize),
    /// `sql/jobs/record_sent.sql` and `sql/jobs/record_progress.sql`: all outcomes in hand.
    Record(Who, Answer),
    /// The server hands the received message over.
    Deliver(Who),
    /// `sql/messages/store_inbox.sql`.
    Store(Who, Answer),
    /// The library acknowledges the received message to the server.
    AcknowledgeInbound(Who),
    /// A tick of all clocks. Everybody who can do something has done it.
    Tick,
    /// A process is killed.
    Crash(Who),
    /// It is started again.
    Restart(Who),
    /// A process is frozen.
    Freeze(Who),
    /// It wakes.
    Thaw(Who),
    /// A process is cut off from Postgres.
    CutOff(Who),
    /// It reaches Postgres again.
    Mend(Who),
    /// The server closes the connection.
    LoseConnection(Who),
    /// A planned hand-over (`Sessions::hand_over`, `sql/session/release.sql`).
    HandOver(Who),
    /// The server ends the connection of a worker's heartbeat, and the worker does not notice it.
    HangUp(Who),
    /// The replica follows no more.
    FallBehind,
    /// The replica is promoted: what was committed since then is lost.
    FailOver,
}

/// A process's name.
pub(crate) const fn name(who: Who) -> &'static str {
    if who == 0 { "A" } else { "B" }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrives => "",
            Self::Lost => "; it is committed, and the answer is lost",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = |at: usize| at + 1;
        match *self {
            Self::Register(who) => write!(f, "worker {} begins a life", name(who)),
            Self::Beat(who, answer) => write!(f, "worker {} sends a heartbeat{answer}", name(who)),
            Self::Expire(who) => write!(f, "worker {} ends dead workers", name(who)),
            Self::Adopt(who) => write!(f, "worker {} adopts the session", name(who)),
            Self::Compare(who) => write!(f, "worker {} compares the rows with what it has in hand", name(who)),
            Self::GiveUp(who) => write!(f, "worker {} had no heartbeat in time and closes its sockets", name(who)),
            Self::ClaimJob(who, answer) => write!(f, "worker {} claims the job that connects{answer}", name(who)),
            Self::Connect(who) => write!(f, "worker {} connects the session", name(who)),
            Self::FinishJob(who) => write!(f, "worker {} writes the end of the job", name(who)),
            Self::WriteLost(who) => write!(f, "worker {} writes that the connection is over", name(who)),
            Self::Replaced(who) => write!(f, "worker {} finds its connection replaced", name(who)),
            Self::ReleaseDue(who) => write!(f, "worker {} queues messages whose retry is due", name(who)),
            Self::Claim(who, most, answer) => write!(f, "worker {} claims up to {most} messages{answer}", name(who)),
            Self::Reserve(who) => write!(f, "worker {} reserves a key", name(who)),
            Self::Send(who, at) => write!(f, "worker {} sends message {}", name(who), message(at)),
            Self::SendInVain(who, at) => {
                write!(
                    f,
                    "worker {} sends message {}, and the connection ends before it arrives",
                    name(who),
                    message(at)
                )
            }
            Self::Acknowledged(who, at) => write!(f, "the ack of message {} reaches worker {}", message(at), name(who)),
            Self::Record(who, answer) => write!(f, "worker {} writes its outcomes{answer}", name(who)),
            Self::Deliver(who) => write!(f, "the server hands a message over to worker {}", name(who)),
            Self::Store(who, answer) => write!(f, "worker {} stores the received message{answer}", name(who)),
            Self::AcknowledgeInbound(who) => write!(f, "worker {} acknowledges the received message", name(who)),
            Self::Tick => write!(f, "time passes"),
            Self::Crash(who) => write!(f, "worker {} is killed", name(who)),
            Self::Restart(who) => write!(f, "worker {} is started again", name(who)),
            Self::Freeze(who) => write!(f, "worker {} is frozen", name(who)),
            Self::Thaw(who) => write!(f, "worker {} wakes", name(who)),
            Self::CutOff(who) => write!(f, "worker {} is cut off from Postgres", name(who)),
            Self::Mend(who) => write!(f, "worker {} reaches Postgres again", name(who)),
            Self::LoseConnection(who) => write!(f, "the server closes the connection of worker {}", name(who)),
            Self::HandOver(who) => write!(f, "worker {} hands the session over", name(who)),
            Self::HangUp(who) => write!(f, "the connection of worker {} to Postgres ends, unnoticed", name(who)),
            Self::FallBehind => write!(f, "the replica falls behind"),
            Self::FailOver => write!(f, "Postgres fails over to the replica"),
        }
    }
}
