//! `wagres schedule list | show | set | enable | disable | run | delete`.

use super::{connect, line, print};
use crate::config::Config;
use crate::db::Db;
use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// Show all schedules
    List,
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
        ScheduleCommand::List => list(&pool, json).await?,
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

async fn list(pool: &Db, json: bool) -> anyhow::Result<()> {
    let rows = sqlx::query!(
        "SELECT name, tenant, enabled, cron, time_zone, kind, session, last_tick, next_tick, error
         FROM wa.schedule ORDER BY name, tenant"
    )
    .fetch_all(pool)
    .await?;
    if !json {
        line(&format!(
            "{:<20} {:<9} {:<20} {:<16} {:<12} {:<20} NEXT",
            "SCHEDULE", "STATE", "CRON", "TIME ZONE", "KIND", "LAST"
        ));
    }
    for row in rows {
        let state = match (row.enabled, &row.error) {
            (true, _) => "enabled",
            (false, Some(_)) => "failed",
            (false, None) => "disabled",
        };
        let line = json!({
            "schedule": row.name, "tenant": row.tenant, "enabled": row.enabled, "cron": row.cron, "time_zone": row.time_zone,
            "kind": row.kind, "session": row.session, "last_tick": row.last_tick, "next_tick": row.next_tick,
            "error": row.error,
        });
        let kind = row.session.map_or_else(|| row.kind.clone(), |session| format!("{} {session}", row.kind));
        let next = row.error.unwrap_or_else(|| time(row.next_tick));
        let (cron, zone, last) = (row.cron, row.time_zone, time(row.last_tick));
        print(json, &line, &format!("{:<20} {state:<9} {cron:<20} {zone:<16} {kind:<12} {last:<20} {next}", row.name));
    }
    Ok(())
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".into(), |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
}

async fn show(pool: &Db, name: &str, ticks: u32, json: bool) -> anyhow::Result<()> {
    let shown = sqlx::query_file_scalar!("sql/cli/show_schedule.sql", name, i64::from(ticks)).fetch_one(pool).await?;
    if json {
        line(&shown.to_string());
        return Ok(());
    }
    for (field, value) in shown.as_object().context("the row")?.iter().filter(|(field, _)| *field != "ticks") {
        line(&format!("{field:<11} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    for tick in shown["ticks"].as_array().into_iter().flatten() {
        let text = |field: &str| tick[field].as_str().unwrap_or_default().to_owned();
        line(&format!("tick        {} {} as job {}", text("tick"), text("outcome"), tick["job_id"]));
    }
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
