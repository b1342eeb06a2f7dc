//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::ledger::Verdict;
use super::process::Shares;
use super::shown::Lags;
use super::{Plan, callers};

/// For microseconds up to an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(3_600_000_000, 3).expect("good bounds")
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("less than an age")
}

fn ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    let ms = Duration::from_micros(histogram.value_at_quantile(quantile)).as_secs_f64() * 1_000.0;
    (ms * 100.0).round() / 100.0
}

/// Everything that was measured.
pub(crate) struct Figures {
    pub(crate) plan: Plan,
    pub(crate) measured: callers::Outcome,
    /// The same callers without a pace, if that was asked for.
    pub(crate) flat_out: Option<callers::Outcome>,
    pub(crate) lags: Lags,
    /// Matches that the API never showed: over before it could.
    pub(crate) unseen: usize,
    pub(crate) verdict: Verdict,
    /// Assign orders that servers refused.
    pub(crate) refused_by_servers: u64,
    /// Events that the followers of the match log got, and pictures that those of the pool got.
    pub(crate) events: u64,
    pub(crate) pictures: u64,
    pub(crate) shares: Shares,
    pub(crate) load_average: String,
}

impl Figures {
    /// Whether the goals of the warm pool are met: 2,000 a second, p50 10 ms, p99 50 ms.
    pub(crate) fn meets_goals(&self) -> bool {
        let latency = &self.measured.latency;
        self.measured.rate() >= 2_000.0 && ms(latency, 0.5) <= 10.0 && ms(latency, 0.99) <= 50.0
    }

    pub(crate) fn json(&self) -> Value {
        let mut report = self.measured.json();
        let more = json!({
            "callers": self.plan.callers,
            "asked_per_s": self.plan.rate,
            "servers": self.plan.servers,
            "rooms_per_server": self.plan.capacity,
            "match_ms": self.plan.play.as_millis(),
            "meets_goals": self.meets_goals(),
            "api_shows_allocated": {
                "p50_ms": ms(&self.lags.every, 0.5),
                "p99_ms": ms(&self.lags.every, 0.99),
                "first_match": {
                    "count": self.lags.first.len(),
                    "p50_ms": ms(&self.lags.first, 0.5),
                    "p99_ms": ms(&self.lags.first, 0.99),
                    "max_ms": ms(&self.lags.first, 1.0),
                },
                "never": self.unseen,
                "state_changes": self.lags.changes,
            },
            "acknowledged": self.verdict.acknowledged,
            "double_allocations": self.verdict.double,
            "misplaced": self.verdict.misplaced,
            "refused_by_servers": self.refused_by_servers,
            "log_events": self.events,
            "pool_pictures": self.pictures,
            "cpu_cores": self.shares.0,
            "load_average": self.load_average,
            "flat_out": self.flat_out.as_ref().map(callers::Outcome::json),
        });
        if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
            report.extend(more);
        }
        report
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Plan { callers, servers, capacity, play, rate, .. } = &self.plan;
        let mut lines = vec![
            format!(
                "{callers} callers, {servers} game servers of {capacity} rooms, matches of {play:?}, {rate}/s asked for"
            ),
            self.measured.line("at that pace"),
        ];
        lines.extend(self.flat_out.as_ref().map(|flat_out| flat_out.line("flat out")));
        let (every, first) = (&self.lags.every, &self.lags.first);
        lines.push(format!(
            "API shows Allocated: p50 {} ms, p99 {} ms; where it did not yet ({}): p50 {} ms, p99 {} ms; never {}",
            ms(every, 0.5),
            ms(every, 0.99),
            first.len(),
            ms(first, 0.5),
            ms(first, 0.99),
            self.unseen,
        ));
        let Verdict { acknowledged, double, misplaced } = self.verdict;
        lines.push(format!("{acknowledged} acknowledged, {double} double, {misplaced} misplaced"));
        let shares = self.shares.0.iter().map(|(name, cores)| format!("{name} {cores}"));
        lines.push(format!("cores: {}; load average {}", shares.collect::<Vec<_>>().join(", "), self.load_average));
        lines
    }
}

impl callers::Outcome {
    /// New matches per second.
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.latency.len()).expect("fewer than 2^32");
        f64::from(count) / self.took.as_secs_f64()
    }

    fn json(&self) -> Value {
        let refused: BTreeMap<String, u64> = self.refused.iter().map(|(why, count)| (why.clone(), *count)).collect();
        json!({
            "allocations": self.latency.len(),
            "seconds": (self.took.as_secs_f64() * 10.0).round() / 10.0,
            "rate_per_s": (self.rate() * 10.0).round() / 10.0,
            "p50_ms": ms(&self.latency, 0.5),
            "p95_ms": ms(&self.latency, 0.95),
            "p99_ms": ms(&self.latency, 0.99),
            "max_ms": ms(&self.latency, 1.0),
            "call_p50_ms": ms(&self.call, 0.5),
            "call_p99_ms": ms(&self.call, 0.99),
            "refused": refused,
            "late": self.late,
            "unsent": self.unsent,
            "retries": self.retries,
        })
    }

    fn line(&self, what: &str) -> String {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| ms(&self.latency, quantile));
        let (rate, late, unsent, retries) = (self.rate(), self.late, self.unsent, self.retries);
        let refused: u64 = self.refused.values().sum();
        format!(
            "{what:12} {rate:6.0}/s  p50 {p50:.2} ms  p95 {p95:.2} ms  p99 {p99:.2} ms  refused {refused}  late {late}  \
             unsent {unsent}  retries {retries}"
        )
    }
}
