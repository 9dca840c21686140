//! How often somebody may call, and which sites' pages.

use super::stage::{PARTNER_TOKEN, call, json_of, linked, on, pages, register};
use crate::support::db::{TestDb, fresh};
use crate::web::{Answer, Pages};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wagres::config::OriginPattern;

/// A company with this API key.
async fn with_key(db: &TestDb, salon_id: i64, key: &str) -> Result<()> {
    let id = linked(db, salon_id).await?;
    sqlx::query("UPDATE wa.company SET api_key_hash = wa.secret_hash($2), api_key_at = now() WHERE company_id = $1")
        .bind(id)
        .bind(key)
        .execute(&db.pool)
        .await?;
    Ok(())
}

/// Asks until it is refused: the first answer, how many were given, and the refusal.
async fn exhaust(pages: &Pages, line: &str, header: &str) -> Result<(Answer, u32, Answer)> {
    let mut answers = vec![];
    loop {
        let answer = pages.request(line, &[header], "").await?;
        if answer.status == 429 {
            ensure!(!answers.is_empty(), "{answer:?}");
            let given = u32::try_from(answers.len())?;
            return Ok((answers.swap_remove(0), given, answer));
        }
        answers.push(answer);
        ensure!(answers.len() < 1000, "no limit");
    }
}

#[tokio::test]
async fn h6_an_address_and_a_key_have_limits_and_are_told_what_is_left() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        on(config, None);
        config.web.requests_per_minute = 100_000;
        let settings = &mut config.marketplace;
        (settings.requests_per_minute, settings.key_requests_per_minute) = (60, 120);
    })
    .await?;
    with_key(&db, 1, "one").await?;
    with_key(&db, 2, "two").await?;
    let line = "GET /marketplace/companies";
    // When they are first seen they count for the address.
    for header in ["x-api-key: one", "x-api-key: two"] {
        ensure!(pages.request(line, &[header], "").await?.status == 200);
    }
    for (header, limit, given) in [("x-api-key: one", 120, 120), ("x-other: 1", 60, 58), ("x-api-key: two", 120, 120)] {
        let (first, answered, refused) = exhaust(&pages, line, header).await?;
        ensure!(answered == given, "{header}: {answered}");
        ensure!(first.header("x-ratelimit-limit") == Some(&limit.to_string()), "{first:?}");
        ensure!(first.header("x-ratelimit-remaining") == Some(&(given - 1).to_string()), "{first:?}");
        ensure!(refused.header("x-ratelimit-remaining") == Some("0"), "{refused:?}");
        ensure!(refused.header("x-ratelimit-reset").is_some() && refused.header("retry-after").is_some());
        ensure!(refused.body.contains("RATE_LIMIT"), "{refused:?}");
    }
    // A key that is none's has no limit of its own.
    for n in 0..3 {
        let answer = pages.request(line, &[&format!("x-api-key: guess {n}")], "").await?;
        ensure!(answer.status == 429, "{answer:?}");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h6_pages_of_listed_sites_call_the_routes_of_front_ends_and_no_others() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        on(config, None);
        let listed = OriginPattern::try_from("https://n<digits>.yclients.com".to_owned());
        config.marketplace.origins = vec![listed.expect("a pattern")];
    })
    .await?;
    let (id, token) = register(&pages, 11).await?;
    let (bearer, origin) = (format!("authorization: Bearer {token}"), "origin: https://n1.yclients.com");
    let status = format!("/marketplace/status/{id}");
    for (method, path) in [
        ("POST", "/marketplace/activate"),
        ("POST", "/marketplace/callback"),
        ("POST", "/api/qr"),
        ("POST", "/marketplace/api/qr"),
        ("GET", "/marketplace/qr/x"),
        ("GET", "/api/status/company_11"),
        ("GET", "/marketplace/api/status/company_11"),
        ("GET", &status),
    ] {
        let asks = [
            origin,
            &format!("access-control-request-method: {method}"),
            "access-control-request-headers: authorization",
        ];
        let asked = pages.request(&format!("OPTIONS {path}"), &asks, "").await?;
        ensure!(asked.status == 204, "{path}: {asked:?}");
        for (header, value) in [
            ("access-control-allow-origin", "https://n1.yclients.com"),
            ("access-control-allow-methods", method),
            ("access-control-allow-headers", "authorization"),
        ] {
            ensure!(asked.header(header).is_some_and(|it| it.contains(value)), "{path}: {header}: {asked:?}");
        }
        for hostile in ["origin: https://n1.yclients.com.evil.example", "origin: null"] {
            for line in [format!("OPTIONS {path}"), format!("{method} {path}")] {
                let refused = pages.request(&line, &[hostile, &bearer], "").await?;
                ensure!(
                    refused.status == 403 && refused.header("access-control-allow-origin").is_none(),
                    "{refused:?}"
                );
            }
        }
    }
    let answer = pages.request("GET /api/status/company_11", &[origin, &bearer], "").await?;
    ensure!(answer.status == 200 && json_of(&answer)?["salon_id"] == 11, "{answer:?}");
    ensure!(answer.header("access-control-allow-origin") == Some("https://n1.yclients.com"), "{answer:?}");
    ensure!(answer.header("access-control-expose-headers").is_some_and(|it| it.contains("x-ratelimit-remaining")));
    // An error is readable, too, and a program says no origin.
    let wrong = pages.request("POST /marketplace/activate", &[origin], r#"{"token": "x"}"#).await?;
    ensure!(wrong.status == 401 && wrong.header("access-control-allow-origin").is_some(), "{wrong:?}");
    ensure!(pages.request("GET /api/status/company_11", &[&bearer], "").await?.status == 200);
    let other = pages.request("OPTIONS /marketplace/register", &[origin], "").await?;
    ensure!(other.status == 405 && other.header("access-control-allow-origin").is_none(), "{other:?}");
    pages.stop().await;
    Ok(())
}

/// The partner sends again what it has no 200 for.
#[tokio::test]
async fn h6_the_partner_gets_200_also_beyond_the_limits() -> Result<()> {
    let db = fresh().await;
    let pages = pages(&db).await?;
    let id = linked(&db, 5).await?;
    let mut event = json!({ "salon_id": 5, "event": "payment", "partner_token": PARTNER_TOKEN, "more": "" });
    event["more"] = "x".repeat(70_000).into();
    for line in ["POST /webhook/yclients".to_owned(), format!("POST /marketplace/webhook/{id}")] {
        let (status, answer) = call(&pages, &line, &[], &event).await?;
        ensure!(
            status == 200 && answer["action"] == "refused" && answer["success"] == false,
            "{line}: {status} {answer}"
        );
    }
    pages.stop().await;
    let pages = Pages::with(&db, |config| {
        on(config, None);
        config.web.requests_per_minute = 1;
    })
    .await?;
    event["more"] = Value::Null;
    let mut actions = vec![];
    for _ in 0..3 {
        let (status, answer) = call(&pages, "POST /webhook/yclients", &[], &event).await?;
        ensure!(status == 200, "{status} {answer}");
        actions.push(answer["action"].clone());
    }
    ensure!(actions[0] == "ignored" && actions.contains(&json!("limited")), "{actions:?}");
    pages.stop().await;
    Ok(())
}
