//! When to stop asking somebody who does not answer, and when to try again.

use std::time::{Duration, Instant};

/// Whether one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// One may.
    Granted,
    /// Nobody asks now.
    Refused,
}

/// Counts failures in a row.
#[derive(Debug)]
pub struct Circuit {
    failures_max: u32,
    pause: Duration,
    failures: u32,
    /// Set while it is open: nobody asks before this.
    closed_until: Option<Instant>,
}

impl Circuit {
    /// After `failures_max` failures in a row nobody asks for `pause`; then one does.
    pub fn new(failures_max: u32, pause: Duration) -> Self {
        Self { failures_max, pause, failures: 0, closed_until: None }
    }

    /// Whether a call may be made now. While the other is gone one caller tries after each pause.
    pub fn turn(&mut self, now: Instant) -> Turn {
        match self.closed_until {
            Some(until) if now < until => Turn::Refused,
            Some(_) => {
                self.closed_until = Some(now + self.pause);
                Turn::Granted
            }
            None => Turn::Granted,
        }
    }

    /// A call failed; whether a try just ended in asking no more, so that a connection is to be replaced.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.failures_max {
            return false;
        }
        let was_open = self.closed_until.replace(now + self.pause).is_some();
        // Calls that were under way when it opened fail as well; each later try has a pause before it.
        !was_open || self.failures.is_multiple_of(self.failures_max)
    }

    /// A call was answered; whether the other had been gone.
    pub fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.closed_until.take().is_some()
    }

    /// Whether the other is taken to be gone.
    pub fn is_open(&self) -> bool {
        self.closed_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES_MAX: u32 = 3;
    const PAUSE: Duration = Duration::from_millis(500);

    #[test]
    fn after_some_failures_one_asks_per_pause_until_it_answers() {
        let begun = Instant::now();
        let mut circuit = Circuit::new(FAILURES_MAX, PAUSE);
        for _ in 1..FAILURES_MAX {
            assert_eq!(circuit.turn(begun), Turn::Granted);
            assert!(!circuit.failed(begun));
        }
        assert!(circuit.failed(begun), "that was enough");
        assert_eq!(circuit.turn(begun), Turn::Refused);
        let later = begun + PAUSE;
        assert_eq!((circuit.turn(later), circuit.turn(later)), (Turn::Granted, Turn::Refused), "one tries");
        circuit.failed(later);
        assert_eq!(circuit.turn(later + PAUSE / 2), Turn::Refused);
        assert_eq!(circuit.turn(later + PAUSE), Turn::Granted);
        assert!(circuit.succeeded());
        assert_eq!((circuit.turn(later), circuit.turn(later)), (Turn::Granted, Turn::Granted));
    }

    #[test]
    fn failures_count_only_in_a_row() {
        let mut circuit = Circuit::new(FAILURES_MAX, PAUSE);
        for _ in 0..10 {
            assert!(!circuit.failed(Instant::now()));
            assert!(!circuit.succeeded());
        }
    }
}
