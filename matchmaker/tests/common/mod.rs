//! What several test files need: small tickets and queues, and a seeded source of numbers.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use matchmaker::Queues;
use matchmaker::core::ticket::{NewTicket, Player};
use protocol::id::{PlayerId, TicketId};

/// A seeded source of numbers (splitmix64), so that a failing run can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True so many times of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// About normal (sum of twelve).
    pub(crate) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        mean + deviation * ((0..12).map(|_| self.unit()).sum::<f64>() - 6.0)
    }
}

pub(crate) fn player_id(n: u64) -> PlayerId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    PlayerId::from_bytes(bytes)
}

pub(crate) fn ticket_id(n: u64) -> TicketId {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    TicketId::from_bytes(bytes)
}

/// A ticket of these players, all of one rating.
pub(crate) fn ticket(id: u64, queue: &str, players: &[u64], rating: f64) -> NewTicket {
    let player = |n: &u64| Player { id: player_id(*n), name: format!("p{n}"), rating, uncertainty: 8.0 };
    NewTicket {
        id: ticket_id(id),
        queue: queue.into(),
        players: players.iter().map(player).collect(),
        party: None,
        region_rtts: Arc::from([]),
        build: String::new(),
        trace_id: format!("{id:032x}"),
    }
}

/// Queues of a text that is known to be good.
pub(crate) fn queues(text: &str) -> Queues {
    Queues::parse("test", text).expect("good queues")
}

/// 1 against 1 without a rating rule.
pub(crate) const DUEL: &str = r#"
[[queue]]
name = "duel"
teams = 2
players_per_team = 1
fleet = "arena"
ticket_timeout_s = 60
"#;
