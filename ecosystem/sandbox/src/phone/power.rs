//! The power switch of a phone, and the stanzas that wait while it is off.
//!
//! An account works without its phone: others still encrypt for the phone, as in reality, and the server keeps their
//! copies. It keeps only the newest, so that many phones may be off in a long run; the ledger marks the dropped copies
//! as `let_go`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::super::account::DeviceId;
use super::super::ledger::Ledger;
use super::super::node::text;
use super::super::saved::StateError;
use super::Task;
use super::saved::SavedTask;

/// How many tasks wait at most for a phone that is off.
const HELD: usize = 50;

/// The power switch of a phone. Clones share it.
#[derive(Clone)]
pub(super) struct Power {
    own: DeviceId,
    tasks: UnboundedSender<Task>,
    /// The waiting tasks; `None` while the phone is on.
    held: Arc<Mutex<Option<VecDeque<Task>>>>,
    ledger: Arc<Ledger>,
}

impl Power {
    pub(super) fn new(own: DeviceId, tasks: UnboundedSender<Task>, ledger: Arc<Ledger>) -> Self {
        Self { own, tasks, held: Arc::default(), ledger }
    }

    fn held(&self) -> MutexGuard<'_, Option<VecDeque<Task>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_on(&self) -> bool {
        self.held().is_none()
    }

    /// Switches the phone on or off. Switched on, it gets the waiting tasks, in order.
    pub(super) fn switch(&self, on: bool) {
        let mut held = self.held();
        if !on {
            held.get_or_insert_default();
            return;
        }
        for task in held.take().into_iter().flatten() {
            self.pass(task);
        }
    }

    /// Queues a task, now or when the phone is on again. Tasks of its owner are dropped while it is off.
    pub(super) fn enqueue(&self, task: Task) {
        let mut held = self.held();
        let Some(waiting) = held.as_mut() else { return self.pass(task) };
        if matches!(
            task,
            Task::Send { .. } | Task::Act { .. } | Task::RotateKey(_) | Task::Settings(_) | Task::Reregister(_)
        ) {
            return;
        }
        waiting.push_back(task);
        if waiting.len() > HELD
            && let Some(oldest) = waiting.pop_front()
        {
            match &oldest {
                Task::Receive { device, node, .. } => self.ledger.dropped(&self.own, &device.number, &text(node, "id")),
                Task::FromPhone { number, id, .. } => self.ledger.dropped(&self.own, number, id),
                _ => {}
            }
        }
    }

    /// The waiting tasks, for the state file.
    pub(super) fn save(&self) -> Result<Option<Vec<SavedTask>>, StateError> {
        let held = self.held();
        let Some(held) = held.as_ref() else { return Ok(None) };
        held.iter().map(SavedTask::of).filter_map(Result::transpose).collect::<Result<_, _>>().map(Some)
    }

    /// Queues a task even if the phone is off.
    pub(super) fn pass(&self, task: Task) {
        // A phone ends only with the whole sandbox.
        let _ = self.tasks.send(task);
    }
}
