//! Who asks: each tenant, all at once, and the command line.

use super::{ANNA, NOTHING, says, shop};
use crate::support::db::fresh;
use crate::support::logins::{expect, login, run, two_tenants};
use crate::support::until::LIMIT;
use crate::support::world::{World, wagres};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::test]
async fn s12_q14_each_caller_learns_the_reasons_of_its_tenants() -> Result<()> {
    let db = two_tenants().await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    let id = async |session: &str| -> Result<i64> {
        let id = sqlx::query_scalar("SELECT min(id) FROM wa.outbound WHERE session = $1").bind(session);
        Ok(id.fetch_one(&db.pool).await?)
    };
    let (own, other) = (id("a").await?, id("b").await?);
    expect(
        &app,
        &[
            ("SELECT FROM wa.reasons()", Ok(1)),
            ("SELECT FROM wa.reasons() WHERE session = 'a' AND reason = 'not linked (wa.link)' AND stuck", Ok(1)),
            ("SELECT FROM wa.reasons(ARRAY['a', 'b', 'nobody']) WHERE session = 'a' AND stuck", Ok(1)),
            ("SELECT FROM wa.reasons(ARRAY['b'])", Ok(0)),
            ("SELECT FROM wa.reasons(NULL::text[])", Ok(0)),
            ("SELECT wa.why('a')", Ok(1)),
            (&format!("SELECT WHERE wa.why({own}) = 'session a: not linked (wa.link)'"), Ok(1)),
            ("SELECT wa.why('b')", Err("WA001")),
            ("SELECT wa.why('nobody')", Err("WA001")),
            ("SELECT wa.why(NULL::text)", Err("WA001")),
            (&format!("SELECT wa.why({other})"), Err("WA048")),
            ("SELECT wa.why(99999)", Err("WA048")),
            ("SELECT wa.why(NULL::bigint)", Err("WA048")),
            ("SELECT wa.session_reasons('{1,2}')", Err("42501")),
            ("SELECT wa.pause('a', 'by the application')", Ok(1)),
        ],
    )
    .await?;
    // The login itself, although the function runs with its owner's rights.
    let name: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&app).await?;
    says(
        &app,
        "wa.why('a')",
        &format!("not linked (wa.link); paused by {name} since %: by the application (wa.resume)"),
    )
    .await?;
    run(&app, "SELECT wa.resume('a')").await?;
    let paused = "SELECT FROM wa.session WHERE num_nonnulls(paused_at, paused_by, paused_reason) > 0";
    expect(&db.pool, &[(paused, Ok(0))]).await?;
    for (role, tenant, sessions) in
        [("wa_readonly", Some("bolt"), 1), ("wa_readonly", None, 0), ("wa_admin", None, 2), ("wa_worker", None, 2)]
    {
        let reader = login(&db, role, tenant).await?;
        expect(&reader, &[("SELECT FROM wa.reasons()", Ok(sessions))]).await?;
    }
    let admin = crate::support::logins::outcome;
    ensure!(admin(&db.pool, "SELECT wa.pause_tenant('bolt', 'unpaid')").await == Ok(1));
    says(&db.pool, "wa.why('b')", "not linked (wa.link); tenant bolt paused by % since %: unpaid (wa.resume_tenant)")
        .await
}

#[tokio::test]
async fn s12_why_reads_no_more_than_what_is_asked_for() -> Result<()> {
    let db = fresh().await;
    run(
        &db.pool,
        "SET session_replication_role = replica;
         INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
         VALUES ('00000000-0000-0000-0000-000000000001', 'h', 1, '1', now() + interval '1 day', 20000);
         INSERT INTO wa.session (name, tenant, status, desired, jid, paused_at)
         SELECT 's' || n, 'default', 'connected', 'connected', n || ':1@s.whatsapp.net', CASE WHEN n % 3 = 0 THEN now() END
         FROM generate_series(1, 10000) n;
         INSERT INTO wa.lease (session_id, holder, epoch) SELECT session_id, '00000000-0000-0000-0000-000000000001', 1 FROM wa.session;
         INSERT INTO wa.sending (session_id, gate_until, contacts_on, contacts_today)
         SELECT session_id, now() + interval '1 h', current_date, 10 FROM wa.session;
         INSERT INTO wa.pacing (session_id, per_minute, first_contacts, quiet_from, quiet_until)
         SELECT session_id, 20, 10, '02:00', '01:59:59' FROM wa.session WHERE session_id % 2 = 0;
         INSERT INTO wa.outbound (session_id, session, recipient, chat, body, message_id, status, sent_at)
         SELECT 1 + n % 10000, 's' || 1 + n % 10000, '1555', n % 70 || '@s.whatsapp.net', 'x', 'M' || n,
                CASE WHEN n % 5 = 0 THEN 'sent' ELSE 'queued' END::wa.outbound_status, CASE WHEN n % 5 = 0 THEN now() END
         FROM generate_series(1, 200000) n;
         INSERT INTO wa.outbound_queue (session_id, id, rank, chat, waits_for, run_at)
         SELECT o.session_id, o.id, 0, o.chat, CASE WHEN o.id % 5 = 1 THEN 'scheduled' END::wa.wait_reason,
                CASE WHEN o.id % 5 = 1 THEN now() + interval '1 day' END
         FROM wa.outbound o WHERE o.status = 'queued'",
    )
    .await?;
    run(&db.pool, "VACUUM ANALYZE").await?;
    let mut one = db.pool.begin().await?;
    // Counts of blocks do not depend on the machine or on what else it does.
    let blocks = async |connection: &mut sqlx::PgConnection, query: &'static str| -> Result<u64> {
        let explain = AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"));
        let plan: Value = sqlx::query_scalar(explain).fetch_one(connection).await?;
        let of = |what: &str| plan[0]["Plan"][what].as_u64().with_context(|| format!("no {what} in {plan}"));
        Ok(of("Shared Hit Blocks")? + of("Shared Read Blocks")?)
    };
    let found: i64 = sqlx::query_scalar("SELECT count(reason) FROM wa.reasons()").fetch_one(&mut *one).await?;
    ensure!(found > 5_000, "{found}");
    let all = blocks(&mut one, "SELECT count(reason) FROM wa.reasons()").await?;
    let session = blocks(&mut one, "SELECT wa.why('s3')").await?;
    let message = blocks(&mut one, "SELECT wa.why((SELECT max(id) FROM wa.outbound WHERE status = 'queued'))").await?;
    ensure!(all < 25 * 10_000, "10,000 sessions read {all} blocks");
    ensure!(session < 1_000 && message < 1_000, "a session reads {session} blocks, a message {message}");
    // What this transaction has read.
    let scans: (i64, i64) = sqlx::query_as(
        "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relid = 'wa.outbound_queue'::regclass",
    )
    .fetch_one(&mut *one)
    .await?;
    ensure!(scans.0 == 0 && scans.1 > 10_000, "sequential and index scans of wa.outbound_queue: {scans:?}");
    Ok(())
}

/// The lines of JSON of a command that must succeed.
async fn lines(world: &World, arguments: &[&str]) -> Result<Vec<Value>> {
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", &world.db.url]).args(arguments);
    let done = tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    ensure!(done.status.success(), "{arguments:?}: {text} {}", String::from_utf8_lossy(&done.stderr));
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

#[tokio::test]
async fn s12_h7_the_command_line_says_why_and_shows_each_change() -> Result<()> {
    let (world, worker) = shop().await?;
    let pool = world.pool();
    run(pool, "SELECT wa.add_tenant('acme'), wa.add_session('idle', 'acme'), wa.add_session('42', 'acme')").await?;
    let id = world.send("shop", ANNA, "Hello").await?;
    world.message_is(id, "read").await?;
    let why = lines(&world, &["why", "shop"]).await?;
    ensure!(why == [json!({ "session": "shop", "why": NOTHING })], "{why:?}");
    let why = lines(&world, &["why", &id.to_string()]).await?;
    ensure!(why[0]["message"] == id && why[0]["why"].as_str().is_some_and(|why| why.starts_with("sent at")), "{why:?}");
    // The name of a session may be a number.
    let why = lines(&world, &["why", "42"]).await?;
    ensure!(why == [json!({ "session": "42", "why": "not linked (wa.link)" })], "{why:?}");
    let shown = lines(&world, &["session", "show", "idle"]).await?;
    ensure!(shown[0]["why"] == "not linked (wa.link)", "{shown:?}");

    let names = async |arguments: &[&str]| -> Result<Vec<String>> {
        let rows = lines(&world, &[&["session", "list"], arguments].concat()).await?;
        Ok(rows.iter().filter_map(|row| Some(row["session"].as_str()?.to_owned())).collect())
    };
    ensure!(names(&[]).await? == ["42", "idle", "shop"]);
    ensure!(names(&["--status", "connected"]).await? == ["shop"]);
    ensure!(names(&["--tenant", "acme"]).await? == ["42", "idle"]);
    ensure!(names(&["--stuck"]).await?.is_empty());
    let mut unknown = wagres();
    unknown.args(["--database-url", &world.db.url, "session", "list", "--tenant", "nobody"]);
    ensure!(!unknown.output().await?.status.success(), "an unknown tenant is accepted");

    let mut watch = wagres();
    watch.args([
        "--json",
        "--log",
        "error",
        "--database-url",
        &world.db.url,
        "session",
        "list",
        "--watch",
        "--tenant",
        "default",
    ]);
    let mut watch = watch.stdout(Stdio::piped()).spawn()?;
    let mut printed = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let mut next = async || -> Result<Value> {
        let line = tokio::time::timeout(LIMIT, printed.next_line()).await.context("no line")??;
        Ok(serde_json::from_str(&line.context("the command has ended")?)?)
    };
    let first = next().await?;
    ensure!(first["session"] == "shop" && first["reason"].is_null() && first["stuck"] == false, "{first}");
    ensure!(first["since"].as_str().is_some_and(|since| since.starts_with("20")), "{first}");
    run(pool, "SELECT wa.pause('shop', 'lunch')").await?;
    let second = next().await?;
    ensure!(second["reason"].as_str().is_some_and(|reason| reason.contains("lunch")), "{second}");
    run(pool, "UPDATE wa.session SET tenant = 'acme' WHERE name = 'shop'").await?;
    let third = next().await?;
    ensure!(third == json!({ "session": "shop", "listed": false }), "{third}");
    let pid = watch.id().context("the command has ended")?.to_string();
    ensure!(tokio::process::Command::new("kill").args(["-s", "TERM", &pid]).status().await?.success());
    ensure!(tokio::time::timeout(LIMIT, watch.wait()).await??.success());

    // For people: when in words, and the reason.
    let mut list = wagres();
    list.args(["--database-url", &world.db.url, "session", "list"]);
    let text = String::from_utf8(list.output().await?.stdout)?;
    ensure!(text.contains(" ago ") && text.contains("not linked (wa.link)") && text.contains("paused by"), "{text}");
    worker.stop().await
}
