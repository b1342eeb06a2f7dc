//! Parts of metagame that do not wait for each other: each has connections of its own.

use std::time::Duration;

/// Whose connections a use case takes. When the shop is slow, logins are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// Logins, sessions, credentials.
    Identity,
    /// Profiles, histories, stored values.
    Players,
    /// Money, goods, orders.
    Economy,
    /// Friends, parties, chat.
    Social,
    /// Tickets, matches, results, leaderboards.
    Matches,
    /// Webhooks and the outbox.
    Events,
    /// What clients report in batches.
    Telemetry,
    /// What operators ask and what runs in the background: counts, settings, pruning. It may take long.
    Operations,
}

impl Domain {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Identity,
        Self::Players,
        Self::Economy,
        Self::Social,
        Self::Matches,
        Self::Events,
        Self::Telemetry,
        Self::Operations,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Players => "players",
            Self::Economy => "economy",
            Self::Social => "social",
            Self::Matches => "matches",
            Self::Events => "events",
            Self::Telemetry => "telemetry",
            Self::Operations => "operations",
        }
    }

    /// How long a use case may take in all, where a player's may take `patience`: nobody waits for a pruning.
    pub(super) fn patience(self, patience: Duration) -> Duration {
        match self {
            Self::Operations => patience.max(Duration::from_secs(30)),
            _ => patience,
        }
    }

    /// Its part of the connections to a PostgreSQL server, in 32nds.
    fn weight(self) -> usize {
        match self {
            Self::Identity | Self::Economy => 6,
            Self::Players | Self::Matches => 5,
            Self::Social => 4,
            Self::Events | Self::Telemetry | Self::Operations => 2,
        }
    }

    /// Its connections, of `total`; at least one.
    pub(super) fn share(self, total: usize) -> usize {
        (total * self.weight() / 32).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_add_up() {
        assert_eq!(Domain::ALL.iter().map(|domain| domain.weight()).sum::<usize>(), 32);
        assert_eq!(Domain::ALL.iter().map(|domain| domain.share(32)).sum::<usize>(), 32);
        assert!(Domain::ALL.iter().all(|domain| domain.share(1) == 1));
    }
}
