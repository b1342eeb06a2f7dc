//! What a session has still to hear: a bounded ring of ordered messages, and the newest of each subject.
//!
//! An ordered message has a number and stays in the ring until it is acknowledged or the ring is full, so that a connection
//! that broke is followed by one that goes on where it was. Of a subject (a friend's presence) the newest alone is kept. A
//! client that does not read fast enough first loses what waits for its turn of the subjects, then the oldest ordered messages;
//! either way it is told to [resynchronise](Out::Resync), and what it is told then is everything as it is. Durable messages are
//! not here at all: they are in the inbox, from where each connection reads at its own pace.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Encoded message, shared by all who get it.
pub type Body = Arc<[u8]>;

/// How much a session keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Ordered messages.
    pub messages_max: usize,
    /// Bytes of ordered messages and of those by subject, together.
    pub bytes_max: usize,
}

impl Default for Bounds {
    /// Half a minute of a lively chat.
    fn default() -> Self {
        Self { messages_max: 128, bytes_max: 32 * 1024 }
    }
}

#[derive(Debug, Clone)]
struct Ordered {
    seq: u64,
    body: Body,
}

/// What goes out next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// Something was given up: say so, and then everything as it is.
    Resync,
    /// An ordered message.
    Ordered(u64, Body),
    /// The newest of a subject.
    Latest(Body),
}

/// What a session has still to hear. `S` names subjects.
#[derive(Debug)]
pub struct Stream<S> {
    bounds: Bounds,
    ring: VecDeque<Ordered>,
    latest: BTreeMap<S, Body>,
    bytes: usize,
    /// Number of the newest ordered message.
    newest: u64,
    /// Number of the newest that was handed to a connection.
    sent: u64,
    resync: bool,
}

impl<S: Ord> Stream<S> {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, ring: VecDeque::new(), latest: BTreeMap::new(), bytes: 0, newest: 0, sent: 0, resync: false }
    }

    /// Adds an ordered message.
    pub fn push_ordered(&mut self, body: Body) {
        self.newest += 1;
        self.bytes += body.len();
        self.ring.push_back(Ordered { seq: self.newest, body });
        self.shrink();
    }

    /// Replaces what waits of a subject.
    pub fn push_latest(&mut self, subject: S, body: Body) {
        self.bytes += body.len();
        if let Some(older) = self.latest.insert(subject, body) {
            self.bytes -= older.len();
        }
        self.shrink();
    }

    /// What goes out next, if anything does.
    pub fn pop(&mut self) -> Option<Out> {
        if std::mem::take(&mut self.resync) {
            return Some(Out::Resync);
        }
        if let Some(first) = self.ring.front()
            && self.sent < self.newest
        {
            // Numbers in the ring have no gaps.
            let at = (self.sent + 1).saturating_sub(first.seq) as usize;
            let ordered = &self.ring[at];
            self.sent = ordered.seq;
            return Some(Out::Ordered(ordered.seq, Arc::clone(&ordered.body)));
        }
        let (_, body) = self.latest.pop_first()?;
        self.bytes -= body.len();
        Some(Out::Latest(body))
    }

    /// Whether something goes out.
    pub fn is_due(&self) -> bool {
        self.resync || self.sent < self.newest || !self.latest.is_empty()
    }

    /// Ordered messages up to `seq` have arrived.
    pub fn ack(&mut self, seq: u64) {
        while self.ring.front().is_some_and(|first| first.seq <= seq.min(self.sent)) {
            self.drop_oldest();
        }
        if self.ring.is_empty() {
            // An idle session holds no memory.
            self.ring.shrink_to_fit();
        }
    }

    /// A new connection goes on after `last_seq`: what the ring still has follows. Where that leaves a gap, a resync is
    /// said first. Returns whether there is none.
    pub fn resume(&mut self, last_seq: u64) -> bool {
        let first = self.ring.front().map_or(self.newest + 1, |first| first.seq);
        let is_whole = last_seq <= self.newest && last_seq + 1 >= first;
        self.sent = last_seq.clamp(first - 1, self.newest);
        self.resync |= !is_whole;
        is_whole
    }

    /// What was kept by subject is stale: say everything as it is.
    pub fn resync(&mut self) {
        self.give_up_latest();
        self.resync = true;
    }

    /// Bytes of messages that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn shrink(&mut self) {
        if self.is_over() && !self.latest.is_empty() && self.ring.len() <= self.bounds.messages_max {
            self.resync();
        }
        while self.is_over() && !self.ring.is_empty() {
            if self.ring.front().is_some_and(|first| first.seq > self.sent) {
                self.give_up_latest();
                self.resync = true;
            }
            self.drop_oldest();
        }
        self.sent = self.sent.max(self.ring.front().map_or(self.newest, |first| first.seq - 1));
    }

    fn is_over(&self) -> bool {
        self.ring.len() > self.bounds.messages_max || self.bytes > self.bounds.bytes_max
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.ring.pop_front() {
            self.bytes -= oldest.body.len();
        }
    }

    fn give_up_latest(&mut self) {
        let given_up: usize = self.latest.values().map(|body| body.len()).sum();
        self.latest.clear();
        self.bytes -= given_up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(messages_max: usize, bytes_max: usize) -> Stream<u8> {
        Stream::new(Bounds { messages_max, bytes_max })
    }

    fn body(length: usize) -> Body {
        vec![7; length].into()
    }

    fn seqs(stream: &mut Stream<u8>) -> Vec<u64> {
        let out = std::iter::from_fn(|| stream.pop());
        out.map(|one| if let Out::Ordered(seq, _) = one { seq } else { 0 }).collect()
    }

    #[test]
    fn what_was_sent_and_not_received_is_replayed_in_order() {
        let mut stream = stream(8, 1_000);
        (0..5).for_each(|_| stream.push_ordered(body(10)));
        assert_eq!(seqs(&mut stream), [1, 2, 3, 4, 5]);
        stream.ack(1);
        assert!(stream.resume(3), "the client has three");
        stream.push_ordered(body(10));
        assert_eq!(seqs(&mut stream), [4, 5, 6]);
        stream.ack(6);
        assert!(stream.resume(6));
        assert_eq!((seqs(&mut stream), stream.bytes()), (vec![], 0));
    }

    #[test]
    fn a_ring_that_does_not_reach_back_says_resync_and_goes_on() {
        let mut stream = stream(3, 1_000);
        (0..5).for_each(|_| stream.push_ordered(body(10)));
        assert_eq!(seqs(&mut stream), [0, 3, 4, 5], "a slow client is told");
        assert!(!stream.resume(1));
        assert_eq!(seqs(&mut stream), [0, 3, 4, 5]);
        assert!(!stream.resume(99), "what was never sent was not received");
        assert_eq!(seqs(&mut stream), [0]);
    }

    #[test]
    fn of_a_subject_the_newest_alone_is_kept() {
        let mut stream = stream(3, 1_000);
        stream.push_latest(1, body(5));
        stream.push_latest(2, body(6));
        stream.push_latest(1, body(7));
        assert_eq!((stream.pop(), stream.pop()), (Some(Out::Latest(body(7))), Some(Out::Latest(body(6)))));
        assert_eq!((stream.pop(), stream.bytes()), (None, 0));
    }

    #[test]
    fn overflow_takes_subjects_first_and_keeps_ordered_messages() {
        let mut stream = stream(8, 100);
        stream.push_latest(1, body(50));
        stream.push_ordered(body(40));
        assert!(stream.pop() == Some(Out::Ordered(1, body(40))), "all fits");
        stream.push_ordered(body(40));
        assert_eq!(stream.pop(), Some(Out::Resync), "the subject had to go");
        assert_eq!(seqs(&mut stream), [2], "no ordered message was lost");
    }

    proptest! {
        /// Random pushes, sends, acknowledgements and cuts: every ordered message arrives once and in order, or a resync was said
        /// before the first that is missing; and memory is bounded.
        #[test]
        fn ordered_messages_arrive_once_and_in_order_or_a_resync_is_said(
            steps in prop::collection::vec((0..6_u8, 1..60_usize), 1..200)
        ) {
            let bounds = Bounds { messages_max: 6, bytes_max: 150 };
            let mut stream: Stream<u8> = Stream::new(bounds);
            let (mut received, mut pushed, mut told) = (0_u64, 0_u64, false);
            // What is on its way when a connection is cut is lost.
            let mut on_the_way: VecDeque<Out> = VecDeque::new();
            for (what, size) in steps {
                match what {
                    0 => { stream.push_ordered(body(size)); pushed += 1; }
                    1 => stream.push_latest(size as u8 % 4, body(size)),
                    2 => on_the_way.extend(stream.pop()),
                    3 => match on_the_way.pop_front() {
                        Some(Out::Ordered(seq, _)) => {
                            prop_assert!(seq > received, "twice");
                            prop_assert!(seq == received + 1 || told, "{seq} after {received} without a resync");
                            (received, told) = (seq, false);
                        }
                        Some(Out::Resync) => told = true,
                        _ => {}
                    },
                    4 => stream.ack(received),
                    _ => {
                        on_the_way.clear();
                        told |= !stream.resume(received);
                    }
                }
                prop_assert!(stream.ring.len() <= bounds.messages_max && stream.bytes() <= bounds.bytes_max);
            }
            told |= !stream.resume(received);
            while let Some(out) = stream.pop() {
                if let Out::Ordered(seq, _) = out {
                    prop_assert!(seq == received + 1 || told);
                    (received, told) = (seq, false);
                }
            }
            prop_assert_eq!(received, pushed, "what came last arrives");
        }
    }
}
