//! Replays: what has happened since a moment is delivered again, under the same ids.
//!
//! First the deliveries that there are, then what a webhook has no delivery of, because it was disabled or retention has
//! deleted it. All of it in pages: a replay of a million events takes no memory and holds up nothing.

use super::settings::Fence;
use crate::db::Db;
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::time::Duration;

/// Rows of one statement.
const PAGE: i64 = 1000;
/// Messages of one statement that looks for statuses: most of them are too old.
const LONG_PAGE: i64 = 10_000;
/// Pause between two statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Where rows come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Delivery,
    Inbox,
    Event,
    Status,
}

struct Request {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    only_dead: bool,
}

/// Does the replays of a webhook, except those that are `done` and whose rows somebody has locked. Dropping it half way
/// does no harm.
///
/// # Errors
/// The database's.
pub(super) async fn run(db: &Db, fence: Fence, done: &mut HashSet<i64>) -> sqlx::Result<()> {
    let rows = sqlx::query_file!("sql/webhooks/replays.sql", fence.webhook_id).fetch_all(db).await?;
    done.retain(|id| rows.iter().any(|row| row.replay_id == *id));
    for row in rows {
        if !done.contains(&row.replay_id) {
            let request = Request { since: row.since, until: row.until, only_dead: row.only_dead };
            let others: &[Source] = if row.only_dead { &[] } else { &[Source::Inbox, Source::Event, Source::Status] };
            for source in [Source::Delivery].iter().chain(others) {
                let mut after = page(db, fence, &request, *source, None).await?;
                while let Some(last) = after {
                    tokio::time::sleep(PAUSE).await;
                    after = page(db, fence, &request, *source, Some(last)).await?;
                }
            }
            done.insert(row.replay_id);
        }
        sqlx::query_file!("sql/webhooks/replayed.sql", row.replay_id).execute(db).await?;
    }
    Ok(())
}

/// One page of a source, after the row with this id. Returns the last row of the page, unless it was the last page.
async fn page(
    db: &Db,
    fence: Fence,
    request: &Request,
    source: Source,
    after: Option<i64>,
) -> sqlx::Result<Option<i64>> {
    let Fence { webhook_id, epoch, worker_id } = fence;
    let Request { since, until, only_dead } = *request;
    macro_rules! of {
        ($file:literal, $page:expr) => {
            sqlx::query_file_scalar!($file, webhook_id, epoch, worker_id, since, until, after, $page)
                .fetch_optional(db)
                .await?
                .flatten()
        };
    }
    Ok(match source {
        Source::Delivery => sqlx::query_file_scalar!(
            "sql/webhooks/replay_delivery.sql",
            webhook_id,
            epoch,
            worker_id,
            since,
            until,
            only_dead,
            after,
            PAGE
        )
        .fetch_optional(db)
        .await?
        .flatten(),
        Source::Inbox => of!("sql/webhooks/replay_inbox.sql", PAGE),
        Source::Event => of!("sql/webhooks/replay_event.sql", PAGE),
        Source::Status => of!("sql/webhooks/replay_status.sql", LONG_PAGE),
    })
}
