//! Other queues while the program runs. No ticket is lost: those that wait go on under the new rules, with their age;
//! the ones that the new rules can never match, or whose queue is gone, end with the reason. A match that is being
//! placed goes on as it was made.

use std::sync::Arc;

use super::matchmaker::{Matchmaker, Queue, check_request, shape};
use super::packing::Packing;
use super::queue_config::{QueueConfig, Queues};
use super::ticket::{State, Ticket};

/// What other queues have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconfigured {
    /// Names of the queues that take tickets now and did not before.
    pub added: Vec<String>,
    /// Names of the queues that have other rules now.
    pub changed: Vec<String>,
    /// Names of the queues that take no more tickets.
    pub removed: Vec<String>,
    /// Waiting tickets that had to end.
    pub ended_tickets: usize,
}

impl Reconfigured {
    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl Matchmaker {
    /// Serves exactly these queues from now on.
    pub fn reconfigure(&mut self, queues: &Queues, now_ms: u64) -> Reconfigured {
        let live_before = self.live_tickets();
        let mut done = Reconfigured::default();
        for config in queues.as_slice() {
            let known = self.queues.iter().find(|(_, queue)| queue.config.name == config.name);
            match known.map(|(number, queue)| (*number, queue.removed, queue.config.clone())) {
                None => {
                    self.queues.insert(self.next_number, Queue::new(config, now_ms));
                    self.next_number += 1;
                    done.added.push(config.name.clone());
                }
                Some((_, false, standing)) if *standing == *config => {}
                Some((number, removed, standing)) => {
                    let names = if removed { &mut done.added } else { &mut done.changed };
                    names.push(config.name.clone());
                    self.change(number, &standing, config, now_ms);
                }
            }
        }
        let stays = |queue: &Queue| queues.as_slice().iter().any(|config| config.name == queue.config.name);
        let gone = self.queues.iter().filter(|(_, queue)| !queue.removed && !stays(queue));
        let gone: Vec<usize> = gone.map(|(number, _)| *number).collect();
        for number in gone {
            let queue = self.queue_mut(number);
            queue.removed = true;
            done.removed.push(queue.config.name.clone());
            self.wait_anew(number, now_ms);
        }
        self.forget_removed();
        done.ended_tickets = live_before - self.live_tickets();
        done
    }

    fn change(&mut self, number: usize, standing: &QueueConfig, config: &QueueConfig, now_ms: u64) {
        let queue = self.queue_mut(number);
        queue.removed = false;
        queue.config = Arc::new(config.clone());
        if shape(config) != queue.packing.shape() {
            queue.packing = Packing::new(shape(config));
        }
        let same_rules = QueueConfig { source: config.source.clone(), ..standing.clone() } == *config;
        if !same_rules {
            self.wait_anew(number, now_ms);
        }
    }

    /// Puts everyone who waits in a queue into its pool anew, by its present rules; who does not fit them ends.
    fn wait_anew(&mut self, number: usize, now_ms: u64) {
        for waiting in self.queue_mut(number).pool.take() {
            let ticket = self.tickets.get(waiting.ticket).expect("whoever waits is in the store").clone();
            match self.still_takes(&ticket) {
                Ok(rtts) => self.wait(&ticket, rtts, waiting.held_until_ms),
                Err(reason) => self.end(waiting.ticket, State::Cancelled { reason }, now_ms),
            }
        }
    }

    /// Whether a ticket's queue, as it is now, can ever match it; its round-trip times if it can, the reason if not.
    pub(super) fn still_takes(&self, ticket: &Ticket) -> Result<Arc<[u32]>, String> {
        let queue = &self.queues[&ticket.queue];
        let name = &queue.config.name;
        if queue.removed {
            return Err(format!("queue \"{name}\" was removed"));
        }
        check_request(&queue.config, &ticket.request).map_err(|error| format!("queue \"{name}\" was changed: {error}"))
    }

    /// Forgets the removed queues of which no ticket lives.
    pub(super) fn forget_removed(&mut self) {
        self.queues.retain(|_, queue| !queue.removed || queue.live_tickets > 0);
    }
}
