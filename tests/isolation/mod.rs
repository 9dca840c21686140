//! Q14, R9: nothing of a tenant reaches another one: rights of functions, rows, and ids.

mod functions;
mod rows;

use crate::support::db::TestDb;
use crate::support::logins::{expect, login, run, two_tenants};
use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::BTreeSet;

/// Rows of every table, the same for both tenants. The session, the schedule and the consumer of a tenant have its name.
const ROWS: &str = "
    -- Numbers that no code of an error has.
    ALTER TABLE wa.session ALTER session_id RESTART WITH 770001;
    ALTER TABLE wa.outbound ALTER id RESTART WITH 770101;
    ALTER TABLE wa.inbox ALTER id RESTART WITH 770201;
    ALTER TABLE wa.session_job ALTER id RESTART WITH 770301;
    ALTER TABLE wa.media ALTER media_id RESTART WITH 770401;
    ALTER TABLE wa.download_rule ALTER rule_id RESTART WITH 770501;
    SELECT wa.add_tenant('acme'), wa.add_tenant('bolt');
    SELECT wa.add_session('acme', 'acme'), wa.add_session('bolt', 'bolt');
    UPDATE wa.session SET jid = name || '@s.whatsapp.net', desired = 'connected', status = 'linking', qr = name, code = name;
    SELECT wa.set_proxy(name, 'http://' || name || ':p@10.0.0.7:1080'), wa.set_pacing(name, per_minute => 5) FROM wa.session;
    INSERT INTO wa.passkey (session_id, session, stage, request, code, expires_at)
        SELECT session_id, name, 'code', '{}', name, now() + interval '1 hour' FROM wa.session;
    INSERT INTO wa.auth (session_id, creds) SELECT session_id, '{}' FROM wa.session;
    INSERT INTO wa.auth_key (session_id, kind, key_id, value) SELECT session_id, 'pre-key', '1', '{}' FROM wa.session;
    INSERT INTO wa.outbound (session, recipient, body, campaign) SELECT name, '15550001', name, 'of ' || name FROM wa.session;
    UPDATE wa.outbound SET status = 'failed', failed_at = now(), sent_at = now();
    SELECT wa.send_text(name, '15550001', name) FROM wa.session;
    SELECT wa.pause_campaign(name, 'of ' || name) FROM wa.session;
    INSERT INTO wa.receipt (session_id, outbound_id, participant, delivered_at) SELECT session_id, id, session, now() FROM wa.outbound;
    INSERT INTO wa.contacted (session_id, chat) SELECT session_id, name FROM wa.session;
    INSERT INTO wa.media (tenant, sha256, size, data) SELECT tenant, sha256(tenant::bytea), 4, tenant::bytea FROM wa.session;
    INSERT INTO wa.upload (session_id, kind, sha256, message) SELECT session_id, 'image', sha256(name::bytea), '{}' FROM wa.session;
    SELECT wa.add_download_rule(name) FROM wa.session;
    INSERT INTO wa.past (session_id, session, chat, sender, message_id, kind, from_me, sent_at, message)
        SELECT session_id, name, name, name, 'P', 'text', false, now(), '{}' FROM wa.session;
    INSERT INTO wa.chat_timer (session_id, chat, seconds, set_at) SELECT session_id, name, 86400, now() FROM wa.session;
    INSERT INTO wa.quarantine (session, session_id, source, code, reason, data)
        SELECT name, session_id, 'message', '22P02', name, name::bytea FROM wa.session;
    INSERT INTO wa.numbers (session_id, at, span, sent) SELECT session_id, now(), 'hour', 1 FROM wa.session;
    INSERT INTO wa.numbers (tenant, at, span, sent) SELECT tenant, now(), 'hour', 1 FROM wa.session;
    INSERT INTO wa.numbers (session_id, campaign, at, span, sent) SELECT session_id, 'of ' || name, now(), 'hour', 1 FROM wa.session;
    INSERT INTO wa.numbers (at, span, sent) VALUES (now(), 'hour', 2);
    INSERT INTO wa.campaign_waiting (session_id, campaign, waiting, held, failed) SELECT session_id, 'of ' || name, 1, 1, 1 FROM wa.session;
    SELECT wa.schedule(name, '0 1 * * *', 'close', session => name) FROM wa.session;
    INSERT INTO wa.schedule_tick (schedule_id, tick, outcome) SELECT schedule_id, now(), 'fired' FROM wa.schedule WHERE session IS NOT NULL;
    INSERT INTO wa.maintenance_job (kind) VALUES ('retention');
    INSERT INTO wa.maintenance_job (kind, args, tenants) SELECT 'retry_failed', '{}', ARRAY[tenant] FROM wa.session;
    INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES (gen_random_uuid(), 'h', 1, '1', now() + interval '1 hour');
    INSERT INTO wa.move_request (session_id, worker_id) SELECT session_id, worker_id FROM wa.session, wa.worker;
    INSERT INTO wa.auth_home (home, system_identifier, database_oid, timeline) VALUES (1, 1, 1, 1);
    SELECT wa.register_web('https://wa.example.com');
    SELECT wa.add_token(name, 'operator', name), wa.link_url(name) FROM wa.session;
    INSERT INTO wa.company (salon_id, session_id, tenant, name) SELECT 770600 + session_id, session_id, tenant, name FROM wa.session;
    INSERT INTO wa.company_watch (company_id, until) SELECT company_id, now() + interval '1 hour' FROM wa.company;
    INSERT INTO wa.company_numbers (company_id, day) SELECT company_id, '2026-01-01' FROM wa.company;
    INSERT INTO wa.partner_call (company_id, kind, last_error) SELECT company_id, 'callback', name FROM wa.company;
    INSERT INTO wa.partner_key (call_id, value) SELECT call_id, to_jsonb(last_error) FROM wa.partner_call;
    INSERT INTO wa.partner_hook (company_id, event, entered_at) SELECT company_id, 'freeze', entered_at FROM wa.company;
    SELECT wa.connect(name) FROM wa.session";

/// What workers write for webhooks.
const WEBHOOKS: &str = "
    INSERT INTO wa.webhook_lease (webhook_id, last_error) SELECT webhook_id, name FROM wa.webhook;
    INSERT INTO wa.webhook_numbers (webhook_id, at, delivered) SELECT webhook_id, now(), 1 FROM wa.webhook;
    SELECT wa.replay_webhook(name, now() - interval '1 day') FROM wa.webhook";

/// Received messages, inserted after the consumers were added.
const MESSAGES: &str =
    "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message, media)
     SELECT name, session_id, name, name, 'M', 'image', false, now(), '{}', '{}' FROM wa.session";

/// Two tenants with rows in every table, and an application of each.
async fn filled() -> Result<(TestDb, PgPool, PgPool)> {
    let db = crate::support::db::fresh().await;
    run(&db.pool, ROWS).await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    for (app, name) in [(&acme, "acme"), (&bolt, "bolt")] {
        let add =
            format!("SELECT wa.add_consumer('{name}'), wa.add_webhook('{name}', 'http://{name}.example.com', '{{*}}')");
        run(app, &add).await?;
    }
    run(&db.pool, MESSAGES).await?;
    run(&db.pool, WEBHOOKS).await?;
    Ok((db, acme, bolt))
}

async fn texts(pool: &PgPool, sql: &str) -> Result<BTreeSet<String>> {
    let found: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.with_context(|| sql.to_owned())?;
    Ok(found.into_iter().collect())
}

async fn id(pool: &PgPool, sql: &str) -> Result<i64> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.with_context(|| sql.to_owned())
}

#[tokio::test]
async fn m5_r9_the_consumers_of_a_tenant_cost_no_other_tenant() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    expect(
        &acme,
        &[
            ("SELECT wa.add_consumer('c', kinds => array_fill('text'::text, '{101}'))", Err("WA033")),
            ("SELECT wa.add_consumer('c', kinds => ARRAY[repeat('x', 6001)])", Err("WA033")),
            ("SELECT wa.add_consumer('c' || n) FROM generate_series(1, 100) n", Ok(100)),
            ("SELECT wa.add_consumer('c101')", Err("WA033")),
        ],
    )
    .await?;
    expect(&bolt, &[("SELECT wa.add_consumer('c1')", Ok(1))]).await?;
    // Many more, as if there were many such tenants.
    run(
        &db.pool,
        "INSERT INTO wa.consumer (name, tenants) SELECT 'x' || n, ARRAY['t' || n % 200] FROM generate_series(1, 20000) n; ANALYZE wa.consumer",
    )
    .await?;
    let mut one = db.pool.begin().await?;
    sqlx::raw_sql(
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message)
         SELECT name, session_id, name, name, 'N', 'text', false, now(), '{}' FROM wa.session WHERE name = 'b'",
    )
    .execute(&mut *one)
    .await?;
    let read: i64 = sqlx::query_scalar(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'wa.consumer'::regclass",
    )
    .fetch_one(&mut *one)
    .await?;
    ensure!(read < 100, "{read} consumers were read");
    let unread: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.unread").fetch_one(&mut *one).await?;
    ensure!(unread == 1, "{unread}");
    Ok(())
}

#[tokio::test]
async fn q10_r9_a_tenant_has_so_many_schedules() -> Result<()> {
    let db = two_tenants().await?;
    let acme = login(&db, "wa_app", Some("acme")).await?;
    let add = |from: u32, to: u32| {
        format!(
            "INSERT INTO wa.schedule (name, cron, kind, session) SELECT 's' || n, '* * * * *', 'close', 'a' FROM generate_series({from}, {to}) n"
        )
    };
    expect(&acme, &[(&add(1, 1001), Err("WA025")), (&add(1, 1000), Ok(0)), (&add(1001, 1001), Err("WA025"))]).await
}
