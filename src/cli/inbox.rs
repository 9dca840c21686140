//! `wagres inbox [--follow]`.

use super::names::known_session;
use super::words;
use super::{RowWatch, Stop, connect, line, print, stop_signal};
use crate::config::Config;
use crate::db::Db;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct InboxArgs {
    /// Only of this session
    #[arg(long, value_name = "NAME")]
    pub(super) session: Option<String>,
    /// Latest messages to show first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) last: u32,
    /// Read the unread messages of this consumer, and acknowledge them
    #[arg(long, value_name = "NAME", conflicts_with_all = ["session", "last"])]
    pub(super) consumer: Option<String>,
    /// Show new messages as they arrive, until interrupted
    #[arg(long, short)]
    pub(super) follow: bool,
}

pub(super) async fn run(config: &Config, args: InboxArgs, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    // Listening starts before the first query, so that no message falls between.
    let mut following =
        if args.follow { Some((RowWatch::on("wa_inbound", config).await?, stop_signal()?)) } else { None };
    if let Some(consumer) = &args.consumer {
        return consume(&pool, consumer, following, json).await;
    }
    known_session(&pool, args.session.as_deref()).await?;
    let mut after = sqlx::query_file_scalar!("sql/cli/inbox_start.sql", args.session, i64::from(args.last))
        .fetch_one(&pool)
        .await?;
    loop {
        let found = sqlx::query_file_as!(ReceivedMessage, "sql/cli/inbox_after.sql", args.session, after);
        let found = found.fetch_all(&pool).await?;
        if found.is_empty() && following.is_none() && !json {
            line("no messages; wagres inbox --follow shows those that arrive");
        }
        for row in found {
            after = row.id;
            row.print(json);
        }
        let Some((watch, stop)) = &mut following else { return Ok(()) };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = watch.wait() => changed?,
        }
    }
}

/// Acknowledges each batch after printing it, so an interrupted consumer repeats at most one batch.
async fn consume(pool: &Db, consumer: &str, mut following: Option<(RowWatch, Stop)>, json: bool) -> anyhow::Result<()> {
    let mut read_any = false;
    loop {
        let claimed =
            sqlx::query_file_as!(ReceivedMessage, "sql/cli/claim_messages.sql", consumer).fetch_all(pool).await;
        let claimed = claimed?;
        let ids: Vec<i64> = claimed.iter().map(|row| row.id).collect();
        for row in claimed {
            row.print(json);
        }
        if !ids.is_empty() {
            let acknowledge =
                sqlx::query_scalar!(r#"SELECT wa.acknowledge_messages($1, $2) AS "acknowledged!""#, consumer, &ids);
            acknowledge.fetch_one(pool).await?;
            read_any = true;
            continue;
        }
        let Some((watch, stop)) = &mut following else {
            if !read_any && !json {
                line(&format!(
                    "{consumer} has nothing to read; wagres inbox --consumer {consumer} --follow waits for it"
                ));
            }
            return Ok(());
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = watch.wait() => changed?,
        }
    }
}

/// A message of `wa.inbox`.
struct ReceivedMessage {
    id: i64,
    session: String,
    chat: String,
    sender: String,
    message_id: String,
    kind: String,
    body: Option<String>,
    from_me: bool,
    sent_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
}

impl ReceivedMessage {
    fn print(self, json: bool) {
        let line = json!({
            "id": self.id, "session": self.session, "chat": self.chat, "sender": self.sender,
            "message_id": self.message_id, "kind": self.kind, "body": self.body, "from_me": self.from_me,
            "sent_at": self.sent_at, "received_at": self.received_at,
        });
        let body = self.body.unwrap_or_else(|| format!("[{}]", self.kind));
        let time = self.received_at.format("%Y-%m-%d %H:%M:%S");
        print(json, &line, &format!("{time}  {}  {}  {}", self.session, self.sender, words::plain(&body)));
    }
}
