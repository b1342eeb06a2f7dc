//! Allocate calls without a server: first come, first served, bounded, each with its deadline.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::id::MatchId;

use super::effect::CallId;

/// A call that waits for a free room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The call.
    pub call: CallId,
    /// The match it is for; several calls may wait for one match.
    pub match_id: MatchId,
    /// When it stops waiting.
    pub until: Duration,
}

/// A bounded queue of calls.
#[derive(Debug)]
pub struct WaitQueue {
    entries: VecDeque<Waiting>,
    calls_max: usize,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wait queue is full")]
pub struct Full;

impl WaitQueue {
    /// An empty queue of at most `calls_max` calls.
    pub fn new(calls_max: usize) -> Self {
        Self { entries: VecDeque::new(), calls_max }
    }

    /// Puts a call at the end.
    ///
    /// # Errors
    /// [`Full`]; nothing changed.
    pub fn push(&mut self, waiting: Waiting) -> Result<(), Full> {
        if self.entries.len() >= self.calls_max {
            return Err(Full);
        }
        self.entries.push_back(waiting);
        Ok(())
    }

    /// Takes out every call for this match.
    pub fn remove_match(&mut self, match_id: MatchId) {
        self.entries.retain(|entry| entry.match_id != match_id);
    }

    /// Takes out one call.
    pub fn remove_call(&mut self, call: CallId) {
        self.entries.retain(|entry| entry.call != call);
    }

    /// Takes out every call whose deadline has come.
    pub fn expire(&mut self, now: Duration) -> Vec<Waiting> {
        let expired: Vec<_> = self.entries.iter().filter(|entry| entry.until <= now).copied().collect();
        if !expired.is_empty() {
            self.entries.retain(|entry| entry.until > now);
        }
        expired
    }

    /// The matches that calls wait for, longest waiting first. A match with several calls is named several times.
    pub fn matches(&self) -> impl Iterator<Item = MatchId> + '_ {
        self.entries.iter().map(|entry| entry.match_id)
    }

    /// How many calls wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(call: u64, match_byte: u8, until_s: u64) -> Waiting {
        let match_id = MatchId::from_entropy([match_byte; 16]);
        Waiting { call: CallId(call), match_id, until: Duration::from_secs(until_s) }
    }

    #[test]
    fn first_come_first_served_up_to_the_bound() {
        let (a, b) = (waiting(1, 1, 5), waiting(2, 2, 3));
        let mut queue = WaitQueue::new(2);
        assert_eq!(queue.push(a), Ok(()));
        assert_eq!(queue.push(b), Ok(()));
        assert_eq!(queue.push(waiting(3, 3, 9)), Err(Full));
        assert_eq!(queue.matches().collect::<Vec<_>>(), [a.match_id, b.match_id]);
        queue.remove_match(a.match_id);
        queue.remove_call(CallId(9));
        assert_eq!(queue.len(), 1);
        queue.remove_call(b.call);
        assert!(queue.is_empty());
    }

    #[test]
    fn each_call_has_its_own_deadline() {
        let (early, late) = (waiting(1, 7, 3), waiting(2, 7, 5));
        let mut queue = WaitQueue::new(4);
        queue.push(late).expect("room");
        queue.push(early).expect("room");
        assert_eq!(queue.expire(Duration::from_millis(2_999)), []);
        assert_eq!(queue.expire(Duration::from_secs(3)), [early]);
        assert_eq!(queue.expire(Duration::from_secs(9)), [late]);
    }
}
