//! What carries envelopes: a WebSocket.

use std::future::Future;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::StreamExt as _;

/// A connection's end, or a message that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The other side has gone.
    Gone,
    /// It sent what is not allowed: a reason for it.
    Refused(&'static str),
}

/// Carries envelopes both ways.
pub(crate) trait Carrier: Send {
    /// The next envelope's bytes. Dropping the future loses nothing.
    fn receive(&mut self) -> impl Future<Output = Result<Vec<u8>, Broken>> + Send;
    /// Sends an envelope.
    fn send(&mut self, bytes: Vec<u8>) -> impl Future<Output = Result<(), Broken>> + Send;
    /// Says that it is over.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// Over a WebSocket.
pub(crate) struct Web(pub(crate) WebSocket);

impl Carrier for Web {
    async fn receive(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => Ok(bytes.into()),
                // The library answers pings by itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Text(_))) => Err(Broken::Refused("send binary messages")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Broken::Gone),
            };
        }
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Broken> {
        self.0.send(Message::Binary(bytes.into())).await.map_err(|_| Broken::Gone)
    }

    async fn close(&mut self) {
        let frame = CloseFrame { code: axum::extract::ws::close_code::NORMAL, reason: "".into() };
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}
