//! One QUIC connection and the stream that its request and answer travel on; the same for both ends.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use protocol::wire::{JOIN_REQUEST_BYTES_MAX, RESUME_LABEL};
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, Dir, Endpoint, Event, ReadError, StreamEvent, StreamId, VarInt,
};

use super::Room;
use crate::endpoint::Transmit;

/// What happened on a connection.
#[derive(Debug)]
pub(in crate::endpoint) enum LinkEvent {
    /// TLS is done: the peer is who it should be.
    Established,
    /// The stream has more bytes; ask [`Link::stream_bytes`].
    Stream,
    /// A packet.
    Datagram(Bytes),
    /// The connection is over.
    Lost(ConnectionError),
}

/// A connection with what belongs to it.
pub(super) struct Link {
    pub(super) handle: ConnectionHandle,
    pub(super) connection: Connection,
    stream: Option<StreamId>,
    /// What the peer sent on the stream.
    inbox: Vec<u8>,
    /// What waits for room on the stream.
    outbox: Vec<u8>,
    is_finished: bool,
}

impl Link {
    pub(super) fn new(handle: ConnectionHandle, connection: Connection) -> Self {
        Self { handle, connection, stream: None, inbox: Vec::new(), outbox: Vec::new(), is_finished: false }
    }

    /// What the peer has sent on the stream so far.
    pub(super) fn stream_bytes(&self) -> &[u8] {
        &self.inbox
    }

    /// Opens the stream and sends the request on it.
    pub(super) fn ask(&mut self, request: &[u8]) {
        self.stream = self.connection.streams().open(Dir::Bi);
        self.say(request);
    }

    /// 32 bytes that only the two ends of this connection know, once TLS is done.
    pub(super) fn export(&self) -> Option<[u8; 32]> {
        let mut exported = [0; 32];
        self.connection.crypto_session().export_keying_material(&mut exported, RESUME_LABEL, &[]).ok()?;
        Some(exported)
    }

    /// Sends these last bytes on the stream.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
        self.write();
    }

    /// What a session may pack now.
    pub(super) fn room(&mut self) -> Room {
        let window = self.connection.congestion_state().window();
        let datagrams = self.connection.datagrams();
        Room::of_datagrams(datagrams.max_size().unwrap_or(0), datagrams.send_buffer_space(), window)
    }

    /// Queues a packet. When the buffer is full, its oldest packet makes room: newest state counts most, and what is
    /// reliable is sent again.
    pub(super) fn send(&mut self, packet: Vec<u8>) {
        // It fails only when the peer's limit sank since `room`, or the connection is over: lost, as on any path.
        let _ = self.connection.datagrams().send(packet.into(), true);
    }

    pub(super) fn close(&mut self, now: Instant, code: u32) {
        self.connection.close(now, VarInt::from_u32(code), Bytes::new());
    }

    /// Lets the connection do everything that it can do now.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        transmits: &mut VecDeque<Transmit>,
        events: &mut Vec<LinkEvent>,
    ) {
        loop {
            let mut is_idle = true;
            while let Some(event) = self.connection.poll_endpoint_events() {
                is_idle = false;
                if let Some(event) = endpoint.handle_event(self.handle, event) {
                    self.connection.handle_event(event);
                }
            }
            while let Some(event) = self.connection.poll() {
                is_idle = false;
                self.take(event, events);
            }
            let mut bytes = Vec::new();
            while let Some(transmit) = self.connection.poll_transmit(now, 1, &mut bytes) {
                is_idle = false;
                let bytes = std::mem::take(&mut bytes);
                transmits.push_back(Transmit { to: transmit.destination, bytes });
            }
            if is_idle {
                return;
            }
        }
    }

    fn take(&mut self, event: Event, events: &mut Vec<LinkEvent>) {
        match event {
            Event::Connected => events.push(LinkEvent::Established),
            Event::ConnectionLost { reason } => events.push(LinkEvent::Lost(reason)),
            Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                self.stream = self.stream.or_else(|| self.connection.streams().accept(Dir::Bi));
                self.read(events);
            }
            Event::Stream(StreamEvent::Readable { id }) if self.stream == Some(id) => self.read(events),
            Event::Stream(StreamEvent::Writable { id }) if self.stream == Some(id) => self.write(),
            Event::DatagramReceived => {
                while let Some(datagram) = self.connection.datagrams().recv() {
                    events.push(LinkEvent::Datagram(datagram));
                }
            }
            Event::HandshakeDataReady | Event::Stream(_) | Event::DatagramsUnblocked => {}
        }
    }

    /// Reads what has come in order, up to one byte more than any request has.
    fn read(&mut self, events: &mut Vec<LinkEvent>) {
        let Some(id) = self.stream else { return };
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        let before = self.inbox.len();
        while self.inbox.len() <= JOIN_REQUEST_BYTES_MAX {
            match chunks.next(JOIN_REQUEST_BYTES_MAX + 1 - self.inbox.len()) {
                Ok(Some(chunk)) => self.inbox.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(ReadError::Blocked | ReadError::Reset(_)) => break,
            }
        }
        // Window updates leave with the next packet.
        let _ = chunks.finalize();
        if self.inbox.len() > before {
            events.push(LinkEvent::Stream);
        }
    }

    fn write(&mut self) {
        let Some(id) = self.stream else { return };
        let mut stream = self.connection.send_stream(id);
        while !self.outbox.is_empty() {
            match stream.write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                // Blocked: the event comes when there is room. Stopped or closed: nobody wants it.
                Err(_) => return,
            }
        }
        if !std::mem::replace(&mut self.is_finished, true) {
            let _ = stream.finish();
        }
    }
}
