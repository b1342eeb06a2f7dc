//! The own player, shown at once instead of a round trip later.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use game::Input;
use netcode::Micros;
use netcode::replication::{EntityId, SeatId, View};
use protocol::tick::Tick;

/// Most inputs that are predicted ahead of the newest snapshot: two seconds at 60 Hz. With more, the server is not there.
const STEPS_MAX: usize = 128;
/// Time in which half of a visible error disappears.
const HALF_LIFE: Duration = Duration::from_millis(50);
/// Half-lives after which nothing of an error is left to see.
const HALF_LIVES_MAX: f32 = 8.0;

/// A game's rules for its own player, the same that its server uses.
pub trait Predict {
    /// What of the player is predicted.
    type State: Clone + PartialEq + Debug;

    /// Reads the state from a view; none when the entity is not what the player controls.
    fn read(&self, view: &View, entity: EntityId) -> Option<Self::State>;

    /// The state one tick later.
    fn step(&self, state: &Self::State, input: &Input) -> Self::State;

    /// How far apart two states are to the eye, in a unit of the game's own, a length for one; 0 when equal.
    fn error(&self, a: &Self::State, b: &Self::State) -> f32;

    /// The state `part` (0 to 1) of the way from one to another, for showing only.
    fn blend(&self, from: &Self::State, to: &Self::State, part: f32) -> Self::State;

    /// Errors above this are shown at once instead of smoothed, a respawn for one.
    fn jump(&self) -> f32;
}

/// For games, or clients, that predict nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPrediction;

impl Predict for NoPrediction {
    type State = ();

    fn read(&self, _view: &View, _entity: EntityId) -> Option<()> {
        None
    }

    fn step(&self, _state: &(), _input: &Input) {}

    fn error(&self, _a: &(), _b: &()) -> f32 {
        0.0
    }

    fn blend(&self, _from: &(), _to: &(), _part: f32) {}

    fn jump(&self) -> f32 {
        0.0
    }
}

/// Predicted states from the newest snapshot on.
#[derive(Debug)]
pub(crate) struct Prediction<P: Predict> {
    rules: P,
    seat: SeatId,
    /// The newest authoritative state.
    base: Option<(Tick, P::State)>,
    /// Inputs after the base, and the states that they lead to.
    steps: VecDeque<Step<P::State>>,
    /// What was shown before the last correction, moving on with the same inputs while it fades.
    ghost: Option<Ghost<P::State>>,
}

#[derive(Debug, Clone)]
struct Step<S> {
    tick: Tick,
    input: Input,
    state: S,
}

#[derive(Debug, Clone)]
struct Ghost<S> {
    before: S,
    state: S,
    since: Micros,
}

/// What became of a comparison with the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comparison {
    /// There was nothing to compare.
    Nothing,
    /// The prediction for that tick was right.
    Right,
    /// It was wrong by this much, by the game's measure, and has been corrected.
    Wrong(f32),
}

impl<P: Predict> Prediction<P> {
    pub(crate) fn new(rules: P, seat: SeatId) -> Self {
        Self { rules, seat, base: None, steps: VecDeque::new(), ghost: None }
    }

    /// The newest predicted state.
    pub(crate) fn newest(&self) -> Option<&P::State> {
        self.steps.back().map(|step| &step.state).or(self.base.as_ref().map(|(_, state)| state))
    }

    /// Predicts one tick with the input that is sent for it.
    pub(crate) fn push(&mut self, tick: Tick, input: &Input) {
        let Some(state) = self.newest().map(|state| self.rules.step(state, input)) else { return };
        if let Some(ghost) = &mut self.ghost {
            let next = self.rules.step(&ghost.state, input);
            ghost.before = std::mem::replace(&mut ghost.state, next);
        }
        if self.steps.len() == STEPS_MAX {
            // The server has been silent for long; what is predicted from here on is a guess anyway.
            self.steps.pop_front();
        }
        self.steps.push_back(Step { tick, input: input.clone(), state });
    }

    /// Compares with the server's state of a tick; where they differ, starts again from there with the later inputs.
    pub(crate) fn reconcile(&mut self, now: Micros, view: &View) -> Comparison {
        let tick = view.tick();
        if self.base.as_ref().is_some_and(|(base, _)| *base >= tick) {
            return Comparison::Nothing;
        }
        let own = view.entities().filter(|entity| view.owner(*entity) == Some(self.seat));
        let Some(truth) = own.filter_map(|entity| self.rules.read(view, entity)).next() else {
            // Not in the match at the moment.
            (self.base, self.ghost) = (None, None);
            self.steps.clear();
            return Comparison::Nothing;
        };
        let mut predicted = None;
        while self.steps.front().is_some_and(|step| step.tick <= tick) {
            predicted = self.steps.pop_front().filter(|step| step.tick == tick);
        }
        let comparison = match &predicted {
            None => Comparison::Nothing,
            Some(step) if step.state == truth => Comparison::Right,
            Some(step) => Comparison::Wrong(self.rules.error(&step.state, &truth)),
        };
        if comparison == Comparison::Right {
            self.base = Some((tick, truth));
            return comparison;
        }
        let shown = self.shown_pair(now, predicted.as_ref().map(|step| &step.state));
        self.replay(tick, truth);
        self.ghost = shown.filter(|(_, shown)| self.is_smoothed(shown)).map(|(before, state)| Ghost {
            before,
            state,
            since: now,
        });
        comparison
    }

    /// Starts again from a true state, with the inputs that came after it.
    fn replay(&mut self, tick: Tick, truth: P::State) {
        let mut state = truth.clone();
        for step in &mut self.steps {
            state = self.rules.step(&state, &step.input);
            step.state = state.clone();
        }
        self.base = Some((tick, truth));
    }

    /// Whether the difference between what was shown and the newest state is worth smoothing.
    fn is_smoothed(&self, shown: &P::State) -> bool {
        let error = self.newest().map_or(0.0, |newest| self.rules.error(shown, newest));
        error > 0.0 && error <= self.rules.jump()
    }

    /// What to show, `part` (0 to 1) of the way from the last but one predicted tick to the last.
    pub(crate) fn shown(&self, now: Micros, part: f32) -> Option<P::State> {
        let (before, newest) = self.shown_pair(now, None)?;
        Some(self.rules.blend(&before, &newest, part))
    }

    /// The last two states as they are shown: predicted, with what is left of the last error. `base` stands in for
    /// the state before the first step.
    fn shown_pair(&self, now: Micros, base: Option<&P::State>) -> Option<(P::State, P::State)> {
        let base = base.or(self.base.as_ref().map(|(_, state)| state));
        let mut newest_first = self.steps.iter().rev().map(|step| &step.state).chain(base);
        let newest = newest_first.next()?;
        let before = newest_first.next().unwrap_or(newest);
        let Some(ghost) = &self.ghost else { return Some((before.clone(), newest.clone())) };
        let half_lives = now.since(ghost.since).as_secs_f32() / HALF_LIFE.as_secs_f32();
        if half_lives > HALF_LIVES_MAX {
            return Some((before.clone(), newest.clone()));
        }
        let left = 0.5f32.powf(half_lives);
        let blend = |state, ghost| self.rules.blend(state, ghost, left);
        Some((blend(before, &ghost.before), blend(newest, &ghost.state)))
    }
}
