//! The life of one socket: handshake, registration or login, then stanzas until one side closes.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use wacore_binary::Node;
use wacore_binary::builder::NodeBuilder;
use waproto::whatsapp::ClientPayload;

use super::LOG;
use super::account::{Addressing, DeviceId};
use super::faults::{self, Flow, Inward, Outward};
use super::link::{Link, Outgoing};
use super::node::{leaf, server_jid, unix_now};
use super::noise::{self, FrameReader, StanzaReader, StanzaWriter, WireError};
use super::pairing;
use super::prompt::PromptSocket;
use super::server::Server;
use super::stanza::Context;

/// The time limit for the handshake; a slower client is not going to finish it.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(20);
/// The name of this server's location, as the real one names its data centres.
const LOCATION: &str = "sandbox";
/// How long the server still reads from a socket that it closed, so that the last stanza is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// Enough for a text frame. The default of 128 KiB per socket would be the largest part of the sandbox's memory.
const READ_BUFFER: usize = 16 * 1024;
/// How many stanzas one write contains at most.
const BATCH: usize = 64;

/// Accepts sockets until shutdown starts.
pub(super) async fn accept(server: Arc<Server>, listener: TcpListener) {
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let inner = Arc::clone(&server);
                    server.spawn(async move {
                        if let Err(error) = serve(&inner, socket).await {
                            tracing::debug!(target: LOG, %peer, %error, "connection ended");
                        }
                    });
                }
                Err(error) => {
                    // The process is most likely out of file descriptors; retrying at once would only spin.
                    tracing::warn!(target: LOG, %error, "cannot accept a connection; retrying");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    server.while_open::<()>(accepting).await;
}

async fn serve(server: &Arc<Server>, socket: TcpStream) -> Result<(), WireError> {
    if faults::at_accept(&server.faults) {
        return Ok(());
    }
    let opening = server.while_open(tokio::time::timeout(HANDSHAKE_LIMIT, open(server, socket))).await;
    let Some(opening) = opening else { return Ok(()) };
    let (reader, writer, client_key, payload) =
        opening.map_err(|_| WireError::Client("exceeded the time limit of the handshake"))??;
    let (link, outgoing) = Link::new(server.next());
    let (wire, queue) = link.writing_end();
    let outward = Outward::new(Arc::clone(server), wire, queue);
    let closing = CancellationToken::new();
    let reading = server.while_open(async {
        let link = link;
        tokio::time::sleep(server.distance).await;
        let device = enter(server, &link, client_key, payload);
        if let Some(device) = &device {
            faults::connected(server, &link, device);
        }
        let result = read(server, reader, &link, device.as_ref(), &closing).await;
        link.disconnected();
        server.state().disconnected(link.id(), device.as_ref());
        result
    });
    let writing = async {
        if let Err(error) = write(writer, outgoing, outward).await {
            tracing::debug!(target: LOG, %error, "cannot write to a client; connection closed");
        }
        closing.cancel();
    };
    // Both run in one task, reading first, so that the answers to all pending stanzas go out in one write.
    let (result, ()) = tokio::join!(biased; reading, writing);
    result.unwrap_or(Ok(()))
}

async fn open(
    server: &Server,
    socket: TcpStream,
) -> Result<(StanzaReader, StanzaWriter, [u8; 32], ClientPayload), WireError> {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
    let socket = tokio_tungstenite::accept_async_with_config(PromptSocket::new(socket), Some(config)).await?;
    let (mut sink, stream) = socket.split();
    let mut frames = FrameReader::new(stream);
    let handshake = noise::respond(&server.authority, &mut frames, &mut sink).await?;
    let (kind, client_key) = (handshake.kind, handshake.client_key);
    server.stats.count(|counters| *counters.handshakes.entry(kind).or_default() += 1);
    let (reader, writer, payload) = noise::directions(handshake, frames, sink);
    Ok((reader, writer, client_key, payload))
}

/// Decides what the client is: a device to be linked, a linked device, or an unknown one.
pub(super) fn enter(
    server: &Arc<Server>,
    link: &Link,
    client_key: [u8; 32],
    payload: ClientPayload,
) -> Option<DeviceId> {
    if let Some(data) = payload.device_pairing_data.into_option() {
        match faults::at_login(&server.faults, None) {
            Some(failure) => refuse(link, failure),
            None => pairing::offer(server, link, client_key, data),
        }
        return None;
    }
    let number = payload.username.unwrap_or_default().to_string();
    let device = u16::try_from(payload.device.unwrap_or_default()).unwrap_or(u16::MAX);
    let id = DeviceId { number, device };
    if let Some(failure) = faults::at_login(&server.faults, Some(&id)) {
        refuse(link, failure);
        return None;
    }
    let mut state = server.state();
    let lid = state.accounts.get(&id.number).map(|account| account.jid(Addressing::Lid, device));
    let (Some(lid), Some(device)) = (lid, state.device(&id).filter(|device| device.noise_key == client_key)) else {
        tracing::info!(target: LOG, number = %id.number, device, "login refused: the device is not linked");
        server.stats.count(|counters| counters.logins_refused += 1);
        refuse(link, NodeBuilder::new("failure").attr("reason", "401").attr("location", LOCATION).build());
        return None;
    };
    if let Some(former) = device.link.replace(link.clone()) {
        let conflict = NodeBuilder::new("conflict").attr("type", "replaced").build();
        former.send(NodeBuilder::new("stream:error").children([conflict]).build());
        former.close();
    }
    device.active = false;
    link.set_device(&id);
    link.send(
        NodeBuilder::new("success")
            .attr("t", unix_now())
            .attr("props", "27")
            .attr("companion_enc_static", "")
            .attr("lid", lid)
            .attr("location", LOCATION)
            .build(),
    );
    // Clients send this hint before their next handshake, so that they reach the same server.
    let routing = NodeBuilder::new("edge_routing").children([leaf("routing_info", LOCATION.as_bytes())]).build();
    link.send(NodeBuilder::new("ib").attr("from", server_jid()).children([routing]).build());
    Some(id)
}

fn refuse(link: &Link, failure: Node) {
    link.send(failure);
    link.close();
}

async fn read(
    server: &Arc<Server>,
    mut reader: StanzaReader,
    link: &Link,
    device: Option<&DeviceId>,
    closing: &CancellationToken,
) -> Result<(), WireError> {
    let mut context = Context { server, link, device };
    let lingered = async {
        closing.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(lingered);
    let mut inward = Inward::default();
    loop {
        let stanza = tokio::select! {
            biased;
            // Held stanzas come before new ones, because they arrived earlier.
            () = inward.released(&context) => {
                inward.release(&mut context).await;
                continue;
            }
            stanza = reader.next() => stanza?,
            () = &mut lingered => return Ok(()),
        };
        match stanza {
            None => return Ok(()),
            // After we have closed, incoming stanzas are read, so that the client receives our last stanzas, but not
            // answered.
            Some(_) if link.is_closed() || closing.is_cancelled() => {}
            Some(stanza) => inward.pass(&mut context, stanza).await,
        }
    }
}

async fn write(
    mut writer: StanzaWriter,
    mut outgoing: UnboundedReceiver<Outgoing>,
    mut faults: Outward,
) -> Result<(), WireError> {
    let mut ready = Vec::new();
    // All ready stanzas go out in one write. Zero means that every sender to this socket is gone, and with them its
    // reader, which holds one.
    while outgoing.recv_many(&mut ready, BATCH).await > 0 {
        faults.begin(&ready);
        for item in ready.drain(..) {
            let flow = match item {
                Outgoing::SocketStanza(letter) => faults.pass(&mut writer, letter).await?,
                Outgoing::Judged(letter) => faults.write(&mut writer, &letter).await?,
                Outgoing::Hold(until) => faults.hold(&mut writer, &until).await?,
                Outgoing::Close => Flow::End,
            };
            if flow == Flow::End {
                writer.flush().await?;
                writer.close().await;
                return Ok(());
            }
        }
        writer.flush().await?;
    }
    writer.close().await;
    Ok(())
}
