//! The quarantine of items that the database refuses (R10): `wa.quarantine`.

use super::Db;
use super::fence::Fence;
use super::outage::outlast_and_outwait;
use super::pieces;
use super::storable::Storable;
use crate::telemetry;
use serde_json::Value;
use sqlx::Error;
use tokio_util::sync::CancellationToken;

/// Most bytes of an item that are kept.
const MOST: usize = 1 << 20;

/// Where an item was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The outcome of an attempt, or how far a message has come.
    Progress,
    /// A receipt of a participant.
    Receipt,
    /// A received message.
    Message,
    /// A message from before the link.
    Past,
    /// An event.
    Event,
    /// An event of a chat, or its timer.
    Notice,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Progress, Self::Receipt, Self::Message, Self::Past, Self::Event, Self::Notice];

    /// Its name in SQL and in the labels of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Progress => "progress",
            Self::Receipt => "receipt",
            Self::Message => "message",
            Self::Past => "past",
            Self::Event => "event",
            Self::Notice => "notice",
        }
    }
}

/// Puts an item into quarantine and adds an event that does not show it. Waits out outages and locks until `stopped`.
/// An item that the quarantine refuses as well is lost, and the log says so.
pub async fn put(db: &Db, fence: Fence, source: Source, item: &Value, refused: &Error, stopped: &CancellationToken) {
    let mut data = item.to_string().into_bytes();
    data.truncate(MOST);
    let (Fence { session_id, epoch }, code) = (fence, pieces::code(refused));
    let reason = Storable::error(&refused.to_string());
    let put = || {
        sqlx::query_file_scalar!(
            "sql/session/quarantine_item.sql",
            session_id,
            epoch,
            source.name(),
            code,
            &reason as &Storable,
            data
        )
        .fetch_one(db)
    };
    match outlast_and_outwait(stopped, put).await {
        Ok(_) => {
            telemetry::quarantined(source.name());
            tracing::error!(session_id, source = source.name(), code, "item refused by the database; quarantined");
        }
        Err(error) => {
            let error = pieces::code(&error);
            tracing::error!(session_id, source = source.name(), code, error, "refused item not quarantined; lost");
        }
    }
}
