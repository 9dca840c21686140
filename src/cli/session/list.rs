//! `wagres session list`: all sessions, and why each does not send.

use crate::cli::listing::{Cell, Listing, WatchArgs, watch};
use crate::cli::names::known_tenant;
use crate::cli::words::ago;
use crate::config::Config;
use crate::db::Db;
use clap::{Args, ValueEnum};
use serde_json::json;

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only with this status
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only those that send nothing until a person acts
    #[arg(long)]
    stuck: bool,
    #[command(flatten)]
    watch: WatchArgs,
}

/// A status of sessions (`wa.session_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Status {
    New,
    Linking,
    Connecting,
    Connected,
    Disconnected,
    LoggedOut,
    Banned,
    Stopped,
}

pub(super) async fn run(config: &Config, pool: &Db, args: ListArgs, json: bool) -> anyhow::Result<()> {
    known_tenant(pool, args.tenant.as_deref()).await?;
    if args.watch.watch {
        return watch(config, "wa_session", json, async || fetch(pool, &args).await).await;
    }
    fetch(pool, &args).await?.show(json);
    Ok(())
}

async fn fetch(pool: &Db, args: &ListArgs) -> anyhow::Result<Listing> {
    let some = args.status.is_some() || args.tenant.is_some() || args.stuck;
    let empty = if some {
        "no such sessions; wagres session list shows all"
    } else {
        "no sessions; wagres session add NAME adds one"
    };
    let mut listing =
        Listing::new(&["SESSION", "STATUS", "SINCE", "DESIRED", "PHONE", "STUCK", "WHY IT DOES NOT SEND"], empty);
    let status = args.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
    let rows = sqlx::query_file!("sql/cli/list_sessions.sql", status, args.tenant, args.stuck);
    for row in rows.fetch_all(pool).await? {
        let value = json!({
            "session": row.session, "tenant": row.tenant, "status": row.status, "since": row.since,
            "status_reason": row.status_reason, "desired": row.desired, "phone": row.phone, "reason": row.reason,
            "stuck": row.stuck,
        });
        let cells = [
            Cell::text(row.session),
            Cell::status(row.status),
            Cell::text(ago(row.age)),
            Cell::text(row.desired),
            Cell::maybe(row.phone),
            Cell::fault(row.stuck.then_some("yes")),
            Cell::maybe(row.reason),
        ];
        listing.add(&["session"], value, cells);
    }
    Ok(listing)
}
