//! R8: no open transaction of an application holds up a delivery.

use super::receiver::Receiver;
use super::stage::{add, holds, received, shop, store, worker};
use anyhow::Result;
use sqlx::{Connection as _, PgConnection};

#[tokio::test]
async fn h5_r8_open_transactions_on_webhooks_and_replays_hold_up_nothing() -> Result<()> {
    let (db, receiver, other) = (shop().await?, Receiver::ok().await?, Receiver::ok().await?);
    let first = worker(&db)?;
    add(&db, "crm", &receiver, "").await?;
    add(&db, "other", &other, "").await?;
    store(&db, &["a"]).await?;
    received(&receiver, 1).await?;
    let mut application = PgConnection::connect(&db.url).await?;
    sqlx::raw_sql(
        "SELECT wa.replay_webhook('other', '-infinity', only_dead => true);
         BEGIN;
         SELECT wa.alter_webhook('crm', url => 'http://127.0.0.1:9'), wa.rotate_webhook('crm'), wa.replay_webhook('crm', '-infinity'), wa.test_webhook('crm');
         SELECT wa.disable_webhook('other'), wa.add_webhook('new', 'http://127.0.0.1:9');
         UPDATE wa.webhook SET name = name;
         SELECT FROM wa.webhook_replay FOR UPDATE;
         SELECT FROM wa.webhook_secret FOR UPDATE",
    )
    .execute(&mut application)
    .await?;
    store(&db, &["b", "c"]).await?;
    received(&receiver, 3).await?;
    received(&other, 3).await?;
    // Another worker takes over meanwhile.
    first.stop().await?;
    let second = worker(&db)?;
    store(&db, &["d"]).await?;
    received(&receiver, 4).await?;
    received(&other, 4).await?;
    sqlx::raw_sql("ROLLBACK").execute(&mut application).await?;
    holds(&db, "SELECT bool_and(status = 'done' AND attempts = 1) AND NOT EXISTS (SELECT FROM wa.webhook_replay) FROM wa.delivery").await?;
    second.stop().await
}
