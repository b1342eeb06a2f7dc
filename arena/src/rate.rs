//! The match's tick rate, and durations in ticks.

/// Ticks per second of the match: all rules are written in seconds and turned into ticks here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// Slowest rate that the rules are tried with.
    pub const HZ_MIN: u32 = 20;
    /// Fastest rate that the rules are tried with.
    pub const HZ_MAX: u32 = 128;

    /// The rate of this many ticks per second; none outside [`HZ_MIN`](Self::HZ_MIN) to [`HZ_MAX`](Self::HZ_MAX).
    pub fn new(hz: u32) -> Option<Self> {
        (Self::HZ_MIN..=Self::HZ_MAX).contains(&hz).then_some(Self(hz))
    }

    /// Ticks per second.
    pub fn hz(self) -> u32 {
        self.0
    }

    /// Length of a tick in seconds.
    pub fn tick_s(self) -> f32 {
        1.0 / self.0 as f32
    }

    /// The whole number of ticks nearest to a duration, at least one.
    pub fn ticks(self, seconds: f32) -> u16 {
        ((seconds * self.0 as f32 + 0.5).floor() as u16).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_whole_ticks() {
        let rate = Rate::new(60).expect("allowed");
        assert_eq!((rate.ticks(0.5), rate.ticks(0.001), rate.ticks(2.0)), (30, 1, 120));
        assert_eq!((Rate::new(19), Rate::new(129)), (None, None));
    }
}
