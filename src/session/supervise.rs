//! One task for each connection: turns the client's events into rows, and returns how the connection ended.

use super::client::Built;
use super::credentials;
use super::ending::{Ended, Why};
use super::events::event_of;
use super::held::Held;
use super::linking::{Linking, Step};
use super::passkey::PasskeySignal;
use super::row;
use crate::auth::{AuthStore, Vault};
use crate::db::fence::Fence;
use crate::jobs::bells::Bells;
use crate::jobs::progress::{Change, Progress, Reached};
use crate::messages::acks::Acks;
use crate::messages::address::phone_form;
use crate::messages::connection::{Connection, Connections};
use crate::messages::{events, past};
use crate::telemetry;
use crate::telemetry::crypto::CryptoError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use wacore::types::events::{Event, LazyHistorySync, Receipt, ServerAck};
use wacore::types::presence::ReceiptType;
use wacore_binary::JidExt as _;
use whatsapp_rust::client::Client;

/// How long the client of a lost hold may take to close its socket.
const CUT: Duration = Duration::from_secs(3);
/// How long a client may take to flush its state when its connection is over.
const FLUSH: Duration = Duration::from_secs(10);

/// What a supervisor reports to.
#[derive(Clone)]
pub(super) struct Reports {
    /// The connections over which this worker sends.
    pub(super) connections: Connections,
    /// Acks and receipts.
    pub(super) progress: Progress,
    /// Rung when a session has connected.
    pub(super) bells: Bells,
    /// Requests to WhatsApp that run beside a supervisor's loop, because their answers are events that the loop must
    /// handle.
    pub(super) tasks: TaskTracker,
}

/// The supervisor of one connection.
pub(super) struct Supervisor {
    held: Arc<Held>,
    client: Arc<Client>,
    reports: Reports,
    /// Senders that wait for an ack on this connection.
    acks: Acks,
    linking: Linking,
    ended: Ended,
    /// The reason is known and the connection is closing.
    closing: bool,
}

impl Supervisor {
    /// The supervisor of a client that starts with credentials (`linked`) or without.
    pub(super) fn new(held: Arc<Held>, client: Arc<Client>, reports: Reports, vault: Arc<Vault>, linked: bool) -> Self {
        let store = AuthStore::new(held.hold.clone(), vault);
        let linking = Linking::new(held.hold.clone(), store, client.clone(), linked, reports.tasks.clone());
        let ended = Ended { why: Why::Lost, reason: None, linked, connected: false };
        Self { held, client, reports, acks: Acks::default(), linking, ended, closing: false }
    }

    /// The channel to the driver of a passkey.
    pub(super) fn passkey(&self) -> Option<UnboundedSender<PasskeySignal>> {
        self.linking.passkey()
    }

    /// Runs the client to its end.
    pub(super) async fn run(mut self, built: Built) -> Ended {
        let Built { bot, mut events, redelivered, mut missed, mut crypto_errors, stanzas: _stanzas } = built;
        let hold = self.held.hold.clone();
        let mut life = bot.spawn();
        loop {
            tokio::select! {
                biased;
                () = hold.lost.cancelled() => {
                    self.withdraw_connection();
                    // The fence refuses whatever the client flushes; the socket has to close.
                    if tokio::time::timeout(CUT, self.client.disconnect()).await.is_err() {
                        tracing::warn!("client of a lost session still running; aborted");
                    }
                    life.abort();
                    tracing::warn!("lease lost; connection closed");
                    self.ended.why = Why::HoldLost;
                    return self.ended;
                }
                Some(event) = events.recv() => self.handle(&event).await,
                Some(message_id) = missed.recv() => {
                    let (redelivered, client) = (redelivered.clone(), self.client.clone());
                    self.spawn(async move { redelivered.request_resend(&client, &message_id).await });
                }
                Some(error) = crypto_errors.recv() => self.count_crypto_error(error).await,
                () = self.held.dead.notified() => {
                    self.withdraw_connection();
                    self.close(Why::Lost, Some("the health check got no answer".into()));
                }
                () = self.held.relink.notified() => self.linking.ask_for_code().await,
                step = self.linking.code_expired() => self.step(step),
                () = &mut life => break,
            }
        }
        self.withdraw_connection();
        redelivered.connection_lost();
        // The library's background tasks outlive its run loop. They must end, and what they hold must be written,
        // before the next client of this session reads it.
        if tokio::time::timeout(FLUSH, self.client.disconnect()).await.is_err() {
            tracing::warn!("client did not flush in time");
        }
        if let Err(error) = credentials::keep(&self.client).await {
            tracing::error!(%error, "credentials not written");
        }
        // The last events may come after the end, and only the stored credentials may show a scan.
        while let Ok(event) = events.try_recv() {
            // These are about a connection that is gone.
            if !matches!(&*event, Event::Connected(_) | Event::PairingQrCode(_)) {
                self.handle(&event).await;
            }
        }
        if !self.ended.linked
            && let Ok(found) = crate::auth::session_credentials(&hold.db, hold.fence.session_id).await
            && found.linked
        {
            (self.ended.linked, self.ended.why) = (true, Why::Restart);
        }
        self.ended
    }

    /// Withdraws the connection from the senders; those that wait for an ack learn that none will come.
    fn withdraw_connection(&self) {
        self.reports.connections.close(self.held.hold.fence);
        self.acks.connection_lost();
    }

    async fn handle(&mut self, event: &Event) {
        match event {
            Event::ServerAck(ack) => self.acked(ack).await,
            Event::Receipt(receipt) => self.received(receipt).await,
            Event::HistorySync(piece) => self.keep_past(piece),
            Event::Connected(_) => self.connected().await,
            Event::LoggedOut(out) => {
                (self.ended.why, self.closing) = (Why::LoggedOut, true);
                self.ended.reason = Some(format!("logged out by WhatsApp: {:?}", out.reason));
            }
            Event::TemporaryBan(ban) => {
                let time = ban.expire.to_std().unwrap_or(Duration::from_hours(1));
                self.close(Why::Banned(time), Some(format!("temporary ban: {:?}", ban.code)));
            }
            Event::StreamReplaced(_) => self.lost("another connection of this device replaced ours".into()),
            Event::ConnectFailure(failure) => self.lost(format!("refused: {:?}", failure.reason)),
            Event::StreamError(error) => self.lost(format!("stream error {}", error.code)),
            Event::Disconnected(lost) => self.lost(lost.reason.to_string()),
            other => match self.linking.handle(other).await {
                Some(step) => self.step(step),
                None => {
                    if let Some((kind, data)) = event_of(&self.client, other).await {
                        events::write(&self.held.hold, kind, &data).await;
                    }
                }
            },
        }
    }

    /// Keeps the reason that the server or the socket gives for the end of the connection.
    fn lost(&mut self, reason: String) {
        if !self.closing {
            self.ended.reason = Some(reason);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Continue => {}
            Step::Linked => (self.ended.linked, self.ended.why) = (true, Why::Restart),
            Step::Failed(reason) => self.ended.reason = Some(reason),
            Step::Close(why, reason) => self.close(why, reason),
        }
    }

    async fn connected(&mut self) {
        telemetry::connected();
        (self.ended.linked, self.ended.connected) = (true, true);
        (self.ended.why, self.ended.reason) = (Why::Lost, None);
        let hold = &self.held.hold;
        if let (Some(pn), Some(lid)) = (self.client.pn(), self.client.lid()) {
            row::identify(hold, &pn, &lid).await;
        }
        row::connected(hold).await;
        self.reports.connections.open(Connection {
            hold: hold.clone(),
            client: self.client.clone(),
            acks: self.acks.clone(),
            traffic: self.held.traffic.clone(),
        });
        self.reports.bells.connected.notify_one();
        tracing::info!("connected");
    }

    /// Counts a decryption failure. At the session's limit, and if its setting says so, ends the session.
    async fn count_crypto_error(&mut self, error: CryptoError) {
        telemetry::crypto_error(error);
        let Fence { session_id, epoch } = self.held.hold.fence;
        tracing::warn!(error = error.name(), "decryption failed; it counts towards the session's limit");
        // Not retried: to count one failure twice would be worse than to miss one in an outage.
        let counted = sqlx::query_file!("sql/session/crypto_error.sql", session_id, epoch, error.name());
        match counted.fetch_one(&self.held.hold.db).await {
            Ok(counted) if !counted.held => self.held.hold.lost.cancel(),
            Ok(counted) => {
                if let Some(reason) = counted.given_up {
                    self.close(Why::Undecipherable, Some(reason));
                }
            }
            Err(error) => tracing::warn!(%error, "decryption failure not counted"),
        }
    }

    /// Closes the connection, and with it the client.
    fn close(&mut self, why: Why, reason: Option<String>) {
        (self.ended.why, self.closing) = (why, true);
        self.ended.reason = reason.or(self.ended.reason.take());
        let client = self.client.clone();
        self.spawn(async move { client.disconnect().await });
    }

    /// Stores a piece of the history beside the loop, because it may be long; one piece after the other.
    fn keep_past(&self, piece: &LazyHistorySync) {
        let (piece, client, hold, turn) =
            (piece.clone(), self.client.clone(), self.held.hold.clone(), self.held.past.clone());
        self.spawn(async move {
            let _turn = turn.lock().await;
            if let Err(error) = past::keep(&hold, &client, &piece).await {
                tracing::warn!(%error, "piece of the history not stored; its messages are missing");
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.reports.tasks.spawn(task.in_current_span());
    }

    async fn acked(&self, ack: &ServerAck) {
        if ack.class.as_deref() != Some("message") {
            return;
        }
        let verdict = ack.error.clone().map_or(Ok(()), Err);
        if self.acks.resolve(&ack.id, verdict.clone()) || verdict.is_err() {
            return;
        }
        // No sender waits any more, so the row may be back in the queue. But the server has the message.
        self.reports.progress.push(Change::reported(self.held.hold.fence, &ack.id, Reached::Sent, None)).await;
    }

    async fn received(&self, receipt: &Receipt) {
        let reached = match receipt.r#type {
            ReceiptType::Delivered | ReceiptType::Inactive => Reached::Delivered,
            ReceiptType::Read => Reached::Read,
            ReceiptType::Played => Reached::Played,
            _ => return,
        };
        // Copies to our own phone and devices say nothing about the recipient.
        if receipt.source.is_from_me {
            return;
        }
        telemetry::receipts(reached.name(), receipt.message_ids.len());
        let at = receipt.offline.then_some(receipt.timestamp);
        let (chat, sender) = (&receipt.source.chat, &receipt.source.sender);
        let participant: Option<Arc<str>> = if chat.is_group() || chat.is_status_broadcast() {
            let sender = phone_form(&self.client, sender, receipt.source.sender_alt.as_ref()).await;
            Some(sender.to_string().into())
        } else {
            None
        };
        for id in &receipt.message_ids {
            let reported = Change::reported(self.held.hold.fence, id, reached, at);
            self.reports.progress.push(Change { participant: participant.clone(), ..reported }).await;
        }
    }
}
