//! Messages that arrive exactly once and in order: a numbered stream of segments, resent until acknowledged.

use std::collections::{BTreeMap, VecDeque};

use protocol::wire::{Frame, RELIABLE_SEGMENT_BYTES_MAX, WireError};

use crate::Micros;
use crate::endpoint::limits::{RELIABLE_BYTES_MAX, RELIABLE_SEGMENTS_MAX};
use crate::endpoint::rtt::Rtt;
use crate::endpoint::{MESSAGE_BYTES_MAX, SendError};

/// The sending half.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct ReliableSender {
    /// Not acknowledged, or behind one that is not; the front has number `first_id`.
    segments: VecDeque<Segment>,
    first_id: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Segment {
    payload: Vec<u8>,
    more: bool,
    /// When it is resent; `None`: it was never sent.
    due: Option<Micros>,
    /// When it was last sent.
    sent_at: Micros,
    resends: u32,
    acked: bool,
}

/// A segment that is due.
pub(in crate::endpoint) struct DueSegment<'a> {
    pub(in crate::endpoint) id: u32,
    pub(in crate::endpoint) frame: Frame<'a>,
    pub(in crate::endpoint) is_resend: bool,
}

impl ReliableSender {
    /// Queues a message, whole or not at all.
    pub(in crate::endpoint) fn push(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLong { bytes: payload.len() });
        }
        let count = payload.len().div_ceil(RELIABLE_SEGMENT_BYTES_MAX).max(1);
        if self.segments.len() + count > RELIABLE_SEGMENTS_MAX || self.bytes + payload.len() > RELIABLE_BYTES_MAX {
            return Err(SendError::Full);
        }
        self.bytes += payload.len();
        for number in 0..count {
            let end = payload.len().min((number + 1) * RELIABLE_SEGMENT_BYTES_MAX);
            let part = payload[number * RELIABLE_SEGMENT_BYTES_MAX..end].to_vec();
            let more = number + 1 < count;
            let (due, sent_at, resends, acked) = (None, Micros::ZERO, 0, false);
            self.segments.push_back(Segment { payload: part, more, due, sent_at, resends, acked });
        }
        Ok(())
    }

    /// The next segment to send, if it fits into `room` bytes: one whose resend is due or, when `new` is set, one that
    /// was never sent. It counts as sent.
    pub(in crate::endpoint) fn next(
        &mut self,
        now: Micros,
        rtt: &Rtt,
        new: bool,
        room: usize,
    ) -> Option<DueSegment<'_>> {
        let is_due = |segment: &Segment| !segment.acked && segment.due.map_or(new, |due| due <= now);
        let place = self.segments.iter().position(is_due)?;
        let segment = &mut self.segments[place];
        let id = self.first_id.wrapping_add(place as u32);
        let frame = Frame::Reliable { id, more: segment.more, payload: &segment.payload };
        if frame.len() > room {
            return None;
        }
        let is_resend = segment.due.is_some();
        if is_resend {
            segment.resends += 1;
        }
        segment.sent_at = now;
        segment.due = Some(now + rtt.resend_after_tries(segment.resends));
        Some(DueSegment { id, frame, is_resend })
    }

    /// The peer has this segment.
    pub(in crate::endpoint) fn acknowledge(&mut self, id: u32) {
        if let Some(segment) = self.segments.get_mut(id.wrapping_sub(self.first_id) as usize) {
            segment.acked = true;
        }
        while self.segments.front().is_some_and(|segment| segment.acked) {
            let segment = self.segments.pop_front().expect("it has a front");
            self.bytes -= segment.payload.len();
            self.first_id = self.first_id.wrapping_add(1);
        }
    }

    /// The packet of `sent_at` with this segment was lost, though later ones arrive: it is due at once, unless it was sent
    /// again since.
    pub(in crate::endpoint) fn lost(&mut self, id: u32, sent_at: Micros) {
        if let Some(segment) = self.segments.get_mut(id.wrapping_sub(self.first_id) as usize)
            && segment.sent_at == sent_at
        {
            segment.due = Some(Micros::ZERO);
            segment.resends = 0;
        }
    }

    /// When the next resend is due.
    pub(in crate::endpoint) fn due(&self) -> Option<Micros> {
        self.segments.iter().filter(|segment| !segment.acked).filter_map(|segment| segment.due).min()
    }

    /// Segments that are not acknowledged, or wait behind one that is not.
    pub(in crate::endpoint) fn len(&self) -> usize {
        self.segments.len()
    }
}

/// The receiving half.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct ReliableReceiver {
    next_id: u32,
    /// Segments that came before their turn.
    early: BTreeMap<u32, (bool, Vec<u8>)>,
    early_bytes: usize,
    /// The message that is not complete yet.
    partial: Vec<u8>,
}

impl ReliableReceiver {
    /// Takes a segment; appends every message that is complete now.
    ///
    /// # Errors
    /// [`WireError::Malformed`] for what no honest sender does: too far ahead, too much at once, too long a message.
    pub(in crate::endpoint) fn take(
        &mut self,
        id: u32,
        more: bool,
        payload: &[u8],
        messages: &mut Vec<Vec<u8>>,
    ) -> Result<(), WireError> {
        let Some(ahead) = id.checked_sub(self.next_id) else { return Ok(()) };
        if ahead as usize >= RELIABLE_SEGMENTS_MAX || id == u32::MAX {
            return Err(WireError::Malformed);
        }
        if ahead > 0 {
            if !self.early.contains_key(&id) {
                self.early_bytes += payload.len();
                if self.early_bytes > RELIABLE_BYTES_MAX {
                    return Err(WireError::Malformed);
                }
                self.early.insert(id, (more, payload.to_vec()));
            }
            return Ok(());
        }
        self.append(more, payload, messages)?;
        while let Some((more, payload)) = self.early.remove(&self.next_id) {
            self.early_bytes -= payload.len();
            self.append(more, &payload, messages)?;
        }
        Ok(())
    }

    fn append(&mut self, more: bool, payload: &[u8], messages: &mut Vec<Vec<u8>>) -> Result<(), WireError> {
        if self.partial.len() + payload.len() > MESSAGE_BYTES_MAX {
            return Err(WireError::Malformed);
        }
        self.next_id += 1;
        self.partial.extend_from_slice(payload);
        if !more {
            messages.push(std::mem::take(&mut self.partial));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_queue_is_bounded_by_segments_and_by_bytes() {
        let mut sender = ReliableSender::default();
        for _ in 0..RELIABLE_SEGMENTS_MAX {
            sender.push(b"x").unwrap();
        }
        assert_eq!(sender.push(b"x"), Err(SendError::Full));
        let mut sender = ReliableSender::default();
        for _ in 0..4 {
            sender.push(&[0; MESSAGE_BYTES_MAX]).unwrap();
        }
        assert_eq!(sender.push(b"x"), Err(SendError::Full));
        sender.push(b"").unwrap();
        assert_eq!(sender.push(&[0; MESSAGE_BYTES_MAX + 1]), Err(SendError::TooLong { bytes: MESSAGE_BYTES_MAX + 1 }));
    }

    #[test]
    fn a_resend_waits_longer_each_time_and_stops_with_the_ack() {
        let (mut sender, rtt) = (ReliableSender::default(), Rtt::default());
        sender.push(b"hello").unwrap();
        assert!(sender.next(Micros(0), &rtt, false, 2_000).is_none(), "nothing new outside a flush");
        assert!(!sender.next(Micros(0), &rtt, true, 2_000).unwrap().is_resend);
        assert_eq!(sender.due(), Some(Micros(200_000)));
        assert!(sender.next(Micros(199_999), &rtt, true, 2_000).is_none());
        assert!(sender.next(Micros(200_000), &rtt, false, 2_000).unwrap().is_resend);
        assert_eq!(sender.due(), Some(Micros(600_000)));
        sender.acknowledge(0);
        assert_eq!((sender.due(), sender.len(), sender.bytes), (None, 0, 0));
    }

    #[test]
    fn what_no_honest_sender_does_is_refused() {
        let mut receiver = ReliableReceiver::default();
        let out = &mut Vec::new();
        assert!(receiver.take(256, false, b"far", out).is_err());
        for id in 0..16 {
            receiver.take(id, true, &[0; 1_024], out).unwrap();
        }
        assert!(receiver.take(16, false, b"x", out).is_err(), "a message over 16 KiB");
        let mut receiver = ReliableReceiver::default();
        let results: Vec<_> = (1..80).map(|id| receiver.take(id, false, &[0; 1_024], out).is_ok()).collect();
        assert_eq!(results.iter().filter(|ok| **ok).count(), 64, "early bytes are bounded");
    }

    proptest! {
        #[test]
        fn any_order_with_repeats_gives_each_message_once_in_order(
            lengths in proptest::collection::vec(0usize..3_000, 1..12),
            order in proptest::collection::vec(any::<u16>(), 0..200),
        ) {
            let sent: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, length)| vec![n as u8; *length]).collect();
            let (mut sender, rtt) = (ReliableSender::default(), Rtt::default());
            for message in &sent {
                sender.push(message).unwrap();
            }
            let mut segments = Vec::new();
            while let Some(due) = sender.next(Micros(0), &rtt, true, 2_000) {
                let Frame::Reliable { id, more, payload } = due.frame else { unreachable!() };
                segments.push((id, more, payload.to_vec()));
            }
            let mut receiver = ReliableReceiver::default();
            let mut got = Vec::new();
            let shuffled = order.iter().map(|place| usize::from(*place) % segments.len()).chain(0..segments.len());
            for place in shuffled {
                let (id, more, payload) = &segments[place];
                receiver.take(*id, *more, payload, &mut got).unwrap();
            }
            prop_assert_eq!(got, sent);
        }
    }
}
