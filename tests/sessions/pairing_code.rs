//! S2: linking by pairing code.

use anyhow::{Context, Result};
use serde_json::json;

use crate::support::world::World;

async fn link_by_code(world: &World, phone: &str) -> Result<()> {
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop', $1)").bind(phone).execute(world.pool()).await?;
    Ok(())
}

async fn code(world: &World) -> Result<String> {
    world.until("SELECT code FROM wa.session WHERE name = 'shop'").await
}

#[tokio::test]
async fn s2_a_phone_is_linked_by_pairing_code() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15550001").await?;
    link_by_code(&world, "+1 (555) 000-1").await?;
    let code = code(&world).await?;
    let parts: Vec<&str> = code.split('-').collect();
    assert!(parts.len() == 2 && parts.iter().all(|part| part.len() == 4), "{code}");
    world.holds("SELECT code_expires_at BETWEEN now() + interval '2 minutes' AND now() + interval '3 minutes' FROM wa.session").await?;
    // The QR code is shown as well.
    world.holds("SELECT qr IS NOT NULL AND status = 'linking' FROM wa.session").await?;
    world.control.post("/phones/15550001/confirm", json!({ "code": code })).await?;
    world.session_is("shop", "connected").await?;
    world.holds("SELECT code IS NULL AND link_phone IS NULL AND phone = '15550001' FROM wa.session").await?;
    worker.stop().await
}

#[tokio::test]
async fn s2_a_session_that_shows_a_qr_code_shows_a_pairing_code_when_asked() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    for phone in ["15550001", "15550002"] {
        world.phone(phone).await?;
    }
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(world.pool()).await?;
    world.until::<String>("SELECT qr FROM wa.session").await?;
    link_by_code(&world, "15550001").await?;
    let first = code(&world).await?;
    // Another number gets another code; the first is void.
    link_by_code(&world, "15550002").await?;
    world.holds(&format!("SELECT code <> '{first}' FROM wa.session")).await?;
    let second = code(&world).await?;
    world.control.post("/phones/15550002/confirm", json!({ "code": second })).await?;
    world.session_is("shop", "connected").await?;
    world.holds("SELECT phone = '15550002' FROM wa.session").await?;
    worker.stop().await
}

#[tokio::test]
async fn s2_without_a_pairing_code_the_qr_code_remains() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    // Nobody has this number.
    link_by_code(&world, "15559999").await?;
    let reason: String =
        world.until("SELECT status_reason FROM wa.session WHERE status_reason LIKE 'no pairing code%'").await?;
    assert!(reason.ends_with("scan the QR code"), "{reason}");
    world.holds("SELECT code IS NULL AND link_phone IS NULL AND status = 'linking' FROM wa.session").await?;
    world.phone("15550001").await?;
    let qr: String = world.until("SELECT qr FROM wa.session").await?;
    world.control.post("/phones/15550001/scan", json!({ "qr": qr })).await?;
    world.session_is("shop", "connected").await?;
    worker.stop().await
}

#[tokio::test]
async fn s2_requests_for_codes_are_limited() -> Result<()> {
    let world = World::new().await?;
    let refused = async |phone: Option<&str>| -> Result<String> {
        let asked = sqlx::query("SELECT wa.link('shop', $1)").bind(phone).execute(world.pool()).await;
        let error = asked.err().and_then(sqlx::Error::into_database_error).context("the link was accepted")?;
        Ok(format!("{} {}", error.code().unwrap_or_default(), error.message()))
    };
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;
    for wrong in ["", "abc", "123", "0015550001"] {
        assert!(refused(Some(wrong)).await?.starts_with("WA002 phone: "), "{wrong}");
    }
    let done = "UPDATE wa.session_job SET status = 'done' WHERE status = 'queued'";
    for _ in 0..5 {
        link_by_code(&world, "15550001").await?;
        sqlx::query(done).execute(world.pool()).await?;
    }
    let error = refused(Some("+15550001")).await?;
    assert!(error.starts_with("WA028 phone: 5 pairing codes"), "{error}");
    for _ in 0..15 {
        sqlx::query("SELECT wa.link('shop')").execute(world.pool()).await?;
        sqlx::query(done).execute(world.pool()).await?;
    }
    let error = refused(None).await?;
    assert!(error.starts_with("WA028 session: 20 links"), "{error}");
    // An hour later requests are accepted again.
    let age = "UPDATE wa.session_job SET created_at = created_at - interval '1 hour'";
    sqlx::query(age).execute(world.pool()).await?;
    link_by_code(&world, "15550001").await
}
