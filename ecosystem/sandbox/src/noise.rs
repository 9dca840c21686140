//! The server's side of the Noise handshake, and the framed, encrypted stanzas that follow it.
//!
//! A new client starts with XX. A client that kept this server's certificate starts with IK and sends its login in the
//! first message. If that login cannot be decrypted (the sandbox was restarted with a new key), the answer has the form
//! of XX and both sides continue with `XXfallback`, so that the client loses one round trip and not its session.

use buffa::Message as _;
use bytes::BytesMut;
use futures::stream::{SplitSink, SplitStream};
use futures::{Sink, SinkExt, Stream, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use wacore_binary::Node;
use wacore_binary::consts::{NOISE_PATTERN_IK, NOISE_PATTERN_XX, NOISE_PATTERN_XXFALLBACK, WA_CONN_HEADER};
use wacore_noise::{HandshakeError, NoiseCipher, NoiseError, NoiseHandshake, framing};
use waproto::whatsapp::handshake_message::{ClientHello, ServerHello};
use waproto::whatsapp::{ClientPayload, HandshakeMessage};

use super::ca::{Authority, new_key, public_bytes};
use super::node;
use super::prompt::PromptSocket;

type Socket = WebSocketStream<PromptSocket>;

/// The source of a client's WebSocket messages: a socket, or a fuzz target.
pub(super) trait FrameSource: Stream<Item = Result<WsMessage, WsError>> + Unpin {}

impl<S: Stream<Item = Result<WsMessage, WsError>> + Unpin> FrameSource for S {}

/// The sink for the WebSocket messages to a client.
pub(super) trait FrameSink: Sink<WsMessage, Error = WsError> + Unpin {}

impl<S: Sink<WsMessage, Error = WsError> + Unpin> FrameSink for S {}

/// How many buffered bytes trigger a write before the next stanza is sealed.
const FULL: usize = 64 * 1024;

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("WebSocket: {0}")]
    Socket(#[from] Box<WsError>),
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("frame cipher: {0}")]
    Cipher(#[from] NoiseError),
    #[error("protobuf: {0}")]
    Protobuf(#[from] buffa::DecodeError),
    #[error("stanza: {0}")]
    Stanza(#[from] wacore_binary::BinaryError),
    #[error("frame: {0}")]
    Frame(String),
    #[error("the client {0}")]
    Client(&'static str),
}

impl From<WsError> for WireError {
    fn from(error: WsError) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// The result of a handshake.
pub(super) struct Handshake {
    pub(super) kind: &'static str,
    pub(super) client_key: [u8; 32],
    pub(super) payload: ClientPayload,
    receive: NoiseCipher,
    send: NoiseCipher,
}

/// Answers the client's hello, in the pattern that the client chose.
pub(super) async fn respond(
    authority: &Authority,
    reader: &mut FrameReader<impl FrameSource>,
    writer: &mut impl FrameSink,
) -> Result<Handshake, WireError> {
    let frame = reader.next_frame().await?.ok_or(WireError::Client("closed before its hello"))?;
    let hello = HandshakeMessage::decode_from_slice(&frame)?
        .client_hello
        .into_option()
        .ok_or(WireError::Client("did not start with a hello"))?;
    let their_ephemeral = key32(hello.ephemeral.as_deref(), "sent no ephemeral key")?;
    let Some(resumed) = resume(authority, &hello, &their_ephemeral) else {
        let (pattern, kind) =
            if hello.r#static.is_some() { (NOISE_PATTERN_XXFALLBACK, "fallback") } else { (NOISE_PATTERN_XX, "xx") };
        return full(authority, reader, writer, &their_ephemeral, pattern, kind).await;
    };
    let (mut noise, client_key, payload) = resumed;
    let ephemeral = new_key();
    noise.authenticate(&public_bytes(&ephemeral));
    noise.mix_shared_secret(ephemeral.private_key.serialize(), &their_ephemeral)?;
    noise.mix_shared_secret(ephemeral.private_key.serialize(), &client_key)?;
    let chain = noise.encrypt(authority.chain())?;
    send_hello(writer, public_bytes(&ephemeral), None, chain).await?;
    finish(noise, "ik", client_key, &payload)
}

/// Reads the client's part of IK, if it was encrypted for our key.
fn resume(
    authority: &Authority,
    hello: &ClientHello,
    their_ephemeral: &[u8; 32],
) -> Option<(NoiseHandshake, [u8; 32], Vec<u8>)> {
    let (sealed_key, sealed_payload) = (hello.r#static.as_ref()?, hello.payload.as_ref()?);
    let ours = authority.noise_key();
    let mut noise = NoiseHandshake::new(NOISE_PATTERN_IK, &WA_CONN_HEADER).ok()?;
    noise.authenticate(&public_bytes(ours));
    noise.authenticate(their_ephemeral);
    noise.mix_shared_secret(ours.private_key.serialize(), their_ephemeral).ok()?;
    let client_key: [u8; 32] = noise.decrypt(sealed_key).ok()?.try_into().ok()?;
    noise.mix_shared_secret(ours.private_key.serialize(), &client_key).ok()?;
    let payload = noise.decrypt(sealed_payload).ok()?;
    Some((noise, client_key, payload))
}

/// Completes XX or `XXfallback`, which differ only in the pattern's name.
async fn full(
    authority: &Authority,
    reader: &mut FrameReader<impl FrameSource>,
    writer: &mut impl FrameSink,
    their_ephemeral: &[u8; 32],
    pattern: &str,
    kind: &'static str,
) -> Result<Handshake, WireError> {
    let ours = authority.noise_key();
    let ephemeral = new_key();
    let mut noise = NoiseHandshake::new(pattern, &WA_CONN_HEADER)?;
    noise.authenticate(their_ephemeral);
    noise.authenticate(&public_bytes(&ephemeral));
    noise.mix_shared_secret(ephemeral.private_key.serialize(), their_ephemeral)?;
    let sealed_key = noise.encrypt(&public_bytes(ours))?;
    noise.mix_shared_secret(ours.private_key.serialize(), their_ephemeral)?;
    let chain = noise.encrypt(authority.chain())?;
    send_hello(writer, public_bytes(&ephemeral), Some(sealed_key), chain).await?;

    // A client that does not trust the certificate disconnects here.
    let frame = reader.next_frame().await?.ok_or(WireError::Client("disconnected after receiving the certificate"))?;
    let end = HandshakeMessage::decode_from_slice(&frame)?
        .client_finish
        .into_option()
        .ok_or(WireError::Client("did not finish the handshake"))?;
    let client_key = noise.decrypt(&end.r#static.unwrap_or_default())?;
    let client_key = key32(Some(&client_key), "sent no static key")?;
    noise.mix_shared_secret(ephemeral.private_key.serialize(), &client_key)?;
    let payload = noise.decrypt(&end.payload.unwrap_or_default())?;
    finish(noise, kind, client_key, &payload)
}

fn finish(
    noise: NoiseHandshake,
    kind: &'static str,
    client_key: [u8; 32],
    payload: &[u8],
) -> Result<Handshake, WireError> {
    // The library names the two keys from the initiator's side.
    let (receive, send) = noise.finish()?;
    Ok(Handshake { kind, client_key, payload: ClientPayload::decode_from_slice(payload)?, receive, send })
}

async fn send_hello(
    writer: &mut impl FrameSink,
    ephemeral: [u8; 32],
    sealed_key: Option<Vec<u8>>,
    chain: Vec<u8>,
) -> Result<(), WireError> {
    let hello = HandshakeMessage {
        server_hello: buffa::MessageField::some(ServerHello {
            ephemeral: Some(ephemeral.to_vec()),
            r#static: sealed_key,
            payload: Some(chain),
            ..Default::default()
        }),
        ..Default::default()
    };
    let frame =
        framing::encode_frame(&hello.encode_to_vec(), None).map_err(|error| WireError::Frame(error.to_string()))?;
    writer.send(WsMessage::Binary(frame.into())).await?;
    Ok(())
}

fn key32(bytes: Option<&[u8]>, complaint: &'static str) -> Result<[u8; 32], WireError> {
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(WireError::Client(complaint))
}

/// Splits the socket's messages into frames.
pub(super) struct FrameReader<S = SplitStream<Socket>> {
    socket: S,
    frames: framing::FrameDecoder,
    greeted: bool,
}

impl<S: FrameSource> FrameReader<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, frames: framing::FrameDecoder::new(), greeted: false }
    }

    /// The next frame; `None` when the client closed.
    pub(super) async fn next_frame(&mut self) -> Result<Option<BytesMut>, WireError> {
        loop {
            if let Some(frame) = self.frames.decode_frame() {
                return Ok(Some(frame));
            }
            match self.socket.next().await {
                Some(Ok(WsMessage::Binary(data))) => {
                    let data: &[u8] = &data;
                    self.frames.feed(if self.greeted { data } else { after_greeting(data)? });
                    self.greeted = true;
                }
                Some(Ok(WsMessage::Close(_))) | None => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
}

/// Skips the `WA` header and, before it, the routing hint that a client may keep from an earlier connection.
fn after_greeting(data: &[u8]) -> Result<&[u8], WireError> {
    let data = match data.strip_prefix(b"ED\x00\x01") {
        Some([high, middle, low, rest @ ..]) => {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            rest.get(length..).ok_or(WireError::Client("sent a routing hint that is cut off"))?
        }
        Some(_) => return Err(WireError::Client("sent a routing hint that is cut off")),
        None => data,
    };
    match data {
        [b'W', b'A', _, _, rest @ ..] => Ok(rest),
        _ => Err(WireError::Client("does not speak this protocol (no WA header)")),
    }
}

/// Reads the client's stanzas.
pub(super) struct StanzaReader<S = SplitStream<Socket>> {
    frames: FrameReader<S>,
    cipher: NoiseCipher,
    counter: u32,
}

impl<S: FrameSource> StanzaReader<S> {
    /// The next stanza; `None` when the client closed.
    pub(super) async fn next(&mut self) -> Result<Option<Node>, WireError> {
        let Some(mut frame) = self.frames.next_frame().await? else { return Ok(None) };
        self.cipher.decrypt_in_place_with_counter(self.counter, &mut frame)?;
        self.counter = self.counter.wrapping_add(1);
        Ok(Some(node::read(&frame)?))
    }
}

/// Writes the server's stanzas.
pub(super) struct StanzaWriter<W = SplitSink<Socket, WsMessage>> {
    socket: W,
    cipher: NoiseCipher,
    counter: u32,
    /// Frames that go out in one write. A client splits them by their lengths, as it must with the real server's.
    ready: BytesMut,
}

impl<W: FrameSink> StanzaWriter<W> {
    /// Seals a stanza's bytes; [`StanzaWriter::flush`] puts them on the wire.
    pub(super) async fn feed(&mut self, stanza: &[u8]) -> Result<(), WireError> {
        let sealed = self.cipher.encrypt_with_counter(self.counter, stanza)?;
        self.counter = self.counter.wrapping_add(1);
        framing::append_frame_into(&sealed, None, &mut self.ready)
            .map_err(|error| WireError::Frame(error.to_string()))?;
        if self.ready.len() >= FULL {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        if self.ready.is_empty() {
            return Ok(());
        }
        Ok(self.socket.send(WsMessage::Binary(self.ready.split().freeze())).await?)
    }

    pub(super) async fn close(&mut self) {
        // An error means that the other side is gone, and the socket is closed anyway.
        let _ = self.socket.close().await;
    }
}

/// Splits a finished handshake into its two directions.
pub(super) fn directions<S: FrameSource, W: FrameSink>(
    handshake: Handshake,
    frames: FrameReader<S>,
    socket: W,
) -> (StanzaReader<S>, StanzaWriter<W>, ClientPayload) {
    (
        StanzaReader { frames, cipher: handshake.receive, counter: 0 },
        StanzaWriter { socket, cipher: handshake.send, counter: 0, ready: BytesMut::new() },
        handshake.payload,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_greetings_are_skipped_and_bad_ones_refused() -> Result<(), WireError> {
        assert_eq!(after_greeting(b"WA\x06\x03abc")?, b"abc");
        assert_eq!(after_greeting(b"ED\x00\x01\x00\x00\x02xyWA\x06\x03abc")?, b"abc");
        for bad in [&b""[..], b"WA", b"GET / HTTP", b"ED\x00\x01", b"ED\x00\x01\xff\xff\xff"] {
            assert!(after_greeting(bad).is_err(), "{bad:?} was accepted");
        }
        Ok(())
    }
}
