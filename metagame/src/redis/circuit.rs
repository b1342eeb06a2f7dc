//! When to stop asking Redis, and when to try again.

use std::time::{Duration, Instant};

/// Failures in a row after which nobody asks.
const FAILURES_MAX: u32 = 3;
/// How long nobody asks; then one does.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Granted,
    Refused,
}

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    /// Set while it is open: nobody asks before this.
    closed_until: Option<Instant>,
}

impl Circuit {
    /// Whether a call may be made now. While Redis is gone one caller tries after each pause.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        match self.closed_until {
            Some(until) if now < until => Turn::Refused,
            Some(_) => {
                self.closed_until = Some(now + PAUSE);
                Turn::Granted
            }
            None => Turn::Granted,
        }
    }

    /// A call failed; whether a try just ended in asking no more, so that the connection is to be replaced.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_MAX {
            return false;
        }
        let was_open = self.closed_until.replace(now + PAUSE).is_some();
        // Calls that were under way when it opened fail as well; each later try has a pause before it.
        !was_open || self.failures.is_multiple_of(FAILURES_MAX)
    }

    /// A call was answered; whether Redis had been gone.
    pub(super) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.closed_until.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_failures_one_asks_per_pause_until_it_answers() {
        let begun = Instant::now();
        let mut circuit = Circuit::default();
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
        let mut circuit = Circuit::default();
        for _ in 0..10 {
            assert!(!circuit.failed(Instant::now()));
            assert!(!circuit.succeeded());
        }
    }
}
