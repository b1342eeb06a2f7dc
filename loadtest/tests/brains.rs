//! Brains against brains, without a network: bots must give the platform real matches.

use std::sync::Arc;

use arena::Arena;
use arena::simulation::{Simulation, VIEW_M};
use game::setup::Player;
use game::{Game as _, Input, Inputs, MatchSetup, Outbox, Outcome, SeatId, Tick, World};
use loadtest::brain::Brain;
use loadtest::sight::{Enemy, Own, Sight};
use protocol::id::{MatchId, PlayerId};

/// What a fighter would see over a perfect network.
fn sight(simulation: &Simulation, place: usize) -> Option<Sight> {
    let own = &simulation.fighters[place];
    let at = own.body.position();
    let enemies = simulation.fighters.iter().filter(|other| other.side != own.side && other.body.alive);
    let in_view = enemies.filter(|other| {
        let (dx, dy) = (other.body.x - at.0, other.body.y - at.1);
        dx.abs() <= VIEW_M && dy.abs() <= VIEW_M
    });
    Some(Sight {
        own: Own {
            at,
            health: own.health.into(),
            rounds: own.ammo[0].into(),
            rockets: own.ammo[1].into(),
            can_dash: own.body.dash_wait == 0,
        },
        enemies: in_view
            .filter_map(|other| {
                let velocity = (other.body.vx, other.body.vy);
                Some(Enemy {
                    entity: other.entity?,
                    at: other.body.position(),
                    velocity,
                    protected: other.protected > 0,
                })
            })
            .collect(),
        supplies: simulation.map.supplies().iter().map(|(supply, cell)| (*supply, cell.centre())).collect(),
        is_playing: true,
    })
}

fn play(seed: u64, players: u8) -> Outcome {
    let setup = MatchSetup {
        match_id: MatchId::from_entropy([1; 16]),
        seed,
        tick_rate_hz: 60,
        players: (0..players)
            .map(|seat| Player {
                id: PlayerId::from_entropy([seat; 16]),
                seat: SeatId(seat),
                team: u32::from(seat) % 2,
                name: format!("p{seat}"),
            })
            .collect(),
        settings: serde_json::from_str(r#"{"mode": "teams", "seconds": 20}"#).expect("JSON"),
    };
    let schema = Arc::new(Arena::schema());
    let mut world = World::new(Arc::clone(&schema), 512);
    let mut game = Arena::start(&setup, &mut world).expect("the setup is good");
    (0..players).for_each(|seat| game.join(SeatId(seat), &mut world));
    let mut inputs = vec![(true, Input::neutral(schema)); usize::from(players)];
    let rate = game.simulation().rate;
    let mut brains: Vec<_> = (0..u64::from(players)).map(|seat| Brain::new(seed * 100 + seat, rate)).collect();
    for tick in 1.. {
        for (place, brain) in brains.iter_mut().enumerate() {
            let Some(sight) = sight(game.simulation(), place) else { continue };
            let controls = brain.think(&sight, &game.simulation().map);
            for (field, value) in arena::input::values(&controls).into_iter().enumerate() {
                inputs[place].1.set(field, value);
            }
        }
        game.step(Tick(tick), &Inputs::new(&inputs), &mut world, &mut Outbox::new());
        if let Some(outcome) = game.outcome() {
            return outcome;
        }
    }
    unreachable!("the match ends by its clock")
}

#[test]
fn bots_four_against_four_fight_in_every_match_and_hit_like_people() {
    let (mut shots, mut hits, mut kills, mut pickups) = (0, 0, 0, 0);
    for seed in 1..=10 {
        let outcome = play(seed, 8);
        let sum = |name: &str| outcome.players.iter().map(|player| player.stats[name]).sum::<i64>();
        assert!(sum("kills") > 0, "seed {seed}: nobody was killed");
        assert!(
            outcome.players.iter().all(|player| player.stats["distance_m"] > 30),
            "seed {seed}: somebody stood still"
        );
        shots += sum("shots");
        hits += sum("hits");
        kills += sum("kills");
        pickups += sum("pickups");
    }
    let accuracy = hits as f64 / shots as f64;
    assert!((0.1..0.7).contains(&accuracy), "{hits} of {shots} shots hit");
    assert!((30..400).contains(&kills), "{kills} kills in ten matches");
    assert!(pickups > 10, "{pickups} supplies taken in ten matches");
}
