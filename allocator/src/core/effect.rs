//! What the core wants done.

use std::sync::Arc;
use std::time::Duration;

use protocol::id::MatchId;

use super::link::LinkId;
use super::pool::ServerFacts;
use super::request::MatchRequest;

/// Names one Allocate call that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something for the shell to do. Effects are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send an order on a control link.
    Send {
        /// The link.
        link: LinkId,
        /// The order.
        order: Order,
    },
    /// Answer an Allocate call; each call gets exactly one.
    Answer {
        /// The call.
        call: CallId,
        /// Its answer.
        answer: Result<Placed, AllocateError>,
    },
    /// End a control link that the core no longer listens to.
    CloseLink {
        /// The link.
        link: LinkId,
    },
}

/// An order to a game server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The registration counts; always the first on a link.
    Registered,
    /// Host this match.
    Assign {
        /// The match.
        request: Arc<MatchRequest>,
        /// Number of the order, at least the caller's attempt; see [`Match::order`](super::matches::Match::order).
        attempt: u32,
        /// The server, as it registered: the certificate names its key.
        server: Arc<ServerFacts>,
    },
    /// End a match that nobody will come to.
    Release {
        /// The match.
        match_id: MatchId,
        /// Why, for people.
        reason: String,
    },
    /// Leave the pool when idle.
    Retire,
    /// No new match; those running have this long.
    Drain {
        /// Time that is left.
        left: Duration,
        /// Why, for people.
        reason: String,
    },
    /// The update of this number is recorded.
    UpdateAck {
        /// The number.
        number: u64,
    },
}

/// A match that can be joined, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The match.
    pub match_id: MatchId,
    /// Its server.
    pub server: Arc<ServerFacts>,
    /// Time from the first call to Joinable; zero for a match that its server brought along.
    pub took: Duration,
}

/// Why a call got no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// The match exists with other players.
    #[error("this match was asked for with another roster")]
    OtherRoster,
    /// No room came free while the call waited.
    #[error("no server with a free room in time")]
    NoServer,
    /// Too many matches wait already.
    #[error("too many matches wait for a server already")]
    QueueFull,
    /// Too many calls wait for this match already.
    #[error("too many calls wait for this match already")]
    TooManyCalls,
    /// An earlier leader may have placed the match on a server that has not registered yet.
    #[error("servers of an earlier leader have not registered yet: try again")]
    NotSettled,
    /// Servers were tried for as long as the call could take.
    #[error("no server answered in time: try again")]
    TimedOut,
    /// The allocator is shutting down.
    #[error("the allocator is shutting down: try again")]
    Stopping,
    /// The game refused the settings or the roster.
    #[error("the game refused the match: {0}")]
    GameRefused(String),
    /// The match has ended.
    #[error("the match has ended")]
    Ended,
    /// The match was given back.
    #[error("the match was released")]
    Released,
    /// The match was lost with its server.
    #[error("the match was lost with its server")]
    Lost,
}

impl AllocateError {
    /// The outcome as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::OtherRoster => "other_roster",
            Self::NoServer => "no_server",
            Self::QueueFull => "queue_full",
            Self::TooManyCalls => "too_many_calls",
            Self::NotSettled => "not_settled",
            Self::TimedOut => "timed_out",
            Self::Stopping => "stopping",
            Self::GameRefused(_) => "game_refused",
            Self::Ended => "ended",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}
