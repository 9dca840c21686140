//! `reseal_keys`: encrypts the whole auth state with the current key (A6).
//!
//! Walks credentials, addresses of proxies, secrets of webhooks and keys in the order of their ids. A value that is already as it would be
//! written now is left alone. Any other is rewritten, unless its holder writes it first, and keeps its age. A value that
//! cannot be decrypted stays as it is and is counted. Values in the quarantine are left until they are deleted.

use super::{Batches, sql};
use crate::auth::{SealPlace, Vault};
use crate::jobs::JobError;
use serde_json::{Value, json};

/// The values of one batch to rewrite.
#[derive(Default)]
struct Batch {
    session_ids: Vec<i64>,
    kinds: Vec<String>,
    key_ids: Vec<String>,
    old: Vec<Value>,
    new: Vec<Value>,
}

#[derive(Default)]
struct Counts {
    resealed: u64,
    current: u64,
    unreadable: u64,
    reason: Option<String>,
}

impl Counts {
    fn to_json(&self, vault: &Vault) -> Value {
        json!({
            "key": vault.current(), "resealed": self.resealed, "in_order": self.current, "closed": self.unreadable,
            "reason": self.reason,
        })
    }

    /// Adds a value to the batch if it has to be rewritten.
    fn add(&mut self, vault: &Vault, batch: &mut Batch, place: SealPlace<'_>, value: Value) {
        let tidied =
            if place.kind == SealPlace::CREDS { crate::auth::creds::tidied(value.clone()) } else { value.clone() };
        match vault.reseal(place, tidied) {
            Ok(None) => self.current += 1,
            Ok(Some(new)) => {
                batch.session_ids.push(place.session_id);
                batch.kinds.push(place.kind.to_owned());
                batch.key_ids.push(place.key_id.to_owned());
                batch.old.push(value);
                batch.new.push(new);
            }
            Err(error) => {
                self.unreadable += 1;
                self.reason = Some(error.to_string());
            }
        }
    }
}

pub(super) async fn run(batches: &Batches<'_>) -> Result<Value, JobError> {
    let (vault, limit) = (&batches.maintenance.vault, batches.pace.batch);
    if vault.is_empty() {
        let reason = "this worker has no encryption.keys, so nothing was encrypted or decrypted; set them and \
                      encryption.key, restart the workers, and run this again (docs/auth.md)";
        return Err(JobError::Permanent(reason.into()));
    }
    let mut counts = Counts::default();

    // Of the tables with one value for each session.
    macro_rules! reseal {
        ($page:literal, $write:literal, $place:path, $value:ident) => {
            let mut after = 0;
            loop {
                let rows = sqlx::query_file!($page, after, limit).fetch_all(batches.pool()).await.map_err(sql)?;
                let Some(last) = rows.last().map(|row| row.session_id) else { break };
                let mut batch = Batch::default();
                for row in rows {
                    counts.add(vault, &mut batch, $place(row.session_id), row.$value);
                }
                let done = sqlx::query_file!($write, &batch.session_ids, &batch.old, &batch.new);
                counts.resealed += done.execute(batches.pool()).await.map_err(sql)?.rows_affected();
                after = last;
                batches.rest(&counts.to_json(vault)).await?;
            }
        };
    }
    reseal!("sql/jobs/reseal_creds_page.sql", "sql/jobs/reseal_creds.sql", SealPlace::creds, creds);
    reseal!("sql/jobs/reseal_proxies_page.sql", "sql/jobs/reseal_proxies.sql", SealPlace::proxy, url);

    let mut after = 0;
    loop {
        let rows = sqlx::query_file!("sql/jobs/reseal_webhooks_page.sql", after, limit);
        let rows = rows.fetch_all(batches.pool()).await.map_err(sql)?;
        let Some(last) = rows.last().map(|row| row.secret_id) else { break };
        let mut batch = Batch::default();
        for row in rows {
            let id = row.secret_id.to_string();
            counts.add(vault, &mut batch, SealPlace::webhook(row.webhook_id, &id), row.value);
        }
        let done = sqlx::query_file!("sql/jobs/reseal_webhooks.sql", &batch.key_ids, &batch.old, &batch.new);
        counts.resealed += done.execute(batches.pool()).await.map_err(sql)?.rows_affected();
        after = last;
        batches.rest(&counts.to_json(vault)).await?;
    }

    let mut after = (0, String::new(), String::new());
    loop {
        let (session_id, kind, key_id) = &after;
        let rows = sqlx::query_file!("sql/jobs/reseal_keys_page.sql", session_id, kind, key_id, limit);
        let rows = rows.fetch_all(batches.pool()).await.map_err(sql)?;
        let Some(last) = rows.last().map(|row| (row.session_id, row.kind.clone(), row.key_id.clone())) else { break };
        let mut batch = Batch::default();
        for row in rows {
            let place = SealPlace { session_id: row.session_id, kind: &row.kind, key_id: &row.key_id };
            counts.add(vault, &mut batch, place, row.value);
        }
        let Batch { session_ids, kinds, key_ids, old, new } = &batch;
        let done = sqlx::query_file!("sql/jobs/reseal_keys.sql", session_ids, kinds, key_ids, old, new);
        counts.resealed += done.execute(batches.pool()).await.map_err(sql)?.rows_affected();
        after = last;
        batches.rest(&counts.to_json(vault)).await?;
    }

    let counts = counts.to_json(vault);
    batches.write_event("keys_resealed", &counts).await?;
    Ok(counts)
}
