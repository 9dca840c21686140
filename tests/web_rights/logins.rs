//! Secrets, login links, cookies and proxies: who gets in, and what a person sees of the tokens of others.

use super::{refused, request, secret_of, text, texts, web_of_two};
use crate::support::logins::{expect, run, web_login};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;

#[tokio::test]
async fn h2_a_secret_that_is_not_valid_is_refused_in_the_same_words_whatever_is_wrong() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let unknown = refused(&web, "wat_0000").await?;
    ensure!(unknown.starts_with("WA050 secret: "), "{unknown}");
    let token = async |name: &str| text(&db.pool, &format!("SELECT wa.add_token('{name}', valid => '1 hour')")).await;
    let login = async |secret: &str| {
        let cookie = sqlx::query_scalar::<_, String>("SELECT wa.web_login($1)").bind(secret).fetch_one(&web).await;
        cookie.context("wa.web_login")
    };
    let (expired, revoked, live) = (token("expired").await?, token("revoked").await?, token("live").await?);
    let (of_expired, of_revoked, signed_out) = (login(&expired).await?, login(&revoked).await?, login(&live).await?);
    let kept = login(&live).await?;
    for secret in [&expired, &revoked, &live, &of_expired, &of_revoked, &signed_out] {
        ensure!(request(&web, secret, "operator", "SELECT FROM wa.session").await == Ok(2));
    }
    run(&db.pool, "UPDATE wa.token SET expires_at = now() WHERE name = 'expired' AND purpose = 'token'").await?;
    run(&db.pool, "SELECT wa.revoke_token('revoked')").await?;
    sqlx::query("SELECT wa.web_logout($1), wa.web_logout($2), wa.web_logout('nothing')")
        .bind(&signed_out)
        .bind(&live)
        .execute(&web)
        .await?;
    let used = text(&db.pool, "SELECT wa.login_link('live')").await?;
    let unused = text(&db.pool, "SELECT wa.login_link('live')").await?;
    let link = text(&db.pool, "SELECT wa.link_url('a')").await?;
    login(secret_of(&used)).await?;
    for secret in [
        expired.as_str(),
        &revoked,
        &of_expired,
        &of_revoked,
        &signed_out,
        // Neither of these is for requests.
        secret_of(&used),
        secret_of(&unused),
        secret_of(&link),
        "",
        "live",
    ] {
        ensure!(refused(&web, secret).await? == unknown, "{secret}");
    }
    for secret in [expired.as_str(), &revoked, secret_of(&used), secret_of(&link), &kept, "wal_0000"] {
        let again = login(secret).await;
        ensure!(again.is_err(), "signed in with {secret}");
    }
    for secret in [&live, &kept] {
        ensure!(request(&web, secret, "operator", "SELECT FROM wa.session").await == Ok(2));
    }
    // A cookie lives for twelve hours, and no longer than its token.
    let lives = "SELECT string_agg(DISTINCT round(extract(epoch FROM expires_at - created_at) / 60)::text, ' ') FROM wa.token WHERE purpose = 'cookie'";
    ensure!(text(&db.pool, lives).await? == "60", "cookies of tokens of an hour");
    let endless = text(&db.pool, "SELECT wa.add_token('endless')").await?;
    login(&endless).await?;
    ensure!(text(&db.pool, &format!("{lives} AND name = 'endless'")).await? == "720");
    // The name of a token that has ended is free, and only that.
    expect(
        &db.pool,
        &[
            ("SELECT wa.add_token('live')", Err("WA051")),
            ("SELECT wa.add_token('expired'), wa.add_token('revoked')", Ok(1)),
            ("SELECT wa.revoke_token('nobody')", Err("WA051")),
        ],
    )
    .await
}

#[tokio::test]
async fn h2_a_login_link_signs_in_once_also_when_many_use_it_at_once() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let operator = text(&db.pool, "SELECT wa.add_token('anna', tenant => 'acme')").await?;
    let url = text(&db.pool, "SELECT wa.login_link('anna')").await?;
    ensure!(url.starts_with("https://wa.example.com/login/wal_"), "{url}");
    let secret = secret_of(&url).to_owned();
    // The first holds its transaction open, the second waits for it; after a rollback the link is not spent.
    for (end, second) in [("ROLLBACK", true), ("COMMIT", false)] {
        let url = text(&db.pool, "SELECT wa.login_link('anna')").await?;
        let mut first = web.acquire().await?;
        sqlx::raw_sql("BEGIN").execute(&mut *first).await?;
        sqlx::query("SELECT wa.web_login($1)").bind(secret_of(&url)).execute(&mut *first).await?;
        let (pool, link) = (db.pool.clone(), secret_of(&url).to_owned());
        let other = tokio::spawn(async move {
            sqlx::query_scalar::<_, String>("SELECT wa.web_login($1)").bind(link).fetch_one(&pool).await
        });
        until("the second one waits", async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&db.pool).await?;
            Ok(if waits { Ok(()) } else { Err("not yet") })
        })
        .await?;
        sqlx::raw_sql(end).execute(&mut *first).await?;
        let signed_in = other.await?;
        ensure!(signed_in.is_ok() == second, "after {end}: {signed_in:?}");
    }
    let mut at_once = JoinSet::new();
    for _ in 0..8 {
        let (pool, link) = (db.pool.clone(), secret.clone());
        at_once.spawn(async move {
            sqlx::query_scalar::<_, String>("SELECT wa.web_login($1)").bind(link).fetch_one(&pool).await
        });
    }
    let cookies: Vec<String> = at_once.join_all().await.into_iter().flatten().collect();
    ensure!(cookies.len() == 1, "{} signed in with one link", cookies.len());
    ensure!(request(&web, &cookies[0], "operator", "SELECT FROM wa.session").await == Ok(1));
    ensure!(request(&web, &cookies[0], "operator", "SELECT FROM wa.tenant WHERE tenant = 'acme'").await == Ok(1));
    // It ends with the token of the link.
    run(&db.pool, "SELECT wa.revoke_token('anna')").await?;
    ensure!(request(&web, &cookies[0], "operator", "SELECT").await == Err("WA050".into()));
    ensure!(request(&web, &operator, "operator", "SELECT").await == Err("WA050".into()));
    Ok(())
}

#[tokio::test]
async fn h2_a_proxy_signs_in_only_users_whose_token_allows_it() -> Result<()> {
    let (db, web) = web_of_two().await?;
    run(
        &db.pool,
        "SELECT wa.add_token('anna@example.com', 'viewer', 'acme', proxy_user => true), wa.add_token('root', 'admin')",
    )
    .await?;
    let as_user = async |name: &str, sql: &'static str| {
        let mut tx = web.begin().await?;
        let entered = sqlx::query("SELECT FROM wa.web_user($1)").bind(name).execute(&mut *tx).await;
        if let Err(sqlx::Error::Database(error)) = entered {
            return Ok(Err(error.code().unwrap_or_default().into_owned()));
        }
        sqlx::raw_sql("SET LOCAL ROLE wa_web_viewer").execute(&mut *tx).await?;
        anyhow::Ok(Ok(sqlx::query(sql).fetch_all(&mut *tx).await?.len()))
    };
    ensure!(as_user("anna@example.com", "SELECT FROM wa.session").await? == Ok(1));
    for name in ["root", "nobody", "", "wat_0"] {
        ensure!(as_user(name, "SELECT").await? == Err("WA050".into()), "{name}");
    }
    // A browser cannot name a user where a secret is expected.
    for secret in ["anna@example.com", "user:anna@example.com"] {
        ensure!(refused(&web, secret).await?.starts_with("WA050"), "{secret}");
    }
    run(&db.pool, "SELECT wa.revoke_token('anna@example.com')").await?;
    ensure!(as_user("anna@example.com", "SELECT").await? == Err("WA050".into()));
    Ok(())
}

/// A request that hangs keeps nobody else of the same token out.
#[tokio::test]
async fn h2_r8_requests_with_one_token_do_not_wait_for_each_other() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let token = text(&db.pool, "SELECT wa.add_token('anna', tenant => 'acme')").await?;
    let mut open = db.pool.begin().await?;
    sqlx::query("SELECT wa.web_enter($1)").bind(&token).execute(&mut *open).await?;
    sqlx::query("SELECT wa.link_url('a')").execute(&mut *open).await?;
    run(&web, "SET lock_timeout = '1s'").await?;
    ensure!(request(&web, &token, "operator", "SELECT wa.link_url('a')").await == Ok(1));
    let cookie: String = sqlx::query_scalar("SELECT wa.web_login($1)").bind(&token).fetch_one(&web).await?;
    ensure!(request(&web, &cookie, "operator", "SELECT FROM wa.session").await == Ok(1));
    open.rollback().await?;
    // A request that only reads may be one of a standby.
    run(&web, "SET default_transaction_read_only = on").await?;
    ensure!(request(&web, &token, "operator", "SELECT FROM wa.session").await == Ok(1));
    Ok(())
}

/// What a person sees of tokens and tenants, whose names are chosen by others.
#[tokio::test]
async fn h2_r9_names_of_another_tenant_do_not_show() -> Result<()> {
    let (db, _) = web_of_two().await?;
    run(&db.pool, "SELECT wa.add_token('of-acme', tenant => 'acme'), wa.add_token('of-bolt', tenant => 'bolt'), wa.add_token('of-all')")
        .await?;
    run(&db.pool, "SELECT wa.link_url('a'), wa.link_url('b'), wa.login_link('of-bolt')").await?;
    for scope in ["viewer", "operator"] {
        let web = web_login(&db, scope, Some("acme")).await?;
        let names = texts(&web, "SELECT name FROM wa.token WHERE name NOT LIKE '%-of-acme'").await?;
        ensure!(names == ["a", "of-acme"].map(str::to_owned).into(), "{scope}: {names:?}");
        ensure!(texts(&web, "SELECT tenant FROM wa.tenant").await? == ["acme".to_owned()].into());
        expect(&web, &[("SELECT FROM wa.token WHERE tenant IS DISTINCT FROM 'acme'", Ok(0))]).await?;
    }
    // A tenant that is deleted takes its tokens with it.
    run(&db.pool, "DELETE FROM wa.session WHERE name = 'b'; DELETE FROM wa.tenant WHERE tenant = 'bolt'").await?;
    let left = texts(&db.pool, "SELECT name FROM wa.token WHERE name IN ('of-bolt', 'b')").await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
