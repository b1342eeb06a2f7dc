//! Simulation steps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A simulation step's number within one match. The first step is tick 1; 0 means "before the first step".
///
/// A `u32` at 128 Hz lasts 388 days, and a match is limited to hours, so ticks never wrap: plain comparison orders them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// Before the first step.
    pub const ZERO: Self = Self(0);

    /// The next tick.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The tick `steps` later.
    #[must_use]
    pub fn plus(self, steps: u32) -> Self {
        Self(self.0.saturating_add(steps))
    }

    /// How many ticks `self` is after `earlier`; negative if it is before.
    pub fn since(self, earlier: Self) -> i64 {
        i64::from(self.0) - i64::from(earlier.0)
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tick {}", self.0)
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
