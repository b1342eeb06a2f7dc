//! What an operator may tune: times and bounds.

use std::time::Duration;

/// How long things may take. The defaults are those of the design.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between two pings on a control link.
    pub ping_interval: Duration,
    /// A stream whose first message is not Register within this time is ended.
    pub register_timeout: Duration,
    /// Silence after which a server is Suspect and gets no new match.
    pub suspect_after: Duration,
    /// Silence after which a server is Lost and its matches with it.
    pub lost_after: Duration,
    /// How long a server may take to answer Assign before the next one is tried.
    pub assign_timeout: Duration,
    /// Longest that one Allocate call waits for a free room, whatever it asks for.
    pub wait_max: Duration,
    /// Longest that a later attempt waits for the servers of an earlier leader.
    pub settle_max: Duration,
    /// How long a new leader listens on after the last of those servers has registered: the end of a match may still
    /// be on its way.
    pub settle_grace: Duration,
    /// A match that nobody has joined this long after Joinable is ended by its server.
    pub join_deadline: Duration,
    /// How long a match that is over is remembered, so that a late call gets the right answer.
    pub remember: Duration,
    /// How long a server that refused for want of room or state is left alone.
    pub refusal_pause: Duration,
    /// How long a room that was given back counts as taken when its server says nothing about it.
    pub release_timeout: Duration,
    /// Life of a match certificate: a result that comes later counts for nothing.
    pub certificate_life: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(500),
            register_timeout: Duration::from_secs(5),
            suspect_after: Duration::from_secs(2),
            lost_after: Duration::from_secs(60),
            assign_timeout: Duration::from_secs(2),
            wait_max: Duration::from_secs(10),
            settle_max: Duration::from_secs(15),
            settle_grace: Duration::from_secs(1),
            // A match that its caller never heard of holds a room for so long: less than 30 s, all in all.
            join_deadline: Duration::from_secs(25),
            remember: Duration::from_secs(15 * 60),
            refusal_pause: Duration::from_millis(500),
            release_timeout: Duration::from_secs(5),
            certificate_life: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// How much is kept at once. Whatever would go beyond is refused or, where it is history, forgotten oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Game servers.
    pub servers_max: usize,
    /// Rooms that one server may register.
    pub capacity_max: u32,
    /// Matches that wait for a room or for the servers of an earlier leader.
    pub waiting_max: usize,
    /// Allocate calls that may wait for one match.
    pub calls_per_match_max: usize,
    /// Matches that are over and still remembered.
    pub remembered_max: usize,
    /// Events in the match log.
    pub events_max: usize,
    /// Bytes of match statistics in the match log.
    pub event_bytes_max: usize,
    /// Watchers of the match log.
    pub watchers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            servers_max: 10_000,
            capacity_max: 1_000,
            waiting_max: 1_024,
            calls_per_match_max: 16,
            remembered_max: 100_000,
            events_max: 65_536,
            event_bytes_max: 64 << 20,
            watchers_max: 64,
        }
    }
}
