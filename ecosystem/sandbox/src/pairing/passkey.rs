//! Linking with a passkey, which some accounts demand after the scan of the QR code.
//!
//! The server challenges the owner's passkey, which answers in a browser and not on the phone. With the answer the
//! device commits itself to a nonce. The phone identifies itself. The device opens the commitment, and both show the
//! code that follows from the two nonces. Once the user has compared them, the device sends its keys and a new secret,
//! encrypted for the phone; then it is linked under that secret, as with any other way.
//!
//! An attempt belongs to the device's keys and not to a connection, so a device that lost its connection continues
//! where it was.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use buffa::Message as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wacore::libsignal::crypto::aes_256_gcm_decrypt;
use wacore::libsignal::protocol::{KeyPair, PublicKey};
use wacore::shortcake::ShortcakeUtils;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp::{
    CompanionEphemeralIdentity, EncryptedPairingRequest, PairingRequest, PrimaryEphemeralIdentity, ProloguePayload,
};

use super::super::account::Account;
use super::super::ca::{new_key, public_bytes, sign};
use super::super::node::{child_bytes, leaf, server_jid, unix_now};
use super::super::server::Server;
use super::super::stanza::{Answer, Context, reply};
use super::super::state::State;
use super::{LinkError, link};

/// The relying party of the passkeys.
const RELYING_PARTY: &str = "whatsapp.com";
const ORIGIN: &str = "https://web.whatsapp.com";
/// How long the owner has to answer, in milliseconds.
const TIMEOUT_MS: u64 = 600_000;

const BAD: Answer = Answer::Refused(400, "bad-request");
const NOT_ALLOWED: Answer = Answer::Refused(401, "not-authorized");

/// A device whose owner must show the passkey.
#[derive(Debug)]
pub(in super::super) struct Attempt {
    pub(in super::super) number: String,
    challenge: String,
    reference: Option<String>,
    exchange: Option<PasskeyExchange>,
    /// The code that phone and device show for comparison.
    pub(in super::super) code: Option<String>,
}

/// The state after the passkey was shown: the keys of both sides.
struct PasskeyExchange {
    /// The device's message as received, to recognise a repetition.
    payload: Vec<u8>,
    identity: Vec<u8>,
    device: CompanionEphemeralIdentity,
    commitment: Vec<u8>,
    phone: KeyPair,
    nonce: [u8; 32],
}

impl std::fmt::Debug for PasskeyExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("payload", &hex::encode(&self.payload)).finish_non_exhaustive()
    }
}

impl Attempt {
    /// The stage of the attempt.
    pub(in super::super) fn stage(&self) -> &'static str {
        match (&self.exchange, &self.code) {
            (None, _) => "requested",
            (Some(_), None) => "proven",
            (Some(_), Some(_)) => "code",
        }
    }

    /// The WebAuthn options for the browser.
    fn options(&self) -> String {
        json!({
            "challenge": self.challenge,
            "timeout": TIMEOUT_MS,
            "rpId": RELYING_PARTY,
            "allowCredentials": [],
            "userVerification": "required",
        })
        .to_string()
    }
}

/// Demands the passkey from the device that waits on a connection, instead of linking it.
pub(super) fn demand(server: &Server, state: &mut State, number: &str, connection: u64) -> Result<(), LinkError> {
    let waiting = state.waiting.get(&connection).ok_or(LinkError::Stale)?;
    let attempt = Attempt {
        number: number.to_owned(),
        challenge: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()),
        reference: None,
        exchange: None,
        code: None,
    };
    let options = leaf("passkey_request_options", attempt.options());
    waiting.link.send(notification(server, "passkey_prologue_request", options));
    state.passkeys.insert(waiting.noise_key, attempt);
    Ok(())
}

/// A device has reconnected: repeats the phone's last message, which may not have reached it.
pub(super) fn resume(server: &Server, state: &State, connection: u64) {
    let Some(waiting) = state.waiting.get(&connection) else { return };
    if let Some(Attempt { exchange: Some(exchange), code: None, .. }) = state.passkeys.get(&waiting.noise_key) {
        waiting.link.send(continuation(server, exchange));
    }
}

fn notification(server: &Server, kind: &'static str, content: Node) -> Node {
    NodeBuilder::new("notification")
        .attr("from", server_jid())
        .attr("type", kind)
        .attr("id", server.stanza_id())
        .attr("t", unix_now())
        .children([content])
        .build()
}

/// The phone's message to the device.
fn continuation(server: &Server, exchange: &PasskeyExchange) -> Node {
    let identity = PrimaryEphemeralIdentity {
        public_key: Some(public_bytes(&exchange.phone).to_vec()),
        nonce: Some(exchange.nonce.to_vec()),
    };
    notification(server, "crsc_continuation", leaf("primary_ephemeral_identity", identity.encode_to_vec()))
}

/// The attempt of the device on this connection.
fn attempt<'a>(state: &'a mut State, context: &Context<'_>) -> Option<&'a mut Attempt> {
    let waiting = state.waiting.get(&context.link.id())?;
    state.passkeys.get_mut(&waiting.noise_key)
}

/// Returns the WebAuthn options, for a device that did not receive them with the demand.
pub(in super::super) fn options(context: &mut Context<'_>, _query: &Node) -> Answer {
    let mut state = context.server.state();
    let Some(attempt) = attempt(&mut state, context) else { return NOT_ALLOWED };
    Answer::Result(vec![leaf("passkey_request_options", attempt.options())])
}

/// Returns the attempt's reference, which both sides mix into their keys.
pub(in super::super) fn reference(context: &mut Context<'_>, _query: &Node) -> Answer {
    let mut state = context.server.state();
    let Some(attempt) = attempt(&mut state, context) else { return NOT_ALLOWED };
    let reference = format!("2@{}", hex::encode(rand::random::<[u8; 16]>()));
    attempt.reference = Some(reference.clone());
    Answer::Result(vec![leaf("ref", reference)])
}

/// Receives the passkey's answer and the device's commitment. A repetition gets the same answer.
pub(in super::super) fn prologue(context: &mut Context<'_>, query: &Node) -> Answer {
    let Some(prologue) = query.get_optional_child("passkey_prologue") else { return BAD };
    let mut state = context.server.state();
    let state = &mut *state;
    let Some(waiting) = state.waiting.get(&context.link.id()) else { return NOT_ALLOWED };
    let Some(attempt) = state.passkeys.get_mut(&waiting.noise_key) else { return NOT_ALLOWED };
    let Some(account) = state.accounts.get(&attempt.number) else { return NOT_ALLOWED };
    let payload = child_bytes(prologue, "prologue_payload");
    if attempt.exchange.as_ref().is_none_or(|exchange| exchange.payload != payload) {
        let (credential, assertion) =
            (child_bytes(prologue, "credential_id"), child_bytes(prologue, "webauthn_assertion"));
        if attempt.exchange.is_some() || credential != credential_id(account) || !proves(account, attempt, &assertion) {
            return NOT_ALLOWED;
        }
        let Some(exchange) = begin(payload, attempt.reference.as_deref()) else { return BAD };
        attempt.exchange = Some(exchange);
    }
    // The answer goes first: the phone may be quick.
    reply(context, query, Answer::Result(vec![]));
    if let (Some(exchange), None) = (&attempt.exchange, &attempt.code) {
        context.link.send(continuation(context.server, exchange));
    }
    Answer::Sent
}

fn begin(payload: Vec<u8>, reference: Option<&str>) -> Option<PasskeyExchange> {
    let parsed = ProloguePayload::decode_from_slice(&payload).ok()?;
    let identity = parsed.companion_ephemeral_identity?;
    let commitment = parsed.commitment.into_option()?.hash?;
    let device = CompanionEphemeralIdentity::decode_from_slice(&identity).ok()?;
    if reference.is_none() || device.r#ref.as_deref() != reference {
        return None;
    }
    Some(PasskeyExchange { payload, identity, device, commitment, phone: new_key(), nonce: rand::random() })
}

/// Receives the nonce of the device's commitment: both sides can now compute the code.
pub(in super::super) fn nonce(context: &mut Context<'_>, query: &Node) -> Answer {
    let nonce = <[u8; 32]>::try_from(child_bytes(query, "companion_nonce"));
    let mut state = context.server.state();
    let Some(attempt) = attempt(&mut state, context) else { return NOT_ALLOWED };
    let (Some(exchange), Ok(nonce)) = (&attempt.exchange, nonce) else { return BAD };
    if ShortcakeUtils::commitment_hash(&exchange.identity, &nonce).as_slice() != exchange.commitment {
        return NOT_ALLOWED;
    }
    let code = ShortcakeUtils::derive_verification_code(&nonce, &public_bytes(&exchange.phone), &exchange.nonce);
    let (first, second) = code.split_at(4);
    attempt.code = Some(format!("{first}-{second}"));
    Answer::Result(vec![])
}

/// Receives the device's keys and its new secret: the phone links the device.
pub(in super::super) fn request(context: &mut Context<'_>, query: &Node) -> Answer {
    let opened = {
        let mut state = context.server.state();
        let state = &mut *state;
        let Some(waiting) = state.waiting.get(&context.link.id()) else { return NOT_ALLOWED };
        let Some(attempt) = state.passkeys.get(&waiting.noise_key) else { return NOT_ALLOWED };
        let (Some(exchange), Some(_)) = (&attempt.exchange, &attempt.code) else { return NOT_ALLOWED };
        let Some(request) = open(exchange, &child_bytes(query, "encrypted_pairing_request")) else { return BAD };
        let keys = (request.companion_public_key, request.companion_identity_key);
        if keys != (Some(waiting.noise_key.to_vec()), Some(waiting.bundle.identity.clone())) {
            return NOT_ALLOWED;
        }
        request.adv_secret.map(|secret| (attempt.number.clone(), secret))
    };
    let Some((number, secret)) = opened else { return BAD };
    // The answer goes first: the device must have it before it is linked.
    reply(context, query, Answer::Result(vec![]));
    let (server, connection) = (context.server.clone(), context.link.id());
    context.server.spawn(async move {
        if let Err(error) = link(&server, &number, connection, &secret).await {
            tracing::info!(target: super::super::LOG, number, %error, "linking with a passkey failed");
        }
    });
    Answer::Sent
}

fn open(exchange: &PasskeyExchange, sealed: &[u8]) -> Option<PairingRequest> {
    let sealed = EncryptedPairingRequest::decode_from_slice(sealed).ok()?;
    let device = PublicKey::from_djb_public_key_bytes(exchange.device.public_key.as_deref()?).ok()?;
    let shared = exchange.phone.private_key.calculate_agreement(&device).ok()?;
    let (kind, reference) = (exchange.device.device_type?, exchange.device.r#ref.as_deref()?);
    let key = ShortcakeUtils::derive_encryption_key_from_shared_secret(&shared, kind, reference).ok()?;
    let (iv, mut opened) = (sealed.iv?, vec![]);
    aes_256_gcm_decrypt(&key, iv.as_slice().try_into().ok()?, b"", &sealed.encrypted_payload?, &mut opened).ok()?;
    PairingRequest::decode_from_slice(&opened).ok()
}

/// The answer of the owner's browser to a device's WebAuthn request, on WhatsApp's page.
pub(in super::super) fn assert(account: &Account, options: &Value) -> Result<Value, LinkError> {
    let field = |name: &str| options[name].as_str().ok_or_else(|| LinkError::Passkey(format!("{name}: missing")));
    let (challenge, party) = (field("challenge")?, field("rpId")?);
    if party != RELYING_PARTY {
        return Err(LinkError::Passkey(format!("rpId: {party} is not accepted; use {RELYING_PARTY}")));
    }
    let client = json!({ "type": "webauthn.get", "challenge": challenge, "origin": ORIGIN }).to_string();
    // User present and verified; passkeys do not use the counter, which stays 0.
    let authenticator = [Sha256::digest(party).as_slice(), &[0x05], &[0; 4]].concat();
    let signature = sign(&account.key, &[authenticator.as_slice(), &Sha256::digest(&client)].concat())
        .map_err(|error| LinkError::Keys(error.to_string()))?;
    let id = credential_id(account);
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Ok(json!({
        "id": text(&id),
        "rawId": text(&id),
        "type": "public-key",
        "response": {
            "clientDataJSON": text(client.as_bytes()),
            "authenticatorData": text(&authenticator),
            "signature": text(&signature),
            "userHandle": null,
        },
    }))
}

fn credential_id(account: &Account) -> Vec<u8> {
    Sha256::digest(["passkey of ", account.number.as_str()].concat())[..16].to_vec()
}

/// Whether an assertion is signed by this account's passkey for this attempt's challenge.
fn proves(account: &Account, attempt: &Attempt, assertion: &[u8]) -> bool {
    let Ok(assertion) = serde_json::from_slice::<Value>(assertion) else { return false };
    let part = |name: &str| {
        let text = assertion["response"][name].as_str()?;
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()
    };
    let (Some(client), Some(authenticator), Some(signature)) =
        (part("clientDataJSON"), part("authenticatorData"), part("signature"))
    else {
        return false;
    };
    let Ok(said) = serde_json::from_slice::<Value>(&client) else { return false };
    said["type"] == "webauthn.get"
        && said["challenge"] == attempt.challenge.as_str()
        && said["origin"] == ORIGIN
        && authenticator.starts_with(&Sha256::digest(RELYING_PARTY))
        && account
            .key
            .public_key
            .verify_signature(&[authenticator, Sha256::digest(&client).to_vec()].concat(), &signature)
}
