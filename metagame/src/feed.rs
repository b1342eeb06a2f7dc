//! One stream of ticket events from the matchmaker, handed out to whoever waits for a ticket.
//!
//! An event is the whole ticket, so a subscriber needs the newest alone: one that is slow skips the states in
//! between and costs no memory. Entries exist only while somebody waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::id::TicketId;
use protocol::pb;
use tokio::sync::watch;

use crate::metrics;

/// Most streams for one ticket: the devices of one party.
const PER_TICKET_MAX: usize = 8;

/// A ticket as the matchmaker's log tells it.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    /// Counts the matchmaker's logs: cursors of different logs do not compare.
    pub(crate) log: u64,
    pub(crate) ticket: Arc<pb::Ticket>,
}

#[derive(Debug, Default)]
struct Waiting {
    log: u64,
    open: usize,
    tickets: HashMap<TicketId, watch::Sender<Option<Update>>>,
}

/// Who waits for which ticket.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    waiting: Arc<Mutex<Waiting>>,
    subscribers_max: usize,
}

/// No room for another subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Feed {
    pub(crate) fn new(subscribers_max: usize) -> Self {
        Self { waiting: Arc::default(), subscribers_max }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for events of a ticket from now on.
    ///
    /// # Errors
    /// [`Full`] above the bound, for all tickets or for this one.
    pub(crate) fn subscribe(&self, ticket_id: TicketId) -> Result<Subscription, Full> {
        let mut waiting = self.lock();
        if waiting.open >= self.subscribers_max {
            return Err(Full);
        }
        let log = waiting.log;
        let sender = waiting.tickets.entry(ticket_id).or_insert_with(|| watch::Sender::new(None));
        if sender.receiver_count() >= PER_TICKET_MAX {
            return Err(Full);
        }
        let updates = sender.subscribe();
        waiting.open += 1;
        metrics::subscribers(waiting.open);
        Ok(Subscription { feed: self.clone(), ticket_id, log, updates: Some(updates) })
    }

    /// Hands a ticket to those who wait for it.
    pub(crate) fn publish(&self, ticket_id: TicketId, ticket: pb::Ticket) {
        let waiting = self.lock();
        if let Some(sender) = waiting.tickets.get(&ticket_id) {
            sender.send_replace(Some(Update { log: waiting.log, ticket: Arc::new(ticket) }));
        }
    }

    /// The matchmaker started a new log. Returns the tickets that somebody waits for.
    pub(crate) fn begin_log(&self) -> Vec<TicketId> {
        let mut waiting = self.lock();
        waiting.log += 1;
        waiting.tickets.keys().copied().collect()
    }
}

/// Waiting for one ticket; dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Subscription {
    feed: Feed,
    ticket_id: TicketId,
    /// The matchmaker's log at the time of the last ticket that was seen.
    log: u64,
    updates: Option<watch::Receiver<Option<Update>>>,
}

impl Subscription {
    /// The ticket, once it is newer than `cursor`.
    pub(crate) async fn newer(&mut self, cursor: u64) -> Arc<pb::Ticket> {
        let updates = self.updates.as_mut().expect("it is taken by drop alone");
        loop {
            let update = updates.borrow_and_update().clone();
            if let Some(update) = update
                && (update.log != self.log || update.ticket.cursor > cursor)
            {
                self.log = update.log;
                return update.ticket;
            }
            if updates.changed().await.is_err() {
                // The sender lives as long as a subscriber does, so this waits for ever rather than spins.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut waiting = self.feed.lock();
        drop(self.updates.take());
        if waiting.tickets.get(&self.ticket_id).is_some_and(|sender| sender.receiver_count() == 0) {
            waiting.tickets.remove(&self.ticket_id);
        }
        waiting.open -= 1;
        metrics::subscribers(waiting.open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> TicketId {
        TicketId::from_entropy([byte; 16])
    }

    fn ticket(cursor: u64) -> pb::Ticket {
        pb::Ticket { cursor, ..Default::default() }
    }

    #[tokio::test]
    async fn a_slow_subscriber_gets_the_newest_and_nothing_twice() {
        let feed = Feed::new(10);
        let mut subscription = feed.subscribe(id(1)).expect("room");
        for cursor in 1..=5 {
            feed.publish(id(1), ticket(cursor));
        }
        assert_eq!(subscription.newer(0).await.cursor, 5);
        assert!(subscription.newer(5).now_or_never().is_none(), "it was seen");
        feed.publish(id(1), ticket(4));
        assert!(subscription.newer(5).now_or_never().is_none(), "it is older");
        feed.begin_log();
        feed.publish(id(1), ticket(2));
        assert_eq!(subscription.newer(5).await.cursor, 2, "a new log counts anew");
    }

    #[test]
    fn memory_is_bounded_by_those_who_wait() {
        let feed = Feed::new(9);
        let same: Vec<_> = (0..PER_TICKET_MAX).map(|_| feed.subscribe(id(1)).expect("room")).collect();
        assert_eq!(feed.subscribe(id(1)).err(), Some(Full), "one ticket has its bound");
        let other = feed.subscribe(id(2)).expect("room");
        assert_eq!(feed.subscribe(id(3)).err(), Some(Full), "and all together");
        drop(other);
        drop(same);
        feed.publish(id(1), ticket(1));
        assert!(feed.lock().tickets.is_empty() && feed.lock().open == 0);
    }

    use futures_util::FutureExt as _;
}
