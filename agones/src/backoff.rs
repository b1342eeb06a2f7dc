//! How long to wait before the next try.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Doubling delays with full jitter: the n-th delay is drawn evenly from zero to `min(first * 2^n, max)`, so that
/// many clients that lost one server do not come back as one wave.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, ceiling: first }
    }

    /// The next delay, drawn with the given random number.
    pub(crate) fn next(&mut self, entropy: u64) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.max);
        ceiling.mul_f64((entropy >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Starts again at the first delay, after a success.
    pub(crate) fn reset(&mut self) {
        self.ceiling = self.first;
    }
}

/// A random number that is good enough for jitter and names. The standard library seeds its hashers from the
/// operating system, so this needs no further dependency; it is not for secrets.
pub(crate) fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let mut ceiling = || backoff.next(u64::MAX).as_secs_f64().round();
        assert_eq!([ceiling(), ceiling(), ceiling(), ceiling()], [1.0, 2.0, 4.0, 5.0]);
        backoff.reset();
        assert_eq!(backoff.next(0), Duration::ZERO);
        assert!(backoff.next(u64::MAX / 2) < Duration::from_millis(1_001));
    }

    #[test]
    fn entropy_differs_between_two_calls() {
        assert_ne!(entropy(), entropy());
    }
}
