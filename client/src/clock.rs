//! What time it is on the server.

use std::time::Duration;

use netcode::Micros;
use protocol::tick::Tick;

use crate::slew::Slew;
use crate::window::Window;

/// Snapshots that the estimate looks back on: two seconds at 60 Hz, in which some come without delay.
const SAMPLES: usize = 120;
/// Part of the samples that count as delayed. Not all but the fastest one, so that a single odd sample decides nothing.
const FASTEST: f64 = 0.9;
/// How fast the estimate follows: drift between real clocks is below a thousandth.
const FOLLOW: f64 = 0.02;

/// An estimate of the server's time.
///
/// A snapshot of tick n leaves the server n tick lengths after its start. Delays only ever make one arrive late, so the
/// estimate follows the earliest of the recent ones plus half of the round trip, and moves by at most a fiftieth of the
/// passing time: jitter does not reach it, drift does not build up, and it never runs backwards.
#[derive(Debug, Clone)]
pub(crate) struct ServerClock {
    tick_us: f64,
    offsets: Window,
    target_us: Option<f64>,
    offset: Slew,
    newest: Micros,
}

impl ServerClock {
    /// A clock that knows nothing yet, for a server with ticks of this length in microseconds.
    pub(crate) fn new(tick_us: f64) -> Self {
        let offset = Slew::new(FOLLOW, FOLLOW);
        Self { tick_us, offsets: Window::new(SAMPLES), target_us: None, offset, newest: Micros::ZERO }
    }

    /// Length of a tick in microseconds.
    pub(crate) fn tick_us(&self) -> f64 {
        self.tick_us
    }

    /// A snapshot of this tick has arrived, over a path with this round trip.
    pub(crate) fn heard(&mut self, now: Micros, tick: Tick, round_trip: Duration) {
        if now.since(self.newest) > Duration::from_secs(2) {
            // After a gap (a suspended device, another network) the old samples say nothing.
            self.offsets.clear();
        }
        self.newest = now;
        let server_us = f64::from(tick.0) * self.tick_us + round_trip.as_secs_f64() * 0.5e6;
        self.offsets.push(server_us - now.0 as f64);
        self.target_us = self.offsets.percentile(FASTEST);
        self.advance(now);
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Micros) {
        if let Some(target) = self.target_us {
            self.offset.advance(now, target);
        }
    }

    /// Microseconds since the server's tick 0; none before the first snapshot.
    pub(crate) fn server_us(&self, now: Micros) -> Option<f64> {
        Some(now.0 as f64 + self.offset.get()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_US: f64 = 1e6 / 60.0;

    /// The clock after `seconds` of snapshots with the given delays, and its error at the end in microseconds.
    fn error_after(seconds: u32, drift: f64, delay_us: impl Fn(u32) -> f64, round_trip: Duration) -> f64 {
        let mut clock = ServerClock::new(TICK_US);
        let mut last = f64::MIN;
        for tick in 1..=seconds * 60 {
            let sent = f64::from(tick) * TICK_US * (1.0 + drift);
            let now = Micros((5e6 + sent + delay_us(tick)) as u64);
            clock.heard(now, Tick(tick), round_trip);
            let server = clock.server_us(now).expect("heard");
            assert!(server >= last || now.0 as f64 <= last, "the clock ran backwards");
            last = server;
        }
        let end = 5e6 + f64::from(seconds * 60) * TICK_US * (1.0 + drift);
        clock.server_us(Micros(end as u64)).expect("heard") - f64::from(seconds * 60) * TICK_US
    }

    #[test]
    fn jitter_does_not_reach_it() {
        let jitter = |tick: u32| 40_000.0 + f64::from(tick.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 * 30_000.0;
        let error = error_after(20, 0.0, jitter, Duration::from_millis(80));
        assert!(error.abs() < 6_000.0, "off by {error} µs");
    }

    #[test]
    fn drift_does_not_build_up() {
        for drift in [-2e-4, 2e-4] {
            let error = error_after(300, drift, |_| 20_000.0, Duration::from_millis(40));
            assert!(error.abs() < 1_500.0, "off by {error} µs after five minutes");
        }
    }
}
