//! H2: the rights of the web pages are rights in the database: a request sees and does what its token allows, whatever the
//! web process asks for.

mod command_line;
mod links;
mod logins;
mod scopes;

use crate::support::db::TestDb;
use crate::support::logins::{run, two_tenants, web_process};
use anyhow::{Context as _, Result};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::BTreeSet;

const SCOPES: [&str; 3] = ["viewer", "operator", "admin"];

async fn text(pool: &PgPool, sql: &str) -> Result<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.with_context(|| sql.to_owned())
}

async fn texts(pool: &PgPool, sql: &str) -> Result<BTreeSet<String>> {
    let found: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.with_context(|| sql.to_owned())?;
    Ok(found.into_iter().collect())
}

/// A statement in a request of a web page: in one transaction with `wa.web_enter(secret)`, as the role of `scope`. The
/// number of its rows, or the SQLSTATE of a refusal.
async fn request(web: &PgPool, secret: &str, scope: &str, sql: &str) -> Result<usize, String> {
    let code = |error: sqlx::Error| {
        error.as_database_error().and_then(|it| it.code().map(String::from)).unwrap_or(error.to_string())
    };
    let mut tx = web.begin().await.map_err(code)?;
    sqlx::query("SELECT FROM wa.web_enter($1)").bind(secret).execute(&mut *tx).await.map_err(code)?;
    let role = format!("SET LOCAL ROLE wa_web_{scope}");
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut *tx).await.map_err(code)?;
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut *tx).await.map_err(code)?.len();
    tx.commit().await.map_err(code)?;
    Ok(rows)
}

/// The refusal of `wa.web_enter` with this secret: SQLSTATE, words and hint.
async fn refused(web: &PgPool, secret: &str) -> Result<String> {
    let refused = sqlx::query("SELECT wa.web_enter($1)").bind(secret).execute(web).await;
    let error = refused.err().context("let in")?;
    let error = error.as_database_error().context("no error of the database")?;
    let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    Ok(format!("{} {} {:?} {:?}", error.code(), error.message(), error.detail(), error.hint()))
}

/// The secret at the end of an address.
fn secret_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// What a link page shows.
async fn page(web: &PgPool, secret: &str) -> Result<Value> {
    let page = sqlx::query_scalar("SELECT to_jsonb(p) FROM wa.link_page($1) p").bind(secret);
    Ok(page.fetch_one(web).await?)
}

/// Two tenants, and a web process.
async fn web_of_two() -> Result<(TestDb, PgPool)> {
    let db = two_tenants().await?;
    run(&db.pool, "SELECT wa.register_web('https://wa.example.com/')").await?;
    let web = web_process(&db, "process").await?;
    Ok((db, web))
}
