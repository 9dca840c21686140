//! Received messages that nobody wrote become rows of `wa.event`, and the timers of chats rows of `wa.chat_timer`.

use super::columns::TRIES;
use crate::db::hold::Hold;
use crate::db::pieces::{Pieces, code, write_in_pieces};
use crate::db::quarantine::{self, Source};
use crate::db::storable::{self, Storable, StorableJson};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wacore::stanza::groups::GroupNotificationAction;
use wacore::types::events::GroupUpdate;
use wacore_binary::{Jid, JidExt as _};

/// A timer above a year is no timer of an app.
const LONGEST_TIMER: u32 = 366 * 86_400;
/// Most chats of a session whose timers are remembered.
const MOST: usize = 10_000;

/// Rows to write, in columns as the statement takes them.
#[derive(Debug, Default)]
pub(crate) struct NoticeColumns {
    chats: Vec<Storable>,
    /// `None` for a timer that was not announced but heard of.
    kinds: Vec<Option<&'static str>>,
    data: Vec<Option<StorableJson>>,
    /// `None` for an event that is about no timer.
    seconds: Vec<Option<i32>>,
    since: Vec<Option<DateTime<Utc>>>,
}

impl NoticeColumns {
    /// Adds an event.
    pub(crate) fn event(&mut self, chat: &Jid, kind: &'static str, data: Value) {
        self.push(chat, Some((kind, data)), None);
    }

    /// Adds the timer of a chat, with the event of its change.
    pub(crate) fn timer(
        &mut self,
        chat: &Jid,
        seconds: u32,
        since: DateTime<Utc>,
        event: Option<(&'static str, Value)>,
    ) {
        let timer = Some(seconds).filter(|seconds| *seconds <= LONGEST_TIMER).and_then(|it| i32::try_from(it).ok());
        self.push(chat, event, timer.map(|seconds| (seconds, since)));
    }

    fn push(&mut self, chat: &Jid, event: Option<(&'static str, Value)>, timer: Option<(i32, DateTime<Utc>)>) {
        let ((kind, data), (seconds, since)) = (event.unzip(), timer.unzip());
        self.chats.push(Storable::id(&chat.to_string()));
        self.kinds.push(kind);
        self.data.push(data.map(StorableJson::new));
        self.seconds.push(seconds);
        self.since.push(since.map(storable::time));
    }

    /// A row as the quarantine keeps it.
    fn json(&self, item: usize) -> Value {
        json!({
            "chat": self.chats[item].as_str(),
            "kind": self.kinds[item],
            "data": self.data[item].as_ref().map(StorableJson::value),
            "seconds": self.seconds[item],
            "set_at": self.since[item],
        })
    }
}

/// Writes the notices of a hold.
#[derive(Debug)]
pub struct Notices {
    hold: Hold,
    /// Timers as last written, so that not every message of a chat writes its timer.
    written: Mutex<HashMap<Storable, u32>>,
}

impl Notices {
    /// Nothing written yet.
    #[must_use]
    pub fn new(hold: Hold) -> Self {
        Self { hold, written: Mutex::default() }
    }

    /// Adds the timer that a message of the chat has, unless it is known; of statuses, which all disappear, none.
    /// `since` is when the timer was set, and `at` when the message was sent. In a group any member could make up a
    /// timer, so what the group itself announced stands.
    pub(crate) fn hear(
        &self,
        columns: &mut NoticeColumns,
        chat: &Jid,
        (seconds, since): (u32, Option<i64>),
        at: DateTime<Utc>,
    ) {
        if chat.is_status_broadcast() || self.written().get(&Storable::id(&chat.to_string())) == Some(&seconds) {
            return;
        }
        let since = if chat.is_group() { DateTime::UNIX_EPOCH } else { moment(since, at) };
        columns.timer(chat, seconds, since, None);
    }

    /// Keeps the timer that a group announces.
    pub(crate) async fn group_changed(&self, update: &GroupUpdate) {
        let GroupNotificationAction::Ephemeral { expiration, .. } = &update.action else { return };
        let mut columns = NoticeColumns::default();
        columns.timer(&update.group_jid, *expiration, update.timestamp, None);
        if let Err(error) = self.store(&columns).await {
            tracing::warn!(%error, "timer of a group not stored; messages to it may not disappear");
        }
    }

    /// Writes the rows.
    ///
    /// # Errors
    /// The hold is lost, or an error that may pass did not.
    pub(crate) async fn store(&self, c: &NoticeColumns) -> anyhow::Result<()> {
        let hold = &self.hold;
        let written = write_in_pieces(&Rows { hold, columns: c }, c.chats.len(), &hold.lost, Some(TRIES)).await;
        written.inspect_err(|error| tracing::warn!(code = code(error), %error, "events and timers not written"))?;
        anyhow::ensure!(!hold.lost.is_cancelled(), "the session is no longer held here (epoch {})", hold.fence.epoch);
        let mut written = self.written();
        if written.len() + c.chats.len() > MOST {
            written.clear();
        }
        for (chat, seconds) in c.chats.iter().zip(&c.seconds) {
            if let Some(seconds) = seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
                written.insert(chat.clone(), seconds);
            }
        }
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, HashMap<Storable, u32>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of `wa.event` and `wa.chat_timer`.
struct Rows<'a> {
    hold: &'a Hold,
    columns: &'a NoticeColumns,
}

impl Pieces for Rows<'_> {
    async fn write(&self, part: Range<usize>) -> sqlx::Result<()> {
        let (hold, c, part) = (self.hold, self.columns, || part.clone());
        let stays = sqlx::query_file_scalar!(
            "sql/messages/store_notices.sql",
            hold.fence.session_id,
            hold.fence.epoch,
            &c.chats[part()] as &[Storable],
            &c.kinds[part()] as &[Option<&str>],
            &c.data[part()] as &[Option<StorableJson>],
            &c.seconds[part()] as &[Option<i32>],
            &c.since[part()] as &[Option<DateTime<Utc>>]
        )
        .fetch_one(&hold.db)
        .await?;
        if !stays {
            hold.lost.cancel();
        }
        Ok(())
    }

    async fn quarantine(&self, item: usize, error: &sqlx::Error) {
        let (hold, item) = (self.hold, self.columns.json(item));
        quarantine::put(&hold.db, hold.fence, Source::Notice, &item, error, &hold.lost).await;
    }
}

/// When a timer was set, as its message says; but not later than the message itself.
pub(crate) fn moment(seconds: Option<i64>, at: DateTime<Utc>) -> DateTime<Utc> {
    seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).map_or(at, |since| since.min(at))
}
