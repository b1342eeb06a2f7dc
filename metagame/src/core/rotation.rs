//! When the keys of access tokens take turns: each is published before it signs, and stays published until every token
//! that it signed has expired. All instances follow the same table, so that they agree without talking.

/// When a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// From then on it signs, until a later one does; Unix milliseconds.
    pub signs_from_ms: u64,
}

/// How keys take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How long a key is published before it signs: longer than anybody keeps a copy of the published keys.
    pub lead_ms: u64,
    /// How long a key signs.
    pub signs_ms: u64,
    /// Longest life of what it signs.
    pub life_ms: u64,
}

impl Default for Schedule {
    /// A month; the published keys may be kept for 5 minutes, and tokens live 15.
    fn default() -> Self {
        Self { lead_ms: 10 * 60_000, signs_ms: 30 * 24 * 60 * 60_000, life_ms: 15 * 60_000 }
    }
}

impl Schedule {
    /// Which of `keys` signs; `None` only if there are none. Before the first one's time, it is the first one all the same.
    pub fn signing(&self, keys: &[KeyTimes], now_ms: u64) -> Option<usize> {
        let all = || keys.iter().enumerate();
        let due = all().filter(|(_, key)| key.signs_from_ms <= now_ms).max_by_key(|(_, key)| key.signs_from_ms);
        due.or_else(|| all().min_by_key(|(_, key)| key.signs_from_ms)).map(|(index, _)| index)
    }

    /// From when a key signs that has to be made now, if one has to.
    pub fn due(&self, keys: &[KeyTimes], now_ms: u64) -> Option<u64> {
        let Some(newest) = keys.iter().map(|key| key.signs_from_ms).max() else { return Some(now_ms) };
        let turn = newest.saturating_add(self.signs_ms);
        // Whoever was away for a month still publishes first.
        (turn <= now_ms.saturating_add(self.lead_ms)).then(|| turn.max(now_ms + self.lead_ms))
    }

    /// Which of `keys` nobody needs any more: a later one has signed for longer than tokens live, and for as long again as
    /// keys are published ahead, for instances that learned of it late.
    pub fn spent(&self, keys: &[KeyTimes], now_ms: u64) -> Vec<usize> {
        let spent = |key: &KeyTimes| {
            let later = keys.iter().map(|other| other.signs_from_ms).filter(|other| *other > key.signs_from_ms).min();
            later.is_some_and(|later| later.saturating_add(self.life_ms + self.lead_ms) <= now_ms)
        };
        keys.iter().enumerate().filter(|(_, key)| spent(key)).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEDULE: Schedule = Schedule { lead_ms: 10, signs_ms: 100, life_ms: 20 };

    fn keys(times: &[u64]) -> Vec<KeyTimes> {
        times.iter().map(|signs_from_ms| KeyTimes { signs_from_ms: *signs_from_ms }).collect()
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_is_published_first() {
        assert_eq!(SCHEDULE.due(&[], 1_000), Some(1_000));
        let one = keys(&[1_000]);
        assert_eq!(SCHEDULE.due(&one, 1_089), None);
        assert_eq!(SCHEDULE.due(&one, 1_090), Some(1_100));
        assert_eq!(SCHEDULE.due(&one, 5_000), Some(5_010), "late, but published first");
        let two = keys(&[1_000, 1_100]);
        assert_eq!((SCHEDULE.signing(&two, 1_099), SCHEDULE.signing(&two, 1_100)), (Some(0), Some(1)));
        assert_eq!((SCHEDULE.due(&two, 1_100), SCHEDULE.spent(&two, 1_129)), (None, vec![]));
        assert_eq!(SCHEDULE.spent(&two, 1_130), [0]);
        assert_eq!(SCHEDULE.signing(&keys(&[2_000]), 1_000), Some(0), "a clock that went back");
    }

    proptest! {
        /// Somebody looks at the clock now and then and does what is due; another signed at some moment before.
        #[test]
        fn whatever_was_signed_can_be_checked_until_it_expires(steps in prop::collection::vec(1_u64..9, 1..400)) {
            let (mut now, mut table) = (1_000, Vec::<KeyTimes>::new());
            let mut signed = Vec::new();
            for step in steps {
                now += step;
                if let Some(signs_from_ms) = SCHEDULE.due(&table, now) {
                    prop_assert!(table.is_empty() || signs_from_ms >= now + SCHEDULE.lead_ms);
                    table.push(KeyTimes { signs_from_ms });
                }
                let spent: Vec<_> = SCHEDULE.spent(&table, now).iter().map(|index| table[*index]).collect();
                table.retain(|key| !spent.contains(key));
                let key = table[SCHEDULE.signing(&table, now).expect("a key")];
                signed.push((key, now + SCHEDULE.life_ms));
                signed.retain(|(_, expires)| *expires > now);
                prop_assert!(signed.iter().all(|(key, _)| table.contains(key)), "{table:?} {signed:?}");
                prop_assert!(table.len() <= 3, "{table:?}");
            }
        }
    }
}
