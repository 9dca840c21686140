//! `retry_failed`: queues failed messages again, for whoever called `wa.retry_failed` (H2).
//!
//! The job walks the failed messages in the order of an index of theirs. What it queues leaves that index; what it may not
//! touch now, because an application has locked it, is passed over. Messages that fail while it runs are not retried.

use super::{Batches, sql};
use crate::jobs::JobError;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which failed messages; `None` is no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    session: Option<String>,
    failure: Option<String>,
    campaign: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

pub(super) async fn run(batches: &Batches<'_>, wanted: &Wanted) -> Result<Value, JobError> {
    let (pool, job, limit) = (batches.pool(), batches.id, batches.pace.batch);
    let Wanted { session, failure, campaign, since, until } = wanted;
    let session = match session {
        None => None,
        Some(name) => {
            let id = sqlx::query_scalar!("SELECT session_id FROM wa.session WHERE name = $1", name);
            let Some(id) = id.fetch_optional(pool).await.map_err(sql)? else {
                return Err(JobError::Permanent(format!("session {name} does not exist any more")));
            };
            Some(id)
        }
    };
    let (failure, campaign) = (failure.as_deref(), campaign.as_deref());
    let found = sqlx::query_file_scalar!("sql/jobs/count_failed.sql", job, session, failure, campaign, *since, *until);
    let found = found.fetch_one(pool).await.map_err(sql)?;
    let (mut done, mut retried) = (0, 0);
    let mut after = (session.unwrap_or(0), DateTime::UNIX_EPOCH, 0);
    loop {
        let counts = json!({ "found": found, "done": done, "retried": retried });
        batches.rest(&counts).await?;
        let page = sqlx::query_file!(
            "sql/jobs/retry_failed.sql",
            job,
            session,
            failure,
            campaign,
            *since,
            *until,
            after.0,
            after.1,
            after.2,
            limit
        );
        let page = page.fetch_one(pool).await.map_err(sql)?;
        done += page.matched;
        retried += page.retried;
        let (Some(session_id), Some(failed_at), Some(id)) = (page.session_id, page.failed_at, page.id) else {
            return Ok(json!({ "found": found, "done": done, "retried": retried }));
        };
        after = (session_id, failed_at, id);
    }
}
