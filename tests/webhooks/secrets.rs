//! Secrets: two at once while one takes the other's place, and sealed where a key is in force.

use super::receiver::Receiver;
use super::stage::{add, holds, received, shop, store, worker};
use crate::support::in_process::InProcessWorker;
use crate::support::logins::run;
use anyhow::{Result, ensure};
use wagres::config::{EncryptionConfig, KeySource};

#[tokio::test]
async fn h5_a_rotated_secret_and_the_one_before_both_sign_until_the_overlap_ends() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let worker = worker(&db)?;
    let old = add(&db, "crm", &receiver, "").await?;
    store(&db, &["a"]).await?;
    let new: String = sqlx::query_scalar("SELECT wa.rotate_webhook('crm')").fetch_one(&db.pool).await?;
    received(&receiver, 1).await?[0].verify(&old)?;
    // The holder hears of it at once, but not before the commit.
    let both = async |text: &str, signatures: usize| -> Result<_> {
        loop {
            store(&db, &[text]).await?;
            holds(&db, "SELECT bool_and(status = 'done') FROM wa.delivery").await?;
            let last = receiver.received().pop();
            if let Some(last) = last.filter(|it| it.headers["webhook-signature"].split(' ').count() == signatures) {
                return Ok(last);
            }
        }
    };
    let request = both("b", 2).await?;
    request.verify(&old)?;
    request.verify(&new)?;
    run(&db.pool, "UPDATE wa.webhook_secret SET expires_at = now() WHERE expires_at IS NOT NULL").await?;
    let request = both("c", 1).await?;
    request.verify(&new)?;
    ensure!(request.verify(&old).is_err());
    // Two at most are valid at once, and one alone without an overlap.
    run(&db.pool, "SELECT wa.rotate_webhook('crm'), wa.rotate_webhook('crm'), wa.rotate_webhook('crm')").await?;
    let live = "SELECT count(*) = $n$ FROM wa.webhook_secret WHERE expires_at IS NULL OR expires_at > now()";
    holds(&db, &live.replace("$n$", "2")).await?;
    run(&db.pool, "SELECT wa.rotate_webhook('crm', '0')").await?;
    holds(&db, &live.replace("$n$", "1")).await?;
    worker.stop().await
}

#[tokio::test]
async fn h5_a6_secrets_are_sealed_at_their_first_use_and_by_the_job() -> Result<()> {
    let (db, receiver) = (shop().await?, Receiver::ok().await?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("key");
    std::fs::write(&file, "11".repeat(32))?;
    let worker = InProcessWorker::with_config(&db, |config| {
        config.webhook.private_networks = true;
        let source = KeySource { file: Some(file), ..KeySource::default() };
        config.encryption = EncryptionConfig { key: Some("k1".into()), keys: [("k1".into(), source)].into() };
    })?;
    let secret = add(&db, "crm", &receiver, r#", headers => '{"Authorization": "Bearer s3cret"}'"#).await?;
    store(&db, &["a"]).await?;
    let request = received(&receiver, 1).await?.remove(0);
    request.verify(&secret)?;
    ensure!(request.headers["authorization"] == "Bearer s3cret");
    let sealed = "SELECT count(*) = $n$ AND bool_and(value ->> 'type' = 'Sealed' AND value ->> 'key' = 'k1') FROM wa.webhook_secret";
    holds(&db, &sealed.replace("$n$", "2")).await?;
    // What nobody uses is sealed by the job.
    run(&db.pool, "SELECT wa.add_webhook('other', 'http://x'); SELECT wa.disable_webhook('other')").await?;
    run(&db.pool, "INSERT INTO wa.maintenance_job (kind) VALUES ('reseal_keys')").await?;
    holds(&db, &sealed.replace("$n$", "3")).await?;
    store(&db, &["b"]).await?;
    received(&receiver, 2).await?[1].verify(&secret)?;
    worker.stop().await
}
