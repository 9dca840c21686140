//! Who may connect: tokens, companies, origins, and how often.

use super::client::Client;
use super::{SECRET, company, salon_of, serve, settings, token, token_for, token_of};
use crate::support::db::{TestDb, fresh};
use crate::web::Pages;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wagres::config::OriginPattern;

/// A page without a worker: once it is let in, its company's session should be linked.
async fn is_let_in(db: &TestDb, url: &str, company: i64, options: Value) -> Result<()> {
    let mut page = Client::with(url, options).await?;
    page.hears("connect").await?;
    let wanted =
        "SELECT s.desired = 'connected' FROM wa.session s JOIN wa.company c USING (session_id) WHERE c.company_id = $1";
    crate::support::until::until("a linking that begins", async || {
        let begun: bool = sqlx::query_scalar(wanted).bind(company).fetch_one(&db.pool).await?;
        Ok(if begun { Ok(()) } else { Err("nothing") })
    })
    .await?;
    sqlx::query("UPDATE wa.session SET desired = 'stopped'").execute(&db.pool).await?;
    page.leave().await
}

#[tokio::test]
async fn h3_a_page_shows_its_token_in_the_header_the_handshake_or_the_query() -> Result<()> {
    let db = fresh().await;
    let pages = serve(&db).await?;
    let id = company(&db, 1).await?;
    let (good, bad) = (token_of(id)?, token("another secret of the tests", id, 3600)?);
    let header = |token: &str| json!({ "authorization": format!("Bearer {token}") });
    for transport in ["websocket", "polling"] {
        let transports = [transport];
        let ways = [
            json!({ "extraHeaders": header(&good), "auth": { "token": bad }, "query": { "token": bad } }),
            json!({ "auth": { "token": good }, "query": { "token": bad } }),
            json!({ "query": { "token": good } }),
        ];
        for mut options in ways {
            options["transports"] = json!(transports);
            is_let_in(&db, &pages.url, id, options).await?;
        }
        for (auth, query) in [
            (json!({ "token": bad }), json!({ "token": good })),
            (json!({ "token": token(SECRET, id, -1)? }), json!({})),
            (json!({ "token": 7 }), json!({})),
            (json!({}), json!({ "token": "a.b.c" })),
        ] {
            let options = json!({ "auth": auth, "query": query, "transports": transports });
            Client::with(&pages.url, options).await?.is_refused("INVALID_TOKEN", 401).await?;
        }
        // Of no company, and of another installation with the same secret, in which this number is another company's.
        for token in [token_of(id + 1)?, token_for(SECRET, id, salon_of(id) + 4, 3600)?] {
            let options = json!({ "auth": { "token": token }, "transports": transports });
            Client::with(&pages.url, options).await?.is_refused("COMPANY_NOT_FOUND", 404).await?;
        }
    }
    let untouched = "SELECT bool_and(desired = 'stopped') AND NOT EXISTS (SELECT FROM wa.company_watch WHERE company_id <> $1) FROM wa.session";
    ensure!(sqlx::query_scalar::<_, bool>(untouched).bind(id).fetch_one(&db.pool).await?, "linked by a stranger");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_h4_an_address_may_connect_five_times_a_minute() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        settings(config);
        config.marketplace.sockets_per_minute = 5;
        config.web.trusted_proxies = ["127.0.0.0/8".parse().expect("a network")].into();
    })
    .await?;
    let id = company(&db, 1).await?;
    // A page that is let in hears this code.
    sqlx::query("SELECT wa.link('company_1')").execute(&db.pool).await?;
    let shown = "UPDATE wa.session SET status = 'linking', qr = '2@shown', qr_expires_at = now() + interval '1 hour'";
    sqlx::query(shown).execute(&db.pool).await?;
    let is_let_in = async |address: &str, transport: &str| -> Result<bool> {
        let headers = json!({ "x-forwarded-for": address });
        let auth = json!({ "token": token_of(id)? });
        let options = json!({ "auth": auth, "extraHeaders": headers, "transports": [transport] });
        let mut page = Client::with(&pages.url, options).await?;
        page.hears("connect").await?;
        let (name, said) = page.next().await?;
        if name == "qr-update" {
            return Ok(true);
        }
        ensure!(name == "error" && said["code"] == "RATE_LIMIT" && said["status"] == 429, "{name} {said}");
        ensure!(page.hears("disconnect").await? == "io server disconnect");
        Ok(false)
    };
    let transports = ["websocket", "polling"].into_iter().cycle().take(10);
    let tried = futures::future::try_join_all(transports.map(|transport| is_let_in("192.0.2.1", transport))).await?;
    let count = tried.iter().filter(|is_in| **is_in).count();
    ensure!(count == 5, "{count} of 10 were let in");
    ensure!(is_let_in("192.0.2.2", "websocket").await?);
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_only_pages_of_listed_origins_connect() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::with(&db, |config| {
        settings(config);
        let listed = OriginPattern::try_from("https://n<digits>.yclients.com".to_owned());
        config.marketplace.origins = vec![listed.expect("a pattern")];
    })
    .await?;
    let path = "GET /socket.io/?EIO=4&transport=polling";
    for (origin, status) in [
        ("https://n123.yclients.com", 200),
        (pages.url.as_str(), 200),
        ("https://n.yclients.com", 403),
        ("https://n1.yclients.com.evil.example", 403),
        ("null", 403),
    ] {
        let origin = format!("origin: {origin}");
        let answer = pages.request(path, &[&origin], "").await?;
        ensure!(answer.status == status, "{origin}: {answer:?}");
        let allowed = answer.header("access-control-allow-origin").map(|it| format!("origin: {it}"));
        ensure!(allowed == (status == 200).then_some(origin.clone()), "{answer:?}");
        let headers = [origin.as_str(), "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
        let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        if status == 403 {
            let socket = "GET /socket.io/?EIO=4&transport=websocket";
            let answer = pages.request(socket, &[&headers[..], &[key]].concat(), "").await?;
            ensure!(answer.status == 403, "{origin}: {answer:?}");
        }
    }
    // What a browser asks before it sends a header of its own.
    let asked = ["origin: https://n1.yclients.com", "access-control-request-headers: authorization"];
    let answer = pages.request("OPTIONS /socket.io/", &asked, "").await?;
    ensure!(answer.status == 204, "{answer:?}");
    ensure!(answer.header("access-control-allow-headers").is_some_and(|it| it.contains("authorization")));
    // A program says no origin.
    ensure!(pages.request(path, &[], "").await?.status == 200);
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h3_without_a_secret_there_is_no_namespace() -> Result<()> {
    let db = fresh().await;
    let pages = Pages::start(&db).await?;
    let answer = pages.request("GET /socket.io/?EIO=4&transport=polling", &["accept: application/json"], "").await?;
    ensure!(answer.status == 404 || answer.status == 303, "{answer:?}");
    ensure!(!answer.body.contains("\"sid\""), "{answer:?}");
    pages.stop().await;
    Ok(())
}
