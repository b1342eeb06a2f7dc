//! Packing what is due into packets: control first, then unreliable, reliable, and bulk in the room that is left.

use protocol::wire::{CloseReason, FRAMES_BYTES_MAX, Frame};

use super::acks::Carried;
use super::closing::Phase;
use super::limits::BULK_INTERVAL;
use super::quic::Room;
use super::session::Session;
use crate::Micros;

/// The frames of one packet in the making.
struct Packing {
    frames: Vec<u8>,
    carried: Vec<Carried>,
    frames_max: usize,
}

impl Packing {
    fn new(frames_max: usize) -> Self {
        Self { frames: Vec::with_capacity(frames_max), carried: Vec::new(), frames_max }
    }

    fn room(&self) -> usize {
        self.frames_max.saturating_sub(self.frames.len())
    }

    fn put(&mut self, frame: &Frame<'_>) {
        frame.encode(&mut self.frames);
    }
}

impl Session {
    /// Packs everything that is due into packets; with `flush`, the payloads that were never sent as well. A pure ack
    /// leaves only when its time has come.
    pub(super) fn transmit(&mut self, now: Micros, flush: bool, mut room: Room, out: &mut Vec<Vec<u8>>) {
        self.advance_closing(now);
        for _ in 0..room.packets {
            if self.has_ended() {
                return;
            }
            let mut packing = Packing::new(room.frames);
            self.pack_control(now, &mut packing);
            if matches!(self.phase, Phase::Open | Phase::Lingering { .. }) {
                self.pack_payloads(now, flush, &mut room.bulk, &mut packing);
            }
            let ack_is_due = !self.phase.is_closing() && self.received.due().is_some_and(|due| due <= now);
            if packing.frames.is_empty() && !ack_is_due {
                return;
            }
            let Some(packet) = self.seal(now, &packing.frames, packing.carried) else {
                self.close(now, CloseReason::Protocol);
                self.phase = Phase::Ended;
                return;
            };
            out.push(packet);
        }
    }

    /// A packet of its own for one frame, for an address that is not the session's.
    pub(super) fn probe(&mut self, now: Micros, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let mut packing = Packing::new(FRAMES_BYTES_MAX);
        packing.put(frame);
        self.seal(now, &packing.frames, packing.carried)
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
            while let Some(unreliable) = self.unreliable.pop(packing.room()) {
                packing.put(&Frame::Unreliable(&unreliable.payload));
                packing.carried.extend(unreliable.tag.map(Carried::Unreliable));
            }
        }
        // Lingering sends what was queued before the close, flush or not: nobody will call it again.
        let new = flush || matches!(self.phase, Phase::Lingering { .. });
        while let Some(due) = self.reliable.next(now, &self.rtt, new, packing.room()) {
            packing.put(&due.frame);
            packing.carried.push(Carried::Reliable(due.id));
            self.stats.resent += u64::from(due.is_resend);
        }
        self.pack_bulk(now, bulk_room, packing);
        if packing.frames.is_empty() && self.is_open() && self.take_ping(now) {
            packing.put(&Frame::Ping);
        }
    }

    /// Bulk takes what room is left in the packet, as long as the carrier has any for it.
    fn pack_bulk(&mut self, now: Micros, room: &mut usize, packing: &mut Packing) {
        let before = packing.frames.len();
        while packing.frames.len() - before < *room
            && let Some(due) = self.bulk.next(now, &self.rtt, packing.room())
        {
            packing.put(&due.frame);
            packing.carried.push(Carried::Bulk { transfer: due.transfer, chunk: due.chunk });
            self.stats.resent += u64::from(due.is_resend);
        }
        *room = room.saturating_sub(packing.frames.len() - before);
        if *room == 0 {
            self.bulk_waits_until = now + BULK_INTERVAL;
        }
    }
}
