//! What a room knows about the client on a seat.

use crate::input_buffer::InputBuffer;

/// One seat's client.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The player has joined at least once.
    pub(crate) has_joined: bool,
    /// Nothing has been heard from its client for a while: snapshots would be wasted.
    pub(crate) silent: bool,
    pub(crate) inputs: InputBuffer,
    /// Joins of this step that have not had their turn.
    pub(crate) joins_waiting: u32,
    /// Messages from the client since the last step.
    pub(crate) messages: usize,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self { has_joined: false, silent: false, inputs: InputBuffer::new(), joins_waiting: 0, messages: 0 }
    }
}
