//! What a claim of messages asks for, and what it reads.

use super::OutboundJob;
use super::lanes::LaneKey;
use super::look::LookPage;
use crate::db::fence::Fence;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// What a claim asks for. The lists are parallel to `sessions`.
pub(super) struct Request<'a> {
    pub(super) sessions: &'a [i64],
    pub(super) epochs: &'a [i64],
    pub(super) most: Vec<i32>,
    pub(super) ranks: Vec<Option<i32>>,
    pub(super) ids: Vec<Option<i64>>,
    pub(super) look: usize,
    pub(super) room: usize,
}

/// The rows of a claim. Nothing of it starts before the statement has ended, because only then it is committed.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) jobs: Vec<OutboundJob>,
    /// Lanes with messages that are returned, and the holds under which they were claimed.
    pub(super) returned: HashMap<LaneKey, Fence>,
    /// All messages, and their bytes.
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) pages: HashMap<i64, LookPage>,
    /// Sessions of which messages were passed over.
    pub(super) passed: HashSet<i64>,
    /// Sessions that somebody else had locked; nothing was read of them.
    pub(super) busy: HashSet<i64>,
    pub(super) gate: Option<Instant>,
    /// Sessions with a first contact, and when.
    pub(super) met: Vec<(i64, DateTime<Utc>)>,
}
