//! Linking by pairing code: the device shows eight characters, and the phone's owner types them in.
//!
//! The server never learns the code. The code encrypts the two ephemeral keys that device and phone exchange, without
//! any checksum: a wrong code gives wrong keys on both sides, and the mistake shows only when the phone cannot decrypt
//! the device's last message. A device does not answer a fourth attempt, so there are three.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wacore::crypto::hkdf_sha256;
use wacore::libsignal::crypto::aes_256_gcm_decrypt;
use wacore::libsignal::protocol::{KeyPair, PublicKey};
use wacore::pair_code::PairCodeUtils;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::DeviceId;
use super::super::ca::{new_key, public_bytes};
use super::super::node::{child_bytes, jid, leaf, server_jid, text, unix_now};
use super::super::server::Server;
use super::super::stanza::{Answer, Context, reply};
use super::super::state::State;
use super::{LinkError, link};

/// The lengths of the salt and the initialisation vector before an encrypted key bundle, and of the bundle's three
/// keys.
const SALT: usize = 32;
const IV: usize = 12;
const KEY: usize = 32;

/// A device's request, made when it began to show a pairing code.
#[derive(Debug)]
pub(in super::super) struct CodeRequest {
    /// The number whose phone is to link the device.
    pub(in super::super) number: String,
    /// The name that the device gives itself.
    pub(in super::super) device: String,
    pub(in super::super) since: Instant,
    tries: u32,
    reference: Vec<u8>,
    /// The device's ephemeral key, encrypted with the code.
    wrapped: Vec<u8>,
    /// Receives the device's key bundle while the owner's code is being checked.
    finish: Option<oneshot::Sender<Finish>>,
}

/// The device's last message: keys that only the right code can decrypt.
#[derive(Debug)]
struct Finish {
    bundle: Vec<u8>,
    identity: Vec<u8>,
}

impl CodeRequest {
    pub(in super::super) fn tries_left(&self) -> u32 {
        PairCodeUtils::max_primary_hello_attempts().saturating_sub(self.tries)
    }

    /// How long the code is still valid.
    pub(in super::super) fn time_left(&self) -> Option<Duration> {
        PairCodeUtils::code_validity().checked_sub(self.since.elapsed())
    }

    /// Uses up one attempt.
    fn attempt(&mut self) -> Result<oneshot::Receiver<Finish>, LinkError> {
        if self.time_left().is_none() {
            return Err(LinkError::Expired(PairCodeUtils::code_validity().as_secs()));
        }
        if self.tries_left() == 0 {
            return Err(LinkError::TooManyTries);
        }
        self.tries += 1;
        let (finish, answer) = oneshot::channel();
        self.finish = Some(finish);
        Ok(answer)
    }
}

/// Handles the device's first or last message of the exchange.
pub(in super::super) fn companion_reg(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(reg) = query.get_optional_child("link_code_companion_reg") else {
        return Answer::Refused(400, "bad-request");
    };
    match text(reg, "stage").as_str() {
        "companion_hello" => hello(context, reg),
        "companion_finish" => finish(context, query, reg),
        _ => Answer::Refused(400, "bad-request"),
    }
}

/// The device shows a code from now on; its earlier code is void.
fn hello(context: &mut Context<'_>, reg: &Node) -> Answer {
    let wrapped = child_bytes(reg, "link_code_pairing_wrapped_companion_ephemeral_pub");
    let mut state = context.server.state();
    let number = jid(reg, "jid").and_then(|jid| state.number_of(&jid));
    let number = number.filter(|number| state.accounts.contains_key(number));
    let (Some(number), Some(waiting)) = (number, state.waiting.get_mut(&context.link.id())) else {
        return Answer::Refused(400, "bad-request");
    };
    if child_bytes(reg, "companion_server_auth_key_pub") != waiting.noise_key {
        return Answer::Refused(400, "bad-request");
    }
    let reference = rand::random::<[u8; 16]>().to_vec();
    waiting.code = Some(CodeRequest {
        number,
        device: String::from_utf8_lossy(&child_bytes(reg, "companion_platform_display")).into_owned(),
        since: Instant::now(),
        tries: 0,
        reference: reference.clone(),
        wrapped,
        finish: None,
    });
    let reference = leaf("link_code_pairing_ref", reference);
    let answer = NodeBuilder::new("link_code_companion_reg").attr("stage", "companion_hello").children([reference]);
    Answer::Result(vec![answer.build()])
}

/// Passes the device's key bundle to the phone. The server does not know whether the phone can decrypt it.
fn finish(context: &mut Context<'_>, query: &Node, reg: &Node) -> Answer {
    let reference = child_bytes(reg, "link_code_pairing_ref");
    let mut state = context.server.state();
    let code = state.waiting.get_mut(&context.link.id()).and_then(|waiting| waiting.code.as_mut());
    let Some(phone) = code.filter(|code| code.reference == reference).and_then(|code| code.finish.take()) else {
        return Answer::Refused(400, "bad-request");
    };
    let finish = Finish {
        bundle: child_bytes(reg, "link_code_pairing_wrapped_key_bundle"),
        identity: child_bytes(reg, "companion_identity_public"),
    };
    // The answer goes first: the phone may be quick, and the device must not be linked before it has this answer.
    reply(context, query, Answer::Result(vec![]));
    let _ = phone.send(finish);
    Answer::Sent
}

/// The newest code request for a number, with its connection: the server knows requests by number, not by code.
pub(in super::super) fn request_of<'a>(state: &'a State, number: &str) -> Option<(u64, &'a CodeRequest)> {
    let requests = state.waiting.iter().filter_map(|(connection, waiting)| Some((*connection, waiting.code.as_ref()?)));
    requests.filter(|(_, code)| code.number == number).max_by_key(|(_, code)| code.since)
}

/// The phone's owner types a code in. Returns when the device is linked.
pub(in super::super) async fn confirm(server: &Server, number: &str, code: &str) -> Result<DeviceId, LinkError> {
    let typed = read(code)?;
    let (wrapped, reference, connection, key, answer) = {
        let mut state = server.state();
        let state = &mut *state;
        let account = state.accounts.get(number).ok_or_else(|| LinkError::NoPhone(number.to_owned()))?;
        let none = || LinkError::NoRequest(number.to_owned());
        let (key, (connection, _)) = (account.key.clone(), request_of(state, number).ok_or_else(none)?);
        let waiting = state.waiting.get_mut(&connection);
        let request = waiting.and_then(|waiting| waiting.code.as_mut()).ok_or_else(none)?;
        let answer = request.attempt()?;
        (request.wrapped.clone(), request.reference.clone(), connection, key, answer)
    };
    let ephemeral = new_key();
    let public = public_bytes(&ephemeral);
    // Deriving a key from a code is slow on purpose, so phone and device derive theirs at the same time.
    let theirs = tokio::task::spawn_blocking({
        let typed = typed.clone();
        move || PairCodeUtils::decrypt_primary_ephemeral_pub(&wrapped, &typed)
    });
    let ours = tokio::task::spawn_blocking(move || PairCodeUtils::encrypt_ephemeral_pub(&public, &typed));
    let ours = ours.await.map_err(|error| LinkError::Keys(error.to_string()))?;
    let tries_left = {
        let state = server.state();
        let waiting = state.waiting.get(&connection).ok_or(LinkError::Stale)?;
        waiting.link.send(primary_hello(server.stanza_id(), ours, public_bytes(&key), reference));
        waiting.code.as_ref().map_or(0, CodeRequest::tries_left)
    };
    // The device itself waits this long for the phone.
    let finish = tokio::time::timeout(PairCodeUtils::primary_hello_pair_success_timeout(), answer).await;
    let Ok(Ok(finish)) = finish else { return Err(LinkError::Unfinished) };
    let theirs = theirs.await.map_err(|error| LinkError::Keys(error.to_string()))?;
    let theirs = theirs.map_err(|error| LinkError::Keys(error.to_string()))?;
    let secret = open(&ephemeral, &key, &theirs, &finish).ok_or(LinkError::WrongCode(tries_left))?;
    link(server, number, connection, &secret).await
}

/// The characters of a code as the owner typed them.
fn read(code: &str) -> Result<String, LinkError> {
    let typed: String = code.chars().filter(|c| *c != '-' && !c.is_whitespace()).collect();
    if typed.len() == 8 && typed.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(typed.to_ascii_uppercase());
    }
    Err(LinkError::NotACode(code.to_owned()))
}

/// The phone's keys, as a notification to the device.
fn primary_hello(id: String, wrapped: [u8; 80], identity: [u8; 32], reference: Vec<u8>) -> Node {
    let reg = NodeBuilder::new("link_code_companion_reg").attr("stage", "primary_hello").children([
        leaf("link_code_pairing_wrapped_primary_ephemeral_pub", wrapped),
        leaf("primary_identity_pub", identity),
        leaf("link_code_pairing_ref", reference),
    ]);
    NodeBuilder::new("notification")
        .attr("from", server_jid())
        .attr("type", "link_code_companion_reg")
        .attr("id", id)
        .attr("t", unix_now())
        .children([reg.build()])
        .build()
}

/// Decrypts the device's key bundle and derives the shared secret. `None` when the code was wrong.
fn open(ephemeral: &KeyPair, own: &KeyPair, device_ephemeral: &[u8], finish: &Finish) -> Option<Vec<u8>> {
    let (salt, rest) = finish.bundle.split_at_checked(SALT)?;
    let (iv, sealed) = rest.split_at_checked(IV)?;
    let device_ephemeral = PublicKey::from_djb_public_key_bytes(device_ephemeral).ok()?;
    let device_identity = PublicKey::from_djb_public_key_bytes(&finish.identity).ok()?;
    let ephemeral_shared = ephemeral.private_key.calculate_agreement(&device_ephemeral).ok()?;
    let identity_shared = own.private_key.calculate_agreement(&device_identity).ok()?;
    let key = hkdf_sha256(&ephemeral_shared, KEY, Some(salt), b"link_code_pairing_key_bundle_encryption_key").ok()?;
    let mut opened = vec![];
    aes_256_gcm_decrypt(&key.try_into().ok()?, iv.try_into().ok()?, b"", sealed, &mut opened).ok()?;
    let (device, rest) = opened.split_at_checked(KEY)?;
    let (phone, random) = rest.split_at_checked(KEY)?;
    if device != finish.identity || phone != public_bytes(own) {
        return None;
    }
    let secret = [ephemeral_shared.as_slice(), identity_shared.as_slice(), random].concat();
    hkdf_sha256(&secret, KEY, None, b"adv_secret").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(since: Instant) -> CodeRequest {
        CodeRequest {
            number: "15550001".into(),
            device: "Chrome (Linux)".into(),
            since,
            tries: 0,
            reference: vec![],
            wrapped: vec![],
            finish: None,
        }
    }

    #[test]
    fn x1_a_code_is_read_as_people_type_it() {
        for typed in ["ABCD-EFGH", "abcdefgh", " ABCD EFGH "] {
            assert_eq!(read(typed).ok().as_deref(), Some("ABCDEFGH"), "{typed:?}");
        }
        for typed in ["", "ABCD-EFG", "ABCD-EFGHI", "ABCD-EFG!", "ÄBCDEFG"] {
            assert!(matches!(read(typed), Err(LinkError::NotACode(_))), "{typed:?}");
        }
    }

    #[test]
    fn x1_a_request_takes_three_tries_within_three_minutes() {
        let mut fresh = request(Instant::now());
        for _ in 0..3 {
            assert!(fresh.attempt().is_ok());
        }
        assert!(matches!(fresh.attempt(), Err(LinkError::TooManyTries)));
        let past = Instant::now().checked_sub(PairCodeUtils::code_validity() + Duration::from_secs(1));
        let mut old = request(past.expect("the machine has been up for three minutes"));
        assert!(matches!(old.attempt(), Err(LinkError::Expired(180))));
    }
}
