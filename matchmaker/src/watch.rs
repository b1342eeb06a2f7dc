//! Streams of ticket events. The actor appends to one log; each watcher reads it at its own pace and holds nothing
//! but a cursor and one batch. A watcher that is too slow is passed by the log's ring and ended with OUT_OF_RANGE.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::Stream;
use futures_util::stream::unfold;
use protocol::pb;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::Status;

use crate::core::events::{Batch, Event, EventLog, UnknownCursor};
use crate::{convert, metrics};

/// Most watchers at once. Metagame needs one or two.
const WATCHERS_MAX: usize = 256;
/// Events that a watcher takes from the log at once.
const BATCH: usize = 256;

/// How far the log is.
#[derive(Debug, Clone, Copy)]
struct Head {
    newest: u64,
    closed: bool,
}

/// The event log, written by the actor and read by all watchers.
#[derive(Debug)]
pub(crate) struct SharedLog {
    log: Mutex<EventLog>,
    log_id: String,
    head: watch::Sender<Head>,
    watchers: Arc<Semaphore>,
}

impl SharedLog {
    pub(crate) fn new(log: EventLog) -> Arc<Self> {
        let head = watch::Sender::new(Head { newest: log.newest(), closed: false });
        let log_id = log.log_id().to_owned();
        Arc::new(Self { log: Mutex::new(log), log_id, head, watchers: Arc::new(Semaphore::new(WATCHERS_MAX)) })
    }

    /// Adds events; the actor alone calls this.
    pub(crate) fn append(&self, events: Vec<Event>) {
        let Some(newest) = events.last().map(|event| event.cursor) else {
            return;
        };
        {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            events.into_iter().for_each(|event| log.append(event));
        }
        self.head.send_modify(|head| head.newest = newest);
    }

    /// No more events: watchers end once they have read all.
    pub(crate) fn close(&self) {
        self.head.send_modify(|head| head.closed = true);
    }

    fn after(&self, cursor: u64, queue: Option<&str>) -> Result<Batch, UnknownCursor> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).after(cursor, queue, BATCH)
    }

    /// A stream of the events after `cursor`, of one queue or of all, then live.
    ///
    /// # Errors
    /// OUT_OF_RANGE for a cursor from which the log cannot go on; RESOURCE_EXHAUSTED with too many watchers.
    pub(crate) fn watch(
        self: &Arc<Self>,
        cursor: u64,
        queue: Option<String>,
    ) -> Result<impl Stream<Item = Result<pb::TicketEvent, Status>> + Send + use<>, Status> {
        let permit = self.watchers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted(format!("{WATCHERS_MAX} watchers already")))?;
        let head = self.head.subscribe();
        let first = self.after(cursor, queue.as_deref()).map_err(|error| out_of_range(&error))?;
        metrics::watchers(1.0);
        let watcher = Watcher {
            log: self.clone(),
            head,
            queue,
            cursor: first.cursor,
            events: first.events.into(),
            ended: false,
            _permit: permit,
        };
        Ok(unfold(watcher, |mut watcher| async move { watcher.next().await.map(|item| (item, watcher)) }))
    }
}

fn out_of_range(error: &UnknownCursor) -> Status {
    Status::out_of_range(error.to_string())
}

/// One watcher's place in the log.
struct Watcher {
    log: Arc<SharedLog>,
    head: watch::Receiver<Head>,
    queue: Option<String>,
    cursor: u64,
    events: VecDeque<Event>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<pb::TicketEvent, Status>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                let ticket = Some(convert::ticket(&event.ticket));
                return Some(Ok(pb::TicketEvent { cursor: event.cursor, log_id: self.log.log_id.clone(), ticket }));
            }
            if self.ended {
                return None;
            }
            let head = *self.head.borrow_and_update();
            if self.cursor < head.newest {
                match self.log.after(self.cursor, self.queue.as_deref()) {
                    Ok(batch) => {
                        self.cursor = batch.cursor;
                        self.events = batch.events.into();
                    }
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(out_of_range(&error)));
                    }
                }
            } else if head.closed || self.head.changed().await.is_err() {
                self.ended = true;
                return Some(Err(Status::unavailable("the matchmaker is shutting down: watch again in a moment")));
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        metrics::watchers(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use protocol::id::TicketId;

    use super::*;
    use crate::core::ticket::{NewTicket, Ticket};

    fn event(cursor: u64) -> Event {
        let request = NewTicket {
            id: TicketId::from_entropy([1; 16]),
            queue: "q".into(),
            players: Arc::from([]),
            party: None,
            region_rtts: Arc::from([]),
            build: String::new(),
            trace_id: String::new(),
        };
        Event { cursor, ticket: Arc::new(Ticket::new(request, 0, 0)) }
    }

    #[tokio::test]
    async fn a_watcher_that_the_ring_has_passed_is_ended_and_resumes_anew() {
        let log = SharedLog::new(EventLog::new("a".into(), 0, 1_000));
        let mut stream = Box::pin(log.watch(0, None).expect("a watcher"));
        log.append(vec![event(1)]);
        assert_eq!(stream.next().await.expect("open").expect("event").cursor, 1);
        log.append((2..=3_000).map(event).collect());
        let status = stream.next().await.expect("a last word").expect_err("the ring has passed it");
        assert_eq!(status.code(), tonic::Code::OutOfRange);
        assert!(stream.next().await.is_none());
        assert_eq!(log.watch(1, None).err().map(|status| status.code()), Some(tonic::Code::OutOfRange));
        let mut stream = Box::pin(log.watch(2_999, None).expect("a known cursor"));
        assert_eq!(stream.next().await.expect("open").expect("event").cursor, 3_000);
    }

    #[tokio::test]
    async fn a_closed_log_is_read_to_its_end_first() {
        let log = SharedLog::new(EventLog::new("a".into(), 0, 10));
        let mut stream = Box::pin(log.watch(0, None).expect("a watcher"));
        log.append(vec![event(1)]);
        log.close();
        assert!(stream.next().await.expect("open").is_ok());
        assert_eq!(stream.next().await.expect("a last word").expect_err("closed").code(), tonic::Code::Unavailable);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn watchers_are_bounded_and_make_room_when_they_go() {
        let log = SharedLog::new(EventLog::new("a".into(), 0, 10));
        let streams: Vec<_> = (0..WATCHERS_MAX).map(|_| log.watch(0, None).expect("room")).collect();
        assert_eq!(log.watch(0, None).err().map(|status| status.code()), Some(tonic::Code::ResourceExhausted));
        drop(streams);
        assert!(log.watch(0, None).is_ok());
    }
}
