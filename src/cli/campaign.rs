//! `wagres campaign list | follow | pause | resume | cancel`: the view `wa.campaigns`, and the functions for a
//! campaign.

use super::listing::{Cell, Listing, WatchArgs, watch};
use super::names::known_session;
use super::progress::Progress;
use super::{Exit, Fault, RowWatch, connect, line, print, stop_signal};
use crate::config::Config;
use crate::db::Db;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum CampaignCommand {
    /// Show the progress of all campaigns, the newest first
    List {
        /// Only of this session
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Show the progress of a campaign until none of its messages waits any more
    Follow(CampaignName),
    /// Hold back the queued messages of a campaign and those inserted later; messages in hand are still sent
    Pause(CampaignName),
    /// Resume a paused campaign
    Resume(CampaignName),
    /// Cancel the queued messages of a campaign
    Cancel(CampaignName),
}

#[derive(Debug, Args)]
pub(super) struct CampaignName {
    /// Session that sends the campaign
    session: String,
    /// Name of the campaign, as in wa.outbound.campaign
    campaign: String,
}

pub(super) async fn run(config: &Config, command: CampaignCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        CampaignCommand::List { session, watch: WatchArgs { watch: true } } => {
            watch(config, "wa_status", json, async || list(&pool, session.as_deref()).await).await?;
        }
        CampaignCommand::List { session, .. } => list(&pool, session.as_deref()).await?.show(json),
        CampaignCommand::Follow(named) => {
            let watch = RowWatch::on("wa_status", config).await?;
            follow(&pool, &named, watch, json).await?;
        }
        CampaignCommand::Pause(CampaignName { session, campaign }) => {
            let held = sqlx::query_scalar!(r#"SELECT wa.pause_campaign($1, $2) AS "count!""#, session, campaign)
                .fetch_one(&pool);
            let held = held.await?;
            print_count(json, &session, &campaign, "held", held);
        }
        CampaignCommand::Resume(CampaignName { session, campaign }) => {
            let resumed = sqlx::query_scalar!(r#"SELECT wa.resume_campaign($1, $2) AS "count!""#, session, campaign)
                .fetch_one(&pool);
            let resumed = resumed.await?;
            print_count(json, &session, &campaign, "resumed", resumed);
        }
        CampaignCommand::Cancel(CampaignName { session, campaign }) => {
            let cancelled = sqlx::query_scalar!(r#"SELECT wa.cancel_campaign($1, $2) AS "count!""#, session, campaign)
                .fetch_one(&pool);
            let cancelled = cancelled.await?;
            print_count(json, &session, &campaign, "cancelled", cancelled);
        }
    }
    Ok(())
}

fn print_count(json: bool, session: &str, campaign: &str, what: &str, count: i64) {
    let line = json!({ "session": session, "campaign": campaign, what: count });
    print(json, &line, &format!("campaign {campaign} of session {session}: {count} messages {what}"));
}

/// A row of `wa.campaigns`.
#[derive(PartialEq, Eq)]
struct CampaignRow {
    session: String,
    campaign: String,
    messages: i64,
    waiting: i64,
    held: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed: i64,
    withdrawn: i64,
    created_at: DateTime<Utc>,
    paused_at: Option<DateTime<Utc>>,
}

impl CampaignRow {
    fn json(&self) -> Value {
        json!({
            "session": self.session, "campaign": self.campaign, "messages": self.messages, "waiting": self.waiting,
            "held": self.held, "sent": self.sent, "delivered": self.delivered, "read": self.read, "failed": self.failed,
            "withdrawn": self.withdrawn, "created_at": self.created_at, "paused_at": self.paused_at,
        })
    }
}

async fn list(pool: &Db, session: Option<&str>) -> anyhow::Result<Listing> {
    known_session(pool, session).await?;
    let mut listing = Listing::new(
        &[
            "SESSION",
            "CAMPAIGN",
            "MESSAGES",
            "WAITING",
            "HELD",
            "SENT",
            "DELIVERED",
            "READ",
            "FAILED",
            "WITHDRAWN",
            "STARTED",
            "PAUSED",
        ],
        "no campaigns; a campaign is messages with a name in wa.outbound.campaign (docs/messages.md)",
    );
    let rows = sqlx::query_file_as!(CampaignRow, "sql/cli/campaigns.sql", session, None::<&str>);
    for row in rows.fetch_all(pool).await? {
        let cells = [
            Cell::text(&row.session),
            Cell::text(&row.campaign),
            Cell::number(row.messages),
            Cell::number(row.waiting),
            Cell::number(row.held),
            Cell::number(row.sent),
            Cell::number(row.delivered),
            Cell::number(row.read),
            Cell::faults(row.failed),
            Cell::number(row.withdrawn),
            Cell::when(Some(row.created_at)),
            Cell::when(row.paused_at),
        ];
        listing.add(&["session", "campaign"], row.json(), cells);
    }
    Ok(listing)
}

/// Shows a bar on standard error, if that is a terminal, and the result at the end; with `json` a line for each change.
async fn follow(pool: &Db, named: &CampaignName, mut watch: RowWatch, json: bool) -> anyhow::Result<()> {
    known_session(pool, Some(&named.session)).await?;
    let stop = stop_signal()?;
    let bar = Progress::of(1, "");
    let mut before: Option<CampaignRow> = None;
    loop {
        let row = sqlx::query_file_as!(CampaignRow, "sql/cli/campaigns.sql", named.session, named.campaign);
        let Some(row) = row.fetch_optional(pool).await? else {
            let text = format!("session {} has no message of campaign \"{}\"", named.session, named.campaign);
            return Err(Fault::error(Exit::NotFound, text));
        };
        let changed = before.as_ref() != Some(&row);
        if changed && json {
            line(&row.json().to_string());
        }
        bar.total(row.messages.unsigned_abs());
        bar.at((row.messages - row.waiting).unsigned_abs());
        let paused = if row.paused_at.is_some() { "paused; " } else { "" };
        let counts =
            format!("{paused}{} sent, {} delivered, {} read, {} failed", row.sent, row.delivered, row.read, row.failed);
        bar.says(counts.clone());
        if row.waiting == 0 {
            drop(bar);
            if !json {
                line(&format!(
                    "{} of {}: {} messages; {counts}, {} withdrawn",
                    row.campaign, row.session, row.messages, row.withdrawn
                ));
            }
            return Ok(());
        }
        before = Some(row);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = watch.wait() => changed?,
        }
    }
}
