//! quinn-proto's notion of time, laid on ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::UnixTime;

use crate::Micros;

/// Maps [`Micros`] onto instants: `base` is `Micros(0)`. Only differences matter, so any instant will do.
#[derive(Debug, Clone, Copy)]
pub(super) struct QuicTime {
    base: Instant,
}

impl QuicTime {
    pub(super) fn new(base: Instant) -> Self {
        Self { base }
    }

    pub(super) fn instant(self, now: Micros) -> Instant {
        self.base + Duration::from_micros(now.0)
    }

    /// Rounded up: at this moment the instant has come.
    pub(super) fn micros(self, instant: Instant) -> Micros {
        let nanos = instant.saturating_duration_since(self.base).as_nanos();
        Micros(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

/// The caller's time as a wall clock, for the ages of Retry tokens: only this process reads them.
#[derive(Debug, Clone, Default)]
pub(super) struct RetryClock(Arc<AtomicU64>);

impl RetryClock {
    pub(super) fn set(&self, now: Micros) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl quinn_proto::TimeSource for RetryClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// No wall clock for TLS: sessions are not resumed, and a certificate is trusted because the assignment names it.
#[derive(Debug)]
pub(super) struct NoWallClock;

impl rustls::time_provider::TimeProvider for NoWallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_between_two_microseconds_has_come_at_the_later() {
        let time = QuicTime::new(Instant::now());
        let instant = time.instant(Micros(5));
        assert_eq!(time.micros(instant), Micros(5));
        assert_eq!(time.micros(instant + Duration::from_nanos(1)), Micros(6));
        assert_eq!(time.micros(instant - Duration::from_secs(1)), Micros(0));
    }
}
