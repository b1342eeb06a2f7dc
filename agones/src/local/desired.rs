//! How many servers there should be, and what to do about it. Pure: counts and times in, actions out.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::state::State;

/// Bounds of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Fewest servers.
    pub minimum: u32,
    /// Most servers.
    pub maximum: u32,
    /// Idle servers beyond the busy ones.
    pub buffer: u32,
}

/// One server, as far as the size of the fleet is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// State of its GameServer.
    pub state: State,
    /// Whether its process is being ended.
    pub ending: bool,
    /// When it was started; any one clock for all members.
    pub started: Duration,
}

impl Member {
    /// Whether it is there, or on its way, to host matches.
    fn counts(&self) -> bool {
        !self.ending && !self.state.is_final()
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Servers that there should be.
    pub desired: u32,
    /// Servers to start.
    pub start: u32,
    /// Idle servers that are too many, the longest-running first.
    pub surplus: Vec<String>,
}

/// `clamp(busy + buffer, minimum, maximum)`, where a server is busy while it is Allocated.
pub fn desired(size: Size, busy: u32) -> u32 {
    busy.saturating_add(size.buffer).clamp(size.minimum, size.maximum.max(size.minimum))
}

/// Compares the servers with what there should be. Busy and starting servers are never surplus.
pub fn plan(size: Size, members: &BTreeMap<String, Member>) -> Plan {
    let count = |is: fn(&Member) -> bool| u32::try_from(members.values().filter(|m| is(m)).count()).unwrap_or(u32::MAX);
    let busy = count(|member| member.counts() && member.state == State::Allocated);
    let live = count(Member::counts);
    let desired = desired(size, busy);
    // Processes that are ending still hold ports and memory, so they count towards the maximum.
    let room = size.maximum.saturating_sub(count(|_| true));
    let mut idle: Vec<_> = members.iter().filter(|(_, member)| member.counts() && member.state.is_idle()).collect();
    idle.sort_by_key(|(name, member)| (member.started, *name));
    let surplus = live.saturating_sub(desired);
    Plan {
        desired,
        start: desired.saturating_sub(live).min(room),
        surplus: idle.into_iter().take(surplus as usize).map(|(name, _)| name.clone()).collect(),
    }
}

/// Slows down the starts of a server that ends as soon as it has started.
#[derive(Debug, Clone)]
pub struct CrashLoop {
    stable_after: Duration,
    crashes: u32,
    not_before: Duration,
}

impl CrashLoop {
    /// The pause after the first early crash; it doubles with each one.
    pub const FIRST: Duration = Duration::from_millis(500);
    /// The longest pause.
    pub const MAX: Duration = Duration::from_secs(30);
    /// A server that lived this long did not crash early, where nobody says otherwise.
    pub const STABLE: Duration = Duration::from_secs(10);

    /// No crash so far. A server that lives for `stable_after` does not crash early.
    pub fn new(stable_after: Duration) -> Self {
        Self { stable_after, crashes: 0, not_before: Duration::ZERO }
    }

    /// A server crashed after `lived`. Gives the pause before the next start. Several servers that crash in one
    /// pause count once: they were started together.
    pub fn crashed(&mut self, now: Duration, lived: Duration) -> Duration {
        if lived >= self.stable_after {
            self.crashes = 0;
            self.not_before = now;
        } else if now >= self.not_before {
            self.not_before = now + Self::FIRST.saturating_mul(1 << self.crashes.min(16)).min(Self::MAX);
            self.crashes += 1;
        }
        self.not_before.saturating_sub(now)
    }

    /// Early crashes in a row.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// The next start is allowed from this time on.
    pub fn not_before(&self) -> Duration {
        self.not_before
    }
}

impl Default for CrashLoop {
    fn default() -> Self {
        Self::new(Self::STABLE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size { minimum: 2, maximum: 6, buffer: 1 };

    fn members(states: &[State]) -> BTreeMap<String, Member> {
        let member = |(index, state): (usize, &State)| {
            let started = Duration::from_secs(100 - index as u64);
            (format!("s{index}"), Member { state: *state, ending: false, started })
        };
        states.iter().enumerate().map(member).collect()
    }

    #[test]
    fn the_fleet_grows_with_its_busy_servers_between_minimum_and_maximum() {
        for (busy, expected) in [(0, 2), (1, 2), (2, 3), (5, 6), (6, 6), (60, 6)] {
            assert_eq!(desired(SIZE, busy), expected, "{busy} busy");
        }
        assert_eq!(desired(Size { minimum: 0, maximum: 6, buffer: 0 }, 0), 0);
    }

    #[test]
    fn plans() {
        use State::{Allocated, Ready, Reserved, Scheduled, Shutdown, Unhealthy};
        let check = |states: &[State], start: u32, surplus: &[&str]| {
            let plan = plan(SIZE, &members(states));
            assert_eq!(
                (plan.start, plan.surplus),
                (start, surplus.iter().map(|s| (*s).to_owned()).collect()),
                "{states:?}"
            );
        };
        check(&[], 2, &[]);
        check(&[Scheduled], 1, &[]);
        check(&[Scheduled, Reserved], 0, &[]);
        check(&[Allocated, Allocated], 1, &[]);
        // The longest-running idle servers go first; they are the last in this list.
        check(&[Reserved, Reserved, Ready], 0, &["s2"]);
        check(&[Scheduled, Scheduled, Scheduled], 0, &[]);
        check(&[Allocated, Allocated, Allocated, Allocated, Allocated, Allocated, Reserved], 0, &["s6"]);
        // Ended servers are replaced, as far as there is room beside their processes.
        check(&[Shutdown, Unhealthy], 2, &[]);
        check(&[Shutdown, Shutdown, Shutdown, Shutdown, Shutdown], 1, &[]);
    }

    #[test]
    fn an_early_crash_delays_the_next_start_more_and_more() {
        let mut crash_loop = CrashLoop::default();
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = crash_loop.crashed(now, Duration::from_millis(5));
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(crash_loop.crashed(now, Duration::from_secs(60)), Duration::ZERO, "a late crash starts over");
        assert_eq!(crash_loop.crashes(), 0);
    }

    #[test]
    fn servers_that_crash_together_count_once() {
        let mut crash_loop = CrashLoop::default();
        for _ in 0..5 {
            crash_loop.crashed(Duration::from_millis(10), Duration::ZERO);
        }
        assert_eq!(crash_loop.crashes(), 1);
    }

    fn any_state() -> impl Strategy<Value = State> {
        use State::{Allocated, Ready, Reserved, Scheduled, Shutdown, Unhealthy};
        prop::sample::select(vec![Scheduled, Ready, Reserved, Allocated, Shutdown, Unhealthy])
    }

    proptest! {
        #[test]
        fn a_plan_never_exceeds_the_maximum_and_never_touches_a_busy_server(
            states in prop::collection::vec(any_state(), 0..12),
            (minimum, more, buffer) in (0u32..5, 0u32..5, 0u32..5),
        ) {
            let size = Size { minimum, maximum: minimum + more, buffer };
            let members = members(&states);
            let plan = plan(size, &members);
            prop_assert!(plan.start == 0 || members.len() as u32 + plan.start <= size.maximum);
            prop_assert!(plan.start == 0 || plan.surplus.is_empty());
            for name in &plan.surplus {
                prop_assert!(members[name].state.is_idle());
            }
        }
    }
}
