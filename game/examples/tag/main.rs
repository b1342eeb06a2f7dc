//! Plays matches of tag between bots, each over another bad network: `cargo run -p game --example tag`.
#![expect(clippy::print_stdout, reason = "a program for people")]

mod rules;

use std::process::ExitCode;

use game::simulation::{BotTurn, SimConfig, simulate};
use game::{EntityId, Settings};
use rules::{IT, MOVE_X, MOVE_Y, Tag, X, Y};

fn main() -> ExitCode {
    let config = SimConfig {
        players: 4,
        teams: 4,
        tick_rate_hz: 60,
        seconds: 40,
        entities_max: 32,
        settings: Settings::from_iter([("seconds".to_owned(), 30.into())]),
        conditions: None,
        mishaps: true,
    };
    for seed in 1..=5 {
        match simulate::<Tag>(seed, &config, &mut chase_or_flee) {
            Ok(report) => println!(
                "seed {seed}: {} after {} ticks at {:.0} % loss, {} snapshots verified, state {:016x}",
                report.reason,
                report.ticks,
                report.conditions.loss * 100.0,
                report.snapshots_verified,
                report.state_hash
            ),
            Err(failure) => {
                println!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Whoever is it runs to the nearest other, the others run from it.
fn chase_or_flee(turn: &mut BotTurn<'_>) {
    let view = turn.view;
    let Some(me) = view.entities().find(|&id| view.owner(id) == Some(turn.seat)) else { return };
    let is_it = view.get_int(me, IT) == 1;
    let away = |other: EntityId| (view.get(other, X) - view.get(me, X), view.get(other, Y) - view.get(me, Y));
    let others = view.entities().filter(|&id| id != me && (is_it || view.get_int(id, IT) == 1));
    let near = others.map(away).min_by(|a, b| (a.0.hypot(a.1)).total_cmp(&b.0.hypot(b.1)));
    let (x, y) = near.unwrap_or_default();
    let step = |distance: f32| {
        let towards = i64::from(distance > 0.5) - i64::from(distance < -0.5);
        if is_it { towards } else { -towards }
    };
    turn.input.set_int(MOVE_X, step(x));
    turn.input.set_int(MOVE_Y, step(y));
}
