//! The roles of the recipe for `PostgREST`, used as `PostgREST` uses them: one transaction for each request, in the role of
//! its token, with the claims as a setting.

use super::example;
use crate::support::db::{TestDb, fresh};
use crate::support::logins::run;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// The recipe with names that no other test has; returns the login's pool and the role.
async fn roles(db: &TestDb) -> Result<(PgPool, String)> {
    let mut url = url::Url::parse(&db.url)?;
    let own = url.path().trim_start_matches('/').to_owned();
    let recipe = std::fs::read_to_string(example("postgrest/roles.sql"))?;
    let named = recipe.replace("shop_api", &format!("api_{own}")).replace("shop_rest", &format!("rest_{own}"));
    run(&db.pool, &named).await?;
    url.set_username(&format!("rest_{own}")).map_err(|()| anyhow::anyhow!("no user name"))?;
    let pool = PgPoolOptions::new().max_connections(1).connect(url.as_str()).await?;
    Ok((pool, format!("api_{own}")))
}

/// A request with a token of this role: what the statement gives, or the SQLSTATE.
async fn request(rest: &PgPool, role: Option<&str>, sql: &'static str, body: Value) -> Result<Value, String> {
    let code = |error: sqlx::Error| {
        error.as_database_error().and_then(|error| error.code().map(String::from)).unwrap_or(error.to_string())
    };
    let mut transaction = rest.begin().await.map_err(code)?;
    if let Some(role) = role {
        sqlx::query("SELECT set_config('role', $1, true), set_config('request.jwt.claims', $2, true)")
            .bind(role)
            .bind(json!({ "role": role }).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(code)?;
    }
    let found = sqlx::query_scalar(sql).bind(body).fetch_one(&mut *transaction).await.map_err(code)?;
    transaction.commit().await.map_err(code)?;
    Ok(found)
}

const SEND: &str = "SELECT to_jsonb(wa.send_text(session => r.session, recipient => r.recipient, body => r.body))
                    FROM jsonb_to_record($1) r (session text, recipient text, body text)";
const INSERT: &str = "WITH i AS (INSERT INTO wa.outbound (session, recipient, body)
                          SELECT session, recipient, body FROM jsonb_to_record($1) r (session text, recipient text, body text) RETURNING *)
                      SELECT to_jsonb(i) FROM i";
const LIST: &str = "SELECT coalesce(jsonb_agg(o.session), '[]') FROM wa.outbound o WHERE $1::jsonb IS NOT NULL";

#[tokio::test]
async fn h9_the_roles_for_postgrest_send_for_their_tenant_alone() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'), wa.add_tenant('acme'), wa.add_session('acme', 'acme'), wa.send_text('acme', '15550001', 'x')")
        .await?;
    let (rest, api) = roles(&db).await?;
    let to = |session: &str| json!({ "session": session, "recipient": "+15550002", "body": "Hello" });
    let sent = request(&rest, Some(&api), SEND, to("shop")).await;
    ensure!(sent.as_ref().is_ok_and(Value::is_i64), "{sent:?}");
    let row = request(&rest, Some(&api), INSERT, to("shop")).await;
    ensure!(row.as_ref().is_ok_and(|row| row["status"] == "queued"), "{row:?}");
    let seen = request(&rest, Some(&api), LIST, json!({})).await;
    ensure!(seen == Ok(json!(["shop", "shop"])), "{seen:?}");
    // Another tenant's session does not exist for it; errors have their SQLSTATE, which PostgREST puts into its answer.
    for (role, sql, body, code) in [
        (Some(api.as_str()), SEND, to("acme"), "WA001"),
        (Some(&api), SEND, json!({ "session": "shop", "recipient": "nobody", "body": "x" }), "WA002"),
        (Some(&api), "SELECT to_jsonb(wa.add_tenant($1 ->> 'name'))", json!({ "name": "x" }), "42501"),
        (Some("wa_admin"), SEND, to("shop"), "42501"),
        (None, SEND, to("shop"), "42501"),
        (None, LIST, json!({}), "42501"),
    ] {
        let refused = request(&rest, role, sql, body).await;
        ensure!(refused == Err(code.to_owned()), "{role:?}: {sql}: {refused:?}, not {code}");
    }
    drop(rest);
    Ok(())
}
