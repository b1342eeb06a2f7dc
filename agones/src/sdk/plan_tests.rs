//! Given times and observations, what the plan sends.

use std::time::Duration;

use super::*;

struct Run {
    plan: Plan,
    now: Instant,
    observed: Option<State>,
}

impl Run {
    fn new(observed: Option<State>) -> Self {
        Self { plan: Plan::new(Timing::agones()), now: Instant::now(), observed }
    }

    fn set(&mut self, goal: Goal) -> Result<bool, SdkError> {
        self.plan.set(goal, self.observed)
    }

    fn step(&mut self) -> Step {
        self.plan.step(self.now, self.observed)
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// The step must be to send this goal, which is then acknowledged.
    #[track_caller]
    fn sends(&mut self, goal: Goal) {
        match self.step() {
            Step::Send(sent) => assert_eq!(sent, goal),
            other => panic!("expected a write, got {other:?}"),
        }
        self.plan.acknowledged(self.now);
    }

    #[track_caller]
    fn waits(&mut self) {
        match self.step() {
            Step::WaitUntil(at) => assert!(at > self.now),
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    #[track_caller]
    fn is_done(&mut self) {
        match self.step() {
            Step::Done(Ok(())) => {}
            other => panic!("expected success, got {other:?}"),
        }
        assert!(matches!(self.step(), Step::Idle));
    }

    #[track_caller]
    fn fails(&mut self, check: fn(&SdkError) -> bool) {
        match self.step() {
            Step::Done(Err(error)) if check(&error) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

const RESERVE: Goal = Goal::Reserve { seconds: 0 };

#[test]
fn a_write_is_repeated_until_its_state_is_observed() {
    let mut run = Run::new(Some(State::Scheduled));
    run.set(RESERVE).unwrap();
    run.sends(RESERVE);
    run.pass(1_400);
    run.waits();
    run.pass(200);
    assert!(run.plan.is_repeat());
    run.sends(RESERVE);
    run.observed = Some(State::Reserved);
    run.is_done();
}

#[test]
fn a_state_that_shows_already_is_not_written() {
    let mut run = Run::new(Some(State::Reserved));
    run.set(RESERVE).unwrap();
    run.is_done();
}

#[test]
fn a_renewal_is_written_although_the_state_shows() {
    let mut run = Run::new(Some(State::Reserved));
    let renewal = Goal::Reserve { seconds: 30 };
    run.set(renewal).unwrap();
    run.sends(renewal);
    run.waits();
    run.pass(1_001);
    run.is_done();
}

#[test]
fn reserve_is_not_sent_before_the_state_is_known() {
    let mut run = Run::new(None);
    run.set(RESERVE).unwrap();
    assert!(matches!(run.step(), Step::Idle));
    run.observed = Some(State::Allocated);
    run.fails(|error| matches!(error, SdkError::Allocated));
}

#[test]
fn reserve_and_ready_are_refused_while_allocated_is_observed_or_wanted() {
    let mut run = Run::new(Some(State::Allocated));
    assert!(matches!(run.set(RESERVE), Err(SdkError::Allocated)));
    assert!(matches!(run.set(Goal::Ready), Err(SdkError::Allocated)));
    let mut run = Run::new(Some(State::Reserved));
    run.set(Goal::Allocate).unwrap();
    assert!(matches!(run.set(RESERVE), Err(SdkError::Allocated)));
    run.sends(Goal::Allocate);
}

#[test]
fn only_free_leaves_allocated() {
    let mut run = Run::new(Some(State::Allocated));
    run.set(Goal::Free).unwrap();
    run.sends(Goal::Free);
    assert!(!run.set(RESERVE).unwrap(), "the pool is where it goes anyway");
    run.observed = Some(State::Reserved);
    run.is_done();
}

#[test]
fn a_reserve_in_flight_is_given_up_when_someone_else_allocates() {
    let mut run = Run::new(Some(State::Ready));
    run.set(RESERVE).unwrap();
    run.sends(RESERVE);
    run.observed = Some(State::Allocated);
    run.pass(5_000);
    run.fails(|error| matches!(error, SdkError::Allocated));
}

#[test]
fn an_allocate_behind_an_unseen_free_is_written_and_waits_until_it_has_settled() {
    let mut run = Run::new(Some(State::Allocated));
    run.set(Goal::Free).unwrap();
    run.sends(Goal::Free);
    assert!(run.set(Goal::Allocate).unwrap(), "replaces the free");
    // What shows is the Allocated from before the free.
    run.sends(Goal::Allocate);
    run.waits();
    run.observed = Some(State::Reserved);
    run.waits();
    run.pass(1_001);
    run.waits();
    run.observed = Some(State::Allocated);
    run.is_done();
}

#[test]
fn a_failed_write_leaves_doubt_for_the_next_goal() {
    let mut run = Run::new(Some(State::Allocated));
    run.set(Goal::Free).unwrap();
    assert!(matches!(run.step(), Step::Send(Goal::Free)));
    run.plan.failed(run.now, u64::MAX);
    run.waits();
    run.set(Goal::Allocate).unwrap();
    run.sends(Goal::Allocate);
    run.waits();
    run.pass(1_001);
    run.is_done();
}

#[test]
fn ready_may_be_taken_at_once() {
    let mut run = Run::new(Some(State::Reserved));
    run.set(Goal::Ready).unwrap();
    run.sends(Goal::Ready);
    run.observed = Some(State::Allocated);
    run.is_done();
}

#[test]
fn nothing_is_sent_in_a_final_state() {
    for state in [State::Shutdown, State::Unhealthy, State::Error] {
        for goal in [RESERVE, Goal::Allocate, Goal::Ready, Goal::Free] {
            let mut run = Run::new(Some(state));
            run.set(goal).unwrap();
            run.fails(|error| matches!(error, SdkError::Final(_)));
        }
        let mut run = Run::new(Some(state));
        run.set(Goal::Shutdown).unwrap();
        run.is_done();
    }
}

#[test]
fn shutdown_is_not_taken_back() {
    let mut run = Run::new(Some(State::Allocated));
    run.set(Goal::Shutdown).unwrap();
    run.sends(Goal::Shutdown);
    assert!(matches!(run.set(Goal::Free), Err(SdkError::Final(State::Shutdown))));
}
