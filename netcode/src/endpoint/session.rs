//! The half that both ends of a session share: packets under session keys, acks, channels, timers.
//!
//! A session knows no address and no connection-id table; [`server`](super::server) and [`client`](super::client) give
//! it the datagrams that are for it and send what it packs.

use std::collections::VecDeque;

use protocol::wire::{
    Acks, CloseReason, ConnectionId, DataHeader, Frame, Frames, QUIC_OVERHEAD_BYTES, SEQUENCE_MAX, WireError,
};

use super::acks::{Carried, ReceivedPackets, SentPackets};
use super::buffers::Buffers;
use super::channel::bulk::{BulkReceiver, BulkSender};
use super::channel::reliable::Streams;
use super::channel::unreliable::UnreliableQueue;
use super::closing::Phase;
use super::limits::{
    CLIENT_KEEP_ALIVE, CLOSED_AFTER, CONFIRM_INTERVAL, HANDSHAKE_TIMEOUT, SERVER_KEEP_ALIVE, SILENT_AFTER,
};
use super::noise::SessionKeys;
use super::packing::Packing;
use super::replay_window::ReplayWindow;
use super::resuming::Resuming;
use super::rtt::Rtt;
use super::wrapping::Wrapping;
use super::{DropReason, SendError, SessionStats};
use crate::Micros;

/// Which end of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// What happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SessionEvent {
    Unreliable(Vec<u8>),
    Message(Vec<u8>),
    Bulk(Vec<u8>),
    Delivered(u32),
    Silent,
    Heard,
    Closed { reason: CloseReason, by_peer: bool },
}

/// One end of a session.
pub(super) struct Session {
    pub(super) role: Role,
    pub(super) wrapping: Wrapping,
    pub(super) next_sequence: u32,
    replay: ReplayWindow,
    pub(super) received: ReceivedPackets,
    pub(super) sent: SentPackets,
    pub(super) rtt: Rtt,
    pub(super) unreliable: UnreliableQueue,
    pub(super) streams: Streams,
    pub(super) resuming: Resuming,
    pub(super) bulk: BulkSender,
    bulk_in: BulkReceiver,
    pub(super) path_responses: VecDeque<[u8; 8]>,
    /// The newest answer to a challenge of ours.
    path_answer: Option<[u8; 8]>,
    pub(super) phase: Phase,
    /// When the last packet that wants an ack was sent.
    last_asked: Micros,
    last_heard: Micros,
    /// Whether the peer has ever sent a packet under these keys.
    pub(super) is_confirmed: bool,
    /// Whether the peer has acknowledged a packet of ours.
    pub(super) is_heard: bool,
    is_silent: bool,
    wants_ping: bool,
    pub(super) stats: SessionStats,
    events: VecDeque<SessionEvent>,
    /// Bulk found no room in the carrier: it asks again then.
    pub(super) bulk_waits_until: Micros,
}

impl Session {
    /// A native session that begins now. Each pair of keys may make one session only: sequences begin at 1.
    pub(super) fn new(now: Micros, role: Role, peer_id: ConnectionId, keys: &SessionKeys) -> Self {
        Self::wrapped(now, role, Wrapping::sealed(role, peer_id, keys))
    }

    /// A session over a QUIC connection of its own, which seals its packets and knows its peer.
    pub(super) fn over_quic(now: Micros, role: Role) -> Self {
        Self::wrapped(now, role, Wrapping::Quic)
    }

    fn wrapped(now: Micros, role: Role, wrapping: Wrapping) -> Self {
        Self {
            role,
            wrapping,
            next_sequence: 1,
            replay: ReplayWindow::new(),
            received: ReceivedPackets::default(),
            sent: SentPackets::default(),
            rtt: Rtt::default(),
            unreliable: UnreliableQueue::default(),
            streams: Streams::default(),
            resuming: Resuming::No,
            bulk: BulkSender::new(),
            bulk_in: BulkReceiver::default(),
            path_responses: VecDeque::new(),
            path_answer: None,
            phase: Phase::Open,
            last_asked: now,
            last_heard: now,
            is_confirmed: false,
            is_heard: false,
            is_silent: false,
            wants_ping: false,
            stats: SessionStats::default(),
            events: VecDeque::new(),
            bulk_waits_until: Micros::ZERO,
        }
    }

    /// Takes a packet that a QUIC datagram carried. Returns whether it is the newest so far.
    pub(super) fn receive_plain(
        &mut self,
        now: Micros,
        packet: &[u8],
        buffers: &mut Buffers,
    ) -> Result<bool, DropReason> {
        let (sequence, plain) = packet.split_first_chunk().ok_or(DropReason::TooShort)?;
        let sequence = u32::from_le_bytes(*sequence);
        if packet.len() < QUIC_OVERHEAD_BYTES {
            return Err(DropReason::TooShort);
        }
        if !self.replay.is_fresh(sequence) {
            return Err(DropReason::Replayed);
        }
        self.take_plain(now, sequence, packet.len(), plain, buffers)
    }

    /// Takes a packet with this session's connection id. Returns whether it is the newest so far.
    pub(super) fn receive(
        &mut self,
        now: Micros,
        header: DataHeader,
        packet: &[u8],
        buffers: &mut Buffers,
    ) -> Result<bool, DropReason> {
        if !self.replay.is_fresh(header.sequence) {
            return Err(DropReason::Replayed);
        }
        let mut opened = buffers.packet();
        opened.extend_from_slice(packet);
        let result = match self.wrapping.open(header.sequence, &mut opened) {
            Some(plain) => self.take_plain(now, header.sequence, packet.len(), plain, buffers),
            None => Err(DropReason::BadAuth),
        };
        buffers.give(opened);
        result
    }

    fn take_plain(
        &mut self,
        now: Micros,
        sequence: u32,
        bytes: usize,
        plain: &[u8],
        buffers: &mut Buffers,
    ) -> Result<bool, DropReason> {
        let is_newest = self.replay.advance(sequence);
        self.stats.packets_in += 1;
        self.stats.bytes_in += bytes as u64;
        self.is_confirmed = true;
        self.last_heard = now;
        if !self.phase.takes_packets() {
            return Ok(is_newest);
        }
        if std::mem::take(&mut self.is_silent) && self.is_open() {
            self.events.push_back(SessionEvent::Heard);
        }
        if self.take_content(now, sequence, plain, buffers).is_err() {
            self.close(now, CloseReason::Protocol);
            return Err(DropReason::Malformed);
        }
        Ok(is_newest)
    }

    fn take_content(
        &mut self,
        now: Micros,
        sequence: u32,
        plain: &[u8],
        buffers: &mut Buffers,
    ) -> Result<(), WireError> {
        let (acks, frames) = Acks::decode(plain)?;
        if acks.newest >= self.next_sequence {
            return Err(WireError::Malformed);
        }
        // All or nothing: a packet with one bad frame has no effect.
        for frame in Frames::new(frames) {
            frame?;
        }
        self.received.note(now, sequence, !frames.is_empty());
        self.take_acks(now, acks);
        for frame in Frames::new(frames) {
            self.take_frame(now, frame?, buffers)?;
        }
        Ok(())
    }

    fn take_acks(&mut self, now: Micros, acks: Acks) {
        self.is_heard |= acks.newest > 0;
        for sequence in acks.sequences() {
            let Some((at, carried)) = self.sent.acknowledge(sequence) else { continue };
            if sequence == acks.newest {
                let held = std::time::Duration::from_micros(u64::from(acks.delay_100us) * 100);
                self.rtt.sample(now.since(at), held);
            }
            for item in carried {
                match item {
                    Carried::Unreliable(tag) if self.is_open() => self.events.push_back(SessionEvent::Delivered(tag)),
                    Carried::Unreliable(_) => {}
                    Carried::Reliable(id) => self.streams.sender.acknowledge(id),
                    Carried::Bulk { transfer, chunk } => self.bulk.acknowledge(transfer, chunk),
                    Carried::Resumed => self.resuming = Resuming::No,
                }
            }
        }
        self.settle(now);
    }

    fn take_frame(&mut self, now: Micros, frame: Frame<'_>, buffers: &mut Buffers) -> Result<(), WireError> {
        if !self.is_open() && !matches!(frame, Frame::Close(_)) {
            return Ok(());
        }
        match frame {
            Frame::Padding | Frame::Ping => {}
            Frame::Unreliable(payload) => self.events.push_back(SessionEvent::Unreliable(buffers.copy(payload))),
            Frame::Resumed { next, received } => self.resumed(next, received)?,
            // Whoever has not said where its stream goes on may not go on with it.
            Frame::Reliable { .. } if self.resuming == Resuming::Asked => return Err(WireError::Malformed),
            Frame::Reliable { id, more, payload } => {
                let mut messages = Vec::new();
                self.streams.receiver.take(id, more, payload, &mut messages)?;
                self.events.extend(messages.into_iter().map(SessionEvent::Message));
            }
            Frame::Bulk { transfer, chunk, chunks, payload } => {
                // A server holds no megabytes for its clients.
                if self.role == Role::Server {
                    return Err(WireError::Malformed);
                }
                let complete = self.bulk_in.take(transfer, chunk, chunks, payload)?;
                self.events.extend(complete.map(SessionEvent::Bulk));
            }
            Frame::Close(reason) => self.closed_by_peer(reason),
            Frame::PathChallenge(bytes) => {
                // The newest challenge is the one that counts; a flood of them is answered with one packet.
                self.path_responses.truncate(3);
                self.path_responses.push_front(bytes);
                self.received.note_urgent(now);
            }
            Frame::PathResponse(bytes) => self.path_answer = Some(bytes),
        }
        Ok(())
    }

    /// Finds lost packets, so that what they carried is sent again, and updates the loss statistics.
    pub(super) fn settle(&mut self, now: Micros) {
        let (reliable, bulk) = (&mut self.streams.sender, &mut self.bulk);
        self.sent.find_lost(now, self.rtt.late_after(), |at, carried| match carried {
            Carried::Unreliable(_) | Carried::Resumed => {}
            Carried::Reliable(id) => reliable.lost(id, at),
            Carried::Bulk { transfer, chunk } => bulk.lost(transfer, chunk, at),
        });
        let stats = &mut self.stats;
        self.sent.settle(now, |arrived| {
            // A moving average over about 64 packets.
            stats.loss += (if arrived { 0.0 } else { 1.0 } - stats.loss) / 64.0;
            stats.packets_lost += u64::from(!arrived);
        });
    }

    /// Takes the passing of time: silence, timeouts, the end of closing. Packing what is due is `transmit`'s.
    pub(super) fn handle_timeout(&mut self, now: Micros) {
        self.settle(now);
        self.advance_closing(now);
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        if now >= self.closes_at() || self.next_sequence >= SEQUENCE_MAX - 1_024 {
            let reason = if now >= self.closes_at() { CloseReason::TimedOut } else { CloseReason::Protocol };
            self.close(now, reason);
        } else if !self.is_silent && now >= self.last_heard + SILENT_AFTER {
            self.is_silent = true;
            self.events.push_back(SessionEvent::Silent);
        }
    }

    /// When `handle_timeout` and `transmit` have something to do; `None` when the session has ended.
    pub(super) fn next_timeout(&self) -> Option<Micros> {
        if let Some(closing) = self.phase.next_timeout() {
            let resend = if matches!(self.phase, Phase::Lingering { .. }) { self.reliable_due() } else { None };
            return Some(resend.map_or(closing, |due| due.min(closing)));
        }
        if self.phase.has_ended() {
            return None;
        }
        let silence = if self.is_silent { self.closes_at() } else { self.last_heard + SILENT_AFTER };
        let bulk = self.bulk.due().map(|due| due.max(self.bulk_waits_until));
        let timers = [self.received.due(), self.reliable_due(), bulk, Some(self.keep_alive_at())];
        timers.into_iter().flatten().chain([silence, self.closes_at()]).min()
    }

    pub(super) fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    pub(super) fn take_path_answer(&mut self) -> Option<[u8; 8]> {
        self.path_answer.take()
    }

    pub(super) fn emit(&mut self, event: SessionEvent) {
        self.events.push_back(event);
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.phase.has_ended()
    }

    pub(super) fn send_unreliable(&mut self, payload: &[u8], tag: Option<u32>) -> Result<(), SendError> {
        self.check_open()?;
        self.unreliable.push(payload, tag)
    }

    pub(super) fn send_message(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.check_open()?;
        self.streams.sender.push(payload)
    }

    pub(super) fn send_bulk(&mut self, payload: Vec<u8>) -> Result<(), SendError> {
        self.check_open()?;
        self.bulk.push(payload)
    }

    pub(super) fn stats(&self) -> SessionStats {
        SessionStats {
            rtt: self.rtt.smoothed,
            rtt_min: self.rtt.smallest,
            jitter: self.rtt.jitter,
            reliable_queued: self.streams.sender.len(),
            ..self.stats
        }
    }

    /// Makes the next `transmit` send a Ping: the first packet under the session's keys confirms them.
    pub(super) fn ping_at_once(&mut self) {
        self.wants_ping = true;
    }

    /// Whether a Ping is due. It counts as sent.
    pub(super) fn take_ping(&mut self, now: Micros) -> bool {
        std::mem::take(&mut self.wants_ping) || now >= self.keep_alive_at()
    }

    /// When the next Ping is due if nothing else asks for an ack until then.
    fn keep_alive_at(&self) -> Micros {
        let interval = match self.role {
            Role::Client if !self.is_confirmed => CONFIRM_INTERVAL,
            Role::Client => CLIENT_KEEP_ALIVE,
            Role::Server => SERVER_KEEP_ALIVE,
        };
        self.last_asked + interval
    }

    fn closes_at(&self) -> Micros {
        self.last_heard + if self.is_confirmed { CLOSED_AFTER } else { HANDSHAKE_TIMEOUT }
    }

    fn check_open(&self) -> Result<(), SendError> {
        if self.is_open() { Ok(()) } else { Err(SendError::NotOpen) }
    }

    /// Seals a packet under the next sequence. `None` when the session has no sequence left.
    pub(super) fn seal(&mut self, now: Micros, packing: Packing) -> Option<Vec<u8>> {
        if self.next_sequence > SEQUENCE_MAX {
            return None;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let acks = self.received.take(now).encode();
        let (has_frames, Packing { mut packet, carried, .. }) = (!packing.is_empty(), packing);
        self.wrapping.wrap(sequence, acks, &mut packet);
        if has_frames {
            self.sent.note(now, sequence, carried);
            self.last_asked = now;
        }
        self.stats.packets_out += 1;
        self.stats.bytes_out += packet.len() as u64;
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use protocol::wire::FRAMES_BYTES_MAX;
    use zeroize::Zeroizing;

    use super::*;
    use crate::endpoint::quic::Room;

    fn pair() -> (Session, Session) {
        let keys = SessionKeys { client_to_server: Zeroizing::new([1; 32]), server_to_client: Zeroizing::new([2; 32]) };
        let client = Session::new(Micros(0), Role::Client, [8; 8], &keys);
        (client, Session::new(Micros(0), Role::Server, [9; 8], &keys))
    }

    fn seal(from: &mut Session, now: Micros, frames: &[u8]) -> Option<Vec<u8>> {
        let mut packing = from.packing(FRAMES_BYTES_MAX, &mut Buffers::default());
        packing.packet.extend_from_slice(frames);
        from.seal(now, packing)
    }

    fn receive(to: &mut Session, now: Micros, packet: &[u8]) -> Result<bool, DropReason> {
        let (header, _) = DataHeader::decode(packet).unwrap();
        to.receive(now, header, packet, &mut Buffers::default())
    }

    fn carry(from: &mut Session, to: &mut Session, frames: &[u8]) -> Result<bool, DropReason> {
        let packet = seal(from, Micros(0), frames).unwrap();
        receive(to, Micros(0), &packet)
    }

    #[test]
    fn a_session_ends_before_its_sequences_do() {
        let (mut client, mut server) = pair();
        client.next_sequence = SEQUENCE_MAX - 1_024;
        assert_eq!(carry(&mut client, &mut server, &[]), Ok(true));
        client.handle_timeout(Micros(0));
        let closed = SessionEvent::Closed { reason: CloseReason::Protocol, by_peer: false };
        assert_eq!(client.poll_event(), Some(closed));
        client.next_sequence = SEQUENCE_MAX;
        assert!(seal(&mut client, Micros(0), &[]).is_some());
        assert_eq!(seal(&mut client, Micros(0), &[]), None, "no sequence is used twice");
    }

    #[test]
    fn an_authentic_packet_with_one_bad_frame_has_no_effect_but_the_close() {
        let (mut client, mut server) = pair();
        let mut frames = Vec::new();
        Frame::Unreliable(b"good").encode(&mut frames);
        frames.push(0xFF);
        assert_eq!(carry(&mut client, &mut server, &frames), Err(DropReason::Malformed));
        let closed = SessionEvent::Closed { reason: CloseReason::Protocol, by_peer: false };
        assert_eq!((server.poll_event(), server.poll_event()), (Some(closed), None));
    }

    #[test]
    fn acks_of_packets_never_sent_and_bulk_towards_a_server_break_the_protocol() {
        let (mut client, mut server) = pair();
        server.next_sequence = 10;
        assert_eq!(carry(&mut server, &mut client, &[]), Ok(true));
        server.next_sequence = 5;
        assert_eq!(carry(&mut client, &mut server, &[]), Err(DropReason::Malformed));
        let (mut client, mut server) = pair();
        let mut frames = Vec::new();
        Frame::Bulk { transfer: 0, chunk: 0, chunks: 1, payload: b"map" }.encode(&mut frames);
        assert_eq!(carry(&mut client, &mut server, &frames), Err(DropReason::Malformed));
        assert_eq!(carry(&mut server, &mut client, &frames), Ok(true));
    }

    #[test]
    fn directions_do_not_share_a_key() {
        let (mut client, mut server) = pair();
        let packet = seal(&mut client, Micros(0), &[]).unwrap();
        assert_eq!(receive(&mut client, Micros(0), &packet), Err(DropReason::BadAuth), "a reflected packet");
        assert_eq!(receive(&mut server, Micros(0), &packet), Ok(true));
        assert_eq!(receive(&mut server, Micros(0), &packet), Err(DropReason::Replayed));
    }

    #[test]
    fn a_segment_whose_packet_is_found_lost_does_not_wait_for_its_timer() {
        let (mut client, mut server) = pair();
        let ms = Micros::from_millis;
        let buffers = &mut Buffers::default();
        let mut lost = Vec::new();
        client.send_message(b"message").unwrap();
        for now in [ms(0), ms(200), ms(600)] {
            client.transmit(now, true, Room::NATIVE, buffers, &mut lost);
        }
        assert_eq!(
            (lost.len(), client.streams.sender.due()),
            (3, Some(ms(1_400))),
            "the wait has doubled with each loss"
        );
        for _ in 0..4 {
            let ping = client.probe(ms(650), &Frame::Ping, buffers).unwrap();
            receive(&mut server, ms(650), &ping).unwrap();
        }
        let ack = seal(&mut server, ms(650), &[]).unwrap();
        receive(&mut client, ms(800), &ack).unwrap();
        client.handle_timeout(ms(1_100));
        let mut resent = Vec::new();
        client.transmit(ms(1_100), false, Room::NATIVE, buffers, &mut resent);
        receive(&mut server, ms(1_100), &resent[0]).unwrap();
        assert_eq!(server.poll_event(), Some(SessionEvent::Message(b"message".to_vec())));
    }
}
