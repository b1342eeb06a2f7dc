//! How far in the past the others are shown, so that there is nearly always a snapshot after the moment shown.

use netcode::Micros;
use protocol::tick::Tick;

use crate::slew::Slew;
use crate::window::Window;

/// Ticks that the delay looks back on: two seconds at 60 Hz.
const SAMPLES: usize = 120;
/// Part of the moments for which a later snapshot shall be there.
const COVERED: f64 = 0.97;
/// Longest delay in microseconds; with more the picture is useless anyway.
const DELAY_US_MAX: f64 = 400_000.0;
/// Most ticks that one snapshot counts for: after an outage the window is to hold more than the outage.
const GAP_TICKS_MAX: u32 = 12;

/// The interpolation delay.
///
/// For every tick it is measured how long after the server's clock a snapshot of that tick or a later one arrived.
/// That covers delay, jitter, loss and a lower snapshot rate alike. The delay is what nearly all ticks took, plus one
/// tick, because showing a moment takes the snapshots before and after it.
#[derive(Debug, Clone)]
pub(crate) struct InterpolationDelay {
    tick_us: f64,
    lateness: Window,
    target_us: f64,
    delay: Slew,
    newest: Option<Tick>,
    shown_us: f64,
}

impl InterpolationDelay {
    /// A delay that knows nothing yet, for ticks of this length in microseconds.
    pub(crate) fn new(tick_us: f64) -> Self {
        let delay = Slew::new(0.1, 0.03);
        Self { tick_us, lateness: Window::new(SAMPLES), target_us: tick_us, delay, newest: None, shown_us: f64::MIN }
    }

    /// A snapshot of this tick has arrived when the server's clock says `server_us`.
    pub(crate) fn heard(&mut self, tick: Tick, server_us: f64) {
        let first = self.newest.map_or(tick, |newest| newest.next().max(Tick(tick.0.saturating_sub(GAP_TICKS_MAX))));
        for covered in first.0..=tick.0 {
            self.lateness.push(server_us - f64::from(covered) * self.tick_us);
        }
        self.newest = self.newest.max(Some(tick));
        let late_us = self.lateness.percentile(COVERED).unwrap_or(0.0);
        self.target_us = (late_us + self.tick_us).clamp(0.0, DELAY_US_MAX);
    }

    /// Lets time pass; `server_us` is the server's clock. Returns the moment to show in microseconds since tick 0.
    /// It never goes back.
    pub(crate) fn advance(&mut self, now: Micros, server_us: f64) -> f64 {
        self.delay.advance(now, self.target_us);
        self.shown_us = self.shown_us.max(server_us - self.delay_us());
        self.shown_us
    }

    /// The delay in microseconds.
    pub(crate) fn delay_us(&self) -> f64 {
        self.delay.get().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_covers_lost_snapshots_and_the_moment_shown_never_goes_back() {
        let tick_us = 10_000.0;
        let mut delay = InterpolationDelay::new(tick_us);
        let (mut shown, mut newest, mut uncovered) = (f64::MIN, 0, 0);
        for n in 1..=3_000u32 {
            let server_us = f64::from(n) * tick_us + 20_000.0 + f64::from(n % 5) * 1_000.0;
            // Every tenth snapshot is lost.
            if n % 10 != 0 {
                delay.heard(Tick(n), server_us);
                newest = n;
            }
            let moment = delay.advance(Micros(server_us as u64), server_us);
            assert!(moment >= shown);
            shown = moment;
            uncovered += u32::from(n > 300 && moment > f64::from(newest) * tick_us);
        }
        assert_eq!(uncovered, 0);
        assert!((35_000.0..50_000.0).contains(&delay.delay_us()), "delay of {} µs", delay.delay_us());
    }
}
