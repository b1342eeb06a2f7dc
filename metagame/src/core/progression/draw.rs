//! Which challenges there are in a period: the same on every instance, however often it is asked.

use protocol::id::PlayerId;
use sha2::{Digest as _, Sha256};

use super::{Challenge, Progression};
use crate::core::calendar::{Every, Period};

impl Progression {
    /// The challenges of a day or a week that are a player's around a moment, with their period.
    pub fn drawn(&self, every: Every, player: PlayerId, at_ms: u64) -> (Period, Vec<(&str, &Challenge)>) {
        let draw = self.draw(every);
        let period = draw.calendar.at(at_ms);
        let mut all: Vec<_> = self.challenges.iter().filter(|(_, challenge)| challenge.every == every).collect();
        if all.len() > draw.count {
            // Each has its number in each period: a challenge that is new in the file moves no other.
            all.sort_by_cached_key(|(id, _)| {
                let mut hash = Sha256::new();
                hash.update(period.number.to_be_bytes());
                if draw.per_player {
                    hash.update(player.to_bytes());
                }
                hash.update(id.as_bytes());
                <[u8; 32]>::from(hash.finalize())
            });
            all.truncate(draw.count);
            all.sort_by_key(|(id, _)| id.as_str());
        }
        (period, all.into_iter().map(|(id, challenge)| (id.as_str(), challenge)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;
    use std::collections::BTreeSet;

    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

    fn rules(per_player: bool) -> Progression {
        let mut text = format!("version = 1\n[daily]\ncount = 3\nper_player = {per_player}\n");
        for n in 0..10 {
            text +=
                &format!("[[challenge]]\nid = \"c{n}\"\nevery = \"day\"\ncounts = {{ matches = true }}\ngoal = 1\n");
        }
        file::parse(&text, &Default::default()).expect("rules")
    }

    fn ids(rules: &Progression, player: u8, at_ms: u64) -> Vec<String> {
        let drawn = rules.drawn(Every::Day, PlayerId::from_entropy([player; 16]), at_ms).1;
        drawn.into_iter().map(|(id, _)| id.to_owned()).collect()
    }

    #[test]
    fn a_day_has_its_challenges_for_all_or_for_each() {
        let (global, own) = (rules(false), rules(true));
        for day in 100..120 {
            let at_ms = day * DAY_MS;
            assert_eq!(ids(&global, 1, at_ms), ids(&global, 2, at_ms + DAY_MS - 1));
            assert_eq!((ids(&own, 1, at_ms).len(), ids(&own, 1, at_ms)), (3, ids(&own, 1, at_ms + 5)));
        }
        let days: BTreeSet<_> = (100..120).map(|day| ids(&global, 1, day * DAY_MS)).collect();
        let players: BTreeSet<_> = (1..20).map(|player| ids(&own, player, 100 * DAY_MS)).collect();
        assert!(days.len() > 10 && players.len() > 10, "{} {}", days.len(), players.len());
    }
}
