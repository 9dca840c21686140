//! Faults of connections: at accept, at login, and while connected.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;

use super::super::account::DeviceId;
use super::super::link::Link;
use super::super::pairing;
use super::super::server::Server;
use super::fault::{Fault, Moment};
use super::rule::{Occasion, Rule};
use super::{Faults, Strike};

/// Adds a rule and returns its id. A rule for connections strikes the existing ones as soon as it becomes active.
pub(in super::super) fn set(server: &Arc<Server>, rule: Rule) -> u64 {
    let moment = rule.moment();
    let (id, from, until, ended) = server.faults.add(rule);
    if let Some(until) = until {
        server.spawn(expire(until, ended.clone()));
    }
    if moment != Moment::Connected {
        return id;
    }
    if from <= Instant::now() {
        strike_all(server, id);
        return id;
    }
    let inner = Arc::clone(server);
    server.spawn(async move {
        sleep_until(from).await;
        strike_all(&inner, id);
    });
    id
}

async fn expire(until: Instant, ended: CancellationToken) {
    if ended.run_until_cancelled(sleep_until(until)).await.is_some() {
        ended.cancel();
    }
}

/// Applies one rule to all devices that are connected now, ordered by number.
fn strike_all(server: &Arc<Server>, rule: u64) {
    let mut links = server.state().links();
    links.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (device, link) in links {
        if let Some(strike) = server.faults.strike_connected(rule, &device) {
            to_connection(server, &link, Some(&device), &strike);
        }
    }
}

pub(in super::super) fn at_accept(faults: &Faults) -> bool {
    faults.strike(Occasion::Of(Moment::Accept), None).is_some()
}

/// The refusal of a login, if a rule demands one. `device` is the device that the client claims to be; `None` for a
/// client that wants to be linked.
pub(in super::super) fn at_login(faults: &Faults, device: Option<&DeviceId>) -> Option<Node> {
    let strike = faults.strike(Occasion::Of(Moment::Login), device)?;
    let failure = NodeBuilder::new("failure").attr("location", "sandbox");
    match strike.fault {
        Fault::LoginFailure { reason } => Some(failure.attr("reason", reason).build()),
        Fault::Ban { code, seconds } => {
            Some(failure.attr("reason", "402").attr("code", code).attr("expire", seconds).build())
        }
        _ => None,
    }
}

/// Applies the rules for connected devices to a device that has just logged in.
pub(in super::super) fn connected(server: &Arc<Server>, link: &Link, device: &DeviceId) {
    if let Some(strike) = server.faults.strike(Occasion::Of(Moment::Connected), Some(device)) {
        to_connection(server, link, Some(device), &strike);
    }
}

/// Applies a fault that needs no stanza to a connection.
pub(super) fn to_connection(server: &Arc<Server>, link: &Link, device: Option<&DeviceId>, strike: &Strike) {
    match &strike.fault {
        Fault::Drop {} => hang_up(server, link, device),
        Fault::BlackHole {} => link.hold(&strike.ended),
        Fault::StreamError { code, close } => {
            link.send(stream_error(*code));
            if *close {
                hang_up(server, link, device);
            }
        }
        Fault::Logout {} => unlink(server, device),
        // All other faults strike at other moments.
        _ => {}
    }
}

/// Closes a connection from the server's side. Stanzas sent before still go out; the device counts as disconnected at
/// once.
pub(in super::super) fn hang_up(server: &Server, link: &Link, device: Option<&DeviceId>) {
    server.state().disconnected(link.id(), device);
    link.close();
}

/// Unlinks the device, as its owner does on the phone. Does nothing for a client that is not linked yet.
pub(super) fn unlink(server: &Arc<Server>, device: Option<&DeviceId>) {
    if let Some(device) = device {
        pairing::unlink(server, device);
    }
}

/// The stanza with which the real server ends a stream. A child element reports that the device was replaced or
/// removed; when it was replaced, the stanza has that child only.
pub(super) fn stream_error(code: u16) -> Node {
    let conflict = |kind: &'static str| [NodeBuilder::new("conflict").attr("type", kind).build()];
    let error = NodeBuilder::new("stream:error");
    match code {
        401 => error.attr("code", code).children(conflict("device_removed")).build(),
        440 => error.children(conflict("replaced")).build(),
        _ => error.attr("code", code).build(),
    }
}
