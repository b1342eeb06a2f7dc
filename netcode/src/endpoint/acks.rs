//! Both directions of acknowledgement: what we received and must acknowledge, what we sent and wait for.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::wire::Acks;
use smallvec::SmallVec;

use super::limits::{ACK_DELAY_MAX, ACK_EVERY, LOST_AFTER, SENT_PACKETS_MAX};
use crate::Micros;

/// What was received, as the acks of the next packet say it.
#[derive(Debug, Default)]
pub(super) struct ReceivedPackets {
    newest: u32,
    bits: u32,
    newest_at: Micros,
    /// Packets that want an ack and have none.
    owed: u32,
    due: Option<Micros>,
}

impl ReceivedPackets {
    /// Notes an authenticated packet; `wants_ack`: it holds more than acks.
    pub(super) fn note(&mut self, now: Micros, sequence: u32, wants_ack: bool) {
        let is_newest = sequence > self.newest;
        if is_newest {
            let steps = sequence - self.newest;
            self.bits = self.bits.checked_shl(steps).unwrap_or(0);
            if self.newest != 0 && steps <= 32 {
                self.bits |= 1 << (steps - 1);
            }
            self.newest = sequence;
            self.newest_at = now;
        } else if (1..=32).contains(&(self.newest - sequence)) {
            self.bits |= 1 << (self.newest - sequence - 1);
        }
        if wants_ack {
            self.owed += 1;
            let due = if self.owed >= ACK_EVERY || !is_newest { now } else { now + ACK_DELAY_MAX };
            self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    /// Something asked for an answer at once.
    pub(super) fn note_urgent(&mut self, now: Micros) {
        self.due = Some(now);
    }

    /// When an ack must leave, carried or not.
    pub(super) fn due(&self) -> Option<Micros> {
        self.due
    }

    /// The acks for a packet that leaves now.
    pub(super) fn take(&mut self, now: Micros) -> Acks {
        self.owed = 0;
        self.due = None;
        let delay = now.since(self.newest_at).as_micros() / 100;
        Acks { newest: self.newest, bits: self.bits, delay_100us: u16::try_from(delay).unwrap_or(u16::MAX) }
    }
}

/// What a sent packet carried that somebody wants to know the fate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// An unreliable payload with this tag.
    Unreliable(u32),
    /// A reliable segment.
    Reliable(u32),
    /// A chunk of a bulk transfer.
    Bulk {
        /// The transfer.
        transfer: u32,
        /// The chunk.
        chunk: u16,
    },
    /// Where the reliable streams go on.
    Resumed,
}

/// What one packet carried; most carry one thing.
pub(super) type CarriedList = SmallVec<[Carried; 4]>;

/// A packet that is not acknowledged yet.
#[derive(Debug)]
struct SentPacket {
    sequence: u32,
    at: Micros,
    carried: CarriedList,
    acked: bool,
    /// Its content was reported lost; the ack may still come.
    lost: bool,
}

/// The packets that wait for their ack: those that carry more than acks.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    /// By sequence.
    packets: VecDeque<SentPacket>,
    newest_acked: u32,
}

impl SentPackets {
    pub(super) fn note(&mut self, now: Micros, sequence: u32, carried: CarriedList) {
        self.packets.push_back(SentPacket { sequence, at: now, carried, acked: false, lost: false });
    }

    /// Takes what an ack says about one sequence. Returns when the packet was sent and what it carried, the first time.
    pub(super) fn acknowledge(&mut self, sequence: u32) -> Option<(Micros, CarriedList)> {
        self.newest_acked = self.newest_acked.max(sequence);
        let place = self.packets.binary_search_by_key(&sequence, |packet| packet.sequence).ok()?;
        let packet = &mut self.packets[place];
        if packet.acked {
            return None;
        }
        packet.acked = true;
        Some((packet.at, std::mem::take(&mut packet.carried)))
    }

    /// Calls `lost` with the time and content of each packet that is older than `late_after` while one sent three packets
    /// later was acknowledged (RFC 9002, 6.1): once per packet. Should its ack come after all, it counts.
    pub(super) fn find_lost(&mut self, now: Micros, late_after: Duration, mut lost: impl FnMut(Micros, Carried)) {
        for packet in &mut self.packets {
            if u64::from(packet.sequence) + 3 > u64::from(self.newest_acked) || now.since(packet.at) < late_after {
                break;
            }
            if !packet.acked && !packet.lost {
                packet.lost = true;
                packet.carried.iter().for_each(|carried| lost(packet.at, *carried));
            }
        }
    }

    /// Forgets packets that can no longer be acknowledged; calls `resolved` with whether each arrived.
    pub(super) fn settle(&mut self, now: Micros, mut resolved: impl FnMut(bool)) {
        while let Some(oldest) = self.packets.front() {
            let out_of_reach = u64::from(oldest.sequence) + 32 < u64::from(self.newest_acked);
            let is_lost = out_of_reach || now.since(oldest.at) > LOST_AFTER || self.packets.len() > SENT_PACKETS_MAX;
            if !oldest.acked && !is_lost {
                break;
            }
            resolved(oldest.acked);
            self.packets.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use smallvec::smallvec;

    use super::*;

    proptest! {
        #[test]
        fn acks_name_what_was_received_among_the_newest_33(order in proptest::collection::vec(1u32..200, 1..150)) {
            let (mut received, mut model) = (ReceivedPackets::default(), BTreeSet::new());
            for sequence in order {
                received.note(Micros(5), sequence, true);
                model.insert(sequence);
            }
            let newest = *model.last().unwrap();
            let expected: Vec<u32> = model.range(newest.saturating_sub(32)..).rev().copied().collect();
            prop_assert_eq!(received.take(Micros(5)).sequences().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn an_ack_is_due_after_25_ms_or_eight_packets_or_a_gap_filled() {
        let mut received = ReceivedPackets::default();
        received.note(Micros(0), 1, false);
        assert_eq!(received.due(), None);
        received.note(Micros(0), 2, true);
        received.note(Micros(1_000), 3, true);
        assert_eq!(received.due(), Some(Micros(25_000)));
        for sequence in 4..10 {
            received.note(Micros(2_000), sequence, true);
        }
        assert_eq!(received.due(), Some(Micros(2_000)));
        let acks = received.take(Micros(3_050));
        assert_eq!((acks.newest, acks.delay_100us, received.due()), (9, 10, None));
        received.note(Micros(4_000), 12, true);
        received.note(Micros(5_000), 11, true);
        assert_eq!(received.due(), Some(Micros(5_000)));
    }

    #[test]
    fn a_packet_is_lost_when_three_later_ones_arrived_and_it_is_late() {
        let mut sent = SentPackets::default();
        for sequence in 1..=6 {
            sent.note(Micros(u64::from(sequence)), sequence, smallvec![Carried::Reliable(sequence)]);
        }
        let mut lost = Vec::new();
        sent.acknowledge(5);
        sent.find_lost(Micros(101), Duration::from_micros(100), |at, carried| lost.push((at, carried)));
        assert_eq!(
            lost,
            [(Micros(1), Carried::Reliable(1))],
            "the second is not late yet, the third too near the newest"
        );
        sent.find_lost(Micros(500), Duration::from_micros(100), |at, carried| lost.push((at, carried)));
        assert_eq!(lost[1..], [(Micros(2), Carried::Reliable(2))]);
        assert!(sent.acknowledge(1).is_some(), "a late ack counts all the same");
    }

    #[test]
    fn each_packet_is_settled_once_as_arrived_or_lost() {
        let mut sent = SentPackets::default();
        for sequence in 1..=50 {
            sent.note(Micros(u64::from(sequence)), sequence, smallvec![Carried::Reliable(sequence)]);
        }
        assert_eq!(sent.acknowledge(40), Some((Micros(40), smallvec![Carried::Reliable(40)])));
        assert_eq!(sent.acknowledge(40), None);
        assert_eq!(sent.acknowledge(2).map(|(at, _)| at), Some(Micros(2)));
        let mut fates = Vec::new();
        sent.settle(Micros(50), |arrived| fates.push(arrived));
        assert_eq!(fates, [false, true, false, false, false, false, false]);
        fates.clear();
        sent.settle(Micros(10_000_000), |arrived| fates.push(arrived));
        assert_eq!((fates.len(), fates.iter().filter(|arrived| **arrived).count()), (43, 1));
    }
}
