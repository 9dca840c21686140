//! `wagres doctor`: checks everything that a worker needs, and prints a remedy for each problem.

use super::{error_text, no_database, print};
use crate::auth::Vault;
use crate::config::Config;
use crate::db::{Db, DbError, migrate};
use crate::session::endpoint::Endpoint;
use crate::telemetry::wall_clock;
use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpStream;
use url::Url;

/// The oldest Postgres that is tested.
const OLDEST: i32 = 15;
/// Largest difference of the clocks. Leases follow the database's clock; a larger difference only makes the log hard to
/// follow.
const MAX_CLOCK_DIFFERENCE: TimeDelta = TimeDelta::seconds(2);
/// File descriptors beside those of sessions and database connections.
const OTHER_DESCRIPTORS: u64 = 100;
/// Largest share of the queue of notifications in use.
const MAX_QUEUE_SHARE: f64 = 0.1;
/// Largest age of an open transaction, in seconds.
const MAX_TRANSACTION_SECONDS: f64 = 300.0;
/// Limit for a connection to WhatsApp.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Workers work now, but may fail later.
    Warn,
    /// Workers cannot work.
    Fail,
}

/// Prints each result at once and counts failures.
struct Report {
    json: bool,
    failures: usize,
}

impl Report {
    fn add(&mut self, verdict: Verdict, what: &str, found: &str, advice: &str) {
        let name = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        self.failures += usize::from(verdict == Verdict::Fail);
        let advice = if verdict == Verdict::Ok { "" } else { advice };
        let text = format!("{name:<5} {what:<14} {found}");
        let text = if advice.is_empty() { text } else { format!("{text}\n{:21}{advice}", "") };
        print(self.json, &json!({ "state": name, "what": what, "found": found, "advice": advice }), &text);
    }

    /// A failure unless `holds`.
    fn must(&mut self, holds: bool, what: &str, found: &str, advice: &str) {
        self.add(if holds { Verdict::Ok } else { Verdict::Fail }, what, found, advice);
    }

    /// A warning unless `holds`.
    fn should(&mut self, holds: bool, what: &str, found: &str, advice: &str) {
        self.add(if holds { Verdict::Ok } else { Verdict::Warn }, what, found, advice);
    }
}

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut report = Report { json, failures: 0 };
    let vault = Vault::open(&config.encryption).await;
    let found = match &vault {
        Ok(vault) => match (config.encryption.keys.len(), vault.current()) {
            (0, _) => "no keys are configured: auth state is written unencrypted".to_owned(),
            (count, None) => format!("{count} keys are readable, none is in force: auth state is written unencrypted"),
            (count, Some(key)) => format!("{count} keys are readable, {key:?} is in force"),
        },
        Err(error) => error.to_string(),
    };
    report.must(vault.is_ok(), "encryption", &found, "see [encryption] in the configuration, and docs/auth.md");
    descriptors(config, &mut report);
    whatsapp(config, &mut report).await;
    database(config, vault.as_ref().ok(), &mut report).await;
    match report.failures {
        0 => Ok(()),
        1 => bail!("one problem keeps workers from working"),
        failures => bail!("{failures} problems keep workers from working"),
    }
}

fn descriptors(config: &Config, report: &mut Report) {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    let Some(limit) = limit else { return };
    // The limit may be "unlimited".
    let open: u64 = limit.parse().unwrap_or(u64::MAX);
    let needed = u64::from(config.worker.max_sessions) + u64::from(config.worker.connections) + OTHER_DESCRIPTORS;
    report.should(
        open >= needed,
        "descriptors",
        &format!("{limit} may be open; worker.max_sessions = {} needs {needed}", config.worker.max_sessions),
        &format!("raise the limit (ulimit -n {needed}, LimitNOFILE= of systemd), or lower worker.max_sessions"),
    );
}

async fn whatsapp(config: &Config, report: &mut Report) {
    let url = config.whatsapp_url.as_str();
    if let Err(error) = Endpoint::parse(url) {
        return report.must(
            false,
            "whatsapp",
            &error.to_string(),
            "set whatsapp_url, or use the other build (with or without the sandbox)",
        );
    }
    let target = Url::parse(url).ok();
    let target = target.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let Some(target) = target else { return };
    let reached = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
    let (reached, found) = match reached {
        Ok(Ok(_)) => (true, format!("{url} accepts connections")),
        Ok(Err(error)) => (false, format!("{url}: {error}")),
        Err(_) => (false, format!("{url} does not answer within {} s", CONNECT_TIMEOUT.as_secs())),
    };
    // A warning only: sessions with a proxy may still reach the server.
    report.should(reached, "whatsapp", &found, "check name server, firewall and proxy of this machine");
}

async fn database(config: &Config, vault: Option<&Vault>, report: &mut Report) {
    let Some(url) = &config.database_url else {
        return report.must(false, "database", "database_url is missing", &no_database(config));
    };
    let pool = match Db::connect(url, config.database_pooler, 2, "wagres doctor").await {
        Ok(pool) => pool,
        Err(error) => {
            let advice = "check that the server runs, and host, port, user and password of the URL";
            return report.must(false, "database", &error_text(&error.into()), advice);
        }
    };
    // A first statement for nothing, because it takes longer than the next ones, and the next one times the clocks.
    let asked = match sqlx::query_file!("sql/cli/doctor.sql").fetch_one(&pool).await {
        Ok(_) => wall_clock(),
        Err(error) => return report.must(false, "database", &error_text(&error.into()), "see the server's log"),
    };
    let facts = match sqlx::query_file!("sql/cli/doctor.sql").fetch_one(&pool).await {
        Ok(facts) => facts,
        Err(error) => return report.must(false, "database", &error_text(&error.into()), "see the server's log"),
    };
    let version = facts.version / 10_000;
    let text = format!("PostgreSQL {version}, as {}, at {}", facts.role, url.without_password());
    report.must(version >= OLDEST, "database", &text, &format!("upgrade to PostgreSQL {OLDEST} or later"));
    report.must(
        !facts.read_only,
        "writing",
        if facts.read_only { "the server refuses writes" } else { "the server accepts writes" },
        "the server is a standby, or default_transaction_read_only is on: connect to the primary",
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
        &format!("autovacuum is {}", on(facts.autovacuum)),
        "without autovacuum the job tables grow",
    );
    shared(&pool, report).await;
    clock(facts.now, asked, report);
    // Two more: heartbeat and listener.
    let needed = i64::from(config.worker.connections) + 2;
    report.should(
        facts.free_connections >= needed,
        "connections",
        &format!("{} are free; a worker needs {needed}", facts.free_connections),
        "raise max_connections of the server, or lower worker.connections",
    );
    if !facts.there {
        return report.must(false, "schema", "there is no schema wa", "wagres migrate");
    }
    if let Some(hidden) = facts.hidden {
        // Nothing is known to be wrong.
        let found =
            format!("schema, workers and sessions are not checked: {} may not see {}", facts.role, hidden.join(", "));
        let advice = "run doctor as a member of wa_worker or wa_admin";
        return report.should(false, "rights", &found, advice);
    }
    schema(&pool, vault, report).await;
}

/// What all clients of the server share: the queue of notifications, and the oldest transaction, which keeps vacuum and
/// that queue from going on.
async fn shared(pool: &Db, report: &mut Report) {
    let found = match sqlx::query_file!("sql/worker/watch_database.sql").fetch_one(pool).await {
        Ok(found) => found,
        Err(error) => return report.must(false, "database", &error.to_string(), "see the server's log"),
    };
    report.should(
        found.queue < MAX_QUEUE_SHARE,
        "notifications",
        &format!("{:.1} % of the queue is in use", found.queue * 100.0),
        "a client that has sent LISTEN keeps a transaction open: end it; a full queue refuses every NOTIFY",
    );
    let others = if found.hidden { " (those of other roles are hidden from this one)" } else { "" };
    let seconds = found.seconds.unwrap_or_default();
    let application = found.application.as_deref().unwrap_or("without application_name");
    let role = found.role.as_deref().unwrap_or("unknown");
    let (who, end) = match (found.pid, &found.prepared) {
        (Some(pid), _) => (
            Some(format!("{application}, role {role}, pid {pid}")),
            format!("end it in its program, or SELECT pg_terminate_backend({pid})"),
        ),
        (None, Some(name)) => {
            (Some(format!("prepared as {name:?}, role {role}")), "COMMIT PREPARED or ROLLBACK PREPARED".to_owned())
        }
        (None, None) => (None, String::new()),
    };
    let text = who.map_or_else(
        || format!("none is open{others}"),
        |who| format!("the oldest is {seconds:.0} s old: {who}{others}"),
    );
    report.should(
        seconds < MAX_TRANSACTION_SECONDS,
        "transactions",
        &text,
        &format!("{end}; until then vacuum removes nothing newer"),
    );
}

const fn on(is: bool) -> &'static str {
    if is { "on" } else { "off" }
}

/// Compares the database's clock with this machine's, which was read before and is read after.
fn clock(theirs: DateTime<Utc>, before: DateTime<Utc>, report: &mut Report) {
    let after = wall_clock();
    let apart = (theirs - after).max(before - theirs).max(TimeDelta::zero());
    let found = format!("{} ms from the database's", apart.num_milliseconds());
    report.should(apart <= MAX_CLOCK_DIFFERENCE, "clock", &found, "run a time service on both machines");
}

async fn schema(pool: &Db, vault: Option<&Vault>, report: &mut Report) {
    let (migrated, newest) = match migrate::versions(pool.pool()).await {
        Ok(versions) => versions,
        Err(error @ DbError::OldLayout) => {
            return report.must(false, "schema", &error.to_string(), "migrate a new database");
        }
        Err(error) => return report.must(false, "schema", &error_text(&error.into()), "wagres migrate"),
    };
    let text = format!("the database is at migration {migrated}, this version at {newest}");
    let advice = if migrated < newest {
        "wagres migrate"
    } else {
        "a newer version of wagres migrated the database: use that version"
    };
    report.must(migrated == newest, "schema", &text, advice);
    if migrated != newest {
        return;
    }
    let facts = match sqlx::query_file!("sql/cli/doctor_schema.sql").fetch_one(pool).await {
        Ok(facts) => facts,
        Err(error) => {
            let advice = "run doctor as a member of wa_worker or wa_admin";
            return report.must(false, "rights", &error_text(&error.into()), advice);
        }
    };
    let found = if facts.may_work { "the role may run a worker" } else { "the role may not run a worker" };
    report.should(facts.may_work, "rights", found, "GRANT wa_worker TO that role, if it should");
    sealed(facts.sealing.as_deref(), vault, report);
    report.should(facts.workers > 0, "workers", &format!("{} running", facts.workers), "wagres worker");
    report.should(
        facts.connected == facts.wished,
        "sessions",
        &match facts.lost {
            0 => format!("{} of {} that should be connected are", facts.connected, facts.wished),
            lost => format!(
                "{} of {} that should be connected are; {lost} have a status of a worker that does not live",
                facts.connected, facts.wished
            ),
        },
        "wagres session list shows why",
    );
    let since = facts.home_since.map_or_else(|| "no worker ever ran".to_owned(), |since| format!("none since {since}"));
    report.should(
        facts.home_change.is_none(),
        "restore",
        &facts
            .home_change
            .unwrap_or_else(|| format!("{since}; SELECT wa.restored() after one that workers cannot notice")),
        "start a worker, which handles it; see \"Ratchets are never rolled back\" in docs/auth.md",
    );
    let list = |names: Option<Vec<String>>| names.unwrap_or_default().join(", ");
    let lists = [
        (
            "stuck",
            "no session waits for a person",
            list(facts.stuck),
            "wagres session list --stuck shows what each waits for",
        ),
        (
            "decryption",
            "no session has too many errors",
            list(facts.ill),
            "wagres session errors NAME; docs/sessions.md",
        ),
        (
            "rest",
            "no session rests",
            list(facts.resting),
            "wagres session show NAME has the reason and the end; after failures wa.connect retries at once, during a ban or \
             a limit wait",
        ),
        (
            "consumers",
            "no consumer is paused",
            list(facts.paused),
            "nobody reads for it: wa.rewind_consumer, or wa.drop_consumer",
        ),
        (
            "pacing",
            "the server knows every time zone",
            list(facts.lost_zones),
            "with quiet hours these send nothing; SELECT wa.set_pacing(NAME, time_zone => 'Europe/Berlin')",
        ),
        ("schedules", "all default schedules are enabled", list(facts.disabled), "wagres schedule enable NAME"),
    ];
    for (what, none, found, advice) in lists {
        report.should(found.is_empty(), what, if found.is_empty() { none } else { &found }, advice);
    }
    let text = match facts.apart {
        0 => "wa.outbound and wa.outbound_queue agree".to_owned(),
        apart => format!("wa.outbound and wa.outbound_queue disagree over {apart} messages, among the latest"),
    };
    report.should(facts.apart == 0, "queue", &text, "SELECT wa.mend_queue()");
    let text = format!("{} failed within the last hour", facts.failed);
    report.should(facts.failed == 0, "messages", &text, "SELECT * FROM wa.failure ORDER BY failed_at DESC");
}

/// Compares the key with which the database demands auth state to be sealed with the keys of the configuration.
fn sealed(demanded: Option<&str>, vault: Option<&Vault>, report: &mut Report) {
    // A vault that cannot be opened is reported already.
    let Some(vault) = vault else { return };
    let Some(key) = demanded else { return report.must(true, "sealed", "no auth state has to be encrypted", "") };
    let (found, advice) = if !vault.has(key) {
        let found = format!("auth state is encrypted with the key {key:?}, which is none of encryption.keys");
        (found, "add the key to [encryption], as the workers have it (docs/auth.md); without it no session connects")
    } else if vault.current().is_none() {
        let found = format!("auth state has to be encrypted, as with the key {key:?}; encryption.key is not set");
        (found, "set encryption.key; docs/auth.md says how to stop encrypting")
    } else {
        return report.must(true, "sealed", &format!("auth state is encrypted with the key {key:?}"), "");
    };
    let verdict = if vault.has(key) { Verdict::Warn } else { Verdict::Fail };
    report.add(verdict, "sealed", &found, advice);
}
