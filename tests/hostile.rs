//! Absurd values that are accepted (`tests/refusals.rs` has those that are refused): they end as rows with an outcome,
//! and good messages beside them are sent (Q3, R5).

use crate::support::world::{World, wagres};
use anyhow::{Context, Result, ensure};

/// Statements that Postgres itself refuses, before any trigger runs, and their SQLSTATE.
const NOT_FOR_POSTGRES: &[(&str, &str)] = &[
    (r"SELECT wa.send_text('shop', '+15550002', E'\xff')", "22021"),
    (r"SELECT wa.send_text('shop', '+15550002', E'\xed\xa0\x80')", "22021"),
    (r"SELECT wa.send_text('shop', '+15550002', U&'\D800')", "42601"),
    (r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', '{"\u0000": 1}')"#, "22P05"),
    (r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', '{"batch": "\ud800"}')"#, "22P02"),
    ("INSERT INTO wa.outbound (session, recipient, body, priority) VALUES ('shop', '+15550002', 'x', 32768)", "22003"),
    ("SELECT wa.send_text('shop', '+15550002', 'x', send_at => '294277-01-01')", "22008"),
    ("INSERT INTO wa.session_job (session, kind, worker_id) VALUES ('shop', 'connect', 'x')", "22P02"),
];

const ACCEPTED: &[&str] = &[
    // Bodies: noncharacters, text direction, long combining sequences, four bytes a character, SQL, blank.
    r"SELECT wa.send_text('shop', '+15550002', E'\uFFFE\uFFFF\u200F\u202E\u0001\uFEFF')",
    r"SELECT wa.send_text('shop', '+15550002', 'e' || repeat(U&'\0301', 5000))",
    r"SELECT wa.send_text('shop', '+15550002', repeat(U&'\+01F4A9', 65536))",
    r"SELECT wa.send_text('shop', '+15550002', '''); DROP TABLE wa.outbound; --')",
    r"SELECT wa.send_text('shop', '+15550002', '\u0000')",
    "SELECT wa.send_text('shop', '+15550002', ' ')",
    // Orders at their limits.
    "SELECT wa.send_text('shop', '+15550002', 'least', priority => -100, max_attempts => 1000)",
    "SELECT wa.send_text('shop', '+15550002', 'late', send_at => '4713-01-01 BC')",
    "SELECT wa.send_text('shop', '+15550002', 'for long', expires_at => '2999-12-31')",
    r"SELECT wa.send_text('shop', '+15550002', 'once', dedupe_key => repeat(U&'\0001', 255))",
    "SELECT wa.send_text('shop', '+15550002', 'once more', dedupe_key => ''' OR 1 = 1 --')",
    "INSERT INTO wa.outbound (session, recipient, body, message_id) VALUES ('shop', '+15550002', 'own id', repeat('9', 40))",
    // Columns that only the worker may set.
    "INSERT INTO wa.outbound (session, recipient, body, status, attempts, created_at, errors, given_id, apart)
     VALUES ('shop', '+15550002', 'claims', 'sending', 2147483647, 'infinity', '[1e308]', true, true)",
    "INSERT INTO wa.session_job (session, kind, attempts, status, worker_id, created_at, started_at, finished_at)
     VALUES ('shop', 'connect', 2147483647, 'running', gen_random_uuid(), 'infinity', 'infinity', '-infinity')",
    "INSERT INTO wa.session_job (session, kind, reason, run_at)
     VALUES ('shop', 'reconnect', repeat('x', 1000), '4713-01-01 BC')",
    "INSERT INTO wa.maintenance_job (kind, attempts, status, errors, created_at, worker_id)
     VALUES ('sweep_keys', 2147483647, 'running', '1e308', '-infinity', gen_random_uuid())",
    r#"INSERT INTO wa.maintenance_job (kind, args, schedule, tick)
       VALUES ('retention', '{"dry_run": true, "inbox_days": 36500}', repeat('x', 1000000), 'infinity')"#,
    "INSERT INTO wa.session (name, status, desired, failures, qr, qr_expires_at, connected_at, status_at, created_at)
     VALUES ('liar', 'connected', 'connected', 2147483647, repeat('x', 1000000), 'infinity', 'infinity', 'infinity', 'infinity')",
    "INSERT INTO wa.session (name, status, desired, failures, jid)
     VALUES ('liar2', 'linking', 'connected', -2147483648, repeat('@', 1000000))",
    // Pacing and schedules at their limits.
    "SELECT wa.set_pacing('shop', per_minute => 6000, burst => 10000, quiet_from => '24:00', quiet_until => '00:00',
                          first_contacts => 2147483647)",
    "SELECT wa.schedule('x', '59 23 31 12 *', 'text',
                        jsonb_build_object('recipient', '+15550002', 'body', repeat('x', 65536)), 'shop')",
    "SELECT wa.run_now('x')",
];

#[tokio::test]
async fn q3_r5_hostile_values_end_as_rows_with_an_outcome_and_the_queue_goes_on() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    for (sql, code) in NOT_FOR_POSTGRES {
        let error =
            sqlx::raw_sql(*sql).execute(world.pool()).await.err().with_context(|| format!("accepted: {sql}"))?;
        let found = error.as_database_error().and_then(|error| error.code().map(String::from));
        ensure!(found.as_deref() == Some(*code), "{sql}: {error}");
    }
    for (n, sql) in ACCEPTED.iter().enumerate() {
        sqlx::raw_sql(*sql).execute(world.pool()).await.with_context(|| (*sql).to_owned())?;
        // A good message behind it, to another chat, is sent all the same.
        let other = format!("15551{n:03}");
        world.phone(&other).await?;
        let good = world.send("shop", &other, "good").await?;
        world.message_is(good, "read").await.with_context(|| format!("stuck after {sql}"))?;
    }
    world.holds("SELECT bool_and(status = 'read') FROM wa.outbound").await?;
    world.holds("SELECT bool_and(status IN ('done', 'cancelled')) FROM wa.session_job WHERE session = 'shop'").await?;
    world.holds("SELECT bool_and(status = 'done') FROM wa.maintenance_job").await?;
    // Columns set by the inserter were reset, so that nothing acts on them.
    world
        .holds("SELECT bool_and(status = 'new' AND failures = 0 AND qr IS NULL AND jid IS NULL) FROM wa.session WHERE name LIKE 'liar%'")
        .await?;
    world.session_is("shop", "connected").await?;
    let seen = world.seen_by("15550002").await?;
    let bodies: Vec<String> =
        sqlx::query_scalar("SELECT body FROM wa.outbound WHERE chat = '15550002@s.whatsapp.net' ORDER BY id")
            .fetch_all(world.pool())
            .await?;
    ensure!(
        seen == bodies,
        "a text arrived changed or in another order: {:?}",
        seen.iter().map(String::len).collect::<Vec<_>>()
    );
    // The command line can show all these rows.
    for arguments in [["jobs", "list"], ["jobs", "queue"], ["session", "list"], ["schedule", "list"]] {
        let shown = wagres().args(["--database-url", &world.db.url]).args(arguments).output().await?;
        ensure!(shown.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&shown.stderr));
    }
    let alone = format!("SELECT count(*) FROM wa.worker WHERE pid = {}", worker.pid()?);
    ensure!(world.count(&alone).await? == 1, "the worker did not keep its id");
    worker.stop().await
}
