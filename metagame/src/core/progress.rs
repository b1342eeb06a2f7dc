//! Experience points and levels, as data: an operator can give other figures ([`super::progression`]), and each grant names
//! the version of the figures that made it.

use protocol::certificate::Participation;

/// How XP is earned and what it is worth. All figures are whole XP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XpRules {
    /// For having played a match to its end.
    pub xp_per_match: u64,
    /// For each full second that the match lasted.
    pub xp_per_second: u64,
    /// Seconds that count at most: a match left idle over night is not worth more.
    pub seconds_max: u64,
    /// For the first place. A draw for the first place gives half of it.
    pub xp_per_win: u64,
    /// XP at which each level from 2 on begins, ascending. Level 1 begins at 0.
    pub levels: Vec<u64>,
}

impl Default for XpRules {
    /// Level 2 after about two matches, level 50 after about 1,500.
    fn default() -> Self {
        // Each level costs 50 XP more than the one before: 200, 450, 750, …
        let levels = curve(50, 200, 50);
        Self { xp_per_match: 50, xp_per_second: 1, seconds_max: 1_800, xp_per_win: 50, levels }
    }
}

/// How a match went for one player, as far as XP is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    /// Whether the player was there to the end.
    pub participation: Participation,
    /// Milliseconds from first to last tick.
    pub duration_ms: u64,
    /// First place, and not everybody's.
    pub won: bool,
    /// First place shared with another team.
    pub drawn: bool,
}

impl XpRules {
    /// XP for a match. Who was absent or left before the end gets none.
    pub fn xp_for(&self, played: Played) -> u64 {
        if played.participation != Participation::Played {
            return 0;
        }
        let seconds = (played.duration_ms / 1_000).min(self.seconds_max);
        let place = match (played.won, played.drawn) {
            (true, _) => self.xp_per_win,
            (false, true) => self.xp_per_win / 2,
            (false, false) => 0,
        };
        self.xp_per_match.saturating_add(self.xp_per_second.saturating_mul(seconds)).saturating_add(place)
    }

    /// The level of a player with this much XP; at least 1.
    pub fn level(&self, xp: u64) -> u32 {
        let reached = self.levels.partition_point(|begins| *begins <= xp);
        u32::try_from(reached).unwrap_or(u32::MAX - 1) + 1
    }

    /// XP at which a level begins; of one that there is not, that of the last.
    pub fn begins_at(&self, level: u32) -> u64 {
        let index = usize::try_from(level).unwrap_or(usize::MAX).min(self.levels.len() + 1);
        index.checked_sub(2).and_then(|index| self.levels.get(index)).copied().unwrap_or(0)
    }

    /// Whether the levels ascend; a table that does not has no meaning.
    pub fn is_valid(&self) -> bool {
        self.levels.is_sorted_by(|a, b| a < b)
    }
}

/// XP at which each of `levels` levels from 2 on begins: the second `first` XP after the first, and each one `more` XP further
/// from the one before than that was.
pub fn curve(levels: u32, first: u64, more: u64) -> Vec<u64> {
    let step = |(begins, costs): &mut (u64, u64), _| {
        *begins = begins.saturating_add(*costs);
        *costs = costs.saturating_add(more);
        Some(*begins)
    };
    (1..levels).scan((0, first), step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(participation: Participation) -> Played {
        Played { participation, duration_ms: 20_999, won: true, drawn: false }
    }

    #[test]
    fn only_who_stays_earns() {
        let rules = XpRules::default();
        assert_eq!(rules.xp_for(played(Participation::Played)), 50 + 20 + 50);
        assert_eq!(rules.xp_for(played(Participation::Abandoned)), 0);
        assert_eq!(rules.xp_for(played(Participation::Absent)), 0);
        let drawn = Played { won: false, drawn: true, ..played(Participation::Played) };
        assert_eq!(rules.xp_for(drawn), 50 + 20 + 25);
        let endless = Played { duration_ms: u64::MAX, won: false, ..played(Participation::Played) };
        assert_eq!(rules.xp_for(endless), 50 + 1_800);
    }

    #[test]
    fn levels_begin_where_the_table_says() {
        let rules = XpRules::default();
        assert!(rules.is_valid());
        assert_eq!((rules.level(0), rules.level(199), rules.level(200), rules.level(449)), (1, 1, 2, 2));
        assert_eq!((rules.level(450), rules.level(u64::MAX)), (3, 50));
        for level in 1..=50 {
            assert_eq!(rules.level(rules.begins_at(level)), level);
        }
        assert_eq!((rules.begins_at(0), rules.begins_at(51)), (0, rules.begins_at(50)));
        let flat = XpRules { levels: vec![5, 5], ..rules };
        assert!(!flat.is_valid());
    }
}
