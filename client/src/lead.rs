//! How far ahead of the server's clock inputs are sent, so that they arrive in time but not early.

use std::collections::VecDeque;
use std::time::Duration;

use netcode::Micros;
use protocol::tick::Tick;

use crate::slew::Slew;
use crate::window::Window;

/// Reported margins that the lead looks back on: two seconds at 60 Hz.
const SAMPLES: usize = 120;
/// Part of the inputs that shall arrive in time. The rest costs more latency than it is worth: late inputs are repeated.
const IN_TIME: f64 = 0.98;
/// Safety in microseconds on top of what the samples say, for the server's own wake-up.
const SAFETY_US: f64 = 3_000.0;
/// Sent inputs that are remembered until their margin is reported.
const SENT_MAX: usize = 256;
/// Longest lead: with more, at 128 Hz, inputs would come farther ahead than a room remembers.
const LEAD_US_MAX: f64 = 400_000.0;

/// The lead of inputs over the server's clock.
///
/// The server reports for its ticks how early their input arrived. Together with the moment it was sent, that tells how
/// long the input took; the lead follows what nearly all of the recent ones took. Nothing is fed back, so it cannot swing.
#[derive(Debug, Clone)]
pub(crate) struct InputLead {
    tick_us: f64,
    sent: VecDeque<(Tick, f64)>,
    took: Window,
    lead: Slew,
    target_us: f64,
}

impl InputLead {
    /// A lead that knows nothing yet, for ticks of this length in microseconds.
    pub(crate) fn new(tick_us: f64) -> Self {
        // Rising is urgent, because inputs are late; falling is not.
        let lead = Slew::new(0.1, 0.03);
        Self { tick_us, sent: VecDeque::new(), took: Window::new(SAMPLES), lead, target_us: 2.0 * tick_us }
    }

    /// What is assumed before the first report.
    pub(crate) fn assume(&mut self, round_trip: Duration, jitter: Duration) {
        self.target_us = (round_trip / 2 + jitter * 2).as_secs_f64() * 1e6 + self.tick_us;
    }

    /// The input for this tick is sent now.
    pub(crate) fn sent(&mut self, tick: Tick, server_us: f64) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((tick, server_us));
    }

    /// The server used the input for this tick, which had arrived so much before.
    pub(crate) fn in_time(&mut self, tick: Tick, margin_ms: i16) {
        self.report(tick, -f64::from(margin_ms) * 1e3);
    }

    /// The server had no input for this tick when it ran; false when none was sent. It comes a tick late when one packet
    /// was lost, or later by what the server says of other late ones.
    pub(crate) fn missed(&mut self, tick: Tick, margin_ms: i16) -> bool {
        self.report(tick, self.tick_us.max(-f64::from(margin_ms) * 1e3))
    }

    /// The input for this tick arrived so much after the tick began; negative: before.
    fn report(&mut self, tick: Tick, late_us: f64) -> bool {
        while self.sent.front().is_some_and(|(sent, _)| *sent < tick) {
            self.sent.pop_front();
        }
        let Some((_, sent_us)) = self.sent.pop_front_if(|(sent, _)| *sent == tick) else { return false };
        self.took.push(f64::from(tick.0) * self.tick_us + late_us - sent_us);
        self.target_us = self.took.percentile(IN_TIME).map_or(self.target_us, |took| took + SAFETY_US);
        true
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Micros) {
        self.lead.advance(now, self.target_us.clamp(0.0, LEAD_US_MAX));
    }

    /// The lead in microseconds.
    pub(crate) fn lead_us(&self) -> f64 {
        self.lead.get().unwrap_or(self.target_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_was_never_sent_is_not_missed() {
        let mut lead = InputLead::new(16_667.0);
        lead.sent(Tick(5), 0.0);
        assert!(!lead.missed(Tick(4), 0) && lead.missed(Tick(5), 0) && !lead.missed(Tick(5), 0));
    }

    #[test]
    fn it_settles_just_above_what_inputs_take_and_recovers_from_a_slower_path() {
        let tick_us = 1e6 / 60.0;
        let mut lead = InputLead::new(tick_us);
        let mut late = 0;
        for n in 0..1_800u32 {
            // A path of 40 to 50 ms; after ten seconds it takes 30 ms more.
            let took = 40_000.0 + f64::from(n % 7) * 1_500.0 + if n >= 600 { 30_000.0 } else { 0.0 };
            let now = Micros((f64::from(n) * tick_us) as u64);
            lead.advance(now);
            let tick = Tick(n + 10);
            let sent_us = f64::from(tick.0) * tick_us - lead.lead_us();
            lead.sent(tick, sent_us);
            let margin_us = lead.lead_us() - took;
            if margin_us >= 0.0 {
                lead.in_time(tick, (margin_us / 1e3) as i16);
            } else {
                assert!(lead.missed(tick, (margin_us / 1e3) as i16));
            }
            late += u32::from(n >= 120 && margin_us < 0.0);
        }
        assert!(late < 40, "{late} of 1,680 inputs were late");
        assert!((79_000.0..100_000.0).contains(&lead.lead_us()), "lead of {} µs", lead.lead_us());
    }
}
