//! A match as its caller asks for it.

use protocol::id::{MatchId, PlayerId};
use protocol::pb;

/// One player of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    /// The player.
    pub player_id: PlayerId,
    /// Team number, 0-based.
    pub team: u32,
    /// Name to show.
    pub name: String,
    /// Party that the player queued with, or empty.
    pub party_id: String,
}

impl From<&Player> for pb::RosterEntry {
    fn from(player: &Player) -> Self {
        Self {
            player_id: player.player_id.to_string(),
            team: player.team,
            name: player.name.clone(),
            party_id: player.party_id.clone(),
        }
    }
}

/// What a caller wants placed. A match that a server brought along when it registered has only its id and roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRequest {
    /// The match; the idempotency key.
    pub match_id: MatchId,
    /// Fleet to take the server from.
    pub fleet: String,
    /// Its namespace; empty: any.
    pub namespace: String,
    /// Acceptable regions by preference; empty: any.
    pub regions: Vec<String>,
    /// Build that the clients speak; empty: any.
    pub build: String,
    /// Who plays. Empty only when nobody told: then no roster differs from it.
    pub roster: Vec<Player>,
    /// JSON object for the game.
    pub settings_json: String,
    /// Trace id, 32 hex digits, or empty.
    pub trace_id: String,
    /// Queue that made the match.
    pub queue: String,
    /// Seed for the game.
    pub seed: u64,
}

impl MatchRequest {
    /// What is known of a match that a server reports.
    pub fn restored(match_id: MatchId, roster: Vec<Player>) -> Self {
        Self {
            match_id,
            fleet: String::new(),
            namespace: String::new(),
            regions: Vec::new(),
            build: String::new(),
            roster,
            settings_json: String::new(),
            trace_id: String::new(),
            queue: String::new(),
            seed: 0,
        }
    }

    /// Whether `other` has the same players on the same teams, in whatever order. Names may differ: they are shown,
    /// not checked.
    pub fn same_roster(&self, other: &[Player]) -> bool {
        if self.roster.is_empty() || other.is_empty() {
            return true;
        }
        let seats = |roster: &[Player]| {
            let mut seats: Vec<_> = roster.iter().map(|p| (p.player_id, p.team)).collect();
            seats.sort_unstable();
            seats
        };
        seats(&self.roster) == seats(other)
    }

    /// The player's place on the roster.
    pub fn player(&self, player_id: PlayerId) -> Option<&Player> {
        self.roster.iter().find(|player| player.player_id == player_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(id: u8, team: u32) -> Player {
        Player {
            player_id: PlayerId::from_entropy([id; 16]),
            team,
            name: format!("player {id}"),
            party_id: String::new(),
        }
    }

    #[test]
    fn a_roster_is_its_players_and_their_teams() {
        let request = MatchRequest::restored(MatchId::from_entropy([9; 16]), vec![player(1, 0), player(2, 1)]);
        assert!(request.same_roster(&[player(2, 1), player(1, 0)]));
        assert!(request.same_roster(&[Player { name: "renamed".into(), ..player(1, 0) }, player(2, 1)]));
        assert!(!request.same_roster(&[player(1, 1), player(2, 1)]));
        assert!(!request.same_roster(&[player(1, 0)]));
        assert!(!request.same_roster(&[player(1, 0), player(2, 1), player(2, 1)]));
        assert_eq!(request.player(player(2, 1).player_id).map(|p| p.team), Some(1));
        assert_eq!(request.player(player(3, 1).player_id), None);
    }
}
