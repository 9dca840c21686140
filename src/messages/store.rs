//! Writes messages to `wa.inbox` or `wa.past`; one that the database refuses goes into quarantine (R10).

use super::columns::{InboxColumns, TRIES};
use crate::db::hold::Hold;
use crate::db::outage::is_outage;
use crate::db::pieces::{Pieces, write_in_pieces};
use crate::db::quarantine::{self, Source};
use crate::db::storable::{Storable, StorableJson};
use crate::jobs::numbers::{Count, Numbers};
use chrono::{DateTime, Utc};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Where messages are written.
#[derive(Clone, Copy)]
pub(super) enum Table<'a> {
    /// `wa.inbox`, whose messages count as received.
    Inbox(&'a Numbers),
    /// `wa.past`, which has fewer columns.
    Past,
}

/// Messages that are written to one table.
pub(super) struct Messages<'a> {
    hold: &'a Hold,
    columns: &'a InboxColumns,
    table: Table<'a>,
    stored: AtomicU32,
    /// A moment before the first try, if one is known.
    before: Option<DateTime<Utc>>,
    /// The answer to a try was lost, so nobody knows whether it was written.
    unanswered: AtomicBool,
}

/// Runs a statement with the columns that both tables have, and with `more`.
macro_rules! insert {
    ($file:literal, $hold:expr, $columns:expr, $part:expr $(, $more:expr)*) => {
        sqlx::query_file!(
            $file,
            $hold.fence.session_id,
            $hold.fence.epoch,
            &$columns.chats[$part] as &[Storable],
            &$columns.senders[$part] as &[Storable],
            &$columns.ids[$part] as &[Storable],
            &$columns.kinds[$part] as &[&str],
            &$columns.bodies[$part] as &[Option<Storable>],
            &$columns.from_me[$part],
            &$columns.push_names[$part] as &[Option<Storable>],
            &$columns.times[$part],
            &$columns.messages[$part] as &[StorableJson],
            &$columns.quoted_ids[$part] as &[Option<Storable>],
            &$columns.target_ids[$part] as &[Option<Storable>]
            $(, $more)*
        )
        .fetch_one(&$hold.db)
    };
}

impl<'a> Messages<'a> {
    /// Nothing written yet.
    pub(super) fn new(hold: &'a Hold, columns: &'a InboxColumns, table: Table<'a>) -> Self {
        let before = match table {
            Table::Inbox(numbers) => numbers.latest(),
            Table::Past => None,
        };
        Self { hold, columns, table, stored: AtomicU32::new(0), before, unanswered: AtomicBool::new(false) }
    }

    /// Writes all.
    ///
    /// # Errors
    /// An outage that lasted until the hold was lost, or an error that may pass and did not. Some messages may be
    /// written then.
    pub(super) async fn store(&self) -> sqlx::Result<()> {
        write_in_pieces(self, self.columns.ids.len(), &self.hold.lost, Some(TRIES)).await
    }

    /// How many of them are stored and were not there before.
    pub(super) fn stored(&self) -> u32 {
        self.stored.load(Ordering::Relaxed)
    }
}

impl Pieces for Messages<'_> {
    async fn write(&self, part: Range<usize>) -> sqlx::Result<()> {
        let (hold, c, part) = (self.hold, self.columns, || part.clone());
        let (is_held, stored) = match self.table {
            Table::Past => {
                let done = insert!("sql/messages/store_past.sql", hold, c, part()).await?;
                (done.held, u32::try_from(done.stored).unwrap_or(0))
            }
            Table::Inbox(numbers) => {
                let done = insert!(
                    "sql/messages/store_inbox.sql",
                    hold,
                    c,
                    part(),
                    &c.media[part()] as &[Option<StorableJson>],
                    &c.choices[part()] as &[Option<StorableJson>],
                    &c.author_matches[part()] as &[Option<bool>],
                    &c.by_admin[part()] as &[Option<bool>],
                    self.before.filter(|_| self.unanswered.load(Ordering::Relaxed)) as Option<DateTime<Utc>>
                )
                .await
                .inspect_err(|error| {
                    self.unanswered.fetch_or(is_outage(error), Ordering::Relaxed);
                })?;
                let stored = u32::try_from(done.stored).unwrap_or(0);
                numbers.happened(done.at, hold.fence.session_id, Count::Received, stored);
                (done.held, stored)
            }
        };
        self.stored.fetch_add(stored, Ordering::Relaxed);
        if !is_held {
            hold.lost.cancel();
        }
        Ok(())
    }

    async fn quarantine(&self, item: usize, error: &sqlx::Error) {
        let source = match self.table {
            Table::Inbox(_) => Source::Message,
            Table::Past => Source::Past,
        };
        let (hold, item) = (self.hold, self.columns.json(item));
        quarantine::put(&hold.db, hold.fence, source, &item, error, &hold.lost).await;
    }
}
