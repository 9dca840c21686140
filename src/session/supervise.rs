//! One task for each connection: turns the client's events into rows, and returns how the connection ended.

use super::admission::Admission;
use super::client::Built;
use super::credentials;
use super::ending::{Ended, Why};
use super::events::event_of;
use super::forward::{ConnectionSign, connection_sign};
use super::held::Held;
use super::limit;
use super::linking::{Linking, Step};
use super::passkey::PasskeySignal;
use super::reports::Reports;
use super::row;
use crate::auth::{AuthStore, Vault};
use crate::db::fence::Fence;
use crate::db::hold::Hold;
use crate::db::outage::outwait;
use crate::jobs::numbers::Count;
use crate::messages::acks::Acks;
use crate::messages::connection::Connection;
use crate::messages::inbound::InboxHook;
use crate::messages::notices::Notices;
use crate::messages::{events, past};
use crate::telemetry;
use crate::telemetry::crypto::CryptoError;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::DropGuard;
use tracing::Instrument as _;
use wacore::types::events::{Event, LazyHistorySync, MessageBatch, ServerAck};
use wacore::types::message::MessageInfo;
use whatsapp_rust::client::Client;

/// How long the client of a lost hold may take to close its socket.
const CUT: Duration = Duration::from_secs(3);
/// How long a client may take to flush its state when its connection is over.
const FLUSH: Duration = Duration::from_secs(10);
/// How long dialling, the handshake and the answer to the login may take. The library gives up earlier where it counts
/// the time itself.
const ANSWER: Duration = Duration::from_mins(1);
/// A connection that has lived so long works.
const STEADY: Duration = Duration::from_mins(1);
/// How soon a connection ends after the stream error that ends it. Some stream errors end nothing.
const SOON: Duration = Duration::from_secs(10);

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
    /// The socket does not go through a proxy.
    direct: bool,
    /// Held until WhatsApp answers.
    admission: Option<Admission>,
    /// The last stream error, which may end the connection.
    stream_error: Option<(i32, Instant)>,
    /// When the connection will have proven itself. `None` when there are no failures to forget.
    steady_at: Option<Instant>,
    /// Ends what runs for as long as the session is logged in.
    online: Option<DropGuard>,
}

impl Supervisor {
    /// The supervisor of a client that starts with credentials (`linked`) or without, and connects through a proxy or
    /// not (`direct`).
    pub(super) fn new(
        held: Arc<Held>,
        client: Arc<Client>,
        reports: Reports,
        vault: Arc<Vault>,
        linked: bool,
        direct: bool,
    ) -> Self {
        let store = AuthStore::new(held.hold.clone(), vault);
        let linking = Linking::new(held.clone(), store, client.clone(), linked, reports.tasks.clone());
        Self {
            held,
            client,
            reports,
            acks: Acks::default(),
            linking,
            ended: Ended::lost(linked),
            closing: false,
            direct,
            admission: None,
            stream_error: None,
            steady_at: None,
            online: None,
        }
    }

    /// The channel to the driver of a passkey.
    pub(super) fn passkey(&self) -> Option<UnboundedSender<PasskeySignal>> {
        self.linking.passkey()
    }

    /// Runs an admitted client to its end.
    pub(super) async fn run(mut self, built: Built, admission: Admission) -> Ended {
        let Built { bot, mut events, redelivered, mut missed, inbox, mut crypto_errors, .. } = built;
        let (mut unreadable, redeliver, _stanzas, cut) = (built.unreadable, built.redeliver, built.stanzas, built.cut);
        let hold = self.held.hold.clone();
        let answer_by = Instant::now() + ANSWER;
        self.admission = Some(admission);
        let mut life = bot.spawn();
        loop {
            let steady_at = self.steady_at.unwrap_or(answer_by);
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
                Some(event) = events.recv() => self.handle(&event, &inbox).await,
                Some(message_id) = missed.recv() => {
                    let (redelivered, client, hold) = (redelivered.clone(), self.client.clone(), hold.clone());
                    self.spawn(async move { redelivered.request_resend(&hold, &client, &message_id).await });
                }
                Some(error) = crypto_errors.recv() => self.count_crypto_error(error).await,
                Some(message) = unreadable.recv() => self.keep_unreadable(message, inbox.clone()),
                () = redeliver.notified() => {
                    self.withdraw_connection();
                    self.close(Why::NotStored, None, None);
                }
                () = self.held.dead.notified() => {
                    self.withdraw_connection();
                    self.close(Why::Unanswered, None, Some("the health check got no answer".into()));
                }
                () = tokio::time::sleep_until(answer_by.into()), if self.admission.is_some() && !self.closing => {
                    self.close(Why::Unanswered, None, Some("WhatsApp did not answer the login".into()));
                }
                () = tokio::time::sleep_until(steady_at.into()), if self.steady_at.is_some() => self.steady().await,
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
                self.handle(&event, &inbox).await;
            }
        }
        while let Ok(message) = unreadable.try_recv() {
            self.keep_unreadable(message, inbox.clone());
        }
        if !self.ended.linked
            && let Ok(found) = crate::auth::session_credentials(&hold.db, hold.fence.session_id).await
            && found.linked
        {
            (self.ended.linked, self.ended.why) = (true, Why::Restart);
        }
        if self.ended.why == Why::Lost && cut.is_cancelled() {
            let reason = "more was received than the database took; the server delivers the rest later";
            (self.ended.why, self.ended.reason) = (Why::NotStored, Some(reason.into()));
        }
        if self.ended.why == Why::Lost
            && let Some(code) = self.stream_code()
        {
            self.end(Why::of_stream_error(code), code);
        }
        self.ended
    }

    /// Ends a client that need not connect any more.
    pub(super) async fn give_up(self) {
        drop(tokio::time::timeout(CUT, self.client.disconnect()).await);
    }

    /// Withdraws the connection from the senders; those that wait for an ack learn that none will come.
    fn withdraw_connection(&mut self) {
        self.online = None;
        self.reports.connections.close(self.held.hold.fence);
        self.acks.connection_lost();
    }

    async fn handle(&mut self, event: &Event, inbox: &InboxHook) {
        match event {
            Event::ServerAck(ack) => self.acked(ack).await,
            Event::Receipt(receipt) => self.reports.received(self.held.hold.fence, &self.client, receipt).await,
            Event::HistorySync(piece) => self.keep_past(piece, inbox.notices()),
            Event::MexNotification(update) if limit::concerns(&update.op_name) => self.held.limit.notify_one(),
            Event::Messages(recovered) => self.keep_recovered(recovered, inbox.clone()),
            Event::Connected(_) => self.connected().await,
            Event::RawNode(stanza) => match connection_sign(stanza) {
                Some(ConnectionSign::Answer) => self.answered(),
                Some(ConnectionSign::StreamError(code)) => self.stream_error = Some((code, Instant::now())),
                None => self.handle_other(event, inbox).await,
            },
            Event::LoggedOut(out) => {
                let code = out.reason.code();
                if out.on_connect {
                    self.end(Why::of_refusal(code), code);
                } else {
                    self.end(Why::LoggedOut, self.stream_code().unwrap_or(code));
                }
            }
            Event::TemporaryBan(ban) => {
                let time = ban.expire.to_std().unwrap_or_default().max(Duration::from_secs(1));
                let reason = format!("WhatsApp has banned the account for a time: {}", ban.code);
                self.close(Why::Banned(time), Some(402), Some(reason));
            }
            Event::ClientOutdated(_) => self.end(Why::Outdated, 405),
            Event::ConnectFailure(failure) => {
                let code = failure.reason.code();
                self.end(Why::of_refusal(code), code);
            }
            Event::StreamReplaced(_) => self.end(Why::Replaced, self.stream_code().unwrap_or(440)),
            Event::Disconnected(lost) => {
                // The handshake was done, so the server is there.
                self.ended.answered = true;
                if self.ended.why == Why::Lost && !self.closing {
                    self.ended.lose(&lost.reason);
                }
            }
            other => self.handle_other(other, inbox).await,
        }
    }

    /// Handles an event of linking, or one that gets a row of its own.
    async fn handle_other(&mut self, event: &Event, inbox: &InboxHook) {
        if let Some(step) = self.linking.handle(event).await {
            // WhatsApp asks a client without credentials to be linked.
            self.answered();
            self.step(step);
            return;
        }
        if let Event::GroupUpdate(update) = event {
            inbox.notices().group_changed(update).await;
        }
        if let Some((kind, data)) = event_of(&self.client, event).await {
            events::write(&self.held.hold, kind, data).await;
        }
    }

    /// The code of the stream error that ends the connection.
    fn stream_code(&self) -> Option<i32> {
        self.stream_error.filter(|(_, at)| at.elapsed() < SOON).map(|(code, _)| code)
    }

    /// Keeps why WhatsApp ends the connection, unless it is closing for another reason.
    fn end(&mut self, why: Why, code: i32) {
        if !self.closing {
            (self.ended.why, self.ended.code, self.ended.reason) = (why, Some(code), None);
            self.closing = true;
        }
    }

    /// WhatsApp has answered, so the next session may dial.
    fn answered(&mut self) {
        self.ended.answered = true;
        if let Some(admission) = self.admission.take() {
            if self.direct {
                self.reports.gate.answered();
            }
            drop(admission);
        }
    }

    /// The connection has lasted, or has sent a message: the failures before it no longer count.
    async fn steady(&mut self) {
        if self.steady_at.take().is_some() {
            row::steady(&self.held.hold).await;
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Continue => {}
            Step::Linked => (self.ended.linked, self.ended.why) = (true, Why::Restart),
            Step::Failed(reason) => self.ended.reason = Some(reason),
            Step::Close(why, reason) => self.close(why, None, reason),
        }
    }

    async fn connected(&mut self) {
        telemetry::connected();
        self.answered();
        self.ended = Ended { answered: true, connected: true, ..Ended::lost(true) };
        self.stream_error = None;
        if let (Some(pn), Some(lid)) = (self.client.pn(), self.client.lid()) {
            row::identify(&self.held, &pn, &lid).await;
        }
        let before = row::connected(&self.held).await;
        self.steady_at = (before.failures > 0).then(|| Instant::now() + STEADY);
        self.reports.connections.open(Connection {
            hold: self.held.hold.clone(),
            client: self.client.clone(),
            acks: self.acks.clone(),
            traffic: self.held.traffic.clone(),
            limit: self.held.limit.clone(),
            ending: AtomicBool::new(false),
        });
        self.follow_limit(before.limited);
        self.reports.bells.connected.notify_one();
        self.held.changed.notify_one();
        tracing::info!("connected");
    }

    /// Keeps in the row what WhatsApp limits of the account, while the session is logged in.
    fn follow_limit(&mut self, limited: bool) {
        let online = self.held.hold.lost.child_token();
        let (held, client, while_online) = (self.held.clone(), self.client.clone(), online.clone());
        self.spawn(async move {
            let follow = limit::follow(&held.hold, &client, &held.limit, limited);
            while_online.run_until_cancelled(follow).await;
        });
        self.online = Some(online.drop_guard());
    }

    /// Counts a decryption failure. At the session's limit, and if its setting says so, ends the session.
    async fn count_crypto_error(&mut self, error: CryptoError) {
        telemetry::crypto_error(error);
        let Fence { session_id, epoch } = self.held.hold.fence;
        tracing::warn!(error = error.name(), "decryption failed; it counts towards the session's limit");
        // Not retried, unless the row is locked: to count one failure twice would be worse than to miss one in an outage.
        let Hold { db, lost, .. } = &self.held.hold;
        let count = || sqlx::query_file!("sql/session/crypto_error.sql", session_id, epoch, error.name()).fetch_one(db);
        match outwait(lost, count).await {
            Ok(counted) if !counted.held => self.held.hold.lost.cancel(),
            Ok(counted) => {
                if let Some(at) = counted.counted_at {
                    let count = match error {
                        CryptoError::BadMac => Count::BadMacs,
                        CryptoError::BadDecrypt => Count::BadDecrypts,
                    };
                    self.reports.numbers.happened(at, session_id, count, 1);
                }
                if let Some(reason) = counted.given_up {
                    self.close(Why::Undecipherable, None, Some(reason));
                }
            }
            Err(error) => tracing::warn!(%error, "decryption failure not counted"),
        }
    }

    /// Closes the connection, and with it the client, unless it is closing already.
    fn close(&mut self, why: Why, code: Option<i32>, reason: Option<String>) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        (self.ended.why, self.ended.code) = (why, code);
        self.ended.reason = reason.or(self.ended.reason.take());
        let client = self.client.clone();
        self.spawn(async move { client.disconnect().await });
    }

    /// Stores a piece of the history beside the loop, because it may be long; one piece after the other.
    fn keep_past(&self, piece: &LazyHistorySync, notices: Arc<Notices>) {
        let (piece, client, hold, turn) =
            (piece.clone(), self.client.clone(), self.held.hold.clone(), self.held.past.clone());
        self.spawn(async move {
            let _turn = turn.lock().await;
            if let Err(error) = past::keep(&hold, &client, &notices, &piece).await {
                tracing::warn!(%error, "piece of the history not stored; its messages are missing");
            }
        });
    }

    /// Stores messages that the account's phone sent in place of unreadable ones.
    fn keep_recovered(&self, recovered: &MessageBatch, inbox: InboxHook) {
        let (recovered, client) = (recovered.messages.clone(), self.client.clone());
        self.spawn(async move {
            // The server has nothing to deliver again, so the connection stays.
            if let Err(error) = inbox.keep(&client, &recovered).await {
                tracing::warn!(%error, "message from the account's phone not stored; it is missing");
            }
        });
    }

    /// Stores a message that cannot be read. The library has refused it at the server by then.
    fn keep_unreadable(&self, message: Arc<MessageInfo>, inbox: InboxHook) {
        tracing::warn!("message decrypted and not readable; stored without content");
        let client = self.client.clone();
        self.spawn(async move { inbox.keep_unreadable(&client, &message).await });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.reports.tasks.spawn(task.in_current_span());
    }

    async fn acked(&mut self, ack: &ServerAck) {
        if ack.class.as_deref() != Some("message") {
            return;
        }
        let verdict = ack.error.clone().map_or(Ok(()), Err);
        let waited = self.acks.resolve(&ack.id, verdict.clone());
        if verdict.is_ok() {
            self.steady().await;
        }
        if waited || verdict.is_err() {
            return;
        }
        // No sender waits any more, so the row may be back in the queue. But the server has the message.
        self.reports.acked(self.held.hold.fence, &ack.id).await;
    }
}
