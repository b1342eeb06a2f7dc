//! How a session takes over the reliable streams of an earlier one.

use protocol::wire::WireError;

use super::channel::reliable::Streams;
use super::session::{Role, Session};
use crate::Micros;

/// What a session still has to say or to hear about streams that began before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resuming {
    /// Nothing.
    No,
    /// The server has not said yet where the streams go on. Nothing reliable travels until then.
    Asked,
    /// A server: its client has not acknowledged yet that it was told.
    Telling { next: u32, received: u32, is_new: bool },
}

impl Session {
    /// A client's session by a resumption goes on with these streams.
    pub(super) fn ask_to_resume(&mut self, streams: Streams) {
        self.streams = streams;
        self.resuming = Resuming::Asked;
    }

    /// A server's session goes on with the streams of the one before; the client lacks segment `lacks`.
    pub(super) fn resume(&mut self, mut streams: Streams, lacks: u32) {
        let (next, received) = streams.go_on(lacks);
        self.streams = streams;
        self.resuming = Resuming::Telling { next, received, is_new: true };
    }

    /// A server's session sends what was not acknowledged before; its client begins from nothing, and may have sent
    /// messages with its first packet.
    pub(super) fn inherit(&mut self, streams: Streams) {
        self.streams.sender = streams.sender;
        self.streams.sender.begin_anew();
    }

    /// The server has said where the streams go on. Said again, it means nothing.
    pub(super) fn resumed(&mut self, next: u32, received: u32) -> Result<(), WireError> {
        if self.role == Role::Server {
            return Err(WireError::Malformed);
        }
        if self.resuming == Resuming::Asked {
            self.streams.resumed(next, received).map_err(|_| WireError::Malformed)?;
            self.resuming = Resuming::No;
        }
        Ok(())
    }

    /// Whether the other end holds this session to be the one that counts.
    pub(super) fn is_established(&self) -> bool {
        self.is_confirmed && self.resuming != Resuming::Asked
    }

    /// When a reliable segment is due to be sent again.
    pub(super) fn reliable_due(&self) -> Option<Micros> {
        if self.resuming == Resuming::Asked { None } else { self.streams.sender.due() }
    }
}
