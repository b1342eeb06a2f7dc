//! What happened between two readings of a match's counters, and what several matches add up to.

use serde::Deserialize;

/// What a game server's admin port says of its matches.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ServerReading {
    pub(super) phases: Vec<String>,
    pub(super) tick_us_ends: Vec<f64>,
    pub(super) matches: Vec<MatchReading>,
}

/// One match's counters.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct MatchReading {
    pub(super) match_id: String,
    pub(super) tick_rate_hz: Option<u32>,
    pub(super) figures: Counters,
}

/// They only grow.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Counters {
    pub(super) ticks: u64,
    pub(super) phase_ns: Vec<u64>,
    pub(super) tick_us: Vec<u64>,
    pub(super) seats: Vec<SeatReading>,
}

/// One seat's path.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct SeatReading {
    pub(super) connected: bool,
    pub(super) rtt_ms: f64,
    pub(super) loss: f64,
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
}

/// A span of time of one match or of many.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Interval {
    ticks: u64,
    phase_ns: Vec<u64>,
    tick_us: Vec<u64>,
    bytes_out: u64,
    bytes_in: u64,
    /// Clients connected at the end.
    pub(super) clients: usize,
    rtts_ms: Vec<f64>,
    losses: Vec<f64>,
}

impl Interval {
    /// From one reading of a match to the next.
    pub(super) fn between(before: &Counters, now: &Counters) -> Self {
        let mut interval = Self {
            ticks: now.ticks.saturating_sub(before.ticks),
            phase_ns: differences(&before.phase_ns, &now.phase_ns),
            tick_us: differences(&before.tick_us, &now.tick_us),
            ..Self::default()
        };
        for (n, seat) in now.seats.iter().enumerate() {
            let earlier = before.seats.get(n).copied().unwrap_or_default();
            // A new session counts its bytes from zero.
            interval.bytes_out += seat.bytes_out.checked_sub(earlier.bytes_out).unwrap_or(seat.bytes_out);
            interval.bytes_in += seat.bytes_in.checked_sub(earlier.bytes_in).unwrap_or(seat.bytes_in);
            if seat.connected {
                interval.clients += 1;
                interval.losses.push(seat.loss);
                // Zero before the first sample.
                interval.rtts_ms.extend(Some(seat.rtt_ms).filter(|rtt| *rtt > 0.0));
            }
        }
        interval
    }

    /// Adds another match.
    pub(super) fn add(&mut self, other: &Self) {
        self.ticks += other.ticks;
        sum(&mut self.phase_ns, &other.phase_ns);
        sum(&mut self.tick_us, &other.tick_us);
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.clients += other.clients;
        self.rtts_ms.extend(&other.rtts_ms);
        self.losses.extend(&other.losses);
    }

    /// A quantile of tick times in milliseconds, read from the buckets whose upper ends are given.
    pub(super) fn tick_ms(&self, quantile: f64, ends_us: &[f64]) -> Option<f64> {
        let total: u64 = self.tick_us.iter().sum();
        let wanted = quantile * total as f64;
        let mut below = 0.0;
        for (n, &count) in self.tick_us.iter().enumerate().filter(|(_, count)| **count > 0) {
            let part = (wanted - below) / count as f64;
            if part <= 1.0 {
                let start = if n == 0 { 0.0 } else { *ends_us.get(n - 1)? };
                return Some((start + (ends_us.get(n)? - start) * part.max(0.0)) / 1_000.0);
            }
            below += count as f64;
        }
        None
    }

    /// Mean microseconds per tick of each phase.
    pub(super) fn phases_us(&self) -> Vec<f64> {
        let ticks = self.ticks as f64;
        self.phase_ns.iter().filter(|_| self.ticks > 0).map(|ns| *ns as f64 / 1_000.0 / ticks).collect()
    }

    /// Bytes per second and client: to the clients, and from them.
    pub(super) fn bytes_per_client(&self, seconds: f64) -> (Option<f64>, Option<f64>) {
        let rate =
            |bytes: u64| (self.clients > 0 && seconds > 0.0).then(|| bytes as f64 / seconds / self.clients as f64);
        (rate(self.bytes_out), rate(self.bytes_in))
    }

    /// A quantile of the clients' round-trip times in milliseconds.
    pub(super) fn rtt_ms(&self, quantile: f64) -> Option<f64> {
        nearest_rank(&self.rtts_ms, quantile)
    }

    /// A quantile of the clients' loss, 0 to 1.
    pub(super) fn loss(&self, quantile: f64) -> Option<f64> {
        nearest_rank(&self.losses, quantile)
    }

    /// Mean loss over the clients, 0 to 1.
    pub(super) fn loss_mean(&self) -> Option<f64> {
        (!self.losses.is_empty()).then(|| self.losses.iter().sum::<f64>() / self.losses.len() as f64)
    }
}

fn differences(before: &[u64], now: &[u64]) -> Vec<u64> {
    let earlier = before.iter().copied().chain(std::iter::repeat(0));
    now.iter().zip(earlier).map(|(now, before)| now.saturating_sub(before)).collect()
}

fn sum(into: &mut Vec<u64>, from: &[u64]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0);
    }
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}

/// The value at the quantile by nearest rank.
fn nearest_rank(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: [f64; 4] = [100.0, 200.0, 400.0, 800.0];

    fn seat(bytes_out: u64, rtt_ms: f64, connected: bool) -> SeatReading {
        SeatReading { connected, rtt_ms, loss: rtt_ms / 1_000.0, bytes_out, bytes_in: 0 }
    }

    fn counters(ticks: u64, tick_us: [u64; 4], seats: Vec<SeatReading>) -> Counters {
        Counters { ticks, phase_ns: vec![ticks * 5_000], tick_us: tick_us.to_vec(), seats }
    }

    #[test]
    fn only_what_came_between_counts_and_a_new_session_begins_at_zero() {
        let before = counters(10, [10, 0, 0, 0], vec![seat(1_000, 20.0, true), seat(9_000, 5.0, true)]);
        let now = counters(30, [10, 18, 0, 2], vec![seat(1_600, 30.0, true), seat(400, 0.0, true)]);
        let interval = Interval::between(&before, &now);
        assert_eq!(interval.bytes_per_client(2.0), (Some((600.0 + 400.0) / 2.0 / 2.0), Some(0.0)));
        assert_eq!(interval.phases_us(), vec![5.0]);
        assert_eq!(interval.rtt_ms(0.5), Some(30.0), "a seat without a sample has no round-trip time");
        assert_eq!(interval.tick_ms(0.5, &ENDS), Some((100.0 + 100.0 * 10.0 / 18.0) / 1_000.0));
        assert_eq!(interval.tick_ms(1.0, &ENDS), Some(0.8));
    }

    #[test]
    fn matches_add_up() {
        let one = Interval::between(&Counters::default(), &counters(60, [60, 0, 0, 0], vec![seat(500, 10.0, true)]));
        let two = Interval::between(&Counters::default(), &counters(60, [0, 0, 60, 0], vec![seat(700, 50.0, true)]));
        let mut all = Interval::default();
        all.add(&one);
        all.add(&two);
        assert_eq!((all.clients, all.rtt_ms(0.5), all.rtt_ms(0.95)), (2, Some(10.0), Some(50.0)));
        assert_eq!(all.tick_ms(0.25, &ENDS), Some(0.05));
        assert!(all.tick_ms(0.99, &ENDS) > Some(0.39), "{:?}", all.tick_ms(0.99, &ENDS));
        assert_eq!(all.bytes_per_client(1.0).0, Some(600.0));
    }

    #[test]
    fn nothing_measured_is_nothing_known() {
        let nothing = Interval::between(&Counters::default(), &counters(0, [0; 4], vec![seat(0, 0.0, false)]));
        assert_eq!((nothing.tick_ms(0.99, &ENDS), nothing.rtt_ms(0.5), nothing.loss_mean()), (None, None, None));
        assert_eq!((nothing.bytes_per_client(1.0), nothing.phases_us()), ((None, None), vec![]));
    }
}
