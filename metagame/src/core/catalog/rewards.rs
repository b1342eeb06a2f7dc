//! What matches give, by rules that are data.

use std::collections::BTreeMap;

use protocol::certificate::Participation;

use super::{Catalog, Part};
use crate::core::settlement::PlayerSettlement;

/// What matches of a queue give.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewards {
    /// Which queue's; `None`: those that have no rules of their own.
    pub queue: Option<String>,
    /// For having played to the end.
    pub per_match: Vec<Part>,
    /// For the first place alone.
    pub per_win: Vec<Part>,
    /// For a place, from 1; beside what the match gives.
    pub per_place: BTreeMap<u32, Vec<Part>>,
}

impl Catalog {
    /// What a match of `queue` gives to a player. Who was absent or left before the end gets nothing; a match that the platform
    /// ended has no winner and no places.
    pub fn rewards(&self, queue: &str, contested: bool, player: &PlayerSettlement) -> Vec<Part> {
        if player.result.participation != Participation::Played {
            return Vec::new();
        }
        let own = self.rewards.iter().find(|rules| rules.queue.as_deref() == Some(queue));
        let Some(rules) = own.or_else(|| self.rewards.iter().find(|rules| rules.queue.is_none())) else {
            return Vec::new();
        };
        let mut parts = rules.per_match.clone();
        if player.won {
            parts.extend(rules.per_win.iter().cloned());
        }
        if contested {
            parts.extend(rules.per_place.get(&player.result.place).into_iter().flatten().cloned());
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;
    use crate::core::rating::Rating;
    use protocol::certificate::PlayerResult;
    use protocol::id::PlayerId;

    fn player(place: u32, won: bool, participation: Participation) -> PlayerSettlement {
        let player_id = PlayerId::from_entropy([1; 16]);
        let result = PlayerResult { player_id, team: 0, place, score: 0, participation, stats: BTreeMap::new() };
        let (before, after) = (Rating::default(), Rating::default());
        PlayerSettlement { result, xp_gained: 0, before, after, counts: true, won, rated: true }
    }

    #[test]
    fn who_stays_is_paid_by_match_win_and_place() {
        let text = r#"
            version = 1
            [[currency]]
            id = "gold"
            kind = "soft"
            [[reward]]
            per_match = [{ currency = "gold", amount = 1 }]
            per_win = [{ currency = "gold", amount = 10 }]
            [[reward]]
            queue = "royale"
            per_place = { 1 = [{ currency = "gold", amount = 100 }], 2 = [{ currency = "gold", amount = 50 }] }
        "#;
        let catalog = file::parse(text).expect("a catalog");
        let sum = |queue: &str, contested: bool, player: &PlayerSettlement| -> u64 {
            let amount = |part: Part| if let Part::Currency { amount, .. } = part { amount } else { 0 };
            catalog.rewards(queue, contested, player).into_iter().map(amount).sum()
        };
        let winner = player(1, true, Participation::Played);
        let second = player(2, false, Participation::Played);
        let gone = player(1, true, Participation::Abandoned);
        assert_eq!((sum("duel", true, &winner), sum("duel", true, &second), sum("duel", true, &gone)), (11, 1, 0));
        assert_eq!((sum("royale", true, &winner), sum("royale", true, &second)), (100, 50));
        assert_eq!(sum("royale", false, &second), 0);
    }
}
