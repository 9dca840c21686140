//! What is done to processes, connections and the database.

use super::Protocol;
use super::action::{Action, Who};
use super::state::{Stage, State};
use super::step::{drop_socket, end_life, index, spend};

impl Protocol {
    pub(super) fn fault(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Crash(who) => {
                state.processes[who].runs.then_some(())?;
                spend(state, |left| &mut left.crashes)?;
                end_life(state, who);
                state.db.hang_up(Some(index(who)));
                let process = &mut state.processes[who];
                (process.runs, process.frozen, process.waking) = (false, false, false);
            }
            Action::Restart(who) => {
                (!state.processes[who].runs).then_some(())?;
                spend(state, |left| &mut left.restarts)?;
                state.processes[who].runs = true;
            }
            Action::Freeze(who) => {
                state.processes[who].awake().then_some(())?;
                spend(state, |left| &mut left.freezes)?;
                state.processes[who].frozen = true;
            }
            Action::Thaw(who) => {
                let process = &mut state.processes[who];
                std::mem::take(&mut process.frozen).then(|| process.waking = true)?;
                state.calm = 0;
            }
            Action::CutOff(who) => {
                let process = &mut state.processes[who];
                (process.runs && !process.cut_off).then_some(())?;
                process.cut_off = true;
                spend(state, |left| &mut left.cuts)?;
            }
            Action::Mend(who) => {
                std::mem::take(&mut state.processes[who].cut_off).then_some(())?;
                state.calm = 0;
            }
            Action::LoseConnection(who) => {
                let mut work = state.processes[who].at_work()?;
                work.open()?;
                spend(state, |left| &mut left.connections)?;
                work.end_connection();
                state.processes[who].life = Some(work);
                drop_socket(&mut state.server, who);
            }
            Action::HandOver(who) => self.hand_over(state, who)?,
            Action::HangUp(who) => {
                spend(state, |left| &mut left.hang_ups)?;
                let process = index(who);
                state.db.workers.iter().flatten().find(|row| row.life.process == process && !row.hung_up)?;
                state.db.hang_up(Some(process));
            }
            Action::FallBehind => {
                (state.replica.is_none() && state.left.failovers > 0 && state.left.all > 0).then_some(())?;
                state.replica = Some(state.db);
            }
            Action::FailOver => {
                let replica = state.replica.take()?;
                spend(state, |left| &mut left.failovers)?;
                state.db = replica;
                state.db.timeline += 1;
                state.db.hang_up(None);
                state.failed_over = true;
            }
            _ => return None,
        }
        Some(())
    }

    /// A message with which a worker has died may count an attempt more than was seen.
    pub(super) fn died_with(&self, attempts: &mut [u8; 3], died: [bool; 3]) {
        for (attempts, died) in attempts.iter_mut().zip(died) {
            *attempts += u8::from(died && self.attempts > 0);
        }
    }

    fn hand_over(&self, state: &mut State, who: Who) -> Option<()> {
        let mut work = state.processes[who].at_database()?;
        let hold = work.open()?;
        work.hand.iter().flatten().all(|(_, stage)| *stage == Stage::Waiting).then_some(())?;
        spend(state, |left| &mut left.hand_overs)?;
        work.lose_hold();
        state.processes[who].life = Some(work);
        drop_socket(&mut state.server, who);
        if state.db.holder.is_some() && state.db.epoch == hold.epoch {
            let died = state.db.free(self.attempts);
            self.died_with(&mut state.seen.attempts, died);
            state.db.online = false;
        }
        Some(())
    }
}
