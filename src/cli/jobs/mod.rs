//! `wagres jobs queue | list | show | retry | cancel | purge`: the rows of the job tables; of messages unless `--table`
//! says otherwise.

mod others;
mod purge;

use super::{connect, line, print};
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
    /// Show each session's queue: messages ready, in hand and waiting, and the reason
    Queue,
    /// List jobs, the newest first
    List {
        /// Job table: messages, jobs of sessions, or housekeeping
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// Only of this session
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// Only with this status
        #[arg(long, value_name = "STATUS")]
        status: Option<Status>,
        /// Most jobs to list
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Show all columns of a job
    Show {
        /// Job table: messages, jobs of sessions, or housekeeping
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// Id of the job in its table
        id: i64,
    },
    /// Queue failed, cancelled and expired jobs again; waiting messages are tried at once
    Retry {
        /// Job table: messages, jobs of sessions, or housekeeping
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// Ids of the jobs in their table
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Cancel queued jobs; housekeeping also while it runs
    Cancel {
        /// Job table: messages, jobs of sessions, or housekeeping
        #[arg(long, default_value = "outbound")]
        table: Table,
        /// Ids of the jobs in their table
        #[arg(required_unless_present = "session", conflicts_with = "session")]
        ids: Vec<i64>,
        /// All queued messages of this session
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// Of these only the messages to this number or JID
        #[arg(long, value_name = "RECIPIENT", requires = "session")]
        to: Option<String>,
    },
    /// Delete messages that have ended
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

/// A status of messages (`wa.outbound_status`) or of the other jobs (`wa.job_status`).
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
    /// The status in SQL.
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
            let row = row.with_context(|| format!("no job with id {id} in that table"))?;
            if json {
                line(&row.to_string());
                return Ok(());
            }
            for (name, value) in row.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                line(&format!("{name:<14} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
            Ok(())
        }
        JobsCommand::Retry { table, ids } => {
            let mut refused = Vec::new();
            for id in ids {
                if let Some(other) = table.other() {
                    other.retry(&pool, id, json, &mut refused).await?;
                    continue;
                }
                let done = sqlx::query_scalar!(r#"SELECT wa.retry($1) AS "done!""#, id).fetch_one(&pool).await?;
                print_outcome(
                    json,
                    id,
                    done,
                    "queued again",
                    "not retried: already queued, in hand or sent",
                    &mut refused,
                );
            }
            all_done(&refused)
        }
        JobsCommand::Cancel { table, session: Some(session), to, .. } => {
            if table.other().is_some() {
                bail!("--session: only for messages; other jobs are cancelled by their ids");
            }
            let count = sqlx::query_scalar!(r#"SELECT wa.cancel_all($1, $2) AS "count!""#, session, to)
                .fetch_one(&pool)
                .await?;
            print(json, &json!({ "session": session, "cancelled": count }), &format!("{count} messages cancelled"));
            Ok(())
        }
        JobsCommand::Cancel { table, ids, .. } => {
            let mut refused = Vec::new();
            for id in ids {
                if let Some(other) = table.other() {
                    other.cancel(&pool, id, json, &mut refused).await?;
                    continue;
                }
                let done = sqlx::query_scalar!(r#"SELECT wa.cancel($1) AS "done!""#, id).fetch_one(&pool).await?;
                print_outcome(json, id, done, "cancelled", "not cancelled: in hand or already ended", &mut refused);
            }
            all_done(&refused)
        }
    }
}

/// Prints whether the job was changed, and remembers it in `refused` if not.
fn print_outcome(json: bool, id: i64, done: bool, yes: &str, no: &str, refused: &mut Vec<i64>) {
    print(json, &json!({ "id": id, "done": done }), &format!("{id}: {}", if done { yes } else { no }));
    if !done {
        refused.push(id);
    }
}

/// Fails if a job was refused, so that a script sees it in the exit code.
fn all_done(refused: &[i64]) -> anyhow::Result<()> {
    if refused.is_empty() { Ok(()) } else { bail!("not done: {refused:?}") }
}

async fn queue(pool: &Db, json: bool) -> anyhow::Result<()> {
    let rows = sqlx::query_file!("sql/cli/queue.sql").fetch_all(pool).await?;
    if !json {
        line(&format!(
            "{:<24} {:<13} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>7} OLDEST",
            "SESSION", "STATUS", "READY", "SENDING", "SCHEDULED", "RETRYING", "PACED", "HELD", "CHATS"
        ));
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
    let rows =
        sqlx::query_file!("sql/cli/list_messages.sql", session, status, i64::from(limit)).fetch_all(pool).await?;
    if !json {
        line(&format!(
            "{:<10} {:<20} {:<26} {:<10} {:>5} {:<20} WAITING FOR, OR ERROR",
            "ID", "SESSION", "RECIPIENT", "STATUS", "TRIES", "INSERTED"
        ));
    }
    for row in rows {
        let line = json!({
            "id": row.id, "session": row.session, "recipient": row.recipient, "kind": row.kind, "status": row.status,
            "attempts": row.attempts, "created_at": row.created_at, "waits_for": row.waits_for, "run_at": row.run_at,
            "last_error": row.last_error,
        });
        let why = match (row.waits_for, row.last_error) {
            (Some(reason), _) if reason == "paused" => "paused with its campaign".to_owned(),
            (Some(reason), _) => format!("{reason} until {}", at(row.run_at)),
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
