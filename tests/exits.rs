//! How commands fail: exit codes, errors as JSON, and names that nobody has.

use crate::support::db;
use crate::support::docs;
use crate::support::world::wagres;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;

/// Runs a command that must fail; returns its exit code and the object on standard error.
async fn failed(url: &str, arguments: &[&str]) -> Result<(i32, Value)> {
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", url]).args(arguments);
    let done = command.env("WAGRES_WHATSAPP_URL", "ws://127.0.0.1:9/").output().await?;
    let text = String::from_utf8(done.stderr)?;
    let error: Value = serde_json::from_str(&text).with_context(|| format!("{arguments:?}: not one object: {text}"))?;
    let object = error.as_object().context("an object")?;
    ensure!(object.keys().eq(["code", "error", "hint", "message"]), "{arguments:?}: {error}");
    Ok((done.status.code().context("ended by a signal")?, error))
}

#[tokio::test]
async fn h7_each_kind_of_failure_has_its_exit_code_and_one_object() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'), wa.add_token('anna');
         INSERT INTO wa.maintenance_job (kind) VALUES ('sweep_keys')",
    )
    .execute(&db.pool)
    .await?;
    let mut empty = url::Url::parse(&db.url)?;
    empty.set_path("postgres");
    let (url, nowhere) = (db.url.as_str(), "postgres://nobody@127.0.0.1:1/x");
    for (url, arguments, exit, name, code, words) in [
        (nowhere, ["doctor"].as_slice(), 1, "failed", "failed", "problem"),
        (url, &["jobs", "list", "--status", "gone"], 2, "usage", "usage", "invalid value"),
        (url, &["jobs", "purge", "--older-than", "30d", "--status", "queued"], 2, "usage", "usage", "--status"),
        ("nonsense", &["jobs", "queue"], 2, "usage", "usage", "database_url"),
        (url, &["send", "nobody", "+15550002", "x"], 3, "not_found", "WA001", "nobody"),
        (url, &["jobs", "show", "999"], 3, "not_found", "not_found", "999"),
        (url, &["backup", "nobody", "/dev/null"], 3, "not_found", "not_found", "nobody"),
        (url, &["send", "shop", "nonsense", "x"], 4, "refused", "WA002", "recipient"),
        (url, &["session", "connect", "shop"], 4, "refused", "WA046", "link"),
        (url, &["token", "add", "anna"], 4, "refused", "WA051", "a live token is named"),
        (url, &["tenant", "grant", "default", "nobody-at-all"], 3, "not_found", "WA012", "no role"),
        (url, &["why", "999"], 3, "not_found", "WA048", "999"),
        (url, &["consumer", "rewind", "crm"], 2, "usage", "usage", "--since"),
        (nowhere, &["jobs", "queue"], 5, "no_database", "no_database", "cannot connect"),
        (empty.as_str(), &["jobs", "queue"], 5, "no_database", "42P01", "wa.queue"),
        (url, &["jobs", "cancel", "--table", "maintenance", "1", "2"], 6, "partly_done", "partly_done", "[2]"),
        (url, &["jobs", "cancel", "--table", "maintenance", "1"], 4, "refused", "refused", "[1]"),
    ] {
        let (found, error) = failed(url, arguments).await?;
        ensure!(found == exit && error["error"] == name && error["code"] == code, "{arguments:?}: {found} {error}");
        ensure!(error["message"].as_str().is_some_and(|it| it.contains(words)), "{arguments:?}: {error}");
    }
    let (_, error) = failed(empty.as_str(), &["jobs", "queue"]).await?;
    ensure!(error["hint"] == "wagres migrate", "{error}");
    for (setting, value) in [("WAGRES_COLOUR", "red"), ("WAGRES_LOG", "a=b=c"), ("WAGRES_ENCRYPTION__KEY", "none")] {
        let mut command = wagres();
        command.args(["--json", "--database-url", url, "webhook", "rotate", "crm"]).env(setting, value);
        let done = command.output().await?;
        ensure!(done.status.code() == Some(2), "a wrong configuration: {done:?}");
    }
    let done = wagres().args(["--json", "--log", "error", "--database-url", url, "jobs", "queue"]).output().await?;
    ensure!(done.status.code() == Some(0) && done.stderr.is_empty(), "{done:?}");
    Ok(())
}

#[tokio::test]
async fn h7_the_exit_codes_are_in_the_help_and_in_the_documentation() -> Result<()> {
    let done = wagres().arg("--help").env("COLUMNS", "400").output().await?;
    let help = String::from_utf8(done.stdout)?;
    let codes = help.split("Exit codes:\n").nth(1).context("no exit codes")?;
    let mut table = String::from("| code | name | meaning |\n| --- | --- | --- |\n");
    let mut count = 0;
    for line in codes.lines().take_while(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (code, name) = (words.next().context("a code")?, words.next().context("a name")?);
        writeln!(table, "| {code} | `{name}` | {} |", words.collect::<Vec<_>>().join(" "))?;
        count += 1;
    }
    ensure!(count == 7, "{codes}");
    docs::table("docs/errors.md", "exit codes", &table)
}

#[tokio::test]
async fn h7_an_unknown_name_is_refused_with_the_nearest_one() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'), wa.add_session('cafe'), wa.add_tenant('acme'), wa.add_consumer('crm'),
                wa.add_token('anna'), wa.add_webhook('orders', 'https://example.org/hook');
         SELECT wa.schedule('nightly', '0 3 * * *', 'retention')",
    )
    .execute(&db.pool)
    .await?;
    for (arguments, meant) in [
        (["session", "show", "shpo"].as_slice(), "shop"),
        (&["send", "Shop", "+15550002", "x"], "shop"),
        (&["jobs", "list", "--session", "shpo"], "shop"),
        (&["jobs", "purge", "--older-than", "1d", "--session", "shpo"], "shop"),
        (&["inbox", "--session", "caffe"], "cafe"),
        (&["backup", "shpo", "never-written"], "shop"),
        (&["campaign", "list", "--session", "shpo"], "shop"),
        (&["campaign", "follow", "shpo", "may"], "shop"),
        (&["auth", "stats", "--session", "shpo"], "shop"),
        (&["auth", "quarantine", "--session", "shpo"], "shop"),
        (&["session", "list", "--tenant", "acne"], "acme"),
        (&["inbox", "--consumer", "cmr"], "crm"),
        (&["schedule", "run", "nighty"], "nightly"),
        (&["token", "revoke", "ana"], "anna"),
        (&["webhook", "show", "order"], "orders"),
    ] {
        let (exit, error) = failed(&db.url, arguments).await?;
        let hint = error["hint"].as_str().unwrap_or_default();
        ensure!(exit == 3 && hint.starts_with(&format!("Did you mean \"{meant}\"?")), "{arguments:?}: {exit} {error}");
    }
    for arguments in [["session", "show", "warehouse"].as_slice(), &["tenant", "grant", "acme", "acmee"]] {
        let (exit, error) = failed(&db.url, arguments).await?;
        ensure!(exit == 3 && !error["hint"].as_str().is_some_and(|it| it.contains("Did you mean")), "{error}");
    }
    Ok(())
}
