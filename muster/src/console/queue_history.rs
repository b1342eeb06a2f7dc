//! Who waited in each queue, and for how long, in the last ten minutes.

use std::collections::{BTreeMap, VecDeque};

use protocol::pb::QueueStatus;
use serde_json::{Value, json};

use super::history::SAMPLES_MAX;

/// Most queues whose past is kept: the first ones by name.
pub(super) const QUEUES_MAX: usize = 16;

/// One second of one queue.
#[derive(Debug, Clone, Copy)]
struct Second {
    /// Unix milliseconds.
    at_ms: u64,
    waiting: u32,
    wait_p50_s: Option<f64>,
    wait_p95_s: Option<f64>,
}

/// A ring of seconds for each queue. A second in which the matchmaker did not answer is missing.
#[derive(Debug, Default)]
pub(super) struct QueueHistory(BTreeMap<String, VecDeque<Second>>);

impl QueueHistory {
    /// Adds a second of every queue; a queue that is there no more is forgotten.
    pub(super) fn push(&mut self, at_ms: u64, queues: &[QueueStatus]) {
        let mut named: Vec<_> = queues.iter().collect();
        named.sort_by(|a, b| a.name.cmp(&b.name));
        named.truncate(QUEUES_MAX);
        self.0.retain(|name, _| named.iter().any(|queue| queue.name == *name));
        for queue in named {
            let ring = self.0.entry(queue.name.clone()).or_default();
            if ring.len() == SAMPLES_MAX {
                ring.pop_front();
            }
            ring.push_back(Second {
                at_ms,
                waiting: queue.waiting_players,
                wait_p50_s: wait_s(queue.wait_ms_p50),
                wait_p95_s: wait_s(queue.wait_ms_p95),
            });
        }
    }

    /// `{queue: [[at_ms, waiting players, wait p50 in s, wait p95 in s], …]}`, oldest first.
    pub(super) fn to_json(&self) -> Value {
        let row = |s: &Second| json!([s.at_ms, s.waiting, s.wait_p50_s, s.wait_p95_s]);
        self.0.iter().map(|(name, ring)| (name.clone(), ring.iter().map(row).collect::<Value>())).collect()
    }
}

/// A wait in seconds. Before the first match of five minutes nothing is known of waits, which the matchmaker tells as 0.
pub(super) fn wait_s(ms: u32) -> Option<f64> {
    (ms > 0).then(|| f64::from(ms) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str, waiting_players: u32, wait_ms_p95: u32) -> QueueStatus {
        QueueStatus { name: name.into(), waiting_players, wait_ms_p50: 0, wait_ms_p95, ..QueueStatus::default() }
    }

    #[test]
    fn each_queue_has_a_past_of_its_own_and_unknown_waits_are_null() {
        let mut history = QueueHistory::default();
        history.push(1_000, &[queue("duel", 3, 2_500), queue("squad", 8, 0)]);
        history.push(2_000, &[queue("duel", 1, 4_000)]);
        assert_eq!(history.to_json(), json!({ "duel": [[1_000, 3, null, 2.5], [2_000, 1, null, 4.0]] }));
    }

    #[test]
    fn the_past_is_bounded_in_time_and_in_queues() {
        let mut history = QueueHistory::default();
        let many: Vec<_> = (0..QUEUES_MAX + 9).map(|n| queue(&format!("q{n:03}"), 0, 0)).collect();
        for at_ms in 0..SAMPLES_MAX as u64 + 5 {
            history.push(at_ms, &many);
        }
        assert_eq!(history.0.len(), QUEUES_MAX);
        assert_eq!(history.0["q000"].len(), SAMPLES_MAX);
        assert_eq!(history.0["q000"][0].at_ms, 5);
    }
}
