//! Whole matches in virtual time, and that the simulation notices what is wrong.

mod tag_match;

#[path = "../examples/seeds/swarm.rs"]
#[allow(dead_code, reason = "the bots of the example are not used here")]
mod swarm;

use std::sync::atomic::{AtomicU64, Ordering};

use game::simulation::{BotTurn, Fault, SimConfig, simulate};
use game::{Game, Inputs, Leave, MatchSetup, Outbox, Outcome, Schema, SeatId, Settings, StartError, Tick, World};
use netcode::emulator::Conditions;
use swarm::{Swarm, THRUST, TURN};
use tag_match::rules::{MOVE_X, Tag};

fn config(seconds: u32) -> SimConfig {
    SimConfig {
        players: 4,
        teams: 2,
        tick_rate_hz: 60,
        seconds,
        entities_max: 32,
        settings: Settings::new(),
        conditions: None,
        mishaps: true,
    }
}

fn wander(turn: &mut BotTurn<'_>) {
    if turn.random.chance(0.05) {
        turn.input.set_int(TURN, turn.random.below(7) as i64 - 3);
        turn.input.set_int(THRUST, turn.random.below(4) as i64);
    }
}

#[test]
fn matches_over_bad_networks_stay_right_and_repeat_from_their_seed() {
    for seed in 0..3 {
        let report = simulate::<Swarm>(seed, &config(20), &mut wander).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.snapshots_verified > 2_000, "seed {seed} verified {}", report.snapshots_verified);
        assert!(report.sessions > 4, "nobody crashed");
        let again = simulate::<Swarm>(seed, &config(20), &mut wander);
        assert_eq!(again, Ok(report), "seed {seed} gives two reports");
    }
}

#[test]
fn other_seeds_give_other_matches() {
    let hash = |seed| simulate::<Swarm>(seed, &config(3), &mut wander).map(|report| report.state_hash);
    assert_ne!(hash(1), hash(2));
}

#[test]
fn on_a_good_network_inputs_arrive_in_time_and_views_are_fresh() {
    let good = SimConfig { conditions: Some(Conditions::latency_ms(20)), mishaps: false, ..config(10) };
    let report = simulate::<Swarm>(1, &good, &mut wander).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((report.sessions, report.inputs.ahead), (4, 0));
    assert!(report.inputs.late + report.inputs.missing < 200, "{:?}", report.inputs);
    assert!(report.view_age_ms_max < 100, "{} ms", report.view_age_ms_max);
}

#[test]
fn a_match_ends_by_its_own_rules() {
    let settings = Settings::from_iter([("seconds".to_owned(), 3.into())]);
    let mut right = |turn: &mut BotTurn<'_>| turn.input.set_int(MOVE_X, 1);
    let report = simulate::<Tag>(3, &SimConfig { settings, ..config(30) }, &mut right).expect("tag plays");
    assert_eq!((report.reason.as_str(), report.ticks), ("finished", 180));
}

/// A game whose world depends on something that no log holds.
struct Moody;

static MOOD: AtomicU64 = AtomicU64::new(0);

impl Game for Moody {
    fn schema() -> Schema {
        Swarm::schema()
    }

    fn start(_setup: &MatchSetup, world: &mut World) -> Result<Self, StartError> {
        world.spawn(0, None).map_err(|full| StartError::Refused(full.to_string()))?;
        Ok(Self)
    }

    fn join(&mut self, _seat: SeatId, _world: &mut World) {}

    fn leave(&mut self, _seat: SeatId, _why: Leave, _world: &mut World) {}

    fn step(&mut self, tick: Tick, _inputs: &Inputs<'_>, world: &mut World, _outbox: &mut Outbox) {
        let mood = MOOD.fetch_add(1, Ordering::Relaxed);
        let all: Vec<_> = world.entities().collect();
        all.into_iter().filter(|_| tick.0 >= 7).for_each(|id| world.set(id, swarm::X, mood as f32 / 10.0));
    }

    fn outcome(&self) -> Option<Outcome> {
        None
    }
}

#[test]
fn rules_that_are_not_deterministic_are_caught_at_their_tick() {
    let failure = simulate::<Moody>(1, &config(1), &mut wander).expect_err("the replay differs");
    assert!(matches!(failure.fault, Fault::Replay(game::replay::ReplayError::Diverged { tick: 7, .. })), "{failure}");
    assert!(failure.to_string().starts_with("seed 1, "), "{failure}");
}

#[test]
fn clients_that_cannot_play_are_noticed() {
    let dead = Conditions { loss: 0.97, ..Conditions::latency_ms(10) };
    let dead = SimConfig { conditions: Some(dead), mishaps: false, ..config(60) };
    let failure = simulate::<Swarm>(1, &dead, &mut wander).expect_err("nobody can play at 97 % loss");
    assert!(matches!(failure.fault, Fault::Stuck { .. }), "{failure}");
}
