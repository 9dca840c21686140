//! What the tests share: requests, what the partner signs, and a company whose phone is linked.

use super::partner::Partner;
use crate::support::db::TestDb;
use crate::support::until::until;
use crate::support::world::{World, wagres};
use crate::web::{Answer, Pages};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;
use url::form_urlencoded;
use wagres::config::{Config, Secret};

pub(crate) const PARTNER_TOKEN: &str = "partner-token";
pub(crate) const JWT_SECRET: &str = "a secret of the tests";

/// The settings of a process, under the older names.
pub(crate) const OLDER: [(&str, &str); 3] =
    [("YCLIENTS_PARTNER_TOKEN", PARTNER_TOKEN), ("YCLIENTS_APP_ID", "18289"), ("JWT_SECRET", JWT_SECRET)];

/// Switches the marketplace on.
pub(crate) fn on(config: &mut Config, partner: Option<&Partner>) {
    let settings = &mut config.marketplace;
    settings.partner_token = Some(Secret::new(PARTNER_TOKEN));
    settings.jwt_secret = Some(Secret::new(JWT_SECRET));
    settings.application_id = Some(18289);
    settings.requests_per_minute = 100_000;
    settings.partner_url = partner.map_or_else(|| "http://127.0.0.1:9".into(), Partner::url);
}

/// The pages with the marketplace.
pub(crate) async fn pages(db: &TestDb) -> Result<Pages> {
    Pages::with(db, |config| on(config, None)).await
}

/// The command of a worker that calls this partner.
pub(crate) fn worker(world: &World, partner: &Partner) -> Command {
    let mut command = world.brief_worker_on(&world.db.url);
    command.envs(OLDER).env("WAGRES_MARKETPLACE__PARTNER_URL", partner.url());
    command.env("WAGRES_WORKER__POLL_MS", "100");
    command
}

/// The command of a web process.
pub(crate) fn web(db: &TestDb) -> Command {
    let mut command = wagres();
    command.args(["web", "--json", "--database-url", &db.url]).envs(OLDER);
    command.env("WAGRES_WEB__LISTEN", "127.0.0.1:0").env("WAGRES_MARKETPLACE__REQUESTS_PER_MINUTE", "100000");
    command
}

/// The address that the partner leads a user to, signed with `token`.
pub(crate) fn entry(salon_id: i64, data: &Value, token: &str) -> String {
    let json = data.to_string();
    let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes());
    let sign = mac.map(|mac| hex::encode(mac.chain_update(&json).finalize().into_bytes())).unwrap_or_default();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("salon_ids[0]", &salon_id.to_string())
        .append_pair("user_data", &BASE64_STANDARD.encode(&json))
        .append_pair("user_data_sign", &sign)
        .finish();
    format!("/auth/yclients/redirect?{query}")
}

/// Comes from the partner; returns the path of the link page.
pub(crate) async fn enter(pages: &Pages, salon_id: i64) -> Result<String> {
    let path = entry(salon_id, &json!({ "id": 5, "name": "Анна", "phone": "79001112233" }), PARTNER_TOKEN);
    let answer = pages.request(&format!("GET {path}"), &[], "").await?;
    let to = answer.header("location").with_context(|| format!("{answer:?}"))?;
    anyhow::ensure!(answer.status == 303 && to.starts_with("/link/wak_"), "{answer:?}");
    Ok(to.to_owned())
}

/// Sends JSON; returns the status and the JSON of the answer.
pub(crate) async fn call(pages: &Pages, line: &str, headers: &[&str], body: &Value) -> Result<(u16, Value)> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = pages.request(line, headers, &text).await?;
    Ok((answer.status, json_of(&answer)?))
}

pub(crate) fn json_of(answer: &Answer) -> Result<Value> {
    serde_json::from_str(&answer.body).with_context(|| format!("{answer:?}"))
}

/// Registers a company; returns its number here and a token.
pub(crate) async fn register(pages: &Pages, salon_id: i64) -> Result<(i64, String)> {
    let bearer = format!("authorization: Bearer {PARTNER_TOKEN}");
    let (status, answer) =
        call(pages, "POST /marketplace/register", &[&bearer], &json!({ "salon_id": salon_id })).await?;
    anyhow::ensure!(status == 201, "{status} {answer}");
    let token = answer["token"].as_str().context("token")?.to_owned();
    Ok((answer["company_id"].as_i64().context("company_id")?, token))
}

/// Scans each code that the session shows with the phone of `number`, until it is connected.
pub(crate) async fn scan(world: &World, session: &str, number: &str) -> Result<()> {
    let mut scanned = String::new();
    until("a link", async || {
        let (status, qr): (String, Option<String>) =
            sqlx::query_as("SELECT status::text, qr FROM wa.session WHERE name = $1")
                .bind(session)
                .fetch_one(world.pool())
                .await?;
        if let Some(qr) = qr.filter(|qr| *qr != scanned) {
            scanned.clone_from(&qr);
            // A code may expire before it is scanned.
            world.control.request("POST", &format!("/phones/{number}/scan"), Some(json!({ "qr": qr }))).await?;
        }
        Ok(if status == "connected" { Ok(()) } else { Err(status) })
    })
    .await
}

/// A company that looks linked, without a phone.
pub(crate) async fn linked(db: &TestDb, salon_id: i64) -> Result<i64> {
    let id: i64 =
        sqlx::query_scalar("SELECT company_id FROM wa.enter_company($1)").bind(salon_id).fetch_one(&db.pool).await?;
    sqlx::query("UPDATE wa.session SET jid = '1@s.whatsapp.net' WHERE name = 'company_' || $1")
        .bind(salon_id)
        .execute(&db.pool)
        .await?;
    Ok(id)
}

/// Activates a company as a web process does.
pub(crate) async fn activate(db: &TestDb, company_id: i64) -> Result<String> {
    Ok(sqlx::query_scalar("SELECT wa.activate_company($1, NULL)").bind(company_id).fetch_one(&db.pool).await?)
}

/// Waits until `query` gives true; a failure shows the calls.
pub(crate) async fn holds(pool: &PgPool, query: &str) -> Result<()> {
    until(query, async || {
        let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(pool).await?;
        if found == Some(true) {
            return Ok(Ok(()));
        }
        let seen = "SELECT jsonb_build_object('calls', (SELECT jsonb_agg(to_jsonb(c)) FROM wa.partner_call c),
                    'partner', (SELECT to_jsonb(p) FROM wa.partner p), 'companies', (SELECT jsonb_agg(to_jsonb(c)) FROM wa.company c),
                    'jobs', (SELECT jsonb_agg(to_jsonb(j)) FROM wa.session_job j))::text";
        Ok(Err(sqlx::query_scalar::<_, String>(seen).fetch_one(pool).await?))
    })
    .await
}

/// Does `calls` while a transaction has the company's row, until at least two of them wait for it.
pub(crate) async fn while_locked<T>(db: &TestDb, salon_id: i64, calls: impl Future<Output = T>) -> Result<T> {
    let mut holder = db.pool.begin().await?;
    sqlx::query("SELECT FROM wa.company WHERE salon_id = $1 FOR NO KEY UPDATE")
        .bind(salon_id)
        .execute(&mut *holder)
        .await?;
    let free = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("two that wait for the row", async || {
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&db.pool).await?;
            Ok(if count >= 2 { Ok(()) } else { Err(count) })
        })
        .await?;
        holder.rollback().await?;
        anyhow::Ok(())
    };
    let (done, freed) = tokio::join!(calls, free);
    freed?;
    Ok(done)
}
