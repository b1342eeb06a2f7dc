//! What was seen of a fleet's revisions since the present step of its rollout began.
//!
//! Matches come from the allocator's log, which an operator that starts anew reads from its beginning: it counts what ended
//! after the step began, so little is lost with a process. Crashes at the start are seen in the API alone and count from
//! the operator's start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;

use super::rollout::Score;

/// Matches whose end is remembered, so that one end that is told twice counts once.
const ENDS_MAX: usize = 100_000;

/// The end of a match.
#[derive(Debug, Clone, Default)]
pub struct End {
    /// Its id.
    pub match_id: String,
    /// Namespace of its server's GameFleet; empty: not known.
    pub namespace: String,
    /// Its server's GameFleet; empty: not known.
    pub fleet: String,
    /// Revision of its server. Two GameFleets with equal templates have revisions of one name.
    pub revision: String,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// It ended because its server or room was lost.
    pub crashed: bool,
    /// Players who came in.
    pub joins: u64,
    /// Players who could not.
    pub join_failures: u64,
    /// Tick times in microseconds, an HDR histogram (V2); empty: none.
    pub tick_us: Vec<u8>,
}

impl End {
    fn is_of(&self, namespace: &str, fleet: &str) -> bool {
        let is = |known: &str, asked: &str| known.is_empty() || known == asked;
        is(&self.namespace, namespace) && is(&self.fleet, fleet)
    }
}

/// The ends of all matches, each once, those of the last `ENDS_MAX`.
#[derive(Debug, Default)]
pub struct Ends {
    known: BTreeSet<String>,
    ends: VecDeque<End>,
}

impl Ends {
    /// A match ended. An end that was told before changes nothing.
    pub fn saw(&mut self, end: End) {
        if !self.known.insert(end.match_id.clone()) {
            return;
        }
        self.ends.push_back(end);
        if self.ends.len() > ENDS_MAX
            && let Some(oldest) = self.ends.pop_front()
        {
            self.known.remove(&oldest.match_id);
        }
    }

    /// What was seen of each of these revisions of a GameFleet since then (Unix seconds).
    pub fn since(&self, unix_s: i64, (namespace, fleet): (&str, &str), revisions: &[&str]) -> BTreeMap<String, Score> {
        let mut sums: BTreeMap<&str, (Score, Option<Histogram<u64>>)> = BTreeMap::new();
        let since_ms = u64::try_from(unix_s).unwrap_or(0) * 1_000;
        // Newest first: the log is in order, so the first that is too old ends the search.
        for end in self.ends.iter().rev().take_while(|end| end.at_ms >= since_ms) {
            if !end.is_of(namespace, fleet) {
                continue;
            }
            let Some(revision) = revisions.iter().find(|name| **name == end.revision) else { continue };
            let (score, ticks) = sums.entry(revision).or_default();
            score.sessions += 1;
            score.crashes += u64::from(end.crashed);
            score.joins += end.joins + end.join_failures;
            score.join_failures += end.join_failures;
            add(ticks, &end.tick_us);
        }
        let finished = sums.into_iter().map(|(revision, (mut score, ticks))| {
            score.tick_p99_us = ticks.filter(|ticks| !ticks.is_empty()).map(|ticks| ticks.value_at_quantile(0.99));
            (revision.to_owned(), score)
        });
        finished.collect()
    }
}

/// Adds a match's tick times; what cannot be read is a stranger's and counts for nothing.
fn add(sum: &mut Option<Histogram<u64>>, bytes: &[u8]) {
    let Ok(ticks) = Deserializer::new().deserialize::<u64, _>(&mut &bytes[..]) else { return };
    match sum {
        Some(sum) => {
            // Both have the same precision, and the sum grows with what it is given.
            let _ = sum.add(ticks);
        }
        None => *sum = Some(ticks),
    }
}

/// Servers that ended before their first match, by revision.
#[derive(Debug, Clone, Default)]
pub struct Starts {
    /// Living servers that have had a match.
    played: BTreeSet<String>,
    /// Servers that ended badly without one, by fleet and revision.
    crashed: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Starts {
    /// A server has a match.
    pub fn plays(&mut self, server: &str) {
        if !self.played.contains(server) {
            self.played.insert(server.to_owned());
        }
    }

    /// A server is in Unhealthy or Error.
    pub fn failed(&mut self, game_fleet: &str, revision: &str, server: &str) {
        if !self.played.contains(server) {
            self.crashed.entry((game_fleet.into(), revision.into())).or_default().insert(server.into());
        }
    }

    /// A server is gone.
    pub fn gone(&mut self, server: &str) {
        self.played.remove(server);
    }

    /// Crashes at the start of a revision since it was last forgiven.
    pub fn of(&self, game_fleet: &str, revision: &str) -> u64 {
        self.crashed.get(&(game_fleet.to_owned(), revision.to_owned())).map_or(0, |servers| servers.len() as u64)
    }

    /// Only these revisions of a fleet count on; a revision that is tried again begins anew.
    pub fn keep(&mut self, game_fleet: &str, revisions: &[&str]) {
        self.crashed.retain(|(fleet, revision), _| fleet != game_fleet || revisions.contains(&revision.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};

    use super::*;

    fn end(match_id: &str, revision: &str, second: u64) -> End {
        End { match_id: match_id.into(), revision: revision.into(), at_ms: second * 1_000, joins: 8, ..End::default() }
    }

    fn ticks(value: u64) -> Vec<u8> {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        histogram.record_n(value, 100).expect("auto-resizes");
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).expect("to memory");
        bytes
    }

    #[test]
    fn what_ended_since_the_step_began_counts_once_for_its_revision() {
        let mut ends = Ends::default();
        ends.saw(end("early", "new", 99));
        ends.saw(End { join_failures: 2, tick_us: ticks(4_000), ..end("a", "new", 100) });
        ends.saw(End { crashed: true, tick_us: b"not a histogram".into(), ..end("b", "new", 110) });
        ends.saw(end("a", "new", 120));
        ends.saw(end("c", "old", 120));
        ends.saw(end("d", "foreign", 120));
        ends.saw(End { namespace: "test".into(), ..end("e", "new", 120) });
        ends.saw(End { namespace: "games".into(), fleet: "card".into(), ..end("f", "new", 120) });
        let seen = ends.since(100, ("games", "arena"), &["new", "old"]);
        let new = seen["new"];
        assert_eq!((new.sessions, new.crashes, new.joins, new.join_failures), (2, 1, 18, 2));
        assert_eq!(new.tick_p99_us.map(|us| us / 100), Some(40));
        assert_eq!((seen["old"].sessions, seen["old"].tick_p99_us, seen.len()), (1, None, 2));
    }

    #[test]
    fn a_server_that_fails_before_its_first_match_crashed_at_its_start() {
        let mut starts = Starts::default();
        starts.plays("one");
        for server in ["one", "two", "two", "three"] {
            starts.failed("arena", "new", server);
        }
        assert_eq!((starts.of("arena", "new"), starts.of("arena", "old")), (2, 0));
        starts.gone("one");
        starts.keep("arena", &["old"]);
        assert_eq!(starts.of("arena", "new"), 0, "tried again, it begins anew");
    }
}
