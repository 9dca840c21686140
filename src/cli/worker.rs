//! `wagres worker list | drain`.

use super::{connect, line, print};
use crate::config::Config;
use clap::Subcommand;
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// Show the running workers
    List,
    /// Stop a worker in order: it hands its sessions over to the others and ends
    Drain {
        /// Id of the worker, see wagres worker list
        worker_id: Uuid,
    },
}

pub(super) async fn run(config: &Config, command: WorkerCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        WorkerCommand::List => {
            let rows = sqlx::query_file!("sql/cli/list_workers.sql").fetch_all(&pool).await?;
            if !json {
                line(&format!(
                    "{:<36} {:<20} {:>8} {:>10} {:>8}  SINCE",
                    "WORKER", "HOST", "SESSIONS", "SHARE", "STATE"
                ));
            }
            for row in rows {
                let state = if row.draining { "draining" } else { "running" };
                let line = json!({
                    "worker_id": row.worker_id, "host": row.host, "pid": row.pid, "version": row.version,
                    "sessions": row.sessions, "share": row.share, "max_sessions": row.max_sessions,
                    "draining": row.draining, "since": row.started_at, "lease_until": row.lease_until,
                });
                let text = format!(
                    "{:<36} {:<20} {:>8} {:>10} {:>8}  {}",
                    row.worker_id,
                    format!("{} ({})", row.host, row.pid),
                    row.sessions,
                    row.share.unwrap_or_default(),
                    state,
                    row.started_at.format("%Y-%m-%d %H:%M:%S")
                );
                print(json, &line, &text);
            }
        }
        WorkerCommand::Drain { worker_id } => {
            sqlx::query!("SELECT wa.drain_worker($1)::text", worker_id).fetch_one(&pool).await?;
            let text = format!("worker {worker_id} hands its sessions over and ends");
            print(json, &json!({ "worker_id": worker_id, "draining": true }), &text);
        }
    }
    Ok(())
}
