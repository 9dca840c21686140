//! `wagres pacing show | set | clear`: how fast sessions send.

use super::listing::{Cell, Listing};
use super::names::known_session;
use super::{connect, print};
use crate::config::Config;
use crate::db::Db;
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum PacingCommand {
    /// Show the pacing of all sessions that have one
    Show {
        /// Only of this session
        #[arg(value_name = "SESSION")]
        session: Option<String>,
    },
    /// Set limits of a session; those that you leave out stay as they are
    Set(SetArgs),
    /// Remove the pacing of a session, or one limit of it
    Clear {
        /// Name of the session
        session: String,
        /// Limit to remove [default: the whole pacing]
        #[arg(value_parser = ["per_minute", "first_contacts", "quiet_hours"])]
        limit: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Name of the session
    session: String,
    /// Messages a minute
    #[arg(long, value_name = "NUMBER")]
    per_minute: Option<f64>,
    /// Messages that may go at once after a pause
    #[arg(long, value_name = "N")]
    burst: Option<i32>,
    /// Random pause before each message, at most so long: 3s, 1min …
    #[arg(long, value_name = "TIME", value_parser = super::words::seconds)]
    jitter: Option<f64>,
    /// People a day who are written to for the first time
    #[arg(long, value_name = "N")]
    first_contacts: Option<i32>,
    /// Begin of the quiet hours, in which nothing is sent: 22:00
    #[arg(long, value_name = "HH:MM")]
    quiet_from: Option<String>,
    /// End of the quiet hours: 07:00
    #[arg(long, value_name = "HH:MM")]
    quiet_until: Option<String>,
    /// Time zone of the quiet hours and of the day: Europe/Berlin, UTC …
    #[arg(long, value_name = "NAME")]
    time_zone: Option<String>,
    /// Whether people see "typing…" before each message
    #[arg(long, value_name = "true|false")]
    typing: Option<bool>,
}

pub(super) async fn run(config: &Config, command: PacingCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        PacingCommand::Show { session } => {
            known_session(&pool, session.as_deref()).await?;
            list(&pool, session).await?.show(json);
        }
        PacingCommand::Set(args) => {
            let SetArgs {
                session,
                per_minute,
                burst,
                jitter,
                first_contacts,
                quiet_from,
                quiet_until,
                time_zone,
                typing,
            } = args;
            sqlx::query_file!(
                "sql/cli/set_pacing.sql",
                session,
                per_minute,
                burst,
                jitter,
                first_contacts,
                quiet_from,
                quiet_until,
                time_zone,
                typing
            )
            .fetch_one(&pool)
            .await?;
            list(&pool, Some(session)).await?.show(json);
        }
        PacingCommand::Clear { session, limit } => {
            sqlx::query!("SELECT wa.clear_pacing($1, $2)::text", session, limit).fetch_one(&pool).await?;
            let cleared = limit.as_deref().unwrap_or("the whole pacing");
            let text = format!("session {session}: {cleared} is removed");
            print(json, &json!({ "session": session, "cleared": limit }), &text);
        }
    }
    Ok(())
}

async fn list(pool: &Db, session: Option<String>) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["SESSION", "PER MINUTE", "BURST", "JITTER", "FIRST CONTACTS", "QUIET HOURS", "TIME ZONE", "TYPING"],
        "no pacing, so messages go at once; wagres pacing set SESSION --per-minute 20 sets a limit",
    );
    for row in sqlx::query_file!("sql/cli/list_pacing.sql", session).fetch_all(pool).await? {
        let quiet =
            row.quiet_from.as_ref().zip(row.quiet_until.as_ref()).map(|(from, until)| format!("{from} to {until}"));
        let value = json!({
            "session": row.session, "per_minute": row.per_minute, "burst": row.burst, "jitter_seconds": row.jitter,
            "first_contacts": row.first_contacts, "quiet_from": row.quiet_from, "quiet_until": row.quiet_until,
            "time_zone": row.time_zone, "typing": row.typing,
        });
        let cells = [
            Cell::text(row.session),
            Cell::right(row.per_minute.map(|it| it.to_string()).unwrap_or_default()),
            Cell::number(row.burst),
            Cell::right(format!("{} s", row.jitter)),
            Cell::right(row.first_contacts.map(|it| it.to_string()).unwrap_or_default()),
            Cell::maybe(quiet),
            Cell::text(row.time_zone),
            Cell::text(if row.typing { "yes" } else { "no" }),
        ];
        listing.add(&["session"], value, cells);
    }
    Ok(listing)
}
