//! One task a client: turns its events into rows, and its end into what comes next (`ending`).

use super::client::{self, Built};
use super::crypto::CryptoError;
use super::ending::{End, Ending, Next};
use super::holder::{Held, Sessions, Shared};
use super::passkey::{self, Heard};
use super::row::{self, Qr};
use super::status::Status;
use super::told;
use crate::auth::AuthStore;
use crate::db::fence::Fence;
use crate::jobs::progress::{Change, What};
use crate::messages::inbound::phone_form;
use crate::messages::past;
use crate::telemetry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use wacore::pair_code::PairCodeOptions;
use wacore::types::events::{Event, LazyHistorySync, Receipt, ServerAck};
use wacore::types::presence::ReceiptType;
use wacore_binary::JidExt as _;
use whatsapp_rust::client::Client;

/// A client and the task that watches it.
pub struct Running {
    client: Arc<Client>,
    task: JoinHandle<()>,
    expected: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    /// While it is not linked.
    passkey: Option<UnboundedSender<Heard>>,
}

impl Running {
    /// The client still lives. What follows its end may still be being written: see [`Running::bury`].
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.over.load(Ordering::Acquire) && !self.task.is_finished()
    }

    /// Waits until what follows the client's end is written. The row of the next connection is visible before the task
    /// that wrote it has ended, so whoever makes that connection may come too early.
    pub async fn bury(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a supervisor did not end well");
        }
    }

    /// Somebody has answered or confirmed a passkey.
    pub fn go_on_linking(&self) {
        if let Some(passkey) = &self.passkey {
            // It ends with the client, and the next one looks by itself.
            drop(passkey.send(Heard::GoOn));
        }
    }

    /// The end that comes is asked for: whoever asked writes what follows.
    pub fn expect_end(&self) {
        self.expected.store(true, Ordering::Release);
    }

    /// Disconnects in order (state flushed) and waits for the end.
    pub async fn end(&mut self) {
        self.client.disconnect().await;
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "a supervisor did not end well");
        }
    }
}

/// Starts the client and its supervisor.
pub fn start(sessions: Sessions, shared: Arc<Shared>, held: Arc<Held>, built: Built, linked: bool) -> Running {
    let (expected, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let client = built.bot.client();
    let passkey = (!linked).then(|| passkey::start(held.clone(), store(&shared, &held), client.clone()));
    let supervisor = Supervisor {
        sessions,
        shared,
        held,
        client: client.clone(),
        expected: expected.clone(),
        over: over.clone(),
        ending: Ending::of(linked),
        passkey: passkey.clone(),
        ready_to_link: false,
        code_until: None,
    };
    let task = tokio::spawn(supervisor.run(built));
    Running { client, task, expected, over, passkey }
}

fn store(shared: &Shared, held: &Held) -> AuthStore {
    AuthStore::new(shared.pool.clone(), held.fence, shared.vault.clone(), held.stale.clone())
}

struct Supervisor {
    sessions: Sessions,
    shared: Arc<Shared>,
    held: Arc<Held>,
    client: Arc<Client>,
    expected: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    ending: Ending,
    /// Drives a linking with a passkey.
    passkey: Option<UnboundedSender<Heard>>,
    /// A QR code was shown, so WhatsApp can be asked for a pairing code.
    ready_to_link: bool,
    /// Until when the pairing code is good that is shown.
    code_until: Option<Instant>,
}

impl Supervisor {
    async fn run(mut self, built: Built) {
        let Built { bot, mut events, redelivered, mut missed, mut crypto_errors, stanzas: _stanzas } = built;
        let mut life = bot.spawn();
        loop {
            tokio::select! {
                biased;
                () = self.held.stale.cancelled() => {
                    self.hide();
                    // Whatever it flushes is refused by the fence; what counts is that the socket closes.
                    if tokio::time::timeout(Duration::from_secs(3), self.client.disconnect()).await.is_err() {
                        tracing::warn!(session = self.held.name, "the client of a lost session did not end in time");
                    }
                    life.abort();
                    tracing::warn!(session = self.held.name, epoch = self.held.fence.epoch, "the hold is lost; socket cut");
                    return;
                }
                Some(event) = events.recv() => self.hear(&event).await,
                Some(message_id) = missed.recv() => {
                    // In a task of its own: the answer may need events that this one must hear.
                    let (redelivered, client) = (redelivered.clone(), self.client.clone());
                    tokio::spawn(async move { redelivered.ask_again(&client, &message_id).await });
                }
                Some(error) = crypto_errors.recv() => self.count(error).await,
                () = self.held.dead.notified() => {
                    self.hide();
                    self.ending.reason = Some("the health check got no answer".into());
                    self.hang_up();
                }
                () = self.held.relink.notified() => self.pair().await,
                () = until(self.code_until) => self.code_expired(),
                () = &mut life => break,
            }
        }
        self.hide();
        redelivered.connection_lost();
        // The library's background tasks outlive its run loop. They have to end, and what they hold has to be written,
        // before the next client of this session reads it.
        if tokio::time::timeout(Duration::from_secs(10), self.client.disconnect()).await.is_err() {
            tracing::warn!(session = self.held.name, "the client did not flush in time");
        }
        if let Err(error) = client::keep_credentials(&self.client).await {
            tracing::error!(session = self.held.name, %error, "the credentials are not kept");
        }
        // The last events may come after the end, and a scan may be known from what was written alone.
        while let Ok(event) = events.try_recv() {
            self.hear_last(&event).await;
        }
        if !self.ending.linked
            && let Ok(found) = crate::auth::found(&self.shared.pool, self.held.fence.session_id).await
            && found.linked
        {
            (self.ending.linked, self.ending.next) = (true, Next::AtOnce);
        }
        self.over.store(true, Ordering::Release);
        if !self.expected.load(Ordering::Acquire) {
            self.ending.follow(&self.sessions, &self.shared, &self.held).await;
        }
    }

    /// Takes the client from the senders; those that wait for an ack learn that it will not come on this connection.
    fn hide(&self) {
        self.held.set_client(None);
        self.shared.ready.remove(self.held.fence);
        self.held.acks.connection_lost();
    }

    /// An event that came after the end: the connection that it may speak of is gone.
    async fn hear_last(&mut self, event: &Event) {
        if !matches!(event, Event::Connected(_) | Event::PairingQrCode(_)) {
            self.hear(event).await;
        }
    }

    async fn hear(&mut self, event: &Event) {
        let fence = self.held.fence;
        match event {
            Event::ServerAck(ack) => return self.acked(ack).await,
            Event::HistorySync(piece) => self.keep_past(piece),
            Event::Receipt(receipt) => return self.received(receipt).await,
            Event::PairingQrCode(qr) => {
                telemetry::qr_code();
                let shown = Qr { text: &qr.code, seconds: qr.timeout.as_secs_f64() };
                row::become_status(&self.shared.pool, &self.held, Status::Linking, None, Some(shown)).await;
                // The first one shows that the connection is ready.
                self.tell_passkey(Heard::GoOn);
                if !std::mem::replace(&mut self.ready_to_link, true) {
                    self.pair().await;
                }
            }
            Event::PairingCode(code) => {
                telemetry::pairing_code();
                self.code_until = Some(Instant::now() + code.timeout);
                let (first, second) = code.code.split_at(code.code.len() / 2);
                row::show_code(&self.shared.pool, &self.held, Some((&format!("{first}-{second}"), code.timeout)), None)
                    .await;
            }
            Event::PairingCodeError(error) => self.code_failed(&error.error).await,
            Event::PairingCodeRefresh(_) => self.code_failed("the phone could not use it").await,
            Event::PairPasskeyRequest(asked) => self.tell_passkey(Heard::Demanded(asked.request_options_json.clone())),
            Event::RawNode(stanza) => {
                if let Some(primary) = passkey::primary_of(stanza) {
                    self.tell_passkey(Heard::Primary(primary));
                }
            }
            Event::PairSuccess(pair) => {
                telemetry::linked();
                self.ending.linked = true;
                self.ending.next = Next::AtOnce;
                row::identify(&self.shared.pool, &self.held, &pair.id, &pair.lid).await;
                row::become_status(&self.shared.pool, &self.held, Status::Connecting, Some("scanned"), None).await;
            }
            Event::PairError(error) => self.ending.reason = Some(format!("linking failed: {}", error.error)),
            // A pairing code is shown yet, and what follows comes with its end.
            Event::PairingQrCodesExhausted(qr) if !qr.disconnected => {}
            Event::PairingQrCodesExhausted(_) => {
                match passkey::is_open(&self.held, &self.shared.pool).await {
                    Ok(true) => {
                        self.ending.next = Next::AtOnce;
                        self.ending.reason = Some("going on with the passkey".into());
                    }
                    Ok(false) => self.ending.end = End::NoScan,
                    Err(error) => self.ending.reason = Some(error.to_string()),
                }
                self.hang_up();
            }
            Event::Connected(_) => {
                telemetry::connected();
                self.ending.connected();
                if let (Some(pn), Some(lid)) = (self.client.pn(), self.client.lid()) {
                    row::identify(&self.shared.pool, &self.held, &pn, &lid).await;
                }
                row::connected(&self.shared.pool, &self.held).await;
                self.held.set_client(Some(self.client.clone()));
                self.shared.ready.insert(fence);
                self.shared.connected.notify_one();
                tracing::info!(session = self.held.name, epoch = fence.epoch, "connected");
            }
            Event::LoggedOut(out) => {
                self.ending.end = End::LoggedOut(format!("logged out by WhatsApp: {:?}", out.reason));
            }
            Event::TemporaryBan(ban) => {
                self.ending.reason = Some(format!("temporary ban: {:?}", ban.code));
                self.ending.end = End::Banned(ban.expire.to_std().unwrap_or(Duration::from_hours(1)));
                self.hang_up();
            }
            Event::StreamReplaced(_) => {
                self.ending.reason = Some("another connection of this device replaced ours".into());
            }
            Event::ConnectFailure(failure) => self.ending.reason = Some(format!("refused: {:?}", failure.reason)),
            Event::StreamError(error) => self.ending.reason = Some(format!("stream error {}", error.code)),
            Event::Disconnected(lost) => self.ending.reason = Some(lost.reason.to_string()),
            other => self.tell(other).await,
        }
    }

    /// Asks for a pairing code, if the session is to be linked by one.
    async fn pair(&mut self) {
        if self.ending.linked || !self.ready_to_link {
            return;
        }
        let phone = sqlx::query_file_scalar!("sql/session/link_phone.sql", self.held.fence.session_id);
        match phone.fetch_optional(&self.shared.pool).await {
            Ok(Some(Some(phone_number))) => {
                // A code that is shown is replaced; what comes of this one comes as an event.
                self.client.cancel_pair_code().await;
                let client = self.client.clone();
                let options = PairCodeOptions { phone_number, ..PairCodeOptions::default() };
                tokio::spawn(async move { client.pair_with_code(options).await.map(drop) });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(session = self.held.name, %error, "whether to ask for a pairing code is not known");
            }
        }
    }

    async fn code_failed(&mut self, error: &str) {
        self.code_until = None;
        let reason = format!("no pairing code: {error}; scan the QR code");
        row::show_code(&self.shared.pool, &self.held, None, Some(&reason)).await;
    }

    /// The QR codes are used up by then, so the next connection brings new ones.
    fn code_expired(&mut self) {
        self.code_until = None;
        self.ending.next = Next::ByQr;
        self.ending.reason = Some("the pairing code was not used in time; scan the QR code".into());
        self.hang_up();
    }

    fn tell_passkey(&self, heard: Heard) {
        if let Some(passkey) = &self.passkey {
            // It only ends before us with the process.
            drop(passkey.send(heard));
        }
    }

    /// Counts what could not be decrypted; the session is over when it is too much, and its owner wants it so.
    async fn count(&mut self, error: CryptoError) {
        telemetry::crypto_error(error);
        let Fence { session_id, epoch } = self.held.fence;
        tracing::warn!(session = self.held.name, error = error.name(), "could not decrypt");
        // Once: to count one error twice would be worse than to miss one in an outage.
        let counted = sqlx::query_file!("sql/session/crypto_error.sql", session_id, epoch, error.name());
        let given_up = match counted.fetch_one(&self.shared.pool).await {
            Ok(counted) if !counted.held => return self.held.stale.cancel(),
            Ok(counted) => counted.given_up,
            Err(error) => return tracing::warn!(session = self.held.name, %error, "not counted"),
        };
        if let Some(reason) = given_up {
            self.ending.end = End::Undecipherable(reason);
            self.hang_up();
        }
    }

    /// Ends the client from within: in a task of its own, because it waits for events that this task must hear.
    fn hang_up(&self) {
        let client = self.client.clone();
        tokio::spawn(async move { client.disconnect().await });
    }

    /// In a task of its own, because it may be long; one piece after the other.
    fn keep_past(&self, piece: &LazyHistorySync) {
        let (piece, client, held, pool) =
            (piece.clone(), self.client.clone(), self.held.clone(), self.shared.pool.clone());
        tokio::spawn(async move {
            let _turn = held.past.lock().await;
            if let Err(error) = past::keep(&pool, &held, &client, &piece).await {
                tracing::warn!(session = held.name, %error, "a piece of the past was not kept");
            }
        });
    }

    /// An event that says so, if it is one.
    async fn tell(&self, event: &Event) {
        let Some((kind, data)) = told::told(&self.client, event).await else { return };
        row::tell(&self.shared.pool, &self.held, kind, &data).await;
    }

    async fn acked(&self, ack: &ServerAck) {
        if ack.class.as_deref() != Some("message") {
            return;
        }
        let verdict = ack.error.clone().map_or(Ok(()), Err);
        if self.held.acks.resolve(&ack.id, verdict.clone()) || verdict.is_err() {
            return;
        }
        // Nobody waits any more, so the row may be back in the queue; that the server has it is true all the same.
        self.shared.progress.push(Change::learnt(self.held.fence, &ack.id, What::Sent, None)).await;
    }

    async fn received(&self, receipt: &Receipt) {
        let what = match receipt.r#type {
            ReceiptType::Delivered | ReceiptType::Inactive => What::Delivered,
            ReceiptType::Read => What::Read,
            ReceiptType::Played => What::Played,
            _ => return,
        };
        // Our own phone and other devices receive copies; that says nothing about the recipient.
        if receipt.source.is_from_me {
            return;
        }
        telemetry::receipts(what.name(), receipt.message_ids.len());
        let at = receipt.offline.then_some(receipt.timestamp);
        let (chat, sender) = (&receipt.source.chat, &receipt.source.sender);
        let participant: Option<Arc<str>> = if chat.is_group() || chat.is_status_broadcast() {
            let sender = phone_form(&self.client, sender, receipt.source.sender_alt.as_ref()).await;
            Some(sender.to_string().into())
        } else {
            None
        };
        for id in &receipt.message_ids {
            let learnt = Change::learnt(self.held.fence, id, what, at);
            self.shared.progress.push(Change { participant: participant.clone(), ..learnt }).await;
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
