//! The last ten minutes, one sample a second, so that a page that is loaded shows the past.

use std::collections::VecDeque;

use serde_json::{Value, json};

/// Samples that are kept: ten minutes.
pub(super) const SAMPLES_MAX: usize = 600;
/// What a sample holds, in order. `phase_…` are mean microseconds per tick; rates are per second.
pub(super) const NAMES: [&str; 22] = [
    "players",
    "waiting",
    "matches",
    "servers",
    "tick_p50_ms",
    "tick_p99_ms",
    "tick_budget_ms",
    "phase_take_us",
    "phase_events_us",
    "phase_inputs_us",
    "phase_step_us",
    "phase_record_us",
    "phase_messages_us",
    "phase_snapshots_us",
    "phase_send_us",
    "bytes_out_per_client",
    "bytes_in_per_client",
    "rtt_p50_ms",
    "rtt_p95_ms",
    "loss_mean",
    "loss_p95",
    "allocation_ms",
];

/// One second; `None` where nothing could be measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Unix milliseconds.
    pub(super) at_ms: u64,
    /// In the order of [`NAMES`].
    pub(super) values: [Option<f64>; NAMES.len()],
}

impl Sample {
    /// A second of which nothing is known.
    pub(super) fn empty(at_ms: u64) -> Self {
        Self { at_ms, values: [None; NAMES.len()] }
    }

    /// Sets the value `name`; a number that is none stays unknown.
    pub(super) fn set(&mut self, name: &str, value: Option<f64>) {
        if let Some(place) = NAMES.iter().position(|known| *known == name) {
            self.values[place] = value.filter(|value| value.is_finite());
        }
    }

    /// `[at_ms, value, …]`, values to four digits after the point.
    pub(super) fn to_json(&self) -> Value {
        let round = |value: f64| (value * 10_000.0).round() / 10_000.0;
        let values = self.values.iter().map(|value| json!(value.map(round)));
        std::iter::once(json!(self.at_ms)).chain(values).collect()
    }
}

/// A ring of samples.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Sample>);

impl History {
    /// Adds a sample; the oldest falls out of a full ring.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// `{names, samples}`, oldest first.
    pub(super) fn to_json(&self) -> Value {
        json!({ "names": NAMES, "samples": self.0.iter().map(Sample::to_json).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_ten_minutes_in_order() {
        let mut history = History::default();
        for at_ms in 0..SAMPLES_MAX as u64 + 5 {
            let mut sample = Sample::empty(at_ms);
            sample.set("players", Some(at_ms as f64));
            history.push(sample);
        }
        let json = history.to_json();
        let samples = json["samples"].as_array().expect("samples");
        assert_eq!(samples.len(), SAMPLES_MAX);
        assert_eq!((&samples[0][0], &samples[0][1]), (&json!(5), &json!(5.0)));
        assert_eq!(samples[SAMPLES_MAX - 1][0], json!(SAMPLES_MAX + 4));
        assert_eq!(samples[0].as_array().expect("a row").len(), json["names"].as_array().expect("names").len() + 1);
    }

    #[test]
    fn what_is_not_known_is_null_and_never_a_wrong_number() {
        let mut sample = Sample::empty(1);
        sample.set("matches", Some(f64::NAN));
        sample.set("servers", Some(1.0 / 3.0));
        let json = sample.to_json();
        assert_eq!((&json[3], &json[4]), (&Value::Null, &json!(0.3333)));
    }
}
