//! What a match costs right now, as counters that only grow: whoever reads them twice knows what happened between.
//!
//! One thread writes each of them, without locks and without memory; the admin port reads.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use game::Phase;
use netcode::endpoint::SessionStats;
use serde_json::{Value, json};

/// Buckets of the histogram of tick times.
pub const TICK_BUCKETS: usize = 64;
/// Buckets per doubling: a bucket's ends are 19 % apart.
const BUCKETS_PER_DOUBLING: f64 = 4.0;
/// Upper end of the first bucket in microseconds.
const FIRST_BUCKET_US: f64 = 16.0;

/// The parts of a tick that are measured, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickPhase {
    /// What clients and the host said is taken.
    Take,
    /// [`Phase::Events`].
    Events,
    /// [`Phase::Inputs`].
    Inputs,
    /// [`Phase::Step`].
    Step,
    /// [`Phase::Record`].
    Record,
    /// [`Phase::Messages`].
    Messages,
    /// [`Phase::Snapshots`].
    Snapshots,
    /// The output is handed to the I/O thread.
    Send,
}

impl TickPhase {
    /// Every phase, in order.
    pub const ALL: [Self; 8] =
        [Self::Take, Self::Events, Self::Inputs, Self::Step, Self::Record, Self::Messages, Self::Snapshots, Self::Send];

    /// Its name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Events => "events",
            Self::Inputs => "inputs",
            Self::Step => "step",
            Self::Record => "record",
            Self::Messages => "messages",
            Self::Snapshots => "snapshots",
            Self::Send => "send",
        }
    }
}

impl From<Phase> for TickPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Events => Self::Events,
            Phase::Inputs => Self::Inputs,
            Phase::Step => Self::Step,
            Phase::Record => Self::Record,
            Phase::Messages => Self::Messages,
            Phase::Snapshots => Self::Snapshots,
        }
    }
}

/// The state of one seat's path.
#[derive(Debug, Default)]
struct SeatFigures {
    is_connected: AtomicBool,
    rtt_us: AtomicU32,
    jitter_us: AtomicU32,
    loss_permyriad: AtomicU32,
    /// Bytes of the present session.
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
}

/// The figures of one match.
#[derive(Debug)]
pub struct Figures {
    ticks: AtomicU64,
    snapshot_bytes: AtomicU64,
    phase_ns: [AtomicU64; TickPhase::ALL.len()],
    tick_us: [AtomicU64; TICK_BUCKETS],
    seats: Vec<SeatFigures>,
}

impl Figures {
    /// Nothing yet, for a match with this many seats.
    pub fn new(seats: usize) -> Self {
        Self {
            ticks: AtomicU64::new(0),
            snapshot_bytes: AtomicU64::new(0),
            phase_ns: std::array::from_fn(|_| AtomicU64::new(0)),
            tick_us: std::array::from_fn(|_| AtomicU64::new(0)),
            seats: (0..seats).map(|_| SeatFigures::default()).collect(),
        }
    }

    /// A tick has run.
    pub fn tick(&self, took: Duration, snapshot_bytes: usize) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.snapshot_bytes.fetch_add(snapshot_bytes as u64, Ordering::Relaxed);
        self.tick_us[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// A phase of a tick has run.
    pub fn phase(&self, phase: TickPhase, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.phase_ns[phase as usize].fetch_add(ns, Ordering::Relaxed);
    }

    /// The path of a seat, `None` without a session.
    pub fn seat(&self, seat: usize, is_connected: bool, stats: Option<&SessionStats>) {
        let Some(figures) = self.seats.get(seat) else { return };
        figures.is_connected.store(is_connected, Ordering::Relaxed);
        let Some(stats) = stats else { return };
        let us = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        figures.rtt_us.store(us(stats.rtt), Ordering::Relaxed);
        figures.jitter_us.store(us(stats.jitter), Ordering::Relaxed);
        figures.loss_permyriad.store((stats.loss.clamp(0.0, 1.0) * 10_000.0) as u32, Ordering::Relaxed);
        figures.bytes_out.store(stats.bytes_out, Ordering::Relaxed);
        figures.bytes_in.store(stats.bytes_in, Ordering::Relaxed);
    }

    /// The paths as JSON, in seat order: `{connected, rtt_ms, jitter_ms, loss, bytes_out, bytes_in}`.
    pub fn seats_json(&self) -> Vec<Value> {
        let ms = |us: &AtomicU32| f64::from(us.load(Ordering::Relaxed)) / 1_000.0;
        let seat = |seat: &SeatFigures| {
            json!({
                "connected": seat.is_connected.load(Ordering::Relaxed),
                "rtt_ms": ms(&seat.rtt_us),
                "jitter_ms": ms(&seat.jitter_us),
                "loss": f64::from(seat.loss_permyriad.load(Ordering::Relaxed)) / 10_000.0,
                "bytes_out": seat.bytes_out.load(Ordering::Relaxed),
                "bytes_in": seat.bytes_in.load(Ordering::Relaxed),
            })
        };
        self.seats.iter().map(seat).collect()
    }

    /// Everything as JSON. `tick_us` has the buckets' counts, `tick_us_ends` their upper ends.
    pub fn to_json(&self) -> Value {
        let all = |counters: &[AtomicU64]| counters.iter().map(|c| c.load(Ordering::Relaxed)).collect::<Vec<_>>();
        json!({
            "ticks": self.ticks.load(Ordering::Relaxed),
            "snapshot_bytes": self.snapshot_bytes.load(Ordering::Relaxed),
            "phase_ns": all(&self.phase_ns),
            "tick_us": all(&self.tick_us),
            "seats": self.seats_json(),
        })
    }
}

/// The bucket of a tick time.
fn bucket(took: Duration) -> usize {
    let doublings = (took.as_secs_f64() * 1e6 / FIRST_BUCKET_US).max(1.0).log2();
    ((doublings * BUCKETS_PER_DOUBLING).ceil() as usize).min(TICK_BUCKETS - 1)
}

/// Upper ends of the buckets of tick times in microseconds.
pub fn bucket_ends_us() -> [f64; TICK_BUCKETS] {
    std::array::from_fn(|n| FIRST_BUCKET_US * (n as f64 / BUCKETS_PER_DOUBLING).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_time_lies_below_the_end_of_its_bucket_and_above_the_one_before() {
        let ends = bucket_ends_us();
        for us in [1.0, 15.9, 17.0, 100.0, 999.0, 16_666.0, 400_000.0] {
            let n = bucket(Duration::from_secs_f64(us / 1e6));
            assert!(us <= ends[n] * 1.000_1, "{us} in bucket {n} up to {}", ends[n]);
            assert!(n == 0 || us >= ends[n - 1] * 0.999_9, "{us} in bucket {n} from {}", ends[n - 1]);
        }
        assert_eq!(bucket(Duration::from_secs(3_600)), TICK_BUCKETS - 1);
    }

    #[test]
    fn figures_add_up_and_a_seat_shows_its_newest_state() {
        let figures = Figures::new(2);
        figures.tick(Duration::from_micros(100), 50);
        figures.tick(Duration::from_micros(200), 70);
        figures.phase(TickPhase::Step, Duration::from_micros(3));
        let stats =
            SessionStats { rtt: Duration::from_millis(40), loss: 0.25, bytes_out: 9, ..SessionStats::default() };
        figures.seat(1, true, Some(&stats));
        figures.seat(9, true, Some(&stats));
        let json = figures.to_json();
        assert_eq!(
            (&json["ticks"], &json["snapshot_bytes"], &json["phase_ns"][3]),
            (&json!(2), &json!(120), &json!(3_000))
        );
        let counted: u64 = json["tick_us"].as_array().expect("buckets").iter().filter_map(Value::as_u64).sum();
        assert_eq!(counted, 2);
        assert_eq!(json["seats"][1]["rtt_ms"], json!(40.0));
        assert_eq!((&json["seats"][1]["loss"], &json["seats"][0]["connected"]), (&json!(0.25), &json!(false)));
        figures.seat(1, false, None);
        assert_eq!(figures.to_json()["seats"][1]["connected"], json!(false));
    }
}
