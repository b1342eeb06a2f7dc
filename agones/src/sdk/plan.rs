//! Decides, without clock or socket, when a state change has to be sent, sent again, or is done.
//!
//! The rules come from a real SDK server: it acknowledges a write when it has queued it, applies it 500 ms later, may
//! die in between, accepts Reserve on an Allocated server and so frees it, and keeps only the newest wanted state.

use std::time::Instant;

use super::{SdkError, Timing};
use crate::backoff::Backoff;
use crate::state::State;

/// A state that the game server asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Ready,
    /// Into the pool; never out of Allocated.
    Reserve {
        seconds: u32,
    },
    /// Into the pool, also out of Allocated.
    Free,
    Allocate,
    Shutdown,
}

impl Goal {
    pub(super) fn target(self) -> State {
        match self {
            Goal::Ready => State::Ready,
            Goal::Reserve { .. } | Goal::Free => State::Reserved,
            Goal::Allocate => State::Allocated,
            Goal::Shutdown => State::Shutdown,
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// No goal, or nothing to do before an observation.
    Idle,
    /// Look again at this moment, or at the next observation.
    WaitUntil(Instant),
    /// Send the goal's write, then say [`Plan::acknowledged`] or [`Plan::failed`].
    Send(Goal),
    /// The goal is gone; this is its answer.
    Done(Result<(), SdkError>),
}

#[derive(Debug)]
pub(super) struct Plan {
    timing: Timing,
    backoff: Backoff,
    goal: Option<Goal>,
    /// Acknowledged writes for this goal.
    attempts: u32,
    next_attempt: Option<Instant>,
    /// When the first write for this goal was acknowledged.
    acknowledged_at: Option<Instant>,
    /// The goal's state counts only some time after a write of its own: what is observed now may be older than an
    /// earlier write of another state.
    conflict: bool,
    /// The state that the newest acknowledged write asked for, until it is observed.
    queued: Option<State>,
    /// A write failed, so nobody knows whether the SDK server has it.
    doubt: bool,
}

impl Plan {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            backoff: Backoff::new(timing.backoff_first, timing.backoff_max),
            timing,
            goal: None,
            attempts: 0,
            next_attempt: None,
            acknowledged_at: None,
            conflict: false,
            queued: None,
            doubt: false,
        }
    }

    /// Takes a new goal. `Ok(true)`: it replaced another one, whose waiters are to be told.
    pub(super) fn set(&mut self, goal: Goal, observed: Option<State>) -> Result<bool, SdkError> {
        let joins = match self.goal {
            Some(Goal::Free) => matches!(goal, Goal::Free | Goal::Reserve { seconds: 0 }),
            other => other == Some(goal),
        };
        if joins {
            return Ok(false);
        }
        if self.goal == Some(Goal::Shutdown) {
            return Err(SdkError::Final(State::Shutdown));
        }
        let busy = observed == Some(State::Allocated) || self.goal == Some(Goal::Allocate);
        if busy && matches!(goal, Goal::Ready | Goal::Reserve { .. }) {
            return Err(SdkError::Allocated);
        }
        // A renewal has to be written although the state shows already.
        let renewal = matches!(goal, Goal::Reserve { seconds } if seconds > 0);
        self.conflict = renewal || self.doubt || self.queued.is_some_and(|queued| queued != goal.target());
        self.attempts = 0;
        self.next_attempt = None;
        self.acknowledged_at = None;
        self.backoff.reset();
        Ok(self.goal.replace(goal).is_some())
    }

    /// The next step, given what is observed now.
    pub(super) fn step(&mut self, now: Instant, observed: Option<State>) -> Step {
        let Some(goal) = self.goal else { return Step::Idle };
        let settles_at = self.acknowledged_at.map(|at| at + self.timing.settle);
        let settled = !self.conflict || settles_at.is_some_and(|at| at <= now);
        if let Some(answer) = observed.and_then(|state| answer(goal, state, settled, self.attempts > 0)) {
            self.goal = None;
            if answer.is_ok() {
                self.queued = None;
                self.doubt = false;
            }
            return Step::Done(answer);
        }
        // Reserve and Ready free an Allocated server, so they are never sent blindly.
        if observed.is_none() && matches!(goal, Goal::Reserve { .. } | Goal::Ready) {
            return Step::Idle;
        }
        match self.next_attempt.filter(|at| *at > now) {
            Some(at) => Step::WaitUntil(settles_at.filter(|_| !settled).map_or(at, |settles_at| at.min(settles_at))),
            None => Step::Send(goal),
        }
    }

    /// The write was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        let Some(goal) = self.goal else { return };
        self.backoff.reset();
        self.attempts += 1;
        self.acknowledged_at.get_or_insert(now);
        self.queued = Some(goal.target());
        self.next_attempt = Some(now + self.timing.repeat_interval);
    }

    /// The write failed in a way that a retry may cure.
    pub(super) fn failed(&mut self, now: Instant, entropy: u64) {
        self.doubt = true;
        self.next_attempt = Some(now + self.backoff.next(entropy));
    }

    /// The SDK server will never take the write.
    pub(super) fn abandoned(&mut self) {
        self.goal = None;
    }

    /// Whether the next write repeats an acknowledged one.
    pub(super) fn is_repeat(&self) -> bool {
        self.attempts > 0
    }
}

/// What a goal's waiters are told when this state is observed; `None` while there is nothing to tell.
fn answer(goal: Goal, state: State, settled: bool, written: bool) -> Option<Result<(), SdkError>> {
    match (goal, state) {
        (Goal::Shutdown, state) if state.is_final() => Some(Ok(())),
        (_, state) if state.is_final() => Some(Err(SdkError::Final(state))),
        (goal, state) if goal.target() == state => settled.then_some(Ok(())),
        // An allocator took it as soon as it was Ready.
        (Goal::Ready, State::Allocated) if written => Some(Ok(())),
        (Goal::Ready | Goal::Reserve { .. }, State::Allocated) => Some(Err(SdkError::Allocated)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
