//! Memory for packets and payloads that is used again: a steady session allocates none.

use protocol::wire::PACKET_BYTES_MAX;

/// Most buffers that are kept: more than a full server has datagrams under way in a tick.
const KEPT_MAX: usize = 256;
/// Larger buffers are not kept: they came from somewhere else.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Buffers that wait for their next use.
#[derive(Debug, Default)]
pub(super) struct Buffers(Vec<Vec<u8>>);

impl Buffers {
    /// An empty buffer with room for a packet.
    pub(super) fn packet(&mut self) -> Vec<u8> {
        let mut buffer = self.0.pop().unwrap_or_default();
        buffer.reserve(PACKET_BYTES_MAX);
        buffer
    }

    /// A copy of a payload; only as large as the payload when no buffer waits.
    pub(super) fn copy(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut buffer = self.0.pop().unwrap_or_default();
        buffer.reserve_exact(payload.len());
        buffer.extend_from_slice(payload);
        buffer
    }

    /// Keeps a buffer for its next use.
    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        if self.0.len() < KEPT_MAX && (1..=KEPT_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_their_number_and_size_are_bounded() {
        let mut buffers = Buffers::default();
        let packet = buffers.packet();
        let memory = packet.as_ptr();
        assert!(packet.capacity() >= PACKET_BYTES_MAX);
        buffers.give(packet);
        let copy = buffers.copy(b"payload");
        assert_eq!((copy.as_ptr(), &copy[..]), (memory, &b"payload"[..]));
        buffers.give(copy);
        assert_eq!(buffers.packet(), b"");
        buffers.give(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert!(buffers.0.is_empty(), "too large to keep");
        (0..=KEPT_MAX).for_each(|_| buffers.give(vec![1]));
        assert_eq!(buffers.0.len(), KEPT_MAX);
    }
}
