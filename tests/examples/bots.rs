//! The same bot in each language: it counts and answers each message once, also over a lost connection and a restart.

use super::{Login, example, finished, login, needs, psql, with_packages};
use crate::support::logins::run;
use crate::support::pypi;
use crate::support::until::{LIMIT, until};
use crate::support::world::World;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

const CUSTOMER: &str = "15550002";

/// A world with the session `shop`, and a bot that is started and stopped.
struct Stage {
    world: World,
    login: Login,
    said: usize,
}

impl Stage {
    async fn new() -> Result<Self> {
        let world = World::new().await?;
        let login = login(&world).await?;
        Ok(Self { world, login, said: 0 })
    }

    async fn start(&self, command: &mut Command) -> Result<Child> {
        let running = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
        let listens = format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = '{}'", self.login.name);
        self.world.holds(&listens).await?;
        Ok(running)
    }

    async fn say(&mut self, text: &str) -> Result<()> {
        let message = json!({ "to": "15550001", "text": text });
        self.world.control.post(&format!("/phones/{CUSTOMER}/send"), message).await?;
        self.said += 1;
        Ok(())
    }

    /// Waits until the customer sees the number of their message and its text.
    async fn answered(&self, text: &str) -> Result<()> {
        let answer = format!("Message {}: {text}", self.said);
        self.world.control.shown(CUSTOMER, &answer).await.with_context(|| answer).map(drop)
    }
}

/// SIGTERM; the program must exit with code 0.
async fn stop(mut running: Child) -> Result<()> {
    let pid = running.id().context("the bot has ended")?.to_string();
    ensure!(Command::new("kill").args(["-s", "TERM", &pid]).status().await?.success(), "cannot signal");
    let status = tokio::time::timeout(LIMIT, running.wait()).await.context("the bot does not stop")??;
    ensure!(status.success(), "the bot ended with {status}");
    Ok(())
}

/// The story of every language: a program that sends `Hello from …`, and the bot.
async fn answers(send: impl Fn(&Login) -> Command, command: impl Fn(&Login) -> Command) -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", "15550001").await?;
    stage.world.phone(CUSTOMER).await?;
    psql(&stage.login, &example("psql/setup.sql")).await?;

    finished(&mut send(&stage.login)).await?;
    let path = format!("/phones/{CUSTOMER}/messages");
    let greeted = |seen: &Value| {
        let messages = seen["messages"].as_array()?;
        messages
            .iter()
            .any(|message| message["text"].as_str().is_some_and(|text| text.starts_with("Hello from ")))
            .then_some(())
    };
    stage.world.control.until(&path, greeted).await?;
    let bot = stage.start(&mut command(&stage.login)).await?;
    stage.say("hello").await?;
    stage.answered("hello").await?;
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'", stage.login.name);
    run(stage.world.pool(), &cut).await?;
    stage.say("still there?").await?;
    stage.answered("still there?").await?;
    stop(bot).await?;

    stage.say("while it is away").await?;
    stage.world.holds("SELECT count(*) = 1 FROM wa.inbox WHERE body = 'while it is away'").await?;
    let bot = stage.start(&mut command(&stage.login)).await?;
    stage.answered("while it is away").await?;
    stop(bot).await?;
    // Counted, answered and acknowledged in one transaction: so all three agree.
    let same = "SELECT (SELECT sum(messages) FROM visitor) = 3 AND (SELECT count(*) FROM wa.outbound) = 4
                       AND NOT EXISTS (SELECT FROM wa.unread)";
    stage.world.holds(same).await?;
    worker.stop().await
}

fn program(name: impl AsRef<std::ffi::OsStr>, file: &Path, login: &Login) -> Command {
    let mut command = Command::new(name);
    command.arg(file).env("DATABASE_URL", &login.url);
    command
}

#[tokio::test]
async fn h9_m5_the_bot_in_psql_answers_each_message_once() -> Result<()> {
    let send = |login: &Login| {
        let mut psql = crate::support::server::client("psql");
        psql.args(["-d", &login.url, "-f"]).arg(example("psql/send.sql"));
        psql
    };
    answers(send, |login| program("bash", &example("psql/bot.sh"), login)).await
}

#[tokio::test]
async fn h9_m5_the_bot_in_python_answers_each_message_once() -> Result<()> {
    let python = pypi::install().await?;
    let send = |login: &Login| program(&python, &example("python/send.py"), login);
    answers(send, |login| program(&python, &example("python/bot.py"), login)).await
}

#[tokio::test]
async fn h9_m5_the_bot_in_node_answers_each_message_once() -> Result<()> {
    let (_send, send) = with_packages("node/send.mjs").await?;
    let (_bot, bot) = with_packages("node/bot.mjs").await?;
    answers(|login| program("node", &send, login), |login| program("node", &bot, login)).await
}

#[tokio::test]
async fn h9_m5_the_bot_in_php_answers_each_message_once() -> Result<()> {
    needs("PHP (php-cli, php-pgsql)", Command::new("php").args(["-r", "exit((int) !extension_loaded('pdo_pgsql'));"]))
        .await?;
    answers(|login| php("php/send.php", login), |login| php("php/bot.php", login)).await
}

/// PDO takes no URL.
fn php(file: &str, login: &Login) -> Command {
    let mut command = program("php", &example(file), login);
    if let Ok(url) = url::Url::parse(&login.url) {
        let host = url.host_str().unwrap_or_default();
        let (port, name) = (url.port().unwrap_or(5432), url.path().trim_start_matches('/'));
        command.env("DATABASE_DSN", format!("host={host};port={port};dbname={name};user={}", url.username()));
    }
    command
}

#[tokio::test]
async fn h9_m5_the_bot_in_go_answers_each_message_once() -> Result<()> {
    needs("Go (golang-go)", Command::new("go").arg("version")).await?;
    let folder = tempfile::tempdir()?;
    for name in ["send", "bot"] {
        // Debian's packages of Go stand in a GOPATH; the compiled parts are kept for the next run.
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(folder.path().join(name)).arg(example(&format!("go/{name}.go")));
        build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOFLAGS", "");
        build.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"));
        finished(&mut build)
            .await
            .context("Go, or its package golang-github-jackc-pgx-v4-dev; `make test` installs them")?;
    }
    let run = |name: &str, login: &Login| {
        let mut command = Command::new(folder.path().join(name));
        command.env("DATABASE_URL", &login.url);
        command
    };
    answers(|login| run("send", login), |login| run("bot", login)).await
}

#[tokio::test]
async fn h9_m5_the_bot_in_python_rolls_back_what_it_has_not_finished() -> Result<()> {
    let python = pypi::install().await?;
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", "15550001").await?;
    stage.world.phone(CUSTOMER).await?;
    psql(&stage.login, &example("psql/setup.sql")).await?;
    // The bot waits in its transaction, because somebody else is about to change the customer's row.
    let chat = format!("{CUSTOMER}@s.whatsapp.net");
    let mut other = stage.world.pool().begin().await?;
    sqlx::query("INSERT INTO visitor (chat, messages) VALUES ($1, 0)").bind(&chat).execute(&mut *other).await?;
    let mut bot = program(&python, &example("python/bot.py"), &stage.login);
    let bot = stage.start(&mut bot).await?;
    stage.say("hello").await?;
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO visitor%'";
    until("the bot waits", async || {
        let waits: bool = sqlx::query_scalar(waits).fetch_one(stage.world.pool()).await?;
        Ok(if waits { Ok(()) } else { Err("not yet") })
    })
    .await?;
    let mut bot = bot;
    bot.kill().await?;
    other.rollback().await?;
    ensure!(stage.world.count("SELECT count(*) FROM wa.outbound").await? == 0, "answered without counting");
    let bot = stage.start(&mut program(&python, &example("python/bot.py"), &stage.login)).await?;
    stage.answered("hello").await?;
    stop(bot).await?;
    worker.stop().await
}
