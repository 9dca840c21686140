//! Media: files through the media server, with the requests that client libraries make.

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wacore::download::{Downloadable, MediaType};
use wacore::net::{HttpClient as _, HttpRequest};
use wacore::proto_helpers::MessageExt as _;
use wacore::types::events::Event;
use wacore::upload::{EncryptedMedia, encrypt_media};
use wacore_binary::Jid;
use wagres::session::http::MediaClient;
use wagres_sandbox::Running;
use waproto::whatsapp::Message;
use waproto::whatsapp::message::DocumentMessage;
use whatsapp_rust::client::Client;
use whatsapp_rust::features::{MediaRetryResult, MediaReuploadRequest};
use whatsapp_rust::upload::{UploadOptions, UploadResponse};

use crate::support::linked::{Linked, sandbox};

const ALICE: &str = "15550001";
const BOB: &str = "15550002";
const CAROL: &str = "15550003";

/// Bytes that do not repeat, so that a misplaced part is noticed.
pub(super) fn noise(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).take(len).collect()
}

pub(super) fn document(upload: UploadResponse) -> DocumentMessage {
    DocumentMessage {
        url: Some(upload.url),
        direct_path: Some(upload.direct_path),
        media_key: Some(upload.media_key.to_vec()),
        file_enc_sha256: Some(upload.file_enc_sha256.to_vec()),
        file_sha256: Some(upload.file_sha256.to_vec()),
        file_length: Some(upload.file_length),
        ..Default::default()
    }
}

/// Uploads encrypted bytes without a client, announced under `token`.
async fn upload_by_hand(sandbox: &Running, auth: &str, token: &str, sealed: &[u8], more: &str) -> Result<(u16, Value)> {
    let url = format!("{}/mms/image/{token}?auth={auth}&token={token}{more}", sandbox.media_url());
    let answer = MediaClient::new().execute(HttpRequest::post(url).with_body(sealed.to_vec())).await?;
    Ok((answer.status_code, serde_json::from_slice(&answer.body)?))
}

async fn auth(client: &Client) -> Result<String> {
    Ok(client.refresh_media_conn(false).await?.auth)
}

fn token(sealed: &EncryptedMedia) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sealed.file_enc_sha256)
}

#[tokio::test]
async fn x1_a_client_downloads_its_own_upload() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    // The last size makes the library first ask how much the server has.
    for len in [0, 100_000, 5 * 1024 * 1024] {
        let data = noise(len);
        let uploaded = alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new()).await?;
        let found = alice.client.download(&document(uploaded)).await?;
        assert!(found == data, "{len} bytes came back as {} different ones", found.len());
    }
    let stats = control.get("/stats").await?;
    assert_eq!(stats["media"], json!({"uploads":3,"uploads_refused":0,"downloads":3,"downloads_refused":0}));
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_an_upload_must_match_its_announced_hash() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let auth = auth(&alice.client).await?;
    let sealed = encrypt_media(&noise(1000), MediaType::Image)?;
    let (bytes, token) = (&sealed.data_to_upload, token(&sealed));
    let (status, answer) = upload_by_hand(&sandbox, "stolen", &token, bytes, "").await?;
    assert_eq!(status, 401, "{answer}");
    let (status, answer) = upload_by_hand(&sandbox, &auth, &token, &bytes[1..], "").await?;
    assert_eq!(status, 400, "{answer}");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("SHA-256")), "{answer}");
    let (status, answer) = upload_by_hand(&sandbox, &auth, "AAAA", bytes, "").await?;
    assert_eq!(status, 400, "{answer}");
    let (status, answer) = upload_by_hand(&sandbox, &auth, &token, &bytes[500..], "&file_offset=500").await?;
    assert_eq!(status, 400, "{answer}");
    // None of these uploads was stored.
    assert_eq!(upload_by_hand(&sandbox, &auth, &token, &[], "&resume=1").await?, (200, json!({ "resume": "0" })));
    let (status, answer) = upload_by_hand(&sandbox, &auth, &token, bytes, "").await?;
    assert_eq!(status, 200, "{answer}");
    let (_, resumed) = upload_by_hand(&sandbox, &auth, &token, &[], "&resume=1").await?;
    assert_eq!((&resumed["resume"], &resumed["direct_path"]), (&json!("complete"), &answer["direct_path"]));
    assert_eq!(control.get("/stats").await?["media"]["uploads_refused"], 4);
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_downloads_are_served_in_parts() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    let sealed = encrypt_media(&noise(1000), MediaType::Image)?;
    let auth = auth(&alice.client).await?;
    let (_, answer) = upload_by_hand(&sandbox, &auth, &token(&sealed), &sealed.data_to_upload, "").await?;
    let path = answer["direct_path"].as_str().context("no path")?;
    let part = HttpRequest::get(format!("{}{path}", sandbox.media_url())).with_header("Range", "bytes=16-31");
    let answer = MediaClient::new().execute(part).await?;
    assert_eq!((answer.status_code, answer.body.as_slice()), (206, &sealed.data_to_upload[16..32]));
    let beyond = HttpRequest::get(format!("{}{path}", sandbox.media_url())).with_header("Range", "bytes=9999-");
    assert_eq!(MediaClient::new().execute(beyond).await?.status_code, 416);
    let never = HttpRequest::get(format!("{}/v/t62.7118-24/never", sandbox.media_url()));
    assert_eq!(MediaClient::new().execute(never).await?.status_code, 404);
    sandbox.shutdown().await;
    Ok(())
}

/// Waits for the first message with an id; returns its inner message without wrappers.
async fn received(linked: &mut Linked, id: &str) -> Result<Message> {
    linked
        .wait(id, |event| event.messages().find(|it| it.info.id == id).map(|it| it.message.get_base_message().clone()))
        .await
}

#[tokio::test]
async fn x1_a_phone_shows_a_clients_upload() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let data = noise(100_000);
    let uploaded = alice.client.upload(data.clone(), MediaType::Document, UploadOptions::new()).await?;
    let good =
        DocumentMessage { mimetype: Some("text/x-test".into()), file_name: Some("a.txt".into()), ..document(uploaded) };
    let lying = DocumentMessage { file_sha256: Some(vec![0; 32]), ..good.clone() };
    let lost = DocumentMessage { direct_path: Some("/v/t62.7119-24/never".into()), ..good.clone() };
    for (message, problem) in
        [(good, None), (lying, Some("SHA-256 of the file")), (lost, Some("no file was ever stored"))]
    {
        let message = Message { document_message: Some(message).into(), ..Default::default() };
        let id = alice.client.send_message(Jid::pn(BOB), message).await?.message_id;
        let shown = control.settled(BOB, &id).await?;
        let media = &shown["media"];
        assert_eq!((&media["mime"], &media["file_name"]), (&json!("text/x-test"), &json!("a.txt")));
        assert_eq!((&shown["kind"], &media["size"]), (&json!("document"), &json!(100_000)));
        if let Some(problem) = problem {
            assert_eq!(media["state"], "unreadable");
            assert!(media["problem"].as_str().is_some_and(|it| it.contains(problem)), "{media}");
            let path = format!("/phones/{BOB}/messages/{id}/media");
            assert_eq!(control.request("GET", &path, None).await?.0, 409);
        } else {
            assert_eq!(media["state"], "ready");
            assert!(control.file(BOB, &id).await? == data);
            // The sender's own phone has the file, too.
            control.settled(ALICE, &id).await?;
            assert!(control.file(ALICE, &id).await? == data);
        }
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_sends_every_kind_of_media() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let data = noise(70_000);
    let base64 = BASE64_STANDARD.encode(&data);
    for (kind, fields, mime) in [
        ("image", json!({ "caption": "look" }), "image/jpeg"),
        ("video", json!({ "mime": "video/3gpp" }), "video/3gpp"),
        ("audio", json!({}), "audio/mpeg"),
        ("audio", json!({ "voice": true }), "audio/ogg; codecs=opus"),
        ("document", json!({ "file_name": "a.pdf", "mime": "application/pdf" }), "application/pdf"),
        ("document", json!({ "file_name": "b.pdf", "caption": "read" }), "application/octet-stream"),
        ("sticker", json!({}), "image/webp"),
    ] {
        let mut draft = fields.clone();
        draft["data"] = json!(base64);
        let sent = control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, kind: draft })).await?;
        let id = sent["id"].as_str().context("no id")?;
        let message = received(&mut alice, id).await?;
        let of: (&dyn Downloadable, _) = match kind {
            "image" => message.image_message.as_option().map(|it| (it as _, it.caption.clone())),
            "video" => message.video_message.as_option().map(|it| (it as _, it.caption.clone())),
            "audio" => message.audio_message.as_option().map(|it| (it as _, None)),
            "document" => message.document_message.as_option().map(|it| (it as _, it.caption.clone())),
            _ => message.sticker_message.as_option().map(|it| (it as _, None)),
        }
        .with_context(|| format!("{kind} came as {message:?}"))?;
        assert!(alice.client.download(of.0).await? == data, "{kind} came as other bytes");
        assert_eq!(json!(of.1), fields["caption"], "{kind}");
        let shown = control.settled(BOB, id).await?;
        let media = &shown["media"];
        assert_eq!((&shown["kind"], &media["mime"], &media["state"]), (&json!(kind), &json!(mime), &json!("ready")));
        assert_eq!(media["voice"], fields["voice"] == true);
        assert_eq!(media["file_name"], fields["file_name"]);
    }
    // Between two phones.
    let draft = json!({ "to": CAROL, "image": { "data": base64 } });
    control.post("/phones", json!({ "number": CAROL })).await?;
    let sent = control.post(&format!("/phones/{BOB}/send"), draft).await?;
    let id = sent["id"].as_str().context("no id")?;
    assert_eq!(control.settled(CAROL, id).await?["media"]["state"], "ready");
    assert!(control.file(CAROL, id).await? == data);
    for (draft, wrong) in [
        (json!({ "data": "?" }), "data"),
        (json!({ "data": "" }), "data"),
        (json!({ "caption": "no file" }), "data"),
        (json!({ "data": "aGk=", "voice": true }), "voice"),
    ] {
        let body = json!({ "to": ALICE, "image": draft });
        let (status, answer) = control.request("POST", &format!("/phones/{BOB}/send"), Some(body)).await?;
        assert!(status == 400 && answer["error"].as_str().is_some_and(|it| it.contains(wrong)), "{status} {answer}");
    }
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_a_phone_uploads_a_deleted_file_again() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    control.post("/phones", json!({ "number": BOB })).await?;
    let image = json!({ "data": BASE64_STANDARD.encode(noise(5000)) });
    let sent = control.post(&format!("/phones/{BOB}/send"), json!({ "to": ALICE, "image": image })).await?;
    let id = sent["id"].as_str().context("no id")?;
    let mut image = received(&mut alice, id).await?.image_message.into_option().context("no image")?;
    control.settled(ALICE, id).await?;
    let path = format!("/phones/{ALICE}/messages/{id}/media");
    let (status, gone) = control.request("DELETE", &path, None).await?;
    assert_eq!((status, gone["gone"].as_str()), (200, image.direct_path.as_deref()));
    assert_eq!(control.request("DELETE", &path, None).await?.0, 409);
    assert!(alice.client.download(&image).await.is_err());
    let (chat, other_key) = (Jid::pn(BOB), [7; 32]);
    let key = image.media_key.clone().context("no key")?;
    let request = |msg_id, media_key| MediaReuploadRequest {
        msg_id,
        chat_jid: &chat,
        media_key,
        is_from_me: false,
        participant: None,
    };
    let again = alice.client.media_reupload();
    let result = again.request(&request("3A00", &key)).await?;
    assert!(matches!(result, MediaRetryResult::NotFound), "{result:?}");
    let result = again.request(&request(id, &other_key)).await?;
    assert!(matches!(result, MediaRetryResult::DecryptionError), "{result:?}");
    let result = again.request(&request(id, &key)).await?;
    let MediaRetryResult::Success { direct_path } = result else { bail!("{result:?}") };
    assert_ne!(Some(&direct_path), image.direct_path.as_ref());
    image.direct_path = Some(direct_path);
    assert!(alice.client.download(&image).await? == noise(5000));
    sandbox.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn x1_profile_pictures_are_set_seen_and_removed() -> Result<()> {
    let (sandbox, control) = sandbox().await?;
    let mut alice = Linked::link(&sandbox, &control, ALICE).await?;
    let bob = Linked::link(&sandbox, &control, BOB).await?;
    let (alice_jid, bob_jid) = (Jid::pn(ALICE), Jid::pn(BOB));
    assert!(alice.client.contacts().get_profile_picture(&bob_jid, false).await.is_ok_and(|it| it.is_none()));
    // A device that wrote to a contact is notified of changes.
    alice.send(BOB, "hi").await?;
    control.shown(BOB, "hi").await?;
    let set = bob.client.profile().set_profile_picture(noise(3000)).await?;
    let notified = alice
        .wait("the new picture", |event| match event {
            Event::PictureUpdate(update) if !update.removed => Some((update.jid.clone(), update.picture_id.clone())),
            _ => None,
        })
        .await?;
    assert_eq!(notified, (bob_jid.clone(), Some(set.id.clone())));
    let found = alice.client.contacts().get_profile_picture(&bob_jid, true).await?.context("no picture")?;
    assert_eq!(found.id, set.id);
    let answer = MediaClient::new().execute(HttpRequest::get(found.url)).await?;
    assert!(answer.status_code == 200 && answer.body == noise(3000), "{}", answer.status_code);
    // The owner changes the picture on the phone, and the account's device is notified.
    let picture = json!({ "data": BASE64_STANDARD.encode(noise(10)) });
    let changed = control.post(&format!("/phones/{ALICE}/picture"), picture).await?;
    let found = bob.client.contacts().get_profile_picture(&alice_jid, false).await?.context("no picture")?;
    assert_eq!(json!(found.id), changed["picture"]);
    alice
        .wait("the own picture", |event| match event {
            Event::PictureUpdate(update) => (update.jid == alice_jid).then_some(()),
            _ => None,
        })
        .await?;
    bob.client.profile().remove_profile_picture().await?;
    let gone = alice
        .wait("no picture", |event| match event {
            Event::PictureUpdate(update) => update.removed.then(|| update.jid.clone()),
            _ => None,
        })
        .await?;
    assert_eq!(gone, bob_jid);
    assert_eq!(control.request("GET", &format!("/phones/{BOB}/picture"), None).await?.0, 404);
    bob.client.profile().set_status_text("at work").await?;
    let about = control.get(&format!("/phones/{BOB}/about")).await?;
    assert_eq!(about, json!({ "about": "at work" }));
    let stats = control.get("/stats").await?;
    assert_eq!(stats["unknown"], json!({}), "{stats}");
    sandbox.shutdown().await;
    Ok(())
}
