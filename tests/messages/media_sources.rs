//! M1: the sources of files, one upload for many recipients, and the errors of files that cannot be sent.

use super::files::{film, music, picture, speech};
use super::stage::{Peer, SHOP, Stage};
use crate::support::logins::{login, run};
use crate::support::world::Worker;
use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::stream;
use image::ImageFormat::{Jpeg, Png, WebP};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

const MOST: usize = 4 << 20;

/// A web server with a file of each kind.
#[derive(Clone, Default)]
struct Web {
    /// Requests for /same.jpg answered with the file (200), and with 304.
    whole: Arc<AtomicUsize>,
    same: Arc<AtomicUsize>,
    busy_before: Arc<AtomicBool>,
    host: Arc<OnceLock<String>>,
}

fn file_of(kind: &str) -> Result<Vec<u8>> {
    Ok(match kind {
        "image" => picture(Jpeg, 30, 30)?,
        "video" | "gif" => film(),
        "audio" => music(),
        "voice" => speech(),
        "sticker" => picture(WebP, 512, 512)?,
        _ => b"some words".to_vec(),
    })
}

impl Web {
    async fn open() -> Result<Self> {
        let web = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        web.host.set(format!("http://{}", listener.local_addr()?)).ok().context("Web::open ran twice")?;
        let file = |axum::extract::Path(kind): axum::extract::Path<String>| async move {
            // The worker ignores the content type of a server.
            file_of(&kind).map(|file| ([(header::CONTENT_TYPE, "text/html")], file)).map_err(|_| StatusCode::NOT_FOUND)
        };
        let router = Router::new()
            .route("/file/{kind}", get(file))
            .route("/same.jpg", get(same))
            .route("/moved", get(|| async { Redirect::to("/file/image") }))
            .route("/busy", get(busy))
            .route(
                "/endless",
                get(|| async { Body::from_stream(stream::repeat_with(|| std::io::Result::Ok(vec![0_u8; 1 << 16]))) }),
            )
            .route("/silent", get(|| async { Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>()) }))
            .route("/nothing", get(|| async { "" }))
            .with_state(web.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(web)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.host.get().map(String::as_str).unwrap_or_default())
    }
}

async fn same(State(web): State<Web>, asked: HeaderMap) -> Response {
    if asked.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == "\"first\"") {
        web.same.fetch_add(1, Ordering::Relaxed);
        return StatusCode::NOT_MODIFIED.into_response();
    }
    web.whole.fetch_add(1, Ordering::Relaxed);
    ([(header::ETAG, "\"first\"")], file_of("image").unwrap_or_default()).into_response()
}

async fn busy(State(web): State<Web>) -> Result<Vec<u8>, StatusCode> {
    if web.busy_before.swap(true, Ordering::Relaxed) {
        Ok(b"at last".to_vec())
    } else {
        Err(StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// A session of ours and a phone, a web server on this machine, and a folder as the media store.
struct Sources {
    stage: Stage,
    worker: Worker,
    web: Web,
    store: TempDir,
}

impl Sources {
    async fn new() -> Result<Self> {
        let (stage, web, store) = (Stage::new().await?, Web::open().await?, tempfile::tempdir()?);
        let mut command = stage.world.worker_on(&stage.world.db.url);
        command.env("WAGRES_MEDIA__STORE", format!("file://{}", store.path().display()));
        command.env("WAGRES_MEDIA__PRIVATE_NETWORKS", "true");
        command.env("WAGRES_MEDIA__MAX_BYTES", MOST.to_string());
        command.env("WAGRES_MEDIA__TIMEOUT_SECONDS", "3");
        let worker = Worker::start(command).await?;
        stage.world.link("shop", SHOP).await?;
        stage.world.phone(Peer::Phone.number()).await?;
        Ok(Self { stage, worker, web, store })
    }

    /// Puts a file into the store.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.store.path().join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        Ok(std::fs::write(path, bytes)?)
    }

    /// The file of a message of ours as the phone downloads and decrypts it.
    async fn phone_file(&self, message_id: &str) -> Result<Vec<u8>> {
        let found = self.stage.world.control.settled(Peer::Phone.number(), message_id).await?;
        ensure!(found["media"]["state"] == "ready", "{found}");
        self.stage.world.control.file(Peer::Phone.number(), message_id).await
    }

    async fn uploads(&self) -> Result<u64> {
        self.stage.world.control.get("/stats").await?["media"]["uploads"].as_u64().context("uploads")
    }
}

#[tokio::test]
async fn m1_files_come_from_urls_rows_large_objects_and_the_media_store() -> Result<()> {
    let all = Sources::new().await?;
    let pool = all.stage.world.pool();
    let to = Peer::Phone.number();
    for kind in ["image", "video", "gif", "audio", "voice", "document", "sticker"] {
        let file = file_of(kind)?;
        all.put(&format!("default/offers/{kind}.bin"), &file)?;
        let media: i64 = sqlx::query_scalar("SELECT wa.add_media('shop', $1)").bind(&file).fetch_one(pool).await?;
        let large: i64 = sqlx::query_scalar("SELECT lo_from_bytea(0, $1)::bigint").bind(&file).fetch_one(pool).await?;
        for source in [
            format!("url => '{}'", all.web.url(&format!("/file/{kind}"))),
            format!("media => {media}"),
            format!("large_object => {large}"),
            format!("file => 'offers/{kind}.bin'"),
        ] {
            let sent = all.stage.send(kind, to, &source).await?;
            ensure!(all.phone_file(&sent).await? == file, "{kind} of {source} has other bytes");
        }
    }
    // A file larger than one read.
    let large: Vec<u8> = (0..3 << 20).map(|at: u32| u8::try_from(at % 251).unwrap_or(0)).collect();
    all.put("default/large", &large)?;
    let media: i64 = sqlx::query_scalar("SELECT wa.add_media('shop', $1)").bind(&large).fetch_one(pool).await?;
    let object: i64 =
        sqlx::query_scalar("SELECT lo_from_bytea(0, $1)::bigint").bind(&large[1..]).fetch_one(pool).await?;
    for (source, file) in [
        (format!("media => {media}"), &large[..]),
        (format!("large_object => {object}"), &large[1..]),
        ("file => 'large'".into(), &large[..]),
        (format!("url => '{}'", all.web.url("/moved")), &file_of("image")?),
        // The first request gets 503, the retry the file.
        (format!("url => '{}'", all.web.url("/busy")), b"at last"),
    ] {
        let sent = all.stage.send("document", to, &source).await?;
        ensure!(all.phone_file(&sent).await? == file, "{source} has other bytes");
    }
    // A document without a name gets that of its source.
    let named =
        "SELECT message_id FROM wa.outbound WHERE kind = 'document' AND content ->> 'file' = 'offers/document.bin'";
    let found = all.stage.world.control.settled(to, &all.stage.world.until::<String>(named).await?).await?;
    ensure!(found["media"]["file_name"] == "document.bin", "{found}");
    all.worker.stop().await
}

#[tokio::test]
async fn m1_a_file_for_many_recipients_is_uploaded_once() -> Result<()> {
    let all = Sources::new().await?;
    let world = &all.stage.world;
    let numbers: Vec<String> = (0..20).map(|n| format!("1555010{n:02}")).collect();
    for number in &numbers {
        world.phone(number).await?;
    }
    let before = all.uploads().await?;
    let url = all.web.url("/same.jpg");
    let send = |url: &str| {
        format!(
            "INSERT INTO wa.outbound (session, recipient, kind, content)
                 SELECT 'shop', n, 'image', jsonb_build_object('url', '{url}') FROM unnest('{{{}}}'::text[]) n",
            numbers.join(",")
        )
    };
    let all_sent =
        |times: usize| format!("SELECT count(*) = {} FROM wa.outbound WHERE sent_at IS NOT NULL", 20 * times);
    for (times, age, uploads, whole, same) in
        [(1, "0", 1, 1, 0), (2, "0", 1, 1, 0), (3, "2 minutes", 1, 1, 20), (4, "2 days", 2, 2, 20)]
    {
        let older = format!("UPDATE wa.upload SET uploaded_at = uploaded_at - interval '{age}'");
        sqlx::query(sqlx::AssertSqlSafe(older)).execute(world.pool()).await?;
        sqlx::query(sqlx::AssertSqlSafe(send(&url))).execute(world.pool()).await?;
        world.holds(&all_sent(times)).await?;
        let got = (
            all.uploads().await? - before,
            all.web.whole.load(Ordering::Relaxed),
            all.web.same.load(Ordering::Relaxed),
        );
        ensure!(got == (uploads, whole, same), "after {age}: {got:?}");
    }
    // The same bytes from another source.
    let arguments = format!("data => decode('{}', 'base64')", BASE64_STANDARD.encode(file_of("image")?));
    let last = all.stage.send("image", Peer::Phone.number(), &arguments).await?;
    ensure!(all.uploads().await? - before == 2, "the same bytes were uploaded again");
    ensure!(all.phone_file(&last).await? == file_of("image")?, "other bytes");
    all.worker.stop().await
}

#[tokio::test]
async fn m1_stored_files_are_quoted_and_forwarded() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let (file, to) = (picture(Jpeg, 50, 40)?, Peer::Session.number());
    let arguments = format!("body => 'Look', data => decode('{}', 'base64')", BASE64_STANDARD.encode(&file));
    let sent = stage.send("image", to, &arguments).await?;
    let quoting = stage.send("text", to, &format!("'As I said', quote => '{sent}'")).await?;
    let quoted = json!({ "extended_text_message": { "context_info": {
        "stanza_id": sent, "quoted_message": { "image_message": { "caption": "Look", "width": 50 } },
    } } });
    let columns = json!({ "kind": "text", "body": "As I said", "quoted_id": sent });
    stage.check_received(Peer::Session, &quoting, &columns, &quoted).await?;
    let forwarded = stage.send("forward", Peer::Phone.number(), &format!("'{sent}', chat => '{to}'")).await?;
    stage.check_received(Peer::Phone, &forwarded, &json!({ "kind": "image", "body": "Look" }), &Value::Null).await?;
    stage.world.control.settled(Peer::Phone.number(), &forwarded).await?;
    ensure!(stage.world.control.file(Peer::Phone.number(), &forwarded).await? == file, "other bytes");
    worker.stop().await
}

/// A PNG whose header claims this width and height.
fn bomb(side: u32) -> Result<Vec<u8>> {
    let mut png = picture(Png, 4, 4)?;
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let sum = !png[12..29].iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    Ok(png)
}

#[tokio::test]
async fn m1_a_file_that_cannot_be_sent_fails_with_its_reason_and_holds_nothing_up() -> Result<()> {
    let all = Sources::new().await?;
    let (world, to) = (&all.stage.world, Peer::Phone.number());
    let data = |bytes: &[u8]| format!("data => decode('{}', 'base64')", BASE64_STANDARD.encode(bytes));
    let url = |path: &str| format!("url => '{}'", all.web.url(path));
    all.put("other/secret", b"not yours")?;
    all.put("default/large", &vec![0; MOST + 1])?;
    all.put("default/empty", b"")?;
    let zip = b"PK\x03\x04 and so on";
    let mut cut = picture(Jpeg, 500, 500)?;
    cut.truncate(1000);
    let cases = [
        ("image", data(b"words"), "the file is application/octet-stream; accepted is JPEG, PNG, WebP or GIF"),
        ("image", data(zip), "the file is application/zip"),
        ("video", data(&picture(Jpeg, 5, 5)?), "the file is image/jpeg; accepted is a video, best MP4"),
        ("gif", data(b"GIF89a and so on"), "the file is image/gif; accepted is a video"),
        ("audio", data(&film()[..8]), "accepted is audio"),
        ("voice", data(zip), "the file is application/zip; accepted is audio, best Ogg with Opus or MP3"),
        ("sticker", data(b"RIFF\x10\0\0\0WEBPVP8L and so on"), "accepted is WebP, JPEG, PNG or GIF"),
        ("sticker", data(&bomb(60_000)?), "accepted is WebP, JPEG, PNG or GIF"),
        ("document", url("/file"), "content.url: status 404"),
        ("document", url("/endless"), "content.url: more than media.max_bytes, 4194304"),
        ("document", url("/nothing"), "content.url: the file is empty"),
        ("document", "file => 'large'".into(), "content.file: more than media.max_bytes"),
        ("document", "file => 'empty'".into(), "the file is empty"),
        ("document", "file => 'secret'".into(), "content.file: there is no default/secret in the media store"),
        ("document", data(&vec![0; MOST + 1]), "content.media: more than media.max_bytes"),
    ];
    for (kind, source, words) in &cases {
        let id = world.count(&format!("SELECT wa.send_{kind}('shop', '{to}', {source})")).await?;
        world.message_is(id, "failed").await.with_context(|| format!("{kind} {words}"))?;
        let errors = all.stage.errors(id).await?;
        ensure!(errors.contains(words), "{kind}: {errors}, not {words}");
    }
    // A temporary failure is retried.
    let silent = format!("SELECT wa.send_document('shop', '{to}', {}, max_attempts => 2)", url("/silent"));
    let id = world.count(&silent).await?;
    world.holds(&format!("SELECT errors::text LIKE '%content.url: timeout%' FROM wa.outbound WHERE id = {id}")).await?;
    // Files deleted between INSERT and sending.
    let later = "send_at => now() + interval '1 day'";
    let media =
        world.count(&format!("SELECT wa.send_document('shop', '15559998', {}, {later})", data(b"gone"))).await?;
    let object =
        format!("SELECT wa.send_document('shop', '15559998', large_object => lo_from_bytea(0, 'x')::bigint, {later})");
    let object = world.count(&object).await?;
    for sql in [
        "DELETE FROM wa.media WHERE media_id = (SELECT (content ->> 'media')::bigint FROM wa.outbound WHERE content ? 'media' AND status = 'queued')",
        "SELECT lo_unlink((content ->> 'large_object')::bigint::oid) FROM wa.outbound WHERE content ? 'large_object' AND status = 'queued'",
        "SELECT wa.retry(id) FROM wa.outbound_queue WHERE waits_for = 'scheduled'",
    ] {
        sqlx::query(sql).execute(world.pool()).await?;
    }
    for (id, words) in [(media, "content.media: media"), (object, "content.large_object: large object")] {
        world.message_is(id, "failed").await?;
        let errors = all.stage.errors(id).await?;
        ensure!(errors.contains(words), "{errors}, not {words}");
    }
    // A picture that would take gigabytes to decode, and a truncated one, are sent as they are.
    for file in [bomb(60_000)?, cut] {
        let sent = all.stage.send("image", to, &data(&file)).await?;
        ensure!(all.phone_file(&sent).await? == file, "other bytes");
    }
    all.worker.stop().await
}

#[tokio::test]
async fn m1_r9_a_large_object_with_the_number_of_another_is_not_sent() -> Result<()> {
    let all = Sources::new().await?;
    let world = &all.stage.world;
    let app = login(&world.db, "wa_app", Some("default")).await?;
    let to = Peer::Phone.number();
    run(&app, "SELECT wa.pause('shop')").await?;
    let send = format!("SELECT wa.send_document('shop', '{to}', large_object => lo_from_bytea(0, 'mine')::bigint)");
    let id: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(send)).fetch_one(&app).await?;
    let oid = format!("SELECT (content ->> 'large_object')::bigint::oid FROM wa.outbound WHERE id = {id}");
    let oid: sqlx::postgres::types::Oid = sqlx::query_scalar(sqlx::AssertSqlSafe(oid)).fetch_one(&app).await?;
    run(&app, &format!("SELECT lo_unlink({})", oid.0)).await?;
    // Somebody else's file gets the number. Its owner lets the worker read it.
    run(
        &world.db.pool,
        &format!("SELECT lo_from_bytea({0}, 'not yours'); GRANT SELECT ON LARGE OBJECT {0} TO wa_worker", oid.0),
    )
    .await?;
    run(&app, "SELECT wa.resume('shop')").await?;
    world.message_is(id, "failed").await?;
    let errors = all.stage.errors(id).await?;
    ensure!(errors.contains("content.large_object: large object"), "{errors}");
    // Whoever named it may be allowed to read it.
    let reader: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&app).await?;
    run(&world.db.pool, &format!(r#"GRANT SELECT ON LARGE OBJECT {} TO "{reader}""#, oid.0)).await?;
    run(&app, &format!("SELECT wa.retry({id})")).await?;
    world.message_is(id, "sent").await?;
    all.worker.stop().await
}

#[tokio::test]
async fn m1_a_url_cannot_reach_the_private_network_of_the_worker() -> Result<()> {
    let web = Web::open().await?;
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", SHOP).await?;
    let port = web.url("").rsplit(':').next().context("a port")?.to_owned();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
    ];
    for host in hosts {
        let send = format!("SELECT wa.send_document('shop', '15559999', url => 'http://{host}:{port}/file/document')");
        let id = stage.world.count(&send).await?;
        stage.world.message_is(id, "failed").await.with_context(|| host.to_owned())?;
        let errors = stage.errors(id).await?;
        ensure!(errors.contains("private network"), "{host}: {errors}");
    }
    worker.stop().await
}
