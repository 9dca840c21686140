//! The whole way: from the partner's redirect to the first message.

use super::partner::{Partner, Reply, checked};
use super::stage::{OLDER, PARTNER_TOKEN, call, enter, entry, holds, pages, scan, worker};
use crate::support::world::{Worker, World, wagres};
use crate::web::Pages;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const SALON: i64 = 962_302;
const SESSION: &str = "company_962302";
const NUMBER: &str = "15550001";
const TEST_NUMBER: &str = "15550002";
const CUSTOMER: &str = "15550003";

#[tokio::test]
async fn h6_from_the_partners_redirect_to_the_first_message() -> Result<()> {
    // An outage, a demand to slow down, a lost connection, and then success.
    let partner = Partner::start(|n| match n {
        0 => Reply::Status(503),
        1 => Reply::Status(429),
        2 => Reply::Hangs,
        _ => Reply::Status(200),
    })
    .await?;
    let world = World::new().await?;
    for number in [NUMBER, TEST_NUMBER, CUSTOMER] {
        world.phone(number).await?;
    }
    let pages = pages(&world.db).await?;
    let mut command = worker(&world, &partner);
    command.env("TEST_PHONE_NUMBER", format!("+{TEST_NUMBER}"));
    let worker = Worker::start(command).await?;

    refuses_hostile_signatures(&world, &pages).await?;

    let page = enter(&pages, SALON).await?;
    let secret = page.trim_start_matches("/link/");
    let token = json!({ "token": secret });
    let early = call(&pages, "POST /marketplace/activate", &[], &token).await?;
    ensure!(early.0 == 400 && early.1["code"] == "NOT_CONNECTED", "{early:?}");
    ensure!(pages.post(&format!("{page}/start"), "", "").await?.status == 200);
    scan(&world, SESSION, NUMBER).await?;
    // The phone is linked, and nobody has activated anything yet.
    let tested = "SELECT count(*) = 1 FROM wa.outbound JOIN wa.company USING (session_id) WHERE tested_at IS NOT NULL AND activated_at IS NULL";
    world.holds(tested).await?;

    let (one, other) = tokio::join!(
        call(&pages, "POST /marketplace/activate", &[], &token),
        call(&pages, "POST /marketplace/activate", &[], &token)
    );
    let (one, other) = (one?, other?);
    let (good, refused) = if one.0 == 409 { (other, one) } else { (one, other) };
    ensure!(refused.0 == 409 && refused.1["code"] == "ACTIVATION_IN_PROGRESS", "{refused:?}");
    // The retries take about as long as the request waits.
    ensure!(matches!(good.0, 200 | 202) && good.1["salon_id"] == SALON && good.1["success"] == true, "{good:?}");
    holds(world.pool(), "SELECT status = 'active' AND activated_at IS NOT NULL FROM wa.company").await?;

    let callbacks = partner.callbacks();
    ensure!(callbacks.len() == 4, "{callbacks:?}");
    let keys: Vec<String> = callbacks.iter().map(|asked| checked(asked, SALON, &pages.url)).collect::<Result<_>>()?;
    ensure!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let (hash, kept): (Vec<u8>, i64) =
        sqlx::query_as("SELECT api_key_hash, (SELECT count(*) FROM wa.partner_key) FROM wa.company")
            .fetch_one(world.pool())
            .await?;
    ensure!(hash == Sha256::digest(&keys[0]).to_vec() && kept == 0, "the key is kept, or another one");
    knows_the_company(&world, &partner, &pages, &keys[0]).await?;

    world
        .holds(&format!(
            "SELECT count(*) = 1 AND bool_and(sent_at IS NOT NULL) FROM wa.outbound WHERE session = '{SESSION}'"
        ))
        .await?;
    ensure!(world.seen_by(TEST_NUMBER).await? == ["WhatsApp is connected."], "the test message");
    let id = world.send(SESSION, CUSTOMER, "Your appointment is at noon").await?;
    world.message_is(id, "delivered").await?;
    ensure!(world.seen_by(CUSTOMER).await? == ["Your appointment is at noon"]);

    let again = call(&pages, "POST /marketplace/activate", &[], &token).await?;
    ensure!(again.0 == 200 && again.1["status"] == "active", "{again:?}");
    ensure!(partner.callbacks().len() == 4, "told again");
    let shown = pages.get(&page, "").await?;
    ensure!(shown.body.contains("The marketplace has taken over"), "{shown:?}");
    pages.stop().await;
    worker.stop().await
}

/// Nobody comes in without the partner's signature over this very data.
async fn refuses_hostile_signatures(world: &World, pages: &Pages) -> Result<()> {
    let data = json!({ "id": 5, "name": "Анна" });
    let good = entry(SALON, &data, PARTNER_TOKEN);
    let (path, sign) = good.split_once("&user_data_sign=").unwrap_or_default();
    let other = entry(SALON, &json!({ "id": 6 }), PARTNER_TOKEN);
    let (other, _) = other.split_once("&user_data_sign=").unwrap_or_default();
    for hostile in [
        entry(SALON, &data, "another token"),
        entry(SALON, &json!({ "id": 5, "salon_id": 7 }), PARTNER_TOKEN),
        path.to_owned(),
        format!("{path}&user_data_sign="),
        format!("{path}&user_data_sign={}", &sign[..60]),
        format!("{path}&user_data_sign=%00{}", &sign[2..]),
        format!("{other}&user_data_sign={sign}"),
        format!("/auth/yclients/redirect?salon_id={SALON}"),
    ] {
        let answer = pages.request(&format!("GET {hostile}"), &[], "").await?;
        ensure!(answer.status == 403 && answer.header("location").is_none(), "{hostile}: {answer:?}");
    }
    for salon in [0, -1] {
        let answer = pages.request(&format!("GET {}", entry(salon, &data, PARTNER_TOKEN)), &[], "").await?;
        ensure!(answer.status == 400, "{salon}: {answer:?}");
    }
    ensure!(world.count("SELECT count(*) FROM wa.company").await? == 0, "somebody came in");
    Ok(())
}

/// The partner was asked who the company is, and its key opens its own data.
async fn knows_the_company(world: &World, partner: &Partner, pages: &Pages, key: &str) -> Result<()> {
    holds(world.pool(), "SELECT name = 'Salon Anna' AND business_type = 'Beauty salon' FROM wa.company").await?;
    let asked = partner.asked();
    let profile = asked.iter().find(|asked| asked.method == "GET");
    ensure!(
        profile.is_some_and(
            |it| it.path == "/api/v1/company/962302" && it.header("authorization") == "Bearer partner-token"
        ),
        "{asked:?}"
    );
    let header = format!("x-api-key: {key}");
    let (status, list) = call(pages, "GET /marketplace/companies", &[&header], &Value::Null).await?;
    ensure!(status == 200 && list["stats"] == json!({ "total": 1, "connected": 1, "active": 1 }), "{list}");
    ensure!(list["companies"][0]["connections"].as_i64() >= Some(1), "{list}");
    Ok(())
}

#[tokio::test]
async fn h6_h8_the_older_names_of_settings_are_understood_and_masked() -> Result<()> {
    let mut command = wagres();
    command.args(["config", "--json"]).envs(OLDER);
    command.env("BASE_URL", "https://old.example.org").env("USE_PAIRING_CODE", "true");
    command
        .env("WHATSAPP_PHONE_NUMBER", "79001234567")
        .env("TEST_PHONE_NUMBER", "+79007654321")
        .env("LOG_LEVEL", "debug");
    // The names of today win.
    command.env("WAGRES_MARKETPLACE__BASE_URL", "https://new.example.org");
    let done = command.output().await?;
    let text = String::from_utf8(done.stdout)?;
    ensure!(done.status.success(), "{text} {}", String::from_utf8_lossy(&done.stderr));
    ensure!(!text.contains(PARTNER_TOKEN) && !text.contains(super::stage::JWT_SECRET), "{text}");
    let shown: Value = serde_json::from_str(text.trim())?;
    let settings = &shown["marketplace"];
    for (key, value) in [
        ("partner_token", json!("***")),
        ("jwt_secret", json!("***")),
        ("application_id", json!(18289)),
        ("base_url", json!("https://new.example.org")),
        ("pairing_code", json!(true)),
        ("phone", json!("79001234567")),
        ("test_phone", json!("+79007654321")),
    ] {
        ensure!(settings[key] == value, "{key}: {settings}");
    }
    ensure!(shown["log"].as_str().is_some_and(|log| log.starts_with("debug,")), "{shown}");
    Ok(())
}

#[tokio::test]
async fn h6_h8_a_wrong_value_under_an_older_name_is_refused_by_that_name() -> Result<()> {
    for (name, value, accepted) in [
        ("YCLIENTS_APP_ID", "abc", "a number such as 18289"),
        ("YCLIENTS_APP_ID", "-1", "a number such as 18289"),
        ("USE_PAIRING_CODE", "perhaps", "true or false"),
    ] {
        let mut command = wagres();
        command.arg("config").envs(OLDER).env(name, value);
        let done = command.output().await?;
        let error = String::from_utf8(done.stderr)?;
        ensure!(!done.status.success(), "{name}={value} is accepted");
        let wanted = format!("configuration: {name}: {value:?} is not accepted; accepted is {accepted}");
        ensure!(error.contains(&wanted), "{error}");
    }
    Ok(())
}
