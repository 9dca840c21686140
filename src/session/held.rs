//! A session that this worker holds, for all connections that it makes.

use crate::auth::Traffic;
use crate::db::hold::Hold;
use std::sync::Arc;
use tokio::sync::{Mutex, Notify};

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
    pub(super) past: Arc<Mutex<()>>,
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
        }
    }
}
