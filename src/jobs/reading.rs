//! What a claim of messages asks for, and what it reads.

use super::lanes::{LaneKey, Lanes};
use super::look::LookPage;
use super::{OutboundJob, Ready};
use crate::db::Db;
use crate::db::fence::Fence;
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Who claims, and what it has in hand.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) pool: Db,
    pub(super) worker_id: Uuid,
    pub(super) ready: Ready,
    pub(super) lanes: Lanes,
}

/// What a claim asks for of one session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) fence: Fence,
    /// Most messages that it may give.
    pub(super) room: usize,
    /// Most rows that its look reads now.
    pub(super) page: usize,
    /// After which row its look goes on (rank, id), if there is one under way.
    pub(super) mark: Option<(i16, i64)>,
}

/// What a claim asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) sessions: Vec<Asked>,
    /// Ended lanes, whose next messages are asked for.
    pub(super) lanes: Vec<LaneKey>,
    /// Most messages in all.
    pub(super) room: usize,
}

impl Request {
    /// How many sessions are looked at.
    pub(super) fn looking(&self) -> usize {
        self.sessions.iter().filter(|asked| asked.mark.is_some()).count()
    }

    pub(super) fn ids(&self) -> Vec<i64> {
        self.sessions.iter().map(|asked| asked.fence.session_id).collect()
    }

    pub(super) fn epochs(&self) -> Vec<i64> {
        self.sessions.iter().map(|asked| asked.fence.epoch).collect()
    }

    /// Ranks and ids of the marks.
    pub(super) fn marks(&self) -> (Vec<Option<i16>>, Vec<Option<i64>>) {
        self.sessions.iter().map(|asked| asked.mark.unzip()).unzip()
    }

    /// Session ids and chats of the lanes.
    pub(super) fn lane_keys(&self) -> (Vec<i64>, Vec<String>) {
        self.lanes.iter().map(|(session, chat)| (*session, chat.to_string())).unzip()
    }
}

/// The rows of a claim. Nothing of it starts before the statement has ended, because only then it is committed.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// In the order in which they start.
    pub(super) jobs: Vec<OutboundJob>,
    /// Holds of which messages were claimed that are returned.
    pub(super) returned: HashSet<Fence>,
    /// Lanes that are to be asked for again.
    pub(super) ask: HashSet<LaneKey>,
    /// All messages, and their bytes.
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) pages: HashMap<i64, LookPage>,
    /// Sessions of which messages were passed over.
    pub(super) passed: HashSet<i64>,
    /// Sessions that somebody else had locked; nothing was read of them.
    pub(super) busy: HashSet<i64>,
    /// Sessions that have a pacing; nothing was read of them.
    pub(super) paced: HashSet<i64>,
    /// Messages (session id, id) that are over and were still in the queue.
    pub(super) over: Vec<(i64, i64)>,
    pub(super) gate: Option<Instant>,
    /// Sessions with a first contact, and when.
    pub(super) met: Vec<(i64, DateTime<Utc>)>,
}

/// The message of a row.
pub(super) struct Queued {
    pub(super) kind: String,
    pub(super) message_id: String,
    pub(super) body: Option<String>,
    pub(super) content: Option<serde_json::Value>,
    pub(super) attempts: i32,
    pub(super) deadline: Option<Instant>,
    pub(super) timer: Option<u32>,
}

impl Queued {
    /// Makes a job of it, of these bytes.
    pub(super) fn into_job(
        self,
        fence: Fence,
        id: i64,
        chat: Arc<str>,
        session: Arc<str>,
        tenant: Arc<str>,
        bytes: usize,
    ) -> OutboundJob {
        let Self { kind, message_id, body, content, attempts, deadline, timer } = self;
        let message_id = message_id.into();
        OutboundJob {
            fence,
            id,
            session,
            tenant,
            bytes,
            chat,
            kind,
            body,
            content,
            message_id,
            attempts,
            deadline,
            typing: false,
            timer,
        }
    }
}

/// A number of rows for SQL.
pub(super) fn to_bigint(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The moment `seconds` after `now`.
pub(super) fn after(now: Instant, seconds: f64) -> Instant {
    // A day stands for never: every look asks again.
    now + Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}
