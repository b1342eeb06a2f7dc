//! Envelopes over a stream of bytes, each after its length: for clients that have no WebSocket.

use protocol::gateway::{Frames, frame};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::carrier::{Broken, Carrier};

/// Bytes that are read at once.
const READ_BYTES: usize = 1_024;

/// Over TCP, plain or within TLS.
pub(crate) struct Framed<S> {
    stream: S,
    /// What was read of the frame that is coming in, and maybe of those behind it. An idle connection holds nothing.
    frames: Frames,
}

impl<S> Framed<S> {
    /// Frames on `stream`.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, frames: Frames::default() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Carrier for Framed<S> {
    async fn receive(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            match self.frames.take() {
                Ok(Some(envelope)) => return Ok(envelope),
                Ok(None) => {}
                Err(_) => return Err(Broken::Refused("a message has at most 4 KiB, after its length in four bytes")),
            }
            let mut some = [0; READ_BYTES];
            // What one read brings is kept before anything else is waited for, so dropping this future loses nothing.
            let count = self.stream.read(&mut some).await.map_err(|_| Broken::Gone)?;
            if count == 0 {
                return Err(Broken::Gone);
            }
            self.frames.push(&some[..count]);
        }
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Broken> {
        self.stream.write_all(&frame(&bytes)).await.map_err(|_| Broken::Gone)?;
        self.stream.flush().await.map_err(|_| Broken::Gone)
    }

    async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }
}
