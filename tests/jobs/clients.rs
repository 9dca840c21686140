//! Many applications insert at once while a worker works.

use super::{one, run, session};
use crate::support::db::fresh;
use crate::support::until::until;
use crate::support::working::Working;
use anyhow::{Result, ensure};
use sqlx::{Connection as _, PgConnection};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use wagres::worker::Handler;

const CLIENTS: usize = 50;
/// Transactions of each, of which every fifth is rolled back.
const TRANSACTIONS: usize = 30;
/// Of the clients every fifth also has a transaction that stays open from before its others until after them.
const LONG: usize = 5;
/// The worker never looks by itself, so that a message that no bell rang for stays where it is.
const NEVER: u32 = 60_000;

/// What the worker handled, in order.
type Handled = Arc<Mutex<Vec<(String, i64)>>>;

fn all(handled: &Handled) -> Vec<(String, i64)> {
    handled.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A connection of its own, as each client has.
struct Client {
    number: usize,
    connection: PgConnection,
}

impl Client {
    async fn connect(url: &str, number: usize) -> Result<Self> {
        Ok(Self { number, connection: PgConnection::connect(url).await? })
    }

    /// Inserts a message to the client's own chat; its id.
    async fn insert(&mut self, body: &str) -> Result<i64> {
        let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3) RETURNING id";
        let session = ["shop", "cafe"][self.number % 2];
        let recipient = format!("+1555{:04}", self.number);
        Ok(sqlx::query_scalar(insert).bind(session).bind(recipient).bind(body).fetch_one(&mut self.connection).await?)
    }

    async fn say(&mut self, sql: &'static str) -> Result<()> {
        sqlx::raw_sql(sql).execute(&mut self.connection).await?;
        Ok(())
    }

    /// All its transactions; the ids of those that it committed.
    async fn work(mut self) -> Result<Vec<i64>> {
        let mut committed = Vec::new();
        for n in 0..TRANSACTIONS {
            if n % 5 == 4 {
                self.say("BEGIN").await?;
                self.insert("rolled back").await?;
                self.say("ROLLBACK").await?;
            } else {
                committed.push(self.insert("committed").await?);
            }
        }
        Ok(committed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q9_q3_fifty_clients_insert_while_a_worker_works_and_no_bell_is_missed() -> Result<()> {
    let db = fresh().await;
    session(&db.pool, "shop").await?;
    session(&db.pool, "cafe").await?;
    let handled = Handled::default();
    let keeping = Handler::new({
        let handled = handled.clone();
        move |job| {
            handled.lock().unwrap_or_else(PoisonError::into_inner).push((job.body.unwrap_or_default(), job.id));
            std::future::ready(Ok(()))
        }
    });
    let worker = Working::with_handler(&db, NEVER, keeping).await?;

    // The long transactions begin while the worker is awake or asleep, as it happens, and insert before all others.
    let (mut committed, mut soon, mut late) = (HashSet::new(), Vec::new(), Vec::new());
    for number in (0..CLIENTS).step_by(LONG) {
        let mut client = Client::connect(&db.url, CLIENTS + number).await?;
        client.say("BEGIN").await?;
        committed.insert(client.insert("long").await?);
        if number % 2 == 0 { late.push(client) } else { soon.push(client) }
    }
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(tokio::spawn(Client::connect(&db.url, number).await?.work()));
    }
    // Half of them commit in the middle of it all.
    for mut client in soon {
        client.say("COMMIT").await?;
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
    // The others only when the worker sleeps, long after it heard of their inserts, if it ever did.
    until("the worker to sleep", async || {
        let parked: bool = one(&db.pool, "SELECT parked FROM wa.worker").await?;
        Ok(if parked { Ok(()) } else { Err("awake") })
    })
    .await?;
    for mut client in late {
        client.say("COMMIT").await?;
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
    // Each client writes to a chat of its own, one message after the other.
    let mut latest: HashMap<&str, i64> = HashMap::new();
    for (_, id) in &handled {
        let before = latest.insert(&chats[id], *id);
        ensure!(before < Some(*id), "{id} came after {before:?}");
    }
    run(&db.pool, "SELECT pg_stat_force_next_flush()").await?;
    let deadlocks: i64 =
        one(&db.pool, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await?;
    ensure!(deadlocks == 0, "{deadlocks} deadlocks");
    Ok(())
}
