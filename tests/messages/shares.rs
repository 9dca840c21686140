//! R9, R6: files that take long hold up nobody else, and files of the media store do not outlive their rows.

use super::files::picture;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures::stream;
use image::ImageFormat::Jpeg;
use serde_json::Value;

/// A web server whose files never end, and never begin.
async fn silent_web() -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let host = format!("http://{}", listener.local_addr()?);
    let silent = || async { Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>()) };
    let router = Router::new().route("/{name}", get(silent));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(host)
}

#[tokio::test]
async fn r9_slow_files_of_a_tenant_hold_up_neither_texts_nor_files_of_others() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_MEDIA__PRIVATE_NETWORKS", "true").env("WAGRES_MEDIA__TIMEOUT_SECONDS", "600");
    let worker = Worker::start(command).await?;
    sqlx::raw_sql("SELECT wa.add_tenant('bolt'); SELECT wa.add_session('quick', 'bolt')").execute(world.pool()).await?;
    let slow: Vec<String> = (1..=4).map(|n| format!("slow{n}")).collect();
    for (n, name) in slow.iter().enumerate() {
        world.link(name, &format!("1555000{n}")).await?;
    }
    world.link("quick", "15550008").await?;
    world.phone("15550009").await?;
    let host = silent_web().await?;
    let insert = "INSERT INTO wa.outbound (session, recipient, kind, content)
                  SELECT s, '1555' || 1000 + n, 'image', jsonb_build_object('url', $2 || '/' || s || n || '.jpg')
                  FROM unnest($1::text[]) s, generate_series(1, 100) n";
    sqlx::query(insert).bind(&slow).bind(&host).execute(world.pool()).await?;
    // A text behind a file of its chat waits for the file; all other texts go.
    let behind = world.send("slow1", "15551001", "behind the file").await?;
    world.holds("SELECT count(*) >= 10 FROM wa.outbound WHERE status = 'sending'").await?;
    for session in ["quick", "slow1"] {
        let text = world.send(session, "15550009", "hello").await?;
        world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {text}")).await?;
    }
    let file = picture(Jpeg, 30, 30)?;
    let image = "SELECT wa.send_image('quick', '15550009', media => wa.add_media('quick', $1))";
    let image: i64 = sqlx::query_scalar(image).bind(file).fetch_one(world.pool()).await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {image}")).await?;
    ensure!(world.count(&format!("SELECT attempts::bigint FROM wa.outbound WHERE id = {behind}")).await? == 0);
    ensure!(world.count("SELECT count(*) FROM wa.outbound WHERE kind = 'image' AND sent_at IS NOT NULL").await? == 1);
    worker.kill().await
}

#[tokio::test]
async fn r6_a_file_of_the_media_store_is_deleted_some_days_after_its_row() -> Result<()> {
    let (world, store) = (World::new().await?, tempfile::tempdir()?);
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_MEDIA__STORE", format!("file://{}", store.path().display()));
    let worker = Worker::start(command).await?;
    let received = store.path().join("default/received");
    std::fs::create_dir_all(&received)?;
    std::fs::create_dir_all(store.path().join("default/offers"))?;
    let path = |name: &str| store.path().join("default").join(name);
    let names = ["received/old.jpg", "received/fresh.jpg", "received/again.jpg", "received/kept.jpg", "offers/may.pdf"];
    for name in names {
        std::fs::write(path(name), name)?;
        let insert = "INSERT INTO wa.media (tenant, sha256, size, path) VALUES ('default', sha256($1::text::bytea), 1, 'default/' || $1)";
        sqlx::query(insert).bind(name).execute(world.pool()).await?;
    }
    sqlx::raw_sql(
        "INSERT INTO wa.media (tenant, sha256, size, path) VALUES ('default', sha256('gone'), 1, 'default/received/gone.jpg');
         DELETE FROM wa.media WHERE path NOT LIKE '%kept.jpg';
         INSERT INTO wa.media (tenant, sha256, size, path) VALUES ('default', sha256('again'), 1, 'default/received/again.jpg');
         UPDATE wa.dropped_file SET dropped_at = now() - interval '25 hours' WHERE path NOT LIKE '%fresh.jpg'",
    )
    .execute(world.pool())
    .await?;
    let retention = async |args: &str| -> Result<Value> {
        let insert = "INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', $1::jsonb) RETURNING id";
        let id: i64 =
            sqlx::query_scalar(insert).bind(serde_json::from_str::<Value>(args)?).fetch_one(world.pool()).await?;
        world.until(&format!("SELECT result FROM wa.maintenance_job WHERE id = {id} AND status = 'done'")).await
    };
    let result = retention(r#"{"batch": 1, "pause_ms": 0, "dry_run": true}"#).await?;
    ensure!(result["file"] == 2 && path("received/old.jpg").exists(), "{result}");
    let result = retention(r#"{"batch": 1, "pause_ms": 0}"#).await?;
    ensure!(result["file"] == 2, "{result}");
    for name in names {
        ensure!(path(name).exists() == (name != "received/old.jpg"), "{name}");
    }
    let left: String = world.until("SELECT coalesce(string_agg(path, ' '), '') FROM wa.dropped_file").await?;
    ensure!(left == "default/received/fresh.jpg", "{left}");
    worker.stop().await.context("stop")
}
