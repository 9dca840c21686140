//! The first words of a connection.

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

/// The first byte says how the connection begins: 0 with the first part as it is, and each further part is a WebSocket
/// message; 1 with an honest handshake in which the first part is the payload, and each further part is the plain text
/// of a stanza; 2 the same with the server's key known (IK), 3 with a wrong one. With 4 added a routing hint comes first.
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
        let client = Initiator { hint: how & 4 != 0, sends: to_server, hears: from_server };
        let kind = ["xx", "ik", "fallback"][usize::from(how % 4) - 1];
        let server_side = async {
            let mut reader = FrameReader::new(from_client.map(Ok));
            let mut writer = to_client.sink_map_err(|_| WsError::ConnectionClosed);
            let handshake = respond(&server.authority, &mut reader, &mut writer).await;
            handshake.map(|handshake| (handshake, reader, writer))
        };
        let (handshake, sealed) = tokio::join!(server_side, client.shakes_hands(&server, kind, payload, stanzas));
        // With honest keys the payload alone decides.
        let Ok((handshake, reader, writer)) = handshake else {
            let decoded = ClientPayload::decode_from_slice(payload);
            return assert!(decoded.is_err(), "an honest handshake failed");
        };
        assert_eq!(handshake.kind, kind);
        assert!(sealed, "the client could not finish");
        let key = handshake.client_key;
        let (mut reader, _writer, payload) = directions(handshake, reader, writer);
        let mut client = Client::new(&server, key, payload);
        client.hears();
        for plain in stanzas {
            let read = reader.next().await;
            match (read, node::read(plain)) {
                (Ok(Some(read)), Ok(meant)) => {
                    assert_eq!(read, meant, "a stanza changed on its way");
                    client.says(&server, read);
                    client.hears();
                }
                (Err(_), Err(_)) => return,
                (read, meant) => panic!("read {read:?}, meant {meant:?}"),
            }
        }
        assert!(matches!(reader.next().await, Ok(None)), "there is more than was sent");
    });
}

/// Bytes of somebody who knows no key: whatever they are, nobody is let in.
async fn raw(server: &Server, parts: &[&[u8]]) {
    let messages: Vec<_> = parts.iter().map(|part| Ok(WsMessage::Binary(part.to_vec().into()))).collect();
    let mut reader = FrameReader::new(futures::stream::iter(messages));
    let mut writer = futures::sink::drain().sink_map_err(|never| match never {});
    let answer = respond(&server.authority, &mut reader, &mut writer).await;
    assert!(answer.is_err(), "somebody without a key was let in");
}

/// A client library's side of the handshake.
struct Initiator {
    hint: bool,
    sends: UnboundedSender<WsMessage>,
    hears: UnboundedReceiver<WsMessage>,
}

impl Initiator {
    /// Everything that it has to say. `false` when the server's answers did not make sense to it.
    async fn shakes_hands(mut self, server: &Server, kind: &str, payload: &[u8], stanzas: &[&[u8]]) -> bool {
        let Some(cipher) = self.opens(server, kind, payload).await else { return false };
        for (stanza, counter) in stanzas.iter().zip(0..) {
            let Ok(sealed) = cipher.encrypt_with_counter(counter, stanza) else { return false };
            self.send(&sealed, None);
        }
        true
    }

    async fn opens(&mut self, server: &Server, kind: &str, payload: &[u8]) -> Option<NoiseCipher> {
        let hint: &[u8] = b"somewhere";
        let (header, _) = build_handshake_header(self.hint.then_some(hint));
        let payload = payload.to_vec();
        if kind == "xx" {
            let mut state = XxHandshakeState::new(noise_key(), payload, &WA_CONN_HEADER).ok()?;
            self.send(&state.build_client_hello().ok()?, Some(&header));
            let hello = self.hear().await?;
            let finish = state.read_server_hello_and_build_client_finish(&hello).ok()?;
            self.send(&finish, None);
            return Some(state.finish().ok()?.write_cipher);
        }
        let known = if kind == "ik" { public_bytes(server.authority.noise_key()) } else { public_bytes(&noise_key()) };
        let mut state = IkHandshakeState::new(noise_key(), known, payload, &WA_CONN_HEADER).ok()?;
        self.send(&state.build_client_hello().ok()?, Some(&header));
        let hello = self.hear().await?;
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
            let _ = self.sends.unbounded_send(WsMessage::Binary(frame.into()));
        }
    }

    async fn hear(&mut self) -> Option<Vec<u8>> {
        let WsMessage::Binary(frame) = self.hears.next().await? else { return None };
        frame.get(framing::FRAME_LENGTH_SIZE..).map(<[u8]>::to_vec)
    }
}
