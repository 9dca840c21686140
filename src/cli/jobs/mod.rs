//! `wagres jobs queue | list | show | retry | cancel | purge`: jobs as their tables have them, messages above all.

mod others;
mod purge;

use super::{connect, print, sql_error};
use crate::config::Config;
use crate::db::Db;
use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use others::Other;
use purge::PurgeArgs;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// What each session has left to send, and why it waits.
    Queue,
    /// Show jobs, the newest first.
    List {
        /// Messages, or jobs of sessions, or housekeeping.
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// Of this session only.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// With this status only.
        #[arg(long, value_name = "STATUS")]
        status: Option<Status>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Show all of a job's row.
    Show {
        /// Messages, or jobs of sessions, or housekeeping.
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// The job's id in its table.
        id: i64,
    },
    /// Queue what failed, was cancelled or expired again; of messages that wait, try them now.
    Retry {
        /// Messages, or jobs of sessions, or housekeeping.
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// The jobs' ids in their table.
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Cancel what is queued; housekeeping also while it runs.
    Cancel {
        /// Messages, or jobs of sessions, or housekeeping.
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// The jobs' ids in their table.
        #[arg(required_unless_present = "session", conflicts_with = "session")]
        ids: Vec<i64>,
        /// All that this session has queued.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// Of these, only what goes to this number or JID.
        #[arg(long, value_name = "RECIPIENT", requires = "session")]
        to: Option<String>,
    },
    /// Delete messages that have ended.
    Purge(PurgeArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Table {
    Outbound,
    Session,
    Maintenance,
}

impl Table {
    fn other(self) -> Option<Other> {
        match self {
            Self::Outbound => None,
            Self::Session => Some(Other::Session),
            Self::Maintenance => Some(Other::Maintenance),
        }
    }
}

/// Those of messages, `wa.outbound_status`, and those of the other jobs, `wa.job_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(super) enum Status {
    Queued,
    Running,
    Done,
    Sending,
    Sent,
    Delivered,
    Read,
    Played,
    Failed,
    Cancelled,
    Expired,
}

impl Status {
    /// As SQL has it.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

pub(super) async fn run(config: &Config, command: JobsCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        JobsCommand::Queue => queue(&pool, json).await,
        JobsCommand::Purge(args) => purge::run(&pool, args, json).await,
        JobsCommand::List { table, session, status, limit } => match table.other() {
            None => list(&pool, session, status, limit, json).await,
            Some(other) => other.list(&pool, session, status.map(Status::name), limit, json).await,
        },
        JobsCommand::Show { table, id } => {
            let row = match table.other() {
                None => sqlx::query_scalar!("SELECT to_jsonb(o) - 'live' AS row FROM wa.outbound o WHERE id = $1", id)
                    .fetch_optional(&pool)
                    .await?
                    .flatten(),
                Some(other) => other.row(&pool, id).await?,
            };
            let row = row.with_context(|| format!("nothing there has the id {id}"))?;
            if json {
                println!("{row}");
                return Ok(());
            }
            for (name, value) in row.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                println!("{name:<14} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            Ok(())
        }
        JobsCommand::Retry { table, ids } => {
            let mut left = Vec::new();
            for id in ids {
                if let Some(other) = table.other() {
                    other.retry(&pool, id, json, &mut left).await?;
                    continue;
                }
                let done = sqlx::query_scalar!(r#"SELECT wa.retry($1) AS "done!""#, id)
                    .fetch_one(&pool)
                    .await
                    .map_err(sql_error)?;
                told(json, id, done, "queued again", "nothing to try: it is queued, on its way, or sent", &mut left);
            }
            all_done(&left)
        }
        JobsCommand::Cancel { table, session: Some(session), to, .. } => {
            if table.other().is_some() {
                bail!("--session: only for messages; name other jobs by their ids");
            }
            let count = sqlx::query_scalar!(r#"SELECT wa.cancel_all($1, $2) AS "count!""#, session, to)
                .fetch_one(&pool)
                .await
                .map_err(sql_error)?;
            print(json, &json!({ "session": session, "cancelled": count }), &format!("{count} messages cancelled"));
            Ok(())
        }
        JobsCommand::Cancel { table, ids, .. } => {
            let mut left = Vec::new();
            for id in ids {
                if let Some(other) = table.other() {
                    other.cancel(&pool, id, json, &mut left).await?;
                    continue;
                }
                let done = sqlx::query_scalar!(r#"SELECT wa.cancel($1) AS "done!""#, id)
                    .fetch_one(&pool)
                    .await
                    .map_err(sql_error)?;
                told(json, id, done, "cancelled", "not cancelled: it is on its way, or has ended", &mut left);
            }
            all_done(&left)
        }
    }
}

/// Says of one message whether it was done.
fn told(json: bool, id: i64, done: bool, yes: &str, no: &str, left: &mut Vec<i64>) {
    print(json, &json!({ "id": id, "done": done }), &format!("{id}: {}", if done { yes } else { no }));
    if !done {
        left.push(id);
    }
}

/// The exit code tells a script that not everything was done.
fn all_done(left: &[i64]) -> anyhow::Result<()> {
    if left.is_empty() { Ok(()) } else { bail!("not done: {left:?}") }
}

async fn queue(pool: &Db, json: bool) -> anyhow::Result<()> {
    let rows = sqlx::query_file!("sql/cli/queue.sql").fetch_all(pool).await?;
    if !json {
        println!(
            "{:<24} {:<13} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>7} OLDEST",
            "SESSION", "STATUS", "READY", "SENDING", "SCHEDULED", "RETRYING", "PACED", "HELD", "CHATS"
        );
    }
    for row in rows {
        let line = json!({
            "session": row.session, "status": row.status, "paused": row.paused, "ready": row.ready,
            "sending": row.sending, "scheduled": row.scheduled, "retrying": row.retrying, "paced": row.paced,
            "held": row.held, "chats": row.chats, "oldest": row.oldest, "next_run_at": row.next_run_at,
        });
        let text = format!(
            "{:<24} {:<13} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>7} {}",
            row.session,
            if row.paused { "paused" } else { &row.status },
            row.ready,
            row.sending,
            row.scheduled,
            row.retrying,
            row.paced,
            row.held,
            row.chats,
            at(row.oldest)
        );
        print(json, &line, text.trim_end());
    }
    Ok(())
}

async fn list(
    pool: &Db,
    session: Option<String>,
    status: Option<Status>,
    limit: u32,
    json: bool,
) -> anyhow::Result<()> {
    let status = status.map(Status::name);
    let rows = sqlx::query_file!("sql/cli/list_messages.sql", session, status, i64::from(limit))
        .fetch_all(pool)
        .await
        .map_err(sql_error)?;
    if !json {
        println!(
            "{:<10} {:<20} {:<26} {:<10} {:>5} {:<20} WAITS OR ERROR",
            "ID", "SESSION", "RECIPIENT", "STATUS", "TRIES", "INSERTED"
        );
    }
    for row in rows {
        let line = json!({
            "id": row.id, "session": row.session, "recipient": row.recipient, "kind": row.kind, "status": row.status,
            "attempts": row.attempts, "created_at": row.created_at, "waits_for": row.waits_for, "run_at": row.run_at,
            "last_error": row.last_error,
        });
        let why = match (row.waits_for, row.last_error) {
            (Some(reason), _) if reason == "paused" => "paused with its campaign".to_owned(),
            (Some(reason), _) => format!("{reason} until {}", at(Some(row.run_at))),
            (None, error) => error.unwrap_or_default(),
        };
        let text = format!(
            "{:<10} {:<20} {:<26} {:<10} {:>5} {:<20} {why}",
            row.id,
            row.session,
            row.recipient,
            row.status,
            row.attempts,
            at(Some(row.created_at))
        );
        print(json, &line, text.trim_end());
    }
    Ok(())
}

fn at(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}
