//! `wagres session link | passkey | confirm`: linking a phone, with a QR code, a pairing code or a passkey.

use super::read;
use crate::cli::{RowWatch, print, qr};
use crate::config::Config;
use crate::db::Db;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::Path;

/// Hands in the answer of a passkey.
pub(super) async fn passkey(pool: &Db, name: &str, file: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_str(&read(file)?)
        .context("the answer is not JSON; accepted is the result of PublicKeyCredential.toJSON()")?;
    let job = sqlx::query_scalar!(r#"SELECT wa.answer_passkey($1, $2) AS "job!""#, name, answer).fetch_one(pool).await;
    let job = job?;
    print(json, &json!({ "session": name, "job": job }), "handed in; next compare the code that the phone shows");
    Ok(())
}

/// Confirms the code that the phone shows.
pub(super) async fn confirm(pool: &Db, name: &str, code: &str, json: bool) -> anyhow::Result<()> {
    let job = sqlx::query_scalar!(r#"SELECT wa.confirm_passkey($1, $2) AS "job!""#, name, code).fetch_one(pool).await;
    let job = job?;
    print(json, &json!({ "session": name, "job": job }), "confirmed; the phone links the session");
    Ok(())
}

/// Prints the address of a link page, valid for as long as `valid` says, else for half an hour.
pub(super) async fn url(pool: &Db, name: &str, valid: Option<&str>, json: bool) -> anyhow::Result<()> {
    let url = sqlx::query_scalar!(
        r#"SELECT wa.link_url($1, coalesce(($2::text)::interval, '30 min')) AS "url!""#,
        name,
        valid
    );
    let url = url.fetch_one(pool).await?;
    print(json, &json!({ "session": name, "url": url }), &url);
    Ok(())
}

/// Queues the link job and follows the session's row until the session is connected or the job has ended without a
/// scan.
pub(super) async fn link(
    config: &Config,
    pool: &Db,
    name: &str,
    phone: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let mut watch = RowWatch::on("wa_session", config).await?;
    let job = sqlx::query_scalar!(r#"SELECT wa.link($1, $2) AS "job!""#, name, phone);
    let job = job.fetch_one(pool).await?;
    let (mut shown_qr, mut shown_stage, mut shown_code) = (None, None, None);
    loop {
        let row = sqlx::query_file!("sql/cli/watch_session.sql", name, job).fetch_one(pool).await?;
        if row.qr != shown_qr
            && let Some(qr) = &row.qr
        {
            let line = json!({ "session": name, "status": row.status, "qr": qr, "expires_at": row.qr_expires_at });
            let text = format!("{}\nscan it with WhatsApp on the phone: Settings, Linked devices", qr::draw(qr)?);
            print(json, &line, &text);
        }
        shown_qr = row.qr;
        if row.code != shown_code
            && let Some(code) = &row.code
        {
            let line =
                json!({ "session": name, "status": row.status, "code": code, "expires_at": row.code_expires_at });
            let steps = "type it into WhatsApp on the phone: Settings, Linked devices, Link with phone number instead";
            print(json, &line, &format!("pairing code {code}\n{steps}"));
        }
        shown_code = row.code;
        if row.stage != shown_stage
            && let (Some(stage), Some(request)) = (&row.stage, &row.request)
        {
            let line = json!({
                "session": name, "passkey": stage, "request": request, "code": row.passkey_code, "error": row.error,
            });
            if let Some(step) = next_step(name, stage, request, row.passkey_code.as_deref(), row.error.as_deref()) {
                print(json, &line, &step);
            }
        }
        shown_stage = row.stage;
        // While the session should be connected, another link follows: WhatsApp had unlinked the device, or its worker died.
        match (row.status.as_str(), row.job.as_str()) {
            ("connected", "done") => {
                let phone = row.phone.unwrap_or_default();
                let line = json!({ "session": name, "status": "connected", "phone": phone });
                print(json, &line, &format!("linked: {phone}"));
                return Ok(());
            }
            (_, "failed" | "cancelled") => {
                bail!("not linked: {}", row.last_error.unwrap_or_else(|| "the job was cancelled".into()));
            }
            ("new" | "logged_out" | "stopped", "done") if row.stopped => {
                bail!("not linked: {}", row.status_reason.unwrap_or(row.status));
            }
            ("banned", "done") => {
                bail!("not linked: {}", row.status_reason.unwrap_or(row.status));
            }
            _ => {}
        }
        watch.wait().await?;
    }
}

/// The user's next step while a session is linked with a passkey.
fn next_step(name: &str, stage: &str, request: &Value, code: Option<&str>, error: Option<&str>) -> Option<String> {
    Some(match stage {
        "requested" => format!(
            "This account demands its passkey. In a browser that has the passkey, open https://web.whatsapp.com, and in \
             the console (F12) run:\n\n  copy(JSON.stringify((await navigator.credentials.get({{publicKey: \
             PublicKeyCredential.parseRequestOptionsFromJSON({request})}})).toJSON()))\n\nThen paste the copied text \
             into: wagres session passkey {name}"
        ),
        "code" => {
            format!("If the phone shows {code}: wagres session confirm {name} {code}", code = code.unwrap_or_default())
        }
        "failed" => format!("linking with the passkey failed: {}; scan the QR code again", error.unwrap_or_default()),
        _ => return None,
    })
}
