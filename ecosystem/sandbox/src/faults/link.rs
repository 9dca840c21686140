//! What is done to a connection: before it is one, at its login, while it lives.

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

/// Sets a rule; its id. A rule for connections strikes those that there are as soon as it comes to life.
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

/// One rule and all devices that are connected now, in the order of their numbers.
fn strike_all(server: &Arc<Server>, rule: u64) {
    let mut links = server.state().links();
    links.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (device, link) in links {
        if let Some(strike) = server.faults.strike_connected(rule, &device) {
            to_connection(server, &link, Some(&device), &strike);
        }
    }
}

/// Whether a new socket is refused.
pub(in super::super) fn at_accept(faults: &Faults) -> bool {
    faults.strike(Occasion::Of(Moment::Accept), None).is_some()
}

/// How a login is refused, if it is. The device is the one that the client says it is; `None` when it wants to be linked.
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

/// A device has logged in.
pub(in super::super) fn connected(server: &Arc<Server>, link: &Link, device: &DeviceId) {
    if let Some(strike) = server.faults.strike(Occasion::Of(Moment::Connected), Some(device)) {
        to_connection(server, link, Some(device), &strike);
    }
}

/// Does to a connection what needs no stanza.
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
        // All others have another moment.
        _ => {}
    }
}

/// Ends a connection from our side. What was sent before goes out; the device counts as gone at once.
pub(in super::super) fn hang_up(server: &Server, link: &Link, device: Option<&DeviceId>) {
    server.state().disconnected(link.id(), device);
    link.close();
}

/// The owner unlinks the device on the phone. A client that is not linked yet cannot be.
pub(super) fn unlink(server: &Arc<Server>, device: Option<&DeviceId>) {
    if let Some(device) = device {
        pairing::unlink(server, device);
    }
}

/// What the real server says before it ends a stream. Being replaced and being removed are told by a child; for being
/// replaced the child is all there is.
pub(super) fn stream_error(code: u16) -> Node {
    let conflict = |kind: &'static str| [NodeBuilder::new("conflict").attr("type", kind).build()];
    let error = NodeBuilder::new("stream:error");
    match code {
        401 => error.attr("code", code).children(conflict("device_removed")).build(),
        440 => error.children(conflict("replaced")).build(),
        _ => error.attr("code", code).build(),
    }
}
