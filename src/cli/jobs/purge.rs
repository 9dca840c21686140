//! `wagres jobs purge`: retention on demand, for messages.

use super::{Exit, Fault, Status, print};
use crate::cli::names::known_session;
use crate::cli::progress::Progress;
use crate::cli::words::seconds;
use crate::db::Db;
use crate::jobs::maintenance::retention::EndedMessages;
use clap::Args;
use serde_json::json;

/// Messages that one statement looks at.
const PAGE: i64 = 1000;

#[derive(Debug, Args)]
pub(in crate::cli) struct PurgeArgs {
    /// Delete messages that ended longer ago than this: 30d, 12h, 4w
    #[arg(long, value_name = "AGE", value_parser = days)]
    older_than: f64,
    /// Only of this session
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Only with this status
    #[arg(long, value_name = "STATUS")]
    status: Option<Status>,
    /// Only count the messages
    #[arg(long)]
    dry_run: bool,
}

/// An age in days. 0 would be every message that has ended, which is more often a slip than meant.
fn days(text: &str) -> Result<f64, String> {
    let age = seconds(text).ok().filter(|age| *age > 0.0).map(|age| age / 86_400.0);
    age.ok_or_else(|| "accepted is a whole number from 1 to 100000 with its unit, such as 12h, 30d or 4w".to_owned())
}

pub(super) async fn run(pool: &Db, args: PurgeArgs, json: bool) -> anyhow::Result<()> {
    if let Some(status @ (Status::Queued | Status::Sending | Status::Running | Status::Done)) = args.status {
        let text = format!("--status: {} is not a status of a message that has ended", status.name());
        return Err(Fault::error(Exit::Usage, text));
    }
    let PurgeArgs { older_than, session, status, dry_run } = args;
    known_session(pool, session.as_deref()).await?;
    let messages = EndedMessages { days: older_than, dry_run, session, status: status.map(Status::name) };
    let newest = sqlx::query_scalar!("SELECT max(id) FROM wa.outbound").fetch_one(pool).await?.unwrap_or(0);
    let bar = Progress::of(newest.unsigned_abs(), "");
    let (mut count, mut after) = (0, 0);
    loop {
        let page = messages.page(pool, after, PAGE).await?;
        count += page.count;
        bar.says(format!("{count} messages"));
        let Some(next) = page.next else { break };
        after = next;
        bar.at(next.unsigned_abs());
    }
    drop(bar);
    let (key, text) = if dry_run { ("would_delete", "would be deleted") } else { ("deleted", "deleted") };
    print(json, &json!({ key: count }), &format!("{count} messages {text}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn q12_an_age_has_a_number_and_a_unit() {
        assert_eq!((days("30d"), days("12h"), days("4w")), (Ok(30.0), Ok(0.5), Ok(28.0)));
        for wrong in ["", "d", "30", "0d", "-1d", "1.5d", "30 d", "100001d", "1y", "1д", "🦀"] {
            assert!(days(wrong).is_err_and(|error| error.contains("30d")), "{wrong}");
        }
    }
}
