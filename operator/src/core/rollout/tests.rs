//! A rollout from its first look to its end, and each way in which it fails.

use super::*;

const OLD: &str = "aaaaaaaa";
const NEW: &str = "bbbbbbbb";

/// 10 % and 50 %, each 300 s and 20 matches.
fn steps() -> Rollout {
    Rollout::default()
}

fn stable() -> State {
    State { stable: Some(OLD.into()), ..State::default() }
}

fn well(sessions: u64) -> Score {
    Score { servers: 2, sessions, joins: sessions * 8, tick_p99_us: Some(2_000), ..Score::default() }
}

struct Run {
    rollout: Rollout,
    state: State,
}

impl Run {
    fn new(rollout: Rollout) -> Self {
        Self { rollout, state: stable() }
    }

    fn at(&mut self, now_s: i64, canary: Score) -> Decision {
        let decision = decide(&self.rollout, NEW, &self.state, &well(100), &canary, now_s);
        self.state = decision.state.clone();
        decision
    }
}

#[test]
fn the_first_revision_is_stable_at_once() {
    let first = decide(&steps(), OLD, &State::default(), &Score::default(), &Score::default(), 0);
    assert_eq!((first.state, first.news), (stable(), Some(News::First)));
}

#[test]
fn a_canary_passes_its_steps_by_time_and_matches_and_becomes_stable() {
    let mut run = Run::new(steps());
    let began = run.at(0, Score::default());
    assert_eq!((began.news, began.canary_weight), (Some(News::Began), 10));
    assert_eq!(run.at(500, Score::default()).stands, Some(Stands::NoServers), "the time runs from its first server");
    assert_eq!(run.at(1_000, well(0)).stands, Some(Stands::Waiting));
    assert_eq!(run.at(1_299, well(30)).stands, Some(Stands::Waiting), "time");
    assert_eq!(run.at(1_400, well(19)).stands, Some(Stands::Waiting), "matches");
    let stepped = run.at(1_401, well(20));
    assert_eq!((stepped.news, stepped.canary_weight), (Some(News::Stepped(1)), 50));
    assert_eq!(run.at(1_402, well(20)).stands, Some(Stands::Waiting));
    let promoted = run.at(1_701, well(20));
    assert_eq!((promoted.news, promoted.canary_weight), (Some(News::Promoted), 0));
    assert_eq!(run.state, State { stable: Some(NEW.into()), ..State::default() });
}

#[test]
fn servers_that_end_before_a_match_roll_back_at_once_and_the_revision_is_not_tried_again() {
    let mut run = Run::new(steps());
    run.at(0, Score::default());
    let failed = run.at(10, Score { crashes_at_start: 3, ..Score::default() });
    assert_eq!(failed.news, Some(News::RolledBack(Fault::CrashesAtStart(3))));
    assert_eq!((failed.canary_weight, run.state.canary.as_deref()), (0, None));
    let after = run.at(1_000, well(50));
    assert_eq!((after.news, after.stands), (None, Some(Stands::Failed(None))));
    let other = decide(&run.rollout, "cccccccc", &run.state, &well(1), &Score::default(), 1_001);
    assert_eq!((other.news, other.state.failed), (Some(News::Began), None), "another template is tried");
}

#[test]
fn in_mid_step_only_what_cannot_be_chance_fails_a_canary() {
    let mut run = Run::new(steps());
    run.at(0, Score::default());
    run.at(1, well(1));
    let unlucky = Score { crashes: 1, ..well(3) };
    assert_eq!(run.at(2, unlucky).news, None, "one of three may be chance");
    let broken = Score { crashes: 6, ..well(12) };
    assert!(matches!(run.at(3, broken).news, Some(News::RolledBack(Fault::Crashes { stable: 0, .. }))));
}

#[test]
fn at_the_end_of_a_step_joins_and_ticks_are_compared_with_stable() {
    let end = |canary| {
        let mut run = Run::new(steps());
        run.at(0, Score::default());
        run.at(1, well(1));
        run.at(400, canary).news
    };
    let joins = Score { join_failures: 5, ..well(20) };
    assert_eq!(end(joins), Some(News::RolledBack(Fault::JoinFailures { canary: 31, stable: 0 })));
    let slow = Score { tick_p99_us: Some(2_501), ..well(20) };
    assert_eq!(end(slow), Some(News::RolledBack(Fault::TickP99 { canary_us: 2_501, stable_us: 2_000 })));
    let just = Score { tick_p99_us: Some(2_500), join_failures: 3, ..well(20) };
    assert_eq!(end(just), Some(News::Stepped(1)));
}

#[test]
fn a_failed_canary_can_be_held_where_it_is() {
    let mut run = Run::new(Rollout { on_failure: OnFailure::Hold, ..steps() });
    run.at(0, Score::default());
    let held = run.at(10, Score { crashes_at_start: 3, ..Score::default() });
    assert_eq!((held.canary_weight, held.news), (10, Some(News::Held(Fault::CrashesAtStart(3)))));
    let after = run.at(5_000, well(50));
    assert_eq!((after.canary_weight, after.news, after.stands), (10, None, Some(Stands::Failed(None))));
}

#[test]
fn a_template_that_goes_back_withdraws_the_canary() {
    let mut run = Run::new(steps());
    run.at(0, Score::default());
    let back = decide(&run.rollout, OLD, &run.state, &well(1), &well(1), 5);
    assert_eq!((back.news, back.canary_weight, back.state), (Some(News::Withdrawn), 0, stable()));
}

#[test]
fn a_pause_keeps_the_step_but_a_failure_still_counts() {
    let mut run = Run::new(Rollout { paused: true, ..steps() });
    run.at(0, Score::default());
    run.at(1, well(1));
    assert_eq!(run.at(9_000, well(500)).stands, Some(Stands::Paused));
    assert!(matches!(run.at(9_001, Score { crashes: 400, ..well(500) }).news, Some(News::RolledBack(_))));
}

#[test]
fn an_immediate_rollout_waits_for_one_server_and_no_more() {
    let mut run = Run::new(Rollout { strategy: RolloutStrategy::Immediate, ..steps() });
    assert_eq!(run.at(0, Score::default()).canary_weight, 100);
    assert_eq!(run.at(5, Score::default()).stands, Some(Stands::NoServers));
    assert_eq!(run.at(6, Score { servers: 1, ..Score::default() }).news, Some(News::Promoted));
}
