//! Q14, R9: nothing of a tenant reaches another one: rights of functions, rows, and ids.

use crate::support::db::TestDb;
use crate::support::logins::{DENIED, expect, login, run, two_tenants, web_login};
use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
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
    INSERT INTO wa.campaign_waiting (session_id, campaign, waiting, held) SELECT session_id, 'of ' || name, 1, 1 FROM wa.session;
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
async fn r9_q14_the_catalog_grants_functions_as_the_list_says() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let wrong = texts(
        &db.pool,
        "WITH wanted AS (
             SELECT g.function, role::text AS role FROM wa.function_grants() g, unnest(g.roles) role
         ), given AS (
             SELECT p.oid::regprocedure::text AS function, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
             FROM pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
             WHERE p.pronamespace = 'wa'::regnamespace AND a.grantee <> p.proowner
         )
         SELECT format('%s has no line in 80_function_grants.sql', p.oid::regprocedure) FROM pg_proc p
         WHERE p.pronamespace = 'wa'::regnamespace AND p.oid::regprocedure::text NOT IN (SELECT g.function FROM wa.function_grants() g)
         UNION ALL
         SELECT format('80_function_grants.sql has a line for %s, which does not exist', g.function) FROM wa.function_grants() g
         WHERE g.function NOT IN (SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace)
         UNION ALL
         SELECT format('%s stands %s times in 80_function_grants.sql', g.function, count(*)) FROM wa.function_grants() g
         GROUP BY g.function HAVING count(*) > 1
         UNION ALL
         SELECT format('%s may execute %s, which the list does not say', role, function) FROM (TABLE given EXCEPT TABLE wanted) more
         UNION ALL
         SELECT format('%s may not execute %s, which the list says', role, function) FROM (TABLE wanted EXCEPT TABLE given) less
         UNION ALL
         SELECT format('%s may execute the trigger %s', role, function) FROM given
         WHERE function::regprocedure::oid IN (SELECT p.oid FROM pg_proc p WHERE p.prorettype = 'trigger'::regtype)",
    )
    .await?;
    ensure!(wrong.is_empty(), "{wrong:#?}");
    // A grant beside the list does not outlive the next migrate; one to an operator's own role does.
    run(
        &db.pool,
        &format!(
            "GRANT EXECUTE ON FUNCTION wa.must_send() TO PUBLIC, wa_app;
             REVOKE EXECUTE ON FUNCTION wa.cancel(bigint) FROM wa_app;
             CREATE ROLE {own}; GRANT EXECUTE ON FUNCTION wa.must_send() TO {own}",
            own = own_role(&db)?
        ),
    )
    .await?;
    wagres::db::migrate::migrate(&db.pool).await?;
    let after = texts(
        &db.pool,
        "SELECT a.grantee::regrole::text FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
         WHERE p.oid = 'wa.must_send()'::regprocedure AND a.grantee <> p.proowner",
    )
    .await?;
    ensure!(after == BTreeSet::from([own_role(&db)?]), "{after:?}");
    let mended = "SELECT has_function_privilege('wa_app', 'wa.cancel(bigint)', 'EXECUTE')";
    ensure!(sqlx::query_scalar::<_, bool>(mended).fetch_one(&db.pool).await?, "wa_app lost wa.cancel");
    Ok(())
}

fn own_role(db: &TestDb) -> Result<String> {
    Ok(format!("own_of_{}", url::Url::parse(&db.url)?.path().trim_start_matches('/')))
}

/// A trigger of one's own with the rights of the schema's owner would write rows for other tenants' messages.
#[tokio::test]
async fn r9_q14_nobody_makes_a_trigger_of_the_schemas_functions() -> Result<()> {
    let (db, acme, _) = filled().await?;
    run(&acme, "SELECT wa.add_consumer('e'); CREATE TEMPORARY TABLE bait (session_id bigint, id bigint, kind text)")
        .await?;
    let triggers = texts(
        &db.pool,
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace AND p.prorettype = 'trigger'::regtype",
    )
    .await?;
    ensure!(triggers.contains("wa.inbox_consumed()"), "{triggers:?}");
    for trigger in &triggers {
        let statement = format!(
            "CREATE TRIGGER t AFTER INSERT ON bait REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION {trigger}"
        );
        expect(&acme, &[(&statement, DENIED)]).await?;
    }
    let foreign = id(&db.pool, "SELECT id FROM wa.inbox WHERE session = 'bolt'").await?;
    let bait = format!("INSERT INTO bait SELECT session_id, {foreign}, 'text' FROM wa.session RETURNING 1");
    expect(&acme, &[(&bait, Ok(1)), ("SELECT FROM wa.claim_messages('e')", Ok(0))]).await?;
    Ok(())
}

/// Each trigger function with its owner's rights, on a table that looks like its own, whoever attached it.
#[tokio::test]
async fn r9_q14_a_trigger_with_its_owners_rights_refuses_every_table_but_its_own() -> Result<()> {
    let (db, ..) = filled().await?;
    let triggers: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT t.tgrelid::regclass::text, t.tgname::text, pg_get_triggerdef(t.oid)
         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE p.pronamespace = 'wa'::regnamespace AND p.prosecdef AND NOT t.tgisinternal AND t.tgparentid = 0",
    )
    .fetch_all(&db.pool)
    .await?;
    let attached: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace AND p.prosecdef AND p.prorettype = 'trigger'::regtype
           AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)",
    )
    .fetch_one(&db.pool)
    .await?;
    ensure!(attached == 0, "{attached} trigger functions have no trigger, so this test does not see them");
    ensure!(triggers.len() > 3, "{triggers:?}");
    let mut open = vec![];
    for (table, name, definition) in &triggers {
        let mut connection = db.pool.acquire().await?.detach();
        // With the columns of its table and without a condition, so that only the guard can refuse.
        let (head, call) = definition.split_once(" EXECUTE FUNCTION ").context("a function")?;
        let head = head.split_once(" WHEN (").map_or(head, |(head, _)| head);
        let bait = format!(
            "CREATE TEMPORARY TABLE bait (LIKE {table} INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING IDENTITY);
             {} EXECUTE FUNCTION {call}",
            head.replacen(&format!(" ON {table} "), " ON bait ", 1)
        );
        sqlx::raw_sql(AssertSqlSafe(bait.clone())).execute(&mut connection).await.with_context(|| bait.clone())?;
        let columns = "SELECT string_agg(format('ALTER COLUMN %I DROP NOT NULL', attname), ', ') FROM pg_attribute
                       WHERE attrelid = 'bait'::regclass AND attnum > 0 AND attnotnull AND attidentity = ''";
        let columns: Option<String> = sqlx::query_scalar(columns).fetch_one(&mut connection).await?;
        if let Some(columns) = columns {
            sqlx::raw_sql(AssertSqlSafe(format!("ALTER TABLE bait {columns}"))).execute(&mut connection).await?;
        }
        let fire = if definition.contains(" INSERT ") {
            "INSERT INTO bait DEFAULT VALUES".to_owned()
        } else {
            // The row is older than the trigger.
            let column = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'bait'::regclass AND attnum > 0
                          AND attgenerated = '' AND attidentity = '' LIMIT 1";
            let column: String = sqlx::query_scalar(column).fetch_one(&mut connection).await?;
            let row = "ALTER TABLE bait DISABLE TRIGGER USER; INSERT INTO bait DEFAULT VALUES; ALTER TABLE bait ENABLE TRIGGER USER";
            sqlx::raw_sql(row).execute(&mut connection).await?;
            // A column for which it fires.
            let column = definition
                .split_once(" UPDATE OF ")
                .and_then(|(_, columns)| columns.split([',', ' ']).next())
                .map_or(column, str::to_owned);
            if definition.contains(" UPDATE ") {
                format!("UPDATE bait SET {column} = {column}")
            } else {
                "DELETE FROM bait".to_owned()
            }
        };
        let refused = sqlx::raw_sql(AssertSqlSafe(fire)).execute(&mut connection).await;
        let code = refused
            .as_ref()
            .err()
            .and_then(sqlx::Error::as_database_error)
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        if code.as_deref() != Some("42501") {
            open.push(format!("{name} of {table}: {refused:?}"));
        }
    }
    ensure!(open.is_empty(), "triggers that act for another table:\n{}", open.join("\n"));
    Ok(())
}

/// Tables whose rows belong to no tenant: numbers of countries, the fleet's processes, the server's identity, the schema.
const FLEET: [&str; 11] = [
    "wa.partner",
    "wa.auth_home",
    "wa.drain_request",
    "wa.numbers_batch",
    "wa.region",
    "wa.restore_request",
    "wa.schema_state",
    "wa.sealing",
    "wa.web",
    "wa.witness",
    "wa.worker",
];

#[tokio::test]
async fn r9_q14_every_table_has_row_security_or_is_of_the_fleet_or_secret() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let open = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
           AND EXISTS (SELECT FROM unnest('{wa_app,wa_admin,wa_readonly}'::text[]) r WHERE has_any_column_privilege(r, c.oid, 'SELECT, INSERT, UPDATE'))",
    )
    .await?;
    // Numbers of countries are no secret. The others of the fleet keep web roles without a token out.
    ensure!(open == BTreeSet::from(["wa.region".to_owned()]), "{open:?}");
    let all = texts(
        &db.pool,
        "SELECT p.polrelid::regclass::text FROM pg_policy p WHERE p.polname = 'fleet' UNION ALL SELECT 'wa.region'",
    )
    .await?;
    ensure!(all == FLEET.map(str::to_owned).into(), "{all:?}");
    let views = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind = 'v'
           AND NOT coalesce(array_to_string(c.reloptions, ',') ~ 'security_invoker=(on|true)', false)",
    )
    .await?;
    // The first counts keys that its readers may not see, the second has jobs of the housekeeping; both filter by tenant.
    let filtering = BTreeSet::from(["wa.auth_size", "wa.retries"].map(str::to_owned));
    ensure!(views == filtering, "with their owner's rights: {views:?}");
    let public = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
         WHERE c.relnamespace = 'wa'::regnamespace AND a.grantee = 0",
    )
    .await?;
    ensure!(public.is_empty(), "granted to PUBLIC: {public:?}");
    Ok(())
}

/// What the caller may read of each table and view, as a query that gives each row as text.
const READABLE: &str = "
    SELECT c.oid::regclass::text AS relation, format('SELECT r::text FROM (SELECT %s FROM %s t%s) r',
               string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum), c.oid::regclass,
               -- Schedules without a session do the housekeeping for all.
               CASE WHEN c.oid = 'wa.schedule'::regclass THEN ' WHERE t.session IS NOT NULL' ELSE '' END) AS query
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_column_privilege(c.oid, a.attnum, 'SELECT')
    GROUP BY c.oid";

#[tokio::test]
async fn r9_q14_every_table_and_view_shows_a_tenant_its_own_rows() -> Result<()> {
    let (db, acme, bolt) = filled().await?;
    let readers = (login(&db, "wa_readonly", Some("acme")).await?, login(&db, "wa_readonly", Some("bolt")).await?);
    let viewers = (web_login(&db, "viewer", Some("acme")).await?, web_login(&db, "viewer", Some("bolt")).await?);
    let operators = (web_login(&db, "operator", Some("acme")).await?, web_login(&db, "operator", Some("bolt")).await?);
    for (role, one, other) in [
        ("wa_app", &acme, &bolt),
        ("wa_readonly", &readers.0, &readers.1),
        ("wa_web_viewer", &viewers.0, &viewers.1),
        ("wa_web_operator", &operators.0, &operators.1),
    ] {
        let readable = sqlx::query(READABLE).fetch_all(one).await?;
        ensure!(readable.len() > 20, "{role} reads {} relations", readable.len());
        for relation in readable {
            let (name, query): (String, String) = (relation.try_get(0)?, relation.try_get(1)?);
            let (of_one, of_other) = (texts(one, &query).await?, texts(other, &query).await?);
            if FLEET.contains(&name.as_str()) {
                continue;
            }
            let both: Vec<_> = of_one.intersection(&of_other).collect();
            ensure!(both.is_empty(), "{role} sees rows of both tenants in {name}: {both:?}");
            // Jobs of the housekeeping, and the files that it deletes, are of all, so no tenant sees one.
            let of_all = matches!(name.as_str(), "wa.maintenance_job" | "wa.dropped_file");
            ensure!(of_one.is_empty() == of_all, "{role} sees of {name}: {of_one:?}");
            for row in of_other {
                ensure!(!row.contains("acme"), "{role} of bolt sees in {name}: {row}");
            }
        }
    }
    Ok(())
}

/// The value of an argument in a call about `name` and `number`, of which nothing belongs to the caller.
fn argument<'a>(function: &str, argument: &str, name: &'a str, number: &'a str) -> Result<&'a str> {
    Ok(match argument {
        "session" | "consumer" => name,
        "name" if !matches!(function, "send_contact" | "send_location") => name,
        "id" if function == "chat_page" => "'i1'",
        "id" | "inbox_id" | "message" | "rule_id" | "session_id" => number,
        "name" | "body" | "words" | "subject" => "'x'",
        "campaign" => "'of bolt'",
        "ids" => "(ARRAY[$number$]::bigint[])",
        "as_status" => "'cancelled'",
        "assertion" => {
            r#"'{"id": "a", "response": {"clientDataJSON": "a", "authenticatorData": "a", "signature": "a"}}'"#
        }
        "available" => "true",
        "chat" | "contact" | "recipient" => "'15550001@s.whatsapp.net'",
        "code" => "'ABCD-EFGH'",
        "content" => r#"'{"url": "https://example.com/x.png"}'"#,
        "data" => "'x'::bytea",
        "group" => "'12036300000000001@g.us'",
        "kind" if function == "act" => "'list_groups'",
        "kind" if function == "add_session_job" => "'close'",
        "kind" if function == "check_message" => "'image'",
        "kind" => "'text'",
        "latitude" | "longitude" | "most" => "1",
        "link" => "'https://chat.whatsapp.com/x'",
        "message_id" => "'3EB0'",
        "message_ids" => "'{3EB0}'",
        "numbers" | "participants" => "'{15550001}'",
        "options" => "'{x,y}'",
        "region" => "'DE'",
        "at" | "since" => "now()",
        "state" => "'typing'",
        "url" => "'http://10.0.0.7:1080'",
        unknown => anyhow::bail!("{function}: say here what to pass as {unknown}"),
    })
}

/// All that a caller learns from a call: rows, or the error with its hint.
async fn answer(pool: &PgPool, call: &str) -> String {
    let sql = format!("SELECT string_agg(r::text, '; ') FROM wa.{call} AS r");
    match sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql)).fetch_one(pool).await {
        Ok(rows) => format!("{rows:?}"),
        Err(sqlx::Error::Database(error)) => {
            let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
            format!("{} {} {:?} {:?}", error.code(), error.message(), error.hint(), error.detail())
        }
        Err(error) => format!("{error}"),
    }
}

/// The functions that `wa_app` may call with a session, a name or an id, and the names of their arguments: those that a
/// call needs, and those that name a row.
const CALLABLE: &str = "
    SELECT p.proname::text, array_agg(a.name ORDER BY a.place) FROM pg_proc p
    JOIN wa.function_grants() g ON g.function = p.oid::regprocedure::text
    CROSS JOIN LATERAL (SELECT p.proargnames[n] AS name, n AS place FROM generate_series(1, p.pronargs) n) a
    WHERE 'wa_app' = ANY (g.roles) AND p.proargnames[1:p.pronargs] && '{session,consumer,name,id,ids,inbox_id,message,rule_id,session_id}'
      AND (a.place <= p.pronargs - p.pronargdefaults OR a.name IN ('session', 'consumer'))
    GROUP BY p.oid ORDER BY 1";

#[tokio::test]
async fn r9_q14_every_function_answers_for_another_tenants_rows_as_for_none() -> Result<()> {
    let (db, acme, _) = filled().await?;
    let rows = "SELECT to_jsonb(r)::text FROM wa.outbound r WHERE session = 'bolt'
                UNION ALL SELECT to_jsonb(r)::text FROM wa.session_job r WHERE session = 'bolt'
                UNION ALL SELECT to_jsonb(r)::text FROM wa.session r WHERE name = 'bolt'
                UNION ALL SELECT to_jsonb(r)::text FROM wa.pacing r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.campaign r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.download_rule r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.consumer r WHERE name = 'bolt'
                UNION ALL SELECT to_jsonb(r)::text FROM wa.unread r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.webhook r WHERE name = 'bolt'
                UNION ALL SELECT to_jsonb(r)::text FROM wa.webhook_secret r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.webhook_replay r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.delivery r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.passkey r
                UNION ALL SELECT to_jsonb(r)::text FROM wa.schedule r WHERE session = 'bolt'";
    let before = texts(&db.pool, rows).await?;
    let (mut foreign, mut calls) = (vec![], vec![]);
    for row in sqlx::query(CALLABLE).fetch_all(&db.pool).await? {
        let (function, arguments): (String, Vec<String>) = (row.try_get(0)?, row.try_get(1)?);
        let owner = match function.as_str() {
            "cancel_session_job" | "retry_session_job" => "session_job WHERE status = 'queued' AND session = 'bolt'",
            "download" | "acknowledge_messages" => "inbox WHERE session = 'bolt'",
            "remove_download_rule" => "download_rule WHERE tenant = 'bolt'",
            _ => "outbound WHERE session = 'bolt' AND status = 'queued'",
        };
        let column = if function == "remove_download_rule" { "rule_id" } else { "id" };
        let number = if function == "sees" {
            id(&db.pool, "SELECT session_id FROM wa.session WHERE name = 'bolt'").await?
        } else {
            id(&db.pool, &format!("SELECT max({column}) FROM wa.{owner}")).await?
        };
        let mut given = vec![];
        for name in &arguments {
            given.push(format!(r#""{name}" => {}"#, argument(&function, name, "'$name$'", "$number$")?));
        }
        foreign.push(number);
        calls.push(format!("{function}({})", given.join(", ")));
    }
    // The caller's own session, with ids of others.
    for (call, of) in [
        ("act('acme', 'download', '{\"inbox_id\": $number$}')", "SELECT id FROM wa.inbox WHERE session = 'bolt'"),
        ("act('acme', 'set_picture', '{\"media\": $number$}')", "SELECT media_id FROM wa.media WHERE tenant = 'bolt'"),
        ("send_image('acme', '15550001', media => $number$)", "SELECT media_id FROM wa.media WHERE tenant = 'bolt'"),
        ("acknowledge_messages('acme', '{$number$}')", "SELECT id FROM wa.inbox WHERE session = 'bolt'"),
        ("add_download_rule(tenant => '$name$')", "SELECT 0::bigint + 770000"),
        ("add_consumer('$name$')", "SELECT 0::bigint + 770000"),
    ] {
        foreign.push(id(&db.pool, of).await?);
        calls.push(call.to_owned());
    }
    ensure!(calls.len() > 80, "{} calls", calls.len());
    let operator = web_login(&db, "operator", Some("acme")).await?;
    for ((call, number), caller) in calls.iter().zip(&foreign).flat_map(|call| [(call, &acme), (call, &operator)]) {
        let (number, none) = (number.to_string(), "987654321");
        let with = |name: &str, number: &str| call.replace("$name$", name).replace("$number$", number);
        let theirs = answer(caller, &with("bolt", &number)).await;
        let nobodys = answer(caller, &with("nobody", none)).await;
        ensure!(!theirs.starts_with("42601") && !theirs.starts_with("42883"), "{call}: {theirs}");
        let same = |text: &str, name: &str, number: &str| {
            text.replace(&format!("\"{name}\""), "$name$").replace(number, "$number$")
        };
        ensure!(
            same(&theirs, "bolt", &number) == same(&nobodys, "nobody", none),
            "{call} tells the two apart: {theirs} and {nobodys}"
        );
    }
    let after = texts(&db.pool, rows).await?;
    let changed: Vec<_> = before.symmetric_difference(&after).filter(|row| !row.contains("acme")).collect();
    ensure!(changed.is_empty(), "rows of another tenant changed: {changed:#?}");
    Ok(())
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
