//! The match log: a bounded ring of events that others follow by cursor.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::pb;

/// The log. Cursors begin at 1 and never skip; `log_id` changes with every log, for then they begin again.
#[derive(Debug)]
pub struct EventLog {
    log_id: String,
    events: VecDeque<Arc<pb::MatchEvent>>,
    newest: u64,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

/// The cursor does not belong to this log, or what follows it was forgotten: start from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("events after this cursor are no longer kept, or it is of another log: start from 0")]
pub struct CursorOutOfRange;

impl EventLog {
    /// An empty log of at most `events_max` events and `bytes_max` bytes of statistics.
    pub fn new(log_id: String, events_max: usize, bytes_max: usize) -> Self {
        Self { log_id, events: VecDeque::new(), newest: 0, bytes: 0, events_max: events_max.max(1), bytes_max }
    }

    /// Cursor of the newest event, 0 before the first.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Writes an event; the log fills in its cursor and `log_id`. The oldest events fall out over the bounds.
    pub fn append(&mut self, mut event: pb::MatchEvent) {
        self.newest += 1;
        event.cursor = self.newest;
        event.log_id.clone_from(&self.log_id);
        self.bytes += stats_bytes(&event);
        self.events.push_back(Arc::new(event));
        while self.events.len() > self.events_max || (self.bytes > self.bytes_max && self.events.len() > 1) {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= stats_bytes(&oldest);
            }
        }
    }

    /// At most `events_max` events after `cursor`, oldest first. Cursor 0 is always good: it begins with the oldest
    /// that is kept.
    ///
    /// # Errors
    /// [`CursorOutOfRange`].
    pub fn after(&self, cursor: u64, events_max: usize) -> Result<Vec<Arc<pb::MatchEvent>>, CursorOutOfRange> {
        let forgotten = self.newest - self.events.len() as u64;
        if cursor > self.newest || (cursor != 0 && cursor < forgotten) {
            return Err(CursorOutOfRange);
        }
        let skip = usize::try_from(cursor.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        Ok(self.events.iter().skip(skip).take(events_max).cloned().collect())
    }
}

fn stats_bytes(event: &pb::MatchEvent) -> usize {
    event.stats.as_ref().map_or(0, |stats| stats.tick_us.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(events: u64) -> EventLog {
        let mut log = EventLog::new("log".into(), 4, 100);
        for at_ms in 1..=events {
            log.append(pb::MatchEvent { at_ms, ..Default::default() });
        }
        log
    }

    fn cursors(log: &EventLog, cursor: u64, max: usize) -> Result<Vec<u64>, CursorOutOfRange> {
        log.after(cursor, max).map(|events| events.iter().map(|event| event.cursor).collect())
    }

    #[test]
    fn a_cursor_resumes_where_it_stopped() {
        let log = log(3);
        assert_eq!(cursors(&log, 0, 9), Ok(vec![1, 2, 3]));
        assert_eq!(cursors(&log, 1, 1), Ok(vec![2]));
        assert_eq!(cursors(&log, 3, 9), Ok(vec![]));
        assert_eq!(cursors(&log, 4, 9), Err(CursorOutOfRange), "a cursor of another log");
        assert!(log.after(0, 9).expect("events").iter().all(|event| event.log_id == "log"));
    }

    #[test]
    fn the_oldest_fall_out_and_a_cursor_before_them_is_out_of_range() {
        let log = log(7);
        assert_eq!(cursors(&log, 0, 9), Ok(vec![4, 5, 6, 7]));
        assert_eq!(cursors(&log, 3, 9), Ok(vec![4, 5, 6, 7]));
        assert_eq!(cursors(&log, 2, 9), Err(CursorOutOfRange));
    }

    #[test]
    fn statistics_are_bounded_by_their_bytes() {
        let mut log = EventLog::new("log".into(), 100, 100);
        for _ in 0..5 {
            let stats = pb::MatchStats { tick_us: vec![0; 40], ..Default::default() };
            log.append(pb::MatchEvent { stats: Some(stats), ..Default::default() });
        }
        assert_eq!(cursors(&log, 0, 9), Ok(vec![4, 5]));
    }
}
