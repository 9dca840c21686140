//! `wagres session add | link | list | pause | resume | close`.

use super::{Ear, connect, print, qr, sql_error};
use crate::config::Config;
use crate::db::Db;
use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Make a session; nothing happens when it is there.
    Add {
        /// 1 to 63 letters, digits, dots, underscores, hyphens.
        name: String,
    },
    /// Link a phone: shows QR codes until one is scanned.
    Link {
        /// The session.
        name: String,
    },
    /// Show all sessions.
    List,
    /// Hold back what it has to send; it stays connected and receives.
    Pause {
        /// The session.
        name: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let it send again.
    Resume {
        /// The session.
        name: String,
    },
    /// End the connection and keep the link.
    Close {
        /// The session.
        name: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) async fn run(config: &Config, command: SessionCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        SessionCommand::Add { name } => {
            let id =
                sqlx::query_file_scalar!("sql/cli/add_session.sql", name).fetch_one(&pool).await.map_err(sql_error)?;
            print(json, &json!({ "session": name, "session_id": id }), &format!("session {name} is there"));
        }
        SessionCommand::Link { name } => link(config, &pool, &name, json).await?,
        SessionCommand::List => {
            let rows = sqlx::query_file!("sql/cli/list_sessions.sql").fetch_all(&pool).await?;
            if !json {
                println!("{:<24} {:<13} {:<10} {:<16} REASON", "SESSION", "STATUS", "WISH", "PHONE");
            }
            for row in rows {
                let line = json!({
                    "session": row.name, "status": row.status, "reason": row.status_reason,
                    "desired": row.desired, "phone": row.phone, "since": row.status_at,
                });
                let text = format!(
                    "{:<24} {:<13} {:<10} {:<16} {}",
                    row.name,
                    row.status,
                    row.desired,
                    row.phone.unwrap_or_default(),
                    row.status_reason.unwrap_or_default()
                );
                print(json, &line, text.trim_end());
            }
        }
        SessionCommand::Pause { name, reason } => {
            sqlx::query_file_scalar!("sql/cli/pause.sql", name, reason).fetch_one(&pool).await.map_err(sql_error)?;
            print(
                json,
                &json!({ "session": name, "paused": true }),
                &format!("session {name} sends nothing until resumed"),
            );
        }
        SessionCommand::Resume { name } => {
            sqlx::query_file_scalar!("sql/cli/resume.sql", name).fetch_one(&pool).await.map_err(sql_error)?;
            print(json, &json!({ "session": name, "paused": false }), &format!("session {name} sends again"));
        }
        SessionCommand::Close { name, reason } => {
            let job = sqlx::query_file_scalar!("sql/cli/close_session.sql", name, reason)
                .fetch_one(&pool)
                .await
                .map_err(sql_error)?;
            print(json, &json!({ "session": name, "job": job }), &format!("session {name} is being closed"));
        }
    }
    Ok(())
}

/// Asks for a link and follows the row until the session is connected or nobody scanned.
async fn link(config: &Config, pool: &Db, name: &str, json: bool) -> anyhow::Result<()> {
    let mut ear = Ear::on("wa_session", config).await?;
    let job = sqlx::query_file_scalar!("sql/cli/link_session.sql", name).fetch_one(pool).await.map_err(sql_error)?;
    let mut shown = None;
    loop {
        let row = sqlx::query_file!("sql/cli/watch_session.sql", name, job).fetch_one(pool).await?;
        if row.qr != shown
            && let Some(text) = &row.qr
        {
            let line = json!({ "session": name, "status": row.status, "qr": text, "expires_at": row.qr_expires_at });
            print(
                json,
                &line,
                &format!("{}\nscan it with WhatsApp on the phone: Settings, Linked devices", qr::draw(text)?),
            );
        }
        shown = row.qr;
        match (row.status.as_str(), row.job.as_str()) {
            ("connected", "done") => {
                let phone = row.phone.unwrap_or_default();
                print(
                    json,
                    &json!({ "session": name, "status": "connected", "phone": phone }),
                    &format!("linked: {phone}"),
                );
                return Ok(());
            }
            (_, "failed" | "cancelled") => {
                bail!("not linked: {}", row.last_error.unwrap_or_else(|| "the job was cancelled".into()));
            }
            ("new" | "logged_out" | "banned" | "stopped", "done") => {
                bail!("not linked: {}", row.status_reason.unwrap_or(row.status));
            }
            _ => {}
        }
        ear.wait().await?;
    }
}
