//! The store of tickets: live ones, and finished ones for a while, so that their owners can still read them.
//!
//! This is the one place that would change if tickets were to outlive the process: everything else reaches them
//! through the methods here.

use std::collections::{BTreeMap, VecDeque};

use protocol::id::{PartyId, TicketId};

use super::ticket::{IllegalTransition, State, Ticket};

/// How long a finished ticket stays readable, in milliseconds.
pub const FINISHED_MS: u64 = 600_000;
/// Most finished tickets that are kept; beyond that the oldest go early.
pub const FINISHED_MAX: usize = 50_000;

/// All tickets by id.
#[derive(Debug, Default)]
pub struct Tickets {
    all: BTreeMap<TicketId, Ticket>,
    /// Finished tickets, oldest end first, with the Unix milliseconds of their end.
    finished: VecDeque<(u64, TicketId)>,
    /// The live ticket of every party that has one.
    parties: BTreeMap<PartyId, TicketId>,
}

impl Tickets {
    /// The ticket with this id.
    pub fn get(&self, id: TicketId) -> Option<&Ticket> {
        self.all.get(&id)
    }

    /// The ticket with this id, to change what is no state of it.
    pub fn get_mut(&mut self, id: TicketId) -> Option<&mut Ticket> {
        self.all.get_mut(&id)
    }

    /// The live ticket of a party.
    pub fn of_party(&self, party: PartyId) -> Option<&Ticket> {
        self.parties.get(&party).and_then(|id| self.all.get(id))
    }

    /// Adds a ticket that begins to wait.
    pub fn insert(&mut self, ticket: Ticket) {
        if let Some(party) = ticket.request.party {
            self.parties.insert(party.id, ticket.id());
        }
        self.all.insert(ticket.id(), ticket);
    }

    /// Moves a ticket to its next state.
    ///
    /// # Errors
    /// [`IllegalTransition`]; nothing has changed.
    ///
    /// # Panics
    /// If there is no such ticket: only tickets that were found are moved.
    pub fn advance(&mut self, id: TicketId, next: State, now_ms: u64) -> Result<&Ticket, IllegalTransition> {
        let ticket = self.all.get_mut(&id).expect("only tickets that were found are moved");
        ticket.advance(next, now_ms)?;
        if ticket.state().is_final() {
            self.finished.push_back((now_ms, id));
            if let Some(party) = ticket.request.party
                && self.parties.get(&party.id) == Some(&id)
            {
                self.parties.remove(&party.id);
            }
        }
        Ok(ticket)
    }

    /// Forgets tickets that finished more than [`FINISHED_MS`] ago or are more than [`FINISHED_MAX`].
    pub fn forget_finished(&mut self, now_ms: u64) {
        while let Some((ended_ms, id)) = self.finished.front().copied() {
            if self.finished.len() <= FINISHED_MAX && now_ms < ended_ms.saturating_add(FINISHED_MS) {
                break;
            }
            self.finished.pop_front();
            self.all.remove(&id);
        }
    }

    /// Tickets in the store, live and finished.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether the store is empty.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Live tickets.
    pub fn live(&self) -> usize {
        self.all.len() - self.finished.len()
    }
}
