//! S2: linking an account that demands a passkey, by rows, also across workers that are killed.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::world::{World, wagres};

const NUMBER: &str = "15550001";

/// A phone with a passkey scans the QR code; returns the request that WhatsApp makes.
async fn demand_passkey(world: &World) -> Result<Value> {
    world.control.post("/phones", json!({ "number": NUMBER, "passkey": true })).await?;
    sqlx::query("SELECT wa.add_session('shop'), wa.link('shop')").execute(world.pool()).await?;
    let qr: String = world.until("SELECT qr FROM wa.session WHERE name = 'shop'").await?;
    let scanned = world.control.post(&format!("/phones/{NUMBER}/scan"), json!({ "qr": qr })).await?;
    assert_eq!(scanned, json!({ "passkey": "requested" }));
    world.until("SELECT request FROM wa.passkey WHERE session = 'shop' AND stage = 'requested'").await
}

/// The answer that the browser of the phone's owner gives to the request.
async fn browser_answer(world: &World, request: &Value) -> Result<Value> {
    let answer = world.control.post(&format!("/phones/{NUMBER}/passkey"), json!({ "request": request })).await?;
    Ok(answer["assertion"].clone())
}

async fn answer(world: &World, assertion: &Value) -> Result<()> {
    sqlx::query("SELECT wa.answer_passkey('shop', $1)").bind(assertion).execute(world.pool()).await?;
    Ok(())
}

async fn stage_is(world: &World, stage: &str) -> Result<()> {
    world.holds(&format!("SELECT stage = '{stage}' FROM wa.passkey WHERE session = 'shop'")).await
}

/// The code that we show; the phone must show the same.
async fn code(world: &World) -> Result<String> {
    let ours: String = world.until("SELECT code FROM wa.passkey WHERE session = 'shop'").await?;
    let phones = world.control.get("/phones").await?;
    let theirs = &phones["phones"][0]["passkey"][0]["code"];
    assert_eq!(theirs, &json!(ours), "{phones}");
    Ok(ours)
}

async fn confirm(world: &World, code: &str) -> Result<()> {
    sqlx::query("SELECT wa.confirm_passkey('shop', $1)").bind(code).execute(world.pool()).await?;
    Ok(())
}

/// Checks that the session is linked and can send, and that no secret of the linking is left.
async fn check_linked(world: &World) -> Result<()> {
    world.session_is("shop", "connected").await?;
    stage_is(world, "done").await?;
    let left = "SELECT count(*) FROM wa.auth_key WHERE kind = 'passkey'";
    assert_eq!(world.count(left).await?, 0);
    assert_eq!(world.count("SELECT count(*) FROM wa.passkey WHERE answer IS NOT NULL").await?, 0);
    world.phone("15550002").await?;
    let id = world.send("shop", "15550002", "linked").await?;
    world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    assert_eq!(world.seen_by("15550002").await?, ["linked"]);
    Ok(())
}

async fn refusal(world: &World, query: &str) -> String {
    let refused = sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).execute(world.pool()).await;
    let refused = refused.err().and_then(sqlx::Error::into_database_error);
    refused.map(|error| format!("{} {}", error.code().unwrap_or_default(), error.message())).unwrap_or_default()
}

#[tokio::test]
async fn s2_a_phone_with_a_passkey_is_linked_by_rows() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let early = refusal(&world, "SELECT wa.add_session('shop'), wa.answer_passkey('shop', '{}')").await;
    assert!(early.starts_with("WA026 session: ") && early.contains("has demanded no passkey"), "{early}");
    let request = demand_passkey(&world).await?;
    assert_eq!(request["rpId"], "whatsapp.com");
    let expires = "SELECT extract(epoch FROM expires_at - requested_at)::int8 FROM wa.passkey";
    assert_eq!(world.count(expires).await?, 600);
    for (bad, names) in [("{}", "id"), (r#"{"id":"a","response":{"clientDataJSON":"a b"}}"#, "clientDataJSON")] {
        let error = refusal(&world, &format!("SELECT wa.answer_passkey('shop', '{bad}')")).await;
        assert!(error.starts_with("WA026 assertion: ") && error.contains(names), "{error}");
    }
    let early = refusal(&world, "SELECT wa.confirm_passkey('shop', 'ABCD-EFGH')").await;
    assert!(early.starts_with("WA026 session: ") && early.contains("requested"), "{early}");

    answer(&world, &browser_answer(&world, &request).await?).await?;
    let code = code(&world).await?;
    let wrong = refusal(&world, "SELECT wa.confirm_passkey('shop', 'ABCD-EFGH')").await;
    assert!(wrong.starts_with("WA026 code: "), "{wrong}");
    confirm(&world, &code.to_lowercase().replace('-', " ")).await?;
    check_linked(&world).await?;
    let events =
        "SELECT count(*) FROM wa.event WHERE session = 'shop' AND kind IN ('passkey_requested', 'passkey_code')";
    assert_eq!(world.count(events).await?, 2);
    worker.stop().await
}

/// WhatsApp sends the request once.
#[tokio::test]
async fn s2_r3_a_passkey_demanded_while_the_database_is_away_reaches_its_row() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let mut closed = world.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.passkey IN SHARE MODE").execute(&mut *closed).await?;
    let cut = async {
        let waits = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        world.holds(&format!("SELECT count(*) = 1 {waits}")).await?;
        assert_eq!(world.count(&format!("SELECT count(pg_terminate_backend(pid)) {waits}")).await?, 1);
        closed.rollback().await?;
        anyhow::Ok(())
    };
    let (request, cut) = tokio::join!(demand_passkey(&world), cut);
    cut?;
    answer(&world, &browser_answer(&world, &request?).await?).await?;
    confirm(&world, &code(&world).await?).await?;
    check_linked(&world).await?;
    worker.stop().await
}

#[tokio::test]
async fn s2_a_linking_with_a_passkey_survives_a_kill_at_each_stage() -> Result<()> {
    let world = World::new().await?;
    // The phone's notification is lost, and so is the memory of the first workers.
    let lost =
        json!({ "fault": { "lose": {} }, "stanza": "notification crsc_continuation", "direction": "out", "times": 1 });
    world.control.post("/faults", lost).await?;
    let worker = world.worker().await?;
    let request = demand_passkey(&world).await?;
    world.kill(worker).await?;
    answer(&world, &browser_answer(&world, &request).await?).await?;
    let worker = world.worker().await?;
    stage_is(&world, "proven").await?;
    world.kill(worker).await?;
    let worker = world.worker().await?;
    stage_is(&world, "code").await?;
    let shown = code(&world).await?;
    world.kill(worker).await?;
    // Confirmed while no worker runs; the last stanza of the linking is lost with the connection.
    confirm(&world, &shown).await?;
    let cut = json!({ "fault": { "drop": {} }, "stanza": "iq set md pair-success", "direction": "out", "times": 1 });
    world.control.post("/faults", cut).await?;
    let worker = world.worker().await?;
    check_linked(&world).await?;
    let faults = world.control.get("/faults").await?;
    assert_eq!((&faults["faults"][0]["struck"], &faults["faults"][1]["struck"]), (&json!(1), &json!(1)), "{faults}");
    worker.stop().await
}

#[tokio::test]
async fn s2_an_answer_of_another_passkey_fails_with_its_reason() -> Result<()> {
    let world = World::new().await?;
    let _worker = world.worker().await?;
    let request = demand_passkey(&world).await?;
    world.control.post("/phones", json!({ "number": "15550009", "passkey": true })).await?;
    let other = world.control.post("/phones/15550009/passkey", json!({ "request": request })).await?;
    answer(&world, &other["assertion"]).await?;
    stage_is(&world, "failed").await?;
    let error: String = world.until("SELECT error FROM wa.passkey").await?;
    assert!(error.contains("refused the passkey"), "{error}");
    let event: Value = world.until("SELECT data FROM wa.event WHERE kind = 'passkey_failed'").await?;
    assert_eq!(event["error"], json!(error));
    // The next scan starts over.
    let qr: String = world.until("SELECT qr FROM wa.session WHERE name = 'shop'").await?;
    world.control.post(&format!("/phones/{NUMBER}/scan"), json!({ "qr": qr })).await?;
    let request: Value = world.until("SELECT request FROM wa.passkey WHERE stage = 'requested'").await?;
    answer(&world, &browser_answer(&world, &request).await?).await?;
    confirm(&world, &code(&world).await?).await?;
    check_linked(&world).await
}

#[tokio::test]
async fn s2_a_late_answer_of_a_passkey_is_refused() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let request = demand_passkey(&world).await?;
    world.kill(worker).await?;
    let assertion = browser_answer(&world, &request).await?;
    sqlx::query("UPDATE wa.passkey SET expires_at = now()").execute(world.pool()).await?;
    let late = sqlx::query("SELECT wa.answer_passkey('shop', $1)").bind(assertion).execute(world.pool()).await;
    let late = late.err().and_then(sqlx::Error::into_database_error).context("the answer was accepted")?;
    assert!(late.message().contains("its time is over"), "{late}");
    // No worker continues the linking by itself; the next link marks it as failed.
    let _worker = world.worker().await?;
    world.holds("SELECT holder IS NULL FROM wa.lease").await?;
    sqlx::query("SELECT wa.link('shop')").execute(world.pool()).await?;
    stage_is(&world, "failed").await?;
    Ok(())
}

#[tokio::test]
async fn s2_the_command_line_guides_through_a_linking_with_a_passkey() -> Result<()> {
    let world = World::new().await?;
    let _worker = world.worker().await?;
    let request = demand_passkey(&world).await?;
    let run = async |arguments: &[&str], input: Option<&Value>| -> Result<String> {
        let mut command = wagres();
        command.args(["--database-url", &world.db.url, "session"]).args(arguments);
        if let Some(input) = input {
            let file = std::env::temp_dir().join(format!("wagres-assertion-{}.json", uuid::Uuid::new_v4()));
            std::fs::write(&file, input.to_string())?;
            command.arg(file);
        }
        let output = command.output().await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let output = run(&["confirm", "shop", "ABCD-EFGH"], None).await?;
    assert!(output.contains("wa.answer_passkey"), "{output}");
    let output = run(&["passkey", "shop"], Some(&browser_answer(&world, &request).await?)).await?;
    assert!(output.contains("handed in"), "{output}");
    let code = code(&world).await?;
    let output = run(&["confirm", "shop", &code], None).await?;
    assert!(output.contains("confirmed"), "{output}");
    check_linked(&world).await
}
