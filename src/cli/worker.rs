//! `wagres worker list | drain`.

use super::listing::{Cell, Listing, WatchArgs, watch};
use super::{connect, print};
use crate::config::Config;
use crate::db::Db;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// Show the running workers
    List(WatchArgs),
    /// Stop a worker in order: it hands its sessions over to the others and ends
    Drain {
        /// Id of the worker, see wagres worker list
        worker_id: Uuid,
    },
}

pub(super) async fn run(config: &Config, command: WorkerCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        WorkerCommand::List(WatchArgs { watch: true }) => {
            watch(config, "wa_session", json, async || list(&pool).await).await?;
        }
        WorkerCommand::List(_) => list(&pool).await?.show(json),
        WorkerCommand::Drain { worker_id } => {
            sqlx::query!("SELECT wa.drain_worker($1)::text", worker_id).fetch_one(&pool).await?;
            let text = format!("worker {worker_id} hands its sessions over and ends");
            print(json, &json!({ "worker_id": worker_id, "draining": true }), &text);
        }
    }
    Ok(())
}

async fn list(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["WORKER", "HOST", "STATE", "SESSIONS", "SHARE", "STARTED", "VERSION"],
        "no worker runs; wagres worker starts one",
    );
    for row in sqlx::query_file!("sql/cli/list_workers.sql").fetch_all(pool).await? {
        let value = json!({
            "worker_id": row.worker_id, "host": row.host, "pid": row.pid, "version": row.version,
            "sessions": row.sessions, "share": row.share, "max_sessions": row.max_sessions,
            "draining": row.draining, "since": row.started_at, "lease_until": row.lease_until,
        });
        let cells = [
            Cell::text(row.worker_id),
            Cell::text(format!("{} ({})", row.host, row.pid)),
            Cell::status(if row.draining { "draining" } else { "running" }),
            Cell::number(row.sessions),
            Cell::number(row.share.unwrap_or_default()),
            Cell::when(Some(row.started_at)),
            Cell::text(row.version),
        ];
        listing.add(&["worker_id"], value, cells);
    }
    Ok(listing)
}
