//! Payloads that are worth nothing when they are late.

use std::collections::VecDeque;

use protocol::wire::UNRELIABLE_BYTES_MAX;

use crate::endpoint::SendError;
use crate::endpoint::limits::UNRELIABLE_QUEUE_MAX;

/// The payloads of one flush, one after another in memory that is used again.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct UnreliableQueue {
    bytes: Vec<u8>,
    /// Bytes of payloads that were popped.
    popped: usize,
    /// Length and tag of each payload that waits.
    waiting: VecDeque<(usize, Option<u32>)>,
}

impl UnreliableQueue {
    pub(in crate::endpoint) fn push(&mut self, payload: &[u8], tag: Option<u32>) -> Result<(), SendError> {
        if payload.len() > UNRELIABLE_BYTES_MAX {
            return Err(SendError::TooLong { bytes: payload.len() });
        }
        if self.waiting.len() >= UNRELIABLE_QUEUE_MAX {
            return Err(SendError::Full);
        }
        if self.waiting.is_empty() {
            self.clear();
        }
        self.bytes.extend_from_slice(payload);
        self.waiting.push_back((payload.len(), tag));
        Ok(())
    }

    /// The next payload with its tag, if its frame fits into `room` bytes.
    pub(in crate::endpoint) fn pop(&mut self, room: usize) -> Option<(&[u8], Option<u32>)> {
        let &(bytes, tag) = self.waiting.front()?;
        if bytes + 3 > room {
            return None;
        }
        self.waiting.pop_front();
        let payload = &self.bytes[self.popped..][..bytes];
        self.popped += bytes;
        Some((payload, tag))
    }

    pub(in crate::endpoint) fn clear(&mut self) {
        self.bytes.clear();
        self.popped = 0;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_leave_in_order_while_they_fit_and_the_memory_is_used_again() {
        let mut queue = UnreliableQueue::default();
        for round in 0..1_000u32 {
            queue.push(b"first", Some(round)).unwrap();
            queue.push(b"second", None).unwrap();
            assert_eq!(queue.pop(7), None);
            assert_eq!(queue.pop(8), Some((&b"first"[..], Some(round))));
            assert_eq!(queue.pop(100), Some((&b"second"[..], None)));
            assert_eq!(queue.pop(100), None);
        }
        assert!(queue.bytes.capacity() < 100);
    }
}
