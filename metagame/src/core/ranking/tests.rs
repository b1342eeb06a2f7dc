//! Ranks in memory against a list that is sorted anew each time.

use super::*;
use proptest::prelude::*;

fn id(n: u32) -> PlayerId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    PlayerId::from_entropy(bytes)
}

fn entry(n: u32, score: i64, since_ms: u64, region: usize, version: u64) -> Entry {
    Entry { player: id(n), score, since_ms, region, version, removed: false }
}

/// What is sorted: the newest state of each row.
#[derive(Default)]
struct Table(HashMap<PlayerId, Entry>);

impl Table {
    fn apply(&mut self, entry: &Entry) {
        if self.0.get(&entry.player).is_none_or(|before| before.version < entry.version) {
            self.0.insert(entry.player, entry.clone());
        }
    }

    fn sorted(&self, ties: Ties, region: usize) -> Vec<Ranked> {
        let wanted = self.0.values().filter(|entry| !entry.removed && (region == 0 || entry.region == region));
        let place = |entry: &Entry| Place { sort: -entry.score, since_ms: entry.since_ms, player: entry.player };
        among(ties, wanted.map(|entry| (place(entry), entry.region)).collect()).entries
    }
}

/// Player, score, time, region, version, whether it is taken off.
type Step = (u32, i64, u64, usize, u64, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let removed = prop::bool::weighted(0.1);
    prop::collection::vec((0_u32..60, -20_i64..20, 0_u64..5, 0_usize..3, 1_u64..40, removed), 0..400)
}

proptest! {
    #[test]
    fn the_ranks_are_those_of_the_sorted_table(steps in steps(), shared in any::<bool>(), around in 0_u32..60) {
        let ties = if shared { Ties::Shared } else { Ties::First };
        let (mut ranking, mut table) = (Ranking::new(ties, 2), Table::default());
        for (n, score, since_ms, region, version, removed) in steps {
            let entry = Entry { removed, ..entry(n, score, since_ms, region, version) };
            ranking.apply(&entry, -entry.score);
            table.apply(&entry);
        }
        for region in 0..=2 {
            let sorted = table.sorted(ties, region);
            let all = ranking.page(Start::At(0), usize::MAX, region).expect("a region");
            prop_assert_eq!(all.total, sorted.len() as u64);
            prop_assert_eq!(&all.entries, &sorted);
            for (index, ranked) in sorted.iter().enumerate() {
                prop_assert_eq!(ranking.rank_of(ranked.place.player, region), Some(*ranked));
                let after = ranking.page(Start::After(ranked.place), 3, region).expect("a region");
                prop_assert_eq!(&after.entries[..], &sorted[(index + 1).min(sorted.len())..sorted.len().min(index + 4)]);
            }
            let window = ranking.page(Start::Around(id(around), 2), 5, region);
            let own = sorted.iter().position(|ranked| ranked.place.player == id(around));
            let expected = own.map(|own| sorted[own.saturating_sub(2)..].iter().take(5).copied().collect::<Vec<_>>());
            prop_assert_eq!(window.map(|page| page.entries), expected);
        }
    }
}

#[test]
fn many_entries_are_split_into_blocks_and_stay_in_order() {
    let mut ranking = Ranking::new(Ties::First, 0);
    let count = 20_000_u32;
    for n in 0..count {
        let score = i64::from(n.wrapping_mul(7_919) % count);
        assert!(ranking.apply(&entry(n, score, 0, 0, 1), -score));
    }
    assert!(ranking.whole.blocks.len() > 10);
    let page = ranking.page(Start::At(0), usize::MAX, 0).expect("all");
    assert!(page.entries.is_sorted_by_key(|ranked| ranked.place));
    assert!(page.entries.iter().map(|ranked| ranked.rank).eq(1..=u64::from(count)));
    for n in 0..count {
        let gone = Entry { removed: true, ..entry(n, 0, 0, 0, 2) };
        ranking.apply(&gone, 0);
    }
    assert!(ranking.is_empty() && ranking.whole.blocks.is_empty());
}

#[test]
fn equals_share_a_rank_or_are_ranked_by_time() {
    for (ties, expected) in [(Ties::Shared, [1, 1, 3]), (Ties::First, [1, 2, 3])] {
        let mut ranking = Ranking::new(ties, 0);
        for (n, score, since_ms) in [(1, 10, 200), (2, 10, 100), (3, 9, 50)] {
            ranking.apply(&entry(n, score, since_ms, 0, 1), -score);
        }
        let page = ranking.page(Start::At(0), 9, 0).expect("all");
        let players: Vec<_> = page.entries.iter().map(|ranked| ranked.place.player).collect();
        assert_eq!(players, [id(2), id(1), id(3)], "who had it first is listed first either way");
        assert_eq!(page.entries.iter().map(|ranked| ranked.rank).collect::<Vec<_>>(), expected);
    }
}
