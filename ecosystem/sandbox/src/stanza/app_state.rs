//! App state on the wire: queries and uploads of devices, by collection.

use buffa::Message as _;
use wacore::download::MediaType;
use wacore::upload::encrypt_media;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp::{ExternalBlobReference, SyncdPatch, SyncdSnapshot};

use super::super::LOG;
use super::super::account::DeviceId;
use super::super::app_state::{PatchRefusal, Update, upload};
use super::super::faults::corrupt_app_state;
use super::super::node::{bytes, children, leaf, text};
use super::super::server::Server;
use super::Context;
use super::iq::Answer;

/// Answers for each named collection. A client counts as connected only after this answer.
pub(super) fn sync(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(own) = context.device else { return Answer::Refused(401, "not-authorized") };
    let asked = query.get_optional_child("sync").map(children).unwrap_or_default();
    let collections: Vec<Node> = asked.iter().map(|asked| collection(context.server, own, asked)).collect();
    Answer::Result(vec![NodeBuilder::new("sync").children(collections).build()])
}

fn collection(server: &Server, own: &DeviceId, asked: &Node) -> Node {
    let name = text(asked, "name");
    // A device without any state leaves the version out.
    let version = text(asked, "version").parse().unwrap_or(0);
    let update = |want_snapshot| {
        let state = server.state();
        state.accounts.get(&own.number).and_then(|account| account.app_state.update(&name, version, want_snapshot))
    };
    let Some(patch) = asked.get_optional_child("patch") else {
        return match update(text(asked, "return_snapshot") == "true") {
            Some(update) => hand_out(server, own, update, None),
            None => refused(server, &name, "404", "item-not-found"),
        };
    };
    let patch = bytes(patch).and_then(|patch| SyncdPatch::decode_from_slice(&patch).ok());
    match patch.ok_or(PatchRefusal::Malformed).and_then(|patch| upload(server, own, &name, version, patch)) {
        Ok(version) => NodeBuilder::new("collection").attr("name", name).attr("version", version).build(),
        Err(PatchRefusal::Conflict) => match update(false) {
            Some(update) => hand_out(server, own, update, Some(("409", "conflict"))),
            None => refused(server, &name, "404", "item-not-found"),
        },
        Err(PatchRefusal::Malformed) => refused(server, &name, "400", "bad-request"),
        Err(PatchRefusal::Unknown) => refused(server, &name, "404", "item-not-found"),
    }
}

/// The answer for one collection. Every patch and every snapshot that goes to a device passes here.
fn hand_out(server: &Server, device: &DeviceId, update: Update, error: Option<(&'static str, &'static str)>) -> Node {
    let Update { name, version, snapshot, mut patches, more } = update;
    corrupt_app_state(server, device, &mut patches);
    let mut collection = NodeBuilder::new("collection").attr("name", name).attr("version", version);
    if more {
        collection = collection.attr("has_more_patches", "true");
    }
    let mut content = vec![];
    if let Some((code, text)) = error {
        collection = collection.attr("type", "error");
        content.push(NodeBuilder::new("error").attr("code", code).attr("text", text).build());
    }
    if let Some(snapshot) = snapshot {
        match stored(server, device, name, &snapshot) {
            Ok(reference) => content.push(leaf("snapshot", reference.encode_to_vec())),
            Err(error) => {
                tracing::warn!(target: LOG, name, %error, "cannot store a snapshot; the device gets an error");
                return refused(server, name, "503", "service-unavailable");
            }
        }
    }
    if !patches.is_empty() {
        let patches = patches.iter().map(|patch| leaf("patch", patch.encode_to_vec()));
        content.push(NodeBuilder::new("patches").children(patches).build());
    }
    collection.children(content).build()
}

/// The place of an encrypted snapshot on the media server. Each version is stored once.
fn stored(
    server: &Server,
    device: &DeviceId,
    name: &'static str,
    snapshot: &SyncdSnapshot,
) -> anyhow::Result<ExternalBlobReference> {
    let version = snapshot.version.version.unwrap_or_default();
    let known = {
        let state = server.state();
        state.accounts.get(&device.number).and_then(|account| account.app_state.stored(name, version))
    };
    if let Some(reference) = known {
        return Ok(reference);
    }
    let plain = snapshot.encode_to_vec();
    let sealed = encrypt_media(&plain, MediaType::AppState)?;
    let path = server.media.put(MediaType::AppState, sealed.data_to_upload.into())?;
    let reference = ExternalBlobReference {
        media_key: Some(sealed.media_key.to_vec()),
        direct_path: Some(path),
        file_size_bytes: u64::try_from(plain.len()).ok(),
        file_sha256: Some(sealed.file_sha256.to_vec()),
        file_enc_sha256: Some(sealed.file_enc_sha256.to_vec()),
        ..Default::default()
    };
    if let Some(account) = server.state().accounts.get_mut(&device.number) {
        account.app_state.keep(name, version, reference.clone());
    }
    Ok(reference)
}

/// An error of one collection, which does not affect the others.
fn refused(server: &Server, name: &str, code: &'static str, reason: &'static str) -> Node {
    server.stats.unknown(format!("app state {name}: {reason}"));
    let error = NodeBuilder::new("error").attr("code", code).attr("text", reason).build();
    NodeBuilder::new("collection").attr("name", name).attr("type", "error").children([error]).build()
}
