//! P3, R4: ratchets of several sessions are written by one statement, and no session waits for another's trouble.

use super::*;
use crate::support::until::until;
use tokio_util::sync::CancellationToken;
use wagres::auth::{RatchetWriter, codec};

/// The stores of sessions that one worker holds.
struct Together {
    db: TestDb,
    stores: Vec<Arc<AuthStore>>,
    holds: Vec<Hold>,
    over: CancellationToken,
}

impl Together {
    async fn new<const N: usize>(names: [&str; N]) -> Self {
        let db = fresh().await;
        let over = CancellationToken::new();
        let (ratchets, run) = RatchetWriter::start(db.pool.clone().into(), over.clone());
        tokio::spawn(run);
        let (mut stores, mut holds) = (vec![], vec![]);
        for name in names {
            let hold = Hold::new(db.pool.clone().into(), hold(&db, name).await, name);
            stores.push(AuthStore::new(hold.clone(), Arc::default()).with_ratchets(ratchets.clone()).into());
            holds.push(hold);
        }
        Self { db, stores, holds, over }
    }

    /// Starts to write a ratchet of each of these sessions.
    fn put(&self, of: std::ops::Range<usize>, value: &'static [u8]) -> Vec<tokio::task::JoinHandle<bool>> {
        let put = |store: &Arc<AuthStore>| {
            let store = store.clone();
            tokio::spawn(async move { store.put_session("peer", value).await.is_ok() })
        };
        self.stores[of].iter().map(put).collect()
    }

    /// Sessions with this ratchet, and by how many transactions they were written.
    async fn written(&self, value: &[u8]) -> (i64, i64) {
        sqlx::query_as(
            "SELECT count(*), count(DISTINCT xmin::text) FROM wa.auth_key WHERE kind = 'session' AND value = $1",
        )
        .bind(json!({"type": "Buffer", "data": codec::base64(value)}))
        .fetch_one(&self.db.pool)
        .await
        .unwrap()
    }
}

/// Ends within the time that one session may hold up others (R8).
async fn all(writes: Vec<tokio::task::JoinHandle<bool>>) -> Vec<bool> {
    let all = futures::future::join_all(writes);
    let written = tokio::time::timeout(std::time::Duration::from_secs(20), all).await.unwrap();
    written.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn p3_ratchets_that_wait_for_a_statement_are_written_together() {
    let held = Together::new(["a", "b", "c", "d"]).await;
    assert_eq!(all(held.put(0..4, b"old")).await, [true; 4]);
    // The first statement waits for the row of the first session, and the others for the statement.
    let mut block = held.db.pool.begin().await.unwrap();
    let lock = "SELECT FROM wa.auth_key WHERE session_id = $1 FOR UPDATE";
    sqlx::query(lock).bind(held.holds[0].fence.session_id).execute(&mut *block).await.unwrap();
    let mut writes = held.put(0..1, b"new");
    super::fencing::waiting(&held.db, 1).await;
    writes.extend(held.put(1..4, b"new"));
    // They are asked for, each by its own task.
    for store in &held.stores[1..] {
        until("each asks", async || Ok((store.statements() == 2).then_some(()).ok_or("not yet"))).await.unwrap();
    }
    block.commit().await.unwrap();
    assert_eq!(all(writes).await, [true; 4]);
    assert_eq!(held.written(b"new").await, (4, 2));
}

#[tokio::test]
async fn r4_a_stale_session_is_refused_and_the_others_are_written() {
    let held = Together::new(["a", "b"]).await;
    let take = "UPDATE wa.lease SET epoch = epoch + 1 WHERE session_id = $1";
    sqlx::query(take).bind(held.holds[0].fence.session_id).execute(&held.db.pool).await.unwrap();
    assert_eq!(all(held.put(0..2, b"new")).await, [false, true]);
    assert_eq!(held.written(b"new").await.0, 1);
    assert!(held.holds[0].lost.is_cancelled() && !held.holds[1].lost.is_cancelled());
}

#[tokio::test]
async fn r8_a_session_whose_lease_is_locked_holds_up_no_other() {
    let held = Together::new(["a", "b", "c"]).await;
    let mut block = held.db.pool.begin().await.unwrap();
    let lock = "SELECT FROM wa.lease WHERE session_id = $1 FOR UPDATE";
    sqlx::query(lock).bind(held.holds[0].fence.session_id).execute(&mut *block).await.unwrap();
    let waits = held.put(0..1, b"new");
    super::fencing::waiting(&held.db, 1).await;
    assert_eq!(all(held.put(1..3, b"new")).await, [true; 2]);
    assert!(!waits[0].is_finished(), "its lease is locked");
    block.commit().await.unwrap();
    assert_eq!(all(waits).await, [true]);
    assert_eq!(held.written(b"new").await.0, 3);
}

#[tokio::test]
async fn r10_a_ratchet_that_is_refused_spoils_no_other() {
    let held = Together::new(["a", "b"]).await;
    let (poison, good) = (held.stores[0].clone(), held.stores[1].clone());
    let refuse = "ALTER TABLE wa.auth_key ADD CHECK (key_id <> 'bad')";
    sqlx::query(refuse).execute(&held.db.pool).await.unwrap();
    let (poison, good) = tokio::join!(poison.put_session("bad", b"new"), good.put_session("peer", b"new"));
    assert!(poison.is_err() && good.is_ok(), "{poison:?} {good:?}");
    assert_eq!(held.written(b"new").await, (1, 1));
    assert!(!held.holds[0].lost.is_cancelled());
}

#[tokio::test]
async fn r4_after_the_writer_has_ended_each_session_writes_its_own() {
    let held = Together::new(["a", "b"]).await;
    held.over.cancel();
    assert_eq!(all(held.put(0..2, b"new")).await, [true; 2]);
    assert_eq!(held.written(b"new").await, (2, 2));
}
