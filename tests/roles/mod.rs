//! Q14: the rights of each role, tested by connecting as it.

mod administrators;

use crate::support::db::fresh;
use crate::support::logins::{DENIED, expect, login, outcome, run, two_tenants};
use anyhow::{Context as _, Result, ensure};
use sqlx::{PgPool, Row as _};

#[tokio::test]
async fn q14_an_application_sends_and_sees_only_for_its_tenant() -> Result<()> {
    let db = two_tenants().await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    expect(
        &app,
        &[
            ("SELECT FROM wa.session", Ok(1)),
            ("SELECT FROM wa.outbound", Ok(1)),
            ("SELECT FROM wa.tenant", Ok(1)),
            ("SELECT FROM wa.queue WHERE session = 'a'", Ok(1)),
            ("SELECT FROM wa.queue WHERE session = 'b'", Ok(0)),
            (
                "INSERT INTO wa.outbound (session, recipient, body) VALUES ('a', '+15550002', 'Hello') RETURNING id",
                Ok(1),
            ),
            ("SELECT wa.send_text('a', '15550001', 'Hello', dedupe_key => 'one', priority => 5)", Ok(1)),
            ("INSERT INTO wa.outbound (session, recipient, body) VALUES ('b', '+15550002', 'Hello')", Err("WA001")),
            ("SELECT wa.send_text('b', '15550001', 'Hello')", Err("WA001")),
            ("INSERT INTO wa.session_job (session, kind) VALUES ('a', 'close') RETURNING id", Ok(1)),
            ("SELECT wa.link('a'), wa.close('a')", Ok(1)),
            ("SELECT wa.cancel_session_job((SELECT id FROM wa.session_job WHERE status = 'queued' LIMIT 1))", Ok(1)),
            ("SELECT wa.retry_session_job((SELECT min(id) FROM wa.session_job WHERE status = 'cancelled'))", Ok(1)),
            (
                "SELECT wa.retry_session_job((SELECT id FROM wa.session_job WHERE status = 'queued' LIMIT 1))",
                Err("WA024"),
            ),
            ("SELECT wa.close('b')", Err("WA001")),
            ("SELECT wa.pause('a'), wa.resume('a'), wa.set_pacing('a', per_minute => 5), wa.clear_pacing('a')", Ok(1)),
            ("SELECT wa.pause('b')", Err("WA001")),
            ("SELECT wa.set_pacing('b', per_minute => 5)", Err("WA001")),
            ("SELECT wa.set_crypto_limits('a'), wa.set_proxy('a', 'http://u:p@10.0.0.7:1080')", Ok(1)),
            ("SELECT url FROM wa.proxy", DENIED),
            ("SELECT wa.set_crypto_limits('b')", Err("WA001")),
            ("SELECT WHERE wa.cancel((SELECT min(id) FROM wa.outbound))", Ok(1)),
            (
                r#"SELECT wa.schedule('morning', '0 8 * * *', 'text', '{"recipient":"15550001","body":"Hi"}', 'a')"#,
                Ok(1),
            ),
            ("SELECT wa.schedule('morning', '0 9 * * *', time_zone => 'Europe/Berlin')", Ok(1)),
            ("SELECT wa.disable_schedule('morning'), wa.enable_schedule('morning')", Ok(1)),
            ("SELECT FROM wa.schedule WHERE session = 'a'", Ok(1)),
            ("SELECT wa.unschedule('morning')", Ok(1)),
            ("SELECT wa.schedule('evening', '0 18 * * *', 'close', session => 'b')", Err("WA001")),
            ("SELECT FROM wa.schedule WHERE name = 'retention'", Ok(1)),
            // Refused from here on.
            ("SELECT wa.schedule('sweeping', '* * * * *', 'sweep_keys')", DENIED),
            ("DELETE FROM wa.schedule WHERE name = 'retention'", DENIED),
            ("DO $$ BEGIN LOCK TABLE wa.schedule IN SHARE MODE; END $$", DENIED),
            ("SELECT wa.unschedule('retention')", DENIED),
            ("SELECT wa.disable_schedule('retention')", DENIED),
            ("SELECT FROM wa.schedule WHERE name = 'retention'", Ok(1)),
            ("UPDATE wa.schedule SET enabled = false WHERE name = 'retention' RETURNING name", Ok(0)),
            ("UPDATE wa.schedule SET last_job = 1", DENIED),
            ("SELECT FROM wa.schedule_tick", DENIED),
            ("SELECT FROM wa.auth", DENIED),
            ("SELECT FROM wa.auth_key", DENIED),
            ("SELECT FROM wa.lease", DENIED),
            ("SELECT FROM wa.worker", DENIED),
            ("SELECT tokens FROM wa.sending", DENIED),
            ("SELECT FROM wa.maintenance_job", DENIED),
            ("SELECT FROM wa.tenant_member", DENIED),
            ("SELECT wa.run_now('retention')", DENIED),
            ("SELECT wa.reset_ratchets(1, 'x')", DENIED),
            ("SELECT wa.must_send()", DENIED),
            ("INSERT INTO wa.maintenance_job (kind) VALUES ('sweep_keys')", DENIED),
            ("SELECT wa.add_session('c')", DENIED),
            ("SELECT wa.add_tenant('c')", DENIED),
            ("SELECT wa.pause_tenant('acme')", DENIED),
            ("SELECT wa.grant_tenant(current_user, 'bolt')", DENIED),
            ("UPDATE wa.outbound SET status = 'sent'", DENIED),
            ("UPDATE wa.session SET tenant = 'bolt'", DENIED),
            ("DELETE FROM wa.outbound", DENIED),
            (
                "INSERT INTO wa.outbound (session, recipient, body, status) VALUES ('a', '+15550002', 'x', 'sent')",
                DENIED,
            ),
            (
                "INSERT INTO wa.outbound (session, recipient, body, session_id) VALUES ('a', '+15550002', 'x', 2)",
                DENIED,
            ),
            ("CREATE TABLE wa.mine ()", DENIED),
            ("TRUNCATE wa.outbound", DENIED),
            ("SET ROLE wa_worker", DENIED),
        ],
    )
    .await
}

#[tokio::test]
async fn q14_a_refusal_names_the_roles_that_may() -> Result<()> {
    let db = two_tenants().await?;
    for role in ["wa_app", "wa_readonly"] {
        let own = login(&db, role, Some("acme")).await?;
        for (sql, may_not) in [
            ("SELECT wa.add_session('c')", "may not add sessions"),
            ("SELECT wa.run_now('retention')", "may not run schedules by hand"),
            ("SELECT wa.schedule('sweeping', '* * * * *', 'sweep_keys')", "may not schedule sweep_keys"),
        ] {
            // A reader makes no schedule at all.
            if role == "wa_readonly" && sql.contains("wa.schedule") {
                continue;
            }
            let refused = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&own).await;
            let refused = refused.err().and_then(sqlx::Error::into_database_error).context(sql)?;
            let refused = refused.downcast_ref::<sqlx::postgres::PgDatabaseError>();
            ensure!(refused.code() == "42501" && refused.message().contains(may_not), "{sql}: {refused}");
            let hint = refused.hint().unwrap_or_default();
            ensure!(hint.contains("wa_admin") && hint.contains("wa_worker"), "{sql}: {hint}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn q14_messages_and_jobs_of_other_tenants_do_not_exist_for_an_application() -> Result<()> {
    let db = two_tenants().await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    run(&db.pool, "SELECT wa.schedule('of_bolt', '0 18 * * *', 'close', session => 'b')").await?;
    let job: i64 = sqlx::query("SELECT wa.close('b') AS id").fetch_one(&db.pool).await?.try_get(0)?;
    let others: i64 =
        sqlx::query("SELECT id FROM wa.outbound WHERE session = 'b'").fetch_one(&db.pool).await?.try_get(0)?;
    expect(
        &app,
        &[
            ("SELECT FROM wa.schedule WHERE name = 'of_bolt'", Ok(0)),
            ("SELECT wa.unschedule('of_bolt')", Err("WA025")),
            (&format!("SELECT WHERE wa.cancel({others})"), Ok(0)),
            (&format!("SELECT WHERE wa.retry({others})"), Ok(0)),
            (&format!("SELECT wa.cancel_session_job({job})"), Err("WA024")),
            (&format!("SELECT wa.retry_session_job({job})"), Err("WA024")),
            ("SELECT wa.unpace(1)", DENIED),
        ],
    )
    .await?;
    let untouched = "SELECT FROM wa.outbound WHERE session = 'b' AND status = 'queued'";
    ensure!(outcome(&db.pool, untouched).await == Ok(1), "a message of another tenant was touched");
    Ok(())
}

#[tokio::test]
async fn q14_a_role_without_a_tenant_sees_nothing() -> Result<()> {
    let db = two_tenants().await?;
    run(&db.pool, "SELECT wa.add_session('d', 'default'), wa.add_consumer('all')").await?;
    let nothing: &[(&str, Result<usize, &str>)] = &[
        ("SELECT FROM wa.session", Ok(0)),
        ("SELECT FROM wa.tenant", Ok(0)),
        ("SELECT FROM wa.outbound", Ok(0)),
        ("SELECT FROM wa.consumer", Ok(0)),
        ("SELECT FROM wa.schedule", Ok(0)),
        ("INSERT INTO wa.outbound (session, recipient, body) VALUES ('d', '+15550002', 'Hello')", Err("WA001")),
        ("SELECT wa.send_text('d', '15550001', 'Hello')", Err("WA001")),
        ("SELECT wa.add_consumer('crm')", DENIED),
        ("SELECT wa.add_download_rule()", DENIED),
        ("SELECT wa.pause('d')", DENIED),
    ];
    let app = login(&db, "wa_app", None).await?;
    expect(&app, nothing).await?;
    let name: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&app).await?;
    // The step that the documentation shows beside GRANT wa_app.
    run(&db.pool, &format!("SELECT wa.grant_tenant('{name}', 'default')")).await?;
    let default: &[(&str, Result<usize, &str>)] = &[
        ("SELECT FROM wa.session WHERE name = 'd'", Ok(1)),
        ("SELECT FROM wa.session", Ok(1)),
        ("SELECT wa.send_text('d', '15550001', 'Hello')", Ok(1)),
    ];
    expect(&app, default).await?;
    run(&db.pool, &format!("SELECT wa.revoke_tenant('{name}', 'default')")).await?;
    expect(&app, nothing).await?;
    // Nor does a role whose tenant was deleted fall back to another one.
    run(&db.pool, &format!("SELECT wa.add_tenant('brief'), wa.grant_tenant('{name}', 'brief')")).await?;
    expect(&app, &[("SELECT FROM wa.tenant", Ok(1))]).await?;
    run(&db.pool, "DELETE FROM wa.tenant WHERE tenant = 'brief'").await?;
    expect(&app, nothing).await
}

#[tokio::test]
async fn q14_a_new_session_gets_the_only_tenant_that_the_caller_sees() -> Result<()> {
    let db = two_tenants().await?;
    let tenant_of = async |session: &str| -> Result<String> {
        let tenant = sqlx::query_scalar("SELECT tenant FROM wa.session WHERE name = $1").bind(session);
        Ok(tenant.fetch_one(&db.pool).await?)
    };
    run(&db.pool, "SELECT wa.add_session('of_several'); GRANT INSERT ON wa.session, wa.lease, wa.sending TO wa_app")
        .await?;
    ensure!(tenant_of("of_several").await? == "default", "several tenants, and not the default one");
    run(
        &db.pool,
        "GRANT EXECUTE ON FUNCTION wa.add_session(text, text), wa.chosen_tenant(text), wa.caller() TO wa_app",
    )
    .await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    expect(&app, &[("SELECT wa.add_session('of_acme')", Ok(1)), ("SELECT wa.add_session('x', 'bolt')", Err("WA012"))])
        .await?;
    ensure!(tenant_of("of_acme").await? == "acme", "not the tenant of the caller");
    // A name that another tenant has: taken, and the error does not tell by whom.
    expect(&app, &[("SELECT wa.add_session('b')", Err("WA005")), ("SELECT wa.add_session('a')", Ok(1))]).await?;
    let name: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&app).await?;
    run(&db.pool, &format!("SELECT wa.grant_tenant('{name}', 'bolt')")).await?;
    let refused = format!("{:?}", sqlx::query("SELECT wa.add_session('of_both')").execute(&app).await);
    ensure!(refused.contains("sees several") && refused.contains("acme, bolt"), "{refused}");
    expect(&app, &[("SELECT wa.add_session('of_both', 'bolt')", Ok(1))]).await
}

#[tokio::test]
async fn q14_m5_a_consumer_reads_only_messages_of_its_tenant() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    run(&acme, "SELECT wa.add_consumer('crm')").await?;
    run(
        &db.pool,
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message)
         SELECT name, session_id, 'c', 'c', 'M', 'text', false, now(), '{}' FROM wa.session",
    )
    .await?;
    expect(
        &bolt,
        &[
            ("SELECT FROM wa.claim_messages('crm')", Err("WA033")),
            ("SELECT wa.drop_consumer('crm')", Err("WA033")),
            ("SELECT wa.add_consumer('a', 'a')", Err("WA001")),
            ("SELECT FROM wa.consumers", Ok(0)),
            ("INSERT INTO wa.unread VALUES (1, 1) RETURNING 1", DENIED),
        ],
    )
    .await?;
    expect(
        &acme,
        &[("SELECT FROM wa.claim_messages('crm') WHERE session = 'a'", Ok(1)), ("SELECT FROM wa.consumers", Ok(1))],
    )
    .await?;
    let reader = login(&db, "wa_readonly", Some("acme")).await?;
    expect(&reader, &[("SELECT FROM wa.claim_messages('crm')", DENIED), ("SELECT FROM wa.consumers", Ok(1))]).await
}

/// Names of consumers belong to the tenant: another tenant learns nothing of them and may use the same ones. A session
/// that goes to another tenant takes its unread messages out of reach.
#[tokio::test]
async fn q14_m5_each_tenant_has_consumers_of_its_own_names() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    run(&acme, "SELECT wa.add_consumer('crm')").await?;
    run(&bolt, "SELECT wa.add_consumer('crm')").await?;
    run(&db.pool, "SELECT wa.add_consumer('crm')").await?;
    expect(&acme, &[("SELECT wa.add_consumer('crm')", Err("WA033")), ("SELECT FROM wa.consumers", Ok(1))]).await?;
    let store = "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message)
                 SELECT name, session_id, 'c', 'c', gen_random_uuid()::text, 'text', false, now(), '{}' FROM wa.session";
    run(&db.pool, store).await?;
    expect(&acme, &[("SELECT FROM wa.claim_messages('crm') WHERE session = 'a'", Ok(1))]).await?;
    expect(&db.pool, &[("SELECT FROM wa.claim_messages('crm')", Ok(2))]).await?;
    // Before bolt has read its message, its session goes to acme.
    run(&db.pool, "UPDATE wa.session SET tenant = 'acme' WHERE name = 'b'").await?;
    expect(&bolt, &[("SELECT FROM wa.claim_messages('crm')", Ok(0))]).await?;
    run(&bolt, "SELECT wa.drop_consumer('crm')").await?;
    expect(&acme, &[("SELECT FROM wa.consumers", Ok(1))]).await?;
    // A role of both tenants means the only one of that name, or its own.
    let name: String = sqlx::query_scalar("SELECT session_user").fetch_one(&bolt).await?;
    run(&db.pool, &format!("SELECT wa.grant_tenant('{name}', 'acme')")).await?;
    expect(&bolt, &[("SELECT wa.acknowledge_messages('crm', '{}')", Ok(1)), ("SELECT wa.add_consumer('crm')", Ok(1))])
        .await
}

#[tokio::test]
async fn q14_m1_m6_files_belong_to_one_tenant() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    let media: i64 = sqlx::query_scalar("SELECT wa.add_media('a', 'a file')").fetch_one(&acme).await?;
    let large: i64 = sqlx::query_scalar("SELECT lo_from_bytea(0, 'a file')::bigint").fetch_one(&acme).await?;
    run(&acme, &format!("SELECT wa.send_document('a', '15550001', media => {media})")).await?;
    run(&acme, &format!("SELECT wa.send_document('a', '15550001', large_object => {large})")).await?;
    run(&acme, "SELECT wa.send_document('a', '15550001', data => 'other bytes'), wa.add_download_rule('a')").await?;
    run(
        &db.pool,
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message, media)
         SELECT name, session_id, 'c', 'c', 'M', 'image', false, now(), '{}', '{}' FROM wa.session WHERE name = 'a'",
    )
    .await?;
    expect(
        &bolt,
        &[
            (&format!("SELECT wa.send_document('b', '15550001', media => {media})"), Err("WA032")),
            (&format!("SELECT wa.send_document('b', '15550001', large_object => {large})"), Err("WA032")),
            ("SELECT FROM wa.media", Ok(0)),
            ("SELECT FROM wa.download_rule", Ok(0)),
            ("SELECT FROM wa.upload", DENIED),
            ("SELECT wa.add_media('a', 'x')", Err("WA001")),
            ("SELECT wa.add_download_rule('a')", Err("WA001")),
            ("SELECT wa.add_download_rule(tenant => 'acme')", Err("WA012")),
            ("SELECT FROM wa.remove_download_rule(1) gone WHERE gone", Ok(0)),
            ("SELECT wa.download(1)", Err("WA036")),
            ("DELETE FROM wa.media RETURNING 1", DENIED),
        ],
    )
    .await?;
    expect(
        &acme,
        &[
            ("SELECT FROM wa.media WHERE data IS NOT NULL", Ok(2)),
            ("SELECT wa.download(1)", Ok(1)),
            ("SELECT FROM wa.session_job WHERE kind = 'download'", Ok(2)),
            ("SELECT FROM wa.remove_download_rule(1) gone WHERE gone", Ok(1)),
        ],
    )
    .await?;
    let reader = login(&db, "wa_readonly", Some("acme")).await?;
    expect(&reader, &[("SELECT wa.add_media('a', 'x')", DENIED), ("SELECT wa.remove_download_rule(1)", DENIED)]).await
}

#[tokio::test]
async fn q14_readers_read_and_change_nothing() -> Result<()> {
    let db = two_tenants().await?;
    let reader = login(&db, "wa_readonly", Some("bolt")).await?;
    expect(
        &reader,
        &[
            ("SELECT FROM wa.session", Ok(1)),
            ("SELECT FROM wa.outbound", Ok(1)),
            ("SELECT FROM wa.failure", Ok(0)),
            ("SELECT FROM wa.schedule WHERE name = 'retention'", Ok(1)),
            ("SELECT wa.unschedule('retention')", DENIED),
            ("SELECT FROM wa.auth", DENIED),
            ("SELECT FROM wa.auth_key", DENIED),
            ("SELECT wa.send_text('b', '15550001', 'Hello')", DENIED),
            ("SELECT wa.link('b')", DENIED),
            ("SELECT wa.cancel(1)", DENIED),
            ("SELECT wa.cancel_all('b')", DENIED),
            ("SELECT wa.retry(1)", DENIED),
            ("SELECT wa.cancel_session_job(1)", DENIED),
            ("SELECT wa.retry_session_job(1)", DENIED),
            ("SELECT wa.pause('b')", DENIED),
            ("SELECT wa.resume('b')", DENIED),
            ("SELECT wa.set_pacing('b', per_minute => 1)", DENIED),
            ("SELECT wa.set_crypto_limits('b')", DENIED),
            ("SELECT url FROM wa.proxy", DENIED),
            ("SELECT wa.clear_pacing('b')", DENIED),
            ("UPDATE wa.session SET desired = 'connected'", DENIED),
        ],
    )
    .await
}

/// Only WhatsApp may see the answer of a passkey.
#[tokio::test]
async fn q14_s2_roles_see_a_passkey_without_its_answer() -> Result<()> {
    let db = two_tenants().await?;
    run(
        &db.pool,
        "INSERT INTO wa.passkey (session_id, session, stage, request, code, expires_at)
         SELECT session_id, name, 'code', '{}', 'ABCD-EFGH', now() + interval '1 hour' FROM wa.session",
    )
    .await?;
    for (role, rows) in [("wa_app", 1), ("wa_readonly", 1), ("wa_admin", 2)] {
        let who = login(&db, role, Some("acme")).await?;
        expect(
            &who,
            &[
                ("SELECT stage, request, code, error, expires_at FROM wa.passkey", Ok(rows)),
                ("SELECT answer FROM wa.passkey", DENIED),
                ("UPDATE wa.passkey SET stage = 'confirmed'", DENIED),
            ],
        )
        .await?;
    }
    let reader = login(&db, "wa_readonly", Some("bolt")).await?;
    expect(&reader, &[("SELECT wa.confirm_passkey('b', 'ABCD-EFGH')", DENIED)]).await?;
    let app = login(&db, "wa_app", Some("bolt")).await?;
    expect(
        &app,
        &[
            ("SELECT wa.answer_passkey('a', '{}')", Err("WA001")),
            ("SELECT wa.confirm_passkey('a', 'ABCD-EFGH')", Err("WA001")),
            ("SELECT wa.confirm_passkey('b', 'ABCD-EFGH')", Ok(1)),
        ],
    )
    .await
}

#[tokio::test]
async fn q14_a_login_without_a_role_sees_nothing() -> Result<()> {
    let db = two_tenants().await?;
    let url = url::Url::parse(&db.url)?;
    let name = format!("stranger_of_{}", url.path().trim_start_matches('/'));
    run(&db.pool, &format!(r#"CREATE ROLE "{name}" LOGIN"#)).await?;
    let mut url = url;
    url.set_username(&name).map_err(|()| anyhow::anyhow!("no user name"))?;
    let stranger = PgPool::connect(url.as_str()).await?;
    expect(
        &stranger,
        &[("SELECT FROM wa.outbound", DENIED), ("SELECT wa.cancel(1)", DENIED), ("SELECT wa.add_session('x')", DENIED)],
    )
    .await
}

/// The comments are the manual that psql shows.
#[tokio::test]
async fn q2_everything_in_the_schema_has_a_comment() -> Result<()> {
    let db = fresh().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT 'function ' || p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
         UNION ALL
         SELECT 'table ' || c.oid::regclass FROM pg_class c
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND obj_description(c.oid, 'pg_class') IS NULL
         UNION ALL
         SELECT 'column ' || c.oid::regclass || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
           AND col_description(c.oid, a.attnum) IS NULL
         UNION ALL
         SELECT 'type ' || t.oid::regtype FROM pg_type t
         WHERE t.typnamespace = 'wa'::regnamespace AND t.typtype = 'e' AND obj_description(t.oid, 'pg_type') IS NULL",
    )
    .fetch_all(&db.pool)
    .await?;
    ensure!(silent.is_empty(), "without a comment: {silent:#?}");
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT p.oid::regprocedure::text FROM pg_proc p
         WHERE p.pronamespace = 'wa'::regnamespace AND p.prosqlbody IS NULL
           AND NOT coalesce(array_to_string(p.proconfig, ','), '') LIKE '%search_path=%'",
    )
    .fetch_all(&db.pool)
    .await?;
    ensure!(loose.is_empty(), "without a search_path of its own: {loose:?}");
    Ok(())
}
