//! The steps of messages: claim, send, outcome, and what is received.

#![expect(clippy::similar_names, reason = "state and stage, hold and held are the words of the protocol")]

use super::action::{Answer, Who};
use super::state::{Db, Hold, Inbound, LANES, RETRY, Ratchet, Row, Stage, State, Work};
use super::step::{drop_socket, index, spend};
use super::{Promise, Protocol};
use crate::guards::Guard;

impl Protocol {
    pub(super) fn claim(&self, state: &mut State, who: Who, most: u8, answer: Answer) -> Option<()> {
        let mut work = state.processes[who].at_database()?;
        let hold = work.open()?;
        let db = &mut state.db;
        let held = db.holder == Some(work.id) && db.epoch == hold.epoch;
        (held || !self.guards.has(Guard::EpochOnClaim)).then_some(())?;
        let mut taken: Vec<usize> = (0..LANES.len()).filter(|at| self.may_claim(&work, hold, db, *at)).collect();
        // If there is but one, both claims are the same.
        (!taken.is_empty() && (most > 1 || taken.len() > 1)).then_some(())?;
        taken.truncate(usize::from(most));
        if answer == Answer::Lost {
            spend(state, |left| &mut left.answers)?;
        }
        for (at, taken) in state.db.taken.iter_mut().enumerate() {
            *taken = self.guards.has(Guard::ClaimKeepsHand) && work.hand[at].is_some();
        }
        for at in taken {
            state.db.taken[at] = true;
            if answer == Answer::Arrives {
                work.hand[at] = Some((hold.epoch, Stage::Waiting));
            }
        }
        state.seen.stale_write |= !held;
        state.processes[who].life = Some(work);
        Some(())
    }

    /// Whether a claim takes a message: `claim_outbound.sql`, and `src/jobs/gate.rs` and `src/jobs/lanes.rs` for its lane.
    fn may_claim(&self, work: &Work, hold: Hold, db: &Db, at: usize) -> bool {
        let Row::Queued { retry, .. } = db.messages[at] else { return false };
        let lane = || (0..LANES.len()).filter(|other| LANES[*other] == LANES[at]);
        // Nothing goes after what goes back to the queue, or after messages of an earlier hold.
        let full = lane()
            .filter_map(|other| work.hand[other])
            .any(|(epoch, stage)| epoch != hold.epoch || matches!(stage, Stage::Retry | Stage::Release));
        let waits = |other: usize| matches!(db.messages[other], Row::Queued { retry: Some(_), .. });
        let behind = lane().any(|other| other < at && waits(other)) && self.guards.has(Guard::RetryHoldsLane);
        retry.is_none() && work.hand[at].is_none() && !full && !behind
    }

    pub(super) fn reserve(&self, state: &mut State, who: Who) -> Option<()> {
        let mut work = state.processes[who].at_database()?;
        let hold = work.open()?;
        let wanted = work.hand.iter().flatten().any(|(_, stage)| *stage == Stage::Waiting);
        (self.ratchets && wanted && work.ratchet.0.next == work.ratchet.1).then_some(())?;
        if state.db.holder.is_some() && state.db.epoch == hold.epoch {
            work.ratchet.1 += 1;
            if self.guards.has(Guard::ReserveKeys) {
                state.db.auth.1 = Ratchet { next: work.ratchet.1, ..work.ratchet.0 };
            }
        } else {
            work.lose_hold();
            drop_socket(&mut state.server, who);
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    pub(super) fn send(&self, state: &mut State, who: Who, at: usize, arrives: bool) -> Option<()> {
        let mut work = state.processes[who].at_work()?;
        work.open()?;
        let (epoch, stage) = work.hand[at]?;
        let under_way = (0..LANES.len()).any(|other| {
            let stage = work.hand[other].map(|(_, stage)| stage);
            LANES[other] == LANES[at] && (stage == Some(Stage::OnWire) || other < at && stage == Some(Stage::Waiting))
        });
        (stage == Stage::Waiting && !(under_way && self.guards.has(Guard::OneUnderWay))).then_some(())?;
        let waking = state.processes[who].waking;
        if self.guards.has(Guard::SocketKnowsLease) && !work.is_fresh() {
            return None;
        }
        if self.ratchets {
            let Ratchet { chain, next } = work.ratchet.0;
            (next < work.ratchet.1).then_some(())?;
            let used = &mut state.seen.keys[usize::from(chain)];
            state.seen.key_twice |= *used & (1 << next) != 0;
            *used |= 1 << next;
            work.ratchet.0.next += 1;
        }
        if state.db.holder != Some(work.id) && !state.failed_over {
            state.seen.sent_while_waking |= waking && self.promises.contains(&Promise::OneSenderAtOnce);
            state.seen.second_sender |= !waking;
        }
        state.seen.attempts[at] += u8::from(self.attempts > 0);
        if arrives && state.server.connection == Some(index(who)) {
            let shown = &mut state.server.shown;
            let first = (0..at).filter(|other| LANES[*other] == LANES[at]);
            let waits = |other: usize| shown[other] == 0 && matches!(state.db.messages[other], Row::Queued { .. });
            state.seen.overtaken |= shown[at] == 0 && first.clone().any(waits);
            shown[at] = if self.guards.has(Guard::SameId) { 1 } else { (shown[at] + 1).min(2) };
        }
        work.hand[at] = Some((epoch, Stage::OnWire));
        state.processes[who].life = Some(work);
        Some(())
    }

    pub(super) fn record(&self, state: &mut State, who: Who, answer: Answer) -> Option<()> {
        let mut work = state.processes[who].at_database()?;
        work.hand.iter().flatten().any(|(_, stage)| is_outcome(*stage)).then_some(())?;
        if answer == Answer::Lost {
            spend(state, |left| &mut left.answers)?;
        }
        let db = &mut state.db;
        for at in 0..LANES.len() {
            let Some((epoch, stage)) = work.hand[at].filter(|(_, stage)| is_outcome(*stage)) else { continue };
            let accepted = !self.guards.has(Guard::EpochOnOutcome) || db.holder.is_some() && db.epoch == epoch;
            if accepted {
                state.seen.stale_write |= db.holder != Some(work.id);
                self.write_outcome(&mut db.messages[at], stage);
            }
            if answer == Answer::Arrives {
                work.hand[at] = None;
            } else if accepted && self.guards.has(Guard::CountOnce) && stage == Stage::Retry {
                // Written; all that is left is to hear so.
                work.hand[at] = Some((epoch, Stage::Release));
            }
            let made = state.seen.attempts[at];
            state.seen.counted_twice |= match db.messages[at] {
                Row::Queued { attempts, .. } => attempts > made,
                Row::Failed => made < self.attempts,
                Row::Sent => false,
            };
        }
        state.processes[who].life = Some(work);
        Some(())
    }

    /// What an outcome makes of a row. An ack stands whatever the row says.
    fn write_outcome(&self, row: &mut Row, stage: Stage) {
        *row = match (*row, stage) {
            (_, Stage::Acknowledged) => Row::Sent,
            (Row::Queued { attempts, .. }, Stage::Retry) if attempts + 1 == self.attempts => Row::Failed,
            (Row::Queued { attempts, died, .. }, Stage::Retry) => {
                Row::Queued { attempts: attempts + u8::from(self.attempts > 0), retry: Some(RETRY), died }
            }
            (row, _) => row,
        };
    }

    pub(super) fn store(&self, state: &mut State, who: Who, answer: Answer) -> Option<()> {
        let mut work = state.processes[who].at_database()?;
        let hold = work.hold?;
        matches!(work.inbound, Inbound::Received | Inbound::Hasty).then_some(())?;
        if answer == Answer::Lost {
            spend(state, |left| &mut left.answers)?;
        }
        let db = &mut state.db;
        if !self.guards.has(Guard::EpochOnInbox) || db.holder.is_some() && db.epoch == hold.epoch {
            state.seen.stale_write |= db.holder != Some(work.id);
            db.inbox = if self.guards.has(Guard::StoreOnce) { 1 } else { (db.inbox + 1).min(2) };
            if answer == Answer::Arrives {
                work.inbound = if work.inbound == Inbound::Hasty { Inbound::None } else { Inbound::Stored };
            }
        } else {
            work.lose_hold();
            drop_socket(&mut state.server, who);
        }
        state.processes[who].life = Some(work);
        Some(())
    }
}

const fn is_outcome(stage: Stage) -> bool {
    matches!(stage, Stage::Acknowledged | Stage::Retry | Stage::Release)
}
