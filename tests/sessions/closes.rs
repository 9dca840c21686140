//! S7: a session is closed, or logged out.

use super::ends::{devices, drop_and_return, shop};
use crate::support::world::wagres;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

#[tokio::test]
async fn s7_a_close_scheduled_for_later_changes_nothing_until_then() -> Result<()> {
    let (world, worker) = shop().await?;
    let later = "INSERT INTO wa.session_job (session, kind, reason, run_at) VALUES ('shop', 'close', 'night', now() + interval '1 hour') RETURNING id";
    let close = world.count(later).await?;
    world.holds("SELECT desired = 'connected' FROM wa.session").await?;
    // Meanwhile a lost connection is made again.
    drop_and_return(&world).await?;
    let morning = "INSERT INTO wa.session_job (session, kind, run_at) VALUES ('shop', 'connect', now() + interval '8 hours') RETURNING id";
    let connect = world.count(morning).await?;
    sqlx::query("UPDATE wa.session_job SET run_at = now() WHERE id = $1").bind(close).execute(world.pool()).await?;
    sqlx::query("SELECT wa.wake()").execute(world.pool()).await?;
    world.session_is("shop", "stopped").await?;
    world.holds("SELECT desired = 'stopped' AND status_reason = 'night' FROM wa.session").await?;
    // What is scheduled for later than the close stays, and sets the wish when it runs.
    world.holds(&format!("SELECT status = 'queued' FROM wa.session_job WHERE id = {connect}")).await?;
    sqlx::query("UPDATE wa.session_job SET run_at = clock_timestamp() WHERE id = $1")
        .bind(connect)
        .execute(world.pool())
        .await?;
    sqlx::query("SELECT wa.wake()").execute(world.pool()).await?;
    world.session_is("shop", "connected").await?;
    world.holds("SELECT desired = 'connected' FROM wa.session").await?;
    worker.stop().await
}

/// A close that is due now holds even if no worker lives.
#[tokio::test]
async fn s7_a_close_for_now_sets_the_wish_in_its_transaction() -> Result<()> {
    let db = crate::support::db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'); UPDATE wa.session SET desired = 'connected', jid = '1@s.whatsapp.net';
         INSERT INTO wa.session_job (session, kind, run_at) VALUES ('shop', 'reconnect', now() + interval '1 hour'), ('shop', 'connect', now() + interval '9 hours');
         SELECT wa.close('shop')",
    )
    .execute(&db.pool)
    .await?;
    let state = "SELECT jsonb_build_array((SELECT desired FROM wa.session), jsonb_object_agg(kind, status)) FROM wa.session_job";
    let state: Value = sqlx::query_scalar(state).fetch_one(&db.pool).await?;
    ensure!(
        state == json!(["stopped", { "reconnect": "cancelled", "connect": "queued", "close": "queued" }]),
        "{state}"
    );
    Ok(())
}

#[tokio::test]
async fn s7_a_logout_of_a_disconnected_session_connects_once_to_unlink_it() -> Result<()> {
    let (world, worker) = shop().await?;
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.session_is("shop", "stopped").await?;
    ensure!(devices(&world).await? == 1);
    // The first try fails, because WhatsApp hangs up.
    world.control.post("/faults", json!({ "fault": { "refuse": {} }, "times": 1 })).await?;
    sqlx::query("SELECT wa.logout('shop', 'sold')").execute(world.pool()).await?;
    world.session_is("shop", "logged_out").await?;
    world.holds("SELECT status_reason = 'sold' AND jid IS NULL AND desired = 'stopped' FROM wa.session").await?;
    world.holds("SELECT status = 'done' AND attempts = 2 FROM wa.session_job WHERE kind = 'logout'").await?;
    ensure!(devices(&world).await? == 0, "still linked");
    ensure!(world.count("SELECT (SELECT count(*) FROM wa.auth) + (SELECT count(*) FROM wa.auth_key)").await? == 0);
    worker.stop().await
}

#[tokio::test]
async fn s7_a_forced_logout_deletes_the_auth_state_and_says_that_whatsapp_was_not_told() -> Result<()> {
    let (world, worker) = shop().await?;
    sqlx::query("SELECT wa.close('shop')").execute(world.pool()).await?;
    world.session_is("shop", "stopped").await?;
    world.control.post("/faults", json!({ "fault": { "refuse": {} }, "times": "always" })).await?;
    let mut logout = wagres();
    logout.args(["--database-url", &world.db.url, "session", "logout", "shop", "--reason", "phone lost", "--force"]);
    ensure!(logout.status().await?.success());
    world.session_is("shop", "logged_out").await?;
    world.holds("SELECT status_reason = 'phone lost; WhatsApp was not told' FROM wa.session").await?;
    let event: Value = world.until("SELECT data FROM wa.event WHERE kind = 'auth_deleted'").await?;
    ensure!(event["told"] == false && event["reason"] == "phone lost; WhatsApp was not told", "{event}");
    ensure!(devices(&world).await? == 1, "the phone still lists the device");
    ensure!(
        world.count("SELECT (SELECT count(*) FROM wa.auth) + (SELECT count(*) FROM wa.auth_quarantine)").await? == 0
    );
    worker.stop().await
}
