//! `wagres console`: a prompt for operators, made of the other commands.

use super::inbox::{self, InboxArgs};
use super::jobs::{self, JobsCommand};
use super::send::{self, SendArgs};
use super::session::{self, SessionCommand};
use super::why::{self, WhyArgs};
use super::worker::{self, WorkerCommand};
use super::{connect, error_text, line, out, print};
use crate::config::Config;
use serde_json::json;
use std::io::IsTerminal as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

const HELP: &str = "\
status                          sessions and their queues
workers                         running workers
send SESSION RECIPIENT TEXT     queue a text
inbox [SESSION]                 the last messages received
why SESSION|MESSAGE_ID          why a session does not send, or what a message waits for
errors SESSION                  the last errors of a session
metrics                         messages sent within the last minute and hour
help                            this list
exit                            leave the console, as does the end of the input";

/// Most messages and errors that are shown.
const LAST: u32 = 10;

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    // A missing database is reported before the first command.
    connect(config).await?.close().await;
    let prompt = !json && std::io::stdin().is_terminal();
    if prompt {
        line(&format!("wagres {}; type help for the commands", env!("CARGO_PKG_VERSION")));
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        if prompt {
            out::prompt("> ");
        }
        let Some(line) = lines.next_line().await? else { return Ok(()) };
        let (command, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        match command {
            "" => {}
            "exit" | "quit" => return Ok(()),
            // A failed command does not end the console.
            command => {
                if let Err(error) = run_command(config, command, rest.trim(), json).await {
                    let text = error_text(&error);
                    print(json, &json!({ "error": text }), &text);
                }
            }
        }
    }
}

async fn run_command(config: &Config, command: &str, rest: &str, json: bool) -> anyhow::Result<()> {
    let named = || (!rest.is_empty()).then(|| rest.to_owned());
    match command {
        "help" => print(json, &json!({ "help": HELP }), HELP),
        "status" => jobs::run(config, JobsCommand::Queue, json).await?,
        "workers" => worker::run(config, WorkerCommand::List, json).await?,
        "send" => send::run(config, message(rest)?, json).await?,
        "inbox" => {
            inbox::run(config, InboxArgs { session: named(), last: LAST, consumer: None, follow: false }, json).await?;
        }
        "errors" => {
            let Some(name) = named() else { anyhow::bail!("errors: accepted is errors SESSION") };
            session::run(config, SessionCommand::Errors { name, limit: LAST }, json).await?;
        }
        "why" => {
            let Some(target) = named() else { anyhow::bail!("why: accepted is why SESSION or why MESSAGE_ID") };
            why::run(config, WhyArgs::of(target), json).await?;
        }
        "metrics" => metrics(config, json).await?,
        other => anyhow::bail!("unknown command \"{other}\"; type help"),
    }
    Ok(())
}

/// The text is the rest of the line after the recipient, as typed.
fn message(rest: &str) -> anyhow::Result<SendArgs> {
    let words = rest.split_once(char::is_whitespace);
    let words = words.and_then(|(session, rest)| Some((session, rest.trim_start().split_once(char::is_whitespace)?)));
    let Some((session, (recipient, body))) = words else {
        anyhow::bail!("send: accepted is send SESSION RECIPIENT TEXT");
    };
    Ok(SendArgs { session: session.into(), recipient: recipient.into(), body: body.trim_start().into() })
}

async fn metrics(config: &Config, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    let rates = sqlx::query!(
        r#"SELECT session AS "session!", sent_last_minute AS "last_minute!", sent_last_hour AS "last_hour!",
                  median_seconds_to_sent AS median_seconds
           FROM wa.rate ORDER BY session"#
    );
    for row in rates.fetch_all(&pool).await? {
        let line = json!({
            "session": row.session, "last_minute": row.last_minute, "last_hour": row.last_hour,
            "median_seconds": row.median_seconds,
        });
        let median = row.median_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3} s to sent"));
        let text = format!(
            "{:<24} {:>6} in the last minute {:>8} in the last hour  {median}",
            row.session, row.last_minute, row.last_hour
        );
        print(json, &line, &text);
    }
    Ok(())
}
