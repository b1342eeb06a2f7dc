//! The clocks of a run: the machine's, and the CPU of the calling thread.

use std::time::{Duration, Instant};

use netcode::Micros;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::TICK_RATE_HZ;

fn ns(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).expect("after the epoch") * 1_000_000_000
        + u64::try_from(time.tv_nsec).expect("positive")
}

/// Microseconds of the machine's clock.
pub fn micros() -> Micros {
    Micros(ns(clock_gettime(ClockId::Monotonic)) / 1_000)
}

/// CPU that the calling thread has used, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    ns(clock_gettime(ClockId::ThreadCPUTime))
}

/// Deadlines at the tick rate.
pub struct Ticks {
    start: Instant,
    next: u32,
}

impl Ticks {
    /// The first is due now.
    pub fn begin() -> Self {
        Self { start: Instant::now(), next: 0 }
    }

    /// The next deadline; those that lie in the past already are skipped.
    pub fn next_deadline(&mut self) -> Instant {
        let period = Duration::from_secs(1) / TICK_RATE_HZ;
        let passed = self.start.elapsed().as_nanos() / period.as_nanos();
        self.next = (self.next + 1).max(u32::try_from(passed).expect("a short run"));
        self.start + period * self.next
    }

    /// Sleeps until the next deadline.
    pub fn wait(&mut self) {
        let deadline = self.next_deadline();
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    }
}
