//! Who may see and change what: cookies, origins, scopes, tenants, limits.

use super::{Pages, token, two_tenants};
use crate::support::db;
use crate::support::until::until;
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

#[tokio::test]
async fn h2_pages_have_a_strict_policy_and_nothing_of_others() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    for path in ["/fleet", "/login", "/no/such/page", "/assets/x/web.css"] {
        let answer = pages.get(path, &cookie).await?;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        ensure!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        ensure!(answer.header("x-content-type-options") == Some("nosniff"), "{path}: {}", answer.head);
        ensure!(!answer.body.contains("style=\"") && !answer.body.contains("<script>"), "{path}: inline");
        ensure!(!answer.body.contains("//cdn") && !answer.body.contains("https://fonts"), "{path}: others");
    }
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_without_a_valid_cookie_there_is_the_login_page_alone() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    for cookie in ["", "wagres=wac_0", "wagres=nonsense"] {
        let answer = pages.get("/fleet?status=banned", cookie).await?;
        ensure!(answer.status == 303, "{answer:?}");
        ensure!(answer.header("location") == Some("/login?to=%2Ffleet%3Fstatus%3Dbanned"), "{}", answer.head);
        let refused = pages.post("/act/pause", cookie, "session=shop").await?;
        ensure!(refused.status == 401 && refused.body.contains("\"ok\":false"), "{refused:?}");
    }
    let secret = token(&db, "ops", "operator", None).await?;
    let cookie = pages.sign_in(&secret).await?;
    ensure!(pages.get("/fleet", &cookie).await?.status == 200);
    // The cookie is a secret of its own, which ends with its token.
    ensure!(!cookie.contains(&secret));
    sqlx::query("SELECT wa.revoke_token('ops')").execute(&db.pool).await?;
    ensure!(pages.get("/fleet", &cookie).await?.status == 303);
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_cookie_is_for_this_site_and_unreadable_for_scripts() -> Result<()> {
    let db = db::fresh().await;
    for (name, url) in [("http", None), ("https", Some("https://wa.example.org"))] {
        let pages = Pages::with(&db, |config| config.web.url = url.map(str::to_owned)).await?;
        let form = format!("token={}", token(&db, name, "viewer", None).await?);
        let answer = pages.request("POST /login", &[&format!("origin: {}", pages.url)], &form).await?;
        let cookie = answer.header("set-cookie").unwrap_or_default();
        ensure!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        ensure!(cookie.contains("Secure") == url.is_some(), "{cookie}");
        ensure!(answer.header("strict-transport-security").is_some() == url.is_some(), "{}", answer.head);
        pages.stop().await;
    }
    Ok(())
}

#[tokio::test]
async fn h2_a_change_from_another_site_is_refused() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let secret = token(&db, "ops", "operator", None).await?;
    let cookie = pages.sign_in(&secret).await?;
    let cookie = format!("cookie: {cookie}");
    let here = format!("origin: {}", pages.url);
    for (headers, status) in [
        (vec!["origin: https://evil.example"], 403),
        (vec!["origin: null"], 403),
        (vec!["sec-fetch-site: cross-site"], 403),
        (vec!["sec-fetch-site: same-site"], 403),
        (vec![], 403),
        (vec![here.as_str()], 200),
        (vec!["sec-fetch-site: same-origin"], 200),
    ] {
        let headers: Vec<_> = headers.into_iter().chain([cookie.as_str()]).collect();
        let answer = pages.request("POST /act/pause", &headers, "session=shop&back=/fleet").await?;
        ensure!(answer.status == status, "{headers:?}: {answer:?}");
    }
    // A program names its token itself.
    let bearer = format!("authorization: Bearer {secret}");
    let answer = pages.request("POST /act/resume", &[&bearer, "accept: application/json"], "session=shop").await?;
    ensure!(answer.status == 200 && answer.body.contains("SELECT wa.resume('shop');"), "{answer:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_an_operator_of_a_tenant_sees_and_changes_nothing_of_another() -> Result<()> {
    let db = db::fresh().await;
    two_tenants(&db).await?;
    let pages = Pages::start(&db).await?;
    let red = pages.sign_in(&token(&db, "red", "operator", Some("red")).await?).await?;
    for path in ["/fleet", "/fleet?q=blue", "/fleet?tenant=blue", "/session/blue.shop"] {
        let answer = pages.get(path, &red).await?;
        let main = answer.body.split("<main").nth(1).unwrap_or_default();
        ensure!(!main.contains("blue.shop</a>"), "{path}: {main}");
    }
    let foreign = pages.post("/act/pause", &red, "session=blue.shop").await?;
    let absent = pages.post("/act/pause", &red, "session=nobody").await?;
    ensure!(foreign.status == 422 && absent.status == 422, "{foreign:?} {absent:?}");
    ensure!(foreign.body.replace("blue.shop", "nobody") == absent.body, "{foreign:?} {absent:?}");
    let own = pages.post("/act/pause", &red, "session=red.shop").await?;
    ensure!(own.status == 200, "{own:?}");
    let paused: Vec<String> =
        sqlx::query_scalar("SELECT name FROM wa.session WHERE paused_at IS NOT NULL").fetch_all(&db.pool).await?;
    ensure!(paused == ["red.shop"], "{paused:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_viewer_has_no_buttons_and_may_change_nothing() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let viewer = pages.sign_in(&token(&db, "eve", "viewer", None).await?).await?;
    let fleet = pages.get("/fleet", &viewer).await?;
    ensure!(fleet.body.contains("shop") && !fleet.body.contains("/act/"), "{}", fleet.body);
    let refused = pages.post("/act/pause", &viewer, "session=shop").await?;
    ensure!(refused.status == 403, "{refused:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_guesses_and_floods_of_an_address_are_limited() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::with(&db, |config| config.web.logins_per_minute = 5).await?;
    let origin = format!("origin: {}", pages.url);
    let mut statuses = vec![];
    for _ in 0..7 {
        statuses.push(pages.request("POST /login", &[&origin], "token=wat_0").await?.status);
    }
    ensure!(statuses == [401, 401, 401, 401, 401, 429, 429], "{statuses:?}");
    pages.stop().await;
    let pages = Pages::with(&db, |config| config.web.requests_per_minute = 5).await?;
    let mut last = 0;
    for _ in 0..8 {
        last = pages.get("/login", "").await?.status;
    }
    ensure!(last == 429, "{last}");
    // A balancer that gets no answer takes the process out.
    ensure!(pages.get("/livez", "").await?.status == 200 && pages.get("/health", "").await?.status == 200);
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_only_a_listed_proxy_names_the_user() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_token('anna@example.org', 'viewer', proxy_user => true), wa.add_token('boss', 'admin')")
        .execute(&db.pool)
        .await?;
    let status = async |proxies: &[&str], user: &str| -> Result<u16> {
        let pages = Pages::with(&db, |config| {
            config.web.trusted_proxies = proxies.iter().filter_map(|net| net.parse().ok()).collect();
            config.web.user_header = Some("X-User".into());
        })
        .await?;
        let status = pages.request("GET /fleet", &[&format!("x-user: {user}")], "").await?.status;
        pages.stop().await;
        Ok(status)
    };
    ensure!(status(&["127.0.0.0/8"], "anna@example.org").await? == 200);
    ensure!(status(&["10.0.0.0/8"], "anna@example.org").await? == 303, "an address that is no proxy");
    ensure!(status(&["127.0.0.0/8"], "boss").await? == 303, "a token that is not for proxies");
    Ok(())
}

/// A browser keeps its cookie for longer than the cookie is valid.
#[tokio::test]
async fn h2_a_stale_cookie_does_not_hide_the_user_whom_a_proxy_names() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_token('anna', 'viewer', proxy_user => true)").execute(&db.pool).await?;
    let pages = Pages::with(&db, |config| {
        config.web.trusted_proxies = ["127.0.0.0/8"].iter().filter_map(|net| net.parse().ok()).collect();
        config.web.user_header = Some("X-User".into());
    })
    .await?;
    for path in ["/fleet", "/login"] {
        let answer = pages.request(&format!("GET {path}"), &["cookie: wagres=wac_0", "x-user: anna"], "").await?;
        ensure!(answer.status == if path == "/fleet" { 200 } else { 303 }, "{path}: {answer:?}");
        let dropped = answer.header("set-cookie").unwrap_or_default();
        ensure!(dropped.starts_with("wagres=;") && dropped.contains("Max-Age=0"), "{path}: {dropped}");
    }
    // A valid one counts, and stays; a program's own token never falls back.
    let cookie = pages.sign_in(&token(&db, "ops", "viewer", None).await?).await?;
    let answer = pages.request("GET /fleet", &[&format!("cookie: {cookie}"), "x-user: anna"], "").await?;
    ensure!(answer.status == 200 && answer.header("set-cookie").is_none() && answer.body.contains("ops"), "{answer:?}");
    let answer = pages.request("GET /fleet", &["authorization: Bearer wat_0", "x-user: anna"], "").await?;
    ensure!(answer.status == 401, "{answer:?}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_a_login_link_asks_for_a_click_and_works_once() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    token(&db, "ops", "viewer", None).await?;
    let link: String = sqlx::query_scalar("SELECT wa.login_link('ops')").fetch_one(&db.pool).await?;
    let path = link.trim_start_matches(&pages.url).to_owned();
    // A program that previews links does not spend it.
    for _ in 0..2 {
        let page = pages.get(&path, "").await?;
        ensure!(page.status == 200 && page.header("set-cookie").is_none() && page.body.contains("<form"), "{page:?}");
    }
    let signed_in = pages.post(&path, "", "").await?;
    ensure!(signed_in.status == 303 && signed_in.header("location") == Some("/fleet"), "{signed_in:?}");
    let cookie = signed_in.header("set-cookie").unwrap_or_default().split(';').next().unwrap_or_default();
    ensure!(pages.get("/fleet", cookie).await?.status == 200);
    let again = pages.post(&path, "", "").await?;
    ensure!(again.status == 401 && again.body.contains("works once"), "{again:?}");
    pages.stop().await;
    Ok(())
}

/// Whoever follows the link is signed in already, and presses the button.
#[tokio::test]
async fn h2_no_secret_in_the_address_of_a_page_makes_its_buttons_do_something_else() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "admin", None).await?).await?;
    let digits = "0".repeat(64);
    for secret in
        ["x%2F..%2F..%2Fact%2Fretry_failed", "..%2Fact%2Fretry_failed", &format!("wat_{digits}"), "wal_0", "%22"]
    {
        let page = pages.get(&format!("/login/{secret}"), &cookie).await?;
        ensure!(page.status == 404 && !page.body.contains("<form"), "{secret}: {page:?}");
        ensure!(pages.post(&format!("/login/{secret}"), &cookie, "").await?.status == 401, "{secret}");
        let page = pages.get(&format!("/link/{secret}"), &cookie).await?;
        ensure!(
            page.status == 404 && !page.body.contains("/act/") && !page.body.contains("<form"),
            "{secret}: {page:?}"
        );
    }
    ensure!(pages.get(&format!("/login/wal_{digits}"), &cookie).await?.body.contains("<form"));
    pages.stop().await;
    Ok(())
}

/// `wa.link_url` gives addresses to people.
#[tokio::test]
async fn h2_a_guessed_address_replaces_no_address_that_somebody_has_set() -> Result<()> {
    let db = db::fresh().await;
    let url = async || -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT url FROM wa.web").fetch_optional(&db.pool).await?)
    };
    let pages = Pages::with(&db, |config| config.web.listen = Some(([0, 0, 0, 0], 0).into())).await?;
    pages.stop().await;
    ensure!(url().await?.is_none(), "{:?}", url().await?);
    let pages = Pages::start(&db).await?;
    ensure!(url().await?.as_deref() == Some(pages.url.as_str()));
    pages.stop().await;
    let pages = Pages::with(&db, |config| config.web.url = Some("https://wa.example.com".into())).await?;
    pages.stop().await;
    for listen in [[127, 0, 0, 1], [0, 0, 0, 0]] {
        let pages = Pages::with(&db, |config| config.web.listen = Some((listen, 0).into())).await?;
        pages.stop().await;
        ensure!(url().await?.as_deref() == Some("https://wa.example.com"), "{:?}", url().await?);
    }
    Ok(())
}

#[tokio::test]
async fn h2_a_page_leads_to_no_other_server() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    for to in ["/.//evil.example", "//evil.example", "/%2e//evil.example", "/..//evil.example", "https://evil.example"]
    {
        let answer = pages.get(&format!("/language/ru?to={to}"), "").await?;
        let location = answer.header("location").unwrap_or_default();
        ensure!(location.starts_with('/') && !location.starts_with("//"), "{to}: {location}");
    }
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "operator", None).await?).await?;
    let answer = pages.post("/act/pause", &cookie, "session=shop&leads=%2F%2Fx&%2Fx=evil").await?;
    ensure!(answer.status == 200 && !answer.body.contains("//evil"), "{answer:?}");
    pages.stop().await;
    Ok(())
}

/// A part of the body comes each second.
#[tokio::test]
async fn h2_r9_a_body_that_does_not_end_is_given_up() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::start(&db).await?;
    let head = format!(
        "POST /login HTTP/1.1\r\nhost: {}\r\norigin: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\n",
        pages.host, pages.url
    );
    let (mut answer, mut body) = pages.half_sent(&head).await?.into_split();
    let begun = Instant::now();
    let drip = async {
        let mut each = tokio::time::interval(Duration::from_secs(1));
        loop {
            each.tick().await;
            if body.write_all(b"a").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut read = String::new();
    tokio::select! {
        ended = answer.read_to_string(&mut read) => drop(ended),
        () = drip => {}
    }
    ensure!(begun.elapsed() < Duration::from_secs(50), "{:?}: {read}", begun.elapsed());
    ensure!(read.starts_with("HTTP/1.1 4"), "{read}");
    pages.stop().await;
    Ok(())
}

#[tokio::test]
async fn h2_r9_an_address_has_so_many_connections() -> Result<()> {
    let db = db::fresh().await;
    let pages = Pages::with(&db, |config| config.web.clients_per_address = 5).await?;
    let mut half_sent = vec![];
    for _ in 0..5 {
        half_sent.push(pages.half_sent("GET / HTTP/1.1\r\n").await?);
    }
    ensure!(pages.get("/login", "").await.is_err(), "a sixth connection was served");
    drop(half_sent);
    until("they are forgotten", async || {
        Ok(pages.get("/login", "").await.map(drop).map_err(|error| error.to_string()))
    })
    .await?;
    pages.stop().await;
    Ok(())
}
