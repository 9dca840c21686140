//! The guides: every block of SQL and of a shell is run, in order, with the sandbox behind it, as a reader would. A block whose
//! language is followed by a word, such as `sql fragment`, is not for running.

use super::root;
use crate::support::server;
use crate::support::until::until;
use crate::support::world::{WAGRES, World, clean};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// A block that is run.
#[derive(Debug)]
enum Block {
    Sql(String),
    Shell(String),
}

/// The text of a page with what it includes.
fn text(page: &str) -> Result<String> {
    let path = root().join(page);
    let text = std::fs::read_to_string(&path).with_context(|| page.to_owned())?;
    let mut whole = String::new();
    for part in text.split_inclusive('\n') {
        match part.trim_end().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) {
            Some(included) => {
                let included = path.parent().unwrap_or(Path::new("")).join(included);
                whole +=
                    &std::fs::read_to_string(&included).with_context(|| format!("{page}: {}", included.display()))?;
            }
            None => whole += part,
        }
    }
    Ok(whole)
}

fn blocks(page: &str) -> Result<Vec<Block>> {
    let (mut found, mut open) = (vec![], None::<(String, String)>);
    for line in text(page)?.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some("")) => match open.take() {
                Some((language, code)) if language == "sql" => found.push(Block::Sql(code)),
                Some((language, code)) if language == "sh" => found.push(Block::Shell(code)),
                _ => {}
            },
            (Some((_, code)), _) => {
                *code += line;
                *code += "\n";
            }
            (None, None) => {}
        }
    }
    Ok(found)
}

/// A reader with a phone for each session: whatever code is shown is scanned.
struct Reader {
    world: World,
    phones: BTreeMap<String, String>,
}

impl Reader {
    async fn run(&self, block: &Block) -> Result<()> {
        let mut command = match block {
            Block::Sql(code) => {
                let mut psql = server::client("psql");
                psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", &self.world.db.url, "-c"]).arg("\\set QUIET 1");
                // By -f, so that a failure names its line.
                let file = tempfile::NamedTempFile::new()?;
                std::fs::write(file.path(), code)?;
                psql.arg("-f").arg(file.path());
                let done = psql.stdin(Stdio::null()).output().await?;
                ensure!(done.status.success(), "{code}\n{}", String::from_utf8_lossy(&done.stderr));
                return Ok(());
            }
            Block::Shell(code) => {
                let mut shell = Command::new("bash");
                clean(&mut shell);
                shell.args(["-euc", code]);
                shell
            }
        };
        let programs = Path::new(WAGRES).parent().context("no folder")?.display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{programs}:{path}")).env("DATABASE_URL", &self.world.db.url);
        command.env("WAGRES_WHATSAPP_URL", self.world.sandbox.ws_url());
        let done = command.output().await?;
        let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        ensure!(done.status.success(), "{block:?}\n{out}\n{error}");
        Ok(())
    }

    /// Scans every code until no session is in the middle of a link. What a guide leaves unscanned is a session of the
    /// fleet guide, whose owners are elsewhere.
    async fn scan(&mut self) -> Result<()> {
        until("the links", async || {
            let shown: Vec<(String, String, Option<String>)> = sqlx::query_as(
                "SELECT name, status::text, qr FROM wa.session WHERE desired = 'connected' AND status IN ('new', 'linking', 'connecting')",
            )
            .fetch_all(self.world.pool())
            .await?;
            for (session, _, qr) in &shown {
                let Some(qr) = qr else { continue };
                let next = format!("1555000{}", 10 + self.phones.len());
                let number = if session == "shop" { "15550001".to_owned() } else { next };
                let number = self.phones.entry(session.clone()).or_insert(number).clone();
                self.world.phone(&number).await?;
                // A code that was replaced meanwhile is refused; the next round has the new one.
                let scan = format!("/phones/{number}/scan");
                self.world.control.request("POST", &scan, Some(json!({ "qr": qr }))).await?;
            }
            Ok(if shown.is_empty() { Ok(()) } else { Err(format!("{shown:?}")) })
        })
        .await
    }
}

/// Runs a page from its beginning on a new database; with `linked`, the session `shop` is there already.
async fn follow(page: &str, linked: bool) -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    for number in ["15550002", "15550003"] {
        world.phone(number).await?;
    }
    if linked {
        world.link("shop", "15550001").await?;
    }
    sqlx::query("SELECT wa.register_web('https://wa.example.org')").execute(world.pool()).await?;
    let mut reader = Reader { world, phones: BTreeMap::new() };
    let blocks = blocks(page)?;
    ensure!(!blocks.is_empty(), "{page} has nothing to run");
    for block in &blocks {
        reader.run(block).await.with_context(|| page.to_owned())?;
        reader.scan().await.with_context(|| format!("{page}: {block:?}"))?;
    }
    if linked {
        // Nothing that a guide sends is refused by WhatsApp.
        let failed = "SELECT count(*) FROM wa.outbound WHERE status = 'failed'";
        ensure!(reader.world.count(failed).await? == 0, "{page}: a message failed");
    }
    worker.stop().await
}

#[tokio::test]
async fn h10_the_first_steps_run_as_written() -> Result<()> {
    follow("docs/quickstart.md", false).await
}

#[tokio::test]
async fn h10_the_readme_runs_as_written() -> Result<()> {
    follow("README.md", true).await
}

#[tokio::test]
async fn h10_the_guide_to_a_fleet_runs_as_written() -> Result<()> {
    follow("docs/guides/fleet.md", true).await
}

#[tokio::test]
async fn h10_the_guide_to_a_campaign_runs_as_written() -> Result<()> {
    follow("docs/guides/campaigns.md", true).await
}

#[tokio::test]
async fn h10_the_guide_to_a_bot_runs_as_written() -> Result<()> {
    follow("docs/guides/bot.md", true).await
}

#[tokio::test]
async fn h10_the_guides_for_those_who_come_from_elsewhere_run_as_written() -> Result<()> {
    follow("docs/guides/coming-from.md", true).await?;
    follow("docs/guides/chatwoot.md", true).await
}

#[tokio::test]
async fn h10_the_pages_for_operators_run_as_written() -> Result<()> {
    follow("docs/operations.md", true).await?;
    follow("docs/trouble.md", false).await
}

/// The other pages describe by subject; their SQL runs, too, on a database with a linked session and no worker.
#[tokio::test]
async fn h10_the_sql_of_every_other_page_runs_as_written() -> Result<()> {
    let pages = ["messages", "actions", "events", "linking", "sessions", "schedules", "auth", "security", "monitoring"];
    let pages = pages.iter().chain(&["dashboard", "marketplace", "webhooks", "migrating-from-baileys"]);
    let mut ran = 0;
    for page in pages.map(|name| format!("docs/{name}.md")) {
        let world = World::new().await?;
        crate::support::logins::run(
            world.pool(),
            "SELECT wa.add_tenant('acme'), wa.add_session('shop'), wa.register_web('https://wa.example.org');
             UPDATE wa.session SET jid = '15550001:1@s.whatsapp.net', status = 'connecting', desired = 'connected';
             CREATE TABLE customer (name text, phone text, guests integer)",
        )
        .await?;
        let reader = Reader { world, phones: BTreeMap::new() };
        for block in blocks(&page)?.iter().filter(|block| matches!(block, Block::Sql(_))) {
            reader.run(block).await.with_context(|| page.clone())?;
            ran += 1;
        }
    }
    ensure!(ran > 30, "only {ran} blocks");
    Ok(())
}

/// The programs of the first steps, each of which sends a message.
#[test]
fn h10_every_program_in_a_guide_is_a_file_that_tests_run() -> Result<()> {
    for page in ["docs/quickstart.md", "docs/guides/bot.md", "docs/guides/orms.md", "docs/guides/chatwoot.md"] {
        let raw = std::fs::read_to_string(root().join(page))?;
        for language in ["python", "js", "php", "go"] {
            for code in raw.split(&format!("```{language}\n")).skip(1) {
                ensure!(code.starts_with("{{#include "), "{page}: {language} that is not a file of ecosystem/examples");
            }
        }
        text(page)?;
    }
    Ok(())
}
