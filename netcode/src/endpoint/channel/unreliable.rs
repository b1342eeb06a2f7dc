//! Payloads that are worth nothing when they are late.

use std::collections::VecDeque;

use protocol::wire::UNRELIABLE_BYTES_MAX;

use crate::endpoint::SendError;
use crate::endpoint::limits::UNRELIABLE_QUEUE_MAX;

/// An unreliable payload that waits for the next flush.
#[derive(Debug)]
pub(in crate::endpoint) struct Unreliable {
    pub(in crate::endpoint) payload: Vec<u8>,
    pub(in crate::endpoint) tag: Option<u32>,
}

/// The payloads of one flush.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct UnreliableQueue(VecDeque<Unreliable>);

impl UnreliableQueue {
    pub(in crate::endpoint) fn push(&mut self, payload: &[u8], tag: Option<u32>) -> Result<(), SendError> {
        if payload.len() > UNRELIABLE_BYTES_MAX {
            return Err(SendError::TooLong { bytes: payload.len() });
        }
        if self.0.len() >= UNRELIABLE_QUEUE_MAX {
            return Err(SendError::Full);
        }
        self.0.push_back(Unreliable { payload: payload.to_vec(), tag });
        Ok(())
    }

    /// The next payload, if its frame fits into `room` bytes.
    pub(in crate::endpoint) fn pop(&mut self, room: usize) -> Option<Unreliable> {
        if self.0.front()?.payload.len() + 3 > room {
            return None;
        }
        self.0.pop_front()
    }

    pub(in crate::endpoint) fn clear(&mut self) {
        self.0.clear();
    }
}
