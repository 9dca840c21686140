//! H2: the rights of the web pages are rights in the database: a request sees and does what its token allows, whatever the
//! web process asks for.

use crate::support::db::{TestDb, fresh};
use crate::support::logins::{DENIED, expect, login, outcome, run, two_tenants, web_login, web_process};
use crate::support::until::{LIMIT, until};
use crate::support::world::{World, wagres};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

const SCOPES: [&str; 3] = ["viewer", "operator", "admin"];

async fn text(pool: &PgPool, sql: &str) -> Result<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.with_context(|| sql.to_owned())
}

async fn texts(pool: &PgPool, sql: &str) -> Result<BTreeSet<String>> {
    let found: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await.with_context(|| sql.to_owned())?;
    Ok(found.into_iter().collect())
}

/// A statement in a request of a web page: in one transaction with `wa.web_enter(secret)`, as the role of `scope`. The
/// number of its rows, or the SQLSTATE of a refusal.
async fn request(web: &PgPool, secret: &str, scope: &str, sql: &str) -> Result<usize, String> {
    let code = |error: sqlx::Error| {
        error.as_database_error().and_then(|it| it.code().map(String::from)).unwrap_or(error.to_string())
    };
    let mut tx = web.begin().await.map_err(code)?;
    sqlx::query("SELECT FROM wa.web_enter($1)").bind(secret).execute(&mut *tx).await.map_err(code)?;
    let role = format!("SET LOCAL ROLE wa_web_{scope}");
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut *tx).await.map_err(code)?;
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut *tx).await.map_err(code)?.len();
    tx.commit().await.map_err(code)?;
    Ok(rows)
}

/// The refusal of `wa.web_enter` with this secret: SQLSTATE, words and hint.
async fn refused(web: &PgPool, secret: &str) -> Result<String> {
    let refused = sqlx::query("SELECT wa.web_enter($1)").bind(secret).execute(web).await;
    let error = refused.err().context("let in")?;
    let error = error.as_database_error().context("no error of the database")?;
    let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
    Ok(format!("{} {} {:?} {:?}", error.code(), error.message(), error.detail(), error.hint()))
}

/// The secret at the end of an address.
fn secret_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// What a link page shows.
async fn page(web: &PgPool, secret: &str) -> Result<Value> {
    let page = sqlx::query_scalar("SELECT to_jsonb(p) FROM wa.link_page($1) p").bind(secret);
    Ok(page.fetch_one(web).await?)
}

/// Two tenants, and a web process.
async fn web_of_two() -> Result<(TestDb, PgPool)> {
    let db = two_tenants().await?;
    run(&db.pool, "SELECT wa.register_web('https://wa.example.com/')").await?;
    let web = web_process(&db, "process").await?;
    Ok((db, web))
}

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
             SELECT string_agg(CASE t.type WHEN 'text'::regtype THEN '''shop''' WHEN 'bigint'::regtype THEN '1'
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

#[tokio::test]
async fn h2_a_secret_that_is_not_valid_is_refused_in_the_same_words_whatever_is_wrong() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let unknown = refused(&web, "wat_0000").await?;
    ensure!(unknown.starts_with("WA050 secret: "), "{unknown}");
    let token = async |name: &str| text(&db.pool, &format!("SELECT wa.add_token('{name}', valid => '1 hour')")).await;
    let login = async |secret: &str| {
        let cookie = sqlx::query_scalar::<_, String>("SELECT wa.web_login($1)").bind(secret).fetch_one(&web).await;
        cookie.context("wa.web_login")
    };
    let (expired, revoked, live) = (token("expired").await?, token("revoked").await?, token("live").await?);
    let (of_expired, of_revoked, signed_out) = (login(&expired).await?, login(&revoked).await?, login(&live).await?);
    let kept = login(&live).await?;
    for secret in [&expired, &revoked, &live, &of_expired, &of_revoked, &signed_out] {
        ensure!(request(&web, secret, "operator", "SELECT FROM wa.session").await == Ok(2));
    }
    run(&db.pool, "UPDATE wa.token SET expires_at = now() WHERE name = 'expired' AND purpose = 'token'").await?;
    run(&db.pool, "SELECT wa.revoke_token('revoked')").await?;
    sqlx::query("SELECT wa.web_logout($1), wa.web_logout($2), wa.web_logout('nothing')")
        .bind(&signed_out)
        .bind(&live)
        .execute(&web)
        .await?;
    let used = text(&db.pool, "SELECT wa.login_link('live')").await?;
    let unused = text(&db.pool, "SELECT wa.login_link('live')").await?;
    let link = text(&db.pool, "SELECT wa.link_url('a')").await?;
    login(secret_of(&used)).await?;
    for secret in [
        expired.as_str(),
        &revoked,
        &of_expired,
        &of_revoked,
        &signed_out,
        // Neither of these is for requests.
        secret_of(&used),
        secret_of(&unused),
        secret_of(&link),
        "",
        "live",
    ] {
        ensure!(refused(&web, secret).await? == unknown, "{secret}");
    }
    for secret in [expired.as_str(), &revoked, secret_of(&used), secret_of(&link), &kept, "wal_0000"] {
        let again = login(secret).await;
        ensure!(again.is_err(), "signed in with {secret}");
    }
    for secret in [&live, &kept] {
        ensure!(request(&web, secret, "operator", "SELECT FROM wa.session").await == Ok(2));
    }
    // A cookie lives for twelve hours, and no longer than its token.
    let lives = "SELECT string_agg(DISTINCT round(extract(epoch FROM expires_at - created_at) / 60)::text, ' ') FROM wa.token WHERE purpose = 'cookie'";
    ensure!(text(&db.pool, lives).await? == "60", "cookies of tokens of an hour");
    let endless = text(&db.pool, "SELECT wa.add_token('endless')").await?;
    login(&endless).await?;
    ensure!(text(&db.pool, &format!("{lives} AND name = 'endless'")).await? == "720");
    // The name of a token that has ended is free, and only that.
    expect(
        &db.pool,
        &[
            ("SELECT wa.add_token('live')", Err("WA051")),
            ("SELECT wa.add_token('expired'), wa.add_token('revoked')", Ok(1)),
            ("SELECT wa.revoke_token('nobody')", Err("WA051")),
        ],
    )
    .await
}

#[tokio::test]
async fn h2_a_login_link_signs_in_once_also_when_many_use_it_at_once() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let operator = text(&db.pool, "SELECT wa.add_token('anna', tenant => 'acme')").await?;
    let url = text(&db.pool, "SELECT wa.login_link('anna')").await?;
    ensure!(url.starts_with("https://wa.example.com/login/wal_"), "{url}");
    let secret = secret_of(&url).to_owned();
    // The first holds its transaction open, the second waits for it; after a rollback the link is not spent.
    for (end, second) in [("ROLLBACK", true), ("COMMIT", false)] {
        let url = text(&db.pool, "SELECT wa.login_link('anna')").await?;
        let mut first = web.acquire().await?;
        sqlx::raw_sql("BEGIN").execute(&mut *first).await?;
        sqlx::query("SELECT wa.web_login($1)").bind(secret_of(&url)).execute(&mut *first).await?;
        let (pool, link) = (db.pool.clone(), secret_of(&url).to_owned());
        let other = tokio::spawn(async move {
            sqlx::query_scalar::<_, String>("SELECT wa.web_login($1)").bind(link).fetch_one(&pool).await
        });
        until("the second one waits", async || {
            let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&db.pool).await?;
            Ok(if waits { Ok(()) } else { Err("not yet") })
        })
        .await?;
        sqlx::raw_sql(end).execute(&mut *first).await?;
        let signed_in = other.await?;
        ensure!(signed_in.is_ok() == second, "after {end}: {signed_in:?}");
    }
    let mut at_once = JoinSet::new();
    for _ in 0..8 {
        let (pool, link) = (db.pool.clone(), secret.clone());
        at_once.spawn(async move {
            sqlx::query_scalar::<_, String>("SELECT wa.web_login($1)").bind(link).fetch_one(&pool).await
        });
    }
    let cookies: Vec<String> = at_once.join_all().await.into_iter().flatten().collect();
    ensure!(cookies.len() == 1, "{} signed in with one link", cookies.len());
    ensure!(request(&web, &cookies[0], "operator", "SELECT FROM wa.session").await == Ok(1));
    ensure!(request(&web, &cookies[0], "operator", "SELECT FROM wa.tenant WHERE tenant = 'acme'").await == Ok(1));
    // It ends with the token of the link.
    run(&db.pool, "SELECT wa.revoke_token('anna')").await?;
    ensure!(request(&web, &cookies[0], "operator", "SELECT").await == Err("WA050".into()));
    ensure!(request(&web, &operator, "operator", "SELECT").await == Err("WA050".into()));
    Ok(())
}

#[tokio::test]
async fn h2_a_proxy_signs_in_only_users_whose_token_allows_it() -> Result<()> {
    let (db, web) = web_of_two().await?;
    run(
        &db.pool,
        "SELECT wa.add_token('anna@example.com', 'viewer', 'acme', proxy_user => true), wa.add_token('root', 'admin')",
    )
    .await?;
    let as_user = async |name: &str, sql: &'static str| {
        let mut tx = web.begin().await?;
        let entered = sqlx::query("SELECT FROM wa.web_user($1)").bind(name).execute(&mut *tx).await;
        if let Err(sqlx::Error::Database(error)) = entered {
            return Ok(Err(error.code().unwrap_or_default().into_owned()));
        }
        sqlx::raw_sql("SET LOCAL ROLE wa_web_viewer").execute(&mut *tx).await?;
        anyhow::Ok(Ok(sqlx::query(sql).fetch_all(&mut *tx).await?.len()))
    };
    ensure!(as_user("anna@example.com", "SELECT FROM wa.session").await? == Ok(1));
    for name in ["root", "nobody", "", "wat_0"] {
        ensure!(as_user(name, "SELECT").await? == Err("WA050".into()), "{name}");
    }
    // A browser cannot name a user where a secret is expected.
    for secret in ["anna@example.com", "user:anna@example.com"] {
        ensure!(refused(&web, secret).await?.starts_with("WA050"), "{secret}");
    }
    run(&db.pool, "SELECT wa.revoke_token('anna@example.com')").await?;
    ensure!(as_user("anna@example.com", "SELECT").await? == Err("WA050".into()));
    Ok(())
}

#[tokio::test]
async fn h2_s2_a_link_serves_its_own_session_and_nothing_else() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let url = text(&db.pool, "SELECT wa.link_url('a', valid => '2 hours')").await?;
    ensure!(url.starts_with("https://wa.example.com/link/wak_"), "{url}");
    let secret = secret_of(&url);
    let shown = page(&web, secret).await?;
    ensure!(shown["state"] == "open" && shown["session"] == "a" && shown["status"] == "new", "{shown}");
    ensure!(page(&web, "wak_0").await?["state"] == "unknown");
    let token = text(&db.pool, "SELECT wa.add_token('anna')").await?;
    ensure!(page(&web, &token).await?["state"] == "unknown", "a token is no link");

    // Starts the linking of its session, under the limits of everybody.
    let start = async |phone: Option<&str>| {
        let started = sqlx::query_scalar::<_, i64>("SELECT wa.link_page_start($1, $2)").bind(secret).bind(phone);
        started.fetch_one(&web).await.map_err(|error| {
            error.as_database_error().map(|it| format!("{} {}", it.code().unwrap_or_default(), it.message()))
        })
    };
    for _ in 0..5 {
        let job = start(Some("+1 555 0001")).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let made = format!("SELECT session || ' ' || kind || ' ' || phone FROM wa.session_job WHERE id = {job}");
        ensure!(text(&db.pool, &made).await? == "a link 15550001");
        run(
            &db.pool,
            "UPDATE wa.session_job SET status = 'failed', last_error = 'nobody scanned', finished_at = now()",
        )
        .await?;
    }
    let limited = start(Some("+1 555 0001")).await.err().flatten().context("a sixth code")?;
    ensure!(limited.starts_with("WA028 phone: 5 pairing codes"), "{limited}");
    let wrong = start(Some("0")).await.err().flatten().context("accepted")?;
    ensure!(wrong.starts_with("WA002 phone: "), "{wrong}");
    let shown = page(&web, secret).await?;
    ensure!(shown["job_status"] == "failed" && shown["job_error"] == "nobody scanned", "{shown}");

    // No other function and no role takes the link for a right.
    let set = format!("SELECT set_config('wagres.token', '{secret}', false)");
    run(&web, &set).await?;
    expect(
        &web,
        &[
            ("SELECT wa.link('a')", DENIED),
            ("SELECT wa.close('a')", DENIED),
            ("SELECT wa.logout('a')", DENIED),
            ("SELECT wa.send_text('a', '15550001', 'x')", DENIED),
            ("SELECT FROM wa.session", DENIED),
        ],
    )
    .await?;
    let (bolt, admin) = (login(&db, "wa_app", Some("bolt")).await?, login(&db, "wa_admin", None).await?);
    run(&bolt, &set).await?;
    expect(&bolt, &[("SELECT wa.link('a')", Err("WA001")), ("SELECT FROM wa.session WHERE name = 'a'", Ok(0))]).await?;
    let of_nobody = login(&db, "wa_app", None).await?;
    run(&of_nobody, &set).await?;
    expect(&of_nobody, &[("SELECT wa.link('a')", DENIED), ("SELECT wa.link_page('x')", DENIED)]).await?;
    // Links are made for one's own sessions.
    expect(&bolt, &[("SELECT wa.link_url('a')", Err("WA001")), ("SELECT wa.revoke_link('a')", Err("WA001"))]).await?;
    expect(&admin, &[("SELECT wa.link_url('b')", Ok(1))]).await?;

    // Another session's events and passkeys do not show.
    run(
        &db.pool,
        "INSERT INTO wa.passkey (session_id, session, request, expires_at)
         SELECT session_id, name, '{\"of\": \"b\"}', now() + interval '1 hour' FROM wa.session WHERE name = 'b'",
    )
    .await?;
    ensure!(page(&web, secret).await?["passkey_stage"].is_null());
    // It goes with its session to another tenant.
    run(&db.pool, "UPDATE wa.session SET tenant = 'bolt' WHERE name = 'a'").await?;
    expect(&bolt, &[("SELECT FROM generate_series(1, wa.revoke_link('a'))", Ok(1))]).await?;
    let shown = page(&web, secret).await?;
    ensure!(shown["state"] == "revoked" && shown["session"] == "a" && shown["status"].is_null(), "{shown}");
    let late = start(None).await.err().flatten().context("started")?;
    ensure!(late == "WA053 secret: the link is revoked", "{late}");
    let brief = text(&db.pool, "SELECT wa.link_url('a', '1 second')").await?;
    until("the end of a link", async || {
        let shown = page(&web, secret_of(&brief)).await?;
        Ok(if shown["state"] == "expired" { Ok(()) } else { Err(shown) })
    })
    .await
}

#[tokio::test]
async fn h2_s2_a_link_is_spent_when_its_session_is_linked() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15550001").await?;
    run(world.pool(), "SELECT wa.register_web('https://wa.example.com'), wa.add_session('shop')").await?;
    let web = web_process(&world.db, "process").await?;
    let url = text(world.pool(), "SELECT wa.link_url('shop')").await?;
    let secret = secret_of(&url);
    sqlx::query("SELECT wa.link_page_start($1)").bind(secret).execute(&web).await?;
    let qr = until("a QR code", async || {
        let shown = page(&web, secret).await?;
        Ok(shown["qr"].as_str().map(str::to_owned).ok_or(shown))
    })
    .await?;
    world.control.post("/phones/15550001/scan", json!({ "qr": qr })).await?;
    let spent = async || {
        until("the link is spent", async || {
            let shown = page(&web, secret).await?;
            Ok(if shown["state"] == "spent" { Ok(shown) } else { Err(shown) })
        })
        .await
    };
    let shown = spent().await?;
    ensure!(shown["phone"] == "15550001" && shown["qr"].is_null(), "{shown}");
    world.session_is("shop", "connected").await?;
    let later = sqlx::query("SELECT wa.link_page_start($1)").bind(secret).execute(&web).await;
    ensure!(later.is_err(), "started again");
    // After ten minutes it says no more than that; a later connection and a logout change nothing.
    run(world.pool(), "UPDATE wa.token SET created_at = created_at - interval '1 hour', spent_at = spent_at - interval '11 minutes'; SELECT wa.logout('shop')")
        .await?;
    world.session_is("shop", "logged_out").await?;
    run(world.pool(), "SELECT wa.link('shop')").await?;
    world.until::<String>("SELECT qr FROM wa.session WHERE name = 'shop'").await?;
    let shown = page(&web, secret).await?;
    ensure!(shown["state"] == "spent" && shown["phone"].is_null() && shown["qr"].is_null(), "{shown}");
    worker.stop().await
}

#[tokio::test]
async fn h2_s2_a_link_page_takes_a_pairing_code_and_a_passkey() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15550001").await?;
    world.control.post("/phones", json!({ "number": "15550002", "passkey": true })).await?;
    run(
        world.pool(),
        "SELECT wa.register_web('https://wa.example.com'), wa.add_session('code'), wa.add_session('passkey')",
    )
    .await?;
    let web = web_process(&world.db, "process").await?;
    let field = async |secret: &str, field: &str| {
        until(field, async || {
            let shown = page(&web, secret).await?;
            Ok(if shown[field].is_null() { Err(shown) } else { Ok(shown[field].clone()) })
        })
        .await
    };
    let is_spent = async |secret: &str| {
        until("the link is spent", async || {
            let shown = page(&web, secret).await?;
            Ok(if shown["state"] == "spent" { Ok(()) } else { Err(shown) })
        })
        .await
    };
    let url = text(world.pool(), "SELECT wa.link_url('code')").await?;
    let secret = secret_of(&url);
    sqlx::query("SELECT wa.link_page_start($1, '+15550001')").bind(secret).execute(&web).await?;
    let code = field(secret, "code").await?;
    world.control.post("/phones/15550001/confirm", json!({ "code": code })).await?;
    is_spent(secret).await?;

    let url = text(world.pool(), "SELECT wa.link_url('passkey')").await?;
    let secret = secret_of(&url);
    sqlx::query("SELECT wa.link_page_start($1)").bind(secret).execute(&web).await?;
    let qr = field(secret, "qr").await?;
    world.control.post("/phones/15550002/scan", json!({ "qr": qr })).await?;
    let request = field(secret, "passkey_request").await?;
    let made = world.control.post("/phones/15550002/passkey", json!({ "request": request })).await?;
    sqlx::query("SELECT wa.link_page_answer($1, $2)").bind(secret).bind(&made["assertion"]).execute(&web).await?;
    let code = field(secret, "passkey_code").await?;
    sqlx::query("SELECT wa.link_page_confirm($1, $2)").bind(secret).bind(code.as_str()).execute(&web).await?;
    is_spent(secret).await?;
    worker.stop().await
}

/// A request that hangs keeps nobody else of the same token out.
#[tokio::test]
async fn h2_r8_requests_with_one_token_do_not_wait_for_each_other() -> Result<()> {
    let (db, web) = web_of_two().await?;
    let token = text(&db.pool, "SELECT wa.add_token('anna', tenant => 'acme')").await?;
    let mut open = db.pool.begin().await?;
    sqlx::query("SELECT wa.web_enter($1)").bind(&token).execute(&mut *open).await?;
    sqlx::query("SELECT wa.link_url('a')").execute(&mut *open).await?;
    run(&web, "SET lock_timeout = '1s'").await?;
    ensure!(request(&web, &token, "operator", "SELECT wa.link_url('a')").await == Ok(1));
    let cookie: String = sqlx::query_scalar("SELECT wa.web_login($1)").bind(&token).fetch_one(&web).await?;
    ensure!(request(&web, &cookie, "operator", "SELECT FROM wa.session").await == Ok(1));
    open.rollback().await?;
    // A request that only reads may be one of a standby.
    run(&web, "SET default_transaction_read_only = on").await?;
    ensure!(request(&web, &token, "operator", "SELECT FROM wa.session").await == Ok(1));
    Ok(())
}

/// What a person sees of tokens and tenants, whose names are chosen by others.
#[tokio::test]
async fn h2_r9_names_of_another_tenant_do_not_show() -> Result<()> {
    let (db, _) = web_of_two().await?;
    run(&db.pool, "SELECT wa.add_token('of-acme', tenant => 'acme'), wa.add_token('of-bolt', tenant => 'bolt'), wa.add_token('of-all')")
        .await?;
    run(&db.pool, "SELECT wa.link_url('a'), wa.link_url('b'), wa.login_link('of-bolt')").await?;
    for scope in ["viewer", "operator"] {
        let web = web_login(&db, scope, Some("acme")).await?;
        let names = texts(&web, "SELECT name FROM wa.token WHERE name NOT LIKE '%-of-acme'").await?;
        ensure!(names == ["a", "of-acme"].map(str::to_owned).into(), "{scope}: {names:?}");
        ensure!(texts(&web, "SELECT tenant FROM wa.tenant").await? == ["acme".to_owned()].into());
        expect(&web, &[("SELECT FROM wa.token WHERE tenant IS DISTINCT FROM 'acme'", Ok(0))]).await?;
    }
    // A tenant that is deleted takes its tokens with it.
    run(&db.pool, "DELETE FROM wa.session WHERE name = 'b'; DELETE FROM wa.tenant WHERE tenant = 'bolt'").await?;
    let left = texts(&db.pool, "SELECT name FROM wa.token WHERE name IN ('of-bolt', 'b')").await?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// Runs a command and returns its lines of JSON, or its error output.
async fn command(db: &TestDb, arguments: &[&str]) -> Result<Result<Vec<Value>, String>> {
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", &db.url]).args(arguments);
    let done = tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??;
    if !done.status.success() {
        return Ok(Err(String::from_utf8(done.stderr)?));
    }
    let lines = String::from_utf8(done.stdout)?;
    Ok(Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
}

#[tokio::test]
async fn h2_h7_tokens_and_links_from_the_command_line() -> Result<()> {
    let db = two_tenants().await?;
    let web = web_process(&db, "process").await?;
    let done = async |arguments: &[&str]| command(&db, arguments).await?.map_err(anyhow::Error::msg);
    let refusal = async |arguments: &[&str]| command(&db, arguments).await?.err().context("accepted");
    let added = done(&["token", "add", "anna", "--scope", "viewer", "--tenant", "acme", "--valid", "90d"]).await?;
    let secret = added[0]["secret"].as_str().context("no secret")?;
    ensure!(request(&web, secret, "viewer", "SELECT FROM wa.session").await == Ok(1));
    done(&["token", "add", "bot", "--proxy-user"]).await?;
    let listed = done(&["token", "list"]).await?;
    ensure!(listed.len() == 2 && !format!("{listed:?}").contains("wat_"), "{listed:?}");
    let (anna, bot) = (&listed[0], &listed[1]);
    ensure!(anna["scope"] == "viewer" && anna["tenant"] == "acme" && anna["state"] == "live", "{anna}");
    ensure!(anna["last_used_at"].is_string() && anna["expires_at"].is_string(), "{anna}");
    ensure!(bot["scope"] == "operator" && bot["tenant"].is_null() && bot["proxy_user"] == true, "{bot}");
    ensure!(bot["last_used_at"].is_null() && bot["expires_at"].is_null(), "{bot}");

    let early = refusal(&["token", "login", "anna"]).await?;
    ensure!(early.contains("no web process has registered") && early.contains("wa.register_web"), "{early}");
    run(&db.pool, "SELECT wa.register_web('http://127.0.0.1:7470')").await?;
    let url = done(&["token", "login", "anna"]).await?[0]["url"].as_str().context("no url")?.to_owned();
    ensure!(url.starts_with("http://127.0.0.1:7470/login/wal_"), "{url}");
    let cookie: String = sqlx::query_scalar("SELECT wa.web_login($1)").bind(secret_of(&url)).fetch_one(&web).await?;
    ensure!(request(&web, &cookie, "viewer", "SELECT FROM wa.session").await == Ok(1));
    let url = done(&["session", "link", "a", "--url", "--valid", "2h"]).await?[0]["url"]
        .as_str()
        .context("no url")?
        .to_owned();
    ensure!(page(&web, secret_of(&url)).await?["session"] == "a", "{url}");
    let lives = "SELECT extract(epoch FROM expires_at - created_at)::int::text FROM wa.token WHERE purpose = 'link'";
    ensure!(text(&db.pool, lives).await? == "7200");

    done(&["token", "revoke", "anna"]).await?;
    ensure!(done(&["token", "list"]).await?[0]["state"] == "revoked");
    ensure!(request(&web, &cookie, "viewer", "SELECT").await == Err("WA050".into()));
    let cases: [(&[&str], &str); 8] = [
        (&["token", "add", "bot"], "a live token is named"),
        (&["token", "add", "x", "--scope", "owner"], "possible values: viewer, operator, admin"),
        (&["token", "add", "x", "--tenant", "nobody"], "does not exist"),
        (&["token", "add", "x", "--valid", "90"], "such as 30min, 12h or 90d"),
        (&["token", "add", "x", "--valid", "soon"], "soon"),
        (&["token", "revoke", "anna"], "no live token is named"),
        (&["session", "link", "a", "--valid", "2h"], "--url"),
        (&["session", "link", "a", "--url", "--valid", "8d"], "1 second to 7 days"),
    ];
    for (arguments, words) in cases {
        let said = refusal(arguments).await?;
        ensure!(said.contains(words), "{arguments:?}: {said}");
    }
    Ok(())
}
