//! How long players waited lately, and how long one more will.

use std::collections::VecDeque;

/// Waits that are kept per queue.
const WAITS_MAX: usize = 1_024;
/// Window of the percentiles in ListQueues, in milliseconds.
const PERCENTILE_MS: u64 = 300_000;
/// Waits older than this say nothing about the present, in milliseconds.
const PERSONAL_MS: u64 = 600_000;
/// Waits of the most similar tickets that make an estimate.
const SIMILAR: usize = 15;
/// With fewer there is no estimate.
const SIMILAR_MIN: usize = 3;

/// One ticket's wait, from creation to assignment.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    /// Unix milliseconds of its end.
    pub at_ms: u64,
    /// Its length in milliseconds.
    pub wait_ms: u64,
    /// Mean rating of the ticket.
    pub rating: f64,
    /// Players of the ticket.
    pub size: u32,
}

/// Recent waits of one queue.
#[derive(Debug, Default)]
pub struct Waits(VecDeque<Wait>);

impl Waits {
    /// Notes a wait.
    pub fn record(&mut self, wait: Wait) {
        if self.0.len() == WAITS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(wait);
    }

    /// Median and 95th percentile of the last 5 minutes in milliseconds; 0 without any wait.
    pub fn percentiles_ms(&self, now_ms: u64) -> (u32, u32) {
        let recent = self.0.iter().filter(|wait| wait.at_ms + PERCENTILE_MS >= now_ms);
        let mut waits: Vec<u64> = recent.map(|wait| wait.wait_ms).collect();
        waits.sort_unstable();
        (percentile(&waits, 50), percentile(&waits, 95))
    }

    /// Expected wait in milliseconds, from its creation on, of a ticket that has waited `waited_ms` so far: the
    /// median wait of the most similar tickets (party size first, then rating) that waited longer than that.
    /// 0: not known.
    pub fn personal_ms(&self, now_ms: u64, rating: f64, size: u32, waited_ms: u64) -> u32 {
        let telling = |wait: &&Wait| wait.at_ms + PERSONAL_MS >= now_ms && wait.wait_ms > waited_ms;
        let mut similar: Vec<(u32, f64, u64)> = self
            .0
            .iter()
            .filter(telling)
            .map(|wait| (wait.size.abs_diff(size), (wait.rating - rating).abs(), wait.wait_ms))
            .collect();
        if similar.len() < SIMILAR_MIN {
            return 0;
        }
        if similar.len() > SIMILAR {
            similar.select_nth_unstable_by(SIMILAR - 1, |a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            similar.truncate(SIMILAR);
        }
        let mut waits: Vec<u64> = similar.iter().map(|(_, _, wait_ms)| *wait_ms).collect();
        waits.sort_unstable();
        percentile(&waits, 50)
    }
}

/// The value below which `percent` of the sorted values lie (nearest rank).
fn percentile(sorted: &[u64], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0, |value| u32::try_from(*value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(rows: &[(u64, u64, f64, u32)]) -> Waits {
        let mut waits = Waits::default();
        rows.iter().for_each(|&(at_ms, wait_ms, rating, size)| waits.record(Wait { at_ms, wait_ms, rating, size }));
        waits
    }

    #[test]
    fn percentiles_cover_the_last_five_minutes_only() {
        let rows: Vec<_> = (1..=100).map(|n| (400_000, n * 10, 0.0, 1)).chain([(1, 99_999, 0.0, 1)]).collect();
        assert_eq!(waits(&rows).percentiles_ms(400_000), (500, 950));
        assert_eq!(waits(&rows).percentiles_ms(800_000), (0, 0));
        assert_eq!(waits(&[(0, 7, 0.0, 1)]).percentiles_ms(0), (7, 7));
    }

    #[test]
    fn an_estimate_is_made_of_similar_tickets_that_waited_at_least_as_long() {
        let low = (0..20).map(|_| (0, 1_000, 10.0, 1));
        let high = (0..20).map(|_| (0, 9_000, 40.0, 1));
        let party = (0..20).map(|_| (0, 30_000, 10.0, 3));
        let waits = waits(&low.chain(high).chain(party).collect::<Vec<_>>());
        assert_eq!(waits.personal_ms(0, 11.0, 1, 0), 1_000);
        assert_eq!(waits.personal_ms(0, 39.0, 1, 0), 9_000);
        assert_eq!(waits.personal_ms(0, 10.0, 3, 0), 30_000);
        assert_eq!(waits.personal_ms(0, 11.0, 1, 2_000), 9_000, "it has waited longer than its like");
        assert_eq!(waits.personal_ms(0, 11.0, 1, 50_000), 0);
        assert_eq!(waits.personal_ms(700_000, 11.0, 1, 0), 0, "old waits say nothing");
    }

    #[test]
    fn the_memory_of_waits_is_bounded() {
        let mut waits = Waits::default();
        for n in 0..5_000 {
            waits.record(Wait { at_ms: n, wait_ms: n, rating: 0.0, size: 1 });
        }
        assert_eq!(waits.0.len(), WAITS_MAX);
    }
}
