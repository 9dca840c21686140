//! Stanzas to a client: all pass here before they are encrypted.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::WeakUnboundedSender;
use tokio_util::sync::CancellationToken;

use super::super::link::{Outgoing, SocketStanza, SocketState};
use super::super::noise::{StanzaWriter, WireError};
use super::super::parcel::Parcel;
use super::super::server::Server;
use super::corrupt::corrupt;
use super::fault::Fault;
use super::link::{stream_error, unlink};
use super::rule::{Direction, Occasion, Stanzas};

/// Whether the connection stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Flow {
    On,
    End,
}

/// The outbound direction of one connection.
pub(in super::super) struct Outward {
    server: Arc<Server>,
    wire: Arc<SocketState>,
    /// Puts stanzas back into the queue of this connection, as long as anyone else can write to it.
    queue: WeakUnboundedSender<Outgoing>,
    /// A stanza that waits until the next matching one has overtaken it.
    overtaken: Option<(Option<Stanzas>, SocketStanza)>,
    /// Whether the rules are checked for the current batch.
    judging: bool,
}

impl Outward {
    pub(in super::super) fn new(
        server: Arc<Server>,
        wire: Arc<SocketState>,
        queue: WeakUnboundedSender<Outgoing>,
    ) -> Self {
        Self { server, wire, queue, overtaken: None, judging: false }
    }

    /// Prepares a batch. When no rule can strike, the whole batch counts as handed over here.
    pub(in super::super) fn begin(&mut self, batch: &[Outgoing]) {
        let held = batch.iter().any(|item| matches!(item, Outgoing::Hold(_)));
        self.judging = held || self.overtaken.is_some() || self.server.faults.armed();
        if !self.judging {
            let letters = batch.iter().filter_map(|item| match item {
                Outgoing::SocketStanza(letter) => Some(letter),
                Outgoing::Judged(_) | Outgoing::Hold(_) | Outgoing::Close => None,
            });
            // Recorded before writing, because the answer may arrive before the write returns.
            self.server.ledger.handed(letters.filter_map(SocketStanza::ticket));
        }
    }

    /// Writes a stanza, or what a fault puts in its place.
    pub(in super::super) async fn pass(
        &mut self,
        writer: &mut StanzaWriter,
        letter: SocketStanza,
    ) -> Result<Flow, WireError> {
        if !self.judging {
            writer.feed(&letter.bytes()?).await?;
            return Ok(Flow::On);
        }
        let node = letter.node()?;
        let overtakes = |held: &mut (Option<Stanzas>, SocketStanza)| held.0.as_ref().is_none_or(|s| s.contain(&node));
        if let Some((_, overtaken)) = self.overtaken.take_if(overtakes) {
            self.write(writer, &letter).await?;
            return self.write(writer, &overtaken).await;
        }
        let Some(strike) = self.server.faults.strike(Occasion::Stanza(Direction::Out, &node), self.wire.device())
        else {
            return self.write(writer, &letter).await;
        };
        match strike.fault {
            Fault::Lose {} => Ok(Flow::On),
            Fault::Delay { ms } => {
                writer.flush().await?;
                self.while_connected(tokio::time::sleep(Duration::from_millis(ms))).await;
                self.write(writer, &letter).await
            }
            Fault::Late { ms } => {
                drop(node);
                self.later(Duration::from_millis(ms), letter);
                Ok(Flow::On)
            }
            Fault::Duplicate { copies } => {
                // All copies are recorded before the first is written, because its answer may arrive before the last is
                // written.
                let copies = usize::from(copies) + 1;
                self.server.ledger.handed(std::iter::repeat_n(letter.ticket(), copies).flatten());
                let bytes = letter.bytes()?;
                for _ in 0..copies {
                    writer.feed(&bytes).await?;
                }
                Ok(Flow::On)
            }
            Fault::Reorder {} => {
                drop(node);
                self.overtaken = Some((strike.stanzas, letter));
                Ok(Flow::On)
            }
            Fault::Corrupt { .. } => {
                let mut node = node.into_owned();
                corrupt(&mut node);
                let parcel = Parcel::new(&node, letter.ticket())?;
                self.write(writer, &SocketStanza::Parcel(parcel)).await
            }
            Fault::BlackHole {} => {
                self.wire.hold(&strike.ended);
                self.hold(writer, &strike.ended).await?;
                self.write(writer, &letter).await
            }
            Fault::Drop {} => Ok(self.end()),
            Fault::StreamError { code, close } => {
                self.write(writer, &SocketStanza::Stanza(stream_error(code))).await?;
                Ok(if close { self.end() } else { Flow::On })
            }
            Fault::Logout {} => {
                unlink(&self.server, self.wire.device());
                Ok(Flow::On)
            }
            // These strike at other moments or in the other direction, so no rule with them matches here.
            Fault::Refuse {}
            | Fault::LoginFailure { .. }
            | Fault::Ban { .. }
            | Fault::Nack { .. }
            | Fault::NoOneTimeKey {}
            | Fault::UnknownPreKey {}
            | Fault::SlowMedia { .. }
            | Fault::FailMedia { .. }
            | Fault::CutMedia { .. }
            | Fault::CorruptAppState { .. } => self.write(writer, &letter).await,
        }
    }

    /// Writes a stanza unchanged.
    pub(in super::super) async fn write(
        &self,
        writer: &mut StanzaWriter,
        letter: &SocketStanza,
    ) -> Result<Flow, WireError> {
        self.server.ledger.handed(letter.ticket());
        writer.feed(&letter.bytes()?).await?;
        Ok(Flow::On)
    }

    /// Waits until the token is cancelled.
    pub(in super::super) async fn hold(
        &self,
        writer: &mut StanzaWriter,
        until: &CancellationToken,
    ) -> Result<Flow, WireError> {
        writer.flush().await?;
        self.while_connected(until.cancelled()).await;
        Ok(Flow::On)
    }

    /// Waits, but no longer than the client stays connected.
    async fn while_connected(&self, wait: impl Future<Output = ()>) {
        self.wire.client_closed().run_until_cancelled(wait).await;
    }

    fn later(&self, after: Duration, letter: SocketStanza) {
        let queue = self.queue.clone();
        self.server.spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(queue) = queue.upgrade() {
                // A late stanza is lost with its connection, as on a real one.
                let _ = queue.send(Outgoing::Judged(letter));
            }
        });
    }

    /// Closes the socket here: queued stanzas stay unsent, and incoming ones are not answered.
    fn end(&self) -> Flow {
        self.wire.close();
        self.server.state().disconnected(self.wire.id(), self.wire.device());
        Flow::End
    }
}
