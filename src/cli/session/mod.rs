//! `wagres session add | link | passkey | confirm | list | show | pause | resume | proxy | move | errors | connect |
//! close | logout`.

mod link;
mod list;
mod page;

use super::listing::{Cell, Listing};
use super::progress::Progress;
use super::{Exit, Fault, RowWatch, connect, line, print, stop_signal};
use crate::config::Config;
use crate::db::Db;
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Add a session; does nothing if it exists
    Add {
        /// Name of the session: 1 to 63 letters, digits, dots, underscores, hyphens
        name: String,
        /// Tenant of the session [default: the only one that you see, else default]
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Link a phone: show QR codes until one is scanned
    Link {
        /// Name of the session
        name: String,
        /// Show a pairing code too, for the phone with this number
        #[arg(long, value_name = "NUMBER")]
        phone: Option<String>,
        /// Print the address of a page on which whoever holds it links a phone
        #[arg(long, conflicts_with = "phone")]
        url: bool,
        /// How long the page is valid, at most seven days: 30min, 2h … [default: 30min]
        #[arg(long, value_name = "TIME", requires = "url", value_parser = super::token::with_unit)]
        valid: Option<String>,
    },
    /// Hand in the answer of a passkey, for an account that demands one
    Passkey {
        /// Name of the session
        name: String,
        /// File with the answer as JSON [default: standard input]
        file: Option<PathBuf>,
    },
    /// Confirm the code that the phone shows while it is linked with a passkey
    Confirm {
        /// Name of the session
        name: String,
        /// The code as the phone shows it: XXXX-XXXX
        code: String,
    },
    /// Show all sessions, and why each does not send
    List(list::ListArgs),
    /// Show everything about a session: status, worker, queue, last jobs
    Show {
        /// Name of the session
        name: String,
    },
    /// Hold back a session's messages; it stays connected and receives
    Pause {
        /// Name of the session
        name: String,
        /// Reason, kept in the session's row
        #[arg(long)]
        reason: Option<String>,
    },
    /// Resume a paused session
    Resume {
        /// Name of the session
        name: String,
    },
    /// Connect a session through a proxy, from its next connection on
    Proxy {
        /// Name of the session
        name: String,
        /// File with http:// or socks5://user:password@host:port [default: standard input]
        file: Option<PathBuf>,
        /// Remove the proxy
        #[arg(long, conflicts_with = "file")]
        none: bool,
    },
    /// Move a session to a worker, which keeps it as long as it lives
    Move {
        /// Name of the session
        name: String,
        /// Id of the worker, see wagres worker list [default: any worker with room]
        worker_id: Option<Uuid>,
        /// Wait until the worker holds the session
        #[arg(long, requires = "worker_id")]
        wait: bool,
    },
    /// Show the last errors of a session, the latest at the end
    Errors {
        /// Name of the session
        name: String,
        /// Most errors to show
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Connect a linked session at once, and keep it connected
    Connect {
        /// Name of the session
        name: String,
    },
    /// Unlink the device and delete its auth state; to use the session again, link it again
    Logout {
        /// Name of the session; it is connected once if it is not connected
        name: String,
        /// Reason, kept in the session's row
        #[arg(long)]
        reason: Option<String>,
        /// Without a connection, delete the auth state and leave the device on the phone's list
        #[arg(long)]
        force: bool,
    },
    /// Disconnect a session; it stays linked
    Close {
        /// Name of the session
        name: String,
        /// Reason, kept in the session's row
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) async fn run(config: &Config, command: SessionCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        SessionCommand::Add { name, tenant } => {
            let id = sqlx::query_scalar!(r#"SELECT wa.add_session($1, $2) AS "session_id!""#, name, tenant);
            let id = id.fetch_one(&pool).await?;
            print(json, &json!({ "session": name, "session_id": id }), &format!("session {name} exists"));
        }
        SessionCommand::Link { name, url: true, valid, .. } => link::url(&pool, &name, valid.as_deref(), json).await?,
        SessionCommand::Link { name, phone, .. } => link::link(config, &pool, &name, phone.as_deref(), json).await?,
        SessionCommand::Passkey { name, file } => link::passkey(&pool, &name, file.as_deref(), json).await?,
        SessionCommand::Confirm { name, code } => link::confirm(&pool, &name, &code, json).await?,
        SessionCommand::List(args) => list::run(config, &pool, args, json).await?,
        SessionCommand::Show { name } => {
            let shown = sqlx::query_file_scalar!("sql/cli/show_session.sql", name).fetch_one(&pool).await;
            let shown = shown?;
            if json {
                line(&shown.to_string());
            } else {
                page::show(&shown);
            }
        }
        SessionCommand::Pause { name, reason } => {
            let paused = sqlx::query_scalar!("SELECT wa.pause($1, $2)::text", name, reason).fetch_one(&pool).await;
            paused?;
            let text = format!("session {name} sends nothing until resumed");
            print(json, &json!({ "session": name, "paused": true }), &text);
        }
        SessionCommand::Resume { name } => {
            let resumed = sqlx::query_scalar!("SELECT wa.resume($1)::text", name).fetch_one(&pool).await;
            resumed?;
            print(json, &json!({ "session": name, "paused": false }), &format!("session {name} sends again"));
        }
        SessionCommand::Proxy { name, file, none } => {
            // Not an argument, because every user of the machine can read those.
            let url = if none { None } else { Some(read(file.as_deref())?.trim().to_owned()) };
            let set = sqlx::query_scalar!("SELECT wa.set_proxy($1, $2)::text", name, url).fetch_one(&pool).await;
            set?;
            print(json, &json!({ "session": name }), "set; takes effect with the next connection");
        }
        SessionCommand::Move { name, worker_id, wait } => {
            let moved =
                sqlx::query_scalar!("SELECT wa.move_session($1, $2)::text", name, worker_id).fetch_one(&pool).await;
            moved?;
            if let Some(id) = worker_id.filter(|_| wait) {
                moved_to(config, &pool, &name, id).await?;
                let line = json!({ "session": name, "worker_id": id, "moved": true });
                print(json, &line, &format!("worker {id} holds session {name}"));
                return Ok(());
            }
            let target = worker_id.map_or("any worker with room".to_owned(), |id| format!("worker {id}"));
            let text = format!("session {name} moves to {target}");
            print(json, &json!({ "session": name, "worker_id": worker_id }), &text);
        }
        SessionCommand::Errors { name, limit } => {
            let found = sqlx::query_file!("sql/cli/session_errors.sql", name, i64::from(limit)).fetch_all(&pool).await;
            let empty = format!("session {name} has no errors; wagres session show {name} shows its state");
            let mut listing = Listing::new(&["WHEN", "WHAT", "ERROR"], empty);
            for row in found?.into_iter().rev() {
                let value = json!({ "at": row.at, "what": row.what, "error": row.error });
                listing.add(&["at"], value, [Cell::when(Some(row.at)), Cell::text(row.what), Cell::text(row.error)]);
            }
            listing.show(json);
        }
        SessionCommand::Connect { name } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.connect($1) AS "job!""#, name).fetch_one(&pool).await;
            print_job(json, &name, job?, "is being connected");
        }
        SessionCommand::Logout { name, reason, force } => {
            let logout = sqlx::query_scalar!(r#"SELECT wa.logout($1, $2, $3) AS "job!""#, name, reason, force);
            let job = logout.fetch_one(&pool).await;
            print_job(json, &name, job?, "is being unlinked");
        }
        SessionCommand::Close { name, reason } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.close($1, $2) AS "job!""#, name, reason).fetch_one(&pool).await;
            print_job(json, &name, job?, "is being closed");
        }
    }
    Ok(())
}

/// Waits until this worker holds the session.
async fn moved_to(config: &Config, pool: &Db, name: &str, worker_id: Uuid) -> anyhow::Result<()> {
    let (stop, mut watch) = (stop_signal()?, RowWatch::on("wa_session", config).await?);
    let _progress = Progress::working(format!("session {name} moves"));
    loop {
        let held = sqlx::query_file!("sql/cli/move_progress.sql", name, worker_id).fetch_one(pool).await?;
        if held.there {
            return Ok(());
        }
        let ended = match (held.lives, held.requested) {
            (true, true) => None,
            (false, _) => Some(format!("worker {worker_id} has ended; another one takes session {name}")),
            (true, false) => Some(format!("another move of session {name} has replaced this one")),
        };
        if let Some(text) = ended {
            return Err(Fault::error(Exit::Failed, text));
        }
        tokio::select! {
            () = stop.cancelled() => {
                return Err(Fault::error(Exit::Failed, format!("session {name} is still moving; wagres session show {name}")));
            }
            changed = watch.wait() => changed?,
        }
    }
}

fn print_job(json: bool, session: &str, job: i64, text: &str) {
    print(json, &json!({ "session": session, "job": job }), &format!("session {session} {text}"));
}

/// The content of `file`, else of standard input.
fn read(file: Option<&Path>) -> anyhow::Result<String> {
    match file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())),
        None => std::io::read_to_string(std::io::stdin()).context("cannot read standard input"),
    }
}
