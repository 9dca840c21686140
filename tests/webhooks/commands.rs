//! Webhooks from the command line.

use crate::cli::{lines, refusal};
use crate::support::db::{TestDb, fresh};
use crate::support::logins::run;
use crate::support::world::wagres;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// The one line of a command.
async fn one(db: &TestDb, arguments: &[&str]) -> Result<Value> {
    let found = lines(db, arguments).await?;
    let [line] = &found[..] else { anyhow::bail!("{arguments:?}: {found:?}") };
    Ok(line.clone())
}

async fn count(db: &TestDb, from: &'static str) -> Result<i64> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {from}"));
    Ok(sqlx::query_scalar(sql).fetch_one(&db.pool).await?)
}

#[tokio::test]
async fn h5_h7_webhooks_from_the_command_line() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let url = "https://example.org/hook";
    let plain = one(&db, &["webhook", "add", "plain", url]).await?;
    let add =
        ["webhook", "add", "crm", url, "--session", "shop", "--kinds", "message.received,session.*", "--lanes", "none"];
    let more = ["--format", "cloudevents", "--batch-size", "10", "--batch-wait", "5s", "--since", "2h"];
    let headers = ["--header", "Authorization: Bearer hunter2", "--header", "X-Team:a:b"];
    let added = one(&db, &[&add[..], &more, &headers].concat()).await?;
    let secret = added["secret"].as_str().context("no secret")?.to_owned();
    ensure!(added["webhook"] == "crm" && secret.starts_with("whsec_") && plain["secret"] != added["secret"], "{added}");
    ensure!(count(&db, "wa.webhook_replay WHERE requested_at - since = '2 hours'").await? == 1);
    let kept = "wa.webhook_secret WHERE purpose = 'headers'
                AND convert_from(decode(value ->> 'data', 'base64'), 'UTF8')::jsonb = '{\"Authorization\": \"Bearer hunter2\", \"X-Team\": \"a:b\"}'";
    ensure!(count(&db, kept).await? == 1);

    let listed = lines(&db, &["webhook", "list"]).await?;
    ensure!(!format!("{listed:?}").contains("whsec_") && !format!("{listed:?}").contains("hunter2"), "{listed:?}");
    let [crm, plain] = &listed[..] else { anyhow::bail!("{listed:?}") };
    for (field, value) in [
        ("webhook", json!("crm")),
        ("sessions", json!(["shop"])),
        ("url", json!(url)),
        ("kinds", json!(["message.received", "session.*"])),
        ("lanes", json!("none")),
        ("format", json!("cloudevents")),
        ("batch_size", json!(10)),
        ("batch_wait", json!("00:00:05")),
        ("header_names", json!(["X-Team", "Authorization"])),
        ("status", json!("enabled")),
        ("queued", json!(0)),
    ] {
        ensure!(crm[field] == value, "{field}: {crm}");
    }
    ensure!(plain["kinds"] == json!(["message.received", "message.status"]) && plain["sessions"].is_null(), "{plain}");
    ensure!(plain["lanes"] == "chat" && plain["format"] == "standard" && plain["batch_size"] == 1, "{plain}");

    let tested = one(&db, &["webhook", "test", "crm"]).await?;
    let shown = one(&db, &["webhook", "show", "crm"]).await?;
    ensure!(shown["webhook"] == "crm" && shown["queued"] == 1 && shown["deliveries"] == json!([]), "{shown}");
    run(
        &db.pool,
        "UPDATE wa.delivery SET attempts = 2, code = 503, last_error = 'HTTP status 503', response = 'busy', attempted_at = now()",
    )
    .await?;
    let shown = one(&db, &["webhook", "show", "crm", "--deliveries", "5"]).await?;
    let delivery = &shown["deliveries"][0];
    ensure!(delivery["id"] == tested["id"] && delivery["type"] == "test" && delivery["status"] == "queued", "{shown}");
    ensure!(delivery["code"] == 503 && delivery["attempts"] == 2 && delivery["response"] == "busy", "{shown}");

    run(&db.pool, "SELECT wa.add_session('till')").await?;
    one(&db, &["webhook", "set", "crm", "--session", "till,shop"]).await?;
    ensure!(one(&db, &["webhook", "show", "crm"]).await?["sessions"] == json!(["shop", "till"]));
    one(&db, &["webhook", "set", "crm", "--session", ""]).await?;
    ensure!(one(&db, &["webhook", "show", "crm"]).await?["sessions"].is_null());

    one(&db, &["webhook", "set", "crm", "--url", "https://example.org/new", "--kinds", "*", "--header", ""]).await?;
    let shown = one(&db, &["webhook", "show", "crm"]).await?;
    ensure!(shown["url"] == "https://example.org/new" && shown["kinds"] == json!(["*"]), "{shown}");
    ensure!(
        shown["header_names"] == json!([]) && shown["format"] == "cloudevents" && shown["batch_size"] == 10,
        "{shown}"
    );

    let rotated = one(&db, &["webhook", "rotate", "crm", "--overlap", "30min"]).await?;
    ensure!(rotated["secret"].as_str().is_some_and(|it| it.starts_with("whsec_") && it != secret), "{rotated}");
    let overlapping =
        "wa.webhook_secret WHERE expires_at BETWEEN now() + interval '29 minutes' AND now() + interval '30 minutes'";
    ensure!(count(&db, overlapping).await? == 1);

    one(&db, &["webhook", "replay", "crm", "--since", "2026-01-02T03:04:05+01:00", "--dead"]).await?;
    ensure!(count(&db, "wa.webhook_replay WHERE since = '2026-01-02 02:04:05Z' AND only_dead").await? == 1);
    one(&db, &["webhook", "replay", "crm", "--since", "3h", "--until", "1h"]).await?;
    ensure!(
        count(&db, "wa.webhook_replay WHERE until - since = '2 hours' AND until < now() - interval '59 minutes'")
            .await?
            == 1
    );
    ensure!(one(&db, &["webhook", "disable", "crm", "--reason", "moving"]).await?["disabled"] == true);
    let shown = one(&db, &["webhook", "show", "crm"]).await?;
    ensure!(shown["status"] == "disabled" && shown["disabled_reason"] == "moving", "{shown}");
    ensure!(refusal(&db, &["webhook", "test", "crm"]).await?.contains("is disabled"));
    ensure!(one(&db, &["webhook", "enable", "crm", "--since", "3d"]).await?["enabled"] == true);
    ensure!(count(&db, "wa.webhook_replay WHERE requested_at - since = '3 days' AND NOT only_dead").await? == 1);
    ensure!(one(&db, &["webhook", "drop", "crm"]).await?["dropped"] == true);
    ensure!(lines(&db, &["webhook", "list"]).await?.len() == 1);
    Ok(())
}

/// In words, and each refusal names the argument.
#[tokio::test]
async fn h5_h7_refusals_of_webhooks_name_the_argument() -> Result<()> {
    let db = fresh().await;
    lines(&db, &["webhook", "add", "crm", "https://example.org"]).await?;
    let url = "https://example.org";
    let cases: [(&[&str], &str); 17] = [
        (&["add", "crm", url], "name: a webhook \"crm\" exists already"),
        (&["add", "a b", url], "name: "),
        (&["add", "x", "ftp://example.org"], "url: "),
        (&["add", "x", url, "--session", "nobody"], "nobody"),
        (&["add", "x", url, "--kinds", "message.sent"], "kinds: \"message.sent\""),
        (&["add", "x", url, "--lanes", "all"], "possible values: chat, none"),
        (&["add", "x", url, "--format", "xml"], "possible values: standard, cloudevents"),
        (&["add", "x", url, "--batch-size", "1000"], "batch_size: 1000"),
        (&["add", "x", url, "--batch-wait", "2min"], "batch_wait: "),
        (&["add", "x", url, "--batch-wait", "2"], "20s, 30min, 12h"),
        (&["add", "x", url, "--header", "hunter2"], "--header: no colon"),
        (&["add", "x", url, "--header", "Host: elsewhere"], "headers: \"Host\""),
        (&["replay", "crm", "--since", "soon"], "such as 30min, 2h or 3d"),
        (&["replay", "crm"], "--since"),
        (&["replay", "crm", "--since", "1h", "--until", "2h"], "since: "),
        (&["rotate", "crm", "--overlap", "31d"], "overlap: "),
        (&["show", "nobody"], "no webhook is named \"nobody\""),
    ];
    for (arguments, words) in cases {
        let said = refusal(&db, &[&["webhook"], arguments].concat()).await?;
        ensure!(said.contains(words), "{arguments:?}: {said}");
        ensure!(!said.contains("hunter2"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn h5_a6_the_command_line_seals_the_secrets_that_it_makes() -> Result<()> {
    let db = fresh().await;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("key");
    std::fs::write(&file, "11".repeat(32))?;
    let run = async |arguments: &[&str]| -> Result<String> {
        let mut command = wagres();
        command.env("WAGRES_ENCRYPTION__KEY", "k1").env("WAGRES_ENCRYPTION__KEYS__K1__FILE", &file);
        let done =
            command.args(["--log", "error", "--database-url", &db.url, "webhook"]).args(arguments).output().await?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    };
    let added = run(&["add", "crm", "https://example.org", "--header", "X-Key: s3cret"]).await?;
    let rotated = run(&["rotate", "crm"]).await?;
    ensure!(added.starts_with("whsec_") && rotated.starts_with("whsec_") && added != rotated, "{added} {rotated}");
    ensure!(count(&db, "wa.webhook_secret").await? == 3);
    ensure!(count(&db, "wa.webhook_secret WHERE value ->> 'type' = 'Sealed' AND value ->> 'key' = 'k1'").await? == 3);
    // Without the key nothing is added.
    std::fs::remove_file(&file)?;
    ensure!(run(&["add", "other", "https://example.org"]).await.is_err());
    ensure!(count(&db, "wa.webhook").await? == 1);
    Ok(())
}

#[tokio::test]
async fn h5_h7_the_columns_of_the_list_stand_under_their_names() -> Result<()> {
    let db = fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_webhook('crm', 'https://example.org/hook'), wa.add_webhook('old', 'https://example.org/old');
         SELECT wa.test_webhook(CASE WHEN n <= 12 THEN 'crm' ELSE 'old' END) FROM generate_series(1, 20) n;
         UPDATE wa.delivery SET status = 'dead', finished_at = now() WHERE id % 3 = 0",
    )
    .await?;
    let mut command = wagres();
    command.args(["webhook", "list", "--database-url", &db.url]);
    let text = String::from_utf8(command.output().await?.stdout)?;
    let mut lines = text.lines();
    let head = lines.next().context("no names")?;
    let ends = ["QUEUED", "DEAD"].map(|name| head.find(name).unwrap_or_default() + name.len());
    for (line, numbers) in lines.zip([["8", "4"], ["6", "2"]]) {
        for (end, number) in ends.iter().zip(numbers) {
            ensure!(line[..*end].ends_with(&format!(" {number}")), "{number} does not end below its name:\n{text}");
        }
        ensure!(line.find("https://") == head.find("URL"), "{text}");
    }
    Ok(())
}
