//! A database with the session `shop`, a worker in the test's process, and receivers.

use super::receiver::{Received, Receiver};
use crate::support::db::{TestDb, fresh};
use crate::support::in_process::InProcessWorker;
use crate::support::logins::run;
use crate::support::until::until;
use anyhow::{Context as _, Result};
use sqlx::AssertSqlSafe;

/// A database with the session `shop`.
pub(crate) async fn shop() -> Result<TestDb> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    Ok(db)
}

/// A worker that may deliver to this machine.
pub(crate) fn worker(db: &TestDb) -> Result<InProcessWorker> {
    InProcessWorker::with_config(db, |config| config.webhook.private_networks = true)
}

/// Adds a webhook with further arguments, and returns its secret.
pub(crate) async fn add(db: &TestDb, name: &str, receiver: &Receiver, arguments: &str) -> Result<String> {
    let sql = format!("SELECT wa.add_webhook('{name}', '{}'{arguments})", receiver.url());
    sqlx::query_scalar(AssertSqlSafe(sql.clone())).fetch_one(&db.pool).await.context(sql)
}

/// Stores messages of some chats, as a worker does, in this order.
pub(crate) async fn store(db: &TestDb, chats: &[&str]) -> Result<()> {
    for chat in chats {
        sqlx::query(
            "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
             SELECT name, session_id, $1, $1, gen_random_uuid()::text, 'text', $1, false, now(), '{}' FROM wa.session",
        )
        .bind(chat)
        .execute(&db.pool)
        .await?;
    }
    Ok(())
}

/// Waits until `query` gives true; a failure shows the deliveries.
pub(crate) async fn holds(db: &TestDb, query: &str) -> Result<()> {
    until(query, async || {
        let found: Option<bool> = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&db.pool).await?;
        if found == Some(true) {
            return Ok(Ok(()));
        }
        let deliveries = "SELECT coalesce(jsonb_agg(to_jsonb(d) - 'data' ORDER BY d.id), '[]')::text || (SELECT coalesce(jsonb_agg(to_jsonb(l)), '[]')::text FROM wa.webhook_lease l)
                          FROM (SELECT * FROM wa.delivery ORDER BY id LIMIT 20) d";
        Ok(Err(sqlx::query_scalar::<_, String>(deliveries).fetch_one(&db.pool).await?))
    })
    .await
}

/// Waits until the receiver has got so many requests, and returns them.
pub(crate) async fn received(receiver: &Receiver, many: usize) -> Result<Vec<Received>> {
    until(&format!("{many} requests"), async || {
        let requests = receiver.received();
        Ok(if requests.len() >= many { Ok(requests) } else { Err(format!("{:?}", receiver.ids())) })
    })
    .await
}

/// Lets what is to be tried again be due now.
pub(crate) async fn due_now(db: &TestDb) -> Result<()> {
    run(&db.pool, "UPDATE wa.delivery SET run_at = now() WHERE status = 'queued' AND attempts > 0").await
}

/// The texts of the messages in these requests.
pub(crate) fn texts(received: &[Received]) -> Vec<String> {
    received.iter().filter_map(|it| it.body["data"]["body"].as_str().map(str::to_owned)).collect()
}
