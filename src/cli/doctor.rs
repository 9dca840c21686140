//! `wagres doctor`: looks at everything that a worker needs, and says what to do about what is not well.

use super::print;
use crate::auth::Vault;
use crate::config::Config;
use crate::db::{Db, DbError, migrate};
use crate::session::endpoint::Endpoint;
use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpStream;
use url::Url;

/// The oldest server that is tried.
const OLDEST: i32 = 15;
/// Leases run by the database's clock; so far apart clocks make what the log says hard to follow.
const APART: TimeDelta = TimeDelta::seconds(2);
/// File descriptors besides those of sessions and of the database.
const OTHERS: u64 = 100;
/// How long WhatsApp may take to accept a connection.
const ANSWER: Duration = Duration::from_secs(10);

/// How it is with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    /// It works, and will not always.
    Doubtful,
    /// A worker cannot do its work.
    Ill,
}

/// What was found, printed as it is found.
struct Report {
    json: bool,
    ill: usize,
}

impl Report {
    fn say(&mut self, state: State, what: &str, found: &str, advice: &str) {
        let name = match state {
            State::Well => "ok",
            State::Doubtful => "warn",
            State::Ill => "fail",
        };
        self.ill += usize::from(state == State::Ill);
        let advice = if state == State::Well { "" } else { advice };
        let text = format!("{name:<5} {what:<14} {found}");
        let text = if advice.is_empty() { text } else { format!("{text}\n{:21}{advice}", "") };
        print(self.json, &json!({ "state": name, "what": what, "found": found, "advice": advice }), &text);
    }

    /// Ill unless it holds.
    fn must(&mut self, holds: bool, what: &str, found: &str, advice: &str) {
        self.say(if holds { State::Well } else { State::Ill }, what, found, advice);
    }

    /// Doubtful unless it holds.
    fn should(&mut self, holds: bool, what: &str, found: &str, advice: &str) {
        self.say(if holds { State::Well } else { State::Doubtful }, what, found, advice);
    }
}

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut report = Report { json, ill: 0 };
    let vault = Vault::open(&config.encryption).await.map(|_| ());
    let found = vault.as_ref().err().map_or_else(|| "its keys are there".to_owned(), ToString::to_string);
    report.must(vault.is_ok(), "encryption", &found, "see [encryption] in the configuration, and docs/auth.md");
    descriptors(config, &mut report);
    whatsapp(config, &mut report).await;
    database(config, &mut report).await;
    match report.ill {
        0 => Ok(()),
        1 => bail!("one thing keeps workers from their work"),
        ill => bail!("{ill} things keep workers from their work"),
    }
}

fn descriptors(config: &Config, report: &mut Report) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let Some(limit) = limit else { return };
    // "unlimited" is no number.
    let open: u64 = limit.parse().unwrap_or(u64::MAX);
    let wanted = u64::from(config.worker.max_sessions) + u64::from(config.worker.connections) + OTHERS;
    report.should(
        open >= wanted,
        "descriptors",
        &format!("{limit} may be open, {wanted} are wanted for worker.max_sessions = {}", config.worker.max_sessions),
        &format!("raise the limit (ulimit -n {wanted}, LimitNOFILE= of systemd), or lower worker.max_sessions"),
    );
}

async fn whatsapp(config: &Config, report: &mut Report) {
    let url = config.whatsapp_url.as_str();
    if let Err(error) = Endpoint::parse(url) {
        return report.must(false, "whatsapp", &error.to_string(), "set whatsapp_url, or use the other build");
    }
    let target = Url::parse(url).ok();
    let target = target.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let Some(target) = target else { return };
    let reached = tokio::time::timeout(ANSWER, TcpStream::connect(target)).await;
    let (reached, found) = match reached {
        Ok(Ok(_)) => (true, format!("{url} accepts connections")),
        Ok(Err(error)) => (false, format!("{url}: {error}")),
        Err(_) => (false, format!("{url} does not answer within {} s", ANSWER.as_secs())),
    };
    // Sessions with a proxy get there all the same.
    report.should(reached, "whatsapp", &found, "look at name server, firewall and proxy of this machine");
}

async fn database(config: &Config, report: &mut Report) {
    let Some(url) = &config.database_url else {
        let advice = "set DATABASE_URL to postgres://user:password@host:port/database (wagres up prints its own)";
        return report.must(false, "database", "database_url is missing", advice);
    };
    let pool = match Db::connect(url, config.database_pooler, 2, "wagres doctor").await {
        Ok(pool) => pool,
        Err(error) => {
            let advice = "look whether the server runs, and at host, port, user and password of the URL";
            return report.must(false, "database", &error.to_string(), advice);
        }
    };
    // The first statement of a connection takes longer than those that come after.
    let asked = match sqlx::query_file!("sql/cli/doctor.sql").fetch_one(&pool).await {
        Ok(_) => Utc::now(),
        Err(error) => return report.must(false, "database", &error.to_string(), "look at the server's log"),
    };
    let facts = match sqlx::query_file!("sql/cli/doctor.sql").fetch_one(&pool).await {
        Ok(facts) => facts,
        Err(error) => return report.must(false, "database", &error.to_string(), "look at the server's log"),
    };
    let version = facts.version / 10_000;
    let text = format!("PostgreSQL {version}, as {}", facts.role);
    report.must(version >= OLDEST, "database", &text, &format!("PostgreSQL {OLDEST} or later is wanted"));
    report.must(
        !facts.read_only,
        "writing",
        if facts.read_only { "the server takes no writes" } else { "the server takes writes" },
        "it is a standby, or default_transaction_read_only is on: connect to the primary",
    );
    report.should(
        facts.fsync,
        "durability",
        &format!("fsync is {}", on(facts.fsync)),
        "without fsync a crash of the machine loses messages",
    );
    report.should(
        facts.autovacuum,
        "autovacuum",
        &format!("it is {}", on(facts.autovacuum)),
        "without it the job tables grow",
    );
    clock(facts.now, asked, report);
    let wanted = i64::from(config.worker.connections) + 2;
    report.should(
        facts.free_connections >= wanted,
        "connections",
        &format!("{} are free, a worker takes {wanted}", facts.free_connections),
        "raise max_connections of the server, or lower worker.connections",
    );
    if !facts.there {
        return report.must(false, "schema", "there is no schema wa", "wagres migrate");
    }
    schema(&pool, report).await;
}

const fn on(is: bool) -> &'static str {
    if is { "on" } else { "off" }
}

/// The database's clock, read between two looks at ours.
fn clock(theirs: DateTime<Utc>, before: DateTime<Utc>, report: &mut Report) {
    let after = Utc::now();
    let apart = (theirs - after).max(before - theirs).max(TimeDelta::zero());
    let found = format!("{} ms from the database's", apart.num_milliseconds());
    report.should(apart <= APART, "clock", &found, "let a time service set the clocks of both machines");
}

async fn schema(pool: &Db, report: &mut Report) {
    let (migrated, newest) = match migrate::versions(pool.pool()).await {
        Ok(versions) => versions,
        Err(error @ DbError::OldLayout) => {
            return report.must(false, "schema", &error.to_string(), "a new database");
        }
        Err(error) => return report.must(false, "schema", &error.to_string(), "wagres migrate"),
    };
    let text = format!("at migration {migrated}, this version knows {newest}");
    let advice = if migrated < newest { "wagres migrate" } else { "a newer version has migrated it: use that one" };
    report.must(migrated == newest, "schema", &text, advice);
    if migrated != newest {
        return;
    }
    let facts = match sqlx::query_file!("sql/cli/doctor_schema.sql").fetch_one(pool).await {
        Ok(facts) => facts,
        Err(error) => {
            let advice = "GRANT wa_worker or wa_admin TO that role";
            return report.must(false, "rights", &error.to_string(), advice);
        }
    };
    let found = if facts.may_work { "the role may run a worker" } else { "the role may not run a worker" };
    report.should(facts.may_work, "rights", found, "GRANT wa_worker TO that role, unless it is not meant to");
    report.should(facts.workers > 0, "workers", &format!("{} at work", facts.workers), "wagres worker");
    report.should(
        facts.connected == facts.wished,
        "sessions",
        &format!("{} of {} that are wished connected are", facts.connected, facts.wished),
        "wagres session list says why",
    );
    let list = |names: Option<Vec<String>>| names.unwrap_or_default().join(", ");
    let lists = [
        ("decryption", "none has too many errors", list(facts.ill), "wagres session errors NAME; docs/sessions.md"),
        ("rest", "none rests", list(facts.resting), "wagres session show NAME; wa.connect tries at once"),
        ("schedules", "those of the product are on", list(facts.disabled), "wagres schedule enable NAME"),
    ];
    for (what, none, found, advice) in lists {
        report.should(found.is_empty(), what, if found.is_empty() { none } else { &found }, advice);
    }
    let text = format!("{} failed within the hour", facts.failed);
    report.should(facts.failed == 0, "messages", &text, "SELECT * FROM wa.failure ORDER BY failed_at DESC");
}
