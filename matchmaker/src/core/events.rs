//! The log of ticket events: a ring with a cursor, so that a watcher that was cut off goes on where it stopped.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ticket::Ticket;

/// A ticket as it was after a change.
#[derive(Debug, Clone)]
pub struct Event {
    /// Strictly increasing by 1 within a log.
    pub cursor: u64,
    /// The whole ticket after the change.
    pub ticket: Arc<Ticket>,
}

/// A cursor from which the log cannot go on: its events are gone, or it is of another log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cursor {cursor} is not in this log, which holds {oldest} to {newest}: read the tickets and watch from 0")]
pub struct UnknownCursor {
    /// The cursor.
    pub cursor: u64,
    /// Smallest cursor from which the log goes on.
    pub oldest: u64,
    /// Newest cursor.
    pub newest: u64,
}

/// The newest events, at most a fixed number.
#[derive(Debug)]
pub struct EventLog {
    log_id: String,
    events: VecDeque<Event>,
    newest: u64,
    events_max: usize,
}

/// A piece of the log.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events in order.
    pub events: Vec<Event>,
    /// Ask for what comes after this next time.
    pub cursor: u64,
}

impl EventLog {
    /// An empty log whose first event will have the cursor `first_cursor` + 1.
    ///
    /// A log's first cursor is best taken from the time of its start (say, Unix milliseconds × 1,000): then a cursor
    /// of an earlier log is recognised as too old, where small numbers would be taken for this log's own.
    pub fn new(log_id: String, first_cursor: u64, events_max: usize) -> Self {
        Self { log_id, events: VecDeque::new(), newest: first_cursor, events_max: events_max.max(1) }
    }

    /// Which log this is; another one after a restart.
    pub fn log_id(&self) -> &str {
        &self.log_id
    }

    /// Cursor of the newest event.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds an event; the oldest goes when the log is full.
    ///
    /// # Panics
    /// If its cursor is not the next one: there is one writer.
    pub fn append(&mut self, event: Event) {
        assert_eq!(event.cursor, self.newest + 1, "events are numbered without gaps by their one writer");
        self.newest = event.cursor;
        if self.events.len() == self.events_max {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// At most `events_max` events after `cursor`, of one queue or of all. Cursor 0 begins with the oldest there is.
    ///
    /// # Errors
    /// [`UnknownCursor`] if events after it are gone or it is ahead of the log.
    pub fn after(&self, cursor: u64, queue: Option<&str>, events_max: usize) -> Result<Batch, UnknownCursor> {
        let oldest = self.newest - self.events.len() as u64;
        let cursor = if cursor == 0 { oldest } else { cursor };
        if cursor < oldest || cursor > self.newest {
            return Err(UnknownCursor { cursor, oldest, newest: self.newest });
        }
        let skip = usize::try_from(cursor - oldest).expect("the ring fits memory");
        let mut batch = Batch { events: Vec::new(), cursor };
        for event in self.events.iter().skip(skip) {
            if batch.events.len() == events_max {
                break;
            }
            batch.cursor = event.cursor;
            if queue.is_none_or(|queue| event.ticket.request.queue == queue) {
                batch.events.push(event.clone());
            }
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::TicketId;

    use super::*;
    use crate::core::ticket::NewTicket;

    fn event(cursor: u64, queue: &str) -> Event {
        let request = NewTicket {
            id: TicketId::from_entropy([1; 16]),
            queue: queue.into(),
            players: Arc::from([]),
            party: None,
            region_rtts: Arc::from([]),
            build: String::new(),
            trace_id: String::new(),
        };
        Event { cursor, ticket: Arc::new(Ticket::new(request, 0, 0)) }
    }

    fn cursors(log: &EventLog, cursor: u64, queue: Option<&str>) -> Result<Vec<u64>, UnknownCursor> {
        Ok(log.after(cursor, queue, 100)?.events.iter().map(|event| event.cursor).collect())
    }

    #[test]
    fn a_watcher_goes_on_after_its_cursor_until_the_ring_has_passed_it() {
        let mut log = EventLog::new("a".into(), 1_000, 3);
        assert_eq!(cursors(&log, 0, None), Ok(vec![]));
        (1_001..=1_005).for_each(|cursor| log.append(event(cursor, if cursor % 2 == 0 { "even" } else { "odd" })));
        assert_eq!(cursors(&log, 0, None), Ok(vec![1_003, 1_004, 1_005]));
        assert_eq!(cursors(&log, 1_002, None), Ok(vec![1_003, 1_004, 1_005]));
        assert_eq!(cursors(&log, 1_005, None), Ok(vec![]));
        assert_eq!(cursors(&log, 0, Some("even")), Ok(vec![1_004]));
        for unknown in [1, 999, 1_001, 1_006] {
            assert!(cursors(&log, unknown, None).is_err(), "{unknown}");
        }
    }

    #[test]
    fn batches_are_bounded_and_skip_other_queues_for_good() {
        let mut log = EventLog::new("a".into(), 0, 10);
        (1..=6).for_each(|cursor| log.append(event(cursor, if cursor > 4 { "b" } else { "a" })));
        let batch = log.after(0, Some("a"), 3).expect("a known cursor");
        assert_eq!((batch.events.len(), batch.cursor), (3, 3));
        let batch = log.after(3, Some("a"), 3).expect("a known cursor");
        assert_eq!((batch.events.len(), batch.cursor), (1, 6));
    }
}
