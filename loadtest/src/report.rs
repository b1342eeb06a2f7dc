//! What the bots measured, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use protocol::id::MatchId;
use serde::Serialize;

/// Longest duration that a histogram tells from longer ones.
const LONGEST_US: u64 = 600_000_000;

/// Durations, kept to three digits.
#[derive(Debug, Clone)]
pub struct Durations(Histogram<u64>);

/// Everything that a run of bots measured. Counts are sums over all bots.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Bots that logged in.
    pub players: u64,
    /// Bots that had a session over native UDP.
    pub udp_clients: u64,
    /// Bots that had a session over QUIC.
    pub quic_clients: u64,
    /// Tickets that were created.
    pub tickets: u64,
    /// Tickets that ended without a match, by state.
    pub tickets_unmatched: BTreeMap<String, u64>,
    /// Matches that any bot entered.
    pub matches: BTreeSet<MatchId>,
    /// Matches whose outcome any bot was told.
    pub matches_ended: BTreeSet<MatchId>,
    /// Times a bot played a match to its outcome.
    pub games_ended: u64,
    /// Times a bot found its match in its history afterwards.
    pub games_in_history: u64,
    /// Times a bot did not find its match in its history in time.
    pub games_missing: u64,
    /// Attempts to enter a match that failed, by reason: a refusal's label, "timed_out", "no_token".
    pub join_failures: BTreeMap<String, u64>,
    /// Sessions that ended before the match did.
    pub disconnects: u64,
    /// Sessions that followed a disconnect in the same match.
    pub reconnects: u64,
    /// Of these, by a resume ticket.
    pub resumes: u64,
    /// Times a bot was told that its match is lost.
    pub games_lost: u64,
    /// From a cut to having the seat again, with the state of the match.
    pub reconnect: Durations,
    /// Calls of the REST API that failed, by status or kind of failure; retries that helped count too.
    pub api_failures: BTreeMap<String, u64>,
    /// From asking for a ticket to knowing the match.
    pub time_to_match: Durations,
    /// From knowing the match to the first snapshot.
    pub time_to_enter: Durations,
    /// Round trips, sampled once per second and session.
    pub rtt: Durations,
    /// UDP payload received and sent.
    pub bytes_in: u64,
    /// UDP payload sent.
    pub bytes_out: u64,
    /// Bytes of snapshots received.
    pub snapshot_bytes: u64,
    /// Snapshots received.
    pub snapshots: u64,
    /// Time in sessions, summed over all bots.
    pub session_time: Duration,
    /// Inputs that the server reports to have come in time, and late.
    pub inputs_in_time: u64,
    /// Inputs that the server reports to have come late.
    pub inputs_late: u64,
    /// Predicted ticks that were compared with the server's.
    pub predictions: u64,
    /// Predicted ticks that were wrong.
    pub mispredictions: u64,
    /// Players killed by bots.
    pub kills: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self(
            Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order and three digits are allowed"),
        )
    }
}

impl Durations {
    /// Adds a duration; longer ones than ten minutes count as ten minutes.
    pub fn add(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds all durations of another.
    pub fn merge(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration in milliseconds that this share (0 to 1) does not exceed; 0 when there are none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1e3 }
    }

    /// The longest in milliseconds.
    pub fn longest_ms(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// The histogram in HdrHistogram's own format (V2, base64), in microseconds, for its tools.
    ///
    /// # Errors
    /// When the histogram cannot be encoded.
    pub fn to_hdr(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&self.0, &mut bytes).context("failed to encode the histogram")?;
        Ok(bytes)
    }
}

impl Report {
    /// Adds what another bot measured.
    pub fn merge(&mut self, other: Self) {
        self.players += other.players;
        self.udp_clients += other.udp_clients;
        self.quic_clients += other.quic_clients;
        self.tickets += other.tickets;
        add_counts(&mut self.tickets_unmatched, other.tickets_unmatched);
        self.matches.extend(other.matches);
        self.matches_ended.extend(other.matches_ended);
        self.games_ended += other.games_ended;
        self.games_in_history += other.games_in_history;
        self.games_missing += other.games_missing;
        add_counts(&mut self.join_failures, other.join_failures);
        self.disconnects += other.disconnects;
        self.reconnects += other.reconnects;
        self.resumes += other.resumes;
        self.games_lost += other.games_lost;
        self.reconnect.merge(&other.reconnect);
        add_counts(&mut self.api_failures, other.api_failures);
        self.time_to_match.merge(&other.time_to_match);
        self.time_to_enter.merge(&other.time_to_enter);
        self.rtt.merge(&other.rtt);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.snapshot_bytes += other.snapshot_bytes;
        self.snapshots += other.snapshots;
        self.session_time += other.session_time;
        self.inputs_in_time += other.inputs_in_time;
        self.inputs_late += other.inputs_late;
        self.predictions += other.predictions;
        self.mispredictions += other.mispredictions;
        self.kills += other.kills;
    }

    /// Attempts to enter a match that failed.
    pub fn join_failures_total(&self) -> u64 {
        self.join_failures.values().sum()
    }

    /// Bytes of snapshots per client and second of session.
    pub fn snapshot_bytes_per_client_s(&self) -> f64 {
        per(self.snapshot_bytes as f64, self.session_time.as_secs_f64())
    }

    /// Share of inputs that came in time, 0 to 1; 0 when there were none.
    pub fn inputs_in_time_share(&self) -> f64 {
        per(self.inputs_in_time as f64, (self.inputs_in_time + self.inputs_late) as f64)
    }

    /// The numbers for people and scripts.
    pub fn summary(&self) -> Summary {
        Summary {
            players: self.players,
            udp_clients: self.udp_clients,
            quic_clients: self.quic_clients,
            tickets: self.tickets,
            tickets_unmatched: self.tickets_unmatched.clone(),
            matches_entered: self.matches.len() as u64,
            matches_ended: self.matches_ended.len() as u64,
            games_ended: self.games_ended,
            games_in_history: self.games_in_history,
            games_missing: self.games_missing,
            join_failures: self.join_failures_total(),
            join_failures_by_reason: self.join_failures.clone(),
            disconnects: self.disconnects,
            reconnects: self.reconnects,
            resumes: self.resumes,
            games_lost: self.games_lost,
            reconnect_ms_p99: self.reconnect.quantile_ms(0.99),
            api_failures: self.api_failures.clone(),
            time_to_match_ms_p50: self.time_to_match.quantile_ms(0.5),
            time_to_match_ms_p95: self.time_to_match.quantile_ms(0.95),
            time_to_enter_ms_p95: self.time_to_enter.quantile_ms(0.95),
            rtt_ms_p50: self.rtt.quantile_ms(0.5),
            rtt_ms_p99: self.rtt.quantile_ms(0.99),
            snapshot_bytes_per_client_s: self.snapshot_bytes_per_client_s(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            inputs_in_time_share: self.inputs_in_time_share(),
            mispredictions: self.mispredictions,
            kills: self.kills,
        }
    }
}

/// A report's numbers, ready to print.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each field is explained at the field of Report that it comes from")]
pub struct Summary {
    pub players: u64,
    pub udp_clients: u64,
    pub quic_clients: u64,
    pub tickets: u64,
    pub tickets_unmatched: BTreeMap<String, u64>,
    pub matches_entered: u64,
    pub matches_ended: u64,
    pub games_ended: u64,
    pub games_in_history: u64,
    pub games_missing: u64,
    pub join_failures: u64,
    pub join_failures_by_reason: BTreeMap<String, u64>,
    pub disconnects: u64,
    pub reconnects: u64,
    pub resumes: u64,
    pub games_lost: u64,
    pub reconnect_ms_p99: f64,
    pub api_failures: BTreeMap<String, u64>,
    pub time_to_match_ms_p50: f64,
    pub time_to_match_ms_p95: f64,
    pub time_to_enter_ms_p95: f64,
    pub rtt_ms_p50: f64,
    pub rtt_ms_p99: f64,
    pub snapshot_bytes_per_client_s: f64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub inputs_in_time_share: f64,
    pub mispredictions: u64,
    pub kills: u64,
}

/// Counts one more of a kind.
pub(crate) fn count(counts: &mut BTreeMap<String, u64>, kind: &str) {
    *counts.entry(kind.to_owned()).or_default() += 1;
}

fn add_counts(to: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>) {
    for (kind, more) in from {
        *to.entry(kind).or_default() += more;
    }
}

fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_one_bot(ms: u64) -> Report {
        let mut report = Report { players: 1, udp_clients: 1, ..Report::default() };
        report.time_to_match.add(Duration::from_millis(ms));
        report.matches.insert(MatchId::from_entropy([1; 16]));
        count(&mut report.join_failures, "busy");
        report.snapshot_bytes = 10_000;
        report.session_time = Duration::from_secs(2);
        report.inputs_in_time = 9;
        report.inputs_late = 1;
        report
    }

    #[test]
    fn merging_adds_counts_and_histograms_and_tells_matches_apart() {
        let mut report = Report::default();
        for ms in 1..=100 {
            report.merge(of_one_bot(ms));
        }
        let summary = report.summary();
        assert_eq!((summary.players, summary.udp_clients, summary.matches_entered), (100, 100, 1));
        assert_eq!((summary.join_failures, summary.join_failures_by_reason["busy"]), (100, 100));
        assert_eq!(summary.snapshot_bytes_per_client_s, 5_000.0);
        assert_eq!(summary.inputs_in_time_share, 0.9);
        assert!((summary.time_to_match_ms_p95 - 95.0).abs() < 0.2, "{}", summary.time_to_match_ms_p95);
        assert_eq!(report.time_to_match.count(), 100);
    }

    #[test]
    fn an_empty_report_is_all_zero_and_extremes_are_kept_in_bounds() {
        let summary = Report::default().summary();
        assert_eq!(
            (summary.rtt_ms_p99, summary.inputs_in_time_share, summary.snapshot_bytes_per_client_s),
            (0.0, 0.0, 0.0)
        );
        let mut durations = Durations::default();
        durations.add(Duration::MAX);
        durations.add(Duration::ZERO);
        assert_eq!(durations.count(), 2);
        assert!(durations.longest_ms() >= 600_000.0);
        assert!(!durations.to_hdr().unwrap().is_empty());
    }
}
