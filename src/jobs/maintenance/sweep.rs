//! `sweep_keys`: deletes keys whose time to live has passed (A4), old values in the quarantine, and tokens of the web pages
//! that have ended (H2).

use super::{Batches, sql};
use crate::auth::Kind;
use crate::jobs::JobError;
use crate::telemetry;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) async fn run(batches: &Batches<'_>) -> Result<Value, JobError> {
    let limit = batches.pace.batch;
    let (mut kinds, mut quarantine, mut tokens) = (BTreeMap::<String, i64>::new(), 0, 0);
    loop {
        let done = sqlx::query_file!("sql/jobs/sweep_keys.sql", limit, Kind::LidMapping.seconds_to_live());
        let done = done.fetch_one(batches.pool()).await.map_err(sql)?;
        quarantine += done.quarantine;
        tokens += done.tokens;
        for (kind, count) in done.kinds.as_object().into_iter().flatten() {
            let count = count.as_i64().unwrap_or(0);
            telemetry::keys_swept(kind, count);
            *kinds.entry(kind.clone()).or_default() += count;
        }
        let deleted = kinds.values().sum::<i64>() + quarantine + tokens;
        let counts = json!({ "deleted": deleted, "kinds": kinds, "quarantine": quarantine, "tokens": tokens });
        if done.seen < limit && done.quarantine < limit && done.tokens < limit {
            batches.write_event("keys_swept", &counts).await?;
            return Ok(counts);
        }
        batches.rest(&counts).await?;
    }
}
