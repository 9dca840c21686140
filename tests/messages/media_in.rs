//! M6: files of received messages are downloaded on demand or by rule, to Postgres, a folder or a bucket.

use super::files::{picture, speech};
use super::stage::{Peer, SHOP, Stage, contains};
use crate::support::npm;
use crate::support::until::until;
use crate::support::world::Worker;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::ImageFormat::Jpeg;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// The phone sends content to `shop`; waits for the inbox and returns the message id.
async fn send_from_phone(stage: &Stage, content: Value) -> Result<String> {
    let mut draft = content;
    draft["to"] = SHOP.into();
    let sent = stage.world.control.post(&format!("/phones/{}/send", Peer::Phone.number()), draft).await?;
    let id = sent["id"].as_str().context("no id")?.to_owned();
    stage.world.until::<i64>(&format!("SELECT id FROM wa.inbox WHERE message_id = '{id}'")).await?;
    Ok(id)
}

/// Downloads the file of a message on demand; returns the finished job.
async fn download(stage: &Stage, message_id: &str) -> Result<Value> {
    let job =
        stage.world.count(&format!("SELECT wa.download(id) FROM wa.inbox WHERE message_id = '{message_id}'")).await?;
    stage
        .world
        .until(&format!("SELECT to_jsonb(j) FROM wa.session_job j WHERE id = {job} AND finished_at IS NOT NULL"))
        .await
}

/// The stored file of a message, once it is there.
async fn stored_file(stage: &Stage, message_id: &str) -> Result<Value> {
    let row = format!(
        "SELECT jsonb_build_object('data', encode(m.data, 'hex'), 'path', m.path, 'mime', m.mime, 'size', m.size, 'media', m.media_id)
         FROM wa.inbox i JOIN wa.media m USING (media_id) WHERE i.message_id = '{message_id}'"
    );
    stage.world.until(&row).await
}

#[tokio::test]
async fn m6_a_file_is_downloaded_to_postgres_on_demand_or_by_rule() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.phone(Peer::Phone.number()).await?;
    let rule = stage.world.count("SELECT wa.add_download_rule('shop', '{image,voice}', 5000)").await?;
    let (small, large) = (picture(Jpeg, 40, 40)?, picture(Jpeg, 900, 900)?);
    ensure!(small.len() < 5000 && large.len() > 5000, "{} {}", small.len(), large.len());
    let encoded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let wanted = send_from_phone(&stage, json!({ "image": { "data": encoded(&small) } })).await?;
    let said = send_from_phone(&stage, json!({ "audio": { "data": encoded(&speech()), "voice": true } })).await?;
    let too_large = send_from_phone(&stage, json!({ "image": { "data": encoded(&large) } })).await?;
    let unwanted = send_from_phone(
        &stage,
        json!({ "document": { "data": encoded(b"words"), "file_name": "a.txt", "mime": "text/plain" } }),
    )
    .await?;
    for (id, file, mime) in [(&wanted, &small[..], "image/jpeg"), (&said, &speech(), "audio/ogg; codecs=opus")] {
        let row = stored_file(&stage, id).await?;
        let expected = json!({ "data": hex::encode(file), "path": null, "mime": mime, "size": file.len() });
        ensure!(contains(&row, &expected), "{row} is not {expected}");
    }
    // Jobs of one session run in order, so a download against the rule would have run by now.
    let none = format!(
        "SELECT count(*) FROM wa.session_job WHERE kind = 'download' AND (args ->> 'inbox_id')::bigint IN (SELECT id FROM wa.inbox WHERE message_id IN ('{too_large}', '{unwanted}'))"
    );
    ensure!(stage.world.count(&none).await? == 0, "a file was downloaded against the rule");
    let described: Value =
        stage.world.until(&format!("SELECT media FROM wa.inbox WHERE message_id = '{unwanted}'")).await?;
    ensure!(described == json!({ "mime": "text/plain", "size": 5, "file_name": "a.txt" }), "{described}");
    let job = download(&stage, &unwanted).await?;
    let row = stored_file(&stage, &unwanted).await?;
    ensure!(job["status"] == "done" && row["data"] == hex::encode("words"), "{job} {row}");
    ensure!(job["result"] == json!({ "media": row["media"], "mime": "text/plain", "size": 5 }), "{job}");
    // A second download returns the stored file, and equal bytes are stored once.
    ensure!(download(&stage, &unwanted).await?["result"] == job["result"], "a second download stored another file");
    let twin =
        send_from_phone(&stage, json!({ "document": { "data": encoded(b"words"), "mime": "text/plain" } })).await?;
    ensure!(download(&stage, &twin).await?["result"] == job["result"], "the same bytes are stored twice");
    // A rule for all sessions, and the removal of a rule.
    stage.world.count("SELECT wa.add_download_rule()").await?;
    let all = send_from_phone(&stage, json!({ "document": { "data": encoded(b"more words") } })).await?;
    stored_file(&stage, &all).await?;
    let ended: bool =
        sqlx::query_scalar("SELECT wa.remove_download_rule($1)").bind(rule).fetch_one(stage.world.pool()).await?;
    ensure!(ended, "the rule did not exist");
    worker.stop().await
}

#[tokio::test]
async fn m6_an_expired_file_is_requested_again() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let file = picture(Jpeg, 40, 40)?;
    let id = send_from_phone(&stage, json!({ "image": { "data": BASE64_STANDARD.encode(&file) } })).await?;
    stage.world.control.settled(SHOP, &id).await?;
    let (status, answer) =
        stage.world.control.request("DELETE", &format!("/phones/{SHOP}/messages/{id}/media"), None).await?;
    ensure!(status == 200, "{status} {answer}");
    let job = download(&stage, &id).await?;
    ensure!(job["status"] == "done", "{job}");
    ensure!(stored_file(&stage, &id).await?["data"] == hex::encode(&file), "other bytes");
    // A file that no phone has either.
    let image = json!({ "raw": { "imageMessage": {
        "url": "https://mmg.whatsapp.net/v/t62.7118-24/gone", "directPath": "/v/t62.7118-24/gone", "mimetype": "image/jpeg",
        "mediaKey": BASE64_STANDARD.encode([7; 32]), "fileSha256": BASE64_STANDARD.encode([7; 32]),
        "fileEncSha256": BASE64_STANDARD.encode([7; 32]), "fileLength": "1000",
    } } });
    let sent = stage.baileys()?.send_content(SHOP, image).await?["message_id"].as_str().context("no id")?.to_owned();
    stage
        .world
        .until::<i64>(&format!("SELECT id FROM wa.inbox WHERE session = 'shop' AND message_id = '{sent}'"))
        .await?;
    let job = download(&stage, &sent).await?;
    let error = job["last_error"].as_str().unwrap_or_default();
    ensure!(job["status"] == "failed" && error.contains("have the file any more"), "{job}");
    worker.stop().await
}

#[tokio::test]
async fn m6_a_file_is_downloaded_to_a_folder_and_sent_from_there() -> Result<()> {
    let stage = Stage::new().await?;
    let store = tempfile::tempdir()?;
    let mut command = stage.world.worker_on(&stage.world.db.url);
    command.env("WAGRES_MEDIA__STORE", format!("file://{}/media", store.path().display()));
    let worker = Worker::start(command).await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.phone(Peer::Phone.number()).await?;
    download_and_resend(&stage, |path| Ok(std::fs::read(store.path().join("media").join(path))?)).await?;
    worker.stop().await
}

#[tokio::test]
async fn m6_a_file_is_downloaded_to_a_bucket_and_sent_from_there() -> Result<()> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3");
    npm::install(&home).await?;
    let folder = tempfile::tempdir()?;
    let mut command = tokio::process::Command::new("node");
    command.arg(home.join("server.mjs")).env("FOLDER", folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.kill_on_drop(true).spawn()?;
    let mut port = String::new();
    BufReader::new(server.stdout.as_mut().context("no stdout")?).read_line(&mut port).await?;
    let endpoint = format!("http://127.0.0.1:{}", port.trim());

    let stage = Stage::new().await?;
    let mut command = stage.world.worker_on(&stage.world.db.url);
    command.env("WAGRES_MEDIA__STORE", "s3://media/all");
    for (option, value) in [
        ("ENDPOINT", endpoint.as_str()),
        ("ALLOW_HTTP", "true"),
        ("REGION", "nowhere"),
        ("ACCESS_KEY_ID", "S3RVER"),
        ("SECRET_ACCESS_KEY", "S3RVER"),
    ] {
        command.env(format!("WAGRES_MEDIA__STORE_OPTIONS__{option}"), value);
    }
    let worker = Worker::start(command).await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.phone(Peer::Phone.number()).await?;
    let object =
        |path: &str| Ok(std::fs::read(folder.path().join("media/all").join(format!("{path}._S3rver_object")))?);
    download_and_resend(&stage, object).await?;
    worker.stop().await
}

/// Downloads a file to the media store, where `read` finds it, and sends it from there.
async fn download_and_resend(stage: &Stage, read: impl Fn(&str) -> Result<Vec<u8>>) -> Result<()> {
    let file: Vec<u8> = (0..200_000).map(|at: u32| u8::try_from(at % 251).unwrap_or(0)).collect();
    let document =
        json!({ "document": { "data": BASE64_STANDARD.encode(&file), "file_name": "Table.XLSX", "mime": "a/b" } });
    let id = send_from_phone(stage, document).await?;
    let job = download(stage, &id).await?;
    ensure!(job["status"] == "done", "{job}");
    let row = stored_file(stage, &id).await?;
    let path = row["path"].as_str().with_context(|| row.to_string())?;
    ensure!(path.starts_with("default/received/") && path.contains(".xlsx") && row["data"].is_null(), "{row}");
    ensure!(read(path)? == file, "other bytes");
    let sent = stage.send("document", Peer::Phone.number(), &format!("media => {}", row["media"])).await?;
    stage.world.control.settled(Peer::Phone.number(), &sent).await?;
    ensure!(stage.world.control.file(Peer::Phone.number(), &sent).await? == file, "other bytes were sent");
    Ok(())
}

/// The files below a folder.
fn files_below(folder: &Path) -> Result<Vec<String>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    Ok(found)
}

#[tokio::test]
async fn r6_m6_every_file_in_the_media_store_has_a_row_or_is_noted_for_deletion() -> Result<()> {
    let stage = Stage::new().await?;
    let store = tempfile::tempdir()?;
    let mut command = stage.world.worker_on(&stage.world.db.url);
    command.env("WAGRES_MEDIA__STORE", format!("file://{}", store.path().display()));
    let worker = Worker::start(command).await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.phone(Peer::Phone.number()).await?;
    let document = |words: &str, name: &str| json!({ "document": { "data": BASE64_STANDARD.encode(words), "file_name": name, "mime": "a/b" } });
    // The same file under another name is kept once.
    for name in ["words.xlsx", "words.txt"] {
        let id = send_from_phone(&stage, document("words", name)).await?;
        ensure!(download(&stage, &id).await?["status"] == "done");
    }
    let paths: String = stage.world.until("SELECT string_agg(path, ',') FROM wa.media").await?;
    let files = files_below(store.path())?;
    ensure!(files.len() == 1 && files[0].ends_with(&paths), "{files:?} {paths}");
    // The worker dies after it has written the file and before it writes the row.
    let id = send_from_phone(&stage, document("other words", "other.txt")).await?;
    let mut application = stage.world.pool().begin().await?;
    sqlx::query("SELECT id FROM wa.inbox WHERE message_id = $1 FOR UPDATE")
        .bind(&id)
        .execute(&mut *application)
        .await?;
    stage.world.count(&format!("SELECT wa.download(id) FROM wa.inbox WHERE message_id = '{id}'")).await?;
    until("the file written", async || {
        let files = files_below(store.path())?;
        // Until it is complete, its name ends with a number.
        let complete = files.len() == 2 && !files.iter().any(|file| file.contains('#'));
        Ok(if complete { Ok(()) } else { Err(files.join(", ")) })
    })
    .await?;
    stage.world.kill(worker).await?;
    application.rollback().await?;
    let noted: Vec<String> = sqlx::query_scalar("SELECT path FROM wa.dropped_file UNION SELECT path FROM wa.media")
        .fetch_all(stage.world.pool())
        .await?;
    let files = files_below(store.path())?;
    let lost: Vec<_> = files.iter().filter(|file| !noted.iter().any(|path| file.ends_with(path))).collect();
    ensure!(files.len() == 2 && lost.is_empty(), "nothing names {lost:?}");
    Ok(())
}

#[tokio::test]
async fn m6_a_file_that_differs_from_its_description_fails_alone() -> Result<()> {
    let mut stage = Stage::new().await?;
    let mut command = stage.world.worker_on(&stage.world.db.url);
    command.env("WAGRES_MEDIA__MAX_BYTES", "100000");
    let log = tempfile::NamedTempFile::new()?;
    command.stderr(log.reopen()?);
    let worker = Worker::start(command).await?;
    stage.link().await?;
    let file = picture(Jpeg, 40, 40)?;
    let large = vec![9_u8; 300_000];
    let encoded = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    let mut wholes = vec![];
    for bytes in [&file, &large] {
        let id = send_from_phone(&stage, json!({ "document": { "data": encoded(bytes) } })).await?;
        let message = format!("SELECT message -> 'document_message' FROM wa.inbox WHERE message_id = '{id}'");
        wholes.push((id, stage.world.until::<Value>(&message).await?));
    }
    let too_large = download(&stage, &wholes[1].0).await?;
    let error = too_large["last_error"].as_str().unwrap_or_default();
    ensure!(too_large["status"] == "failed" && error.contains("more than media.max_bytes, 100000"), "{too_large}");
    let bytes = |message: &Value, name: &str| message[name]["data"].as_str().unwrap_or_default().to_owned();
    let lie = |message: &Value, change: Value| {
        let mut document = json!({
            "url": message["url"], "directPath": message["direct_path"], "mimetype": "image/jpeg", "mediaKey": bytes(message, "media_key"),
            "fileSha256": bytes(message, "file_sha256"), "fileEncSha256": bytes(message, "file_enc_sha256"), "fileLength": "900",
        });
        for (name, value) in change.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        json!({ "raw": { "documentMessage": document } })
    };
    let mut sent = vec![];
    for (content, words) in [
        // The message claims a small file.
        (lie(&wholes[1].1, json!({})), "more than media.max_bytes"),
        (lie(&wholes[0].1, json!({ "fileSha256": encoded(&[1; 32]) })), "does not have the hash that its sender names"),
        (lie(&wholes[0].1, json!({ "mediaKey": encoded(&[1; 32]) })), "not downloaded"),
        (lie(&wholes[0].1, json!({ "mediaKey": "" })), ""),
        (lie(&wholes[0].1, json!({ "directPath": "/../../etc/passwd" })), ""),
        (lie(&wholes[0].1, json!({ "directPath": "" })), ""),
    ] {
        let answer = stage.baileys()?.send_content(SHOP, content).await?;
        let id = answer["message_id"].as_str().context("no id")?.to_owned();
        sent.push((id, words));
    }
    for (id, words) in sent {
        stage
            .world
            .until::<i64>(&format!("SELECT id FROM wa.inbox WHERE session = 'shop' AND message_id = '{id}'"))
            .await?;
        let job = stage
            .world
            .count(&format!("SELECT wa.download(id) FROM wa.inbox WHERE session = 'shop' AND message_id = '{id}'"))
            .await?;
        let tried = format!("SELECT to_jsonb(j) FROM wa.session_job j WHERE id = {job} AND last_error IS NOT NULL");
        let job: Value = stage.world.until(&tried).await?;
        ensure!(job["last_error"].as_str().is_some_and(|error| error.contains(words)), "{job}, not {words}");
        // A temporary failure is retried later; the test does not wait for the retry.
        let skip = format!(
            "SELECT wa.cancel_session_job(id) FROM wa.session_job WHERE id = {} AND status = 'queued'",
            job["id"]
        );
        sqlx::query(sqlx::AssertSqlSafe(skip)).execute(stage.world.pool()).await?;
    }
    let job = download(&stage, &wholes[0].0).await?;
    ensure!(job["status"] == "done", "{job}");
    worker.stop().await?;
    let log = std::fs::read_to_string(log.path())?;
    ensure!(
        log.contains("more than media.max_bytes") && !log.contains("auth="),
        "the reason is not logged, or a token is: {log}"
    );
    Ok(())
}
