//! A ticket and its states. Only legal transitions are possible:
//!
//! ```text
//! QUEUED ─→ PLACING ─→ COMPLETED
//!   │ ↑        │ ├───→ FAILED
//!   │ └────────┘ └ (given back with its original age)
//!   └→ CANCELLED | TIMED_OUT
//! ```

use std::sync::Arc;

use protocol::id::{MatchId, PartyId, PlayerId, TicketId};
use protocol::pb;

/// A player of a ticket. Rating and name come from metagame, never from a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Player {
    /// Who.
    pub id: PlayerId,
    /// Name to show.
    pub name: String,
    /// Mean of the skill estimate; finite.
    pub rating: f64,
    /// Deviation of the skill estimate; finite.
    pub uncertainty: f64,
}

/// The party that a ticket stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// Who.
    pub id: PartyId,
    /// Grows with every change of the party.
    pub version: u64,
}

/// What a caller asks for with CreateTicket, its form already checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTicket {
    /// The idempotency key.
    pub id: TicketId,
    /// Name of the queue.
    pub queue: String,
    /// One player or a party; not empty, nobody twice.
    pub players: Arc<[Player]>,
    /// The party, if it is one.
    pub party: Option<Party>,
    /// Round-trip time in milliseconds by region, each region once.
    pub region_rtts: Arc<[(String, u32)]>,
    /// Build that the clients speak; empty: the queue's.
    pub build: String,
    /// 32 hex digits.
    pub trace_id: String,
}

impl NewTicket {
    /// Whether both ask for the same. What metagame fills in (names, ratings, trace) does not count: it may have
    /// changed between two tries of one caller.
    pub fn same_request(&self, other: &Self) -> bool {
        let who = |ticket: &Self| ticket.players.iter().map(|player| player.id).collect::<Vec<_>>();
        self.id == other.id
            && self.queue == other.queue
            && self.party == other.party
            && self.region_rtts == other.region_rtts
            && self.build == other.build
            && who(self) == who(other)
    }

    /// Mean rating of the players.
    pub fn rating(&self) -> f64 {
        self.players.iter().map(|player| player.rating).sum::<f64>() / self.players.len().max(1) as f64
    }
}

/// Where a match plays and who plays in it; shared by its tickets.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// What a client needs to reach the server.
    pub assignment: pb::Assignment,
    /// Everyone in the match.
    pub roster: Arc<[pb::RosterEntry]>,
}

/// The state of a ticket, with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Waiting for a match.
    Queued,
    /// In a match; a server is being found.
    Placing {
        /// The match.
        match_id: MatchId,
    },
    /// Assigned.
    Completed {
        /// The match.
        match_id: MatchId,
        /// Where, and with whom.
        placed: Arc<Placed>,
    },
    /// Ended by its owner, by a newer version of its party, or by a shutdown.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// Nobody to play with came in time.
    TimedOut {
        /// Why.
        reason: String,
    },
    /// Its match could not be placed.
    Failed {
        /// The match.
        match_id: MatchId,
        /// Why.
        reason: String,
    },
}

impl State {
    /// Whether nothing comes after it.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::Placing { .. })
    }

    /// The state's name as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Placing { .. } => "placing",
            Self::Completed { .. } => "completed",
            Self::Cancelled { .. } => "cancelled",
            Self::TimedOut { .. } => "timed_out",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether a ticket may go from this state to `next`.
    pub fn may_become(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::Queued, Self::Placing { .. } | Self::Cancelled { .. } | Self::TimedOut { .. })
            | (Self::Placing { .. }, Self::Queued) => true,
            (
                Self::Placing { match_id: from },
                Self::Completed { match_id: to, .. } | Self::Failed { match_id: to, .. },
            ) => from == to,
            _ => false,
        }
    }
}

/// A transition that a ticket does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a ticket that is {from} cannot become {to}")]
pub struct IllegalTransition {
    from: &'static str,
    to: &'static str,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// What was asked for; shared by all events of the ticket.
    pub request: Arc<NewTicket>,
    /// Number of its queue, which no other queue ever has.
    pub queue: usize,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// Unix milliseconds of the last change.
    pub updated_ms: u64,
    /// Cursor of its newest event.
    pub cursor: u64,
    /// Expected wait in milliseconds from its creation on; 0: not known.
    pub estimated_wait_ms: u32,
    /// How often its match found no server.
    pub given_back: u32,
    state: State,
}

impl Ticket {
    /// A ticket that begins to wait.
    pub fn new(request: NewTicket, queue: usize, now_ms: u64) -> Self {
        Self {
            request: Arc::new(request),
            queue,
            created_ms: now_ms,
            updated_ms: now_ms,
            cursor: 0,
            estimated_wait_ms: 0,
            given_back: 0,
            state: State::Queued,
        }
    }

    /// Its id.
    pub fn id(&self) -> TicketId {
        self.request.id
    }

    /// Its state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The match it is in or was in, from PLACING on.
    pub fn match_id(&self) -> Option<MatchId> {
        match &self.state {
            State::Placing { match_id } | State::Completed { match_id, .. } | State::Failed { match_id, .. } => {
                Some(*match_id)
            }
            State::Queued | State::Cancelled { .. } | State::TimedOut { .. } => None,
        }
    }

    /// How long it has waited or did wait, in milliseconds.
    pub fn waited_ms(&self, now_ms: u64) -> u64 {
        let end = if self.state.is_final() { self.updated_ms } else { now_ms };
        end.saturating_sub(self.created_ms)
    }

    /// Moves to the next state.
    ///
    /// # Errors
    /// [`IllegalTransition`]; the ticket stays as it was.
    pub fn advance(&mut self, next: State, now_ms: u64) -> Result<(), IllegalTransition> {
        if !self.state.may_become(&next) {
            return Err(IllegalTransition { from: self.state.label(), to: next.label() });
        }
        self.state = next;
        self.updated_ms = now_ms;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> Vec<State> {
        let match_id = MatchId::from_entropy([1; 16]);
        let placed = Arc::new(Placed { assignment: pb::Assignment::default(), roster: Arc::from([]) });
        vec![
            State::Queued,
            State::Placing { match_id },
            State::Completed { match_id, placed },
            State::Cancelled { reason: String::new() },
            State::TimedOut { reason: String::new() },
            State::Failed { match_id, reason: String::new() },
        ]
    }

    #[test]
    fn exactly_the_drawn_transitions_are_legal() {
        let legal: Vec<(&str, &str)> = states()
            .iter()
            .flat_map(|from| states().into_iter().map(move |to| (from.clone(), to)))
            .filter(|(from, to)| from.may_become(to))
            .map(|(from, to)| (from.label(), to.label()))
            .collect();
        let drawn = [
            ("queued", "placing"),
            ("queued", "cancelled"),
            ("queued", "timed_out"),
            ("placing", "queued"),
            ("placing", "completed"),
            ("placing", "failed"),
        ];
        assert_eq!(legal, drawn);
    }

    #[test]
    fn a_ticket_cannot_complete_in_a_match_that_is_not_its_own() {
        let (own, other) = (MatchId::from_entropy([1; 16]), MatchId::from_entropy([2; 16]));
        let placed = Arc::new(Placed { assignment: pb::Assignment::default(), roster: Arc::from([]) });
        assert!(!State::Placing { match_id: own }.may_become(&State::Completed { match_id: other, placed }));
    }
}
