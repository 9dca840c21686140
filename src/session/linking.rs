//! Links a session over one connection: by QR codes, a pairing code or a passkey.

use super::ending::Why;
use super::held::Held;
use super::passkey::{self, PasskeySignal};
use super::row::{self, Qr};
use super::status::Status;
use crate::auth::AuthStore;
use crate::telemetry;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wacore::pair_code::PairCodeOptions;
use wacore::types::events::Event;
use whatsapp_rust::client::Client;

/// What an event of linking means for the connection.
pub(super) enum Step {
    /// The connection continues.
    Continue,
    /// The device is linked; the server wants a new connection.
    Linked,
    /// The server will close the connection, for this reason.
    Failed(String),
    /// Close the connection.
    Close(Why, Option<String>),
}

/// The linking of one connection.
pub(super) struct Linking {
    held: Arc<Held>,
    client: Arc<Client>,
    /// The channel to the driver of a passkey. `None` when the session was linked before.
    passkey: Option<UnboundedSender<PasskeySignal>>,
    /// A QR code was shown, so WhatsApp accepts a request for a pairing code.
    ready: bool,
    /// When the shown pairing code expires.
    code_until: Option<Instant>,
    /// Why WhatsApp gave no pairing code, for `status_reason` until it gives one.
    no_code: Option<String>,
    tasks: TaskTracker,
}

impl Linking {
    /// `linked`: the session has credentials already. Requests to WhatsApp run in `tasks`.
    pub(super) fn new(
        held: Arc<Held>,
        store: AuthStore,
        client: Arc<Client>,
        linked: bool,
        tasks: TaskTracker,
    ) -> Self {
        let passkey = (!linked).then(|| passkey::start(held.hold.clone(), store, client.clone(), &tasks));
        Self { held, client, passkey, ready: false, code_until: None, no_code: None, tasks }
    }

    /// The channel to the driver of a passkey.
    pub(super) fn passkey(&self) -> Option<UnboundedSender<PasskeySignal>> {
        self.passkey.clone()
    }

    /// Handles an event of linking; `None` for any other event.
    pub(super) async fn handle(&mut self, event: &Event) -> Option<Step> {
        match event {
            Event::PairingQrCode(qr) => {
                telemetry::qr_code();
                let shown = Qr { text: &qr.code, seconds: qr.timeout.as_secs_f64() };
                row::change_status(&self.held, Status::Linking, self.no_code.as_deref(), Some(shown)).await;
                // The first code shows that the connection is ready.
                self.signal_passkey(PasskeySignal::Continue);
                if !std::mem::replace(&mut self.ready, true) {
                    self.ask_for_code().await;
                }
            }
            Event::PairingCode(code) => {
                telemetry::pairing_code();
                self.code_until = Some(Instant::now() + code.timeout);
                self.no_code = None;
                let (first, second) = code.code.split_at(code.code.len() / 2);
                row::show_code(&self.held.hold, Some((&format!("{first}-{second}"), code.timeout)), None).await;
            }
            Event::PairingCodeError(error) => self.code_failed(&error.error).await,
            Event::PairingCodeRefresh(_) => self.code_failed("the phone could not use it").await,
            Event::PairPasskeyRequest(asked) => {
                self.signal_passkey(PasskeySignal::Demanded(asked.request_options_json.clone()));
            }
            Event::RawNode(stanza) => {
                if let Some(primary) = passkey::primary_of(stanza) {
                    self.signal_passkey(PasskeySignal::Primary(primary));
                }
            }
            Event::PairSuccess(pair) => {
                telemetry::linked();
                row::identify(&self.held, &pair.id, &pair.lid).await;
                row::change_status(&self.held, Status::Connecting, Some("scanned"), None).await;
                return Some(Step::Linked);
            }
            Event::PairError(error) => return Some(Step::Failed(format!("linking failed: {}", error.error))),
            // A pairing code is still shown; its end decides what follows.
            Event::PairingQrCodesExhausted(qr) if !qr.disconnected => {}
            Event::PairingQrCodesExhausted(_) => return Some(self.codes_used_up().await),
            _ => return None,
        }
        Some(Step::Continue)
    }

    async fn codes_used_up(&self) -> Step {
        match passkey::is_open(&self.held.hold).await {
            Ok(true) => Step::Close(Why::Restart, Some("linking with the passkey continues".into())),
            Ok(false) => Step::Close(Why::NoScan, None),
            Err(error) => Step::Close(Why::Lost, Some(format!("wa.passkey could not be read ({error})"))),
        }
    }

    /// Requests a pairing code, if the session is to be linked by one.
    pub(super) async fn ask_for_code(&self) {
        if self.passkey.is_none() || !self.ready {
            return;
        }
        let phone = sqlx::query_file_scalar!("sql/session/link_phone.sql", self.held.hold.fence.session_id);
        match phone.fetch_optional(&self.held.hold.db).await {
            Ok(Some(Some(phone_number))) => {
                // This replaces a shown code; the answer is an event.
                self.client.cancel_pair_code().await;
                let client = self.client.clone();
                let options = PairCodeOptions { phone_number, ..PairCodeOptions::default() };
                let ask = async move { drop(client.pair_with_code(options).await) };
                self.tasks.spawn(ask.in_current_span());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "phone number not read; no pairing code is requested"),
        }
    }

    async fn code_failed(&mut self, error: &str) {
        self.code_until = None;
        let reason = self.no_code.insert(format!("no pairing code: {error}; scan the QR code"));
        row::show_code(&self.held.hold, None, Some(reason)).await;
    }

    /// Waits until the shown pairing code expires. The QR codes are used up by then, so the next connection brings new
    /// ones.
    pub(super) async fn code_expired(&self) -> Step {
        match self.code_until {
            Some(moment) => tokio::time::sleep_until(moment.into()).await,
            None => std::future::pending().await,
        }
        Step::Close(Why::CodeExpired, Some("the pairing code was not used in time; scan the QR code".into()))
    }

    fn signal_passkey(&self, signal: PasskeySignal) {
        if let Some(passkey) = &self.passkey {
            // The driver ends when the last sender is dropped, so this fails only in a stopping process.
            drop(passkey.send(signal));
        }
    }
}
