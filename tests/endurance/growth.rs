//! A4, R6: auth state does not grow over a year of messages beyond what has not expired; memory and descriptors stay flat.

use crate::support::world::{Worker, World};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wagres::telemetry::Usage;

const FRIENDS: u64 = 8;

fn friend(n: u64) -> String {
    format!("1555{:04}", 2000 + n % FRIENDS)
}

/// The session writes to its friends and to a group, and they write back.
async fn exchange_messages(world: &World, group: &str, day: u64, messages: u64) -> Result<()> {
    let insert = "INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', r, b FROM unnest($1::text[], $2::text[]) AS m (r, b)";
    let to = |n: u64| if n % 4 == 3 { group.to_owned() } else { format!("+{}", friend(day + n)) };
    let (recipients, bodies): (Vec<_>, Vec<_>) = (0..messages).map(|n| (to(n), format!("{day}/{n}"))).unzip();
    sqlx::query(insert).bind(recipients).bind(bodies).execute(world.pool()).await?;
    for n in 0..messages {
        let to = if n % 4 == 3 { group } else { "15550001" };
        let message = json!({ "to": to, "text": format!("{day}/{n}?") });
        world
            .control
            .post(&format!("/phones/{}/send", friend(if n % 4 == 3 { n % 3 } else { day + n })), message)
            .await?;
    }
    world.holds("SELECT NOT EXISTS (SELECT FROM wa.outbound WHERE status NOT IN ('delivered', 'read'))").await?;
    world.holds(&format!("SELECT count(*) = {messages} FROM wa.inbox WHERE body LIKE '{day}/%?'")).await
}

/// Ages the auth state by so many days, then runs the sweep; returns its result.
async fn age_and_sweep(world: &World, days: u64) -> Result<Value> {
    let older = format!(
        "UPDATE wa.auth_key SET expires_at = expires_at - interval '{days} days', updated_at = updated_at - interval '{days} days'"
    );
    // The worker writes meanwhile, in another order of rows, which would deadlock without the table lock.
    let mut tx = world.pool().begin().await?;
    sqlx::raw_sql("LOCK TABLE wa.auth_key IN EXCLUSIVE MODE").execute(&mut *tx).await?;
    sqlx::query(sqlx::AssertSqlSafe(older)).execute(&mut *tx).await?;
    tx.commit().await?;
    let id = world.count("INSERT INTO wa.maintenance_job (kind) VALUES ('sweep_keys') RETURNING id").await?;
    let swept =
        world.until(&format!("SELECT result FROM wa.maintenance_job WHERE id = {id} AND status = 'done'")).await?;
    sqlx::query("DELETE FROM wa.outbound").execute(world.pool()).await?;
    Ok(swept)
}

async fn size(world: &World) -> Result<(i64, i64)> {
    let sum = "SELECT sum(keys)::bigint, sum(bytes)::bigint FROM wa.auth_size";
    Ok(sqlx::query_as(sum).fetch_one(world.pool()).await?)
}

/// Simulates `steps` of `days` each, with so many messages each way in each step.
async fn simulate(steps: u64, days: u64, messages: u64) -> Result<()> {
    let world = World::new().await?;
    let mut worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    for n in 0..FRIENDS {
        world.phone(&friend(n)).await?;
    }
    let group =
        json!({ "subject": "friends", "creator": friend(0), "participants": ["15550001", friend(1), friend(2)] });
    let group = world.control.post("/groups", group).await?["jid"].as_str().context("a group")?.to_owned();
    let mut sizes = vec![];
    let mut swept = 0;
    for step in 0..steps {
        exchange_messages(&world, &group, step, messages).await?;
        let result = age_and_sweep(&world, days).await?;
        swept += result["deleted"].as_i64().context("a count")?;
        sizes.push(size(&world).await?);
        if step % 10 == 9 {
            worker.stop().await?;
            worker = world.worker().await?;
            world.session_is("shop", "connected").await?;
        }
    }
    // By then the longest time to live of keys that grow with messages has passed several times.
    let settled = sizes.len() * 6 / 10;
    let most = |of: &[(i64, i64)]| (of.iter().map(|it| it.0).max(), of.iter().map(|it| it.1).max());
    let ((keys, bytes), (late_keys, late_bytes)) = (most(&sizes[..settled]), most(&sizes[settled..]));
    let kinds: Value =
        sqlx::query_scalar("SELECT jsonb_object_agg(kind, keys) FROM wa.auth_size").fetch_one(world.pool()).await?;
    eprintln!(
        "{} days, {} messages each way, {swept} keys swept: {keys:?} keys and {bytes:?} bytes at most in the first part, {late_keys:?} and {late_bytes:?} in the rest: {kinds}",
        steps * days,
        steps * messages
    );
    ensure!(swept > 0, "nothing expired");
    ensure!(late_keys <= keys.map(|keys| keys + keys / 50 + 5), "keys grow: {sizes:?}");
    ensure!(late_bytes <= bytes.map(|bytes| bytes + bytes / 20), "bytes grow: {sizes:?}");
    worker.stop().await
}

#[tokio::test]
async fn a4_r6_keys_do_not_grow_over_a_year_in_steps_of_20_days() -> Result<()> {
    simulate(20, 20, 12).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn a4_r6_keys_do_not_grow_over_a_year_in_long_daily_steps() -> Result<()> {
    simulate(365, 1, 40).await
}

/// Sessions that connect, talk and close repeatedly.
const GUESTS: usize = 5;

/// Open descriptors and resident megabytes of a worker.
fn usage(worker: &Worker) -> Result<(u64, u64)> {
    let usage = Usage::of(worker.pid()?);
    Ok((usage.descriptors, usage.memory / 1_000_000))
}

/// Runs so many turns of connecting, talking and closing.
async fn connect_talk_close(count: usize) -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.phone("15559999").await?;
    for n in 1..=GUESTS {
        world.link(&format!("s{n}"), &format!("1555000{n}")).await?;
    }
    let each = |call: &str| format!("SELECT count({call}) FROM wa.session s");
    let all = |status: &str| format!("SELECT count(*) = {GUESTS} FROM wa.session WHERE status = '{status}'");
    let mut uses = vec![];
    for turn in 1..=count {
        let done = i64::try_from(turn * GUESTS)?;
        let send = "INSERT INTO wa.outbound (session, recipient, body) SELECT name, '15559999', 'out' FROM wa.session";
        sqlx::query(send).execute(world.pool()).await?;
        for n in 1..=GUESTS {
            let message = json!({ "to": format!("1555000{n}"), "text": format!("in {turn}") });
            world.control.post("/phones/15559999/send", message).await?;
        }
        world.holds(&format!("SELECT count(*) = {done} FROM wa.outbound WHERE read_at IS NOT NULL")).await?;
        world.holds(&format!("SELECT count(*) = {done} FROM wa.inbox")).await?;
        world.count(&each("wa.close(s.name)")).await?;
        world.holds(&all("stopped")).await?;
        world.holds("SELECT count(*) = 0 FROM wa.lease WHERE holder IS NOT NULL").await?;
        uses.push(usage(&worker)?);
        world.count(&each("wa.connect(s.name)")).await?;
        world.holds(&all("connected")).await?;
    }
    // Memory that the first turns load stays loaded, so the middle is the baseline.
    let (settled, last) = (uses[count / 2], uses[count - 1]);
    ensure!(last.0 <= settled.0 + 2, "descriptors of each turn, and megabytes: {uses:?}");
    ensure!(last.1 <= settled.1 + settled.1 / 5, "descriptors of each turn, and megabytes: {uses:?}");
    println!(
        "descriptors and megabytes after {count} turns of {GUESTS} sessions: {settled:?} in the middle, {last:?} at the end"
    );
    worker.stop().await
}

#[tokio::test]
async fn r6_sessions_that_connect_talk_and_close_leak_nothing() -> Result<()> {
    connect_talk_close(8).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn r6_sessions_that_connect_talk_and_close_in_long_turns_leak_nothing() -> Result<()> {
    connect_talk_close(150).await
}
