//! R8: a transaction of an application that calls any public function and stays open holds up nobody else.
//!
//! Each function is called for the session `shop`, which a real worker holds, and for `left`, which a dead worker held
//! with messages in hand. While the transaction is open, the other sessions send and receive, the heartbeat goes on,
//! the dead worker's other session becomes free, and the schema is migrated.

use crate::support::db::TestDb;
use crate::support::logins::{DENIED, expect, login};
use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use wagres::db::migrate::migrate;

/// How each public function is called in a transaction that stays open. `{s}` is the name of the session, once `shop`
/// and once `left`. A function that is not in this list, and is not made from the lists of kinds and actions, fails the
/// test: add a call that locks as much as it can.
const CALLS: &[(&str, &str)] = &[
    // No function, and it locks the row of the campaign.
    (
        "outbound, with a campaign,",
        "INSERT INTO wa.outbound (session, recipient, body, campaign, send_at)
         SELECT '{s}', '15550097', 'x', campaign, now() + interval '1 day' FROM unnest('{may,new}'::text[]) campaign",
    ),
    ("acknowledge_messages", "SELECT wa.acknowledge_messages('old', ARRAY(SELECT id FROM wa.inbox))"),
    (
        "activate_company",
        "SELECT wa.activate_company(company_id, NULL) FROM wa.company JOIN wa.session s USING (session_id) WHERE s.name = '{s}'",
    ),
    ("act", "SELECT wa.act('{s}', 'list_groups', NULL)"),
    ("add_consumer", "SELECT wa.add_consumer('new-{s}', '{s}', since => '-infinity')"),
    ("add_download_rule", "SELECT wa.add_download_rule('{s}')"),
    ("add_media", "SELECT wa.add_media('{s}', 'a file')"),
    ("add_session", "SELECT wa.add_session('new-{s}')"),
    ("add_session_job", "SELECT wa.add_session_job('{s}', 'reconnect')"),
    ("add_tenant", "SELECT wa.add_tenant('new-{s}')"),
    ("add_token", "SELECT wa.add_token('new-{s}'), wa.add_token('ended-{s}')"),
    ("add_webhook", "SELECT wa.add_webhook('new-{s}', 'http://127.0.0.1:9', '{*}', '{s}', since => '-infinity')"),
    ("alter_webhook", "SELECT wa.alter_webhook('hook-{s}', 'http://127.0.0.1:7', headers => '{\"X-Key\": \"1\"}')"),
    (
        "answer_passkey",
        r#"SELECT wa.answer_passkey('{s}', '{"id":"YQ","response":{"clientDataJSON":"YQ","authenticatorData":"YQ","signature":"YQ"}}')"#,
    ),
    ("cancel", "SELECT wa.cancel(id) FROM wa.outbound_queue WHERE session_id = wa.session_id('{s}')"),
    ("cancel_all", "SELECT wa.cancel_all('{s}')"),
    ("cancel_campaign", "SELECT wa.cancel_campaign('{s}', 'may')"),
    (
        "cancel_maintenance_job",
        "SELECT wa.cancel_maintenance_job(id) FROM wa.maintenance_job WHERE status IN ('queued', 'running')",
    ),
    ("cancel_retry", "SELECT wa.retry_failed('{s}'); SELECT wa.cancel_retry(max(id)) FROM wa.retries"),
    (
        "cancel_session_job",
        "SELECT wa.cancel_session_job(id) FROM wa.session_job WHERE session = '{s}' AND status = 'queued'",
    ),
    (
        "change_maintenance_job",
        "SELECT wa.change_maintenance_job(min(id), 'queued') FROM wa.maintenance_job WHERE status = 'failed'",
    ),
    ("claim_messages", "SELECT wa.claim_messages('old')"),
    ("clear_pacing", "SELECT wa.clear_pacing('{s}', 'per_minute'); SELECT wa.clear_pacing('{s}')"),
    ("close", "SELECT wa.close('{s}')"),
    (
        "confirm_passkey",
        "UPDATE wa.passkey SET stage = 'code', code = 'ABCD'; SELECT wa.confirm_passkey('{s}', 'ABCD')",
    ),
    ("close_unwatched", "SELECT wa.close_unwatched()"),
    (
        "company_page_link",
        "SELECT wa.company_page_link(company_id, salon_id) FROM wa.company JOIN wa.session s USING (session_id) WHERE s.name = '{s}'",
    ),
    ("company_pages", "SELECT wa.company_pages(array_agg(company_id), array_agg(salon_id), 60) FROM wa.company"),
    // Only a linked session can be connected.
    (
        "connect",
        "UPDATE wa.session SET jid = coalesce(jid, '1@s.whatsapp.net') WHERE name = '{s}'; SELECT wa.connect('{s}')",
    ),
    ("disable_schedule", "SELECT wa.disable_schedule('of-{s}')"),
    ("disable_webhook", "SELECT wa.disable_webhook('hook-{s}')"),
    ("download", "SELECT wa.download(min(id)) FROM wa.inbox WHERE media IS NOT NULL"),
    ("drain_worker", "SELECT wa.drain_worker(worker_id) FROM wa.worker"),
    ("drop_consumer", "SELECT wa.drop_consumer('old-{s}')"),
    ("drop_webhook", "SELECT wa.drop_webhook('hook-{s}')"),
    ("enable_schedule", "SELECT wa.enable_schedule('of-{s}')"),
    ("enable_webhook", "SELECT wa.disable_webhook('hook-{s}'); SELECT wa.enable_webhook('hook-{s}', '-infinity')"),
    (
        "enter_company",
        "SELECT wa.enter_company(salon_id) FROM wa.company JOIN wa.session s USING (session_id) WHERE s.name = '{s}'",
    ),
    ("grant_tenant", "SELECT wa.grant_tenant('wa_app', 'bolt')"),
    ("keep_past", "SELECT wa.keep_past('{s}')"),
    (
        "hear_partner",
        "SELECT wa.hear_partner(salon_id, 'freeze'), wa.hear_partner(salon_id, 'uninstall') FROM wa.company JOIN wa.session s USING (session_id) WHERE s.name = '{s}'",
    ),
    ("link", "SELECT wa.link('{s}')"),
    ("is_paused_now", "SELECT wa.is_paused_now(session_id, 'may') FROM wa.session WHERE name = '{s}'"),
    ("link_page", "SELECT wa.link_page('linked-{s}')"),
    (
        "link_page_answer",
        r#"SELECT wa.link_page_answer('open-{s}', '{"id":"YQ","response":{"clientDataJSON":"YQ","authenticatorData":"YQ","signature":"YQ"}}')"#,
    ),
    (
        "link_page_confirm",
        "UPDATE wa.passkey SET stage = 'code', code = 'ABCD'; SELECT wa.link_page_confirm('open-{s}', 'ABCD')",
    ),
    ("link_page_refuse", "UPDATE wa.passkey SET stage = 'code', code = 'ABCD'; SELECT wa.link_page_refuse('open-{s}')"),
    ("link_page_start", "SELECT wa.link_page_start('open-{s}', '+15550096')"),
    ("link_url", "SELECT wa.link_url('{s}')"),
    ("login_link", "SELECT wa.login_link('anna')"),
    ("logout", "SELECT wa.logout('{s}'); SELECT wa.logout('{s}', force => true)"),
    ("mend_queue", "SELECT wa.mend_queue()"),
    ("move_session", "SELECT wa.move_session('{s}', worker_id) FROM wa.worker WHERE lease_until > now()"),
    ("pause", "SELECT wa.pause('{s}')"),
    ("pause_campaigns", "SELECT wa.pause_campaigns('may')"),
    ("resume_campaigns", "SELECT wa.resume_campaigns('june')"),
    ("cancel_campaigns", "SELECT wa.cancel_campaigns('may')"),
    ("pause_campaign", "SELECT wa.pause_campaign('{s}', 'may')"),
    ("pause_tenant", "SELECT wa.pause_tenant('default')"),
    ("register_web", "SELECT wa.register_web('https://{s}.example.com')"),
    ("remove_download_rule", "SELECT wa.remove_download_rule(rule_id) FROM wa.download_rule"),
    ("replay_webhook", "SELECT wa.replay_webhook('hook-{s}', '-infinity')"),
    ("restore_auth", "SELECT wa.restore_auth('unlinked-{s}')"),
    ("restored", "SELECT wa.restored()"),
    ("resume", "SELECT wa.resume('{s}')"),
    ("resume_campaign", "SELECT wa.resume_campaign('{s}', 'june')"),
    ("resume_tenant", "SELECT wa.resume_tenant('default')"),
    ("retry", "SELECT wa.retry(id) FROM wa.outbound WHERE session = '{s}'"),
    ("retry_failed", "SELECT wa.retry_failed('{s}')"),
    (
        "retry_maintenance_job",
        "SELECT wa.retry_maintenance_job(min(id)) FROM wa.maintenance_job WHERE status = 'failed'",
    ),
    (
        "retry_session_job",
        "UPDATE wa.session SET jid = coalesce(jid, '1@s.whatsapp.net') WHERE name = '{s}';
         SELECT wa.retry_session_job(min(id)) FROM wa.session_job WHERE session = '{s}' AND status = 'cancelled'",
    ),
    ("revoke_link", "SELECT wa.revoke_link('{s}')"),
    ("revoke_tenant", "SELECT wa.revoke_tenant('wa_app', 'acme')"),
    ("revoke_token", "SELECT wa.revoke_token('anna-{s}')"),
    ("rewind_consumer", "SELECT wa.rewind_consumer('old', '-infinity')"),
    ("rotate_webhook", "SELECT wa.rotate_webhook('hook-{s}')"),
    ("run_now", "SELECT wa.run_now('of-{s}')"),
    ("schedule", "SELECT wa.schedule('of-{s}', '0 9 29 2 *')"),
    ("send", "SELECT wa.send('{s}', '15550099', 'text', 'x', dedupe_key => 'once')"),
    ("set_crypto_limits", "SELECT wa.set_crypto_limits('{s}')"),
    ("set_pacing", "SELECT wa.set_pacing('{s}', per_minute => 60, first_contacts => 1000)"),
    ("set_proxy", "SELECT wa.set_proxy('{s}', NULL)"),
    ("set_region", "SELECT wa.set_region('{s}', 'DE')"),
    (
        "start_company",
        "SELECT wa.start_company(company_id, NULL, '15550093') FROM wa.company JOIN wa.session s USING (session_id) WHERE s.name = '{s}'",
    ),
    ("test_webhook", "SELECT wa.test_webhook('hook-{s}')"),
    ("unschedule", "SELECT wa.unschedule('of-{s}')"),
    ("wake", "SELECT wa.wake()"),
    ("web_enter", "SELECT wa.web_enter('anna')"),
    ("web_login", "SELECT wa.web_login('login-{s}')"),
    ("web_logout", "SELECT wa.web_logout('cookie-{s}')"),
    ("web_user", "SELECT wa.web_user('anna')"),
];

/// Functions of this schema's own that applications and administrators may call: they either lack the rights to the
/// tables below them, or get a value and no lock.
const INTERNAL: &[&str] = &[
    "add_scheduled_job",
    "announce_status",
    "notify_status",
    "check_media",
    "check_message",
    "current_home",
    "deliver_status",
    "home",
    "home_change",
    "new_message_id",
];

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

/// `wagres migrate` behind an INSERT that stays open: other applications insert on, and it says who is in the way.
#[tokio::test]
async fn r8_migrate_holds_up_no_insert_and_names_who_is_in_its_way() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let (mut app, backend) = application(&db).await?;
    run(&mut app, "SET application_name = 'billing'; SELECT wa.add_session('shop')").await?;
    let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '15550001', 'x')";
    run(&mut app, &format!("BEGIN; {insert}")).await?;
    // As after an upgrade: the functions have changed.
    sqlx::query("UPDATE wa.schema_state SET hash = ''").execute(&db.pool).await?;
    let mut other = PgConnection::connect(&db.url).await?;
    let limit = Duration::from_secs(2);
    let migrating = wagres::db::migrate::migrate_within(&db.pool, limit);
    let inserting = async {
        // Waits at most for one turn of migrate, however long that is tried.
        run(&mut other, "SET statement_timeout = '5s'").await?;
        let end = Instant::now() + limit;
        while Instant::now() < end {
            run(&mut other, insert).await?;
            let advisory: i64 = sqlx::query_scalar(ADVISORY).fetch_one(&mut other).await?;
            ensure!(advisory == 0, "migrate holds a lock that everybody may take");
        }
        anyhow::Ok(())
    };
    let (refused, inserted) = tokio::join!(migrating, inserting);
    inserted?;
    let text = refused.err().context("migrated behind an open transaction")?.to_string();
    ensure!(text.contains("billing") && text.contains(&backend.to_string()) && text.contains("gave up"), "{text}");
    run(&mut app, "COMMIT").await?;
    migrate(&db.pool).await?;
    let current: bool = sqlx::query_scalar("SELECT hash <> '' FROM wa.schema_state").fetch_one(&db.pool).await?;
    ensure!(current, "not migrated");
    Ok(())
}

/// Advisory locks of this database.
const ADVISORY: &str = "SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Everybody who can log in may take any advisory lock, also the one that `migrate` once took. No application, and no
/// worker, may take the lock that it takes now.
#[tokio::test]
async fn r8_nobody_with_a_login_keeps_others_from_migrating() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let mut logins = vec![];
    for role in ["wa_app", "wa_admin", "wa_readonly", "wa_worker"] {
        let pool = login(&db, role, None).await?;
        for mode in
            ["ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]
        {
            let lock = format!("DO $$ BEGIN LOCK TABLE wa.schema_state IN {mode} MODE; END $$");
            expect(&pool, &[(&lock, DENIED)]).await?;
        }
        expect(&pool, &[("SELECT pg_advisory_lock_shared(924737)", Ok(1))]).await?;
        logins.push(pool);
    }
    sqlx::query("UPDATE wa.schema_state SET hash = ''").execute(&db.pool).await?;
    wagres::db::migrate::migrate_within(&db.pool, Duration::ZERO).await?;
    let current: bool = sqlx::query_scalar("SELECT hash <> '' FROM wa.schema_state").fetch_one(&db.pool).await?;
    ensure!(current, "not migrated");
    Ok(())
}

/// `wagres up` again: nothing has changed, so nothing is locked, whatever others hold.
#[tokio::test]
async fn r8_an_unchanged_schema_is_migrated_without_a_lock() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let (mut app, _) = application(&db).await?;
    run(
        &mut app,
        "BEGIN; LOCK TABLE wa.outbound, wa.inbox, wa.session IN ACCESS EXCLUSIVE MODE;
         LOCK TABLE wa.schema_state IN SHARE ROW EXCLUSIVE MODE",
    )
    .await?;
    wagres::db::migrate::migrate_within(&db.pool, Duration::ZERO).await?;
    let changed: String = sqlx::query_scalar("SELECT xmin::text FROM wa.schema_state").fetch_one(&db.pool).await?;
    run(&mut app, "ROLLBACK").await?;
    migrate(&db.pool).await?;
    let now: String = sqlx::query_scalar("SELECT xmin::text FROM wa.schema_state").fetch_one(&db.pool).await?;
    ensure!(now == changed, "applied again");
    Ok(())
}

/// A migration that is refused leaves nothing, and no lock, behind.
#[tokio::test]
async fn r8_a_migration_that_waits_for_a_lock_leaves_no_lock_behind() -> Result<()> {
    let db = crate::support::db::fresh().await;
    let (mut app, _) = application(&db).await?;
    run(&mut app, "BEGIN; LOCK TABLE wa.outbound IN ROW EXCLUSIVE MODE").await?;
    sqlx::query("UPDATE wa.schema_state SET hash = ''").execute(&db.pool).await?;
    let migrating = wagres::db::migrate::migrate_within(&db.pool, Duration::from_secs(2));
    let looking = async {
        // Between two attempts.
        until("a moment without a lock of migrate", async || {
            let held: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                 WHERE a.application_name = 'wagres migrate' AND a.datname = current_database() AND l.locktype = 'relation'
                   AND l.mode NOT IN ('AccessShareLock')",
            )
            .fetch_one(&db.pool)
            .await?;
            let waits: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wagres migrate' AND datname = current_database()",
            )
            .fetch_one(&db.pool)
            .await?;
            Ok(if held == 0 && waits > 0 { Ok(()) } else { Err(format!("{held} held by {waits}")) })
        })
        .await
    };
    let (refused, looked) = tokio::join!(migrating, looking);
    looked?;
    ensure!(refused.is_err());
    Ok(())
}

/// Two processes migrate an empty database at once.
#[tokio::test]
async fn r8_two_migrations_at_once_both_succeed() -> Result<()> {
    let db = crate::support::db::fresh().await;
    sqlx::raw_sql("DROP SCHEMA wa CASCADE; DROP TABLE _sqlx_migrations").execute(&db.pool).await?;
    let (one, other) = tokio::join!(migrate(&db.pool), migrate(&db.pool));
    one?;
    other?;
    // And once more, with a schema that somebody has made before.
    sqlx::raw_sql("DROP SCHEMA wa CASCADE; DROP TABLE _sqlx_migrations; CREATE SCHEMA wa").execute(&db.pool).await?;
    let (one, other) = tokio::join!(migrate(&db.pool), migrate(&db.pool));
    one?;
    other?;
    let sessions: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.session").fetch_one(&db.pool).await?;
    ensure!(sessions == 0);
    Ok(())
}
