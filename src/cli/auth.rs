//! `wagres auth stats | quarantine | restore | restored | reseal | plain | new-key`.

use super::listing::{Cell, Listing};
use super::names::known_session;
use super::progress::Progress;
use super::{Exit, Fault, RowWatch, connect, print, stop_signal};
use crate::auth::{KEY_LENGTH, codec, random};
use crate::config::Config;
use crate::db::Db;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Subcommand)]
pub(super) enum AuthCommand {
    /// Show keys and bytes of the auth state by session and kind
    Stats(SessionFilter),
    /// Show quarantined auth state: values that could not be read, and that of sessions which were unlinked
    Quarantine(SessionFilter),
    /// Take the auth state of an unlinked session back from the quarantine; then connect the session
    ///
    /// A session that the phone, WhatsApp or a limit on crypto errors unlinked keeps its auth state in the quarantine for
    /// 30 days. wagres session connect then shows whether WhatsApp still accepts the device.
    Restore {
        /// Name of the session
        session: String,
    },
    /// Start new Signal sessions everywhere, after a restore of the database that workers cannot notice
    Restored,
    /// Queue the job that encrypts the auth state of all sessions with the key in force
    Reseal {
        /// Wait until a worker has done it
        #[arg(long)]
        wait: bool,
    },
    /// Let workers without a key write again, after every value was opened
    Plain,
    /// Print a new key for the encryption of the auth state
    NewKey,
}

#[derive(Debug, Args)]
pub(super) struct SessionFilter {
    /// Only of this session
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
}

pub(super) async fn run(config: &Config, command: AuthCommand, json: bool) -> anyhow::Result<()> {
    match command {
        AuthCommand::Stats(SessionFilter { session }) => stats(config, session, json).await,
        AuthCommand::Quarantine(SessionFilter { session }) => quarantine(config, session, json).await,
        AuthCommand::Restore { session } => {
            let restored = sqlx::query_scalar!(r#"SELECT wa.restore_auth($1) AS "keys!""#, session);
            let keys = restored.fetch_one(&connect(config).await?).await?;
            let text = format!(
                "{keys} keys of {session} are taken back; wagres session connect {session} shows whether WhatsApp accepts them"
            );
            print(json, &json!({ "session": session, "keys": keys }), &text);
            Ok(())
        }
        AuthCommand::Restored => {
            let restored = sqlx::query_scalar!(r#"SELECT wa.restored() AS "sessions!""#);
            let sessions = restored.fetch_one(&connect(config).await?).await?;
            let text = format!("{sessions} linked sessions start new Signal sessions when they next connect");
            print(json, &json!({ "sessions": sessions }), &text);
            Ok(())
        }
        AuthCommand::Reseal { wait } => {
            let pool = connect(config).await?;
            let id = sqlx::query_scalar!("INSERT INTO wa.maintenance_job (kind) VALUES ('reseal_keys') RETURNING id")
                .fetch_one(&pool)
                .await?;
            if wait {
                let result = resealed(config, &pool, id).await?;
                let count = |field: &str| result[field].as_u64().unwrap_or_default();
                let mut text = format!(
                    "maintenance job {id} is done: {} values rewritten, {} in order already, {} unreadable",
                    count("resealed"),
                    count("in_order"),
                    count("closed")
                );
                if let Some(reason) = result["reason"].as_str() {
                    text = format!("{text}: {reason}");
                }
                print(json, &json!({ "job": id, "result": result }), &text);
            } else {
                print(json, &json!({ "job": id }), &format!("queued as maintenance job {id}"));
            }
            Ok(())
        }
        AuthCommand::Plain => {
            let sealed = sqlx::query_file_scalar!("sql/cli/auth_plain.sql").fetch_one(&connect(config).await?).await?;
            if sealed > 0 {
                let text = format!(
                    "not done: {sealed} values are sealed; run the workers without encryption.key but with \
                     encryption.keys, then wagres auth reseal (docs/auth.md)"
                );
                return Err(Fault::error(Exit::Refused, text));
            }
            print(json, &json!({ "sealing": false }), "workers without a key may write the auth state");
            Ok(())
        }
        AuthCommand::NewKey => {
            let mut key = [0; KEY_LENGTH];
            random::fill(&mut key);
            let key = codec::base64(&key);
            print(json, &json!({ "key": key }), &key);
            Ok(())
        }
    }
}

/// Waits for the end of the job, and returns its result.
async fn resealed(config: &Config, pool: &Db, id: i64) -> anyhow::Result<Value> {
    let (stop, mut watch) = (stop_signal()?, RowWatch::on("wa_job", config).await?);
    let bar = Progress::of(1, "keys, credentials and secrets; waiting for a worker");
    loop {
        let job = sqlx::query_file!("sql/cli/reseal_progress.sql", id).fetch_one(pool).await?;
        let result = job.result.unwrap_or_default();
        let count = |field: &str| result[field].as_u64().unwrap_or_default();
        bar.total(job.keys.unsigned_abs());
        bar.at(count("resealed") + count("in_order") + count("closed"));
        match job.status.as_str() {
            "done" => return Ok(result),
            "failed" | "cancelled" => {
                let why = job.last_error.unwrap_or(job.status);
                return Err(Fault::error(Exit::Failed, format!("maintenance job {id}: {why}")));
            }
            "running" => bar.says("keys, credentials and secrets"),
            _ => {}
        }
        tokio::select! {
            () = stop.cancelled() => {
                let text = format!("not waited for; wagres jobs show --table maintenance {id} shows the job");
                return Err(Fault::error(Exit::Failed, text));
            }
            changed = watch.wait() => changed?,
        }
    }
}

async fn stats(config: &Config, session: Option<String>, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    known_session(&pool, session.as_deref()).await?;
    let mut listing = Listing::new(
        &["SESSION", "KIND", "KEYS", "SIZE", "NEXT DEADLINE"],
        "no auth state; wagres session link SESSION links a phone",
    );
    let (mut keys, mut bytes) = (0, 0);
    for row in sqlx::query_file!("sql/cli/auth_size.sql", session).fetch_all(&pool).await? {
        (keys, bytes) = (keys + row.keys, bytes + row.bytes);
        let value = json!({
            "session": row.session, "kind": row.kind, "keys": row.keys, "bytes": row.bytes,
            "with_deadline": row.with_deadline, "next_deadline": row.next_deadline, "updated_at": row.updated_at,
        });
        let cells = [
            Cell::text(row.session),
            Cell::text(row.kind),
            Cell::number(row.keys),
            Cell::bytes(row.bytes),
            Cell::when_or(row.next_deadline, "never"),
        ];
        listing.add(&["session", "kind"], value, cells);
    }
    if !json && keys > 0 {
        listing.add(&[], json!({}), [Cell::text("all"), Cell::text(""), Cell::number(keys), Cell::bytes(bytes)]);
    }
    listing.show(json);
    Ok(())
}

async fn quarantine(config: &Config, session: Option<String>, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    known_session(&pool, session.as_deref()).await?;
    let rows = sqlx::query_file!("sql/cli/auth_quarantine.sql", session).fetch_all(&pool).await?;
    let nothing = session.map_or("the quarantine is empty".into(), |name| format!("nothing of {name} is quarantined"));
    let mut listing = Listing::new(&["ID", "SESSION", "KIND", "KEY", "KEPT UNTIL", "REASON"], nothing);
    // Of each reason, how many values of each kind.
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.reason.clone()).or_default().entry(row.kind.clone()).or_default() += 1;
        let value = json!({
            "id": row.id, "session": row.session, "kind": row.kind, "key_id": row.key_id, "reason": row.reason,
            "created_at": row.created_at, "expires_at": row.expires_at,
        });
        let cells = [
            Cell::number(row.id),
            Cell::text(row.session),
            Cell::text(row.kind),
            Cell::text(row.key_id),
            Cell::when(Some(row.expires_at)),
            Cell::text(row.reason),
        ];
        listing.add(&["id"], value, cells);
    }
    listing.show(json);
    for (reason, kinds) in &counts {
        let total: u64 = kinds.values().sum();
        let each: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let line = json!({ "total": total, "reason": reason, "kinds": kinds });
        print(json, &line, &format!("total {total} ({}): {reason}", each.join(", ")));
    }
    Ok(())
}
