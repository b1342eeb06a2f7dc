//! What queues ask of a fleet's regions, how fast matches arrive, and how long servers take to start.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Arrivals are counted over this time.
const WINDOW: Duration = Duration::from_secs(60);
/// Shorter than this says nothing of a rate.
const WINDOW_MIN: Duration = Duration::from_secs(5);
/// Samples are kept this far apart.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Start-up times that are kept for each fleet.
const STARTUPS_MAX: usize = 50;

/// A queue of the matchmaker, as far as sizes need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// GameFleet that hosts its matches.
    pub fleet: String,
    /// Namespace of both; empty: from a queue file, so any.
    pub namespace: String,
    /// Regions where they may run; none: any.
    pub regions: Vec<String>,
    /// Players that wait.
    pub waiting_players: u32,
    /// Matches that wait for a server.
    pub placing: u32,
    /// Players of one match.
    pub players_per_match: u32,
    /// Matches made since the matchmaker started.
    pub made: u64,
}

impl Queue {
    /// Matches that wait for a server, and those that the waiting players could make.
    fn queued(&self) -> u32 {
        self.placing.saturating_add(self.waiting_players / self.players_per_match.max(1))
    }

    fn asks(&self, namespace: &str, fleet: &str) -> bool {
        self.fleet == fleet && (self.namespace.is_empty() || self.namespace == namespace)
    }
}

/// Matches per second of each queue, over the last minute.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    queues: BTreeMap<String, VecDeque<(Duration, u64)>>,
}

impl Arrivals {
    /// What the queues say now. A queue that has gone is forgotten; a count that went back is a new matchmaker's.
    pub fn saw(&mut self, now: Duration, queues: &[Queue]) {
        self.queues.retain(|name, _| queues.iter().any(|queue| queue.name == *name));
        for queue in queues {
            let samples = self.queues.entry(queue.name.clone()).or_default();
            if samples.back().is_some_and(|(_, made)| *made > queue.made) {
                samples.clear();
            }
            match samples.len().checked_sub(2).and_then(|n| samples.get(n)) {
                Some((before, _)) if now < *before + SAMPLE_EVERY => {
                    *samples.back_mut().expect("two at least") = (now, queue.made);
                }
                _ => samples.push_back((now, queue.made)),
            }
        }
    }

    /// Matches per second of a queue; 0 before anything is known.
    pub fn per_second(&mut self, now: Duration, queue: &str) -> f64 {
        let Some(samples) = self.queues.get_mut(queue) else { return 0.0 };
        while samples.len() > 1 && samples[1].0 + WINDOW <= now {
            samples.pop_front();
        }
        let (Some((since, first)), Some((_, last))) = (samples.front(), samples.back()) else { return 0.0 };
        let over = now.saturating_sub(*since).max(WINDOW_MIN);
        (last - first) as f64 / over.as_secs_f64()
    }
}

/// What the queues of a fleet ask of one of its regions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    /// Matches that wait, or could be made at once.
    pub queued: u32,
    /// New matches per second.
    pub per_second: f64,
}

/// What is asked of each region. A queue that may use several asks an equal share of each: which one a match will take is
/// known only when its players are.
pub fn asked(
    (namespace, fleet): (&str, &str),
    regions: &[&str],
    queues: &[Queue],
    mut rate: impl FnMut(&str) -> f64,
) -> BTreeMap<String, Asked> {
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    for queue in queues.iter().filter(|queue| queue.asks(namespace, fleet)) {
        let may = |region: &&&str| queue.regions.is_empty() || queue.regions.iter().any(|name| name == **region);
        let open: Vec<&&str> = regions.iter().filter(may).collect();
        let share = open.len().max(1) as u32;
        let per_second = rate(&queue.name) / f64::from(share);
        for region in open {
            let of = asked.entry((*region).to_owned()).or_default();
            of.queued += queue.queued().div_ceil(share);
            of.per_second += per_second;
        }
    }
    asked
}

/// How long servers take from creation to the pool.
#[derive(Debug, Clone, Default)]
pub struct Startups(VecDeque<Duration>);

impl Startups {
    /// A server took so long.
    pub fn took(&mut self, time: Duration) {
        if self.0.len() == STARTUPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// 95th percentile of the last ones in seconds; 0 before there is any.
    pub fn p95_s(&self) -> f64 {
        let mut times: Vec<Duration> = self.0.iter().copied().collect();
        times.sort_unstable();
        let rank = (times.len() * 95).div_ceil(100);
        rank.checked_sub(1).map_or(0.0, |n| times[n].as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str, regions: &[&str], waiting_players: u32) -> Queue {
        Queue {
            name: name.into(),
            fleet: "arena".into(),
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
            waiting_players,
            players_per_match: 8,
            ..Queue::default()
        }
    }

    #[test]
    fn a_queue_asks_whole_matches_of_the_regions_that_it_may_use() {
        let queues = [
            Queue { placing: 1, ..queue("ranked", &["eu"], 17) },
            queue("casual", &[], 40),
            Queue { fleet: "other".into(), ..queue("else", &[], 800) },
            Queue { namespace: "games".into(), ..queue("here", &["us"], 8) },
            Queue { namespace: "test".into(), ..queue("there", &[], 800) },
        ];
        let asked = asked(("games", "arena"), &["eu", "us"], &queues, |name| if name == "casual" { 2.0 } else { 0.5 });
        assert_eq!(asked["eu"], Asked { queued: 3 + 3, per_second: 1.5 });
        assert_eq!(asked["us"], Asked { queued: 3 + 1, per_second: 1.5 });
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute_and_survives_a_restart_of_the_matchmaker() {
        let mut arrivals = Arrivals::default();
        let s = Duration::from_secs;
        let mut at = |second, made| {
            arrivals.saw(s(second), &[Queue { made, ..queue("ranked", &[], 0) }]);
            arrivals.per_second(s(second), "ranked")
        };
        assert_eq!(at(0, 100), 0.0, "what was before is unknown");
        assert_eq!(at(10, 120), 2.0);
        assert_eq!(at(60, 120), 20.0 / 60.0);
        assert_eq!(at(75, 120), 0.0, "the burst is a minute old");
        assert_eq!(at(80, 0), 0.0, "it started anew");
        assert_eq!(at(90, 5), 0.5);
        assert_eq!(arrivals.per_second(s(90), "unknown"), 0.0);
    }

    #[test]
    fn the_slow_start_counts_and_old_ones_are_forgotten() {
        let mut startups = Startups::default();
        assert_eq!(startups.p95_s(), 0.0);
        for second in 1..=100 {
            startups.took(Duration::from_secs(second));
        }
        assert_eq!(startups.p95_s(), 98.0, "of 51 to 100");
    }
}
