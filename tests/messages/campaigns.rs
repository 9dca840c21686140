//! M1, Q13: campaigns are inserted, counted, paused, resumed and cancelled. R8, R9: nobody but those who insert for a
//! campaign holds up its pause.

use super::stage::{Peer, SHOP, Stage};
use crate::support::db::{self, TestDb};
use crate::support::logins::{DENIED, expect, login, run};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

#[tokio::test]
async fn m1_a_campaign_is_inserted_counted_and_cancelled() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", SHOP).await?;
    let pool = stage.world.pool();
    let numbers: Vec<String> = (0..30).map(|n| format!("1555020{n:02}")).collect();
    for number in &numbers {
        stage.world.phone(number).await?;
    }
    let insert = "INSERT INTO wa.outbound (session, recipient, body, campaign, send_at)
                  SELECT 'shop', n, wa.render('Hello {{ name }}, {{name}}: {{sum}}', jsonb_build_object('name', '{{sum}} ' || place, 'sum', place * 1.5)), $2, $3
                  FROM unnest($1::text[]) WITH ORDINALITY c (n, place)";
    let later = chrono::Utc::now() + chrono::Duration::days(1);
    sqlx::query(insert).bind(&numbers).bind("may").bind(None::<chrono::DateTime<chrono::Utc>>).execute(pool).await?;
    sqlx::query(insert).bind(&numbers).bind("june").bind(later).execute(pool).await?;
    let is = |campaign: &str, counts: &str| {
        format!(
            "SELECT array[messages, waiting, sent, delivered, failed, withdrawn] = '{{{counts}}}' FROM wa.campaigns WHERE campaign = '{campaign}'"
        )
    };
    stage.world.holds(&is("may", "30,0,30,30,0,0")).await?;
    stage.world.holds(&is("june", "30,30,0,0,0,0")).await?;
    let seen = stage.world.seen_by(&numbers[1]).await?;
    ensure!(seen == ["Hello {{sum}} 2, {{sum}} 2: 3.0"], "{seen:?}");
    ensure!(stage.world.count("SELECT wa.cancel_campaign('shop', 'june')").await? == 30);
    ensure!(stage.world.count("SELECT wa.cancel_campaign('shop', 'may')").await? == 0);
    stage.world.holds(&is("june", "30,0,0,0,0,30")).await?;
    worker.stop().await
}

#[tokio::test]
async fn m1_q13_a_campaign_is_paused_and_resumed() -> Result<()> {
    let stage = Stage::new().await?;
    let pool = stage.world.pool();
    for session in ["shop", "anna"] {
        sqlx::query("SELECT wa.add_session($1)").bind(session).execute(pool).await?;
    }
    let insert = "INSERT INTO wa.outbound (session, recipient, body, campaign) SELECT 'shop', $1, 'Offer ' || n, 'may' FROM generate_series(1, $2::int) n";
    let to = Peer::Phone.number();
    sqlx::query(insert).bind(to).bind(3).execute(pool).await?;
    ensure!(stage.world.count("SELECT wa.pause_campaign('shop', 'may')").await? == 3);
    ensure!(stage.world.count("SELECT wa.pause_campaign('shop', 'may')").await? == 0, "they were held already");
    // Later messages of the campaign are held as well; other campaigns, and those of that name of other sessions, are not.
    sqlx::query(insert).bind(to).bind(2).execute(pool).await?;
    sqlx::query(
        "INSERT INTO wa.outbound (session, recipient, body, campaign, send_at) VALUES
         ('shop', $1, 'Tomorrow', 'may', now() + interval '1 day'), ('shop', $1, 'June', 'june', NULL),
         ('anna', $1, 'Of anna', 'may', NULL), ('shop', $1, 'Your order is ready', NULL, NULL)",
    )
    .bind(to)
    .execute(pool)
    .await?;
    let held = "SELECT held = 6 AND waiting = 6 AND paused_at IS NOT NULL FROM wa.campaigns WHERE (session, campaign) = ('shop', 'may')";
    stage.world.holds(held).await?;
    stage
        .world
        .holds("SELECT held = 6 AND ready = 2 AND next_run_at IS NULL FROM wa.queue WHERE session = 'shop'")
        .await?;
    stage.world.holds("SELECT count(*) = 1 FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE session = 'anna' AND waits_for IS NULL").await?;
    let worker = stage.world.worker().await?;
    stage.world.phone(to).await?;
    stage.world.link("shop", SHOP).await?;
    // Later messages to the same chat do not wait for the held ones.
    stage
        .world
        .holds("SELECT count(*) = 2 FROM wa.outbound WHERE session = 'shop' AND delivered_at IS NOT NULL")
        .await?;
    stage.world.holds(held).await?;
    ensure!(stage.world.count("SELECT wa.resume_campaign('shop', 'may')").await? == 6);
    stage
        .world
        .holds("SELECT delivered = 5 AND waiting = 1 AND held = 0 AND paused_at IS NULL FROM wa.campaigns WHERE (session, campaign) = ('shop', 'may')")
        .await?;
    stage
        .world
        .holds(
            "SELECT waits_for = 'scheduled' FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE body = 'Tomorrow'",
        )
        .await?;
    let seen = stage.world.seen_by(to).await?;
    let order = ["June", "Your order is ready", "Offer 1", "Offer 2", "Offer 3", "Offer 1", "Offer 2"];
    ensure!(seen == order, "{seen:?}");
    ensure!(stage.world.count("SELECT wa.resume_campaign('shop', 'may')").await? == 0);
    // One message of a paused campaign can still be sent by hand, and all can be cancelled.
    sqlx::query("SELECT wa.pause_campaign('shop', 'may')").execute(pool).await?;
    sqlx::query(insert).bind(to).bind(2).execute(pool).await?;
    sqlx::query("SELECT wa.retry(min(id)) FROM wa.outbound_queue JOIN wa.outbound USING (id) WHERE waits_for = 'paused' AND send_at IS NULL")
        .execute(pool)
        .await?;
    stage
        .world
        .holds("SELECT delivered = 6 AND held = 2 FROM wa.campaigns WHERE (session, campaign) = ('shop', 'may')")
        .await?;
    ensure!(stage.world.count("SELECT wa.cancel_campaign('shop', 'may')").await? == 2);
    worker.stop().await
}

#[tokio::test]
async fn m1_no_concurrent_insert_escapes_the_pause_of_a_campaign() -> Result<()> {
    let stage = Stage::new().await?;
    let pool = stage.world.pool();
    sqlx::query("SELECT wa.add_session('shop')").execute(pool).await?;
    let insert =
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '+15550009', 'Offer', 'may')";
    for (change, held) in [("pause", 1), ("resume", 0)] {
        // An open transaction has already checked whether the campaign is paused.
        let mut open = pool.begin().await?;
        sqlx::query(insert).execute(&mut *open).await?;
        let change = format!("SELECT wa.{change}_campaign('shop', 'may')");
        let waiting = {
            let (pool, change) = (pool.clone(), change.clone());
            tokio::spawn(async move { sqlx::query(sqlx::AssertSqlSafe(change)).execute(&pool).await })
        };
        stage
            .world
            .holds("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            .await?;
        open.commit().await?;
        waiting.await??;
        let all = format!(
            "SELECT count(*) FILTER (WHERE waits_for IS NULL) = (1 - {held}) * count(*) FROM wa.outbound_queue"
        );
        stage.world.holds(&all).await?;
    }
    Ok(())
}

const OFFER: &str =
    "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '15550009', 'Offer', 'may')";

async fn with_shop() -> Result<TestDb> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    Ok(db)
}

async fn call(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.with_context(|| sql.to_owned())?;
    Ok(())
}

/// Runs a statement on a connection of its own, and waits until it waits for a lock or has ended.
async fn waiting(db: &TestDb, sql: &'static str) -> Result<tokio::task::JoinHandle<Result<()>>> {
    let mut connection = PgConnection::connect(&db.url).await?;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
    let task = tokio::spawn(async move { call(&mut connection, sql).await });
    until(sql, async || {
        let waits: bool = sqlx::query_scalar("SELECT cardinality(pg_blocking_pids($1)) > 0")
            .bind(backend)
            .fetch_one(&db.pool)
            .await?;
        Ok(if waits || task.is_finished() { Ok(()) } else { Err("runs") })
    })
    .await?;
    Ok(task)
}

/// The reasons for which the messages wait, in the order of their insertion; `-` for one that can go.
async fn reasons(db: &TestDb) -> Result<String> {
    let sql = "SELECT string_agg(coalesce(waits_for::text, '-'), ' ' ORDER BY id) FROM wa.outbound_queue";
    Ok(sqlx::query_scalar(sql).fetch_one(&db.pool).await?)
}

/// Transactions that insert overlap without end. The pause waits for those before it, and those after it wait for the pause.
#[tokio::test]
async fn m1_inserts_that_overlap_without_end_do_not_put_a_pause_off() -> Result<()> {
    let db = with_shop().await?;
    run(&db.pool, OFFER).await?;
    let mut open = PgConnection::connect(&db.url).await?;
    call(&mut open, &format!("BEGIN; {OFFER}")).await?;
    let pause = waiting(&db, "SELECT wa.pause_campaign('shop', 'may')").await?;
    let later = waiting(&db, OFFER).await?;
    ensure!(!pause.is_finished() && !later.is_finished());
    // Its own next insert does not wait for the pause, which waits for it.
    call(&mut open, &format!("SET lock_timeout = '5s'; {OFFER}; COMMIT")).await?;
    pause.await??;
    later.await??;
    ensure!(reasons(&db).await? == "paused paused paused paused", "{}", reasons(&db).await?);
    Ok(())
}

/// What a transaction notes of the campaigns that it has locked follows its own pauses and its savepoints.
#[tokio::test]
async fn m1_a_transaction_pauses_between_its_own_inserts() -> Result<()> {
    let db = with_shop().await?;
    let june = OFFER.replace("'may'", "'june'");
    run(&db.pool, &format!("BEGIN; {OFFER}; {june}; SELECT wa.pause_campaign('shop', 'may'); {OFFER}; {june}; COMMIT"))
        .await?;
    ensure!(reasons(&db).await? == "paused - paused -", "{}", reasons(&db).await?);
    run(&db.pool, &format!("BEGIN; {OFFER}; SELECT wa.resume_campaign('shop', 'may'); {OFFER}; COMMIT")).await?;
    ensure!(reasons(&db).await? == "- - - - - -", "{}", reasons(&db).await?);
    // The savepoint ends the lock, and the pause goes on.
    let mut open = PgConnection::connect(&db.url).await?;
    call(&mut open, &format!("BEGIN; SAVEPOINT one; {OFFER}; ROLLBACK TO one; SET LOCAL lock_timeout = '5s'")).await?;
    waiting(&db, "SELECT wa.pause_campaign('shop', 'may')").await?.await??;
    call(&mut open, &format!("{OFFER}; COMMIT")).await?;
    ensure!(reasons(&db).await?.ends_with("paused"), "{}", reasons(&db).await?);
    Ok(())
}

/// Another tenant, with all the locks that it can take: an advisory lock on any number, and its own campaign of the same
/// name, in a transaction that stays open.
#[tokio::test]
async fn r8_r9_no_other_tenant_holds_up_a_campaign() -> Result<()> {
    let db = db::fresh().await;
    run(
        &db.pool,
        "SELECT wa.add_tenant('acme'), wa.add_tenant('bolt'), wa.add_session('a', 'acme'), wa.add_session('shop', 'bolt')",
    )
    .await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    let shop: i64 = sqlx::query_scalar("SELECT wa.session_id('shop')").fetch_one(&db.pool).await?;
    run(&bolt, OFFER).await?;
    let offers = OFFER.replace("'shop'", "'a'");
    run(&acme, &offers).await?;
    run(&acme, &format!("BEGIN; {offers}; SELECT wa.pause_campaign('a', 'may')")).await?;
    // The number that a campaign's lock once had.
    run(&acme, &format!("SELECT pg_advisory_lock(hashtextextended('may', {shop}))")).await?;
    run(&bolt, "SET statement_timeout = '5s'").await?;
    for call in ["SELECT wa.pause_campaign('shop', 'may')", OFFER, "SELECT wa.resume_campaign('shop', 'may')", OFFER] {
        run(&bolt, call).await.with_context(|| format!("{call} was held up"))?;
    }
    // An open transaction of one campaign holds up no other of the same session.
    let mut open = PgConnection::connect(&db.url).await?;
    call(&mut open, &format!("BEGIN; {}", OFFER.replace("'may'", "'june'"))).await?;
    run(&bolt, "SELECT wa.pause_campaign('shop', 'may')").await?;
    run(&acme, "ROLLBACK").await?;
    let lock = |mode: &str| format!("SELECT FROM wa.campaign FOR {mode}");
    for mode in ["KEY SHARE", "SHARE", "NO KEY UPDATE", "UPDATE"] {
        expect(&acme, &[(&lock(mode), DENIED)]).await?;
    }
    let table = "DO $$ BEGIN LOCK TABLE wa.campaign IN ROW SHARE MODE; END $$";
    expect(&acme, &[("SELECT FROM wa.campaign", Ok(1)), (table, DENIED)]).await
}
