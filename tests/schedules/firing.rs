//! Each tick fires once, even when workers die, and missed ticks follow their rule.

use super::{CronLoop, Scheduled, at};
use anyhow::{Result, ensure};
use chrono::TimeDelta;
use rand::RngExt;
use std::time::Duration;

#[tokio::test]
async fn q10_each_tick_fires_once_over_three_workers_killed_at_any_moment() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    world
        .sql(
            "SELECT wa.schedule('s' || n, '* * * * *', 'sweep_keys', missed => 'all') FROM generate_series(1, 12) n;
             SELECT wa.schedule('five', '*/5 * * * *', 'retention', missed => 'all')",
        )
        .await?;
    let mut loops: Vec<CronLoop> = (0..3).map(|_| world.cron()).collect();
    world.settled().await?;
    let mut rng = rand::rng();
    let start = at("2026-01-01T00:00:30Z")?;
    for minute in 1..=60 {
        // The clock moves without waiting for the loops, and every third minute one of the three is killed.
        world.clock(&(start + TimeDelta::minutes(minute)).to_rfc3339()).await?;
        if minute % 3 == 0 {
            // A random moment of its work, not a wait for anything.
            tokio::time::sleep(Duration::from_micros(rng.random_range(0..3000))).await;
            loops.remove(0);
            loops.push(world.cron());
        }
    }
    world.settled().await?;
    drop(loops);

    let ticks: Vec<String> = (1..=60).map(|minute| format!("01-01 {:02}:{:02}", minute / 60, minute % 60)).collect();
    for n in 1..=12 {
        let fired = world.ticks(&format!("s{n}")).await?;
        ensure!(fired == ticks, "s{n} fired {fired:?}");
    }
    ensure!(world.ticks("five").await?.len() == 12, "{:?}", world.ticks("five").await?);
    // Each tick has one job, and each job one tick.
    let jobs: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM wa.schedule_tick), (SELECT count(*) FROM wa.maintenance_job),
                (SELECT count(DISTINCT (j.id, t.tick)) FROM wa.schedule_tick t
                 JOIN wa.schedule s USING (schedule_id)
                 JOIN wa.maintenance_job j ON j.id = t.job_id AND j.schedule = s.name AND j.tick = t.tick)",
    )
    .fetch_one(world.pool())
    .await?;
    ensure!(jobs == (732, 732, 732), "{jobs:?}");
    Ok(())
}

#[tokio::test]
async fn q10_two_workers_that_read_the_same_schedule_fire_it_once() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    world.sql("SELECT wa.schedule('x', '* * * * *', 'sweep_keys')").await?;
    let fire = "SELECT wa.fire_schedule(schedule_id, cron, time_zone, missed, '2026-01-01T00:00:30Z',
                    '{2026-01-01T00:01:00Z}', '2026-01-01T00:01:10Z', '2026-01-01T00:02:00Z') FROM wa.schedule";
    // The first has fired and not committed; the second does not wait for it, and fires nothing.
    let mut first = world.pool().begin().await?;
    let fired: Option<i32> = sqlx::query_scalar(fire).fetch_one(&mut *first).await?;
    ensure!(world.one::<Option<i32>>(fire).await?.is_none());
    first.commit().await?;
    ensure!(fired == Some(1) && world.one::<Option<i32>>(fire).await?.is_none());
    // Even with the row reset by hand, the tick is known.
    world.sql("UPDATE wa.schedule SET ticked_to = '2026-01-01T00:00:30Z'").await?;
    ensure!(world.one::<Option<i32>>(fire).await? == Some(0));
    ensure!(world.one::<i64>("SELECT count(*) FROM wa.maintenance_job").await? == 1);
    Ok(())
}

#[tokio::test]
async fn q10_missed_ticks_follow_their_rule() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    for rule in ["skip", "once", "all"] {
        world.sql(&format!("SELECT wa.schedule('{rule}', '*/10 * * * *', 'sweep_keys', missed => '{rule}')")).await?;
        world
            .sql(&format!("SELECT wa.schedule('minutely-{rule}', '* * * * *', 'sweep_keys', missed => '{rule}')"))
            .await?;
    }
    let running = world.cron();
    world.settled().await?;
    drop(running);

    // All workers are down from 00:00 to 03:05.
    world.clock("2026-01-01T03:05:30Z").await?;
    let _running = world.cron();
    world.settled().await?;
    ensure!(world.ticks("skip").await?.is_empty(), "{:?}", world.ticks("skip").await?);
    ensure!(world.ticks("once").await? == ["01-01 03:00"], "{:?}", world.ticks("once").await?);
    let all = world.ticks("all").await?;
    ensure!(all.len() == 18 && all[0] == "01-01 00:10" && all[17] == "01-01 03:00", "{all:?}");
    // A tick half a minute late is not missed; of the missed ones at most the latest hundred fire.
    ensure!(world.ticks("minutely-skip").await? == ["01-01 03:05"]);
    ensure!(world.ticks("minutely-once").await? == ["01-01 03:05"]);
    let all = world.ticks("minutely-all").await?;
    ensure!(all.len() == 100 && all[0] == "01-01 01:26" && all[99] == "01-01 03:05", "{all:?}");

    // Later ticks fire as usual.
    world.clock("2026-01-01T03:10:01Z").await?;
    world.settled().await?;
    for rule in ["skip", "once", "all"] {
        ensure!(world.ticks(rule).await?.last().map(String::as_str) == Some("01-01 03:10"), "{rule}");
    }
    Ok(())
}

#[tokio::test]
async fn q10_a_tick_is_folded_into_the_unfinished_job() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    world.sql("SELECT wa.schedule('x', '* * * * *', 'sweep_keys')").await?;
    let _running = world.cron();
    world.settled().await?;
    for minute in ["01", "02"] {
        world.clock(&format!("2026-01-01T00:{minute}:00Z")).await?;
        world.settled().await?;
    }
    world.sql("UPDATE wa.maintenance_job SET status = 'running'").await?;
    world.clock("2026-01-01T00:03:00Z").await?;
    world.settled().await?;
    world.sql("UPDATE wa.maintenance_job SET status = 'done'").await?;
    world.clock("2026-01-01T00:04:00Z").await?;
    world.settled().await?;
    let outcomes: Vec<String> = sqlx::query_scalar(
        "SELECT outcome || ' ' || dense_rank() OVER (ORDER BY job_id) FROM wa.schedule_tick ORDER BY tick",
    )
    .fetch_all(world.pool())
    .await?;
    ensure!(outcomes == ["fired 1", "folded 1", "folded 1", "fired 2"], "{outcomes:?}");
    ensure!(world.one::<i64>("SELECT count(*) FROM wa.maintenance_job").await? == 2);
    Ok(())
}

#[tokio::test]
async fn q10_schedules_fire_session_jobs_and_messages_too() -> Result<()> {
    let world = Scheduled::at("2026-01-01T22:59:30Z").await?;
    world
        .sql(
            r#"SELECT wa.add_session('shop');
               SELECT wa.schedule('night', '0 23 * * *', 'close', session => 'shop');
               SELECT wa.schedule('report', '0 23 * * *', 'text', '{"recipient": "+79001234567", "body": "Closed"}', 'shop')"#,
        )
        .await?;
    let _running = world.cron();
    world.settled().await?;
    world.clock("2026-01-01T23:00:00Z").await?;
    world.settled().await?;
    let job: String = world.one("SELECT kind || ' ' || session || ' ' || reason FROM wa.session_job").await?;
    ensure!(job == "close shop schedule night", "{job}");
    let message: String = world.one("SELECT chat || ' ' || body || ' ' || status FROM wa.outbound").await?;
    ensure!(message == "79001234567@s.whatsapp.net Closed queued", "{message}");
    ensure!(
        world
            .one::<bool>(
                "SELECT bool_and(last_job = job_id) FROM wa.schedule JOIN wa.schedule_tick USING (schedule_id)"
            )
            .await?
    );
    // A second close cannot be queued behind the first, and the next day's message is folded into the unsent one.
    world.clock("2026-01-02T23:00:00Z").await?;
    world.settled().await?;
    ensure!(world.one::<i64>("SELECT count(*) FROM wa.schedule_tick WHERE outcome = 'folded'").await? == 2);
    world.sql("DELETE FROM wa.session").await?;
    ensure!(world.one::<i64>("SELECT count(*) FROM wa.schedule").await? == 0, "a schedule outlived its session");
    Ok(())
}

#[tokio::test]
async fn q10_a_changed_schedule_applies_at_once_and_from_then_on() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    let _running = world.cron();
    // Only the row's own notification can wake the loop: the clock stands still, and the loop polls once an hour.
    world.sql("SELECT wa.schedule('x', '0 12 * * *', 'sweep_keys', time_zone => 'Asia/Tokyo')").await?;
    world.holds("SELECT next_tick = '2026-01-01T03:00:00Z' FROM wa.schedule").await?;
    world.sql("SELECT wa.schedule('x', '30 12 * * *')").await?;
    world.holds("SELECT next_tick = '2026-01-01T03:30:00Z' FROM wa.schedule").await?;

    world.sql("SELECT wa.disable_schedule('x')").await?;
    world.clock("2026-01-05T00:00:00Z").await?;
    ensure!(world.one::<bool>("SELECT next_tick IS NULL FROM wa.schedule").await?);
    world.sql("SELECT wa.enable_schedule('x')").await?;
    world.holds("SELECT next_tick = '2026-01-05T03:30:00Z' FROM wa.schedule").await?;
    ensure!(
        world.ticks("x").await?.is_empty(),
        "ticks from the time when the schedule was disabled: {:?}",
        world.ticks("x").await?
    );
    Ok(())
}

#[tokio::test]
async fn q10_run_now_queues_one_job_and_leaves_the_ticks_alone() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    world.sql("SELECT wa.schedule('x', '* * * * *', 'retention', '{\"dry_run\": true}', enabled => false)").await?;
    let first: i64 = world.one("SELECT wa.run_now('x')").await?;
    ensure!(world.one::<i64>("SELECT wa.run_now('x')").await? == first, "run_now queued a second job");
    let job: String = world.one("SELECT concat_ws(' ', kind, args, schedule, tick) FROM wa.maintenance_job").await?;
    ensure!(job == "retention {\"dry_run\": true} x", "{job}");
    world.sql("UPDATE wa.maintenance_job SET status = 'done'").await?;
    ensure!(world.one::<i64>("SELECT wa.run_now('x')").await? > first);
    ensure!(world.ticks("x").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn q10_a_schedule_that_cannot_fire_is_disabled_and_stops_no_other() -> Result<()> {
    let world = Scheduled::at("2026-01-01T00:00:30Z").await?;
    world
        .sql(
            r#"SELECT wa.add_session('shop');
               SELECT wa.schedule('good', '* * * * *', 'sweep_keys');
               SELECT wa.schedule('zone', '* * * * *', 'sweep_keys');
               SELECT wa.schedule('cron', '* * * * *', 'sweep_keys');
               SELECT wa.schedule('text', '* * * * *', 'text', '{"recipient": "+79001234567", "body": "x"}', 'shop');
               -- Values that a later version of the schema, or the dump of another server, may have.
               ALTER TABLE wa.schedule DISABLE TRIGGER validate;
               UPDATE wa.schedule SET time_zone = 'Mars/Olympus' WHERE name = 'zone';
               UPDATE wa.schedule SET cron = '0 0 L * *' WHERE name = 'cron';
               UPDATE wa.schedule SET args = '{"recipient": "nobody", "body": "x"}' WHERE name = 'text';
               ALTER TABLE wa.schedule ENABLE TRIGGER validate;"#,
        )
        .await?;
    let _running = world.cron();
    world.settled().await?;
    world.clock("2026-01-01T00:01:00Z").await?;
    world.holds("SELECT count(*) = 3 FROM wa.schedule WHERE NOT enabled").await?;
    world.settled().await?;
    for (name, words) in
        [("zone", "time_zone: \"Mars/Olympus\""), ("cron", "cron: \"0 0 L * *\""), ("text", "recipient:")]
    {
        let error: String = world.one(&format!("SELECT error FROM wa.schedule WHERE name = '{name}'")).await?;
        ensure!(error.contains(words), "{name}: {error}");
        ensure!(world.ticks(name).await?.is_empty(), "{name} fired");
    }
    ensure!(world.ticks("good").await? == ["01-01 00:01"]);
    // Once corrected, the schedule fires again.
    world.sql("SELECT wa.schedule('zone', time_zone => 'UTC', enabled => true)").await?;
    world.settled().await?;
    ensure!(world.one::<bool>("SELECT error IS NULL AND enabled FROM wa.schedule WHERE name = 'zone'").await?);
    Ok(())
}
