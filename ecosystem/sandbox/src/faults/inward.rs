//! Stanzas from a client: all pass here before they are handled.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wacore_binary::Node;

use super::super::stanza::{self, Context, refuse_message};
use super::corrupt::corrupt;
use super::fault::Fault;
use super::link::to_connection;
use super::rule::{Direction, Occasion, Stanzas};

/// The inbound direction of one connection.
#[derive(Default)]
pub(in super::super) struct Inward {
    /// A stanza that waits until the next matching one has overtaken it.
    overtaken: Option<(Option<Stanzas>, Node)>,
    /// Stanzas received during a black hole.
    held: VecDeque<Node>,
}

impl Inward {
    /// Handles a stanza, or applies a fault instead.
    pub(in super::super) async fn pass(&mut self, context: &mut Context<'_>, node: Node) {
        if context.link.is_held() || !self.held.is_empty() {
            self.held.push_back(node);
        } else {
            self.judge(context, node).await;
        }
    }

    /// Returns when held stanzas may pass; never when none are held.
    pub(in super::super) async fn released(&self, context: &Context<'_>) {
        if self.held.is_empty() {
            std::future::pending::<()>().await;
        }
        context.link.released().await;
    }

    /// Handles the held stanzas.
    pub(in super::super) async fn release(&mut self, context: &mut Context<'_>) {
        for node in std::mem::take(&mut self.held) {
            self.pass(context, node).await;
        }
    }

    async fn judge(&mut self, context: &mut Context<'_>, mut node: Node) {
        if let Some((_, overtaken)) =
            self.overtaken.take_if(|(stanzas, _)| stanzas.as_ref().is_none_or(|s| s.contain(&node)))
        {
            stanza::dispatch(context, node);
            stanza::dispatch(context, overtaken);
            return;
        }
        let strike = context.server.faults.strike(Occasion::Stanza(Direction::In, &node), context.device);
        let Some(strike) = strike else { return stanza::dispatch(context, node) };
        match strike.fault {
            Fault::Lose {} => {}
            Fault::Delay { ms } => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                stanza::dispatch(context, node);
            }
            Fault::Late { ms } => later(context, Duration::from_millis(ms), node),
            Fault::Duplicate { copies } => {
                for _ in 0..copies {
                    stanza::dispatch(context, node.clone());
                }
                stanza::dispatch(context, node);
            }
            Fault::Reorder {} => self.overtaken = Some((strike.stanzas, node)),
            Fault::Nack { code } => refuse_message(context, &node, code),
            Fault::Corrupt { .. } => {
                corrupt(&mut node);
                stanza::dispatch(context, node);
            }
            Fault::BlackHole {} => {
                to_connection(context.server, context.link, context.device, &strike);
                self.held.push_back(node);
            }
            Fault::Drop {} | Fault::StreamError { .. } | Fault::Logout {} => {
                to_connection(context.server, context.link, context.device, &strike);
            }
            // These strike at other moments, so no rule with them matches here.
            Fault::Refuse {}
            | Fault::LoginFailure { .. }
            | Fault::Ban { .. }
            | Fault::NoOneTimeKey {}
            | Fault::UnknownPreKey {}
            | Fault::SlowMedia { .. }
            | Fault::FailMedia { .. }
            | Fault::CutMedia { .. }
            | Fault::CorruptAppState { .. } => stanza::dispatch(context, node),
        }
    }
}

/// Handles a stanza after a delay, while later ones pass.
fn later(context: &Context<'_>, after: Duration, node: Node) {
    let (server, link, device) = (Arc::clone(context.server), context.link.clone(), context.device.cloned());
    context.server.spawn(async move {
        tokio::time::sleep(after).await;
        // A late stanza is lost with its connection, as on a real one.
        if !link.is_closed() {
            stanza::dispatch(&mut Context { server: &server, link: &link, device: device.as_ref() }, node);
        }
    });
}
