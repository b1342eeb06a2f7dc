//! Density of the population: where players are rare, a ticket's window is wide at once instead of after a wait that
//! everyone can foresee.
//!
//! The window of a ticket is the smallest in which the waiting players, and those expected within the queue's
//! `pre_expand_wait_s` at the rate of the last minutes, make up a match.

use std::collections::VecDeque;

/// Arrivals that are remembered.
const ARRIVALS_MAX: usize = 1_024;
/// How far back arrivals count, in milliseconds.
const SPAN_MS: u64 = 300_000;
/// After a shorter observation the rate of arrivals is not known, in milliseconds.
const SPAN_MS_MIN: u64 = 30_000;
/// Steps from a ticket's own window to the widest.
const STEPS: u32 = 16;

/// Who came to a queue lately.
#[derive(Debug)]
pub struct Population {
    since_ms: u64,
    /// (Unix milliseconds, rating, players), oldest first.
    arrivals: VecDeque<(u64, f64, u32)>,
}

impl Population {
    /// A population that is observed from `now_ms` on.
    pub fn new(now_ms: u64) -> Self {
        Self { since_ms: now_ms, arrivals: VecDeque::new() }
    }

    /// Notes an arrival.
    pub fn arrived(&mut self, now_ms: u64, rating: f64, players: u32) {
        if self.arrivals.len() == ARRIVALS_MAX
            && let Some((at_ms, _, _)) = self.arrivals.pop_front()
        {
            // What was dropped is no longer part of the observation.
            self.since_ms = self.since_ms.max(at_ms);
        }
        self.arrivals.push_back((now_ms, rating, players));
    }
}

/// Players by rating, with running totals.
#[derive(Debug, Default)]
struct Ranks {
    ratings: Vec<f64>,
    /// `totals[n]`: players of the first n ratings.
    totals: Vec<u32>,
}

impl Ranks {
    fn new(mut rows: Vec<(f64, u32)>) -> Self {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut totals = vec![0];
        for (_, players) in &rows {
            totals.push(totals.last().copied().unwrap_or(0) + players);
        }
        Self { ratings: rows.into_iter().map(|(rating, _)| rating).collect(), totals }
    }

    fn within(&self, rating: f64, window: f64) -> f64 {
        let low = self.ratings.partition_point(|other| *other < rating - window);
        let high = self.ratings.partition_point(|other| *other <= rating + window);
        f64::from(self.totals[high.max(low)] - self.totals[low])
    }
}

/// The density of one queue's population at one moment.
#[derive(Debug)]
pub struct Density {
    /// `None`: off, or not known yet.
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    waiting: Ranks,
    arrivals: Ranks,
    /// Players expected per player that arrived in the observed span.
    expected: f64,
    /// Players of a match.
    players: f64,
}

impl Density {
    /// A density that widens no window.
    pub fn off() -> Self {
        Self { known: None }
    }

    /// The density of what waits (rating, players) and of what arrived lately, for matches of `players` players.
    /// `wait_s` 0 turns it off.
    pub fn new(
        population: &Population,
        waiting: impl Iterator<Item = (f64, u32)>,
        players: u32,
        wait_s: f64,
        now_ms: u64,
    ) -> Self {
        let span_ms = now_ms.saturating_sub(population.since_ms).min(SPAN_MS);
        if wait_s <= 0.0 || span_ms < SPAN_MS_MIN {
            return Self::off();
        }
        let recent = population.arrivals.iter().filter(|(at_ms, _, _)| at_ms + span_ms >= now_ms);
        let known = Known {
            waiting: Ranks::new(waiting.collect()),
            arrivals: Ranks::new(recent.map(|(_, rating, players)| (*rating, *players)).collect()),
            expected: wait_s * 1_000.0 / span_ms as f64,
            players: f64::from(players),
        };
        Self { known: Some(known) }
    }

    /// The window in which a match comes together in time: at least `own`, at most `max`.
    pub fn window(&self, rating: f64, own: f64, max: f64) -> f64 {
        let Some(known) = &self.known else {
            return own;
        };
        // Quadratic steps: fine near the ticket's own window, where most are.
        let step = |n: u32| own + (max - own).max(0.0) * (f64::from(n) / f64::from(STEPS)).powi(2);
        let enough = |window: f64| {
            let coming = known.arrivals.within(rating, window) * known.expected;
            known.waiting.within(rating, window) + coming >= known.players
        };
        let (mut low, mut high) = (0, STEPS);
        while low < high {
            let middle = (low + high) / 2;
            if enough(step(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        step(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One player per second for `seconds`, all of this rating.
    fn population(seconds: u64, rating: f64) -> Population {
        let mut population = Population::new(0);
        (0..seconds).for_each(|s| population.arrived(s * 1_000, rating, 1));
        population
    }

    #[test]
    fn windows_widen_only_where_players_are_rare() {
        let population = population(100, 25.0);
        let density = Density::new(&population, [(40.0, 1)].into_iter(), 8, 10.0, 100_000);
        assert_eq!(density.window(25.0, 2.0, 20.0), 2.0, "ten players come in ten seconds");
        let rare = density.window(40.0, 2.0, 20.0);
        assert!((15.0..=20.0).contains(&rare), "the crowd is 15 points away: {rare}");
        assert_eq!(density.window(90.0, 2.0, 20.0), 20.0, "nobody within reach: as wide as may be");
    }

    #[test]
    fn waiting_players_count_at_once() {
        let density = Density::new(&Population::new(0), (0..8).map(|_| (50.0, 1)), 8, 10.0, 60_000);
        assert_eq!(density.window(50.0, 1.0, 20.0), 1.0);
    }

    #[test]
    fn without_an_observation_nothing_widens() {
        let density = Density::new(&population(20, 25.0), [].into_iter(), 8, 10.0, 20_000);
        assert_eq!(density.window(90.0, 2.0, 20.0), 2.0);
        let density = Density::new(&population(100, 25.0), [].into_iter(), 8, 0.0, 100_000);
        assert_eq!(density.window(90.0, 2.0, 20.0), 2.0, "switched off");
    }

    #[test]
    fn a_full_memory_keeps_the_rate_true() {
        let mut population = Population::new(0);
        (0..10_000u64).for_each(|n| population.arrived(n * 100, 25.0, 1));
        let density = Density::new(&population, [].into_iter(), 99, 10.0, 1_000_000);
        assert_eq!(density.window(25.0, 2.0, 20.0), 2.0, "about a hundred players come in ten seconds");
    }
}
