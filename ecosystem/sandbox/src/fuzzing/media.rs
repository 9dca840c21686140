//! The media server.

use std::sync::Arc;

use axum::http::header::CONTENT_RANGE;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::Digest as _;

use super::super::media::router;
use super::super::server::Server;
use super::request::{Answer, Request, requests};
use super::world::{ALICE, device, run};

/// Sends uploads and downloads, one after the other. In a head, `{auth}` stands for a token, `{hash}` for the hash of
/// the body and `{path}` for the direct path of the last upload.
pub fn media(data: &[u8]) {
    run(async |server| {
        let router = router(Arc::clone(&server));
        let mut path = String::from("/v/t62.7118-24/none");
        // Each request is filled in when its turn comes, because it may name the previous upload.
        for text in data.split_inclusive(|byte| *byte == 0x1E) {
            for request in requests(text, |head, body| fill(&server, head, body, &path)) {
                let (sent, broken) = (request.chunks.concat(), request.broken);
                let answer = request.ask(&router).await;
                answer.check();
                ranged(&answer);
                assert!(server.media.size_is_consistent(), "the counted bytes differ from the size of the files");
                let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
                let Some(stored) = said["direct_path"].as_str().filter(|_| said["resume"].is_null()) else { continue };
                assert!(!broken, "a broken upload was stored as a whole file");
                stored.clone_into(&mut path);
                let found = Request::get(stored).ask(&router).await;
                // A resumed upload has sent the end of the file only.
                assert!(found.status == 200 && found.body.ends_with(&sent), "the stored file differs from the upload");
            }
        }
    });
}

fn fill(server: &Server, head: &str, body: &[u8], path: &str) -> String {
    let hash = BASE64_URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(body));
    head.replace("{auth}", &server.media.token(&device(ALICE, 1))).replace("{hash}", &hash).replace("{path}", path)
}

/// The body of a partial answer must be as long as its header says.
fn ranged(answer: &Answer) {
    if answer.status != 206 {
        return;
    }
    let range =
        answer.headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok()).expect("a partial answer has a range");
    let (first, rest) = range.strip_prefix("bytes ").and_then(|range| range.split_once('-')).expect("bytes a-b/c");
    let (last, length) = rest.split_once('/').expect("bytes a-b/c");
    let [first, last, length] = [first, last, length].map(|number| number.parse::<usize>().expect("a number"));
    assert!(first <= last && last < length && answer.body.len() == last - first + 1, "{range}: {}", answer.body.len());
}
