//! What a session has still to hear: a bounded ring of ordered messages, and of which subjects there is news.
//!
//! An ordered message has a number and stays in the ring until it is acknowledged or the ring is full, so that a connection
//! that broke is followed by one that goes on where it was. Of a subject (a friend's presence) nothing is kept but that there is
//! news of it: what it is now is looked up when its turn comes, so it is never old, and a client that does not read costs a
//! name per subject. As the last word may be lost with the connection that it went over, a resumed one is told of every
//! subject again of which the session was ever told. A client that does not read fast enough loses the oldest ordered
//! messages; it is told to [resynchronise](Out::Resync), and what it is told then is everything as it is: what had waited until then is
//! older than that and goes, or the ring would be full before all of it is in. Durable messages are
//! not here at all: they are in the inbox, from where each connection reads at its own pace.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Encoded message, shared by all who get it.
pub type Body = Arc<[u8]>;

/// How much a session keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Ordered messages.
    pub messages_max: usize,
    /// Their bytes, together; one alone may have more.
    pub bytes_max: usize,
    /// Subjects: more than a player has friends and a party members.
    pub subjects_max: usize,
}

impl Default for Bounds {
    /// Half a minute of a lively chat.
    fn default() -> Self {
        Self { messages_max: 128, bytes_max: 32 * 1024, subjects_max: 1_024 }
    }
}

#[derive(Debug, Clone)]
struct Ordered {
    seq: u64,
    body: Body,
}

/// What goes out next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out<S> {
    /// Something was given up: say so, and then everything as it is.
    Resync,
    /// An ordered message.
    Ordered(u64, Body),
    /// How this subject is now.
    Latest(S),
}

/// What a session has still to hear. `S` names subjects.
#[derive(Debug)]
pub struct Stream<S> {
    bounds: Bounds,
    ring: VecDeque<Ordered>,
    /// Subjects with news.
    due: BTreeSet<S>,
    /// Subjects of which a connection was told.
    told: BTreeSet<S>,
    bytes: usize,
    /// Number of the newest ordered message.
    newest: u64,
    /// Number of the newest that was handed to a connection.
    sent: u64,
    resync: bool,
    /// What was there before a resync was said last: a client that has nothing newer may not have heard it.
    resynced_after: Option<u64>,
}

impl<S: Ord + Copy> Stream<S> {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self::after(0, bounds)
    }

    /// An empty one whose first message follows that of number `last_seq`.
    pub fn after(last_seq: u64, bounds: Bounds) -> Self {
        Self {
            bounds,
            ring: VecDeque::new(),
            due: BTreeSet::new(),
            told: BTreeSet::new(),
            bytes: 0,
            newest: last_seq,
            sent: last_seq,
            resync: false,
            resynced_after: None,
        }
    }

    /// Adds an ordered message.
    pub fn push_ordered(&mut self, body: Body) {
        self.newest += 1;
        self.bytes += body.len();
        self.ring.push_back(Ordered { seq: self.newest, body });
        self.shrink();
    }

    /// There is news of a subject.
    pub fn push_latest(&mut self, subject: S) {
        if self.due.len() < self.bounds.subjects_max {
            self.due.insert(subject);
        }
    }

    /// Whether a connection was told of a subject.
    pub fn was_told(&self, subject: S) -> bool {
        self.told.contains(&subject)
    }

    /// What goes out next, if anything does.
    pub fn pop(&mut self) -> Option<Out<S>> {
        if std::mem::take(&mut self.resync) {
            self.ring.clear();
            (self.bytes, self.sent) = (0, self.newest);
            self.resynced_after = Some(self.newest);
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
        let subject = self.due.pop_first()?;
        if self.told.len() < self.bounds.subjects_max {
            self.told.insert(subject);
        }
        Some(Out::Latest(subject))
    }

    /// Whether a resync is said next.
    pub fn is_resync_due(&self) -> bool {
        self.resync
    }

    /// Whether something goes out.
    pub fn is_due(&self) -> bool {
        self.resync || self.sent < self.newest || !self.due.is_empty()
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

    /// A new connection goes on after `last_seq`: what the ring still has follows, and every subject that was told. Where that
    /// leaves a gap, a resync is said first. Returns whether there is none.
    pub fn resume(&mut self, last_seq: u64) -> bool {
        let first = self.ring.front().map_or(self.newest + 1, |first| first.seq);
        self.resynced_after = self.resynced_after.filter(|after| last_seq <= *after);
        let has_heard = self.resynced_after.is_none();
        let is_whole = has_heard && last_seq <= self.newest && last_seq + 1 >= first;
        self.sent = last_seq.clamp(first - 1, self.newest);
        self.due.extend(&self.told);
        self.resync |= !is_whole;
        is_whole
    }

    /// Say everything as it is.
    pub fn resync(&mut self) {
        self.due.extend(&self.told);
        self.resync = true;
    }

    /// Bytes of messages that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn shrink(&mut self) {
        // The newest stays, however long: a message that never fits would be asked for again and again.
        while self.is_over() && self.ring.len() > 1 {
            if self.ring.front().is_some_and(|first| first.seq > self.sent) {
                self.resync();
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(messages_max: usize, bytes_max: usize) -> Stream<u8> {
        Stream::new(Bounds { messages_max, bytes_max, subjects_max: 4 })
    }

    fn body(length: usize) -> Body {
        vec![7; length].into()
    }

    /// Numbers of ordered messages; 0 for what has none.
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
        assert_eq!(seqs(&mut stream), [0], "a slow client is told");
        (0..3).for_each(|_| stream.push_ordered(body(10)));
        assert_eq!(seqs(&mut stream), [6, 7, 8], "what follows has all the room");
        assert!(!stream.resume(1));
        assert_eq!(seqs(&mut stream), [0]);
        assert!(!stream.resume(99), "what was never sent was not received");
        assert_eq!(seqs(&mut stream), [0]);
        stream.push_ordered(body(2_000));
        assert_eq!(seqs(&mut stream), [9], "what is too long goes out alone");
    }

    #[test]
    fn a_subject_waits_once_and_is_told_again_to_a_new_connection() {
        let mut stream = stream(3, 1_000);
        stream.push_latest(1);
        stream.push_latest(2);
        stream.push_latest(1);
        assert_eq!((stream.pop(), stream.pop(), stream.pop()), (Some(Out::Latest(1)), Some(Out::Latest(2)), None));
        stream.push_latest(3);
        assert!(stream.resume(0) && stream.was_told(2) && !stream.was_told(3));
        assert_eq!(seqs(&mut stream).len(), 3, "what was on its way may be lost");
        (0..9).for_each(|subject| stream.push_latest(subject));
        assert_eq!(seqs(&mut stream).len(), 4, "they are bounded");
    }

    #[test]
    fn subjects_cost_no_ordered_message_and_no_resync() {
        let mut stream = stream(8, 100);
        for subject in 0..100 {
            stream.push_latest(subject % 3);
            assert!(stream.bytes() == 0);
        }
        stream.push_ordered(body(100));
        assert_eq!(stream.pop(), Some(Out::Ordered(1, body(100))));
        assert_eq!(stream.pop(), Some(Out::Latest(0)));
    }

    #[test]
    fn numbers_go_on_after_those_that_the_client_has() {
        let mut stream: Stream<u8> = Stream::after(7, Bounds::default());
        stream.resync();
        assert_eq!(stream.pop(), Some(Out::Resync));
        stream.push_ordered(body(1));
        assert_eq!(stream.pop(), Some(Out::Ordered(8, body(1))));
        assert!(!stream.resume(7), "the resync may have been lost on its way");
        assert_eq!((stream.pop(), stream.pop()), (Some(Out::Resync), None));
        stream.push_ordered(body(1));
        assert_eq!(stream.pop(), Some(Out::Ordered(9, body(1))));
        assert!(stream.resume(9), "what came after it has arrived");
        assert!(!stream.resume(6));
    }

    proptest! {
        /// Random pushes, sends, acknowledgements and cuts: every ordered message arrives once and in order, or a resync was said
        /// before the first that is missing; and memory is bounded.
        #[test]
        fn ordered_messages_arrive_once_and_in_order_or_a_resync_is_said(
            steps in prop::collection::vec((0..6_u8, 1..60_usize), 1..200)
        ) {
            let bounds = Bounds { messages_max: 6, bytes_max: 150, subjects_max: 4 };
            let mut stream: Stream<u8> = Stream::new(bounds);
            let (mut received, mut pushed, mut told) = (0_u64, 0_u64, false);
            // The newest message when a resync went out that has arrived: what it says as it is holds everything until then.
            let mut covered = 0;
            // Of four subjects: the last word, the one that was sent last, the one that the client has.
            let (mut at, mut words, mut sent_at, mut heard) = (0_u64, [0; 4], [0; 4], [0; 4]);
            // What is on its way when a connection is cut is lost.
            let mut on_the_way: VecDeque<(Out<u8>, u64)> = VecDeque::new();
            for (what, size) in steps {
                match what {
                    0 => { stream.push_ordered(body(size)); pushed += 1; }
                    1 => {
                        let subject = size as u8 % 4;
                        (at, words[usize::from(subject)]) = (at + 1, at + 1);
                        stream.push_latest(subject);
                    }
                    2 => {
                        let out = stream.pop();
                        if let Some(Out::Latest(subject)) = out {
                            sent_at[usize::from(subject)] = words[usize::from(subject)];
                        }
                        on_the_way.extend(out.map(|out| (out, pushed)));
                    }
                    3 => match on_the_way.pop_front() {
                        Some((Out::Ordered(seq, _), _)) => {
                            prop_assert!(seq > received.max(covered), "twice");
                            prop_assert!(seq == received + 1 || told, "{seq} after {received} without a resync");
                            (received, told) = (seq, false);
                        }
                        Some((Out::Resync, at)) => (told, covered) = (true, at),
                        // What goes out is how it was when it went out; that is at most as new as now.
                        Some((Out::Latest(subject), _)) => heard[usize::from(subject)] = sent_at[usize::from(subject)],
                        None => {}
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
                match out {
                    Out::Ordered(seq, _) => {
                        prop_assert!(seq == received + 1 || told);
                        (received, told) = (seq, false);
                    }
                    Out::Latest(subject) => heard[usize::from(subject)] = words[usize::from(subject)],
                    Out::Resync => (told, covered) = (true, pushed),
                }
            }
            prop_assert_eq!(received.max(covered), pushed, "what came last arrives");
            prop_assert_eq!(heard, words, "and so does the last word of every subject");
        }
    }
}
