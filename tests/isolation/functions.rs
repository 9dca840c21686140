//! Functions: who may call them, and what they answer about rows of another tenant.

use super::{filled, id, texts};
use crate::support::db::TestDb;
use crate::support::logins::{DENIED, expect, run, web_login};
use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use std::collections::BTreeSet;

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
