//! M1, Q13: campaigns are inserted, counted, paused, resumed and cancelled.

use super::stage::{Peer, SHOP, Stage};
use anyhow::{Result, ensure};

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
    stage.world.holds("SELECT count(*) = 1 FROM wa.outbound WHERE session = 'anna' AND waits_for IS NULL").await?;
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
    stage.world.holds("SELECT waits_for = 'scheduled' FROM wa.outbound WHERE body = 'Tomorrow'").await?;
    let seen = stage.world.seen_by(to).await?;
    let order = ["June", "Your order is ready", "Offer 1", "Offer 2", "Offer 3", "Offer 1", "Offer 2"];
    ensure!(seen == order, "{seen:?}");
    ensure!(stage.world.count("SELECT wa.resume_campaign('shop', 'may')").await? == 0);
    // One message of a paused campaign can still be sent by hand, and all can be cancelled.
    sqlx::query("SELECT wa.pause_campaign('shop', 'may')").execute(pool).await?;
    sqlx::query(insert).bind(to).bind(2).execute(pool).await?;
    sqlx::query("SELECT wa.retry(min(id)) FROM wa.outbound WHERE waits_for = 'paused' AND send_at IS NULL")
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
            .holds("SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'")
            .await?;
        open.commit().await?;
        waiting.await??;
        let all =
            format!("SELECT count(*) FILTER (WHERE waits_for IS NULL) = (1 - {held}) * count(*) FROM wa.outbound");
        stage.world.holds(&all).await?;
    }
    Ok(())
}
