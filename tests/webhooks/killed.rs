//! Workers that are killed: no event is lost, and what arrives twice has the same id.

use super::receiver::{Receiver, Reply};
use super::stage::{add, holds, store};
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const CHATS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn start(world: &World) -> Result<Worker> {
    let mut command = world.brief_worker_on(&world.db.url);
    command.env("WAGRES_WEBHOOK__PRIVATE_NETWORKS", "true");
    Worker::start(command).await
}

#[tokio::test]
async fn h5_r1_killed_workers_lose_no_event_and_double_only_under_the_same_id() -> Result<()> {
    let world = World::new().await?;
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;
    // Slow enough that requests are under way whenever a worker dies; some fail at first.
    let receiver = Receiver::start(|_, n| match n % 7 {
        3 => Reply::status(500),
        _ => Reply::Late(Duration::from_millis(20), 200),
    })
    .await?;
    let single = add(&world.db, "single", &receiver, "").await?;
    let shared = add(&world.db, "shared", &receiver, ", batch_size => 4, batch_wait => '20 ms'").await?;
    let mut interrupted = 0;
    for round in 0..4 {
        let worker = start(&world).await?;
        for _ in 0..6 {
            store(&world.db, &CHATS).await?;
        }
        holds(&world.db, &format!("SELECT count(*) >= {} FROM wa.delivery WHERE status = 'done'", 5 * (round + 1)))
            .await?;
        world.kill(worker).await?;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.delivery WHERE status <> 'done'")
            .fetch_one(world.pool())
            .await?;
        interrupted += left;
    }
    ensure!(interrupted > 0, "every worker had done everything before it was killed");
    let last = start(&world).await?;
    let due = "UPDATE wa.delivery SET run_at = now() WHERE status = 'queued' AND attempts > 0 RETURNING 1";
    crate::support::until::until("all deliveries", async || {
        sqlx::query(due).execute(world.pool()).await?;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.delivery WHERE status <> 'done'")
            .fetch_one(world.pool())
            .await?;
        Ok(if left == 0 { Ok(()) } else { Err(left) })
    })
    .await?;
    last.stop().await?;

    let all: BTreeSet<String> = sqlx::query_scalar::<_, String>("SELECT DISTINCT event_id FROM wa.delivery")
        .fetch_all(world.pool())
        .await?
        .into_iter()
        .collect();
    ensure!(all.len() == 120, "{}", all.len());
    let (mut alone, mut together) = (BTreeSet::new(), BTreeSet::new());
    let mut batches: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for request in receiver.received() {
        if let Some(events) = request.body["data"]["events"].as_array() {
            request.verify(&shared)?;
            together.extend(events.iter().filter_map(|it| it["id"].as_str().map(str::to_owned)));
            let ids = events.iter().map(|it| it["id"].clone()).collect();
            let first = batches.entry(request.id().to_owned()).or_insert_with(|| ids);
            let same: serde_json::Value = events.iter().map(|it| it["id"].clone()).collect();
            ensure!(*first == same, "{} had other events: {first} {same}", request.id());
        } else {
            let of_shared = request.verify(&shared).is_ok();
            ensure!(of_shared || request.verify(&single).is_ok(), "{request:?}");
            if of_shared {
                together.insert(request.id().to_owned())
            } else {
                alone.insert(request.id().to_owned())
            };
        }
    }
    ensure!(alone == all && together == all, "lost: {:?} {:?}", all.difference(&alone), all.difference(&together));
    Ok(())
}
