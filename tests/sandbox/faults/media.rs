//! X2: faults of media.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use wacore::download::MediaType;
use whatsapp_rust::upload::UploadOptions;

use super::super::media::{document, noise};
use super::{ALICE, BOB, counts, set};
use crate::support::linked::{Linked, sandbox};

/// The size from which the library first asks how much the server has.
const RESUMED: usize = 5 * 1024 * 1024;

/// What went wrong, with its causes; nothing when it went well.
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
    // These say that the token or the address is old: it asks for new ones and tries again.
    for (status, direction) in [(401, "in"), (403, "out"), (410, "out")] {
        let rule = set(&control, fail(status, direction)).await?;
        upload().await?;
        assert!(alice.client.download(&file).await? == data);
        assert_eq!(counts(&control, rule).await?, (1, 1), "{status} {direction}");
    }
    // Of somebody else's uploads it says nothing.
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
async fn x2_an_upload_that_is_cut_goes_on_where_it_broke() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let data = noise(RESUMED);
    // With the same key it is the same file to the server.
    let upload =
        || alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new().with_media_key([7; 32]));
    let cut = |bytes: usize| json!({ "fault": { "cut_media": { "bytes": bytes } }, "number": ALICE, "device": 1, "direction": "in" });
    let first = set(&control, cut(3_000_000)).await?;
    assert!(upload().await.is_err(), "the upload was not cut");
    // What is left is less than this, and the whole is more: only an upload that goes on comes through.
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
async fn x2_a_download_that_is_cut_is_no_file() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let data = noise(200_000);
    let file = document(alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new()).await?);
    for bytes in [0, 1000, 199_999] {
        set(&control, json!({ "fault": { "cut_media": { "bytes": bytes } }, "direction": "out" })).await?;
        assert!(alice.client.download(&file).await.is_err(), "{bytes}");
    }
    set(&control, json!({ "fault": { "cut_media": { "bytes": 1_000_000 } }, "direction": "out" })).await?;
    assert!(alice.client.download(&file).await? == data, "shorter than where it is cut");
    sandbox.shutdown().await;
    Ok(())
}
