//! A value that follows its target smoothly.

use netcode::Micros;

/// Differences beyond this are not smoothed: something else happened than drift (µs).
const JUMP_US: f64 = 150_000.0;

/// A duration in microseconds that moves towards a target by a limited part of the time that passes, so that a clock
/// which adds it never runs backwards and never visibly fast or slow.
#[derive(Debug, Clone)]
pub(crate) struct Slew {
    value_us: Option<f64>,
    at: Micros,
    /// Most that the value rises and falls, in parts of the time that passes.
    rise: f64,
    fall: f64,
}

impl Slew {
    pub(crate) fn new(rise: f64, fall: f64) -> Self {
        Self { value_us: None, at: Micros::ZERO, rise, fall }
    }

    /// The value; none before the first target.
    pub(crate) fn get(&self) -> Option<f64> {
        self.value_us
    }

    /// Lets time pass until `now`, moving towards the target. The first target is taken at once, and so is one that is
    /// farther away than smoothing could cover soon.
    pub(crate) fn advance(&mut self, now: Micros, target_us: f64) {
        let passed = now.since(self.at).as_secs_f64() * 1e6;
        self.at = self.at.max(now);
        self.value_us = Some(match self.value_us {
            Some(value) if (target_us - value).abs() <= JUMP_US => {
                value + (target_us - value).clamp(-self.fall * passed, self.rise * passed)
            }
            _ => target_us,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_slowly_and_jumps_over_gaps() {
        let mut slew = Slew::new(0.1, 0.05);
        slew.advance(Micros(1_000_000), 500.0);
        assert_eq!(slew.get(), Some(500.0));
        slew.advance(Micros(1_010_000), 5_000.0);
        assert_eq!(slew.get(), Some(1_500.0), "a tenth of ten milliseconds");
        slew.advance(Micros(1_020_000), -5_000.0);
        assert_eq!(slew.get(), Some(1_000.0), "a twentieth of ten milliseconds");
        slew.advance(Micros(1_020_000), 900_000.0);
        assert_eq!(slew.get(), Some(900_000.0));
    }
}
