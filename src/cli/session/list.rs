//! `wagres session list`: all sessions, and why each does not send.

use crate::cli::{RowWatch, line, out, stop_signal};
use crate::config::Config;
use crate::db::Db;
use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

/// Many changes at once are shown as one.
const TOGETHER: Duration = Duration::from_millis(300);
/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

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
    /// Show the list again at each change; with --json the lines that have changed
    #[arg(long)]
    watch: bool,
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

/// A session, as the list shows it.
struct Listed {
    session: String,
    tenant: String,
    status: String,
    status_reason: Option<String>,
    since: DateTime<Utc>,
    age: f64,
    desired: String,
    phone: Option<String>,
    reason: Option<String>,
    stuck: bool,
}

impl Listed {
    fn json(&self) -> Value {
        json!({
            "session": self.session, "tenant": self.tenant, "status": self.status, "since": self.since,
            "status_reason": self.status_reason, "desired": self.desired, "phone": self.phone,
            "reason": self.reason, "stuck": self.stuck,
        })
    }

    /// A row of a table whose names have this width.
    fn text(&self, width: usize) -> String {
        let stuck = if self.stuck { "yes" } else { "" };
        let (phone, reason) = (self.phone.as_deref().unwrap_or_default(), self.reason.as_deref().unwrap_or_default());
        let (session, status, since, desired) = (&self.session, &self.status, ago(self.age), &self.desired);
        let row = format!("{session:<width$} {status:<13} {since:<12} {desired:<10} {phone:<16} {stuck:<6} {reason}");
        row.trim_end().to_owned()
    }
}

pub(super) async fn run(config: &Config, pool: &Db, args: ListArgs, json: bool) -> anyhow::Result<()> {
    if let Some(tenant) = &args.tenant {
        let known =
            sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM wa.tenant WHERE tenant = $1) AS "known!""#, tenant);
        if !known.fetch_one(pool).await? {
            bail!("tenant: \"{tenant}\" does not exist, or you do not see it");
        }
    }
    if args.watch {
        return watch(config, pool, &args, json).await;
    }
    show(&fetch(pool, &args).await?, json);
    Ok(())
}

async fn fetch(pool: &Db, args: &ListArgs) -> sqlx::Result<Vec<Listed>> {
    let status = args.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
    sqlx::query_file_as!(Listed, "sql/cli/list_sessions.sql", status, args.tenant, args.stuck).fetch_all(pool).await
}

fn show(sessions: &[Listed], json: bool) {
    if json {
        for session in sessions {
            line(&session.json().to_string());
        }
    } else {
        line(&table(sessions));
    }
}

fn table(sessions: &[Listed]) -> String {
    let width = sessions.iter().map(|it| it.session.chars().count()).max().unwrap_or(0).max(24);
    let head = format!(
        "{:<width$} {:<13} {:<12} {:<10} {:<16} {:<6} WHY IT DOES NOT SEND",
        "SESSION", "STATUS", "SINCE", "DESIRED", "PHONE", "STUCK"
    );
    std::iter::once(head).chain(sessions.iter().map(|session| session.text(width))).collect::<Vec<_>>().join("\n")
}

/// Shows the list at each change until a signal ends it: on a terminal in place of the last one, elsewhere below it. JSON
/// has a line for each session that has changed, and one for each that is not in the list any more.
async fn watch(config: &Config, pool: &Db, args: &ListArgs, json: bool) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let mut rows = RowWatch::on("wa_session", config).await?;
    let terminal = !json && std::io::stdout().is_terminal();
    let (mut shown, mut text): (Option<BTreeMap<String, Value>>, _) = (None, String::new());
    loop {
        let sessions = fetch(pool, args).await?;
        let now: BTreeMap<String, Value> = sessions.iter().map(|it| (it.session.clone(), it.json())).collect();
        if json {
            let before = shown.take().unwrap_or_default();
            for (_, session) in now.iter().filter(|(name, session)| before.get(*name) != Some(*session)) {
                line(&session.to_string());
            }
            for name in before.keys().filter(|name| !now.contains_key(*name)) {
                line(&json!({ "session": name, "listed": false }).to_string());
            }
        } else if terminal {
            let drawn = table(&sessions);
            if drawn != text {
                out::prompt(&format!("{CLEAR}{drawn}\n"));
                text = drawn;
            }
        } else if shown.as_ref() != Some(&now) {
            show(&sessions, false);
        }
        shown = Some(now);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = rows.wait() => changed?,
        }
        stop.run_until_cancelled(tokio::time::sleep(TOGETHER)).await;
    }
}

/// A time in the past, as people say it.
fn ago(seconds: f64) -> String {
    for (unit, size) in [("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)] {
        if seconds >= size {
            let count = (seconds / size).floor();
            let unit = if unit == "days" && count < 2.0 { "day" } else { unit };
            return format!("{count:.0} {unit} ago");
        }
    }
    format!("{:.0} s ago", seconds.max(0.0).floor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_the_columns_of_a_list_with_a_long_name_stand_below_each_other() {
        let session = |name: &str| Listed {
            session: name.to_owned(),
            tenant: "default".to_owned(),
            status: "connected".to_owned(),
            status_reason: None,
            since: DateTime::UNIX_EPOCH,
            age: 1.0,
            desired: "connected".to_owned(),
            phone: None,
            reason: None,
            stuck: false,
        };
        let table = table(&[session("shop"), session(&"x".repeat(63))]);
        let places: Vec<_> = table.lines().map(|line| line.find("connected").or(line.find("STATUS"))).collect();
        assert_eq!(places, [Some(64); 3], "{table}");
    }

    #[test]
    fn h7_s12_a_time_is_shown_in_its_largest_unit() {
        let shown = [-1.0, 0.4, 59.9, 60.0, 3_599.0, 3_600.0, 86_399.0, 86_400.0, 172_800.0].map(ago);
        let expected = [
            "0 s ago",
            "0 s ago",
            "59 s ago",
            "1 min ago",
            "59 min ago",
            "1 h ago",
            "23 h ago",
            "1 day ago",
            "2 days ago",
        ];
        assert_eq!(shown, expected);
    }
}
