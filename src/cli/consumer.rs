//! `wagres consumer list | add | rewind | drop`: who reads received messages by a name. `wagres inbox --consumer` reads.

use super::listing::{Cell, Listing, WatchArgs, watch};
use super::words::{Moment, moment};
use super::{connect, print};
use crate::config::Config;
use crate::db::Db;
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum ConsumerCommand {
    /// Show all consumers, and how far behind each is
    List(WatchArgs),
    /// Add a consumer
    Add {
        /// Name of the consumer
        name: String,
        /// Only messages of this session
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// Only messages of these kinds, with commas: text,image
        #[arg(long, value_name = "KINDS", value_delimiter = ',')]
        kinds: Option<Vec<String>>,
        /// Also messages since then: 2h, 3d, 2026-11-23T10:00:00Z [default: from now on]
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<Moment>,
    },
    /// Let a consumer read again what was received since a moment, or skip what it has not read; ends its pause
    Rewind {
        /// Name of the consumer
        name: String,
        /// Since when: a time back such as 30min, 2h or 3d, or a moment such as 2026-11-23T10:00:00Z
        #[arg(long, value_name = "WHEN", value_parser = moment, required_unless_present = "skip")]
        since: Option<Moment>,
        /// Skip all messages received until now
        #[arg(long, conflicts_with = "since")]
        skip: bool,
    },
    /// Delete a consumer, and what it has not read
    Drop {
        /// Name of the consumer
        name: String,
    },
}

pub(super) async fn run(config: &Config, command: ConsumerCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        ConsumerCommand::List(WatchArgs { watch: true }) => {
            watch(config, "wa_inbound", json, async || list(&pool).await).await?;
        }
        ConsumerCommand::List(_) => list(&pool).await?.show(json),
        ConsumerCommand::Add { name, session, kinds, since } => {
            let (at, ago) = since.map_or((None, None), Moment::parts);
            let unread = sqlx::query_file_scalar!("sql/cli/add_consumer.sql", name, session, kinds.as_deref(), at, ago);
            let unread = unread.fetch_one(&pool).await?;
            let text =
                format!("consumer {name}: {unread} unread; wagres inbox --consumer {name} --follow reads for it");
            print(json, &json!({ "consumer": name, "unread": unread }), &text);
        }
        ConsumerCommand::Rewind { name, since, .. } => {
            let (at, ago) = since.map_or((None, None), Moment::parts);
            let unread =
                sqlx::query_file_scalar!("sql/cli/rewind_consumer.sql", name, at, ago).fetch_one(&pool).await?;
            print(json, &json!({ "consumer": name, "unread": unread }), &format!("consumer {name}: {unread} unread"));
        }
        ConsumerCommand::Drop { name } => {
            sqlx::query!("SELECT wa.drop_consumer($1)::text", name).fetch_one(&pool).await?;
            print(json, &json!({ "consumer": name, "dropped": true }), &format!("consumer {name} is dropped"));
        }
    }
    Ok(())
}

async fn list(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["CONSUMER", "STATE", "SESSION", "KINDS", "UNREAD", "OLDEST", "CLAIMED"],
        "no consumers; wagres consumer add NAME adds one",
    );
    for row in sqlx::query_file!("sql/cli/list_consumers.sql").fetch_all(pool).await? {
        let state = match (row.paused_at, &row.paused_reason) {
            (None, _) => "active".to_owned(),
            (Some(_), reason) => format!("paused: {}", reason.as_deref().unwrap_or_default()),
        };
        let value = json!({
            "consumer": row.name, "session": row.session, "kinds": row.kinds, "unread": row.unread, "oldest": row.oldest,
            "claimed": row.claimed, "claimed_until": row.claimed_until, "paused_at": row.paused_at,
            "paused_reason": row.paused_reason, "tenants": row.tenants,
        });
        let cells = [
            Cell::text(row.name),
            Cell::status(state),
            Cell::text(row.session.unwrap_or_else(|| "all".to_owned())),
            Cell::text(row.kinds.map_or_else(|| "all".to_owned(), |kinds| kinds.join(", "))),
            Cell::number(row.unread),
            Cell::when(row.oldest),
            Cell::number(row.claimed.unwrap_or_default()),
        ];
        listing.add(&["consumer", "tenants"], value, cells);
    }
    Ok(listing)
}
