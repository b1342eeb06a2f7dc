//! Packing what is due into packets: control first, then unreliable, reliable, and bulk in the room that is left.

use protocol::wire::{CloseReason, FRAMES_BYTES_MAX, Frame};

use super::acks::{Carried, CarriedList};
use super::buffers::Buffers;
use super::closing::Phase;
use super::limits::BULK_INTERVAL;
use super::quic::Room;
use super::resuming::Resuming;
use super::session::Session;
use crate::Micros;

/// One packet in the making: room for what goes before the frames, then the frames.
pub(super) struct Packing {
    pub(super) packet: Vec<u8>,
    pub(super) carried: CarriedList,
    head_bytes: usize,
    frames_max: usize,
    /// Bytes of frames that only go along with others.
    along: usize,
}

impl Packing {
    /// In an empty `buffer`.
    fn new(mut buffer: Vec<u8>, head_bytes: usize, frames_max: usize) -> Self {
        buffer.resize(head_bytes, 0);
        Self { packet: buffer, carried: CarriedList::new(), head_bytes, frames_max, along: 0 }
    }

    /// Bytes of frames.
    fn len(&self) -> usize {
        self.packet.len() - self.head_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no frame asks for a packet.
    fn is_idle(&self) -> bool {
        self.len() == self.along
    }

    fn room(&self) -> usize {
        self.frames_max.saturating_sub(self.len())
    }

    pub(super) fn put(&mut self, frame: &Frame<'_>) {
        frame.encode(&mut self.packet);
    }
}

impl Session {
    /// Packs everything that is due into packets; with `flush`, the payloads that were never sent as well. A pure ack
    /// leaves only when its time has come.
    pub(super) fn transmit(
        &mut self,
        now: Micros,
        flush: bool,
        mut room: Room,
        buffers: &mut Buffers,
        out: &mut Vec<Vec<u8>>,
    ) {
        self.advance_closing(now);
        room.bulk = room.bulk.min(room.bulk_in_flight.saturating_sub(self.bulk.bytes_in_flight(now)));
        for _ in 0..room.packets {
            if self.has_ended() {
                return;
            }
            let mut packing = self.packing(room.frames, buffers);
            let is_resume_new = self.pack_resumed(&mut packing);
            self.pack_control(now, &mut packing);
            if matches!(self.phase, Phase::Open | Phase::Lingering { .. }) {
                self.pack_payloads(now, flush, &mut room.bulk, &mut packing);
            }
            let ack_is_due = !self.phase.is_closing() && self.received.due().is_some_and(|due| due <= now);
            let is_due = !packing.is_idle() || ack_is_due || is_resume_new;
            if !is_due {
                buffers.give(packing.packet);
                return;
            }
            let Some(packet) = self.seal(now, packing) else {
                self.close(now, CloseReason::Protocol);
                self.phase = Phase::Ended;
                return;
            };
            out.push(packet);
        }
    }

    /// A packet of its own for one frame, for an address that is not the session's.
    pub(super) fn probe(&mut self, now: Micros, frame: &Frame<'_>, buffers: &mut Buffers) -> Option<Vec<u8>> {
        let mut packing = self.packing(FRAMES_BYTES_MAX, buffers);
        packing.put(frame);
        self.seal(now, packing)
    }

    /// An empty packet.
    pub(super) fn packing(&self, frames_max: usize, buffers: &mut Buffers) -> Packing {
        Packing::new(buffers.packet(), self.wrapping.head_bytes(), frames_max)
    }

    /// Where the reliable streams go on: in every packet until it is acknowledged, ahead of what goes on, so that no
    /// packet needs another one before it. Returns whether it was never sent.
    fn pack_resumed(&mut self, packing: &mut Packing) -> bool {
        let Resuming::Telling { next, received, is_new } = &mut self.resuming else { return false };
        packing.put(&Frame::Resumed { next: *next, received: *received });
        packing.along = packing.len();
        packing.carried.push(Carried::Resumed);
        std::mem::take(is_new)
    }

    fn pack_control(&mut self, now: Micros, packing: &mut Packing) {
        if let Some(reason) = self.take_close(now) {
            packing.put(&Frame::Close(reason));
        }
        for response in self.path_responses.drain(..) {
            packing.put(&Frame::PathResponse(response));
        }
    }

    fn pack_payloads(&mut self, now: Micros, flush: bool, bulk_room: &mut usize, packing: &mut Packing) {
        if flush {
            while let Some((payload, tag)) = self.unreliable.pop(packing.room()) {
                packing.put(&Frame::Unreliable(payload));
                packing.carried.extend(tag.map(Carried::Unreliable));
            }
        }
        // Lingering sends what was queued before the close, flush or not: nobody will call it again.
        let new = flush || matches!(self.phase, Phase::Lingering { .. });
        while self.resuming != Resuming::Asked
            && let Some(due) = self.streams.sender.next(now, &self.rtt, new, packing.room())
        {
            packing.put(&due.frame);
            packing.carried.push(Carried::Reliable(due.id));
            self.stats.resent += u64::from(due.is_resend);
        }
        self.pack_bulk(now, bulk_room, packing);
        if packing.is_idle() && self.is_open() && self.take_ping(now) {
            packing.put(&Frame::Ping);
        }
    }

    /// Bulk takes what room is left in the packet, as long as the carrier has any for it.
    fn pack_bulk(&mut self, now: Micros, room: &mut usize, packing: &mut Packing) {
        let before = packing.len();
        while packing.len() - before < *room
            && let Some(due) = self.bulk.next(now, &self.rtt, packing.room())
        {
            packing.put(&due.frame);
            packing.carried.push(Carried::Bulk { transfer: due.transfer, chunk: due.chunk });
            self.stats.resent += u64::from(due.is_resend);
        }
        *room = room.saturating_sub(packing.len() - before);
        if *room == 0 {
            self.bulk_waits_until = now + BULK_INTERVAL;
        }
    }
}
