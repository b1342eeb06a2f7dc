//! Waiting times between tries: exponential with full jitter, so that many clients never come back in step.

use std::time::Duration;

/// Waiting times that double from `first` to `max`; each is drawn evenly from the upper half of its step.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Starts at `first`, never above `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, tries: 0 }
    }

    /// How long to wait before the next try; `entropy` chooses within the step.
    pub fn next(&mut self, entropy: u64) -> Duration {
        let step = self.first.saturating_mul(1 << self.tries.min(20)).min(self.max);
        self.tries = self.tries.saturating_add(1);
        let half = step / 2;
        half + half.mul_f64(entropy as f64 / u64::MAX as f64)
    }

    /// A try succeeded: begin again at `first`.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Tries since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_maximum_and_stay_within_their_step() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        assert_eq!(backoff.next(0), ms(50));
        assert_eq!(backoff.next(u64::MAX), ms(200));
        assert_eq!(backoff.next(u64::MAX), ms(350));
        assert_eq!(backoff.next(0), ms(175));
        backoff.reset();
        assert_eq!(backoff.next(u64::MAX), ms(100));
    }
}
