//! Every act of the pages over HTTP: an operator or an admin performs it and its effect is found; whoever has a lower scope is
//! refused (H2).

use super::{Pages, token};
use crate::support::db::{self, TestDb};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;

/// An act.
struct Case {
    name: &'static str,
    /// Statements that come first.
    before: &'static str,
    /// An SQL expression that gives the form.
    form: &'static str,
    /// An SQL condition that holds when it is done, and not before.
    done: &'static str,
}

const fn case(name: &'static str, before: &'static str, form: &'static str, done: &'static str) -> Case {
    Case { name, before, form, done }
}

const ANSWER: &str = "'session=fresh&assertion={\"id\":\"YQ\",\"response\":{\"clientDataJSON\":\"YQ\",\"authenticatorData\":\"YQ\",\"signature\":\"YQ\"}}'";
/// The last message.
const MESSAGE: &str = "'id=' || (SELECT max(id) FROM wa.outbound)";
const SEND: &str =
    "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550002', 'x', 'may')";
const MAY: &str = "'campaign=may'";
const MAY_OF_SHOP: &str = "'session=shop&campaign=may'";
const CANCELLED: &str = "(SELECT bool_and(status = 'cancelled') FROM wa.outbound)";
const PAUSED: &str = "EXISTS (SELECT FROM wa.campaign WHERE paused_at IS NOT NULL)";
const RESUMED: &str = "NOT EXISTS (SELECT FROM wa.campaign WHERE paused_at IS NOT NULL)";
const WORKER: &str = "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES (gen_random_uuid(), 'h', 1, '1', now() + interval '1 hour')";

/// In an order in which none disturbs the next.
const CASES: &[Case] = &[
    case(
        "pause",
        "",
        "'session=shop&reason=stock'",
        "(SELECT paused_reason = 'stock' FROM wa.session WHERE name = 'shop')",
    ),
    case("resume", "", "'session=shop'", "(SELECT paused_at IS NULL FROM wa.session WHERE name = 'shop')"),
    case(
        "pause_sessions",
        "",
        "'sessions=fresh&sessions=shop'",
        "(SELECT bool_and(paused_at IS NOT NULL) FROM wa.session)",
    ),
    case(
        "resume_sessions",
        "",
        "'sessions=fresh&sessions=shop'",
        "(SELECT bool_and(paused_at IS NULL) FROM wa.session)",
    ),
    case("pause_tenant", "", "'tenant=default'", "(SELECT paused_at IS NOT NULL FROM wa.tenant)"),
    case("resume_tenant", "", "'tenant=default'", "(SELECT paused_at IS NULL FROM wa.tenant)"),
    case("add_session", "", "'name=second'", "EXISTS (SELECT FROM wa.session WHERE name = 'second')"),
    case(
        "connect",
        "UPDATE wa.session SET status = 'disconnected', desired = 'stopped' WHERE name = 'shop'",
        "'session=shop'",
        "(SELECT desired = 'connected' FROM wa.session WHERE name = 'shop')",
    ),
    case(
        "connect_sessions",
        "DELETE FROM wa.session_job; UPDATE wa.session SET desired = 'stopped' WHERE name = 'shop'",
        "'sessions=shop'",
        "(SELECT desired = 'connected' FROM wa.session WHERE name = 'shop') AND EXISTS (SELECT FROM wa.session_job WHERE kind = 'connect')",
    ),
    case(
        "close_sessions",
        "",
        "'sessions=shop'",
        "EXISTS (SELECT FROM wa.session_job WHERE session = 'shop' AND kind = 'close')",
    ),
    case(
        "close",
        "UPDATE wa.session SET desired = 'connected' WHERE name = 'shop'",
        "'session=shop'",
        "(SELECT desired = 'stopped' FROM wa.session WHERE name = 'shop')",
    ),
    case(
        "logout",
        "",
        "'session=shop&force=true'",
        "EXISTS (SELECT FROM wa.session_job WHERE kind = 'logout' AND args = '{\"force\": true}')",
    ),
    case(
        "cancel_session_job",
        "",
        "'id=' || (SELECT id FROM wa.session_job WHERE kind = 'logout')",
        "EXISTS (SELECT FROM wa.session_job WHERE kind = 'logout' AND status = 'cancelled')",
    ),
    case(
        "retry_session_job",
        "",
        "'id=' || (SELECT id FROM wa.session_job WHERE kind = 'logout')",
        "(SELECT count(*) = 2 FROM wa.session_job WHERE kind = 'logout')",
    ),
    case(
        "link",
        "",
        "'session=fresh'",
        "EXISTS (SELECT FROM wa.session_job WHERE session = 'fresh' AND kind = 'link')",
    ),
    case(
        "link_url",
        "",
        "'session=fresh&valid=5 min'",
        "EXISTS (SELECT FROM wa.token WHERE purpose = 'link' AND expires_at < now() + interval '6 min')",
    ),
    case(
        "revoke_link",
        "",
        "'session=fresh'",
        "EXISTS (SELECT FROM wa.token WHERE purpose = 'link' AND revoked_at IS NOT NULL)",
    ),
    case(
        "answer_passkey",
        "INSERT INTO wa.passkey (session_id, session, request, expires_at) SELECT session_id, name, '{}', now() + interval '1 h' FROM wa.session WHERE name = 'fresh'",
        ANSWER,
        "(SELECT stage = 'answered' FROM wa.passkey)",
    ),
    case(
        "confirm_passkey",
        "UPDATE wa.passkey SET stage = 'code', code = 'ABCD-EFGH'",
        "'session=fresh&code=ABCD-EFGH'",
        "(SELECT stage = 'confirmed' FROM wa.passkey)",
    ),
    case(
        "refuse_passkey",
        "UPDATE wa.passkey SET stage = 'code', code = 'ABCD-EFGH'",
        "'session=fresh'",
        "(SELECT stage = 'failed' FROM wa.passkey)",
    ),
    case(
        "restore_auth",
        "SELECT wa.add_session('unlinked'); UPDATE wa.session SET status = 'linking' WHERE name = 'unlinked'; UPDATE wa.session SET status = 'logged_out' WHERE name = 'unlinked'; INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason) SELECT session_id, kind, '', '{}', 'unlinked' FROM wa.session, unnest('{creds,pre-key}'::text[]) kind WHERE name = 'unlinked'",
        "'session=unlinked'",
        "NOT EXISTS (SELECT FROM wa.auth_quarantine)",
    ),
    case(
        "set_pacing",
        "",
        "'session=shop&per_minute=20&typing=true'",
        "(SELECT per_minute = 20 AND typing FROM wa.pacing)",
    ),
    case("slow_down", "", "'session=shop&per_minute=10'", "(SELECT per_minute = 10 FROM wa.pacing)"),
    case(
        "clear_pacing",
        "",
        "'session=shop&what=per_minute'",
        "(SELECT coalesce(bool_and(per_minute IS NULL), true) FROM wa.pacing)",
    ),
    case(
        "set_proxy",
        "",
        "'session=shop&url=socks5://proxy.example.com:1080'",
        "(SELECT proxy IS NOT NULL FROM wa.session WHERE name = 'shop')",
    ),
    case("remove_proxy", "", "'session=shop'", "(SELECT proxy IS NULL FROM wa.session WHERE name = 'shop')"),
    case(
        "set_crypto_limits",
        "",
        "'session=shop&bad_macs=7&bad_decrypts=9&relink=true'",
        "(SELECT (bad_mac_limit, bad_decrypt_limit, relink_at_limit) = (7, 9, true) FROM wa.session WHERE name = 'shop')",
    ),
    case("set_region", "", "'session=shop&region=DE'", "(SELECT region = 'DE' FROM wa.session WHERE name = 'shop')"),
    case("keep_past", "", "'session=shop&keep=true'", "(SELECT keep_past FROM wa.session WHERE name = 'shop')"),
    case(
        "send_text",
        "",
        "'session=shop&recipient=15550002&body=Hello'",
        "EXISTS (SELECT FROM wa.outbound WHERE body = 'Hello')",
    ),
    case("cancel_message", "", MESSAGE, CANCELLED),
    case("retry_message", "", MESSAGE, "(SELECT status = 'queued' FROM wa.outbound)"),
    case("cancel_all", "", "'session=shop'", CANCELLED),
    case("pause_campaign", SEND, MAY_OF_SHOP, PAUSED),
    case("resume_campaign", "", MAY_OF_SHOP, RESUMED),
    case("pause_campaigns", "", MAY, PAUSED),
    case("resume_campaigns", "", MAY, RESUMED),
    case("cancel_campaign", "", MAY_OF_SHOP, CANCELLED),
    case("cancel_campaigns", SEND, MAY, CANCELLED),
    case(
        "retry_failed",
        "UPDATE wa.outbound SET status = 'failed', failed_at = now(), failure = 'media'",
        "'session=shop&failure=media'",
        "EXISTS (SELECT FROM wa.retries WHERE status = 'queued')",
    ),
    case(
        "cancel_retry",
        "",
        "'job=' || (SELECT id FROM wa.retries)",
        "EXISTS (SELECT FROM wa.retries WHERE status = 'cancelled')",
    ),
    case(
        "disable_schedule",
        "UPDATE wa.schedule SET enabled = true",
        "'name=retention'",
        "(SELECT NOT enabled FROM wa.schedule WHERE name = 'retention')",
    ),
    case("enable_schedule", "", "'name=retention'", "(SELECT enabled FROM wa.schedule WHERE name = 'retention')"),
    case(
        "run_schedule",
        "",
        "'name=retention'",
        "EXISTS (SELECT FROM wa.maintenance_job WHERE kind = 'retention' AND status = 'queued')",
    ),
    case(
        "cancel_maintenance_job",
        "",
        "'id=' || (SELECT id FROM wa.maintenance_job WHERE kind = 'retention')",
        "(SELECT status = 'cancelled' FROM wa.maintenance_job WHERE kind = 'retention')",
    ),
    case(
        "retry_maintenance_job",
        "",
        "'id=' || (SELECT id FROM wa.maintenance_job WHERE kind = 'retention')",
        "(SELECT status = 'queued' FROM wa.maintenance_job WHERE kind = 'retention')",
    ),
    case(
        "move_session",
        WORKER,
        "'session=shop&worker_id=' || (SELECT worker_id FROM wa.worker)",
        "EXISTS (SELECT FROM wa.move_request)",
    ),
    case(
        "move_sessions",
        "DELETE FROM wa.move_request",
        "'sessions=fresh&sessions=shop&worker_id=' || (SELECT worker_id FROM wa.worker)",
        "(SELECT count(*) = 2 FROM wa.move_request)",
    ),
    case("drain_worker", "", "'worker=' || (SELECT worker_id FROM wa.worker)", "EXISTS (SELECT FROM wa.drain_request)"),
    case(
        "rewind_consumer",
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message, media) SELECT name, session_id, '1@s.whatsapp.net', '1@s.whatsapp.net', 'A', 'image', '', false, now(), '{}', '{}' FROM wa.session WHERE name = 'shop'; SELECT wa.add_consumer('crm', 'shop')",
        "'name=crm&since=2026-01-01T00:00'",
        "EXISTS (SELECT FROM wa.unread)",
    ),
    case("drop_consumer", "", "'name=crm'", "NOT EXISTS (SELECT FROM wa.consumer)"),
    case(
        "download",
        "",
        "'inbox_id=' || (SELECT max(id) FROM wa.inbox)",
        "EXISTS (SELECT FROM wa.session_job WHERE kind = 'download')",
    ),
    case(
        "test_webhook",
        "SELECT wa.add_webhook('hook', 'http://127.0.0.1:9', '{*}')",
        "'name=hook'",
        "EXISTS (SELECT FROM wa.delivery)",
    ),
    case("rotate_webhook", "", "'name=hook'", "EXISTS (SELECT FROM wa.webhook_secret WHERE expires_at IS NOT NULL)"),
    case("replay_webhook", "", "'name=hook&since=2026-01-01T00:00'", "EXISTS (SELECT FROM wa.webhook_replay)"),
    case("disable_webhook", "", "'name=hook'", "(SELECT disabled_at IS NOT NULL FROM wa.webhook)"),
    case("enable_webhook", "", "'name=hook'", "(SELECT disabled_at IS NULL FROM wa.webhook)"),
];

/// The names of all acts, and of those that need an admin. Those that only show their call are none.
fn acts() -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut all, mut of_admins) = (BTreeSet::new(), BTreeSet::new());
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/screens")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            for rest in text.split(": Act =").skip(1) {
                let name = rest.split("name: \"").nth(1).and_then(|rest| rest.split('"').next()).context("no name")?;
                let scope =
                    rest.split("scope: Scope::").nth(1).and_then(|rest| rest.split(',').next()).context("no scope")?;
                if scope == "Admin" {
                    of_admins.insert(name.to_owned());
                }
                if scope != "Viewer" && !name.starts_with("why") {
                    all.insert(name.to_owned());
                }
            }
        }
    }
    Ok((all, of_admins))
}

async fn holds(db: &TestDb, condition: &str) -> Result<bool> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {condition}"));
    Ok(sqlx::query_scalar::<_, Option<bool>>(sql).fetch_one(&db.pool).await?.unwrap_or(false))
}

#[tokio::test]
async fn h2_every_act_has_its_effect_and_is_refused_to_lower_scopes() -> Result<()> {
    let (all, of_admins) = acts()?;
    ensure!(all == CASES.iter().map(|case| case.name.to_owned()).collect(), "other acts: {all:?}");
    let db = db::fresh().await;
    let linked = "SELECT wa.add_session('shop'), wa.add_session('fresh');
                  UPDATE wa.session SET status = 'linking' WHERE name = 'shop';
                  UPDATE wa.session SET jid = '15550001@s.whatsapp.net', phone = '15550001', status = 'connected' WHERE name = 'shop'";
    sqlx::raw_sql(linked).execute(&db.pool).await?;
    let pages = Pages::start(&db).await?;
    let mut cookies = vec![];
    for scope in ["viewer", "operator", "admin"] {
        cookies.push(pages.sign_in(&token(&db, scope, scope, None).await?).await?);
    }
    for case in CASES {
        let name = case.name;
        sqlx::raw_sql(case.before).execute(&db.pool).await.context(name)?;
        let form = sqlx::AssertSqlSafe(format!("SELECT {}", case.form));
        let form: String = sqlx::query_scalar(form).fetch_one(&db.pool).await.context(name)?;
        let path = format!("/act/{name}");
        let least = if of_admins.contains(name) { 2 } else { 1 };
        for cookie in &cookies[..least] {
            let answer = pages.post(&path, cookie, &form).await?;
            ensure!(answer.status == 403, "{name} for a scope that is too low: {answer:?}");
        }
        ensure!(!holds(&db, case.done).await.context(name)?, "{name}: done before");
        let answer = pages.post(&path, &cookies[least], &form).await?;
        ensure!(answer.status == 200 && answer.body.contains("\"ok\":true"), "{name}: {answer:?}");
        ensure!(holds(&db, case.done).await.context(name)?, "{name}: no effect");
    }
    let answer = pages.post("/act/pause_sessions", &cookies[1], "").await?;
    ensure!(answer.status == 409 && answer.body.contains("Pick sessions first."), "{answer:?}");
    // A call that finds nothing to do is no success.
    let answer = pages.post("/act/cancel_message", &cookies[1], "id=1").await?;
    ensure!(
        answer.status == 409 && answer.body.contains("Not cancelled") && answer.body.contains("\"ok\":false"),
        "{answer:?}"
    );
    pages.stop().await;
    Ok(())
}
