//! A link page serves its own session, until the session is linked.

use super::{page, secret_of, text, web_of_two};
use crate::support::logins::{DENIED, expect, login, run, two_tenants, web_process};
use crate::support::until::until;
use crate::support::world::World;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

#[tokio::test]
async fn h2_s2_a_link_serves_its_own_session_and_nothing_else() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let url = text(&db.pool, "SELECT wa.link_url('a', valid => '2 hours')").await?;
    ensure!(url.starts_with("https://wa.example.com/link/wak_"), "{url}");
    let secret = secret_of(&url);
    let shown = page(&web, secret).await?;
    ensure!(shown["state"] == "open" && shown["session"] == "a" && shown["status"] == "new", "{shown}");
    ensure!(page(&web, "wak_0").await?["state"] == "unknown");
    let token = text(&db.pool, "SELECT wa.add_token('anna')").await?;
    ensure!(page(&web, &token).await?["state"] == "unknown", "a token is no link");

    // Starts the linking of its session, under the limits of everybody.
    let start = async |phone: Option<&str>| {
        let started = sqlx::query_scalar::<_, i64>("SELECT wa.link_page_start($1, $2)").bind(secret).bind(phone);
        started.fetch_one(&web).await.map_err(|error| {
            error.as_database_error().map(|it| format!("{} {}", it.code().unwrap_or_default(), it.message()))
        })
    };
    for _ in 0..5 {
        let job = start(Some("+1 555 0001")).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let made = format!("SELECT session || ' ' || kind || ' ' || phone FROM wa.session_job WHERE id = {job}");
        ensure!(text(&db.pool, &made).await? == "a link 15550001");
        run(
            &db.pool,
            "UPDATE wa.session_job SET status = 'failed', last_error = 'nobody scanned', finished_at = now()",
        )
        .await?;
    }
    let limited = start(Some("+1 555 0001")).await.err().flatten().context("a sixth code")?;
    ensure!(limited.starts_with("WA028 phone: 5 pairing codes"), "{limited}");
    let wrong = start(Some("0")).await.err().flatten().context("accepted")?;
    ensure!(wrong.starts_with("WA002 phone: "), "{wrong}");
    let shown = page(&web, secret).await?;
    ensure!(shown["job_status"] == "failed" && shown["job_error"] == "nobody scanned", "{shown}");

    // No other function and no role takes the link for a right.
    let set = format!("SELECT set_config('wagres.token', '{secret}', false)");
    run(&web, &set).await?;
    expect(
        &web,
        &[
            ("SELECT wa.link('a')", DENIED),
            ("SELECT wa.close('a')", DENIED),
            ("SELECT wa.logout('a')", DENIED),
            ("SELECT wa.send_text('a', '15550001', 'x')", DENIED),
            ("SELECT FROM wa.session", DENIED),
        ],
    )
    .await?;
    let (bolt, admin) = (login(&db, "wa_app", Some("bolt")).await?, login(&db, "wa_admin", None).await?);
    run(&bolt, &set).await?;
    expect(&bolt, &[("SELECT wa.link('a')", Err("WA001")), ("SELECT FROM wa.session WHERE name = 'a'", Ok(0))]).await?;
    let of_nobody = login(&db, "wa_app", None).await?;
    run(&of_nobody, &set).await?;
    expect(&of_nobody, &[("SELECT wa.link('a')", DENIED), ("SELECT wa.link_page('x')", DENIED)]).await?;
    // Links are made for one's own sessions.
    expect(&bolt, &[("SELECT wa.link_url('a')", Err("WA001")), ("SELECT wa.revoke_link('a')", Err("WA001"))]).await?;
    expect(&admin, &[("SELECT wa.link_url('b')", Ok(1))]).await?;

    // Another session's events and passkeys do not show.
    run(
        &db.pool,
        "INSERT INTO wa.passkey (session_id, session, request, expires_at)
         SELECT session_id, name, '{\"of\": \"b\"}', now() + interval '1 hour' FROM wa.session WHERE name = 'b'",
    )
    .await?;
    ensure!(page(&web, secret).await?["passkey_stage"].is_null());
    // It goes with its session to another tenant.
    run(&db.pool, "UPDATE wa.session SET tenant = 'bolt' WHERE name = 'a'").await?;
    expect(&bolt, &[("SELECT FROM generate_series(1, wa.revoke_link('a'))", Ok(1))]).await?;
    let shown = page(&web, secret).await?;
    ensure!(shown["state"] == "revoked" && shown["session"] == "a" && shown["status"].is_null(), "{shown}");
    let late = start(None).await.err().flatten().context("started")?;
    ensure!(late == "WA053 secret: the link is revoked", "{late}");
    let brief = text(&db.pool, "SELECT wa.link_url('a', '1 second')").await?;
    until("the end of a link", async || {
        let shown = page(&web, secret_of(&brief)).await?;
        Ok(if shown["state"] == "expired" { Ok(()) } else { Err(shown) })
    })
    .await
}

#[tokio::test]
async fn h2_s2_a_link_is_spent_when_its_session_is_linked() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15550001").await?;
    run(world.pool(), "SELECT wa.register_web('https://wa.example.com'), wa.add_session('shop')").await?;
    let web = web_process(&world.db, "process").await?;
    let url = text(world.pool(), "SELECT wa.link_url('shop')").await?;
    let secret = secret_of(&url);
    sqlx::query("SELECT wa.link_page_start($1)").bind(secret).execute(&web).await?;
    let qr = until("a QR code", async || {
        let shown = page(&web, secret).await?;
        Ok(shown["qr"].as_str().map(str::to_owned).ok_or(shown))
    })
    .await?;
    world.control.post("/phones/15550001/scan", json!({ "qr": qr })).await?;
    let spent = async || {
        until("the link is spent", async || {
            let shown = page(&web, secret).await?;
            Ok(if shown["state"] == "spent" { Ok(shown) } else { Err(shown) })
        })
        .await
    };
    let shown = spent().await?;
    ensure!(shown["phone"] == "15550001" && shown["qr"].is_null(), "{shown}");
    world.session_is("shop", "connected").await?;
    let later = sqlx::query("SELECT wa.link_page_start($1)").bind(secret).execute(&web).await;
    ensure!(later.is_err(), "started again");
    // After ten minutes it says no more than that; a later connection and a logout change nothing.
    run(world.pool(), "UPDATE wa.token SET created_at = created_at - interval '1 hour', spent_at = spent_at - interval '11 minutes'; SELECT wa.logout('shop')")
        .await?;
    world.session_is("shop", "logged_out").await?;
    run(world.pool(), "SELECT wa.link('shop')").await?;
    world.until::<String>("SELECT qr FROM wa.session WHERE name = 'shop'").await?;
    let shown = page(&web, secret).await?;
    ensure!(shown["state"] == "spent" && shown["phone"].is_null() && shown["qr"].is_null(), "{shown}");
    worker.stop().await
}

#[tokio::test]
async fn h2_s2_a_link_page_takes_a_pairing_code_and_a_passkey() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15550001").await?;
    world.control.post("/phones", json!({ "number": "15550002", "passkey": true })).await?;
    run(
        world.pool(),
        "SELECT wa.register_web('https://wa.example.com'), wa.add_session('code'), wa.add_session('passkey')",
    )
    .await?;
    let web = web_process(&world.db, "process").await?;
    let field = async |secret: &str, field: &str| {
        until(field, async || {
            let shown = page(&web, secret).await?;
            Ok(if shown[field].is_null() { Err(shown) } else { Ok(shown[field].clone()) })
        })
        .await
    };
    let is_spent = async |secret: &str| {
        until("the link is spent", async || {
            let shown = page(&web, secret).await?;
            Ok(if shown["state"] == "spent" { Ok(()) } else { Err(shown) })
        })
        .await
    };
    let url = text(world.pool(), "SELECT wa.link_url('code')").await?;
    let secret = secret_of(&url);
    sqlx::query("SELECT wa.link_page_start($1, '+15550001')").bind(secret).execute(&web).await?;
    let code = field(secret, "code").await?;
    world.control.post("/phones/15550001/confirm", json!({ "code": code })).await?;
    is_spent(secret).await?;

    let url = text(world.pool(), "SELECT wa.link_url('passkey')").await?;
    let secret = secret_of(&url);
    sqlx::query("SELECT wa.link_page_start($1)").bind(secret).execute(&web).await?;
    let qr = field(secret, "qr").await?;
    world.control.post("/phones/15550002/scan", json!({ "qr": qr })).await?;
    let request = field(secret, "passkey_request").await?;
    let made = world.control.post("/phones/15550002/passkey", json!({ "request": request })).await?;
    sqlx::query("SELECT wa.link_page_answer($1, $2)").bind(secret).bind(&made["assertion"]).execute(&web).await?;
    let code = field(secret, "passkey_code").await?;
    sqlx::query("SELECT wa.link_page_confirm($1, $2)").bind(secret).bind(code.as_str()).execute(&web).await?;
    is_spent(secret).await?;
    worker.stop().await
}

/// A program in a loop would fill the table of tokens.
#[tokio::test]
async fn h2_r6_a_session_has_at_most_twenty_link_pages() -> Result<()> {
    let db = two_tenants().await?;
    run(&db.pool, "SELECT wa.register_web('https://wa.example.com')").await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    let admin = login(&db, "wa_admin", None).await?;
    for brief in ["'1 second'", "'7 days'"] {
        let many = format!("SELECT wa.link_url('a', {brief}) FROM generate_series(1, 20)");
        expect(&app, &[(&many, Ok(20)), ("SELECT wa.link_url('a')", Err("WA028"))]).await?;
        // Other sessions have links of their own.
        expect(&admin, &[("SELECT wa.link_url('b')", Ok(1))]).await?;
        // What is over counts for a minute.
        run(&db.pool, "UPDATE wa.token SET created_at = created_at - interval '2 minutes', expires_at = expires_at - interval '2 minutes'").await?;
    }
    expect(
        &app,
        &[
            ("SELECT wa.link_url('a')", Err("WA028")),
            ("SELECT wa.revoke_link('a')", Ok(1)),
            ("SELECT wa.link_url('a')", Ok(1)),
        ],
    )
    .await
}
