//! Restores of the whole database and failovers (R7): how they are noticed, and what follows.

use super::copies::{FRIEND, close, connect, linked, links, no_key_was_used_twice, path, talks};
use crate::support::db::{self, TestDb};
use crate::support::server::{Server, client};
use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

/// Whether a session has once started new Signal sessions, for that reason.
fn resets(session: &str, reason: &str) -> String {
    format!(
        "SELECT count(*) = 1 FROM wa.event WHERE kind = 'ratchets_reset' AND session = '{session}' AND data->>'reason' = '{reason}'
         AND (data->>'keys')::integer > 0"
    )
}

async fn no_reset(world: &World, session: &str) -> Result<()> {
    let reset = format!("SELECT count(*) FROM wa.event WHERE kind = 'ratchets_reset' AND session = '{session}'");
    ensure!(world.count(&reset).await? == 0, "{session} was reset");
    Ok(())
}

async fn done(mut command: tokio::process::Command) -> Result<()> {
    let output = command.output().await?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A linked session on a Postgres server of its own.
async fn linked_on_its_own() -> Result<(World, Worker, Server)> {
    let (db, server) = db::fresh_on_its_own().await;
    let world = World::on(db).await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__LEASE_SECONDS", "10");
    let worker = Worker::start(command).await?;
    links(&world).await?;
    Ok((world, worker, server))
}

/// The same world after its pool was closed, on a database that may be another one.
async fn reopened(world: World, url: String) -> Result<World> {
    Ok(World { db: TestDb { pool: sqlx::PgPool::connect(&url).await?, url }, ..world })
}

/// Messages that the database forgets when it is restored.
async fn advances(world: &World) -> Result<()> {
    for n in 0..3 {
        talks(world, &format!("lost {n}")).await?;
    }
    no_reset(world, "shop").await
}

/// A worker that starts after a restore notices it, once.
async fn is_noticed_at_the_start(world: &World) -> Result<()> {
    let reset = resets("shop", "the database was restored");
    for text in ["after the restore", "and on"] {
        let worker = world.worker().await?;
        talks(world, text).await?;
        world.holds(&reset).await?;
        no_key_was_used_twice(world).await?;
        worker.stop().await?;
    }
    Ok(())
}

/// A restore from an older moment into another database: a copy, which stays while the original continues.
#[tokio::test]
async fn r7_a_restored_database_is_detected_and_uses_no_key_twice() -> Result<()> {
    let (world, worker) = linked().await?;
    worker.stop().await?;
    let (original, copy) = (world.db.url.clone(), format!("{}_restored", world.db.url));
    let (server, name) = original.rsplit_once('/').context("a URL")?;
    world.db.pool.close().await;
    let postgres = sqlx::PgPool::connect(&format!("{server}/postgres")).await?;
    let create = format!("CREATE DATABASE \"{name}_restored\" TEMPLATE \"{name}\"");
    sqlx::query(AssertSqlSafe(create)).execute(&postgres).await?;
    let world = reopened(world, original).await?;
    let worker = world.worker().await?;
    advances(&world).await?;
    worker.stop().await?;
    is_noticed_at_the_start(&reopened(world, copy).await?).await
}

/// The server, the database and its timeline stay the same; the tables are created again.
#[tokio::test]
async fn r7_pg_restore_into_the_same_database_is_detected() -> Result<()> {
    let (world, worker) = linked().await?;
    worker.stop().await?;
    let folder = tempfile::tempdir()?;
    let dump = folder.path().join("dump");
    let url = world.db.url.clone();
    let mut pg_dump = client("pg_dump");
    pg_dump.args(["--format=custom", "--file", path(&dump)?, &url]);
    done(pg_dump).await?;

    let worker = world.worker().await?;
    advances(&world).await?;
    worker.stop().await?;
    world.db.pool.close().await;
    let mut pg_restore = client("pg_restore");
    pg_restore.args(["--clean", "--if-exists", "--exit-on-error", "--dbname", &url, path(&dump)?]);
    done(pg_restore).await?;
    is_noticed_at_the_start(&reopened(world, url).await?).await
}

/// Nothing in a restored volume shows that it is not the present one. The worker remembers what it saw.
#[tokio::test]
async fn r7_a_snapshot_of_the_volume_under_a_running_worker_is_detected() -> Result<()> {
    let (world, worker, server) = linked_on_its_own().await?;
    server.snapshot().await?;
    let beats: i64 = world.count("SELECT max(beats) FROM wa.witness").await?;
    advances(&world).await?;
    // What the process remembers.
    world.holds(&format!("SELECT max(beats) > {beats} FROM wa.witness")).await?;
    server.roll_back().await?;
    world.holds(&resets("shop", "the database was restored")).await?;
    talks(&world, "after the restore").await?;
    no_key_was_used_twice(&world).await?;
    worker.stop().await
}

/// A session of another account, with a Signal session, that is closed.
async fn closed_cafe(world: &World) -> Result<()> {
    world.link("cafe", "15550003").await?;
    let id = world.send("cafe", FRIEND, "from the cafe").await?;
    world.message_is(id, "read").await?;
    sqlx::query("SELECT wa.close('cafe')").execute(world.pool()).await?;
    world.holds("SELECT holder IS NULL FROM wa.lease WHERE session_id = wa.session_id('cafe')").await
}

/// The closed session is as it was, until it connects.
async fn resets_when_it_connects(world: &World, reason: &str) -> Result<()> {
    let keys = "SELECT count(*) > 0 FROM wa.auth_key WHERE kind = 'session' AND session_id = wa.session_id('cafe')";
    world.holds(keys).await?;
    no_reset(world, "cafe").await?;
    sqlx::query("SELECT wa.connect('cafe')").execute(world.pool()).await?;
    world.session_is("cafe", "connected").await?;
    world.holds(&resets("cafe", reason)).await?;
    let id = world.send("cafe", FRIEND, "from the cafe again").await?;
    world.message_is(id, "read").await
}

#[tokio::test]
async fn r7_after_a_failover_each_session_is_reset_when_it_connects() -> Result<()> {
    const REASON: &str = "the server failed over, or was recovered to an earlier moment";
    let (world, worker, server) = linked_on_its_own().await?;
    closed_cafe(&world).await?;
    server.promote().await?;
    world.holds(&resets("shop", REASON)).await?;
    talks(&world, "after").await?;
    resets_when_it_connects(&world, REASON).await?;
    // A former holder, had it been frozen all the while, finds none of its epochs again.
    world.holds("SELECT bool_and(epoch > 1048576) FROM wa.lease").await?;
    no_key_was_used_twice(&world).await?;
    worker.stop().await
}

#[tokio::test]
async fn r7_wa_restored_resets_each_session_when_it_connects() -> Result<()> {
    let (world, worker) = linked().await?;
    closed_cafe(&world).await?;
    ensure!(world.count("SELECT wa.restored()").await? == 2);
    world.holds(&resets("shop", "wa.restored() was called")).await?;
    talks(&world, "after").await?;
    resets_when_it_connects(&world, "wa.restored() was called").await?;
    no_key_was_used_twice(&world).await?;
    // A connection as usual resets nothing.
    close(&world).await?;
    connect(&world).await?;
    world.holds(&resets("shop", "wa.restored() was called")).await?;
    worker.stop().await
}

/// A transaction of an operator that stays open holds up no heartbeat.
#[tokio::test]
async fn r7_a_restore_that_is_not_committed_stops_no_worker() -> Result<()> {
    let (world, worker) = linked().await?;
    let mut open = world.pool().begin().await?;
    sqlx::query("SELECT wa.restored()").execute(&mut *open).await?;
    let beats: i64 = world.until("SELECT beats FROM wa.witness").await?;
    world.holds(&format!("SELECT beats > {beats} + 2 FROM wa.witness")).await?;
    talks(&world, "meanwhile").await?;
    open.rollback().await?;
    no_reset(&world, "shop").await?;
    worker.stop().await
}

const DETECT: &str = "SELECT reason FROM wa.detect_restore('00000000-0000-0000-0000-000000000001', NULL, NULL)";

/// An operator reports a restore in a transaction that stays open, and workers notice another one meanwhile.
#[tokio::test]
async fn r8_r7_an_open_transaction_of_an_operator_holds_up_no_detection() -> Result<()> {
    let db = db::fresh().await;
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&db.pool).await?;
    ensure!(found.is_none(), "{found:?}");
    let mut open = db.pool.begin().await?;
    sqlx::query("SELECT wa.restored()").execute(&mut *open).await?;
    sqlx::query("UPDATE wa.auth_home SET timeline = 7").execute(&db.pool).await?;
    let mut worker = db.pool.acquire().await?;
    sqlx::query("SET lock_timeout = '1s'").execute(&mut *worker).await?;
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&mut *worker).await?;
    ensure!(found.is_some_and(|reason| reason.contains("failed over")));
    // What the operator reported has ended with the home before.
    open.commit().await?;
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&mut *worker).await?;
    ensure!(found.is_none(), "{found:?}");
    sqlx::query("SELECT wa.restored()").execute(&db.pool).await?;
    for expected in [Some("wa.restored() was called"), None] {
        let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&mut *worker).await?;
        ensure!(found.as_deref() == expected, "{found:?}");
    }
    Ok(())
}

/// Transactions have other numbers on another server. What a consumer waits for has ended there.
#[tokio::test]
async fn r7_m5_a_new_consumer_gets_after_a_restore_what_was_being_stored() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(AssertSqlSafe(format!("{DETECT}; SELECT wa.add_session('shop')"))).execute(&db.pool).await?;
    let store = "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message)
                 SELECT name, session_id, 'c', 'c', 'M', 'text', false, now(), '{}' FROM wa.session";
    let mut storing = db.pool.begin().await?;
    sqlx::query(store).execute(&mut *storing).await?;
    sqlx::query("SELECT wa.add_consumer('crm'), wa.add_consumer('held')").execute(&db.pool).await?;
    storing.commit().await?;
    let mut reader = db.pool.begin().await?;
    sqlx::query("SELECT FROM wa.consumer WHERE name = 'held' FOR UPDATE").execute(&mut *reader).await?;
    sqlx::query("UPDATE wa.auth_home SET system_identifier = 7").execute(&db.pool).await?;
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&db.pool).await?;
    ensure!(found.as_deref() == Some("the database was restored"), "{found:?}");
    reader.rollback().await?;
    let begun: Vec<String> =
        sqlx::query_scalar("SELECT name FROM wa.consumer WHERE seen IS NOT NULL").fetch_all(&db.pool).await?;
    ensure!(begun == ["held"], "{begun:?}");
    let unread: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.unread").fetch_one(&db.pool).await?;
    ensure!(unread == 1, "{unread}");
    Ok(())
}

#[tokio::test]
async fn r7_what_the_server_hides_is_not_compared() -> Result<()> {
    let db = db::fresh().await;
    let mut worker = db.pool.acquire().await?;
    let hide = "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC;
                REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC;
                SET ROLE wa_worker";
    sqlx::raw_sql(hide).execute(&mut *worker).await?;
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&mut *worker).await?;
    ensure!(found.is_none(), "{found:?}");
    let stored = "SELECT jsonb_build_array(system_identifier IS NULL, timeline IS NULL, database_oid IS NULL, auth_oid IS NULL) FROM wa.auth_home";
    let unknown: serde_json::Value = sqlx::query_scalar(stored).fetch_one(&mut *worker).await?;
    ensure!(unknown == json!([true, true, false, false]), "{unknown}");
    // Whoever may see it adds it, and resets nothing.
    let found: Option<String> = sqlx::query_scalar(DETECT).fetch_one(&db.pool).await?;
    ensure!(found.is_none(), "{found:?}");
    let unknown: serde_json::Value = sqlx::query_scalar(stored).fetch_one(&db.pool).await?;
    ensure!(unknown == json!([false, false, false, false]), "{unknown}");
    // What is known is still compared.
    for (part, hidden, seen) in
        [("timeline", false, true), ("system_identifier", false, true), ("auth_oid", true, true)]
    {
        sqlx::query(AssertSqlSafe(format!("UPDATE wa.auth_home SET {part} = 7"))).execute(&db.pool).await?;
        let changed = "SELECT wa.home_change(k) IS NOT NULL FROM wa.auth_home k";
        let of_worker: bool = sqlx::query_scalar(changed).fetch_one(&mut *worker).await?;
        let of_owner: bool = sqlx::query_scalar(changed).fetch_one(&db.pool).await?;
        ensure!((of_worker, of_owner) == (hidden, seen), "{part}: {of_worker} {of_owner}");
        let again = "UPDATE wa.auth_home k SET timeline = h.timeline, system_identifier = h.system_identifier, auth_oid = h.auth_oid FROM wa.home() h";
        sqlx::query(again).execute(&db.pool).await?;
    }
    Ok(())
}

/// While the server does not say which one it is, nobody knows whether it is another one: workers wait.
#[tokio::test]
async fn r7_a_database_that_does_not_tell_its_identity_for_a_while_resets_nothing() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    let state = "SELECT jsonb_build_array(l.holder, l.epoch, s.connected_at, (SELECT home FROM wa.auth_home), (SELECT worker_id FROM wa.worker))
                 FROM wa.lease l JOIN wa.session s USING (session_id)";
    let before: Value = world.until(state).await?;
    let home: String = world.until("SELECT pg_get_functiondef('wa.home()'::regprocedure)").await?;
    // The number of calls is counted although their transactions are rolled back.
    sqlx::raw_sql(
        "CREATE SEQUENCE public.asked; GRANT USAGE ON SEQUENCE public.asked TO PUBLIC;
         CREATE OR REPLACE FUNCTION wa.home(OUT system_identifier bigint, OUT database_oid oid, OUT timeline integer, OUT auth_oid oid)
         LANGUAGE plpgsql AS $$ BEGIN
            PERFORM nextval('public.asked');
            RAISE EXCEPTION 'could not read the control file' USING ERRCODE = 'XX000';
         END $$",
    )
    .execute(world.pool())
    .await?;
    world.holds("SELECT last_value >= 3 FROM public.asked").await?;
    sqlx::raw_sql(AssertSqlSafe(home)).execute(world.pool()).await?;
    let lease: String = world.until("SELECT lease_until::text FROM wa.worker").await?;
    world.holds(&format!("SELECT lease_until > '{lease}' FROM wa.worker")).await?;
    let after: Value = world.until(state).await?;
    ensure!(after == before, "{before} became {after}");
    world.session_is("shop", "connected").await?;
    ensure!(world.count("SELECT count(*) FROM wa.event WHERE kind = 'ratchets_reset'").await? == 0, "reset");
    worker.stop().await
}
