//! One task a client: turns its events into rows, and its end into what comes next.
//!
//! What follows an end:
//!
//! | end | status | next |
//! | --- | --- | --- |
//! | asked for (close, logout, stop) | written by whoever asked | |
//! | 515 after a scan | connecting | a `reconnect` row, due at once |
//! | connection lost, refused, replaced | disconnected | a `reconnect` row after a backoff (a `link` row while unlinked) |
//! | temporary ban | banned | a `reconnect` row after the time that the server named |
//! | logged out by the phone or the server | `logged_out` | auth state deleted, lease given back, wish "stopped" |
//! | no QR was scanned | new | lease given back, wish "stopped" |
//! | hold lost | another's to write | socket cut, nothing written |

use super::client::Built;
use super::holder::{Held, Identity, SessionError, Sessions, Shared, Wish};
use super::status::Status;
use crate::db::Db;
use crate::db::fence::Fence;
use crate::db::outage::insist;
use crate::jobs::progress::{Change, What};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use wacore::types::events::{Event, Receipt, ServerAck};
use wacore::types::presence::ReceiptType;
use whatsapp_rust::client::Client;

/// A client and the task that watches it.
pub struct Running {
    client: Arc<Client>,
    task: JoinHandle<()>,
    expected: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
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

/// How a client's life ended.
#[derive(Debug)]
enum End {
    Lost,
    LoggedOut(String),
    Banned(Duration),
    NoScan,
}

/// Starts the client and its supervisor.
pub fn start(sessions: Sessions, shared: Arc<Shared>, held: Arc<Held>, built: Built, linked: bool) -> Running {
    let (expected, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let client = built.bot.client();
    let status = if linked { Status::Connecting } else { Status::Linking };
    let supervisor = Supervisor {
        sessions,
        shared,
        held,
        client: client.clone(),
        expected: expected.clone(),
        over: over.clone(),
        status,
        linked,
        restart: false,
        reason: None,
        end: End::Lost,
    };
    let task = tokio::spawn(supervisor.run(built));
    Running { client, task, expected, over }
}

struct Supervisor {
    sessions: Sessions,
    shared: Arc<Shared>,
    held: Arc<Held>,
    client: Arc<Client>,
    expected: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    status: Status,
    linked: bool,
    /// The server wants the socket closed and opened again, as after a scan.
    restart: bool,
    reason: Option<String>,
    end: End,
}

impl Supervisor {
    async fn run(mut self, built: Built) {
        let Built { bot, mut events, redelivered, mut missed, stanzas: _stanzas } = built;
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
        // The last events may come after the end, and a scan may be known from what was written alone.
        while let Ok(event) = events.try_recv() {
            self.hear_last(&event).await;
        }
        if !self.linked
            && let Ok(found) = crate::auth::found(&self.shared.pool, self.held.fence.session_id).await
            && found.linked
        {
            (self.linked, self.restart) = (true, true);
        }
        self.over.store(true, Ordering::Release);
        if !self.expected.load(Ordering::Acquire) {
            self.follow().await;
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
            Event::Receipt(receipt) => return self.received(receipt).await,
            Event::PairingQrCode(qr) => {
                let shown = Qr { text: &qr.code, seconds: qr.timeout.as_secs_f64() };
                self.become_status(Status::Linking, None, Some(shown)).await;
            }
            Event::PairSuccess(pair) => {
                self.linked = true;
                self.restart = true;
                self.identify(&pair.id, &pair.lid).await;
                self.become_status(Status::Connecting, Some("scanned"), None).await;
            }
            Event::PairError(error) => self.reason = Some(format!("linking failed: {}", error.error)),
            Event::PairingQrCodesExhausted(_) => {
                self.end = End::NoScan;
                self.hang_up();
            }
            Event::Connected(_) => {
                (self.restart, self.linked, self.reason, self.status) = (false, true, None, Status::Connected);
                if let (Some(pn), Some(lid)) = (self.client.pn(), self.client.lid()) {
                    self.identify(&pn, &lid).await;
                }
                persist(&self.held, || async {
                    sqlx::query_file_scalar!("sql/session/connected.sql", fence.session_id, fence.epoch)
                        .fetch_one(&self.shared.pool)
                        .await
                })
                .await;
                self.held.set_client(Some(self.client.clone()));
                self.shared.ready.insert(fence);
                self.shared.wake.notify_one();
                tracing::info!(session = self.held.name, epoch = fence.epoch, "connected");
            }
            Event::LoggedOut(out) => self.end = End::LoggedOut(format!("logged out by WhatsApp: {:?}", out.reason)),
            Event::TemporaryBan(ban) => {
                self.reason = Some(format!("temporary ban: {:?}", ban.code));
                self.end = End::Banned(ban.expire.to_std().unwrap_or(Duration::from_hours(1)));
                self.hang_up();
            }
            Event::StreamReplaced(_) => self.reason = Some("another connection of this device replaced ours".into()),
            Event::ConnectFailure(failure) => self.reason = Some(format!("refused: {:?}", failure.reason)),
            Event::StreamError(error) => self.reason = Some(format!("stream error {}", error.code)),
            Event::Disconnected(lost) => self.reason = Some(lost.reason.to_string()),
            _ => {}
        }
    }

    /// Ends the client from within: in a task of its own, because it waits for events that this task must hear.
    fn hang_up(&self) {
        let client = self.client.clone();
        tokio::spawn(async move { client.disconnect().await });
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
        let at = receipt.offline.then_some(receipt.timestamp);
        for id in &receipt.message_ids {
            self.shared.progress.push(Change::learnt(self.held.fence, id, what, at)).await;
        }
    }

    async fn identify(&self, pn: &wacore_binary::Jid, lid: &wacore_binary::Jid) {
        let fence = self.held.fence;
        let (phone, jid, lid) = (pn.user.to_string(), pn.to_string(), lid.to_string());
        persist(&self.held, || async {
            sqlx::query_file_scalar!("sql/session/set_identity.sql", fence.session_id, fence.epoch, phone, jid, lid)
                .fetch_one(&self.shared.pool)
                .await
        })
        .await;
    }

    async fn become_status(&mut self, next: Status, reason: Option<&str>, qr: Option<Qr<'_>>) {
        if !self.status.may_become(next) {
            tracing::error!(
                session = self.held.name,
                from = self.status.name(),
                to = next.name(),
                "impossible transition"
            );
            return;
        }
        self.status = next;
        let (fence, pool) = (self.held.fence, &self.shared.pool);
        persist(&self.held, || write_status(pool, fence, next, reason, qr)).await;
    }

    /// What comes after an end that nobody asked for.
    async fn follow(&mut self) {
        let name = &self.held.name;
        let reason = self.reason.take().unwrap_or_else(|| "the connection could not be made or was closed".into());
        let done = match std::mem::replace(&mut self.end, End::Lost) {
            End::LoggedOut(reason) => {
                tracing::warn!(session = name, reason, "logged out");
                self.sessions.forget(&self.held, &reason).await
            }
            End::NoScan => {
                let why = "no QR code was scanned in time";
                self.sessions.leave(&self.held, Status::New, why, Wish::Stopped, Identity::Kept).await
            }
            End::Banned(wait) => return self.again(Status::Banned, &reason, Some(wait)).await,
            End::Lost if self.restart => {
                return self.again(Status::Connecting, "restart after linking", Some(Duration::ZERO)).await;
            }
            End::Lost => {
                tracing::info!(session = name, reason, "connection lost");
                return self.again(Status::Disconnected, &reason, None).await;
            }
        };
        if let Err(error) = done {
            tracing::warn!(session = name, %error, "the end of a session is not written; it falls free with the worker");
        }
    }

    /// Queues the row that makes the next connection.
    async fn again(&mut self, status: Status, reason: &str, after: Option<Duration>) {
        let fence = self.held.fence;
        let kind = if self.linked { "reconnect" } else { "link" };
        let after = after.map(|d| d.as_secs_f64());
        self.status = status;
        persist(&self.held, || async {
            sqlx::query_file_scalar!(
                "sql/session/lost.sql",
                fence.session_id,
                fence.epoch,
                status.name(),
                reason,
                kind,
                after
            )
            .fetch_one(&self.shared.pool)
            .await
        })
        .await;
        self.shared.wake.notify_one();
    }
}

/// A QR to show.
#[derive(Debug, Clone, Copy)]
struct Qr<'a> {
    text: &'a str,
    seconds: f64,
}

async fn write_status(
    pool: &Db,
    fence: Fence,
    status: Status,
    reason: Option<&str>,
    qr: Option<Qr<'_>>,
) -> sqlx::Result<bool> {
    sqlx::query_file_scalar!(
        "sql/session/set_status.sql",
        fence.session_id,
        fence.epoch,
        status.name(),
        reason,
        qr.map(|q| q.text),
        qr.map(|q| q.seconds)
    )
    .fetch_one(pool)
    .await
}

/// Writes a status before there is a supervisor.
pub async fn set_status(pool: &Db, fence: Fence, status: Status, reason: Option<&str>) -> Result<(), SessionError> {
    if write_status(pool, fence, status, reason, None).await? { Ok(()) } else { Err(SessionError::Stale(fence.epoch)) }
}

/// Writes until it is written or the hold is gone; an outage of the database only delays it.
async fn persist<F, W>(held: &Held, write: F)
where
    F: FnMut() -> W,
    W: Future<Output = sqlx::Result<bool>>,
{
    match insist(&held.stale, write).await {
        Some(true) => {}
        Some(false) => held.stale.cancel(),
        None => tracing::warn!(session = held.name, "status not written; the hold is lost"),
    }
}
