//! When a room's ticks are due: deadlines at `t0 + n · dt`, computed from `n` each time so that nothing drifts.
//!
//! [`Schedule`] is the pure plan; [`Sleeper`] is the thread's own clock and its absolute sleep.

use std::num::NonZeroU64;

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Ticks that may run late, right after the one that is due, before the schedule skips instead of spiralling.
pub const CATCH_UP_TICKS_MAX: u64 = 2;

const NS_PER_S: u64 = 1_000_000_000;

/// What a tick thread does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this moment, in nanoseconds of the caller's clock.
    WaitUntil(u64),
    /// So many ticks, back to back.
    Run {
        /// 1, or up to 1 + [`CATCH_UP_TICKS_MAX`] after a delay.
        ticks: u32,
        /// Deadlines given up for good; to be counted.
        skipped: u64,
    },
}

/// Deadlines of one room's ticks.
#[derive(Debug, Clone)]
pub struct Schedule {
    start_ns: u64,
    rate_hz: u32,
    /// Number of the next deadline.
    next: u64,
}

impl Schedule {
    /// Ticks at `rate_hz` (at least 1), the first due at `start_ns` of the caller's clock.
    pub fn new(start_ns: u64, rate_hz: u32) -> Self {
        Self { start_ns, rate_hz: rate_hz.max(1), next: 0 }
    }

    /// Moment of deadline `n`, rounded down to a nanosecond; exact at every whole second.
    pub fn deadline_ns(&self, n: u64) -> u64 {
        let offset = u128::from(n) * u128::from(NS_PER_S) / u128::from(self.rate_hz);
        self.start_ns.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
    }

    /// Time between two deadlines in nanoseconds: the tick budget.
    pub fn budget_ns(&self) -> u64 {
        NS_PER_S / u64::from(self.rate_hz)
    }

    /// What is due at `now_ns`. Deadlines that are reported are done with: the caller runs or has lost them.
    pub fn due(&mut self, now_ns: u64) -> Due {
        let next_ns = self.deadline_ns(self.next);
        if now_ns < next_ns {
            return Due::WaitUntil(next_ns);
        }
        let overdue = self.deadlines_until(now_ns) - self.next;
        let ticks = overdue.min(1 + CATCH_UP_TICKS_MAX);
        self.next += overdue;
        Due::Run { ticks: u32::try_from(ticks).expect("at most three"), skipped: overdue - ticks }
    }

    /// How many deadlines lie at or before `now_ns`.
    fn deadlines_until(&self, now_ns: u64) -> u64 {
        let since = u128::from(now_ns.saturating_sub(self.start_ns));
        // floor(n · 10^9 / rate) <= since  is  n · 10^9 < (since + 1) · rate.
        let below = (since + 1) * u128::from(self.rate_hz);
        u64::try_from((below - 1) / u128::from(NS_PER_S) + 1).unwrap_or(u64::MAX)
    }
}

/// Nanoseconds of the machine's monotonic clock.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (s, ns) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    s * NS_PER_S + ns
}

/// Microseconds of the machine's monotonic clock, as layer 1 counts time.
pub fn micros() -> netcode::Micros {
    netcode::Micros(monotonic_ns() / 1_000)
}

/// The calling thread's absolute sleep.
#[derive(Debug)]
pub struct Sleeper(());

impl Sleeper {
    /// Asks the kernel to wake this thread on time: the usual slack of 50 µs is a third of a per cent of a 60 Hz tick,
    /// but it adds up with the scheduler's own delay. A kernel that refuses is no fault.
    pub fn for_this_thread() -> Self {
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        Self(())
    }

    /// Sleeps until the monotonic clock shows `deadline_ns`; returns early only if a signal interrupts.
    pub fn sleep_until(&self, deadline_ns: u64) {
        let request = Timespec {
            tv_sec: i64::try_from(deadline_ns / NS_PER_S).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(deadline_ns % NS_PER_S).expect("below a second"),
        };
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_ticks_do_not_drift() {
        for rate_hz in [20, 60, 128] {
            let mut schedule = Schedule::new(5, rate_hz);
            let mut now = 5;
            for n in 0..1_000_000u64 {
                assert_eq!(schedule.due(now), Due::Run { ticks: 1, skipped: 0 }, "tick {n} at {rate_hz} Hz");
                let Due::WaitUntil(next) = schedule.due(now) else { panic!("tick {n} was due twice") };
                now = next;
            }
            // A million ticks at 60 Hz are 16,666.666… s, to the nanosecond.
            assert_eq!(now - 5, 1_000_000 * NS_PER_S / u64::from(rate_hz));
        }
    }

    #[test]
    fn a_late_thread_catches_up_two_ticks_and_skips_the_rest() {
        let mut schedule = Schedule::new(0, 100);
        let dt = schedule.budget_ns();
        assert_eq!(schedule.due(0), Due::Run { ticks: 1, skipped: 0 });
        assert_eq!(schedule.due(2 * dt), Due::Run { ticks: 2, skipped: 0 });
        assert_eq!(schedule.due(5 * dt), Due::Run { ticks: 3, skipped: 0 });
        assert_eq!(schedule.due(105 * dt), Due::Run { ticks: 3, skipped: 97 });
        assert_eq!(schedule.due(105 * dt + 1), Due::WaitUntil(106 * dt));
    }

    #[test]
    fn ticks_that_take_too_long_never_spiral() {
        let mut schedule = Schedule::new(0, 60);
        let (mut now, mut ran, mut skipped) = (0, 0, 0);
        for _ in 0..1_000 {
            match schedule.due(now) {
                Due::WaitUntil(next) => now = next,
                Due::Run { ticks, skipped: lost } => {
                    assert!(u64::from(ticks) <= 1 + CATCH_UP_TICKS_MAX);
                    ran += u64::from(ticks);
                    skipped += lost;
                    now += u64::from(ticks) * schedule.budget_ns() * 3 / 2;
                }
            }
        }
        // Two of three deadlines fit; the schedule stays with the clock.
        assert!(skipped > 0 && (ran + skipped).abs_diff(now * 60 / NS_PER_S) <= 5, "{ran} run, {skipped} skipped");
    }

    #[test]
    fn the_sleeper_wakes_at_or_after_its_deadline() {
        let deadline = monotonic_ns() + 3_000_000;
        Sleeper::for_this_thread().sleep_until(deadline);
        assert!(monotonic_ns() >= deadline);
    }
}
