//! `sweep_keys`: deletes keys whose time to live has passed (A4).

use super::{Batches, sql};
use crate::jobs::JobError;
use serde_json::{Value, json};

pub(super) async fn run(batches: &Batches<'_>) -> Result<Value, JobError> {
    let limit = batches.pace.batch;
    let mut deleted = 0;
    loop {
        let done = sqlx::query_file!("sql/jobs/sweep_keys.sql", limit).fetch_one(batches.pool()).await.map_err(sql)?;
        deleted += done.keys + done.quarantine;
        let counts = json!({ "deleted": deleted });
        if done.keys < limit && done.quarantine < limit {
            return Ok(counts);
        }
        batches.rest(&counts).await?;
    }
}
