//! R8: a transaction of an application that calls any public function and stays open holds up nobody else.
//!
//! Each function is called for the session `shop`, which a real worker holds, and for `left`, which a dead worker held
//! with messages in hand. While the transaction is open, the other sessions send and receive, the heartbeat goes on,
//! the dead worker's other session becomes free, and the schema is migrated.

mod calls;
mod migrate;

use crate::support::db::TestDb;
use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use calls::{CALLS, INTERNAL};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use wagres::db::migrate::migrate;

/// Functions that may lock something and that an application, an administrator or a web process may call.
const PUBLIC: &str = "SELECT DISTINCT p.proname::text FROM pg_proc p
    WHERE p.pronamespace = 'wa'::regnamespace AND p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype
      AND EXISTS (SELECT FROM unnest('{wa_app,wa_admin,wa_web}'::text[]) r WHERE has_function_privilege(r, p.oid, 'EXECUTE'))
      AND p.proname NOT IN (SELECT 'send_' || k.kind FROM wa.message_kinds() k UNION ALL SELECT a.kind FROM wa.actions() a)
    ORDER BY 1";

async fn run(db: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.with_context(|| sql.to_owned())?;
    Ok(())
}

/// What the functions work on, in the sessions `shop` and `left`.
const PREPARED: &str = "
    SELECT wa.add_tenant('acme'), wa.add_tenant('bolt'), wa.grant_tenant('wa_app', 'acme');
    SELECT wa.add_session('left'), wa.add_session('freed'), wa.add_session('unlinked-shop'), wa.add_session('unlinked-left');
    INSERT INTO wa.auth_quarantine (session_id, kind, key_id, value, reason)
    SELECT session_id, kind, '', '{}', 'unlinked' FROM wa.session, unnest('{creds,pre-key}'::text[]) kind WHERE name LIKE 'unlinked-%';
    SELECT wa.add_consumer('old'), wa.add_consumer('old-shop'), wa.add_consumer('old-left');
    SELECT wa.add_webhook('hook-' || s, 'http://127.0.0.1:9', '{*}') FROM unnest('{shop,left}'::text[]) s;
    INSERT INTO wa.outbound (session, recipient, body, send_at, campaign)
    SELECT s, '1555009' || n, 'later', now() + interval '1 day', CASE n WHEN 1 THEN 'may' WHEN 2 THEN 'june' END
    FROM unnest('{shop,left}'::text[]) s, generate_series(1, 4) n;
    SELECT wa.pause_campaign('shop', 'june'), wa.pause_campaign('left', 'june');
    UPDATE wa.outbound SET status = 'failed', failed_at = now() WHERE recipient = '15550093';
    DELETE FROM wa.outbound_queue WHERE id IN (SELECT id FROM wa.outbound WHERE recipient = '15550093');
    UPDATE wa.outbound_queue SET waits_for = 'paced' WHERE id IN (SELECT id FROM wa.outbound WHERE recipient = '15550094');
    INSERT INTO wa.outbound (session, recipient, body) VALUES ('left', '15550095', 'in hand');
    INSERT INTO wa.session_job (session, kind, run_at)
    SELECT s, kind, now() + interval '1 day' FROM unnest('{shop,left}'::text[]) s, unnest('{reconnect,list_groups}'::text[]) kind;
    INSERT INTO wa.session_job (session, kind, run_at) SELECT s, 'connect', now() + interval '1 day' FROM unnest('{shop,left}'::text[]) s;
    UPDATE wa.session_job SET status = 'cancelled' WHERE kind = 'connect' AND run_at > now();
    UPDATE wa.session SET desired = 'stopped', wished_at = NULL WHERE name = 'left';
    INSERT INTO wa.maintenance_job (kind, run_at) SELECT 'resource_report', now() + interval '1 day' FROM generate_series(1, 4);
    UPDATE wa.maintenance_job SET status = 'failed' WHERE id IN (SELECT id FROM wa.maintenance_job ORDER BY id DESC LIMIT 2);
    INSERT INTO wa.passkey (session_id, session, request, expires_at)
    SELECT session_id, name, '{}', now() + interval '1 day' FROM wa.session WHERE name IN ('shop', 'left');
    SELECT wa.schedule('of-' || s, '0 8 29 2 *', 'close', session => s) FROM unnest('{shop,left}'::text[]) s;
    SELECT wa.add_download_rule('shop', '{sticker}');
    INSERT INTO wa.company (salon_id, session_id, tenant) SELECT session_id, session_id, tenant FROM wa.session WHERE name IN ('shop', 'left');
    SELECT wa.register_web('https://wa.example.com');
    INSERT INTO wa.token (name, purpose, scope, hash, proxy_user, expires_at)
    SELECT n, 'token', 'operator', wa.secret_hash(n), true, CASE WHEN n LIKE 'ended-%' THEN now() END
    FROM unnest('{anna,anna-shop,anna-left,ended-shop,ended-left}'::text[]) n;
    INSERT INTO wa.token (name, purpose, scope, parent_id, hash, expires_at)
    SELECT 'anna', p::wa.token_purpose, 'operator', token_id, wa.secret_hash(p || '-' || s), now() + interval '1 day'
    FROM wa.token, unnest('{login,cookie}'::text[]) p, unnest('{shop,left}'::text[]) s WHERE name = 'anna';
    -- Of two links one is spent, because the session has connected since.
    INSERT INTO wa.token (name, purpose, tenant, session_id, hash, created_at, expires_at)
    SELECT name, 'link', tenant, session_id, wa.secret_hash(l || '-' || name),
           CASE l WHEN 'linked' THEN coalesce(connected_at, now()) - interval '1 minute' ELSE now() + interval '1 hour' END, now() + interval '1 day'
    FROM wa.session, unnest('{linked,open}'::text[]) l WHERE name IN ('shop', 'left');
    -- Pages of the marketplace that have gone.
    INSERT INTO wa.company_watch SELECT company_id, now() - interval '1 minute' FROM wa.company;
    INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message, media)
    SELECT name, session_id, 'c', 'c', 'M', 'image', false, now(), '{}', '{}' FROM wa.session WHERE name = 'shop'";

/// A worker that died a minute ago, with a message of `left` in hand, and the session `freed`.
const DEAD: &str = "
    INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
    VALUES (gen_random_uuid(), 'dead', 1, 'test', now() + interval '1 day', 1);
    UPDATE wa.lease l SET holder = (SELECT worker_id FROM wa.worker WHERE host = 'dead'), epoch = l.epoch + 1, unsettled = false
    FROM wa.session s WHERE s.session_id = l.session_id AND s.name IN ('left', 'freed');
    UPDATE wa.sending b SET taken = ARRAY(SELECT o.id FROM wa.outbound o WHERE o.session_id = b.session_id AND o.body = 'in hand')
    FROM wa.session s WHERE s.session_id = b.session_id AND s.name = 'left'";

/// The longest time for which a statement of a worker may wait for the application: that of one batch of outcomes.
const MOMENT: f64 = 0.5;

/// What goes on beside the open transaction.
struct Others<'a> {
    world: &'a World,
    /// The backend of the open transaction.
    holder: i32,
    round: usize,
    longest_wait: f64,
    /// How long each step took while no transaction was open, at most.
    usual: BTreeMap<String, Duration>,
    /// A transaction is open.
    open: bool,
}

/// How much longer a step may take while a transaction is open.
const DELAY: Duration = Duration::from_secs(2);

impl Others<'_> {
    /// Looks until `query` gives true, and meanwhile how long workers wait for the open transaction.
    async fn go_on(&mut self, what: &str, query: &str) -> Result<()> {
        let begun = Instant::now();
        self.wait(what, query).await?;
        self.took(what, begun.elapsed())
    }

    /// Keeps how long a step took, or compares it with the usual time if a transaction is open.
    fn took(&mut self, what: &str, took: Duration) -> Result<()> {
        let usual = self.usual.entry(what.to_owned()).or_default();
        if self.open {
            ensure!(took < *usual + DELAY, "{what} took {took:?}; {usual:?} without an open transaction");
        } else {
            *usual = took.max(*usual);
        }
        Ok(())
    }

    async fn wait(&mut self, what: &str, query: &str) -> Result<()> {
        let waits =
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)::float8 FROM pg_stat_activity
                     WHERE application_name LIKE 'wagres %' AND $1 = ANY (pg_blocking_pids(pid))";
        let longest = &mut self.longest_wait;
        until(what, async || {
            let waited: f64 = sqlx::query_scalar(waits).bind(self.holder).fetch_one(self.world.pool()).await?;
            *longest = longest.max(waited);
            let done: Option<bool> =
                sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(self.world.pool()).await?;
            Ok(if done == Some(true) { Ok(()) } else { Err("not yet") })
        })
        .await
    }

    /// Other sessions send and receive, the heartbeat goes on, and a dead worker's session becomes free.
    async fn all_go_on(&mut self) -> Result<()> {
        let (world, round) = (self.world, self.round);
        let lease = "SELECT max(lease_until)::text FROM wa.worker WHERE host <> 'dead'";
        let before: String = sqlx::query_scalar(lease).fetch_one(world.pool()).await?;
        // Wakes the reconciler, which would run within two seconds anyway.
        sqlx::query("SELECT pg_notify('wa_work', 'leases')").execute(world.pool()).await?;
        let mut sent = vec![];
        for session in ["cafe", "bank"] {
            sent.push(world.send(session, "15559999", &format!("{session} {round}")).await?);
            let number = if session == "cafe" { "15550002" } else { "15550003" };
            let text = json!({ "to": number, "text": format!("in {round}") });
            world.control.post("/phones/15559999/send", text).await?;
        }
        for (session, id) in ["cafe", "bank"].into_iter().zip(sent) {
            let query = format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}");
            self.go_on(&format!("a message of {session}"), &query).await?;
            let query =
                format!("SELECT count(*) = 1 FROM wa.inbox WHERE session = '{session}' AND body = 'in {round}'");
            self.go_on(&format!("a message to {session}"), &query).await?;
        }
        let beats = format!("SELECT max(lease_until) > '{before}' FROM wa.worker WHERE host <> 'dead'");
        self.go_on("a heartbeat", &beats).await?;
        let freed =
            "SELECT l.holder IS NULL FROM wa.lease l JOIN wa.session s USING (session_id) WHERE s.name = 'freed'";
        self.go_on("the end of a dead worker", freed).await?;
        let begun = Instant::now();
        migrate(world.pool()).await?;
        self.took("a migration", begun.elapsed())
    }
}

async fn application(db: &TestDb) -> Result<(PgConnection, i32)> {
    let mut connection = PgConnection::connect(&db.url).await?;
    let backend = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
    Ok((connection, backend))
}

#[tokio::test]
async fn r8_no_public_function_that_is_held_open_stops_anybody_else() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    for (session, number) in [("shop", "15550001"), ("cafe", "15550002"), ("bank", "15550003")] {
        world.link(session, number).await?;
    }
    world.phone("15559999").await?;
    let (mut app, holder) = application(&world.db).await?;
    run(&mut app, PREPARED).await?;
    run(&mut app, "UPDATE wa.session SET tenant = 'bolt' WHERE name = 'bank'").await?;

    let public: BTreeSet<String> = sqlx::query_scalar(PUBLIC).fetch_all(world.pool()).await?.into_iter().collect();
    let listed: BTreeSet<String> =
        CALLS.iter().map(|(name, _)| *name).chain(INTERNAL.iter().copied()).map(str::to_owned).collect();
    let unknown: Vec<&String> = public.difference(&listed).collect();
    ensure!(unknown.is_empty(), "public functions without a call in this test: {unknown:?}");

    let usual = BTreeMap::new();
    let mut others = Others { world: &world, holder, round: 0, longest_wait: 0.0, usual, open: false };
    // First some rounds without an open transaction, which show how long each step takes on this machine.
    let nothing = [("nothing", "SELECT 1"); 3];
    for (name, call) in nothing.iter().chain(CALLS) {
        others.open = *name != "nothing";
        run(&mut app, DEAD).await?;
        if others.open {
            run(&mut app, "BEGIN").await?;
            for session in ["shop", "left"] {
                run(&mut app, &call.replace("{s}", session)).await?;
            }
        }
        // Only now is the worker dead, so that its end meets the open transaction.
        sqlx::query("UPDATE wa.worker SET lease_until = now() - interval '1 minute' WHERE host = 'dead'")
            .execute(world.pool())
            .await?;
        others.all_go_on().await.with_context(|| format!("while wa.{name} is held open"))?;
        ensure!(
            others.longest_wait < MOMENT,
            "a worker waited {:.1} s for a transaction that had called wa.{name}",
            others.longest_wait
        );
        if others.open {
            run(&mut app, "ROLLBACK").await?;
        }
        others.round += 1;
        // What it held up is done after its end.
        world.holds("SELECT NOT EXISTS (SELECT FROM wa.worker WHERE host = 'dead')").await?;
        world.holds("SELECT NOT EXISTS (SELECT FROM wa.lease WHERE unsettled)").await?;
        run(
            &mut app,
            "SELECT wa.retry(id) FROM wa.outbound WHERE body = 'in hand' AND status = 'failed';
             UPDATE wa.outbound SET attempts = 0 WHERE body = 'in hand'",
        )
        .await?;
    }
    drop(app);
    worker.stop().await
}

/// The worker is killed while an application has a transaction open on one of its sessions. The other sessions are
/// connected by another worker at once, and that one as soon as the transaction has ended.
#[tokio::test]
async fn r8_sessions_of_a_killed_worker_move_on_while_an_application_holds_one() -> Result<()> {
    let world = World::new().await?;
    let killed = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.link("cafe", "15550002").await?;
    world.phone("15559999").await?;
    let (mut app, _) = application(&world.db).await?;
    run(&mut app, "INSERT INTO wa.outbound (session, recipient, body, send_at) VALUES ('shop', '15559999', 'later', now() + interval '1 day')").await?;
    // How long a failover to a new connection takes on this machine.
    let failover = async |killed: Worker| {
        let other = world.worker().await?;
        let since: String = world.until("SELECT now()::text").await?;
        let begun = Instant::now();
        world.kill(killed).await?;
        let connected =
            format!("SELECT status = 'connected' AND connected_at > '{since}' FROM wa.session WHERE name = 'cafe'");
        world.holds(&connected).await?;
        anyhow::Ok((other, begun.elapsed()))
    };
    let (second, usual) = failover(killed).await?;
    world.session_is("shop", "connected").await?;
    run(&mut app, "BEGIN; SELECT wa.cancel(id) FROM wa.outbound; SELECT wa.pause('shop'), wa.set_pacing('shop', per_minute => 60)").await?;
    let (other, took) = failover(second).await?;
    // Who takes over notices it with its next heartbeat, which may be two seconds away, or none.
    ensure!(
        took < usual + DELAY + Duration::from_secs(2),
        "the failover took {took:?}; {usual:?} without an open transaction"
    );
    let id = world.send("cafe", "15559999", "still here").await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    run(&mut app, "ROLLBACK").await?;
    world.session_is("shop", "connected").await?;
    let id = world.send("shop", "15559999", "back again").await?;
    world.holds(&format!("SELECT sent_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    other.stop().await
}

/// The last net: a worker's statement that waits for a lock after all gives up.
#[tokio::test]
async fn r8_each_connection_of_a_worker_has_a_lock_timeout() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let url = wagres::config::Secret::new(&db.url);
    for pooler in [false, true] {
        let pool = wagres::db::Db::connect_worker(&url, pooler, 2, "test").await?;
        for _ in 0..3 {
            let timeout: String = sqlx::query_scalar("SELECT current_setting('lock_timeout')").fetch_one(&pool).await?;
            ensure!(timeout == "1s", "pooler: {pooler}: {timeout}");
        }
        pool.close().await;
    }
    Ok(())
}
