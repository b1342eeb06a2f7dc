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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use game::schema::{SchemaBuilder, range, signed};
    use netcode::replication::{Replica, Replicator, SnapshotHeader, World};
    use protocol::schema::Schema;

    use super::*;

    /// A walker on a line: the input is its speed in metres per tick.
    struct Walk;

    impl Predict for Walk {
        type State = f32;

        fn read(&self, view: &View, entity: EntityId) -> Option<f32> {
            view.contains(entity).then(|| view.get(entity, 0))
        }
        fn step(&self, at: &f32, input: &Input) -> f32 {
            at + input.get(0)
        }
        fn error(&self, a: &f32, b: &f32) -> f32 {
            (a - b).abs()
        }
        fn blend(&self, from: &f32, to: &f32, part: f32) -> f32 {
            from + (to - from) * part
        }
        fn jump(&self) -> f32 {
            10.0
        }
    }

    fn schema() -> Arc<Schema> {
        let builder = SchemaBuilder::new("walk", 1).kind("walker", [range("at", -500.0, 500.0, 0.5)]);
        Arc::new(builder.input([signed("speed", 4)]).build())
    }

    fn input(speed: f32) -> Input {
        let mut input = Input::neutral(schema());
        input.set(0, speed);
        input
    }

    /// What a client sees at a tick: its walker there, or nobody.
    fn replica(tick: u32, at: Option<f32>) -> Replica {
        let seat = SeatId(2);
        let mut world = World::new(schema(), 4);
        if let Some(at) = at {
            let walker = world.spawn(0, Some(seat)).unwrap();
            world.set(walker, 0, at);
        }
        let mut replicator = Replicator::new(&schema(), 4);
        replicator.add_client(seat);
        replicator.record(Tick(tick), &world);
        let mut bytes = Vec::new();
        replicator.write_snapshot(seat, SnapshotHeader::default(), &mut |_| true, &mut bytes, 1_000).unwrap();
        let mut replica = Replica::new(schema());
        replica.apply(&bytes).unwrap();
        replica
    }

    /// At tick 10 on 0 m, then ten ticks of one metre.
    fn walking() -> Prediction<Walk> {
        let mut prediction = Prediction::new(Walk, SeatId(2));
        assert_eq!(prediction.newest(), None);
        prediction.reconcile(Micros(0), replica(10, Some(0.0)).newest());
        for tick in 11..=20 {
            prediction.push(Tick(tick), &input(1.0));
        }
        assert_eq!(prediction.newest(), Some(&10.0));
        prediction
    }

    #[test]
    fn a_right_prediction_is_left_alone() {
        let mut prediction = walking();
        assert_eq!(prediction.reconcile(Micros(1), replica(15, Some(5.0)).newest()), Comparison::Right);
        assert_eq!(prediction.newest(), Some(&10.0));
        assert_eq!(prediction.shown(Micros(1), 0.5), Some(9.5));
        assert_eq!(prediction.reconcile(Micros(1), replica(14, Some(77.0)).newest()), Comparison::Nothing, "older");
    }

    #[test]
    fn a_wrong_one_is_replayed_from_the_truth_and_its_error_fades_from_view() {
        let mut prediction = walking();
        let before = prediction.shown(Micros(1), 1.0);
        assert_eq!(prediction.reconcile(Micros(1), replica(15, Some(3.0)).newest()), Comparison::Wrong(2.0));
        assert_eq!(prediction.newest(), Some(&8.0), "the truth and five inputs");
        assert_eq!(prediction.shown(Micros(1), 1.0), before, "nothing jumps at the moment of the correction");
        let half = Micros(1) + HALF_LIFE;
        assert_eq!(prediction.shown(half, 1.0), Some(9.0));
        // What is shown keeps moving with the inputs while the error fades.
        prediction.push(Tick(21), &input(1.0));
        assert_eq!(prediction.shown(half, 1.0), Some(10.0));
        assert_eq!(prediction.shown(half + HALF_LIFE * 9, 1.0), Some(9.0));
    }

    #[test]
    fn a_second_correction_starts_from_what_is_shown() {
        let mut prediction = walking();
        prediction.reconcile(Micros(1), replica(15, Some(3.0)).newest());
        let half = Micros(1) + HALF_LIFE;
        let before = prediction.shown(half, 1.0);
        prediction.reconcile(half, replica(16, Some(0.0)).newest());
        assert_eq!(prediction.newest(), Some(&4.0));
        assert_eq!(prediction.shown(half, 1.0), before);
    }

    #[test]
    fn a_jump_is_shown_at_once_and_a_missing_player_not_at_all() {
        let mut prediction = walking();
        assert_eq!(prediction.reconcile(Micros(1), replica(15, Some(105.0)).newest()), Comparison::Wrong(100.0));
        assert_eq!(prediction.shown(Micros(1), 1.0), Some(110.0));
        assert_eq!(prediction.reconcile(Micros(2), replica(16, None).newest()), Comparison::Nothing);
        assert_eq!((prediction.newest(), prediction.shown(Micros(2), 1.0)), (None, None));
        prediction.push(Tick(21), &input(1.0));
        assert_eq!(prediction.newest(), None, "nobody to predict");
    }

    #[test]
    fn a_silent_server_takes_no_endless_memory() {
        let mut prediction = walking();
        for tick in 21..10_000 {
            prediction.push(Tick(tick), &input(0.0));
        }
        assert_eq!(prediction.steps.len(), STEPS_MAX);
    }
}
