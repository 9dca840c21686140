//! X2: faults of media.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use wacore::download::MediaType;
use whatsapp_rust::upload::UploadOptions;

use super::super::media::{document, noise};
use super::{ALICE, BOB, counts, set};
use crate::support::linked::{Linked, sandbox};

/// The size in bytes from which the library first asks how much the server has.
const RESUMED: usize = 5 * 1024 * 1024;

/// The error with its causes; empty on success.
fn refusal<T>(outcome: Result<T>) -> String {
    outcome.err().map(|error| format!("{error:#}")).unwrap_or_default()
}

#[tokio::test]
async fn x2_media_is_slow_and_refused() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let data = noise(50_000);
    let upload = || alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new());

    let slow = |direction: &str| json!({ "fault": { "slow_media": { "ms": 150 } }, "direction": direction });
    set(&control, slow("in")).await?;
    let start = Instant::now();
    let file = document(upload().await?);
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    set(&control, slow("out")).await?;
    let start = Instant::now();
    assert!(alice.client.download(&file).await? == data);
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());

    let fail = |status: u16, direction: &str| json!({ "fault": { "fail_media": { "status": status } }, "direction": direction });
    set(&control, fail(500, "in")).await?;
    let error = refusal(upload().await);
    assert!(error.contains("Upload failed 500"), "{error}");
    set(&control, fail(500, "out")).await?;
    let error = refusal(alice.client.download(&file).await);
    assert!(error.contains("status: 500"), "{error}");
    // These statuses mean that the token or the address is old: the client requests new ones and retries.
    for (status, direction) in [(401, "in"), (403, "out"), (410, "out")] {
        let rule = set(&control, fail(status, direction)).await?;
        upload().await?;
        assert!(alice.client.download(&file).await? == data);
        assert_eq!(counts(&control, rule).await?, (1, 1), "{status} {direction}");
    }
    // A rule for another device's uploads does not apply.
    let other =
        set(&control, json!({ "fault": { "fail_media": { "status": 500 } }, "number": BOB, "direction": "in" }))
            .await?;
    upload().await?;
    assert_eq!(counts(&control, other).await?, (0, 0));
    let stats = control.get("/stats").await?;
    assert_eq!(stats["media"], json!({ "uploads": 5, "uploads_refused": 2, "downloads": 4, "downloads_refused": 3 }));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_cut_upload_is_resumed() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let data = noise(RESUMED);
    // With the same key it is the same file for the server.
    let upload =
        || alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new().with_media_key([7; 32]));
    let cut = |bytes: usize| json!({ "fault": { "cut_media": { "bytes": bytes } }, "number": ALICE, "device": 1, "direction": "in" });
    let first = set(&control, cut(3_000_000)).await?;
    assert!(upload().await.is_err(), "the upload was not cut");
    // The rest is smaller than this limit, and the whole is larger: only a resumed upload gets through.
    let second = set(&control, cut(2_500_000)).await?;
    let file = document(upload().await?);
    for rule in [first, second] {
        assert_eq!(counts(&control, rule).await?, (1, 1));
    }
    assert!(alice.client.download(&file).await? == data);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x2_a_cut_download_is_an_error() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let data = noise(200_000);
    let file = document(alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new()).await?);
    for bytes in [0, 1000, 199_999] {
        set(&control, json!({ "fault": { "cut_media": { "bytes": bytes } }, "direction": "out" })).await?;
        assert!(alice.client.download(&file).await.is_err(), "{bytes}");
    }
    set(&control, json!({ "fault": { "cut_media": { "bytes": 1_000_000 } }, "direction": "out" })).await?;
    assert!(alice.client.download(&file).await? == data, "the file is shorter than the limit");
    sandbox.shutdown().await;
    Ok(())
}
