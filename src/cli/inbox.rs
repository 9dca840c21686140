//! `wagres inbox [--follow]`.

use super::{Ear, connect, print, stop_signal};
use crate::config::Config;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct InboxArgs {
    /// Only this session.
    #[arg(long, value_name = "NAME")]
    pub(super) session: Option<String>,
    /// How many of the latest messages to show first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) last: u32,
    /// Go on with what arrives, until interrupted.
    #[arg(long, short)]
    pub(super) follow: bool,
}

pub(super) async fn run(config: &Config, args: InboxArgs, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    // Listening begins before the first look, so that nothing falls between.
    let mut following = if args.follow { Some((Ear::on("wa_inbound", config).await?, stop_signal()?)) } else { None };
    let mut after = sqlx::query_file_scalar!("sql/cli/inbox_start.sql", args.session, i64::from(args.last))
        .fetch_one(&pool)
        .await?;
    loop {
        for row in sqlx::query_file!("sql/cli/inbox_after.sql", args.session, after).fetch_all(&pool).await? {
            after = row.id;
            let line = json!({
                "id": row.id, "session": row.session, "chat": row.chat, "sender": row.sender,
                "message_id": row.message_id, "kind": row.kind, "body": row.body, "from_me": row.from_me,
                "sent_at": row.sent_at, "received_at": row.received_at,
            });
            let body = row.body.unwrap_or_else(|| format!("[{}]", row.kind));
            let time = row.received_at.format("%Y-%m-%d %H:%M:%S");
            print(json, &line, &format!("{time}  {}  {}  {body}", row.session, row.sender));
        }
        let Some((ear, stop)) = &mut following else { return Ok(()) };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            heard = ear.wait() => heard?,
        }
    }
}
