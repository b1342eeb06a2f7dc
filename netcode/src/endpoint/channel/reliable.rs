//! Messages that arrive exactly once and in order: a numbered stream of segments, resent until acknowledged.

use std::collections::{BTreeMap, VecDeque};

use protocol::wire::{Frame, RELIABLE_SEGMENT_BYTES_MAX, WireError};

use crate::Micros;
use crate::endpoint::limits::{RELIABLE_BYTES_MAX, RELIABLE_SEGMENTS_MAX};
use crate::endpoint::rtt::Rtt;
use crate::endpoint::{MESSAGE_BYTES_MAX, SendError};

/// Both directions of one end. They outlive the session that they began in: another one goes on with them.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct Streams {
    pub(in crate::endpoint) sender: ReliableSender,
    pub(in crate::endpoint) receiver: ReliableReceiver,
}

/// The two ends cannot have been in one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::endpoint) struct StreamsError;

impl Streams {
    /// Streams that have come so far: `received` segments read, and these messages not acknowledged, from segment `first`.
    pub(in crate::endpoint) fn restore(received: u32, first: u32, outgoing: &[Vec<u8>]) -> Result<Self, StreamsError> {
        let mut streams = Self { sender: ReliableSender::default(), receiver: ReliableReceiver::from(received) };
        streams.sender.first_id = first;
        for message in outgoing {
            streams.sender.push(message).map_err(|_| StreamsError)?;
        }
        Ok(streams)
    }

    /// Goes on in a session whose other end lacks segment `lacks` and those after it. Returns the first segment that is
    /// sent and the first that is lacking here.
    pub(in crate::endpoint) fn go_on(&mut self, lacks: u32) -> (u32, u32) {
        self.receiver.rewind();
        self.sender.skip_to(lacks);
        self.sender.send_again();
        (self.sender.first_id, self.receiver.delivered)
    }

    /// The server has said where it goes on: with segment `next`, and that it has `received` segments.
    pub(in crate::endpoint) fn resumed(&mut self, next: u32, received: u32) -> Result<(), StreamsError> {
        let is_possible = next >= self.receiver.delivered && received >= self.sender.first_id;
        if !is_possible {
            return Err(StreamsError);
        }
        self.receiver = ReliableReceiver::from(next);
        self.sender.skip_to(received);
        // Nothing is left when the server has more than is known here, from a later time than a file was written.
        if self.sender.segments.is_empty() {
            self.sender.first_id = received;
        }
        self.sender.send_again();
        Ok(())
    }
}

/// The sending half.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct ReliableSender {
    /// Whole messages that are not acknowledged, or behind one that is not; the front has number `first_id`.
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
            // Only whole messages go: a peer that comes back counts what it has by messages.
            let segments = self.front_message();
            if !self.segments.iter().take(segments).all(|segment| segment.acked) {
                return;
            }
            self.drop_front(segments);
        }
    }

    /// Segments of the first message.
    fn front_message(&self) -> usize {
        self.segments.iter().take_while(|segment| segment.more).count() + 1
    }

    fn drop_front(&mut self, segments: usize) {
        for segment in self.segments.drain(..segments) {
            self.bytes -= segment.payload.len();
            self.first_id = self.first_id.wrapping_add(1);
        }
    }

    /// The peer has everything before segment `id`: drops the messages that end before it.
    fn skip_to(&mut self, id: u32) {
        while !self.segments.is_empty() {
            let segments = self.front_message();
            if id.saturating_sub(self.first_id) < segments as u32 {
                return;
            }
            self.drop_front(segments);
        }
    }

    /// Goes on towards a client that remembers nothing: it gets everything that was not acknowledged, counted anew.
    pub(in crate::endpoint) fn begin_anew(&mut self) {
        self.first_id = 0;
        self.send_again();
    }

    /// Forgets what was sent and acknowledged: everything is due at once.
    fn send_again(&mut self) {
        for segment in &mut self.segments {
            (segment.acked, segment.due, segment.resends) = (false, Some(Micros::ZERO), 0);
        }
    }

    /// The number of the next segment that will be queued.
    pub(in crate::endpoint) fn end_id(&self) -> u32 {
        self.first_id.wrapping_add(self.segments.len() as u32)
    }

    /// Number of the first segment, and the messages from there.
    pub(in crate::endpoint) fn messages(&self) -> (u32, Vec<Vec<u8>>) {
        let (mut messages, mut message) = (Vec::new(), Vec::new());
        for segment in &self.segments {
            message.extend_from_slice(&segment.payload);
            if !segment.more {
                messages.push(std::mem::take(&mut message));
            }
        }
        (self.first_id, messages)
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
    /// Segments of whole messages: the id after the last one's end.
    delivered: u32,
    /// Segments that came before their turn.
    early: BTreeMap<u32, (bool, Vec<u8>)>,
    early_bytes: usize,
    /// The message that is not complete yet.
    partial: Vec<u8>,
}

impl ReliableReceiver {
    /// A receiver that has everything before segment `id`.
    fn from(id: u32) -> Self {
        Self { next_id: id, delivered: id, ..Self::default() }
    }

    /// Segments that it has, up to the end of the last whole message.
    pub(in crate::endpoint) fn delivered(&self) -> u32 {
        self.delivered
    }

    /// Forgets what is no whole message yet.
    fn rewind(&mut self) {
        *self = Self::from(self.delivered);
    }

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
            self.delivered = self.next_id;
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

    fn sent(sender: &mut ReliableSender) -> Vec<(u32, bool, Vec<u8>)> {
        let mut segments = Vec::new();
        while let Some(due) = sender.next(Micros(0), &Rtt::default(), true, 2_000) {
            let Frame::Reliable { id, more, payload } = due.frame else { unreachable!() };
            segments.push((id, more, payload.to_vec()));
        }
        segments
    }

    /// A server that has sent a short message, a long one (three segments) and a short one, of which all but the last
    /// segment of the long one were acknowledged.
    fn interrupted() -> Streams {
        let mut streams = Streams::default();
        for message in [&b"first"[..], &[7; 3_000], b"last"] {
            streams.sender.push(message).unwrap();
        }
        assert_eq!(sent(&mut streams.sender).len(), 5);
        [0, 1, 2, 4].into_iter().for_each(|id| streams.sender.acknowledge(id));
        streams
    }

    #[test]
    fn a_message_is_kept_until_all_of_it_is_acknowledged() {
        let mut streams = interrupted();
        assert_eq!((streams.sender.first_id, streams.sender.len()), (1, 4));
        streams.sender.acknowledge(3);
        assert_eq!((streams.sender.first_id, streams.sender.len(), streams.sender.bytes), (5, 0, 0));
    }

    #[test]
    fn streams_that_go_on_send_what_the_other_end_lacks_in_whole_messages() {
        for (lacks, next, count) in [(0, 1, 4), (1, 1, 4), (2, 1, 4), (4, 4, 1), (5, 5, 0)] {
            let mut streams = interrupted();
            streams.receiver.take(0, false, b"whole", &mut Vec::new()).unwrap();
            streams.receiver.take(1, true, b"half", &mut Vec::new()).unwrap();
            streams.receiver.take(3, false, b"early", &mut Vec::new()).unwrap();
            assert_eq!(streams.go_on(lacks), (next, 1), "lacks {lacks}");
            let ids: Vec<u32> = sent(&mut streams.sender).into_iter().map(|(id, ..)| id).collect();
            assert_eq!(ids, (next..next + count).collect::<Vec<_>>(), "lacks {lacks}");
            assert_eq!((streams.receiver.next_id, streams.receiver.early.len()), (1, 0), "half messages come again");
        }
    }

    #[test]
    fn a_sender_that_begins_anew_sends_everything_unacknowledged_from_number_0() {
        let mut sender = interrupted().sender;
        sender.begin_anew();
        let ids: Vec<u32> = sent(&mut sender).into_iter().map(|(id, ..)| id).collect();
        assert_eq!(ids, [0, 1, 2, 3]);
    }

    #[test]
    fn a_client_believes_only_what_its_own_streams_allow() {
        let ours = || Streams::restore(10, 4, &[b"a".to_vec(), b"b".to_vec()]).unwrap();
        assert_eq!(ours().resumed(9, 4), Err(StreamsError), "it has read 10 segments");
        assert_eq!(ours().resumed(10, 3), Err(StreamsError), "4 segments were acknowledged");
        let resumed = |next, received| {
            let mut streams = ours();
            streams.resumed(next, received).unwrap();
            let ids: Vec<u32> = sent(&mut streams.sender).into_iter().map(|(id, ..)| id).collect();
            (streams.receiver.next_id, ids, streams.sender.end_id())
        };
        assert_eq!(resumed(10, 4), (10, vec![4, 5], 6));
        assert_eq!(resumed(12, 5), (12, vec![5], 6));
        assert_eq!(resumed(10, 6), (10, vec![], 6));
        assert_eq!(resumed(10, 99), (10, vec![], 99), "the file is older than what the server has");
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
