//! `sweep_keys`: deletes keys whose time to live has passed (A4).

use super::{Batches, sql};
use crate::jobs::JobError;
use serde_json::{Value, json};

pub(super) async fn run(batches: &Batches<'_>) -> Result<Value, JobError> {
    let limit = batches.pace.batch;
    let mut deleted = 0;
    loop {
        let done = sqlx::query_file!("sql/jobs/sweep_keys.sql", limit).execute(batches.pool()).await.map_err(sql)?;
        deleted += done.rows_affected();
        let counts = json!({ "deleted": deleted });
        if done.rows_affected() < limit.unsigned_abs() {
            return Ok(counts);
        }
        batches.rest(&counts).await?;
    }
}
