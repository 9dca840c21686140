//! Many applications insert at once while a worker runs.

use super::{one, run, session};
use crate::support::db::fresh;
use crate::support::in_process::InProcessWorker;
use crate::support::until::until;
use anyhow::{Result, ensure};
use sqlx::{Connection as _, PgConnection};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use wagres::worker::Handler;

const CLIENTS: usize = 50;
/// Transactions of each client; every fifth is rolled back.
const TRANSACTIONS: usize = 30;
/// Every fifth client also has a long transaction, open from before its others until after them.
const LONG: usize = 5;
/// The worker never polls within the test, so that a message without a wake-up stays queued.
const NEVER: u32 = 60_000;

/// The handled messages in order: body and id.
type Handled = Arc<Mutex<Vec<(String, i64)>>>;

fn all(handled: &Handled) -> Vec<(String, i64)> {
    handled.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A client with a connection of its own.
struct Client {
    number: usize,
    connection: PgConnection,
}

impl Client {
    async fn connect(url: &str, number: usize) -> Result<Self> {
        Ok(Self { number, connection: PgConnection::connect(url).await? })
    }

    /// Inserts a message to the client's own chat; returns its id.
    async fn insert(&mut self, body: &str) -> Result<i64> {
        let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3) RETURNING id";
        let session = ["shop", "cafe"][self.number % 2];
        let recipient = format!("+1555{:04}", self.number);
        Ok(sqlx::query_scalar(insert).bind(session).bind(recipient).bind(body).fetch_one(&mut self.connection).await?)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<()> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Runs all transactions of the client; returns the ids of the committed messages.
    async fn run(mut self) -> Result<Vec<i64>> {
        let mut committed = Vec::new();
        for n in 0..TRANSACTIONS {
            if n % 5 == 4 {
                self.execute("BEGIN").await?;
                self.insert("rolled back").await?;
                self.execute("ROLLBACK").await?;
            } else {
                committed.push(self.insert("committed").await?);
            }
        }
        Ok(committed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q9_q3_fifty_clients_insert_while_a_worker_runs_and_no_wake_up_is_missed() -> Result<()> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    session(&db.pool, "cafe").await?;
    let handled = Handled::default();
    let recording = Handler::new({
        let handled = handled.clone();
        move |job| {
            handled.lock().unwrap_or_else(PoisonError::into_inner).push((job.body.unwrap_or_default(), job.id));
            std::future::ready(Ok(()))
        }
    });
    let worker = InProcessWorker::with_handler(&db, NEVER, recording).await?;

    // The long transactions insert before all others, while the worker may be awake or asleep.
    let (mut committed, mut soon, mut late) = (HashSet::new(), Vec::new(), Vec::new());
    for number in (0..CLIENTS).step_by(LONG) {
        let mut client = Client::connect(&db.url, CLIENTS + number).await?;
        client.execute("BEGIN").await?;
        committed.insert(client.insert("long").await?);
        if number % 2 == 0 { late.push(client) } else { soon.push(client) }
    }
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(tokio::spawn(Client::connect(&db.url, number).await?.run()));
    }
    // Half of the long transactions commit while the others insert.
    for mut client in soon {
        client.execute("COMMIT").await?;
    }
    for client in clients {
        committed.extend(client.await??);
    }
    let are_handled = async |count: usize| {
        until(&format!("{count} messages handled"), async || {
            let found = all(&handled).len();
            Ok(if found >= count { Ok(()) } else { Err(found) })
        })
        .await
    };
    are_handled(committed.len() - late.len()).await?;
    // The other half commits once the worker sleeps, long after any wake-up of their inserts.
    until("the worker to sleep", async || {
        let parked: bool = one(&db.pool, "SELECT parked FROM wa.worker").await?;
        Ok(if parked { Ok(()) } else { Err("awake") })
    })
    .await?;
    for mut client in late {
        client.execute("COMMIT").await?;
    }
    are_handled(committed.len()).await?;
    worker.stop().await?;

    let handled = all(&handled);
    ensure!(handled.iter().all(|(body, _)| body != "rolled back"), "a rolled-back message was handled");
    let ids: HashSet<i64> = handled.iter().map(|(_, id)| *id).collect();
    ensure!(ids == committed && handled.len() == ids.len(), "{} handled, {} committed", handled.len(), committed.len());
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT id, chat FROM wa.outbound WHERE status = 'sent'").fetch_all(&db.pool).await?;
    let chats: HashMap<i64, String> = rows.into_iter().collect();
    ensure!(chats.len() == committed.len(), "{} rows are sent", chats.len());
    // Each client writes to a chat of its own, so the ids within a chat must rise.
    let mut latest: HashMap<&str, i64> = HashMap::new();
    for (_, id) in &handled {
        let before = latest.insert(&chats[id], *id);
        ensure!(before < Some(*id), "{id} was handled after {before:?}");
    }
    run(&db.pool, "SELECT pg_stat_force_next_flush()").await?;
    let deadlocks: i64 =
        one(&db.pool, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await?;
    ensure!(deadlocks == 0, "{deadlocks} deadlocks");
    Ok(())
}
