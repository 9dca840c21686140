//! `wagres auth stats | quarantine | restore | restored | reseal | plain | new-key`.

use super::{connect, line, print};
use crate::auth::{KEY_LENGTH, codec, random};
use crate::config::Config;
use anyhow::ensure;
use clap::{Args, Subcommand};
use serde_json::json;
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
    Reseal,
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
        AuthCommand::Reseal => {
            let pool = connect(config).await?;
            let id = sqlx::query_scalar!("INSERT INTO wa.maintenance_job (kind) VALUES ('reseal_keys') RETURNING id")
                .fetch_one(&pool)
                .await?;
            print(json, &json!({ "job": id }), &format!("queued as maintenance job {id}"));
            Ok(())
        }
        AuthCommand::Plain => {
            let sealed = sqlx::query_file_scalar!("sql/cli/auth_plain.sql").fetch_one(&connect(config).await?).await?;
            ensure!(
                sealed == 0,
                "not done: {sealed} values are sealed; run the workers without encryption.key but with encryption.keys, \
                 then wagres auth reseal (docs/auth.md)"
            );
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

async fn stats(config: &Config, session: Option<String>, json: bool) -> anyhow::Result<()> {
    let rows = sqlx::query_file!("sql/cli/auth_size.sql", session).fetch_all(&connect(config).await?).await?;
    if !json {
        line(&format!("{:<24} {:<24} {:>9} {:>12}  NEXT DEADLINE", "SESSION", "KIND", "KEYS", "BYTES"));
    }
    let (mut keys, mut bytes) = (0, 0);
    for row in rows {
        (keys, bytes) = (keys + row.keys, bytes + row.bytes);
        let line = json!({
            "session": row.session, "kind": row.kind, "keys": row.keys, "bytes": row.bytes,
            "with_deadline": row.with_deadline, "next_deadline": row.next_deadline, "updated_at": row.updated_at,
        });
        let deadline = row.next_deadline.map_or_else(|| "never".into(), |at| at.format("%Y-%m-%d %H:%M").to_string());
        print(
            json,
            &line,
            &format!("{:<24} {:<24} {:>9} {:>12}  {deadline}", row.session, row.kind, row.keys, row.bytes),
        );
    }
    if !json {
        line(&format!("{:<24} {:<24} {keys:>9} {bytes:>12}", "all", ""));
    }
    Ok(())
}

async fn quarantine(config: &Config, session: Option<String>, json: bool) -> anyhow::Result<()> {
    let rows = sqlx::query_file!("sql/cli/auth_quarantine.sql", session).fetch_all(&connect(config).await?).await?;
    // Of each reason, how many values of each kind.
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.reason.clone()).or_default().entry(row.kind.clone()).or_default() += 1;
        let line = json!({
            "id": row.id, "session": row.session, "kind": row.kind, "key_id": row.key_id, "reason": row.reason,
            "created_at": row.created_at, "expires_at": row.expires_at,
        });
        let until = row.expires_at.format("%Y-%m-%d");
        let text =
            format!("{}  {}  {} {:?}: {} (kept until {until})", row.id, row.session, row.kind, row.key_id, row.reason);
        print(json, &line, &text);
    }
    for (reason, kinds) in &counts {
        let total: u64 = kinds.values().sum();
        let each: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let line = json!({ "total": total, "reason": reason, "kinds": kinds });
        print(json, &line, &format!("total {total} ({}): {reason}", each.join(", ")));
    }
    if counts.is_empty() && !json {
        line(&session.map_or("the quarantine is empty".into(), |name| format!("nothing of {name} is quarantined")));
    }
    Ok(())
}
