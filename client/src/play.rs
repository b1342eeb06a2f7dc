//! A client's part in a match that it has entered: clocks, inputs, prediction.

use std::time::Duration;

use game::{Input, Seen};
use netcode::Micros;
use netcode::replication::{Replica, SeatId, SnapshotInfo};
use protocol::tick::Tick;

use crate::clock::ServerClock;
use crate::delay::InterpolationDelay;
use crate::frame::Frame;
use crate::inputs::PendingInputs;
use crate::lead::InputLead;
use crate::prediction::{Comparison, Predict, Prediction};
use crate::stats::Counts;

/// Inputs that are made up for after a stop; with more missing, they are skipped.
const CATCH_UP_TICKS_MAX: i64 = 12;

/// The state of play, from the room's welcome on.
#[derive(Debug)]
pub(crate) struct Play<P: Predict> {
    seat: SeatId,
    tick_us: f64,
    clock: ServerClock,
    lead: InputLead,
    delay: InterpolationDelay,
    pub(crate) pending: PendingInputs,
    prediction: Option<Prediction<P>>,
    /// The tick that the next input is for; none before the first snapshot.
    next: Option<Tick>,
    /// When that input is due.
    due: Micros,
    /// The moment shown, in microseconds since tick 0.
    shown_us: f64,
}

impl<P: Predict> Play<P> {
    pub(crate) fn new(seat: SeatId, tick_rate_hz: u32) -> Self {
        let tick_us = 1e6 / f64::from(tick_rate_hz.max(1));
        Self {
            seat,
            tick_us,
            clock: ServerClock::new(tick_us),
            lead: InputLead::new(tick_us),
            delay: InterpolationDelay::new(tick_us),
            pending: PendingInputs::default(),
            prediction: None,
            next: None,
            due: Micros::ZERO,
            shown_us: 0.0,
        }
    }

    pub(crate) fn predict_with(&mut self, rules: P) {
        self.prediction = Some(Prediction::new(rules, self.seat));
    }

    /// A snapshot has been applied.
    pub(crate) fn heard(
        &mut self,
        now: Micros,
        info: &SnapshotInfo,
        replica: &Replica,
        path: (Duration, Duration),
        counts: &mut Counts,
    ) {
        let (round_trip, jitter) = path;
        if self.next.is_none() {
            self.lead.assume(round_trip, jitter);
        }
        self.clock.heard(now, info.tick, round_trip);
        if let Some(server_us) = self.clock.server_us(now) {
            self.delay.heard(info.tick, server_us);
        }
        self.take_margin(info, counts);
        self.pending.used(info.last_input);
        let is_newest = replica.newest().tick() == info.tick;
        if let Some(prediction) = self.prediction.as_mut().filter(|_| is_newest) {
            match prediction.reconcile(now, replica.newest()) {
                Comparison::Nothing => {}
                Comparison::Right => counts.predictions += 1,
                Comparison::Wrong(_) => {
                    counts.predictions += 1;
                    counts.mispredictions += 1;
                }
            }
        }
        self.advance(now, counts);
    }

    /// Uses what the server says about the input for the snapshot's tick: how early it was there, or that it was not.
    fn take_margin(&mut self, info: &SnapshotInfo, counts: &mut Counts) {
        if info.last_input == info.tick {
            self.lead.in_time(info.tick, info.margin_ms);
            counts.inputs_in_time += 1;
        } else if self.lead.missed(info.tick, info.margin_ms) {
            counts.inputs_late += 1;
        }
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Micros, counts: &mut Counts) {
        self.clock.advance(now);
        let Some(server_us) = self.clock.server_us(now) else { return };
        self.lead.advance(now);
        self.shown_us = self.delay.advance(now, server_us);
        let input_us = server_us + self.lead.lead_us();
        let current = Tick((input_us / self.tick_us).max(1.0) as u32);
        let next = self.next.unwrap_or(current);
        let behind = current.since(next);
        let next = if behind > CATCH_UP_TICKS_MAX {
            counts.inputs_skipped += behind as u64;
            current
        } else {
            next
        };
        self.next = Some(next);
        let wait_us = (f64::from(next.0) * self.tick_us - input_us).max(0.0);
        self.due = now + Duration::from_micros(wait_us.ceil() as u64);
    }

    /// When the next input is due.
    pub(crate) fn due(&self) -> Option<Micros> {
        self.next.map(|_| self.due)
    }

    /// The tick whose input is due.
    pub(crate) fn due_input(&self, now: Micros) -> Option<Tick> {
        self.next.filter(|_| self.due <= now)
    }

    /// Takes the input for the tick that is due.
    pub(crate) fn take_input(&mut self, now: Micros, tick: Tick, input: &Input) {
        if let Some(server_us) = self.clock.server_us(now) {
            self.lead.sent(tick, server_us);
        }
        self.pending.push(tick, input);
        if let Some(prediction) = &mut self.prediction {
            prediction.push(tick, input);
        }
        self.next = Some(tick.next());
    }

    /// What the player sees at the moment.
    pub(crate) fn seen(&self) -> Seen {
        let ticks = (self.shown_us / self.tick_us).max(0.0);
        Seen { tick: Tick(ticks as u32), fraction: (ticks.fract() * 256.0) as u8 }
    }

    /// Fills the frame with the entities at the moment shown.
    pub(crate) fn fill(&self, replica: &Replica, frame: &mut Frame) {
        let moment = self.shown_us / self.tick_us;
        frame.moment = moment;
        let mut after = None;
        for view in replica.views().rev() {
            let tick = f64::from(view.tick().0);
            if tick <= moment {
                let part = after.map_or(0.0, |after: &netcode::replication::View| {
                    ((moment - tick) / (f64::from(after.tick().0) - tick)) as f32
                });
                return frame.fill(view, after, part);
            }
            after = Some(view);
        }
        // Everything received is newer than the moment shown: the beginning.
        frame.fill(after.unwrap_or(replica.newest()), None, 0.0);
    }

    /// The predicted own player at this moment, to be shown.
    pub(crate) fn own(&self, now: Micros) -> Option<P::State> {
        let tick_us = self.tick_us;
        let until_next_us = self.due.since(now).as_secs_f64() * 1e6;
        let part = (1.0 - until_next_us / tick_us).clamp(0.0, 1.0) as f32;
        self.prediction.as_ref()?.shown(now, part)
    }

    /// The newest predicted state, without smoothing.
    pub(crate) fn own_newest(&self) -> Option<&P::State> {
        self.prediction.as_ref()?.newest()
    }

    pub(crate) fn lead(&self) -> Duration {
        micros(self.lead.lead_us())
    }

    pub(crate) fn interpolation_delay(&self) -> Duration {
        micros(self.delay.delay_us())
    }

    /// How far a tick is behind the server's clock.
    pub(crate) fn age(&self, now: Micros, tick: Tick) -> Duration {
        micros(self.clock.server_us(now).unwrap_or(0.0) - f64::from(tick.0) * self.clock.tick_us())
    }

    /// The server's clock in ticks.
    pub(crate) fn server_ticks(&self, now: Micros) -> Option<f64> {
        Some(self.clock.server_us(now)? / self.tick_us)
    }
}

fn micros(us: f64) -> Duration {
    Duration::from_micros(us.max(0.0) as u64)
}
