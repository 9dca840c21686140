//! `wagres jobs queue | list | show | retry | cancel | purge`: the rows of the job tables; of messages unless `--table`
//! says otherwise.

mod others;
mod purge;

use super::listing::{Cell, Listing, WatchArgs, watch};
use super::names::known_session;
use super::words::{self, when};
use super::{Exit, Fault, connect, line, print};
use crate::config::Config;
use crate::db::Db;
use clap::{Subcommand, ValueEnum};
use others::Other;
use purge::PurgeArgs;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum JobsCommand {
    /// Show each session's queue: messages ready, in hand and waiting, and the reason
    Queue(WatchArgs),
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
        #[command(flatten)]
        watch: WatchArgs,
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

/// Which jobs a list shows: of this session, with this status, at most so many.
struct Only {
    session: Option<String>,
    status: Option<String>,
    limit: i64,
}

pub(super) async fn run(config: &Config, command: JobsCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        JobsCommand::Queue(WatchArgs { watch: true }) => {
            watch(config, "wa_status", json, async || queue(&pool).await).await
        }
        JobsCommand::Queue(_) => {
            queue(&pool).await?.show(json);
            Ok(())
        }
        JobsCommand::Purge(args) => purge::run(&pool, args, json).await,
        JobsCommand::List { table, session, status, limit, watch: WatchArgs { watch: watched } } => {
            known_session(&pool, session.as_deref()).await?;
            let only = Only { session, status: status.map(Status::name), limit: i64::from(limit) };
            let fetch = async || match table.other() {
                None => list(&pool, &only).await,
                Some(other) => other.list(&pool, &only).await,
            };
            if watched {
                let channel = if table.other().is_some() { "wa_job" } else { "wa_status" };
                return watch(config, channel, json, fetch).await;
            }
            fetch().await?.show(json);
            Ok(())
        }
        JobsCommand::Show { table, id } => {
            let row = match table.other() {
                None => sqlx::query_scalar!("SELECT to_jsonb(o) - 'live' AS row FROM wa.outbound o WHERE id = $1", id)
                    .fetch_optional(&pool)
                    .await?
                    .flatten(),
                Some(other) => other.row(&pool, id).await?,
            };
            let row = row.ok_or_else(|| Fault::error(Exit::NotFound, format!("no job with id {id} in that table")))?;
            if json {
                line(&row.to_string());
                return Ok(());
            }
            line(&row.as_object().map(words::fields).unwrap_or_default());
            Ok(())
        }
        JobsCommand::Retry { table, ids } => {
            let (mut refused, named) = (Vec::new(), ids.len());
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
                    "not retried: unknown, already queued, in hand or sent",
                    &mut refused,
                );
            }
            all_done(&refused, named)
        }
        JobsCommand::Cancel { table, session: Some(session), to, .. } => {
            if table.other().is_some() {
                let text = "--session: only for messages; other jobs are cancelled by their ids";
                return Err(Fault::error(Exit::Usage, text));
            }
            let count = sqlx::query_scalar!(r#"SELECT wa.cancel_all($1, $2) AS "count!""#, session, to)
                .fetch_one(&pool)
                .await?;
            print(json, &json!({ "session": session, "cancelled": count }), &format!("{count} messages cancelled"));
            Ok(())
        }
        JobsCommand::Cancel { table, ids, .. } => {
            let (mut refused, named) = (Vec::new(), ids.len());
            for id in ids {
                if let Some(other) = table.other() {
                    other.cancel(&pool, id, json, &mut refused).await?;
                    continue;
                }
                let done = sqlx::query_scalar!(r#"SELECT wa.cancel($1) AS "done!""#, id).fetch_one(&pool).await?;
                print_outcome(
                    json,
                    id,
                    done,
                    "cancelled",
                    "not cancelled: unknown, in hand or already ended",
                    &mut refused,
                );
            }
            all_done(&refused, named)
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

/// Fails if one of the `named` jobs was refused, so that a script sees it in the exit code.
fn all_done(refused: &[i64], named: usize) -> anyhow::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let exit = if refused.len() == named { Exit::Refused } else { Exit::PartlyDone };
    Err(Fault::error(exit, format!("not done: {refused:?}")))
}

async fn queue(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["SESSION", "STATUS", "READY", "SENDING", "SCHEDULED", "RETRYING", "PACED", "HELD", "CHATS", "OLDEST", "NEXT"],
        "no sessions; wagres session add NAME adds one",
    );
    for row in sqlx::query_file!("sql/cli/queue.sql").fetch_all(pool).await? {
        let value = json!({
            "session": row.session, "status": row.status, "paused": row.paused, "ready": row.ready,
            "sending": row.sending, "scheduled": row.scheduled, "retrying": row.retrying, "paced": row.paced,
            "held": row.held, "chats": row.chats, "oldest": row.oldest, "next_run_at": row.next_run_at,
        });
        let cells = [
            Cell::text(row.session),
            Cell::status(if row.paused { "paused".to_owned() } else { row.status }),
            Cell::number(row.ready),
            Cell::number(row.sending),
            Cell::number(row.scheduled),
            Cell::number(row.retrying),
            Cell::number(row.paced),
            Cell::number(row.held),
            Cell::number(row.chats),
            Cell::when(row.oldest),
            Cell::when(row.next_run_at),
        ];
        listing.add(&["session"], value, cells);
    }
    Ok(listing)
}

async fn list(pool: &Db, only: &Only) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["ID", "SESSION", "RECIPIENT", "KIND", "STATUS", "TRIES", "INSERTED", "WAITING FOR, OR ERROR"],
        "no such messages; wagres send SESSION RECIPIENT TEXT queues one",
    );
    let rows = sqlx::query_file!("sql/cli/list_messages.sql", only.session, only.status, only.limit);
    for row in rows.fetch_all(pool).await? {
        let value = json!({
            "id": row.id, "session": row.session, "recipient": row.recipient, "kind": row.kind, "status": row.status,
            "attempts": row.attempts, "created_at": row.created_at, "waits_for": row.waits_for, "run_at": row.run_at,
            "last_error": row.last_error,
        });
        let why = match (row.waits_for, row.last_error) {
            (Some(reason), _) if reason == "paused" => Cell::text("paused with its campaign"),
            (Some(reason), _) => Cell::text(format!("{reason} {}", row.run_at.map(when).unwrap_or_default())),
            (None, error) => Cell::fault(error),
        };
        let cells = [
            Cell::number(row.id),
            Cell::text(row.session),
            Cell::text(row.recipient),
            Cell::text(row.kind),
            Cell::status(row.status),
            Cell::number(row.attempts),
            Cell::when(Some(row.created_at)),
            why,
        ];
        listing.add(&["id"], value, cells);
    }
    Ok(listing)
}
