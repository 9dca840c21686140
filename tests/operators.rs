//! What operators do with commands: listings, messages of every kind, tenants, pacing, consumers, moves.

use crate::cli::{lines, refusal};
use crate::support::db;
use crate::support::until::{LIMIT, until};
use crate::support::world::wagres;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Runs a command without a terminal; returns what it prints.
async fn printed(url: &str, arguments: &[&str]) -> Result<String> {
    let done = wagres().args(["--log", "error", "--database-url", url]).args(arguments).output().await?;
    let (text, error) = (String::from_utf8(done.stdout)?, String::from_utf8(done.stderr)?);
    ensure!(done.status.success() && error.is_empty(), "{arguments:?}: {error}");
    Ok(text)
}

const LISTS: [&[&str]; 15] = [
    &["session", "list"],
    &["jobs", "queue"],
    &["jobs", "list"],
    &["jobs", "list", "--table", "session"],
    &["jobs", "list", "--table", "maintenance"],
    &["campaign", "list"],
    &["worker", "list"],
    &["schedule", "list"],
    &["token", "list"],
    &["webhook", "list"],
    &["consumer", "list"],
    &["tenant", "list"],
    &["pacing", "show"],
    &["auth", "stats"],
    &["auth", "quarantine"],
];

#[tokio::test]
async fn h7_every_list_is_plain_in_a_file_and_says_what_to_do_when_it_is_empty() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("DELETE FROM wa.schedule").execute(&db.pool).await?;
    for arguments in LISTS {
        let text = printed(&db.url, arguments).await?;
        ensure!(!text.contains('\x1b'), "{arguments:?}: {text:?}");
        if arguments == ["tenant", "list"] {
            continue;
        }
        let word = text.split_whitespace().next().unwrap_or_default();
        ensure!(text.lines().count() == 1 && word.chars().any(char::is_lowercase), "{arguments:?} is empty: {text}");
        ensure!(lines(&db, arguments).await?.is_empty(), "{arguments:?}");
    }
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'), wa.add_token('anna'), wa.add_webhook('crm', 'https://example.org/hook'),
                wa.add_consumer('crm'), wa.set_pacing('shop', per_minute => 20, quiet_from => '22:00', quiet_until => '07:00');
         SELECT wa.schedule('nightly', '0 3 * * *', 'retention'), wa.run_now('nightly');
         INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '+15550009', 'x', 'may');
         UPDATE wa.session SET jid = '15550001:1@s.whatsapp.net' WHERE name = 'shop'",
    )
    .execute(&db.pool)
    .await?;
    sqlx::raw_sql("SELECT wa.close('shop', 'night')").execute(&db.pool).await?;
    for (arguments, words) in [
        (["inbox"].as_slice(), "no messages; wagres inbox --follow"),
        (&["inbox", "--consumer", "crm"], "crm has nothing to read; wagres inbox"),
        (&["session", "errors", "shop"], "session shop has no errors; wagres session show shop"),
        (&["webhook", "show", "crm"], "no deliveries yet; wagres webhook test crm"),
        (&["schedule", "show", "nightly"], "not due yet; wagres schedule run nightly"),
    ] {
        let text = printed(&db.url, arguments).await?;
        ensure!(text.contains(words), "{arguments:?}: {text}");
    }
    for arguments in LISTS.iter().filter(|it| !["worker", "auth"].contains(&it[0])) {
        let text = printed(&db.url, arguments).await?;
        let head = text.lines().next().unwrap_or_default();
        ensure!(head == head.to_uppercase() && text.lines().count() >= 2, "{arguments:?}: {text}");
        ensure!(!text.contains('\x1b') && text.lines().all(|line| line == line.trim_end()), "{arguments:?}: {text:?}");
        ensure!(lines(&db, arguments).await?.len() == text.lines().count() - 1, "{arguments:?}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_send_has_a_flag_for_each_field_and_knows_each_kind() -> Result<()> {
    let db = db::fresh().await;
    let help = String::from_utf8(wagres().args(["send", "--help"]).env("COLUMNS", "300").output().await?.stdout)?;
    let fields: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT field FROM wa.message_fields()").fetch_all(&db.pool).await?;
    ensure!(fields.len() > 20, "{fields:?}");
    for field in fields {
        let flag = if field == "options" { "option".to_owned() } else { field.replace('_', "-") };
        ensure!(help.contains(&format!("--{flag} <")), "no --{flag}: {help}");
    }
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM wa.message_kinds()").fetch_all(&db.pool).await?;
    let known = format!("[possible values: {}]", kinds.join(", "));
    ensure!(help.contains(&known), "{known}: {help}");
    Ok(())
}

#[tokio::test]
async fn h7_a_message_of_each_kind_is_queued_with_the_fields_of_its_flags() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("may.pdf");
    std::fs::write(&file, b"%PDF-1.4")?;
    let file = file.to_str().context("a path")?;
    let id = "3EB0AAAAAAAAAAAAAAAA";
    let cases: [(&str, &[&str], Value); 17] = [
        ("text", &["hi", "--quote", id], json!({ "quote": id })),
        ("image", &["for you", "--url", "https://example.org/a.jpg"], json!({ "url": "https://example.org/a.jpg" })),
        ("video", &["--file", "a.mp4"], json!({ "file": "a.mp4" })),
        ("gif", &["--file", "a.mp4"], json!({ "file": "a.mp4" })),
        ("audio", &["--file", "a.mp3"], json!({ "file": "a.mp3" })),
        ("voice", &["--file", "a.ogg"], json!({ "file": "a.ogg" })),
        ("document", &["--data", file], json!({ "file_name": "may.pdf" })),
        ("sticker", &["--file", "a.webp"], json!({ "file": "a.webp" })),
        (
            "location",
            &["--latitude", "-52.5", "--longitude", "13.4", "--name", "Gate"],
            json!({ "latitude": -52.5, "name": "Gate" }),
        ),
        ("contact", &["--name", "Ann", "--phone", "+15550003"], json!({ "name": "Ann" })),
        (
            "poll",
            &["Lunch?", "--option", "Soup, hot", "--option", "Salad", "--choices", "2"],
            json!({ "options": ["Soup, hot", "Salad"], "choices": 2 }),
        ),
        ("reaction", &["👍", "--message-id", id], json!({ "message_id": id })),
        ("edit", &["new", "--message-id", id], json!({ "message_id": id })),
        ("revoke", &["--message-id", id], json!({ "message_id": id })),
        ("forward", &["--message-id", id], json!({ "message_id": id })),
        (
            "read",
            &["--message-ids", "3EB0AAAAAAAAAAAAAAAA,3EB0BBBBBBBBBBBBBBBB"],
            json!({ "message_ids": [id, "3EB0BBBBBBBBBBBBBBBB"] }),
        ),
        ("chat_state", &["--state", "typing"], json!({ "state": "typing" })),
    ];
    for (kind, flags, fields) in cases {
        let queued = lines(&db, &[&["send", "shop", "+15550002", "--kind", kind], flags].concat()).await?;
        let row: Value = sqlx::query_scalar("SELECT to_jsonb(o) FROM wa.outbound o WHERE id = $1")
            .bind(queued[0]["id"].as_i64().context("an id")?)
            .fetch_one(&db.pool)
            .await?;
        ensure!(row["kind"] == kind, "{row}");
        for (field, value) in fields.as_object().context("an object")? {
            ensure!(row["content"][field] == *value, "{kind}: {field}: {row}");
        }
        ensure!(kind != "document" || row["content"]["media"].is_i64(), "{row}");
    }
    let later = ["send", "shop", "+15550002", "hi", "--send-at", "2h", "--expires-at", "2100-01-01T00:00:00Z"];
    let queued = lines(&db, &[&later[..], &["--priority", "-3", "--dedupe-key", "k"]].concat()).await?;
    ensure!(lines(&db, &["send", "shop", "+15550002", "hi", "--dedupe-key", "k"]).await? == queued, "sent twice");
    let (fits,): (bool,) = sqlx::query_as(
        "SELECT send_at BETWEEN now() + interval '119 min' AND now() + interval '2 h' AND priority = -3
                AND expires_at = '2100-01-01Z' FROM wa.outbound WHERE dedupe_key = 'k'",
    )
    .fetch_one(&db.pool)
    .await?;
    ensure!(fits, "times and priority");
    let text = refusal(&db, &["send", "shop", "+15550002", "--kind", "poll", "Lunch?"]).await?;
    ensure!(text.contains("options"), "{text}");
    let endless = ["send", "shop", "+15550002", "--kind", "document", "--data", "/dev/zero"];
    let text = refusal(&db, &endless).await?;
    ensure!(text.contains("more than 67108864 bytes"), "{text}");
    Ok(())
}

#[tokio::test]
async fn h7_tenants_pacing_and_consumers_from_the_command_line() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    lines(&db, &["tenant", "add", "acme"]).await?;
    lines(&db, &["session", "add", "desk", "--tenant", "acme"]).await?;
    lines(&db, &["tenant", "pause", "acme", "--reason", "unpaid"]).await?;
    let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&db.pool).await?;
    lines(&db, &["tenant", "grant", "acme", &role]).await?;
    let tenants = lines(&db, &["tenant", "list"]).await?;
    let acme = &tenants[0];
    ensure!(acme["tenant"] == "acme" && acme["paused_reason"] == "unpaid" && acme["roles"] == json!([role]), "{acme}");
    ensure!(acme["sessions"] == 1, "{acme}");
    lines(&db, &["tenant", "revoke", "acme", &role]).await?;
    lines(&db, &["tenant", "resume", "acme"]).await?;
    let acme = &lines(&db, &["tenant", "list"]).await?[0];
    ensure!(acme["paused_at"].is_null() && acme["roles"] == json!([]), "{acme}");

    let set = ["pacing", "set", "shop", "--per-minute", "20", "--jitter", "3s", "--quiet-from", "22:00"];
    let rows = lines(&db, &[&set[..], &["--quiet-until", "07:00", "--typing", "true"]].concat()).await?;
    let row = &rows[0];
    ensure!(row["per_minute"] == 20.0 && row["jitter_seconds"] == 3.0 && row["quiet_until"] == "07:00", "{row}");
    ensure!(row["typing"] == true && row["session"] == "shop", "{row}");
    lines(&db, &["pacing", "set", "shop", "--burst", "4"]).await?;
    lines(&db, &["pacing", "clear", "shop", "quiet_hours"]).await?;
    let row = &lines(&db, &["pacing", "show", "shop"]).await?[0];
    ensure!(row["burst"] == 4 && row["per_minute"] == 20.0 && row["quiet_from"].is_null(), "{row}");
    lines(&db, &["pacing", "clear", "shop"]).await?;
    ensure!(lines(&db, &["pacing", "show"]).await?.is_empty());
    ensure!(refusal(&db, &["pacing", "set", "shop", "--burst", "0"]).await?.contains("burst"));

    let added = lines(&db, &["consumer", "add", "crm", "--session", "shop", "--kinds", "text,image"]).await?;
    ensure!(added == [json!({ "consumer": "crm", "unread": 0 })], "{added:?}");
    let row = &lines(&db, &["consumer", "list"]).await?[0];
    ensure!(row["session"] == "shop" && row["kinds"] == json!(["text", "image"]) && row["unread"] == 0, "{row}");
    let received =
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
                    SELECT name, session_id, 'c', 'c', 'A1', 'text', E'hi\\n\\x1b[2J', false, now(), '{}' FROM wa.session
                    WHERE name = 'shop'";
    sqlx::raw_sql(received).execute(&db.pool).await?;
    let unread = async |flags: &[&str]| -> Result<Value> {
        Ok(lines(&db, &[&["consumer", "rewind", "crm"], flags].concat()).await?[0]["unread"].clone())
    };
    ensure!(unread(&["--skip"]).await? == 0 && unread(&["--since", "1h"]).await? == 1);
    ensure!(refusal(&db, &["consumer", "rewind", "crm"]).await?.contains("--since"), "nothing said is not all");
    let read = lines(&db, &["inbox", "--consumer", "crm"]).await?;
    ensure!(read.len() == 1 && read[0]["body"] == "hi\n\u{1b}[2J", "{read:?}");
    let shown = printed(&db.url, &["inbox"]).await?;
    ensure!(shown.lines().count() == 1 && shown.ends_with("hi  [2J\n"), "a stranger moves the cursor: {shown:?}");
    lines(&db, &["consumer", "drop", "crm"]).await?;
    ensure!(lines(&db, &["consumer", "list"]).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn h7_a_watched_queue_prints_each_change() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    for (arguments, field) in [(["jobs", "queue"].as_slice(), "ready"), (&["jobs", "list"], "id")] {
        let mut command = wagres();
        command.args(["--json", "--log", "error", "--database-url", &db.url]).args(arguments).arg("--watch");
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut printed = BufReader::new(child.stdout.take().context("no output")?).lines();
        if field == "ready" {
            let first: Value = serde_json::from_str(&printed.next_line().await?.context("no first line")?)?;
            ensure!(first["session"] == "shop" && first["ready"] == 0, "{first}");
        }
        sqlx::raw_sql("SELECT wa.send_text('shop', '+15550009', 'x')").execute(&db.pool).await?;
        let next = tokio::time::timeout(LIMIT, printed.next_line()).await.context("no change is shown")??;
        let next: Value = serde_json::from_str(&next.context("the output ends")?)?;
        ensure!(next[field] == 1 || next[field].as_i64() > Some(0), "{next}");
        let pid = child.id().context("it has ended")?.to_string();
        ensure!(Command::new("kill").args(["-s", "INT", &pid]).status().await?.success());
        ensure!(tokio::time::timeout(LIMIT, child.wait()).await??.success(), "{arguments:?}: not ended in order");
    }
    Ok(())
}

#[tokio::test]
async fn h7_a_move_that_somebody_waits_for_ends_when_it_cannot_be_done_any_more() -> Result<()> {
    let db = db::fresh().await;
    let worker: String = sqlx::query_scalar(
        "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until)
         SELECT gen_random_uuid(), 'test', 1, 'test', now() + interval '1 day' FROM wa.add_session('shop') RETURNING worker_id::text",
    )
    .fetch_one(&db.pool)
    .await?;
    for (end, words) in [
        ("SELECT wa.move_session('shop', NULL)", "another move of session shop has replaced this one"),
        ("UPDATE wa.worker SET lease_until = '-infinity'", "has ended"),
    ] {
        let mut command = wagres();
        command.args(["--log", "error", "--database-url", &db.url, "session", "move", "shop", &worker, "--wait"]);
        let moving = command.stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        until("the move", async || {
            let asked: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.move_request").fetch_one(&db.pool).await?;
            Ok(if asked == 1 { Ok(()) } else { Err(asked) })
        })
        .await?;
        sqlx::raw_sql(end).execute(&db.pool).await?;
        let done = tokio::time::timeout(LIMIT, moving.wait_with_output()).await.context("the move does not end")??;
        let error = String::from_utf8(done.stderr)?;
        ensure!(done.status.code() == Some(1) && error.contains(words), "{words}: {error}");
    }
    Ok(())
}
