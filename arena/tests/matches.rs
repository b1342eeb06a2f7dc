//! Whole matches of the arena.

mod support;

use std::collections::BTreeMap;

use arena::event::Event;
use arena::fighter::HEALTH_MAX;
use arena::movement::{self, Controls};
use arena::prediction;
use arena::random::Random;
use arena::rules::Phase;
use arena::schema::{PLAYER, player};
use game::{Game, Leave, Outcome, SeatId};
use proptest::prelude::*;
use support::{Match, settings, setup};

/// State after the match of `this_match_is_the_same_on_every_machine`.
const GOLDEN: &str = "c4a2146d2dc55826";

/// Plays hunters against hunters to the end; returns the outcome and the hash of every tick, in one.
fn play(seed: u64, players: u8, teams: u32, json: &str) -> (Outcome, u64, Match) {
    let mut running = Match::with_everyone(&setup(seed, players, teams, json));
    let mut hash = 0u64;
    for _ in 0..60 * 60 {
        running.step_with_hunters();
        check_invariants(&running);
        hash = hash.rotate_left(5) ^ running.world.hash() ^ running.game.digest();
        if let Some(outcome) = running.game.outcome() {
            return (outcome, hash, running);
        }
    }
    panic!("a match of a few seconds did not end within a minute");
}

/// What holds in every tick of every match.
fn check_invariants(running: &Match) {
    let fighters = &running.game.simulation().fighters;
    for fighter in fighters {
        assert!(fighter.health <= HEALTH_MAX);
        assert_eq!(fighter.body.alive, fighter.health > 0, "{fighter:?}");
        let map = &running.game.simulation().map;
        assert!(!fighter.body.alive || !movement::is_blocked(map, fighter.body.x, fighter.body.y));
        assert!(fighter.stats.hits <= fighter.stats.shots);
    }
    let sum = |of: fn(&arena::fighter::Stats) -> u32| fighters.iter().map(|fighter| of(&fighter.stats)).sum::<u32>();
    assert_eq!(sum(|stats| stats.deaths), sum(|stats| stats.kills) + sum(|stats| stats.suicides));
    let deaths = running.events.iter().filter(|event| matches!(event, Event::Killed { .. })).count();
    assert_eq!(deaths as u32, sum(|stats| stats.deaths), "the kill feed tells every death once");
}

#[test]
fn a_match_of_hunters_ends_with_kills_and_places_that_follow_from_them() {
    for seed in 0..6 {
        let (outcome, _, running) = play(seed, 8, 2, r#"{"seconds": 20}"#);
        assert_eq!(outcome.reason, "finished");
        assert_eq!(outcome.players.len(), 8);
        let kills: i64 = outcome.players.iter().map(|player| player.score).sum();
        assert!(kills > 0, "seed {seed}: nobody was killed in 20 s");
        let mut by_team: BTreeMap<u8, i64> = BTreeMap::new();
        for player in &outcome.players {
            *by_team.entry(player.seat.0 % 2).or_default() += player.score;
        }
        for player in &outcome.players {
            let (own, other) = (by_team[&(player.seat.0 % 2)], by_team[&(1 - player.seat.0 % 2)]);
            assert_eq!(player.place, if own >= other { 1 } else { 2 }, "seed {seed}");
            assert!(player.stats["distance_m"] > 0 && player.stats["shots"] >= player.stats["hits"]);
        }
        let phases: Vec<_> = running.events.iter().filter(|event| matches!(event, Event::Phase(_))).collect();
        assert_eq!(phases, [&Event::Phase(Phase::Play), &Event::Phase(Phase::Over)]);
    }
}

#[test]
fn everyone_can_fight_alone_from_two_to_sixteen_players() {
    for players in [2, 3, 7, 16] {
        let (outcome, _, _) = play(5, players, 1, r#"{"mode": "ffa", "seconds": 10}"#);
        let best = outcome.players.iter().map(|player| player.score).max();
        for player in &outcome.players {
            assert_eq!(player.place == 1, Some(player.score) == best);
        }
    }
}

#[test]
fn the_same_seed_and_inputs_give_the_same_match_and_others_another() {
    let hash = |seed| play(seed, 8, 2, r#"{"seconds": 5}"#).1;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn this_match_is_the_same_on_every_machine() {
    // Inputs from the arena's own random numbers: the hunters' arithmetic is the platform's.
    let mut running = Match::with_everyone(&setup(42, 4, 2, r#"{"seconds": 20}"#));
    let mut random = Random::new(7);
    let mut controls = [Controls::default(); 4];
    for _ in 0..900 {
        for wish in &mut controls {
            if random.below(10) == 0 {
                let aim = random.signed_unit() * 3.0;
                let (right, up) = (random.signed_unit(), random.signed_unit());
                let [fire, rocket, dash] = [2, 4, 8].map(|one_in| random.below(one_in) == 0);
                *wish = Controls { right, up, aim, fire, rocket, dash };
            }
        }
        running.step(&controls);
    }
    let hash = running.world.hash() ^ running.game.digest();
    // A changed number means that old replays no longer play: raise the schema's version with it.
    assert_eq!(format!("{hash:016x}"), GOLDEN);
}

#[test]
fn a_setup_that_makes_no_sense_is_refused_with_a_reason() {
    let cases = [
        (setup(1, 1, 1, "{}"), "the roster has 1 players: the arena is for 2 to 16"),
        (setup(1, 17, 2, "{}"), "the roster has 17 players"),
        (setup(1, 4, 1, "{}"), "the roster has 1 teams: mode \"teams\" is for 2 to 4"),
        (setup(1, 10, 5, "{}"), "the roster has 5 teams"),
        (setup(1, 4, 2, r#"{"mode": "race"}"#), "setting \"mode\""),
        (setup(1, 4, 2, r#"{"seconds": 0}"#), "setting \"seconds\""),
        (game::MatchSetup { tick_rate_hz: 10, ..setup(1, 4, 2, "{}") }, "10 ticks per second"),
    ];
    for (setup, reason) in cases {
        let Err(error) = Match::start(&setup) else { panic!("accepted: {reason}") };
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_match_ends_early_when_one_team_has_left_and_those_who_stay_win() {
    let mut running = Match::with_everyone(&setup(3, 4, 2, "{}"));
    for _ in 0..100 {
        running.step_with_hunters();
    }
    for seat in [1, 3] {
        assert!(running.game.outcome().is_none());
        running.game.leave(SeatId(seat), Leave::Left, &mut running.world);
        running.step_with_hunters();
    }
    let outcome = running.game.outcome().expect("one team is left");
    assert_eq!(outcome.reason, "abandoned");
    assert_eq!(outcome.players.iter().map(|player| player.place).collect::<Vec<_>>(), [1, 2, 1, 2]);
}

#[test]
fn a_player_who_comes_back_keeps_what_it_has_done() {
    let mut running = Match::with_everyone(&setup(3, 4, 2, "{}"));
    for _ in 0..600 {
        running.step_with_hunters();
    }
    let before = running.game.simulation().fighters[0].stats.clone();
    assert!(before.shots > 0);
    let entities = running.world.len();
    running.game.leave(SeatId(0), Leave::Lost, &mut running.world);
    assert_eq!(running.world.len(), entities - 1);
    running.join(SeatId(0));
    running.join(SeatId(0));
    assert_eq!(running.world.len(), entities);
    let fighter = &running.game.simulation().fighters[0];
    assert!(fighter.stats == before && fighter.body.alive && !fighter.has_left);
}

#[test]
fn enemies_out_of_view_are_hidden_and_friends_are_not() {
    let mut running = Match::with_everyone(&setup(3, 8, 2, "{}"));
    running.step(&[Controls::default(); 8]);
    let avatars: Vec<_> = running.game.simulation().fighters.iter().map(|f| f.entity.expect("joined")).collect();
    for (seat, avatar) in avatars.iter().enumerate() {
        // The teams stand in opposite corners, farther apart than anyone sees.
        assert_eq!(running.game.relevant(SeatId(0), *avatar, &running.world), seat % 2 == 0, "seat {seat}");
    }
}

#[test]
fn leaving_players_and_spent_shots_leave_no_entity_behind() {
    let (_, _, mut running) = play(8, 16, 4, r#"{"seconds": 10}"#);
    for seat in 0..16 {
        running.game.leave(SeatId(seat), Leave::Left, &mut running.world);
    }
    let supplies = running.game.simulation().map.supplies().len();
    let shots = running.world.entities().filter(|id| running.world.kind(*id) == Some(arena::schema::PROJECTILE));
    assert_eq!(running.world.len(), supplies + 1 + shots.count());
}

#[test]
fn settings_choose_the_map() {
    let map = |seed, json: &str| Match::start(&setup(seed, 4, 2, json)).expect("good").game.simulation().map.clone();
    assert_eq!(map(1, r#"{"map_seed": 5}"#), map(2, r#"{"map_seed": 5}"#));
    assert_ne!(map(1, "{}"), map(2, "{}"));
    assert!(settings("{}").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_client_with_the_same_inputs_predicts_what_the_server_does(
        seed in 0u64..1_000,
        moves in prop::collection::vec((-1.0..1.0f32, -1.0..1.0f32, 0.0..6.2f32, any::<bool>()), 10..300),
    ) {
        let mut running = Match::with_everyone(&setup(seed, 2, 2, "{}"));
        running.step(&[Controls::default(); 2]);
        let simulation = running.game.simulation();
        let (map, rate) = (simulation.map.clone(), simulation.rate);
        let avatar = simulation.fighters[0].entity.expect("joined");
        let mut predicted = simulation.fighters[0].body;
        for (right, up, aim, dash) in moves {
            let controls = Controls { right, up, aim, dash, ..Controls::default() };
            let mut input = game::Input::neutral(std::sync::Arc::clone(running.world.schema()));
            for (field, value) in arena::input::values(&controls).into_iter().enumerate() {
                input.set(field, value);
            }
            predicted = movement::step(&predicted, &arena::input::controls(&input), &map, rate);
            running.step(&[controls, Controls::default()]);
            let world = &running.world;
            prop_assert_eq!(world.kind(avatar), Some(PLAYER));
            // Not nearly: exactly, because both stand on what the schema can carry.
            prop_assert_eq!((world.get(avatar, player::X), world.get(avatar, player::Y)), predicted.position());
            prop_assert_eq!((world.get(avatar, player::VX), world.get(avatar, player::VY)), (predicted.vx, predicted.vy));
            prop_assert_eq!(prediction::error(&predicted, &running.game.simulation().fighters[0].body), 0.0);
        }
    }
}
