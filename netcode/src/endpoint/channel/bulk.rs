//! Large transfers in chunks: a map, the state of a whole match. They use what the other channels leave.

use std::collections::{BTreeMap, VecDeque};

use protocol::wire::{BULK_CHUNK_BYTES, Frame, WireError};

use crate::Micros;
use crate::endpoint::limits::{
    BULK_BURST, BULK_INTERVAL, BULK_QUEUE_MAX, BULK_WINDOW_FIRST, BULK_WINDOW_MAX, BULK_WINDOW_MIN,
};
use crate::endpoint::rtt::Rtt;
use crate::endpoint::{BULK_BYTES_MAX, SendError};

/// The sending half: one transfer after another, a window of chunks in flight that grows with acks and halves with
/// losses, and a pace.
#[derive(Debug)]
pub(in crate::endpoint) struct BulkSender {
    /// The front is being sent.
    transfers: VecDeque<Vec<u8>>,
    /// Number of the front.
    transfer: u32,
    /// First chunk of the front that was never sent.
    next_chunk: u16,
    /// Chunks sent and not acknowledged.
    in_flight: BTreeMap<u16, InFlight>,
    window: usize,
    /// The window was halved at this time: at most once per resend time.
    halved_at: Micros,
    burst_at: Micros,
    burst_left: u32,
}

#[derive(Debug)]
struct InFlight {
    due: Micros,
    sent_at: Micros,
    resends: u32,
}

/// A chunk that is due.
pub(in crate::endpoint) struct DueChunk<'a> {
    pub(in crate::endpoint) transfer: u32,
    pub(in crate::endpoint) chunk: u16,
    pub(in crate::endpoint) frame: Frame<'a>,
    pub(in crate::endpoint) is_resend: bool,
}

impl BulkSender {
    pub(in crate::endpoint) fn new() -> Self {
        Self {
            transfers: VecDeque::new(),
            transfer: 0,
            next_chunk: 0,
            in_flight: BTreeMap::new(),
            window: BULK_WINDOW_FIRST,
            halved_at: Micros::ZERO,
            burst_at: Micros::ZERO,
            burst_left: BULK_BURST,
        }
    }

    pub(in crate::endpoint) fn push(&mut self, payload: Vec<u8>) -> Result<(), SendError> {
        if payload.len() > BULK_BYTES_MAX {
            return Err(SendError::TooLong { bytes: payload.len() });
        }
        if self.transfers.len() >= BULK_QUEUE_MAX {
            return Err(SendError::Full);
        }
        self.transfers.push_back(payload);
        Ok(())
    }

    /// The next chunk to send, if a whole one fits into `room` bytes: a resend that is due, or a new one within window
    /// and pace. It counts as sent.
    pub(in crate::endpoint) fn next(&mut self, now: Micros, rtt: &Rtt, room: usize) -> Option<DueChunk<'_>> {
        if room < BULK_CHUNK_BYTES + 11 || self.transfers.is_empty() {
            return None;
        }
        if now >= self.burst_at + BULK_INTERVAL {
            (self.burst_at, self.burst_left) = (now, BULK_BURST);
        }
        if self.burst_left == 0 {
            return None;
        }
        let late = self.in_flight.iter().find(|(_, state)| state.due <= now).map(|(chunk, _)| *chunk);
        let chunk = late.or_else(|| self.has_window().then_some(self.next_chunk))?;
        let resends = if late.is_some() {
            self.halve(now, rtt);
            self.in_flight[&chunk].resends + 1
        } else {
            self.next_chunk += 1;
            0
        };
        self.burst_left -= 1;
        let due = now + rtt.resend_after_tries(resends);
        self.in_flight.insert(chunk, InFlight { due, sent_at: now, resends });
        let (transfer, chunks) = (self.transfer, self.chunks());
        let payload = self.transfers.front()?.chunks(BULK_CHUNK_BYTES).nth(usize::from(chunk)).unwrap_or_default();
        let frame = Frame::Bulk { transfer, chunk, chunks, payload };
        Some(DueChunk { transfer, chunk, frame, is_resend: late.is_some() })
    }

    /// The peer has this chunk.
    pub(in crate::endpoint) fn acknowledge(&mut self, transfer: u32, chunk: u16) {
        if transfer != self.transfer || self.in_flight.remove(&chunk).is_none() {
            return;
        }
        self.window = (self.window + 1).min(BULK_WINDOW_MAX);
        if self.in_flight.is_empty() && self.next_chunk == self.chunks() {
            self.transfers.pop_front();
            self.transfer += 1;
            self.next_chunk = 0;
        }
    }

    /// The packet of `sent_at` with this chunk was lost: it is due at once, unless it was sent again since.
    pub(in crate::endpoint) fn lost(&mut self, transfer: u32, chunk: u16, sent_at: Micros) {
        let in_flight = self.in_flight.get_mut(&chunk).filter(|state| state.sent_at == sent_at);
        if let Some(state) = in_flight.filter(|_| transfer == self.transfer) {
            (state.due, state.resends) = (Micros::ZERO, 0);
        }
    }

    /// Bytes that are on their way; those of chunks that are taken for lost are not.
    pub(in crate::endpoint) fn bytes_in_flight(&self, now: Micros) -> usize {
        self.in_flight.values().filter(|state| state.due > now).count() * BULK_CHUNK_BYTES
    }

    /// When the next chunk may or must be sent.
    pub(in crate::endpoint) fn due(&self) -> Option<Micros> {
        let resend = self.in_flight.values().map(|state| state.due).min();
        let paced = if self.burst_left > 0 { Micros::ZERO } else { self.burst_at + BULK_INTERVAL };
        let due = if self.has_window() { Some(paced) } else { resend };
        due.map(|due| due.max(paced))
    }

    fn chunks(&self) -> u16 {
        let bytes = self.transfers.front().map_or(0, Vec::len);
        u16::try_from(bytes.div_ceil(BULK_CHUNK_BYTES).max(1)).expect("a transfer has at most 1,024 chunks")
    }

    fn has_window(&self) -> bool {
        !self.transfers.is_empty() && self.next_chunk < self.chunks() && self.in_flight.len() < self.window
    }

    fn halve(&mut self, now: Micros, rtt: &Rtt) {
        if now.since(self.halved_at) >= rtt.resend_after() {
            self.window = (self.window / 2).max(BULK_WINDOW_MIN);
            self.halved_at = now;
        }
    }
}

/// The receiving half.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct BulkReceiver {
    transfer: u32,
    chunks: Option<u16>,
    received: BTreeMap<u16, Vec<u8>>,
}

impl BulkReceiver {
    /// Takes a chunk; returns the transfer when it is complete.
    ///
    /// # Errors
    /// [`WireError::Malformed`] for a transfer begun before the last one ended, or a changed number of chunks.
    pub(in crate::endpoint) fn take(
        &mut self,
        transfer: u32,
        chunk: u16,
        chunks: u16,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, WireError> {
        if transfer < self.transfer {
            return Ok(None);
        }
        if transfer > self.transfer || *self.chunks.get_or_insert(chunks) != chunks || transfer == u32::MAX {
            return Err(WireError::Malformed);
        }
        self.received.entry(chunk).or_insert_with(|| payload.to_vec());
        if self.received.len() < usize::from(chunks) {
            return Ok(None);
        }
        self.transfer += 1;
        self.chunks = None;
        Ok(Some(std::mem::take(&mut self.received).into_values().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(payloads: &[Vec<u8>], arrives: impl Fn(u64) -> bool) -> (Vec<Vec<u8>>, u64) {
        let (mut sender, mut receiver, rtt) = (BulkSender::new(), BulkReceiver::default(), Rtt::default());
        let (mut got, mut sends) = (Vec::new(), 0);
        for payload in payloads {
            sender.push(payload.clone()).unwrap();
        }
        for ms in 0..600_000 {
            let now = Micros::from_millis(ms);
            let mut acked = Vec::new();
            while let Some(due) = sender.next(now, &rtt, 1_101) {
                sends += 1;
                let Frame::Bulk { transfer, chunk, chunks, payload } = due.frame else { unreachable!() };
                if arrives(sends) {
                    got.extend(receiver.take(transfer, chunk, chunks, payload).unwrap());
                    acked.push((transfer, chunk));
                }
            }
            assert!(sender.in_flight.len() <= BULK_WINDOW_MAX);
            acked.into_iter().for_each(|(transfer, chunk)| sender.acknowledge(transfer, chunk));
            if sender.due().is_none() {
                return (got, ms);
            }
        }
        panic!("the transfer never ended");
    }

    #[test]
    fn transfers_of_every_length_arrive_one_after_another() {
        let payloads = [vec![], vec![1; 1], vec![2; 1_024], vec![3; 100_000]];
        assert_eq!(drive(&payloads, |_| true).0, payloads);
        assert_eq!(drive(&payloads, |sent| sent % 3 != 0).0, payloads);
    }

    #[test]
    fn a_transfer_is_paced() {
        let (got, ms) = drive(&[vec![7; BULK_BYTES_MAX]], |_| true);
        assert_eq!(got[0].len(), BULK_BYTES_MAX);
        assert!(ms >= 1_024 / 4 * 5 - 5, "1,024 chunks in {ms} ms are too fast");
    }

    #[test]
    fn a_changed_count_or_a_transfer_too_early_is_refused() {
        let mut receiver = BulkReceiver::default();
        assert_eq!(receiver.take(0, 0, 2, &[0; 1_024]), Ok(None));
        assert!(receiver.take(0, 1, 3, &[0; 1_024]).is_err());
        assert!(receiver.take(1, 0, 1, &[0; 1_024]).is_err());
        assert_eq!(receiver.take(0, 1, 2, b"end").unwrap().unwrap().len(), 1_027);
        assert_eq!(receiver.take(0, 1, 2, b"end"), Ok(None), "a late repeat changes nothing");
    }
}
