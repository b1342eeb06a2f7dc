//! What comes of a match that was committed: placed, given back, or failed; and the end of the program.

use std::sync::Arc;

use protocol::id::{MatchId, TicketId};
use protocol::pb;

use super::estimate::Wait;
use super::matchmaker::{Entropy, Matchmaker, size};
use super::placing::Outcome;
use super::ticket::{Placed, State};

/// Hold-off of a ticket whose match found no server, in milliseconds; doubles with each time.
const HOLD_MS: u64 = 500;
/// Longest hold-off in milliseconds.
const HOLD_MS_MAX: u64 = 4_000;

impl Matchmaker {
    /// Settles a match. Unknown matches, settled before, change nothing.
    pub fn settle(
        &mut self,
        match_id: MatchId,
        outcome: Outcome,
        roster: &Arc<[pb::RosterEntry]>,
        now_ms: u64,
        entropy: Entropy<'_>,
    ) {
        let Some(tickets) = self.matches.remove(&match_id) else {
            return;
        };
        let number = tickets.first().and_then(|id| self.tickets.get(*id)).map(|ticket| ticket.queue);
        if let Some(number) = number {
            let queue = self.queue_mut(number);
            queue.placing_matches -= 1;
            queue.matches_made += u64::from(matches!(outcome, Outcome::Placed(_)));
        }
        match outcome {
            Outcome::Placed(assignment) => {
                let placed = Arc::new(Placed { assignment: *assignment, roster: roster.clone() });
                for id in tickets {
                    self.end(id, State::Completed { match_id, placed: placed.clone() }, now_ms);
                    self.record_wait(id, now_ms);
                }
            }
            Outcome::GiveBack { .. } => tickets.into_iter().for_each(|id| self.give_back(id, now_ms, entropy)),
            Outcome::Failed { reason } => {
                for id in tickets {
                    self.end(id, State::Failed { match_id, reason: reason.clone() }, now_ms);
                }
            }
        }
    }

    /// Back to the queue with the original age; held off a little, so that a full fleet is not asked without pause.
    fn give_back(&mut self, id: TicketId, now_ms: u64, entropy: Entropy<'_>) {
        if self.tickets.advance(id, State::Queued, now_ms).is_err() {
            return;
        }
        let Some(ticket) = self.tickets.get_mut(id) else {
            return;
        };
        let hold_ms = (HOLD_MS << ticket.given_back.min(8)).min(HOLD_MS_MAX);
        let hold_ms = hold_ms / 2 + entropy() % (hold_ms / 2 + 1);
        ticket.given_back = ticket.given_back.saturating_add(1);
        let ticket = ticket.clone();
        self.log(id);
        let stays = if self.closing { Err(SHUTTING_DOWN.to_owned()) } else { self.still_takes(&ticket) };
        match stays {
            Ok(rtts) => self.wait(&ticket, rtts, now_ms + hold_ms),
            Err(reason) => self.end(id, State::Cancelled { reason }, now_ms),
        }
    }

    fn record_wait(&mut self, id: TicketId, now_ms: u64) {
        if let Some(ticket) = self.tickets.get(id) {
            let number = ticket.queue;
            let wait = Wait {
                at_ms: now_ms,
                wait_ms: ticket.waited_ms(now_ms),
                rating: ticket.request.rating(),
                size: size(ticket),
            };
            self.queue_mut(number).waits.record(wait);
        }
    }

    /// Begins the end: no new tickets, those that wait are cancelled, matches that are being placed may finish.
    pub fn close(&mut self, now_ms: u64) {
        self.closing = true;
        let waiting: Vec<TicketId> = self.queues.values().flat_map(|queue| queue.pool.by_age()).collect();
        for id in waiting {
            self.end(id, State::Cancelled { reason: SHUTTING_DOWN.into() }, now_ms);
        }
    }
}

const SHUTTING_DOWN: &str = "shutting down";
