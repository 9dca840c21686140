//! The job tables besides `wa.outbound`: jobs of sessions and housekeeping.

use super::{Only, print_outcome};
use crate::cli::error_text;
use crate::cli::listing::{Cell, Listing};
use crate::db::Db;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
pub(super) enum Other {
    Session,
    Maintenance,
}

struct Job {
    id: i64,
    /// Its session, or its schedule.
    belongs_to: Option<String>,
    kind: String,
    status: String,
    attempts: i32,
    created_at: DateTime<Utc>,
    run_at: DateTime<Utc>,
    note: Option<String>,
}

impl Other {
    pub(super) async fn list(self, pool: &Db, only: &Only) -> anyhow::Result<Listing> {
        let (owner, mut listing, jobs) = match self {
            Self::Session => {
                let heads = &["ID", "SESSION", "KIND", "STATUS", "TRIES", "INSERTED", "RESULT OR REASON"];
                let query =
                    sqlx::query_file_as!(Job, "sql/cli/list_session_jobs.sql", only.session, only.status, only.limit);
                (
                    "session",
                    Listing::new(heads, "no such jobs; wagres session connect NAME queues one"),
                    query.fetch_all(pool).await?,
                )
            }
            Self::Maintenance => {
                let heads = &["ID", "SCHEDULE", "KIND", "STATUS", "TRIES", "INSERTED", "RESULT OR REASON"];
                let query = sqlx::query_file_as!(Job, "sql/cli/list_maintenance_jobs.sql", only.status, only.limit);
                let empty = "no such jobs; wagres schedule run NAME queues one";
                ("schedule", Listing::new(heads, empty), query.fetch_all(pool).await?)
            }
        };
        for job in jobs {
            let value = json!({
                "id": job.id, owner: job.belongs_to, "kind": job.kind, "status": job.status, "attempts": job.attempts,
                "created_at": job.created_at, "run_at": job.run_at, "note": job.note,
            });
            let cells = [
                Cell::number(job.id),
                Cell::maybe(job.belongs_to),
                Cell::text(job.kind),
                Cell::status(job.status),
                Cell::number(job.attempts),
                Cell::when(Some(job.created_at)),
                Cell::maybe(job.note),
            ];
            listing.add(&["id"], value, cells);
        }
        Ok(listing)
    }

    /// All columns of a job.
    pub(super) async fn row(self, pool: &Db, id: i64) -> sqlx::Result<Option<Value>> {
        let row = match self {
            Self::Session => {
                sqlx::query_scalar!("SELECT to_jsonb(j) AS row FROM wa.session_job j WHERE id = $1", id)
                    .fetch_optional(pool)
                    .await?
            }
            Self::Maintenance => {
                sqlx::query_scalar!("SELECT to_jsonb(j) AS row FROM wa.maintenance_job j WHERE id = $1", id)
                    .fetch_optional(pool)
                    .await?
            }
        };
        Ok(row.flatten())
    }

    pub(super) async fn retry(self, pool: &Db, id: i64, json: bool, refused: &mut Vec<i64>) -> anyhow::Result<()> {
        let done = match self {
            Self::Session => sqlx::query!("SELECT wa.retry_session_job($1) AS job", id).fetch_one(pool).await.map(drop),
            Self::Maintenance => {
                sqlx::query!("SELECT wa.retry_maintenance_job($1) AS job", id).fetch_one(pool).await.map(drop)
            }
        };
        report(done, id, json, "queued again", refused)
    }

    pub(super) async fn cancel(self, pool: &Db, id: i64, json: bool, refused: &mut Vec<i64>) -> anyhow::Result<()> {
        let done = match self {
            Self::Session => {
                sqlx::query!("SELECT wa.cancel_session_job($1) AS job", id).fetch_one(pool).await.map(drop)
            }
            Self::Maintenance => {
                sqlx::query!("SELECT wa.cancel_maintenance_job($1) AS job", id).fetch_one(pool).await.map(drop)
            }
        };
        report(done, id, json, "cancelled", refused)
    }
}

/// Prints the outcome for one job. A job whose status forbids the change does not stop the change of the others.
fn report(done: sqlx::Result<()>, id: i64, json: bool, yes: &str, refused: &mut Vec<i64>) -> anyhow::Result<()> {
    let reason = match done {
        Ok(()) => None,
        Err(error) if error.as_database_error().is_some_and(|it| it.code().as_deref() == Some("WA024")) => {
            Some(error_text(&error.into()))
        }
        Err(error) => return Err(error.into()),
    };
    print_outcome(json, id, reason.is_none(), yes, reason.as_deref().unwrap_or_default(), refused);
    Ok(())
}
