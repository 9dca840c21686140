//! `wagres console`: a prompt at which every command of `wagres` can be typed, and some short words for operators. On a
//! terminal it has a history and completes commands, flags and names of sessions with Tab.

mod editor;

use super::listing::{Cell, Listing};
use super::stop::{Signals, TERMINATED};
use super::{Command, Exit, Failure, Fault, connect, execute, line, meant, print, stop_signal};
use crate::config::Config;
use crate::db::Db;
use clap::{CommandFactory as _, Parser};
use editor::Editor;
use serde_json::json;
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

const HELP: &str = "\
status                          sessions and their queues
workers                         running workers
send SESSION RECIPIENT TEXT     queue a text
inbox [SESSION]                 the last messages received
why SESSION|MESSAGE_ID          why a session does not send, or what a message waits for
errors SESSION                  the last errors of a session
metrics                         messages sent within the last minute and hour
help                            this list
exit                            leave the console, as does the end of the input

Every command of wagres, too, such as: session show shop, jobs list --status failed, send --help";

/// Short words, and the commands that they stand for.
const WORDS: [(&str, &[&str]); 3] = [
    ("status", &["jobs", "queue"]),
    ("workers", &["worker", "list"]),
    ("errors", &["session", "errors", "--limit", "10"]),
];

/// How long a command may take to end after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// A line of the console.
#[derive(Debug, Parser)]
#[command(name = "console", multicall = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    // A missing database is reported before the first command.
    let pool = connect(config).await?;
    let mut input = if !json && std::io::stdin().is_terminal() {
        line(&format!("wagres {}; type help for the commands", env!("CARGO_PKG_VERSION")));
        Input::Terminal(Some(Box::new(Editor::new(Line::command())?)))
    } else {
        Input::Lines(BufReader::new(tokio::io::stdin()).lines())
    };
    // A command that watches something takes the signals from the system, which does not get them back.
    let mut signals = Signals::watch()?;
    loop {
        let text = tokio::select! {
            text = input.next(&pool) => text?,
            // Reading cannot be given up, so the end of the runtime would wait for a line.
            code = signals.next() => std::process::exit(code),
        };
        let Some(text) = text.as_deref().map(str::trim).filter(|text| !matches!(*text, "exit" | "quit")) else {
            return Ok(());
        };
        if !text.is_empty() {
            turn(config, &pool, text, json).await?;
        }
        // Ctrl-C on a terminal is for the command alone.
        match signals.received().await {
            Some(code) if code == TERMINATED || matches!(input, Input::Lines(_)) => std::process::exit(code),
            _ => {}
        }
    }
}

/// Where lines come from.
enum Input {
    /// None while a thread reads.
    Terminal(Option<Box<Editor>>),
    Lines(Lines<BufReader<Stdin>>),
}

impl Input {
    /// The next line, or None at the end.
    async fn next(&mut self, pool: &Db) -> anyhow::Result<Option<String>> {
        match self {
            Self::Lines(lines) => Ok(lines.next_line().await?),
            Self::Terminal(editor) => {
                let Some(ready) = editor.take() else { return Ok(None) };
                let (back, text) = ready.read(names(pool).await).await?;
                *editor = Some(Box::new(back));
                Ok(text)
            }
        }
    }
}

/// Names of sessions, for completion; none if the database takes long.
async fn names(pool: &Db) -> Vec<String> {
    let names = sqlx::query_scalar!(r#"SELECT name AS "name!" FROM wa.session ORDER BY name LIMIT 10000"#);
    let found = tokio::time::timeout(Duration::from_secs(1), names.fetch_all(pool)).await;
    found.ok().and_then(Result::ok).unwrap_or_default()
}

/// Runs a line. A failed command does not end the console.
async fn turn(config: &Config, pool: &Db, text: &str, json: bool) -> anyhow::Result<()> {
    let json = json || asks_for_json(text);
    let stop = stop_signal()?;
    let mut running = std::pin::pin!(run_line(config, pool, text, json));
    let done = tokio::select! {
        done = &mut running => done,
        // What watches or follows something ends by itself; the rest is given up.
        () = stop.cancelled() => tokio::time::timeout(GRACE, running).await.unwrap_or(Ok(())),
    };
    if let Err(error) = done {
        let failure = Failure::of(&error, meant(config, &error).await.as_deref());
        print(json, &failure.json(), &failure.text());
    }
    Ok(())
}

async fn run_line(config: &Config, pool: &Db, text: &str, json: bool) -> anyhow::Result<()> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match first {
        "help" => print(json, &json!({ "help": HELP }), HELP),
        "metrics" => metrics(pool, json).await?,
        _ => {
            let Some(command) = read(first, rest.trim(), text)? else { return Ok(()) };
            Box::pin(execute(config, command, json)).await?;
        }
    }
    Ok(())
}

/// Where the flag --json stands among the words of a line.
fn json_flag(words: &[String]) -> Option<usize> {
    words.iter().take_while(|word| *word != "--").position(|word| word == "--json")
}

/// Whether a line wants its answer, or its error, as JSON.
fn asks_for_json(text: &str) -> bool {
    shlex::split(text).is_some_and(|words| json_flag(&words).is_some())
}

/// Reads a line as a command. None for a comment, and if it asked for help, which is then shown.
fn read(first: &str, rest: &str, text: &str) -> anyhow::Result<Option<Command>> {
    let usage = |text: String| Fault::error(Exit::Usage, text);
    let mut words = match message(first, rest) {
        Some(words) => words,
        None => shlex::split(text).ok_or_else(|| usage("a quote is not closed".to_owned()))?,
    };
    if words.is_empty() {
        // A comment.
        return Ok(None);
    }
    if let Some((_, command)) = WORDS.iter().find(|(word, _)| *word == first) {
        words.splice(..1, command.iter().map(|word| (*word).to_owned()));
    }
    if first == "inbox" && words.len() == 2 && !words[1].starts_with('-') {
        words.splice(1..1, ["--last", "10", "--session"].map(str::to_owned));
    }
    // Not a flag of Line, because a line names its command first.
    if let Some(at) = json_flag(&words) {
        words.remove(at);
    }
    match Line::try_parse_from(&words) {
        Ok(Line {
            command:
                Command::Up { .. }
                | Command::Web { .. }
                | Command::Sandbox { .. }
                | Command::Console
                | Command::Worker { command: None, .. },
        }) => Err(usage(format!("{first} runs until it is stopped; start it outside of the console"))),
        Ok(Line { command }) => Ok(Some(command)),
        Err(error) if !error.use_stderr() => {
            line(error.to_string().trim_end());
            Ok(None)
        }
        Err(_) if Line::command().find_subcommand(&words[0]).is_none() => {
            Err(usage(format!("unknown command \"{first}\"; type help")))
        }
        Err(error) => {
            let failure = Failure::of_usage(&error);
            Err(usage(failure.text()))
        }
    }
}

/// A text to send: the rest of the line after the recipient, as typed, with its quotes and blanks. With flags the line is
/// read like every other one.
fn message(first: &str, rest: &str) -> Option<Vec<String>> {
    if first != "send" || rest.split_whitespace().any(|word| word.starts_with("--") && word.len() > 2) {
        return None;
    }
    let (session, rest) = rest.split_once(char::is_whitespace)?;
    let (recipient, body) = rest.trim_start().split_once(char::is_whitespace)?;
    Some(["send", session, recipient, "--", body.trim_start()].map(str::to_owned).to_vec())
}

async fn metrics(pool: &Db, json: bool) -> anyhow::Result<()> {
    let rates = sqlx::query!(
        r#"SELECT session AS "session!", sent_last_minute AS "last_minute!", sent_last_hour AS "last_hour!",
                  median_seconds_to_sent AS median_seconds
           FROM wa.rate ORDER BY session"#
    );
    let mut listing = Listing::new(
        &["SESSION", "LAST MINUTE", "LAST HOUR", "TIME TO SENT"],
        "no sessions; wagres session add NAME adds one",
    );
    for row in rates.fetch_all(pool).await? {
        let value = json!({
            "session": row.session, "last_minute": row.last_minute, "last_hour": row.last_hour,
            "median_seconds": row.median_seconds,
        });
        let median = row.median_seconds.map(|seconds| format!("{seconds:.3} s")).unwrap_or_default();
        let cells =
            [Cell::text(row.session), Cell::number(row.last_minute), Cell::number(row.last_hour), Cell::right(median)];
        listing.add(&["session"], value, cells);
    }
    listing.show(json);
    Ok(())
}
