//! A socket that does not keep a client waiting for TCP acknowledgements.
//!
//! Clients do not switch Nagle's algorithm off: while sent bytes are unacknowledged, their next bytes wait, and a
//! kernel without anything to send delays the acknowledgement by 40 ms. Over a real distance nobody notices; on
//! loopback the delay would be nearly the whole time of an exchange. An answer carries the acknowledgement, and nearly
//! everything is answered at once; only the rest needs an acknowledgement of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket that acknowledges promptly; see the module.
#[derive(Debug)]
pub(super) struct PromptSocket {
    socket: TcpStream,
    debt: PendingAck,
}

/// The state of the outstanding acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PendingAck {
    None,
    /// New bytes have arrived, and their reader may answer.
    New,
    /// The reader has had its chance to answer.
    Due,
}

impl PromptSocket {
    pub(super) fn new(socket: TcpStream) -> Self {
        // Stanzas are small, and the client waits for them.
        let _ = socket.set_nodelay(true);
        Self { socket, debt: PendingAck::None }
    }

    fn written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.debt = PendingAck::None;
        }
        written
    }
}

impl AsyncRead for PromptSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        self.debt = match (self.debt, &read) {
            (_, Poll::Ready(_)) => PendingAck::New,
            // Everything is read. The reader's next turn comes after the writer's.
            (PendingAck::New, Poll::Pending) => {
                cx.waker().wake_by_ref();
                PendingAck::Due
            }
            (PendingAck::Due, Poll::Pending) => {
                // The kernel resets this option, so it is set each time. Where it cannot be set, the exchange is only
                // slower.
                #[cfg(target_os = "linux")]
                let _ = self.socket.set_quickack(true);
                PendingAck::None
            }
            (PendingAck::None, Poll::Pending) => PendingAck::None,
        };
        read
    }
}

impl AsyncWrite for PromptSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A kernel delays an acknowledgement by 40 ms, except for the first ones of a connection.
    const PIECES: u32 = 50;

    #[tokio::test]
    async fn x1_unanswered_bytes_are_acknowledged_promptly() -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        client.set_nodelay(false)?;
        let mut socket = PromptSocket::new(listener.accept().await?.0);
        let writing = tokio::spawn(async move {
            for _ in 0..PIECES {
                // The second half waits in the client until the first is acknowledged.
                client.write_all(&[1]).await?;
                client.write_all(&[2]).await?;
                client.read_exact(&mut [0]).await?;
            }
            io::Result::Ok(())
        });
        let start = Instant::now();
        for _ in 0..PIECES {
            let mut piece = [0; 2];
            socket.read_exact(&mut piece).await?;
            assert_eq!(piece, [1, 2]);
            socket.write_all(&[3]).await?;
        }
        assert!(start.elapsed() < Duration::from_millis(20) * PIECES, "{:?}", start.elapsed());
        writing.await?
    }
}
