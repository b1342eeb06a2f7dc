//! How a game server ends: no new match, time for those that run, their results, and out.
//!
//! ```text
//! Running ──SIGTERM, Drain──► Finishing ──deadline──► Delivering ──grace──► Over
//!                                 └──── no match runs ───►┘
//! ```
//! Pure: the host says what time it is and what still runs, and carries out the [`Step`]s.

/// Time that the results of aborted matches have to be delivered before they are left in the spool.
const GRACE_MS: u64 = 2_000;
/// The same after a second SIGTERM.
const GRACE_HURRIED_MS: u64 = 300;

/// What the host does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// End every running match with the reason "drained".
    Abort,
    /// Deliver no longer: what is not acknowledged stays in the spool.
    Spool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Finishing { until_ms: u64 },
    Delivering { until_ms: u64 },
    Over,
}

/// Where the end stands. Times are milliseconds of one monotonic clock.
#[derive(Debug)]
pub struct Drain {
    state: State,
    grace_ms: u64,
}

impl Default for Drain {
    /// No end in sight.
    fn default() -> Self {
        Self { state: State::Running, grace_ms: GRACE_MS }
    }
}

impl Drain {
    /// Running matches have until `until_ms`. Beginning again can only bring the end closer.
    pub fn begin(&mut self, until_ms: u64) {
        self.state = match self.state {
            State::Running => State::Finishing { until_ms },
            State::Finishing { until_ms: before } => State::Finishing { until_ms: before.min(until_ms) },
            other => other,
        };
    }

    /// Somebody has lost patience: the deadline is now.
    pub fn hurry(&mut self, now_ms: u64) {
        self.grace_ms = GRACE_HURRIED_MS;
        self.begin(now_ms);
        if let State::Delivering { until_ms } = &mut self.state {
            *until_ms = (*until_ms).min(now_ms + GRACE_HURRIED_MS);
        }
    }

    /// What to do now that `playing` matches have not ended yet.
    pub fn step(&mut self, now_ms: u64, playing: usize) -> Step {
        match self.state {
            State::Finishing { until_ms } if playing == 0 => {
                self.state = State::Delivering { until_ms: until_ms.max(now_ms + self.grace_ms) };
                Step::Nothing
            }
            State::Finishing { until_ms } if now_ms >= until_ms => {
                self.state = State::Delivering { until_ms: now_ms + self.grace_ms };
                Step::Abort
            }
            State::Delivering { until_ms } if now_ms >= until_ms => {
                self.state = State::Over;
                Step::Spool
            }
            _ => Step::Nothing,
        }
    }

    /// When matches that run are ended or, once none runs, when their results stay in the spool.
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Finishing { until_ms } | State::Delivering { until_ms } => Some(until_ms),
            State::Running | State::Over => None,
        }
    }

    /// Whether the server takes its leave.
    pub fn has_begun(&self) -> bool {
        self.state != State::Running
    }

    /// Whether nothing is waited for any more.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_matches_have_until_the_deadline_and_results_a_little_longer() {
        let mut drain = Drain::default();
        assert_eq!((drain.step(0, 2), drain.has_begun()), (Step::Nothing, false));
        drain.begin(25_000);
        drain.begin(90_000);
        assert_eq!((drain.step(24_999, 1), drain.deadline_ms()), (Step::Nothing, Some(25_000)));
        assert_eq!(drain.step(25_000, 1), Step::Abort);
        assert_eq!(drain.step(25_001, 1), Step::Nothing, "once");
        assert_eq!(drain.step(25_000 + GRACE_MS, 0), Step::Spool);
        assert!(drain.is_over());
    }

    #[test]
    fn results_may_use_the_whole_deadline_once_the_matches_have_ended() {
        let mut drain = Drain::default();
        drain.begin(25_000);
        assert_eq!(drain.step(1_000, 0), Step::Nothing);
        assert_eq!(drain.step(24_999, 0), Step::Nothing);
        assert_eq!(drain.step(25_000, 0), Step::Spool);
    }

    #[test]
    fn a_second_signal_is_faster_at_every_stage() {
        let mut drain = Drain::default();
        drain.begin(25_000);
        drain.hurry(1_000);
        assert_eq!(drain.step(1_000, 1), Step::Abort);
        assert_eq!(drain.step(1_000 + GRACE_HURRIED_MS, 1), Step::Spool);
        let mut delivering = Drain::default();
        delivering.begin(25_000);
        delivering.step(0, 0);
        delivering.hurry(10);
        assert_eq!(delivering.step(10 + GRACE_HURRIED_MS, 0), Step::Spool);
    }
}
