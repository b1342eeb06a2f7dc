//! How a new revision takes over: weights for new matches, step by step, judged against the stable revision.
//!
//! The state lives in the GameFleet's status, so an operator that starts anew goes on where the last one was. What it
//! cannot know then, how many matches ended in the present step, counts from zero again: a step may take longer, never less.

use crds::{Analysis, OnFailure, Rollout, RolloutStrategy};

/// Fewest failures that fail a canary in mid-step.
const FAILURES_MIN: u64 = 3;

/// Where a rollout stands, as the status keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Revision that takes matches by default.
    pub stable: Option<String>,
    /// Revision that is being tried.
    pub canary: Option<String>,
    /// Its step, from 0.
    pub step: u32,
    /// When that step began, Unix seconds; `None` until the canary's first server is in the pool.
    pub since_s: Option<i64>,
    /// Revision that failed; it is not tried again until the template asks for another.
    pub failed: Option<String>,
}

/// What was seen of a revision since the present step began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Servers in the pool, idle or busy.
    pub servers: u32,
    /// Matches that ended, well or not.
    pub sessions: u64,
    /// Of those, matches that ended because their server or room crashed.
    pub crashes: u64,
    /// Players who tried to join.
    pub joins: u64,
    /// Of those, players who could not.
    pub join_failures: u64,
    /// Servers that ended without ever having had a match.
    pub crashes_at_start: u64,
    /// 99th percentile of tick times in microseconds, once there are any.
    pub tick_p99_us: Option<u64>,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The state to keep.
    pub state: State,
    /// Share of new matches of the canary in percent; the rest is stable's.
    pub canary_weight: u32,
    /// What just happened, for an event; `None`: nothing.
    pub news: Option<News>,
    /// Why the rollout does not go on, for a condition.
    pub stands: Option<Stands>,
}

/// What just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The first revision of a fleet.
    First,
    /// A canary begins.
    Began,
    /// The next step.
    Stepped(u32),
    /// The canary is stable now.
    Promoted,
    /// The canary failed and its matches go to stable again.
    RolledBack(Fault),
    /// The canary failed and stays as it is.
    Held(Fault),
    /// The template is stable's again.
    Withdrawn,
}

/// Why a rollout does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// No server of the canary is in the pool yet.
    NoServers,
    /// Its time is not over, or too few matches have ended.
    Waiting,
    /// `rollout.paused`.
    Paused,
    /// It failed.
    Failed(Option<Fault>),
}

/// What made a canary fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its servers end before they have a match.
    #[error("{0} servers ended before their first match")]
    CrashesAtStart(u64),
    /// Too many players cannot join.
    #[error("{canary} of 1000 joins fail, against {stable} on the stable revision")]
    JoinFailures {
        /// In thousandths.
        canary: u32,
        /// In thousandths.
        stable: u32,
    },
    /// Too many matches crash.
    #[error("{canary} of 1000 matches crash, against {stable} on the stable revision")]
    Crashes {
        /// In thousandths.
        canary: u32,
        /// In thousandths.
        stable: u32,
    },
    /// Ticks take too long.
    #[error("the 99th percentile of its ticks is {canary_us} us, against {stable_us} us on the stable revision")]
    TickP99 {
        /// Of the canary, in microseconds.
        canary_us: u64,
        /// Of stable, in microseconds.
        stable_us: u64,
    },
}

/// The decision for a template that asks for `wanted`.
pub fn decide(rollout: &Rollout, wanted: &str, state: &State, stable: &Score, canary: &Score, now_s: i64) -> Decision {
    let mut next = state.clone();
    if next.failed.as_deref().is_some_and(|failed| failed != wanted) {
        next.failed = None;
    }
    if next.stable.is_none() {
        next = State { stable: Some(wanted.to_owned()), ..State::default() };
        return quiet(next, Some(News::First));
    }
    if next.stable.as_deref() == Some(wanted) {
        let news = next.canary.take().map(|_| News::Withdrawn);
        (next.step, next.since_s) = (0, None);
        return quiet(next, news);
    }
    if next.failed.as_deref() == Some(wanted) && rollout.on_failure == OnFailure::Rollback {
        (next.canary, next.step, next.since_s) = (None, 0, None);
        return Decision { state: next, canary_weight: 0, news: None, stands: Some(Stands::Failed(None)) };
    }
    if next.canary.as_deref() != Some(wanted) {
        (next.canary, next.step, next.since_s) = (Some(wanted.to_owned()), 0, None);
        let weight = weight(rollout, 0);
        return Decision {
            state: next,
            canary_weight: weight,
            news: Some(News::Began),
            stands: Some(Stands::NoServers),
        };
    }
    go_on(rollout, next, stable, canary, now_s)
}

/// A canary that is under way.
fn go_on(rollout: &Rollout, mut state: State, stable: &Score, canary: &Score, now_s: i64) -> Decision {
    let weight_now = weight(rollout, state.step);
    let stand = |state, why| Decision { state, canary_weight: weight_now, news: None, stands: Some(why) };
    if state.failed.is_some() {
        return stand(state, Stands::Failed(None));
    }
    let steps = rollout.steps.len() as u32;
    let step = rollout.steps.get(state.step as usize);
    let elapsed = state.since_s.map(|since| now_s - since);
    let over = step.is_none_or(|step| {
        elapsed.is_some_and(|s| s >= i64::from(step.pause_seconds))
            && canary.sessions >= u64::from(step.minimum_sessions)
    });
    if let Some(fault) = judge(&rollout.analysis, stable, canary, over) {
        return fail(rollout, state, weight_now, fault);
    }
    if canary.servers == 0 && state.since_s.is_none() {
        return stand(state, Stands::NoServers);
    }
    if state.since_s.is_none() {
        state.since_s = Some(now_s);
    }
    if rollout.paused {
        return stand(state, Stands::Paused);
    }
    if rollout.strategy == RolloutStrategy::Immediate || (over && state.step + 1 >= steps) {
        let promoted = State { stable: state.canary.take(), ..State::default() };
        return quiet(promoted, Some(News::Promoted));
    }
    if !over || elapsed.is_none() {
        return stand(state, Stands::Waiting);
    }
    state.step += 1;
    state.since_s = Some(now_s);
    let news = Some(News::Stepped(state.step));
    Decision { canary_weight: weight(rollout, state.step), state, news, stands: Some(Stands::Waiting) }
}

fn fail(rollout: &Rollout, mut state: State, weight_now: u32, fault: Fault) -> Decision {
    state.failed = state.canary.clone();
    let stands = Some(Stands::Failed(Some(fault.clone())));
    match rollout.on_failure {
        OnFailure::Rollback => {
            (state.canary, state.step, state.since_s) = (None, 0, None);
            Decision { state, canary_weight: 0, news: Some(News::RolledBack(fault)), stands }
        }
        OnFailure::Hold => Decision { state, canary_weight: weight_now, news: Some(News::Held(fault)), stands },
    }
}

fn quiet(state: State, news: Option<News>) -> Decision {
    Decision { state, canary_weight: 0, news, stands: None }
}

fn weight(rollout: &Rollout, step: u32) -> u32 {
    match rollout.strategy {
        RolloutStrategy::Immediate => 100,
        RolloutStrategy::Canary => rollout.steps.get(step as usize).map_or(100, |step| step.weight),
    }
}

/// What is wrong with the canary. In mid-step only what cannot be chance counts: [`FAILURES_MIN`] failures at least, and the
/// lower end of the 95 % interval. When the step is over (`whole`), the shares themselves count.
fn judge(analysis: &Analysis, stable: &Score, canary: &Score, whole: bool) -> Option<Fault> {
    if canary.crashes_at_start >= u64::from(analysis.crashes_at_start) {
        return Some(Fault::CrashesAtStart(canary.crashes_at_start));
    }
    let worse = |failed: u64, of: u64, stable_share: f64, points: u32| {
        let share = if whole { share(failed, of) } else { lower_bound(failed, of) };
        let many = whole || failed >= FAILURES_MIN;
        (many && share > stable_share + f64::from(points) / 100.0).then_some(share)
    };
    let thousandths = |share: f64| (share * 1_000.0).round() as u32;
    let base = share(stable.crashes, stable.sessions);
    if let Some(share) = worse(canary.crashes, canary.sessions, base, analysis.crashes_points) {
        return Some(Fault::Crashes { canary: thousandths(share), stable: thousandths(base) });
    }
    let base = share(stable.join_failures, stable.joins);
    if let Some(share) = worse(canary.join_failures, canary.joins, base, analysis.join_failures_points) {
        return Some(Fault::JoinFailures { canary: thousandths(share), stable: thousandths(base) });
    }
    if let (true, Some(canary_us), Some(stable_us)) = (whole, canary.tick_p99_us, stable.tick_p99_us)
        && canary_us * 100 > stable_us * u64::from(100 + analysis.tick_p99_percent)
    {
        return Some(Fault::TickP99 { canary_us, stable_us });
    }
    None
}

fn share(failed: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { failed as f64 / of as f64 }
}

/// Lower end of the Wilson score interval at 95 %: Wilson, "Probable inference, the law of succession, and statistical
/// inference", 1927.
fn lower_bound(failed: u64, of: u64) -> f64 {
    if of == 0 {
        return 0.0;
    }
    let (z, n, p) = (1.96_f64, of as f64, share(failed, of));
    let centre = p + z * z / (2.0 * n);
    let spread = z * ((p * (1.0 - p) + z * z / (4.0 * n)) / n).sqrt();
    ((centre - spread) / (1.0 + z * z / n)).max(0.0)
}

#[cfg(test)]
mod tests;
