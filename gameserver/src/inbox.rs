//! What clients and the host tell a room, on its way from the I/O thread to the tick thread.
//!
//! | what | bound | when it is reached |
//! |---|---|---|
//! | inputs and acks | [`INPUTS_PER_SEAT_MAX`] per seat | the newest is dropped and counted; inputs are repeated anyway |
//! | messages | [`MESSAGES_PER_SEAT_MAX`] per seat | the session is closed: an acknowledged message is never dropped |
//! | what happens to seats | a few per seat and second | kept |
//!
//! Both sides swap whole buffers under a lock that is held for a few instructions, and buffers are used again, so a
//! tick allocates nothing once its buffers have grown.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use game::Leave;
use netcode::Micros;
use netcode::endpoint::Carrier;
use netcode::replication::SeatId;

/// Unread inputs and acks of one seat: half a second at 60 Hz.
pub const INPUTS_PER_SEAT_MAX: u16 = 32;
/// Unread messages of one seat.
pub const MESSAGES_PER_SEAT_MAX: u16 = 256;

/// What the I/O thread and the host tell a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomEvent {
    /// A session took the seat; `again` if the player had been there before.
    Joined {
        /// The seat.
        seat: SeatId,
        /// Whether the player had been there before.
        again: bool,
        /// Number of this taking of the seat, from 1: it comes back as [`Out::Begin`](crate::outbox::Out::Begin).
        join: u32,
        /// What carries the new session's packets.
        carrier: Carrier,
    },
    /// Nothing is heard from the seat.
    Lost(SeatId),
    /// The lost seat was heard again.
    Heard(SeatId),
    /// The seat is Gone.
    Gone {
        /// The seat.
        seat: SeatId,
        /// How.
        why: Leave,
    },
    /// An unreliable payload: inputs.
    Unreliable {
        /// From which seat.
        seat: SeatId,
        /// As the client sent it.
        payload: Vec<u8>,
        /// When it arrived.
        at: Micros,
    },
    /// A reliable message.
    Message {
        /// From which seat.
        seat: SeatId,
        /// As the client sent it.
        payload: Vec<u8>,
    },
    /// A snapshot reached the client.
    Delivered {
        /// Which seat.
        seat: SeatId,
        /// The snapshot's tag.
        tag: u32,
    },
    /// The server has to leave: the match is ended then.
    Draining {
        /// Time until then.
        left: Duration,
    },
    /// The match ends now.
    Abort {
        /// Why, as the result says it.
        reason: &'static str,
    },
}

/// What became of an event that was put into an [`Inbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The room will see it.
    Taken,
    /// Dropped and counted; the seat has too many unread.
    Dropped,
    /// The seat sends more messages than its room reads: close its session.
    Flooded,
}

#[derive(Debug, Default)]
struct InboxState {
    events: VecDeque<RoomEvent>,
    /// Unread inputs and messages by seat.
    unread: Vec<(u16, u16)>,
}

/// Events on their way to a tick thread. One seat's flood never takes another seat's place.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<InboxState>,
    dropped: AtomicU64,
}

impl Inbox {
    /// An empty inbox for a match with this many seats.
    pub fn new(seats: usize) -> Self {
        let state = InboxState { events: VecDeque::with_capacity(seats * 8), unread: vec![(0, 0); seats] };
        Self { state: Mutex::new(state), dropped: AtomicU64::new(0) }
    }

    /// Puts an event in, within the bounds of its kind.
    pub fn put(&self, event: RoomEvent) -> Put {
        let mut state = lock(&self.state);
        let (seat, is_message) = match &event {
            RoomEvent::Unreliable { seat, .. } | RoomEvent::Delivered { seat, .. } => (*seat, false),
            RoomEvent::Message { seat, .. } => (*seat, true),
            _ => {
                state.events.push_back(event);
                return Put::Taken;
            }
        };
        let Some((inputs, messages)) = state.unread.get_mut(usize::from(seat.0)) else { return Put::Dropped };
        if is_message {
            if *messages == MESSAGES_PER_SEAT_MAX {
                return Put::Flooded;
            }
            *messages += 1;
        } else {
            if *inputs == INPUTS_PER_SEAT_MAX {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return Put::Dropped;
            }
            *inputs += 1;
        }
        state.events.push_back(event);
        Put::Taken
    }

    /// Moves everything into `events`, which must be empty and whose memory the inbox keeps using.
    pub fn take(&self, events: &mut VecDeque<RoomEvent>) {
        let mut state = lock(&self.state);
        std::mem::swap(&mut state.events, events);
        state.unread.fill((0, 0));
    }

    /// Inputs and acks dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// No code panics while it holds one of these locks, so a poisoned one still holds whole data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAT: SeatId = SeatId(0);
    const OTHER: SeatId = SeatId(1);

    fn input(seat: SeatId) -> RoomEvent {
        RoomEvent::Unreliable { seat, payload: vec![1], at: Micros::ZERO }
    }

    #[test]
    fn one_seats_flood_of_inputs_costs_only_itself() {
        let inbox = Inbox::new(2);
        for _ in 0..INPUTS_PER_SEAT_MAX {
            assert_eq!(inbox.put(input(SEAT)), Put::Taken);
        }
        assert_eq!(inbox.put(input(SEAT)), Put::Dropped);
        assert_eq!(inbox.put(RoomEvent::Delivered { seat: SEAT, tag: 1 }), Put::Dropped);
        assert_eq!((inbox.put(input(OTHER)), inbox.put(RoomEvent::Lost(SEAT))), (Put::Taken, Put::Taken));
        assert_eq!(inbox.dropped(), 2);
        let mut events = VecDeque::new();
        inbox.take(&mut events);
        assert_eq!(events.len(), usize::from(INPUTS_PER_SEAT_MAX) + 2);
        assert_eq!(inbox.put(input(SEAT)), Put::Taken, "reading makes room");
        assert_eq!(inbox.put(input(SeatId(9))), Put::Dropped, "no such seat");
    }

    #[test]
    fn a_flood_of_messages_is_reported_instead_of_dropped() {
        let inbox = Inbox::new(1);
        let message = || RoomEvent::Message { seat: SEAT, payload: vec![] };
        for _ in 0..MESSAGES_PER_SEAT_MAX {
            assert_eq!(inbox.put(message()), Put::Taken);
        }
        assert_eq!(inbox.put(message()), Put::Flooded);
    }
}
