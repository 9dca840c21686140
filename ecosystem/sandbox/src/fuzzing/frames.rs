//! The handshake and the first frames of a connection.

use buffa::Message as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use wacore_binary::consts::WA_CONN_HEADER;
use wacore_noise::{
    IkHandshakeState, IkServerHelloOutcome, NoiseCipher, XxFallbackHandshakeState, XxHandshakeState,
    build_handshake_header, framing,
};

use waproto::whatsapp::ClientPayload;

use super::super::ca::public_bytes;
use super::super::node;
use super::super::noise::{FrameReader, directions, respond};
use super::super::server::Server;
use super::client::{Client, noise_key};
use super::parts;
use super::world::run;

/// The first byte selects the start of the connection: 0 sends the first part unchanged, and each further part as a
/// WebSocket message; 1 makes an honest handshake with the first part as the payload and each further part as the plain
/// text of a stanza; 2 the same with the server's known key (IK); 3 with a wrong key. Adding 4 puts a routing hint
/// first.
pub fn frames(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let parts: Vec<&[u8]> = parts(rest).collect();
    if how % 4 == 0 {
        return run(async |server| raw(&server, &parts).await);
    }
    run(async |server| {
        let (payload, stanzas) = parts.split_first().map_or((&[][..], &[][..]), |(first, others)| (*first, others));
        let (to_server, from_client) = unbounded();
        let (to_client, from_server) = unbounded();
        let client = Initiator { hint: how & 4 != 0, outgoing: to_server, incoming: from_server };
        let kind = ["xx", "ik", "fallback"][usize::from(how % 4) - 1];
        let server_side = async {
            let mut reader = FrameReader::new(from_client.map(Ok));
            let mut writer = to_client.sink_map_err(|_| WsError::ConnectionClosed);
            let handshake = respond(&server.authority, &mut reader, &mut writer).await;
            handshake.map(|handshake| (handshake, reader, writer))
        };
        let (handshake, sealed) = tokio::join!(server_side, client.handshake(&server, kind, payload, stanzas));
        // With honest keys, only the payload can make the handshake fail.
        let Ok((handshake, reader, writer)) = handshake else {
            let decoded = ClientPayload::decode_from_slice(payload);
            return assert!(decoded.is_err(), "an honest handshake failed");
        };
        assert_eq!(handshake.kind, kind);
        assert!(sealed, "the client could not finish");
        let key = handshake.client_key;
        let (mut reader, _writer, payload) = directions(handshake, reader, writer);
        let mut client = Client::new(&server, key, payload);
        client.received();
        for plain in stanzas {
            let read = reader.next().await;
            match (read, node::read(plain)) {
                (Ok(Some(read)), Ok(meant)) => {
                    assert_eq!(read, meant, "a stanza changed in transit");
                    client.send(&server, read);
                    client.received();
                }
                (Err(_), Err(_)) => return,
                (read, meant) => panic!("read {read:?}, meant {meant:?}"),
            }
        }
        assert!(matches!(reader.next().await, Ok(None)), "the reader returned more than was sent");
    });
}

/// Sends bytes of a client without keys; no such client may get through.
async fn raw(server: &Server, parts: &[&[u8]]) {
    let messages: Vec<_> = parts.iter().map(|part| Ok(WsMessage::Binary(part.to_vec().into()))).collect();
    let mut reader = FrameReader::new(futures::stream::iter(messages));
    let mut writer = futures::sink::drain().sink_map_err(|never| match never {});
    let answer = respond(&server.authority, &mut reader, &mut writer).await;
    assert!(answer.is_err(), "a client without a key got through the handshake");
}

/// The client's side of the handshake.
struct Initiator {
    hint: bool,
    outgoing: UnboundedSender<WsMessage>,
    incoming: UnboundedReceiver<WsMessage>,
}

impl Initiator {
    /// Makes the handshake and sends every stanza. `false` when the server's answer could not be read.
    async fn handshake(mut self, server: &Server, kind: &str, payload: &[u8], stanzas: &[&[u8]]) -> bool {
        let Some(cipher) = self.open(server, kind, payload).await else { return false };
        for (stanza, counter) in stanzas.iter().zip(0..) {
            let Ok(sealed) = cipher.encrypt_with_counter(counter, stanza) else { return false };
            self.send(&sealed, None);
        }
        true
    }

    async fn open(&mut self, server: &Server, kind: &str, payload: &[u8]) -> Option<NoiseCipher> {
        let hint: &[u8] = b"somewhere";
        let (header, _) = build_handshake_header(self.hint.then_some(hint));
        let payload = payload.to_vec();
        if kind == "xx" {
            let mut state = XxHandshakeState::new(noise_key(), payload, &WA_CONN_HEADER).ok()?;
            self.send(&state.build_client_hello().ok()?, Some(&header));
            let hello = self.next_frame().await?;
            let finish = state.read_server_hello_and_build_client_finish(&hello).ok()?;
            self.send(&finish, None);
            return Some(state.finish().ok()?.write_cipher);
        }
        let known = if kind == "ik" { public_bytes(server.authority.noise_key()) } else { public_bytes(&noise_key()) };
        let mut state = IkHandshakeState::new(noise_key(), known, payload, &WA_CONN_HEADER).ok()?;
        self.send(&state.build_client_hello().ok()?, Some(&header));
        let hello = self.next_frame().await?;
        match state.read_server_hello(&hello).ok()? {
            IkServerHelloOutcome::Continue(outcome) => Some(outcome.write_cipher),
            IkServerHelloOutcome::Fallback(inputs) => {
                let mut state = XxFallbackHandshakeState::from_ik_failure(*inputs, &WA_CONN_HEADER).ok()?;
                self.send(&state.build_client_finish().ok()?, None);
                Some(state.finish().ok()?.write_cipher)
            }
        }
    }

    fn send(&self, payload: &[u8], header: Option<&[u8]>) {
        if let Ok(frame) = framing::encode_frame(payload, header) {
            let _ = self.outgoing.unbounded_send(WsMessage::Binary(frame.into()));
        }
    }

    async fn next_frame(&mut self) -> Option<Vec<u8>> {
        let WsMessage::Binary(frame) = self.incoming.next().await? else { return None };
        frame.get(framing::FRAME_LENGTH_SIZE..).map(<[u8]>::to_vec)
    }
}
