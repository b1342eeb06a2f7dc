//! What goes into the use cases of webhooks and comes out of them.

use std::collections::BTreeSet;

use protocol::id::MatchId;
use serde::Serialize;

use crate::core::event::EventType;
use crate::core::match_event::EventKind;

/// How long an event is kept, delivered or not, in milliseconds: 30 days.
pub const EVENT_LIFE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// An endpoint that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub endpoint: String,
    /// What it wants to hear of matches.
    pub kinds: BTreeSet<EventKind>,
    /// What else it wants to hear of.
    pub others: BTreeSet<EventType>,
}

/// An event that an endpoint is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Number of the event; within one match later events have higher ones.
    pub sequence: u64,
    /// Id of the event.
    pub event_id: String,
    /// The JSON, byte for byte.
    pub body: String,
    /// Tries so far.
    pub attempts: u32,
    /// Unix milliseconds from which patience is counted.
    pub since_ms: u64,
}

/// What an endpoint can be told now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DueDeliveries {
    /// Those that are due, at most one of each match, oldest first.
    pub due: Vec<Delivery>,
    /// Unix milliseconds at which the next one becomes due, if one waits for a time.
    pub next_at_ms: Option<u64>,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Number of the event.
    pub sequence: u64,
    /// The outcome.
    pub outcome: Settlement,
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The endpoint has it.
    Delivered,
    /// It is tried again.
    Again {
        /// Unix milliseconds.
        at_ms: u64,
        /// Why it failed.
        reason: String,
    },
    /// It was tried for too long: a dead letter, until an operator sends it again.
    Dead {
        /// Why it failed at last.
        reason: String,
    },
}

/// Counts of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backlog {
    /// The endpoint.
    pub endpoint: String,
    /// Events that it acknowledged.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Events that it is still to be told of.
    pub pending: u64,
    /// Unix milliseconds of the oldest of these.
    pub oldest_pending_at_ms: Option<u64>,
    /// Dead letters.
    pub dead: u64,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The endpoint that never took it.
    pub endpoint: String,
    /// Id of the event.
    pub event_id: String,
    /// Kind of the event.
    pub kind: String,
    /// Its match, if it is of one.
    pub match_id: Option<MatchId>,
    /// What it is of otherwise, or empty.
    pub subject: String,
    /// Unix milliseconds of the event.
    pub at_ms: u64,
    /// Tries.
    pub attempts: u32,
    /// Why the last one failed.
    pub reason: String,
}
