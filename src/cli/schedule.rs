//! `wagres schedule list | show | set | enable | disable | run | delete`.

use super::listing::{Cell, Listing, WatchArgs, watch};
use super::{connect, line, print, words};
use crate::config::Config;
use crate::db::Db;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// Show all schedules
    List(WatchArgs),
    /// Show a schedule and its last ticks
    Show {
        /// Name of the schedule
        name: String,
        /// Most ticks to show
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
        ticks: u32,
    },
    /// Add or change a schedule; settings that you leave out stay as they are
    Set(SetArgs),
    /// Enable a schedule, from its next tick on
    Enable {
        /// Name of the schedule
        name: String,
    },
    /// Disable a schedule
    Disable {
        /// Name of the schedule
        name: String,
    },
    /// Queue the job of a schedule now, whether it is enabled or not
    Run {
        /// Name of the schedule
        name: String,
    },
    /// Delete a schedule; its jobs stay
    Delete {
        /// Name of the schedule
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Name of the schedule: 1 to 63 letters, digits, dots, underscores, hyphens
    name: String,
    /// Cron expression of minute, hour, day of month, month, day of week: "30 3 * * *"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    #[arg(long, help = "Kind of the job: sweep_keys, reseal_keys, retention; for a session: connect, close, text")]
    kind: Option<String>,
    /// Arguments of the kind, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    args: Option<Value>,
    /// Session, for kinds of a session
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Time zone of the cron expression: Europe/Berlin, UTC … [new schedules: UTC]
    #[arg(long, value_name = "NAME")]
    time_zone: Option<String>,
    /// Rule for ticks missed while no worker ran: fire none, one or all of them [new schedules: once]
    #[arg(long, value_name = "RULE", value_parser = ["skip", "once", "all"])]
    missed: Option<String>,
}

/// Parses JSON. Without this parser clap would make a JSON string of the text, because `Value` is `From<String>`.
fn object(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
}

pub(super) async fn run(config: &Config, command: ScheduleCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    let print_done = |name: &str, state: &str| {
        print(json, &json!({ "schedule": name, state: true }), &format!("schedule {name} is {state}"));
    };
    match command {
        ScheduleCommand::List(WatchArgs { watch: true }) => {
            watch(config, "wa_work", json, async || list(&pool).await).await?;
        }
        ScheduleCommand::List(_) => list(&pool).await?.show(json),
        ScheduleCommand::Show { name, ticks } => show(&pool, &name, ticks, json).await?,
        ScheduleCommand::Set(args) => set(&pool, args, json).await?,
        ScheduleCommand::Enable { name } => {
            sqlx::query!("SELECT wa.enable_schedule($1)", name).execute(&pool).await?;
            print_done(&name, "enabled");
        }
        ScheduleCommand::Disable { name } => {
            sqlx::query!("SELECT wa.disable_schedule($1)", name).execute(&pool).await?;
            print_done(&name, "disabled");
        }
        ScheduleCommand::Run { name } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.run_now($1) AS "job!""#, name).fetch_one(&pool).await?;
            print(json, &json!({ "schedule": name, "job": job }), &format!("schedule {name}: queued as job {job}"));
        }
        ScheduleCommand::Delete { name } => {
            sqlx::query!("SELECT wa.unschedule($1)", name).execute(&pool).await?;
            print_done(&name, "deleted");
        }
    }
    Ok(())
}

async fn list(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["SCHEDULE", "STATE", "CRON", "TIME ZONE", "KIND", "SESSION", "LAST", "NEXT"],
        "no schedules; wagres schedule set NAME --cron '0 3 * * *' --kind retention adds one",
    );
    let rows = sqlx::query!(
        "SELECT name, tenant, enabled, cron, time_zone, kind, session, last_tick, next_tick, error
         FROM wa.schedule ORDER BY name, tenant"
    );
    for row in rows.fetch_all(pool).await? {
        let state = match (row.enabled, &row.error) {
            (true, _) => "enabled",
            (false, Some(_)) => "failed",
            (false, None) => "disabled",
        };
        let value = json!({
            "schedule": row.name, "tenant": row.tenant, "enabled": row.enabled, "cron": row.cron, "time_zone": row.time_zone,
            "kind": row.kind, "session": row.session, "last_tick": row.last_tick, "next_tick": row.next_tick,
            "error": row.error,
        });
        let next = match row.error {
            Some(error) => Cell::fault(Some(error)),
            None => Cell::when(row.next_tick),
        };
        let cells = [
            Cell::text(row.name),
            Cell::status(state),
            Cell::text(row.cron),
            Cell::text(row.time_zone),
            Cell::text(row.kind),
            Cell::maybe(row.session),
            Cell::when_or(row.last_tick, "never"),
            next,
        ];
        listing.add(&["schedule", "tenant"], value, cells);
    }
    Ok(listing)
}

async fn show(pool: &Db, name: &str, ticks: u32, json: bool) -> anyhow::Result<()> {
    let mut shown =
        sqlx::query_file_scalar!("sql/cli/show_schedule.sql", name, i64::from(ticks)).fetch_one(pool).await?;
    if json {
        line(&shown.to_string());
        return Ok(());
    }
    let ticks = shown.as_object_mut().context("the row")?.remove("ticks").unwrap_or_default();
    line(&words::fields(shown.as_object().context("the row")?));
    let empty = format!("not due yet; wagres schedule run {name} runs it now");
    let mut listing = Listing::new(&["TICK", "OUTCOME", "JOB"], empty);
    for tick in ticks.as_array().into_iter().flatten() {
        let at = tick["tick"].as_str().and_then(|at| at.parse().ok());
        let outcome = Cell::maybe(tick["outcome"].as_str());
        let job = Cell::right(tick["job_id"].as_i64().map(|id| id.to_string()).unwrap_or_default());
        listing.add(&["tick"], tick.clone(), [Cell::when(at), outcome, job]);
    }
    line("");
    listing.show(false);
    Ok(())
}

async fn set(pool: &Db, args: SetArgs, json: bool) -> anyhow::Result<()> {
    let SetArgs { name, cron, kind, args, session, time_zone, missed } = args;
    sqlx::query!(
        "SELECT wa.schedule($1, $2, $3, $4, $5, $6, ($7::text)::wa.missed_rule)",
        name,
        cron,
        kind,
        args,
        session,
        time_zone,
        missed
    )
    .fetch_one(pool)
    .await?;
    print(json, &json!({ "schedule": name, "set": true }), &format!("schedule {name} is set"));
    Ok(())
}
