//! What a token allows, and that the roles of the web process allow nothing without one.

use super::{SCOPES, request, secret_of, text, texts, web_of_two};
use crate::support::db::fresh;
use crate::support::logins::{DENIED, expect, login, outcome, run, web_login};
use anyhow::{Context as _, Result, ensure};

#[tokio::test]
async fn h2_a_request_sees_and_does_what_its_token_allows() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let viewer = text(&db.pool, "SELECT wa.add_token('viewer', 'viewer', 'acme')").await?;
    let operator = text(&db.pool, "SELECT wa.add_token('operator', tenant => 'acme', valid => '90 days')").await?;
    let everywhere = text(&db.pool, "SELECT wa.add_token('everywhere', 'viewer')").await?;
    let admin = text(&db.pool, "SELECT wa.add_token('admin', 'admin')").await?;
    let entered: (String, String, Option<String>) =
        sqlx::query_as("SELECT name, scope, tenant FROM wa.web_enter($1)").bind(&operator).fetch_one(&web).await?;
    ensure!(entered == ("operator".into(), "operator".into(), Some("acme".into())), "{entered:?}");
    for (secret, scope, sql, expected) in [
        (&viewer, "viewer", "SELECT FROM wa.session WHERE name = 'a'", Ok(1)),
        (&viewer, "viewer", "SELECT FROM wa.session", Ok(1)),
        (&viewer, "viewer", "SELECT FROM wa.tenant", Ok(1)),
        (&viewer, "viewer", "SELECT FROM wa.web", Ok(1)),
        (&viewer, "viewer", "SELECT FROM wa.auth", DENIED),
        (&viewer, "viewer", "SELECT wa.pause('a')", DENIED),
        (&operator, "operator", "SELECT FROM wa.session", Ok(1)),
        (&operator, "operator", "SELECT FROM wa.lease", Ok(1)),
        (&operator, "operator", "SELECT wa.pause('a'), wa.link('a'), wa.send_text('a', '15550001', 'Hello')", Ok(1)),
        (
            &operator,
            "operator",
            "INSERT INTO wa.outbound (session, recipient, body) VALUES ('a', '15550001', 'x') RETURNING id",
            Ok(1),
        ),
        (
            &operator,
            "operator",
            "INSERT INTO wa.outbound (session, recipient, body) VALUES ('b', '15550001', 'x')",
            Err("WA001"),
        ),
        (&operator, "operator", "SELECT wa.pause('b')", Err("WA001")),
        (&operator, "operator", "SELECT wa.link_url('a')", Ok(1)),
        (&operator, "operator", "SELECT wa.link_url('b')", Err("WA001")),
        (&operator, "operator", "SELECT wa.add_tenant('c')", DENIED),
        (&operator, "operator", "SELECT wa.add_token('more')", DENIED),
        // A token may do what the scopes below its own may.
        (&operator, "viewer", "SELECT FROM wa.session", Ok(1)),
        (&everywhere, "viewer", "SELECT FROM wa.session", Ok(2)),
        (&admin, "admin", "SELECT FROM wa.session", Ok(2)),
        (&admin, "admin", "SELECT wa.add_tenant('c'), wa.add_session('c', 'c'), wa.drain_worker(NULL)", Err("WA027")),
        (&admin, "admin", "SELECT wa.add_tenant('c'), wa.add_token('more'), wa.pause('b')", Ok(1)),
        (&admin, "admin", "SELECT FROM wa.auth", DENIED),
        (&admin, "operator", "SELECT wa.pause('b')", Ok(1)),
    ] {
        let found = request(&web, secret, scope, sql).await;
        let found = found.as_ref().map(|rows| *rows).map_err(String::as_str);
        ensure!(found == expected, "{scope}: {sql}: {found:?}, expected {expected:?}");
    }
    // The use is kept, also of the token when its cookie is used.
    let used =
        "SELECT string_agg(name, ' ' ORDER BY name) FROM wa.token WHERE last_used_at > now() - interval '1 hour'";
    ensure!(text(&db.pool, used).await? == "admin everywhere operator viewer");
    run(&db.pool, "UPDATE wa.token SET last_used_at = NULL").await?;
    let cookie: String = sqlx::query_scalar("SELECT wa.web_login($1)").bind(&viewer).fetch_one(&web).await?;
    run(&db.pool, "UPDATE wa.token SET last_used_at = NULL").await?;
    request(&web, &cookie, "viewer", "SELECT").await.map_err(anyhow::Error::msg)?;
    ensure!(text(&db.pool, used).await? == "viewer viewer", "the token's own use");
    Ok(())
}

/// The web process may take the roles, but they show nothing by themselves.
#[tokio::test]
async fn h2_a_role_without_a_fitting_token_sees_and_does_nothing() -> Result<()> {
    let (db, web) = web_of_two().await?;
    run(
        &db.pool,
        "INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES (gen_random_uuid(), 'h', 1, '1', now() + interval '1 hour');
         INSERT INTO wa.auth_home (home, system_identifier, database_oid, timeline) VALUES (1, 1, 1, 1);
         INSERT INTO wa.sealing (key) VALUES ('k'); INSERT INTO wa.maintenance_job (kind) VALUES ('retention')",
    )
    .await?;
    let operator = text(&db.pool, "SELECT wa.add_token('operator', 'operator')").await?;
    let proxied = text(&db.pool, "SELECT wa.add_token('proxied', 'viewer', proxy_user => true)").await?;
    let link = text(&db.pool, "SELECT wa.link_url('a')").await?;
    let login_link = text(&db.pool, "SELECT wa.login_link('operator')").await?;
    let hash = text(&db.pool, "SELECT encode(hash, 'hex') FROM wa.token WHERE name = 'operator' LIMIT 1").await?;
    expect(
        &web,
        &[
            ("SET ROLE wa_admin", DENIED),
            ("SET ROLE wa_app", DENIED),
            ("SET ROLE wa_readonly", DENIED),
            ("SET ROLE wa_worker", DENIED),
            ("SELECT FROM wa.session", DENIED),
            ("SELECT FROM wa.token", DENIED),
            ("SELECT wa.pause('a')", DENIED),
            ("SELECT wa.add_token('x', 'admin')", DENIED),
            ("SELECT wa.open_link('x')", DENIED),
        ],
    )
    .await?;
    let readable = "SELECT format('SELECT FROM %s', c.oid::regclass) FROM pg_class c
        WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND c.oid <> 'wa.region'::regclass
          AND has_any_column_privilege(c.oid, 'SELECT')";
    let count = "SELECT jsonb_object_agg(c.relname, (xpath('//n/text()', query_to_xml(
            format('SELECT count(*) AS n, sum(xmin::text::bigint) AS n FROM wa.%I', c.relname), false, true, '')))::text)::text
        FROM pg_class c WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind = 'r'";
    let before = text(&db.pool, count).await?;
    // What the web process may set, and the scopes for which it is not enough.
    let insufficient: [(&str, &str, &[&str]); 9] = [
        ("", "", &SCOPES),
        ("", "operator", &SCOPES),
        ("", "proxied", &["operator", "admin"]),
        (&operator, "", &["admin"]),
        (&proxied, "", &["operator", "admin"]),
        (&hash, "", &SCOPES),
        ("operator", "proxied", &SCOPES),
        (secret_of(&link), "", &SCOPES),
        (secret_of(&login_link), "", &SCOPES),
    ];
    for (presented, user, scopes) in insufficient {
        for scope in scopes {
            let forged = format!(
                "RESET ROLE; SELECT set_config('wagres.token', '{presented}', false), set_config('wagres.user', '{user}', false);
                 SET ROLE wa_web_{scope}"
            );
            run(&web, &forged).await?;
            let relations = texts(&web, readable).await?;
            ensure!(relations.len() > 25, "wa_web_{scope} reads {} relations", relations.len());
            for relation in relations {
                let found = outcome(&web, &relation).await;
                ensure!(found == Ok(0), "wa_web_{scope} with {presented:?} {user:?}: {relation}: {found:?}");
            }
            let writable = "SELECT c.relname::text FROM pg_class c
                WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p')
                  AND (has_any_column_privilege(c.oid, 'INSERT, UPDATE') OR has_table_privilege(c.oid, 'DELETE'))";
            for table in texts(&web, writable).await? {
                let _ = outcome(&web, &format!("INSERT INTO wa.{table} DEFAULT VALUES")).await;
                let _ = outcome(&web, &format!("DELETE FROM wa.{table}")).await;
            }
            for call in [
                "pause('a')",
                "add_session('c')",
                "add_tenant('c')",
                "add_token('c', 'admin')",
                "revoke_token('operator')",
                "login_link('operator')",
                "link_url('a')",
                "revoke_link('a')",
                "grant_tenant('wa_web', 'acme')",
                "restored()",
                "drain_worker(worker_id) FROM wa.worker",
                "run_now('retention')",
            ] {
                let _ = outcome(&web, &format!("SELECT wa.{call}")).await;
            }
            let insert = "INSERT INTO wa.drain_request (worker_id) VALUES (gen_random_uuid())";
            expect(&web, &[(insert, DENIED)]).await?;
            let after = text(&db.pool, count).await?;
            ensure!(after == before, "wa_web_{scope} with {presented:?} {user:?} changed\n{before}\n{after}");
        }
    }
    // With the token of an admin, and after RESET ROLE in the middle.
    let admin = text(&db.pool, "SELECT wa.add_token('admin', 'admin')").await?;
    let reset = format!("RESET ROLE; SELECT set_config('wagres.token', '{admin}', false)");
    run(&web, &reset).await?;
    expect(&web, &[("SELECT FROM wa.session", DENIED), ("SELECT wa.add_tenant('c')", DENIED)]).await?;
    run(&web, "SET ROLE wa_web_admin").await?;
    expect(&web, &[("SELECT FROM wa.session", Ok(2)), ("SELECT FROM wa.worker", Ok(1))]).await
}

/// A role has rights of its own to what it may execute, so that a list of all functions is complete.
#[tokio::test]
async fn h2_a_viewer_writes_through_no_table_and_no_function() -> Result<()> {
    let db = fresh().await;
    let writable = texts(
        &db.pool,
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE c.relnamespace = 'wa'::regnamespace AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege('wa_web_viewer', c.oid, 'USAGE, UPDATE')
             ELSE c.relkind IN ('r', 'p', 'v', 'm') AND (has_any_column_privilege('wa_web_viewer', c.oid, 'INSERT, UPDATE, REFERENCES')
                 OR has_table_privilege('wa_web_viewer', c.oid, 'DELETE, TRUNCATE, TRIGGER')) END
         UNION ALL SELECT 'schema' WHERE has_schema_privilege('wa_web_viewer', 'wa', 'CREATE')",
    )
    .await?;
    ensure!(writable.is_empty(), "a viewer may write: {writable:?}");
    // So a function with its caller's rights writes nothing. One with its owner's rights must only read, and call none that
    // writes: each runs in a transaction that refuses every write.
    let calls = texts(
        &db.pool,
        "SELECT format('SELECT count(*)::text FROM wa.%I(%s)', p.proname, (
             SELECT string_agg(CASE WHEN p.proargnames[t.place] = 'recipient' THEN '''15550001''' WHEN t.type = 'text'::regtype THEN '''shop''' WHEN t.type = 'bigint'::regtype THEN '1'
                               ELSE 'NULL::' || t.type::regtype END, ', ' ORDER BY t.place)
             FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY t (type, place)))
         FROM wa.function_grants() g JOIN pg_proc p ON p.oid::regprocedure::text = g.function
         WHERE 'wa_web_viewer' = ANY (g.roles) AND p.prosecdef",
    )
    .await?;
    ensure!(calls.len() >= 3, "{calls:?}");
    run(&db.pool, "SELECT wa.add_session('shop'), wa.send_text('shop', '15550001', 'Hello')").await?;
    let viewer = web_login(&db, "viewer", Some("default")).await?;
    run(&viewer, "SET default_transaction_read_only = on").await?;
    for call in calls {
        // How many rows it gives does not matter.
        let found = outcome(&viewer, &call).await;
        ensure!(found == Ok(1), "{call}: {found:?}");
    }
    Ok(())
}

#[tokio::test]
async fn h2_web_roles_have_the_grants_of_their_like_and_belong_to_none() -> Result<()> {
    let db = fresh().await;
    let granted = async |role: &str| {
        texts(
            &db.pool,
            &format!(
                "SELECT c.relname || ' ' || coalesce(a.attname, '') || ' ' || x.privilege_type
                 FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL
                 CROSS JOIN LATERAL (SELECT * FROM aclexplode(c.relacl) UNION ALL SELECT * FROM aclexplode(a.attacl)) x
                 WHERE c.relnamespace = 'wa'::regnamespace AND x.grantee = '{role}'::regrole
                 UNION ALL
                 SELECT g.function FROM wa.function_grants() g WHERE '{role}' = ANY (g.roles)"
            ),
        )
        .await
    };
    ensure!(granted("wa_web_viewer").await? == granted("wa_readonly").await?, "viewer");
    ensure!(granted("wa_web_admin").await? == granted("wa_admin").await?, "admin");
    let both = &granted("wa_readonly").await? | &granted("wa_app").await?;
    ensure!(granted("wa_web_operator").await? == both, "operator");
    let members = texts(
        &db.pool,
        "SELECT format('%s %s', m.member::regrole, m.roleid::regrole) FROM pg_auth_members m
         WHERE m.member IN (SELECT oid FROM pg_roles WHERE rolname LIKE 'wa\\_%') AND m.member::regrole::text NOT LIKE '%of%'",
    )
    .await?;
    let expected = SCOPES.map(|scope| format!("wa_web wa_web_{scope}")).into();
    ensure!(members == expected, "{members:?}");
    ensure!(text(&db.pool, "SELECT rolinherit::text FROM pg_roles WHERE rolname = 'wa_web'").await? == "false");
    Ok(())
}

#[tokio::test]
async fn h2_nobody_but_the_owner_reads_a_hash_and_nothing_keeps_a_secret() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let token = text(&db.pool, "SELECT wa.add_token('anna', 'admin')").await?;
    let link = text(&db.pool, "SELECT wa.link_url('a')").await?;
    let cookie: String = sqlx::query_scalar("SELECT wa.web_login($1)").bind(&token).fetch_one(&web).await?;
    for (secret, begin) in [(token.as_str(), "wat_"), (secret_of(&link), "wak_"), (&cookie, "wac_")] {
        let digits = secret.strip_prefix(begin).with_context(|| secret.to_owned())?;
        ensure!(digits.len() == 64 && digits.chars().all(|digit| digit.is_ascii_hexdigit()), "{secret}");
        let kept = "SELECT count(*) FROM wa.token t WHERE t::text LIKE '%' || $1 || '%'";
        ensure!(sqlx::query_scalar::<_, i64>(kept).bind(digits).fetch_one(&db.pool).await? == 0, "kept: {secret}");
    }
    let (app, reader) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_readonly", Some("acme")).await?);
    let (admin, worker) = (login(&db, "wa_admin", None).await?, login(&db, "wa_worker", None).await?);
    let (viewer, manager) = (web_login(&db, "viewer", None).await?, web_login(&db, "admin", None).await?);
    for role in [&app, &reader, &admin, &worker, &viewer, &manager] {
        expect(
            role,
            &[
                ("SELECT hash FROM wa.token", DENIED),
                ("SELECT t::text FROM wa.token t", DENIED),
                ("SELECT FROM wa.token WHERE hash IS NOT NULL", DENIED),
                ("INSERT INTO wa.token (name, purpose, scope, hash) VALUES ('x', 'token', 'admin', '')", DENIED),
                ("UPDATE wa.token SET scope = 'admin', tenant = NULL", DENIED),
                ("UPDATE wa.token SET hash = ''", DENIED),
                ("SELECT wa.secret_hash('x')", DENIED),
                ("SELECT wa.live_token('x', '{token}')", DENIED),
            ],
        )
        .await?;
    }
    expect(&app, &[("SELECT name FROM wa.token", DENIED), ("SELECT wa.add_token('x')", DENIED)]).await?;
    expect(&reader, &[("SELECT name FROM wa.token", Ok(1)), ("SELECT wa.add_token('x')", DENIED)]).await?;
    expect(&admin, &[("SELECT name FROM wa.token WHERE purpose = 'token'", Ok(3)), ("DELETE FROM wa.token", DENIED)])
        .await
}
