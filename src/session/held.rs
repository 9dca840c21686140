//! A session that this worker holds, for all connections that it makes.

use super::status::Status;
use crate::auth::Traffic;
use crate::db::hold::Hold;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What all connections of a held session share.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hold: Hold,
    /// When messages last arrived.
    pub(super) traffic: Arc<Traffic>,
    /// Rung to link the session, perhaps with another phone number.
    pub(super) relink: Notify,
    /// Rung when the health check got no answer on the connection.
    pub(super) dead: Notify,
    /// Rung when a connection has logged in, and when it is over.
    pub(super) changed: Notify,
    /// Rung to ask WhatsApp whether it limits the account.
    pub(super) limit: Arc<Notify>,
    /// Held while a piece of the history is stored: one piece after the other.
    pub(super) past: Arc<tokio::sync::Mutex<()>>,
    /// The status that this worker last gave the session.
    status: Mutex<Status>,
    /// Whether the phone number is known.
    phone_known: AtomicBool,
}

impl Held {
    pub(super) fn new(hold: Hold) -> Self {
        Self {
            hold,
            traffic: Arc::default(),
            relink: Notify::new(),
            dead: Notify::new(),
            changed: Notify::new(),
            limit: Arc::default(),
            past: Arc::default(),
            status: Mutex::new(Status::Disconnected),
            phone_known: AtomicBool::new(false),
        }
    }

    /// The status that this worker last gave the session. In an outage of the database it is ahead of the row.
    pub(super) fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_status(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Whether the phone number is known.
    pub(super) fn phone_known(&self) -> bool {
        self.phone_known.load(Ordering::Relaxed)
    }

    pub(super) fn set_phone_known(&self, known: bool) {
        self.phone_known.store(known, Ordering::Relaxed);
    }
}
