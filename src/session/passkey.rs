//! Linking an account that demands a passkey (S2), as a row with which any holder can continue.
//!
//! | stage of `wa.passkey` | what happened | who continues |
//! | --- | --- | --- |
//! | requested | WhatsApp sent a challenge for the owner's passkey | `wa.answer_passkey` |
//! | answered | a browser's answer is stored | we send it, with a commitment to a nonce |
//! | proven | WhatsApp accepted it | the phone identifies itself; then we open the commitment |
//! | code | we and the phone show a code | `wa.confirm_passkey`, or `wa.refuse_passkey` ends it |
//! | confirmed | the owner has compared the codes | we send our keys and a new secret, encrypted for the phone |
//! | done | the phone linked us under that secret | |
//!
//! The library's own driver keeps everything in memory. Here each step is stored before it is sent to WhatsApp, and
//! after a crash the next holder sends the same again: what we committed ourselves to does not change.

use std::sync::Arc;

use super::credentials;
use super::row::persist;
use crate::auth::{AuthError, AuthStore, PasskeyLinking, random};
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::storable::{Storable, StorableJson};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use buffa::Enumeration as _;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wacore::libsignal::protocol::{KeyPair, PrivateKey};
use wacore::request::InfoQuery;
use wacore::shortcake::ShortcakeUtils;
use wacore::store::commands::DeviceCommand;
use wacore_binary::builder::NodeBuilder;
use wacore_binary::{Jid, Node, NodeContent, OwnedNodeRef, SERVER_JID, Server};
use waproto::whatsapp::device_props::PlatformType;
use whatsapp_rust::client::Client;
use whatsapp_rust::passkey::parse_request_options;
use whatsapp_rust::request::IqError;

/// How long to wait for a passkey, in seconds: if WhatsApp gives no time, and at most.
const USUAL_TIMEOUT: f64 = 600.0;
const LONGEST_TIMEOUT: f64 = 3600.0;

/// A signal to the driver.
#[derive(Debug)]
pub(super) enum PasskeySignal {
    /// The connection is ready, or the row has changed: make the next step.
    Continue,
    /// WhatsApp demands a passkey, with this request.
    Demanded(String),
    /// The phone has identified itself.
    Primary(Vec<u8>),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// WhatsApp refused, or sent something unusable: the linking has failed.
    #[error("{0}")]
    Failed(String),
    /// The connection did not carry it. The next connection repeats the step.
    #[error("{0}")]
    Later(String),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl StepError {
    fn of(what: &'static str, error: &IqError) -> Self {
        match error {
            IqError::ServerError { .. } => Self::Failed(format!("WhatsApp refused {what}: {error}")),
            _ => Self::Later(format!("{what}: {error}")),
        }
    }
}

/// The phone's identity in a stanza, if the stanza carries one.
#[must_use]
pub(super) fn primary_of(stanza: &OwnedNodeRef) -> Option<Vec<u8>> {
    let node = stanza.get();
    let is = |name: &str, value: &str| node.get_attr(name).is_some_and(|found| *found == value);
    if node.tag.as_ref() != "notification" || !is("type", "crsc_continuation") || !is("from", SERVER_JID) {
        return None;
    }
    Some(node.get_optional_child("primary_ephemeral_identity")?.content_bytes()?.to_vec())
}

/// Starts the driver of one client of a session that is not linked. It ends when the sender is dropped.
pub(super) fn start(
    hold: Hold,
    store: AuthStore,
    client: Arc<Client>,
    tasks: &TaskTracker,
) -> UnboundedSender<PasskeySignal> {
    let (sender, signal) = unbounded_channel();
    tasks.spawn(Driver { hold, store, client }.run(signal).in_current_span());
    sender
}

/// Whether the session has an unfinished linking with a passkey that can still be finished.
pub(super) async fn is_open(hold: &Hold) -> sqlx::Result<bool> {
    Ok(open_linking(hold).await?.is_some_and(|row| !row.over))
}

/// The step that the worker has to make for an unfinished linking.
enum WorkerStep {
    /// Show WhatsApp the browser's answer.
    Prove(Value),
    /// Open the commitment, once the phone has said who it is.
    Reveal,
    /// Send the keys and the new secret.
    AskForLink,
    /// None: the owner, the phone or a newer version goes on.
    Wait,
}

impl WorkerStep {
    fn of(stage: &str, answer: Option<Value>) -> Self {
        match stage {
            "answered" => Self::Prove(answer.unwrap_or_default()),
            "proven" => Self::Reveal,
            "confirmed" => Self::AskForLink,
            "requested" | "code" => Self::Wait,
            unknown => {
                tracing::warn!(stage = unknown, "passkey stage unknown to this version; it waits for a newer worker");
                Self::Wait
            }
        }
    }
}

/// A stage to which the worker advances a linking.
#[derive(Debug, Clone, Copy)]
enum Reached {
    Proven,
    Code,
    Failed,
}

impl Reached {
    const fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Code => "code",
            Self::Failed => "failed",
        }
    }
}

/// An unfinished linking.
struct OpenLinking {
    step: WorkerStep,
    over: bool,
}

async fn open_linking(hold: &Hold) -> sqlx::Result<Option<OpenLinking>> {
    let session_id = hold.fence.session_id;
    let ask = || sqlx::query_file!("sql/passkey/unfinished.sql", session_id).fetch_optional(&hold.db);
    let found = hold.ask(ask).await?;
    Ok(found.map(|row| OpenLinking { step: WorkerStep::of(&row.stage, row.answer), over: row.over }))
}

struct Driver {
    hold: Hold,
    store: AuthStore,
    client: Arc<Client>,
}

impl Driver {
    async fn run(self, mut signal: UnboundedReceiver<PasskeySignal>) {
        while let Some(signal) = signal.recv().await {
            let step = match signal {
                PasskeySignal::Continue => self.next_step().await,
                PasskeySignal::Demanded(request) => self.demanded(&request).await,
                PasskeySignal::Primary(primary) => self.primary(primary).await,
            };
            let error = match step {
                Ok(()) => continue,
                Err(StepError::Failed(error)) => error,
                Err(error) => {
                    tracing::warn!(%error, "passkey step failed; the next connection repeats it");
                    continue;
                }
            };
            tracing::warn!(error, "linking with a passkey failed; it has to be started again");
            self.advance(Reached::Failed, None, Some(&error)).await;
        }
    }

    /// Makes the step that the row asks for.
    async fn next_step(&self) -> Result<(), StepError> {
        let Some(row) = open_linking(&self.hold).await? else { return Ok(()) };
        if row.over {
            return Err(StepError::Failed("it was not finished in time".into()));
        }
        match row.step {
            WorkerStep::Prove(answer) => self.prove(answer).await,
            WorkerStep::Reveal => match self.store.passkey_linking().await? {
                Some(linking) if linking.primary.is_some() => self.reveal(&linking).await,
                _ => Ok(()),
            },
            WorkerStep::AskForLink => self.ask_for_link().await,
            WorkerStep::Wait => Ok(()),
        }
    }

    async fn demanded(&self, request: &str) -> Result<(), StepError> {
        let options = parse_request_options(request).map_err(|error| StepError::Failed(error.to_string()))?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
        let seconds = options.timeout_ms.map_or(USUAL_TIMEOUT, |ms| ms as f64 / 1000.0).clamp(30.0, LONGEST_TIMEOUT);
        let request: Value = serde_json::from_str(request).map_err(|error| StepError::Failed(error.to_string()))?;
        let (Fence { session_id, epoch }, request) = (self.hold.fence, StorableJson::new(request));
        // WhatsApp sends the request once.
        persist(&self.hold, || {
            let request = &request;
            sqlx::query_file_scalar!("sql/passkey/request.sql", session_id, epoch, request as &StorableJson, seconds)
                .fetch_one(&self.hold.db)
        })
        .await;
        tracing::info!("WhatsApp demands a passkey; wa.passkey has the request");
        Ok(())
    }

    /// Sends the passkey's answer, with our commitment.
    async fn prove(&self, assertion: Value) -> Result<(), StepError> {
        let linking = match self.store.passkey_linking().await? {
            // It may have been sent already, and then it must be the same.
            Some(linking) => linking,
            None => self.begin().await?,
        };
        let id = assertion["id"].as_str().unwrap_or_default();
        let credential = BASE64_URL_SAFE_NO_PAD.decode(id.trim_end_matches('='));
        let credential = credential.map_err(|error| StepError::Failed(format!("assertion.id: {error}")))?;
        let (keys, kind) = (ephemeral(&linking)?, platform(&linking)?);
        let identity = ShortcakeUtils::build_companion_ephemeral_identity(&public(&keys)?, kind, &linking.reference);
        let commitment = ShortcakeUtils::commitment_hash(&identity, &linking.nonce);
        let prologue = NodeBuilder::new("passkey_prologue").children([
            leaf("credential_id", credential),
            leaf("webauthn_assertion", assertion.to_string().into_bytes()),
            leaf("prologue_payload", ShortcakeUtils::build_prologue_payload(&identity, &commitment)),
        ]);
        self.set("the passkey", prologue.build()).await?;
        self.advance(Reached::Proven, None, None).await;
        Ok(())
    }

    async fn begin(&self) -> Result<PasskeyLinking, StepError> {
        let device_type = self.client.persistence_manager().get_device_snapshot().device_props.platform_type;
        let query = InfoQuery::get("md", server(), Some(NodeContent::Nodes(vec![NodeBuilder::new("ref").build()])));
        let answer = self.client.send_iq(query).await.map_err(|error| StepError::of("the reference", &error))?;
        let reference = answer.get().get_optional_child("ref").and_then(|reference| {
            let bytes = reference.content_bytes().map(<[u8]>::to_vec);
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).or_else(|| Some(reference.content_str()?.to_string()))
        });
        let mut adv_secret = [0; 32];
        random::fill(&mut adv_secret);
        let linking = PasskeyLinking {
            reference: reference.ok_or_else(|| StepError::Failed("WhatsApp gave no reference".into()))?,
            device_type: device_type.unwrap_or(PlatformType::UNKNOWN).to_i32(),
            ephemeral: secret_of(&ShortcakeUtils::generate_companion_ephemeral_keypair())?,
            nonce: ShortcakeUtils::generate_companion_nonce(),
            adv_secret,
            primary: None,
        };
        self.store.put_passkey_linking(&linking).await?;
        Ok(linking)
    }

    /// Stores the phone's identity. A second one for the same linking changes nothing.
    async fn primary(&self, primary: Vec<u8>) -> Result<(), StepError> {
        let Some(mut linking) = self.store.passkey_linking().await? else {
            tracing::warn!("phone answered a passkey linking that is not under way; ignored");
            return Ok(());
        };
        if linking.primary.is_none() {
            linking.primary = Some(primary);
            self.store.put_passkey_linking(&linking).await?;
        }
        self.next_step().await
    }

    /// Opens the commitment; now both sides can show the code.
    async fn reveal(&self, linking: &PasskeyLinking) -> Result<(), StepError> {
        let primary = primary(linking)?;
        self.set("the nonce", leaf("companion_nonce", linking.nonce.to_vec())).await?;
        let code = ShortcakeUtils::derive_verification_code(&linking.nonce, &primary.public_key, &primary.nonce);
        let (first, second) = code.split_at(4);
        self.advance(Reached::Code, Some(&format!("{first}-{second}")), None).await;
        Ok(())
    }

    /// Sends our keys and the secret under which the phone vouches for us. The secret is stored before that, because
    /// the phone may be quicker than the answer.
    async fn ask_for_link(&self) -> Result<(), StepError> {
        let linking = self.store.passkey_linking().await?;
        let linking = linking.ok_or_else(|| StepError::Failed("the keys of this linking are gone".into()))?;
        let failed = |error: &dyn std::fmt::Display| StepError::Failed(error.to_string());
        let key = ShortcakeUtils::derive_encryption_key(
            &ephemeral(&linking)?,
            &primary(&linking)?.public_key,
            platform(&linking)?,
            &linking.reference,
        );
        let device = self.client.persistence_manager().get_device_snapshot();
        let request = ShortcakeUtils::build_pairing_request(
            &public(&device.noise_key)?,
            &public(&device.identity_key)?,
            &linking.adv_secret,
        );
        let sealed = ShortcakeUtils::encrypt_pairing_request(&request, &key.map_err(|error| failed(&error))?)
            .map_err(|error| failed(&error))?;
        let secret = DeviceCommand::SetAdvSecretKey(linking.adv_secret);
        self.client.persistence_manager().process_command(secret).await;
        credentials::keep(&self.client).await.map_err(|error| StepError::Later(error.to_string()))?;
        let sealed = ShortcakeUtils::build_encrypted_pairing_request(&sealed);
        self.set("the request to be linked", leaf("encrypted_pairing_request", sealed)).await
    }

    async fn set(&self, what: &'static str, content: Node) -> Result<(), StepError> {
        let query = InfoQuery::set("md", server(), Some(NodeContent::Nodes(vec![content])));
        self.client.send_iq(query).await.map(drop).map_err(|error| StepError::of(what, &error))
    }

    async fn advance(&self, stage: Reached, code: Option<&str>, error: Option<&str>) {
        let (Fence { session_id, epoch }, error) = (self.hold.fence, error.map(Storable::error));
        persist(&self.hold, || {
            let error = error.as_ref().map(Storable::as_str);
            sqlx::query_file_scalar!("sql/passkey/advance.sql", session_id, epoch, stage.name(), code, error)
                .fetch_one(&self.hold.db)
        })
        .await;
    }
}

fn server() -> Jid {
    Jid::new("", Server::Pn)
}

fn leaf(tag: &'static str, content: Vec<u8>) -> Node {
    NodeBuilder::new(tag).bytes(content).build()
}

fn primary(linking: &PasskeyLinking) -> Result<wacore::shortcake::PrimaryEphemeralIdentity, StepError> {
    let primary = linking.primary.as_deref().unwrap_or_default();
    ShortcakeUtils::parse_primary_ephemeral_identity(primary)
        .map_err(|error| StepError::Failed(format!("the phone's identity: {error}")))
}

fn platform(linking: &PasskeyLinking) -> Result<PlatformType, StepError> {
    PlatformType::from_i32(linking.device_type)
        .ok_or_else(|| StepError::Failed(format!("deviceType: {} is unknown to this version", linking.device_type)))
}

fn ephemeral(linking: &PasskeyLinking) -> Result<KeyPair, StepError> {
    let unusable = |error: wacore::libsignal::protocol::CurveError| StepError::Failed(error.to_string());
    let private_key = PrivateKey::deserialize(&linking.ephemeral).map_err(unusable)?;
    let public_key = private_key.public_key().map_err(unusable)?;
    Ok(KeyPair::new(public_key, private_key))
}

fn public(keys: &KeyPair) -> Result<[u8; 32], StepError> {
    let bytes = keys.public_key.public_key_bytes();
    bytes.try_into().map_err(|_| StepError::Failed("a public key is not 32 bytes long".into()))
}

fn secret_of(keys: &KeyPair) -> Result<[u8; 32], StepError> {
    let bytes = keys.private_key.serialize();
    bytes.as_slice().try_into().map_err(|_| StepError::Failed("a private key is not 32 bytes long".into()))
}
