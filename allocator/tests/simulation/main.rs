//! Random servers, links that break, refusals, retries and new leaders: whatever happens, no match is playable on two
//! servers, no server gets more than it has room for, every call gets one answer, and nothing is left behind.
//!
//! A failure prints its seed; `run(seed)` plays it again.

mod random;
mod server;
mod world;

use std::time::Duration;

use protocol::pb::{MatchPhase, RefusalReason};
use world::World;

const STEPS: u32 = 3_000;
const SEEDS: u64 = 120;

#[test]
fn whatever_happens_a_match_is_playable_on_one_server_and_nothing_leaks() {
    let mut answers = std::collections::BTreeMap::new();
    for seed in 0..SEEDS {
        let ran = std::panic::catch_unwind(|| run(seed));
        let world = ran.unwrap_or_else(|_| panic!("seed {seed} failed: see above"));
        for (label, count) in world.answers {
            *answers.entry(label).or_insert(0) += count;
        }
    }
    // A simulation that no longer reaches a case proves nothing about it.
    for label in ["placed", "no_server", "queue_full", "not_settled", "timed_out", "game_refused", "ended", "lost"] {
        assert!(answers.get(label).is_some_and(|count| *count > 5), "{label} happens too rarely: {answers:?}");
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        step(&mut world);
    }
    settle_down(&mut world);
    world
}

fn step(world: &mut World) {
    let servers: Vec<usize> = (0..world.servers.len()).collect();
    let some_server = world.random.pick(&servers);
    let matches: Vec<_> = world.callers.keys().copied().collect();
    let some_match = world.random.pick(&matches);
    match world.random.below(100) {
        0..25 => {
            let ms = world.random.below(200);
            world.pass(Duration::from_millis(ms));
        }
        25 => {
            let ms = world.random.below(4_000);
            world.pass(Duration::from_millis(ms));
        }
        26..32 => {
            let match_id = world.new_match();
            world.call(match_id);
        }
        32..38 => {
            if let Some(match_id) = some_match {
                world.call(match_id);
            }
        }
        38 => {
            let calls: Vec<_> = world.open_calls.keys().copied().collect();
            if let Some(call) = world.random.pick(&calls) {
                world.cancel(call);
            }
        }
        39..42 => {
            if let Some(match_id) = some_match {
                world.player_enters(match_id);
            }
        }
        42 => {
            if let Some(match_id) = some_match {
                world.core.release_match(match_id, "the caller's wish", world.now()).ok();
                world.carry_out();
            }
        }
        43 => rare(world),
        _ => {
            if let Some(index) = some_server {
                server_step(world, index);
            }
        }
    }
}

fn rare(world: &mut World) {
    match world.random.below(8) {
        0 => world.restart(),
        1 if world.random.one_in(4) => world.pass(Duration::from_secs(61)),
        2 | 3 if !world.untold.is_empty() => world.tell_death(0),
        _ => {
            if world.servers.len() < 6 {
                world.start_server();
            }
        }
    }
}

fn server_step(world: &mut World, index: usize) {
    if world.servers[index].link.is_none() {
        if world.random.one_in(4) {
            world.connect(index);
        }
        return;
    }
    let rooms: Vec<_> = world.servers[index].rooms.keys().copied().collect();
    let room = world.random.pick(&rooms);
    match world.random.below(60) {
        0 => world.cut(index, true),
        1 => world.cut(index, false),
        2 if world.random.one_in(4) => world.kill_server(index),
        3 if world.random.one_in(6) => {
            world.servers[index].leaving = true;
            world.servers[index].messages.push_back(allocator::core::updates::FromServer::Leaving);
        }
        4 => world.servers[index].repeat_updates(),
        5..9 => {
            // Nobody comes to a match that is only Joinable: its server ends it. Play goes on by itself.
            let Some(match_id) = room else { return };
            match world.servers[index].rooms[&match_id].phase {
                MatchPhase::Joinable if world.random.one_in(3) => world.servers[index].close(match_id),
                MatchPhase::Joinable => {}
                _ if world.random.one_in(12) => world.servers[index].fail(match_id),
                _ => world.servers[index].advance(match_id),
            }
        }
        9..32 => {
            let refusals = [RefusalReason::Full, RefusalReason::State, RefusalReason::Game];
            let refuse = if world.random.one_in(8) { world.random.pick(&refusals) } else { None };
            let server = &mut world.servers[index];
            if let Some((epoch, order)) = server.orders.pop_front() {
                server.obey(epoch, order, refuse);
            }
        }
        _ => world.deliver_message(index),
    }
}

/// Everything heals: deaths are told, servers reconnect, every order and message arrives, every match ends.
fn settle_down(world: &mut World) {
    while !world.untold.is_empty() {
        world.tell_death(0);
    }
    for round in 0..400 {
        for index in 0..world.servers.len() {
            if world.servers[index].link.is_none() {
                world.connect(index);
            }
            let server = &mut world.servers[index];
            server.messages.push_back(allocator::core::updates::FromServer::Alive);
            while let Some((epoch, order)) = server.orders.pop_front() {
                server.obey(epoch, order, None);
            }
            while !world.servers[index].messages.is_empty() {
                world.deliver_message(index);
            }
        }
        world.pass(Duration::from_millis(100));
        if round == 250 {
            assert!(world.open_calls.is_empty(), "calls without an answer: {:?}", world.open_calls);
            one_server_per_match(world);
        }
        if round >= 250 {
            for server in &mut world.servers {
                for match_id in server.rooms.keys().copied().collect::<Vec<_>>() {
                    server.close(match_id);
                }
            }
        }
    }
    let census = world.core.census();
    assert_eq!((census.calls, census.waiting, census.held, census.assigning), (0, 0, 0, 0), "{census:?}");
    assert_eq!((census.joinable, census.playing, census.ended, census.rooms_taken), (0, 0, 0, 0), "{census:?}");
    assert!(world.servers.iter().all(|server| server.unacknowledged() == 0));
    for server in (0..world.servers.len()).rev() {
        world.kill_server(server);
    }
    while !world.untold.is_empty() {
        world.tell_death(0);
    }
    world.forget_everything();
    assert_eq!(world.core.census(), allocator::core::census::Census::default());
    assert!(world.core.pool_page().servers.is_empty());
}

fn one_server_per_match(world: &World) {
    let mut hosts = std::collections::BTreeMap::new();
    for server in &world.servers {
        for match_id in server.rooms.keys() {
            let other = hosts.insert(*match_id, server.id());
            assert_eq!(other, None, "{match_id} is on two servers");
        }
    }
}
