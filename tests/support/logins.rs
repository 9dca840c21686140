//! Logins with the rights of a role and the rows of a tenant.

use super::db::{TestDb, fresh};
use anyhow::{Context as _, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};

/// Connects as a new login that is a member of `role`.
pub(crate) async fn login(db: &TestDb, role: &str, tenant: Option<&str>) -> Result<PgPool> {
    let mut url = url::Url::parse(&db.url)?;
    let name = format!("{role}_of_{}_{}", url.path().trim_start_matches('/'), tenant.unwrap_or("nobody"));
    run(&db.pool, &format!(r#"CREATE ROLE "{name}" LOGIN IN ROLE {role}"#)).await?;
    if let Some(tenant) = tenant {
        run(&db.pool, &format!("SELECT wa.grant_tenant('{name}', '{tenant}')")).await?;
    }
    url.set_username(&name).map_err(|()| anyhow::anyhow!("no user name"))?;
    let options: PgConnectOptions = url.as_str().parse()?;
    Ok(PgPoolOptions::new().max_connections(1).connect_with(options).await?)
}

/// Connects as a new login of web processes that stays, for all its statements, in the role of a token with this scope.
pub(crate) async fn web_login(db: &TestDb, scope: &str, tenant: Option<&str>) -> Result<PgPool> {
    let name = format!("{scope}-of-{}", tenant.unwrap_or("all"));
    let secret: String = sqlx::query_scalar("SELECT wa.add_token($1, $2, $3)")
        .bind(&name)
        .bind(scope)
        .bind(tenant)
        .fetch_one(&db.pool)
        .await?;
    let web = web_process(db, &name).await?;
    run(&web, &format!("SELECT set_config('wagres.token', '{secret}', false); SET ROLE wa_web_{scope}")).await?;
    Ok(web)
}

/// Connects as a new login of web processes, with one connection.
pub(crate) async fn web_process(db: &TestDb, name: &str) -> Result<PgPool> {
    let mut url = url::Url::parse(&db.url)?;
    let name = format!("web_of_{}_{name}", url.path().trim_start_matches('/'));
    run(&db.pool, &format!(r#"CREATE ROLE "{name}" LOGIN IN ROLE wa_web"#)).await?;
    url.set_username(&name).map_err(|()| anyhow::anyhow!("no user name"))?;
    let options: PgConnectOptions = url.as_str().parse()?;
    Ok(PgPoolOptions::new().max_connections(1).connect_with(options).await?)
}

/// Runs statements.
pub(crate) async fn run(pool: &PgPool, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.with_context(|| sql.to_owned())?;
    Ok(())
}

/// The number of rows of a query, or the SQLSTATE of its refusal.
pub(crate) async fn outcome(pool: &PgPool, sql: &str) -> Result<usize, String> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.map(|rows| rows.len()).map_err(|error| {
        error.as_database_error().and_then(|it| it.code().map(String::from)).unwrap_or(error.to_string())
    })
}

/// A database with a session for each of two tenants, a message and a key of each.
pub(crate) async fn two_tenants() -> Result<TestDb> {
    let db = fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_tenant('acme'), wa.add_tenant('bolt');
         SELECT wa.add_session('a', 'acme'), wa.add_session('b', 'bolt');
         SELECT wa.send_text('a', '15550001', 'of acme'), wa.send_text('b', '15550001', 'of bolt');
         INSERT INTO wa.auth (session_id, creds) SELECT session_id, '{\"noiseKey\":\"secret\"}' FROM wa.session;
         INSERT INTO wa.auth_key (session_id, kind, key_id, value) SELECT session_id, 'pre-key', '1', '{}' FROM wa.session",
    )
    .await?;
    Ok(db)
}

/// The caller may not do that.
pub(crate) const DENIED: Result<usize, &str> = Err("42501");

/// Runs each query, and compares its outcome: the number of rows, or the SQLSTATE of a refusal.
pub(crate) async fn expect(pool: &PgPool, cases: &[(&str, Result<usize, &str>)]) -> Result<()> {
    for (sql, expected) in cases {
        let found = outcome(pool, sql).await;
        let found = found.as_ref().map(|rows| *rows).map_err(String::as_str);
        ensure!(found == *expected, "{sql}: {found:?}, expected {expected:?}");
    }
    Ok(())
}
