//! Random worlds, random interest, random loss: every snapshot that arrives leaves its replica as the world was.

mod replication_world;

use netcode::replication::{Replica, SeatId, SnapshotError, World};
use proptest::prelude::*;
use replication_world::{Network, Random, Run, schema};

/// Runs `ticks` ticks; panics at the first difference.
fn run(seed: u64, network: Network, bytes_max: usize, ticks: u32) -> Run {
    let mut run = Run::new(seed, network, bytes_max);
    for _ in 0..ticks {
        run.tick(true);
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_received_snapshot_shows_the_world_of_its_tick(
        seed in any::<u64>(),
        loss_percent in 0u64..60,
        delay_ticks_max in 1u64..40,
        small in any::<bool>(),
    ) {
        let network = Network { loss_percent, delay_ticks_max, outages: false };
        let mut run = run(seed, network, if small { 90 } else { 4_000 }, 300);
        run.settle();
    }

    #[test]
    fn outages_and_packets_from_the_past_leave_nothing_wrong(seed in any::<u64>(), delay_ticks_max in 30u64..150) {
        let network = Network { loss_percent: 20, delay_ticks_max, outages: true };
        let mut run = run(seed, network, 600, 500);
        run.settle();
    }
}

#[test]
fn a_world_larger_than_a_packet_arrives_whole() {
    let mut run = Run::new(7, Network { loss_percent: 0, delay_ticks_max: 3, outages: false }, 120);
    run.crowd();
    for _ in 0..40 {
        run.tick(false);
    }
    run.settle();
}

#[test]
fn a_settled_world_costs_a_header_alone() {
    let mut run = run(3, Network { loss_percent: 10, delay_ticks_max: 4, outages: false }, 4_000, 100);
    run.settle();
    assert!(run.last_snapshot_bytes() <= 15, "{} bytes for nothing new", run.last_snapshot_bytes());
}

#[test]
fn an_entity_that_moves_steadily_costs_a_few_bytes() {
    let mut world = World::new(schema(), 256);
    let walkers: Vec<_> = (0..64).map(|_| world.spawn(0, None).unwrap()).collect();
    let mut run = Run::of(world, Network { loss_percent: 0, delay_ticks_max: 6, outages: false }, 4_000);
    let mut bytes = 0;
    for tick in 0..200u32 {
        for (place, &id) in (0u32..).zip(&walkers) {
            let phase = (tick + place * 7) as f32 / 40.0;
            run.world.set(id, 0, 20.0 * phase.sin());
            run.world.set(id, 1, 20.0 * phase.cos());
            run.world.set(id, 2, phase);
        }
        run.replicate();
        bytes += if tick >= 100 { run.last_snapshot_bytes() } else { 0 };
    }
    let per_entity = bytes as f64 / 100.0 / 64.0;
    assert!(per_entity < 4.5, "{per_entity} bytes per entity and update");
}

#[test]
fn mutated_snapshots_never_panic_and_never_change_a_replica_that_refuses_them() {
    let mut random = Random::new(99);
    let mut run = Run::new(5, Network { loss_percent: 5, delay_ticks_max: 3, outages: false }, 1_000);
    let mut tried = 0;
    while tried < 100_000 {
        run.tick(true);
        let Some(bytes) = run.newest_bytes(SeatId(0)) else { continue };
        let replica = run.replica(SeatId(0)).clone();
        let mut victim = replica.clone();
        for _ in 0..500 {
            let mutated = random.mutate(&bytes);
            tried += 1;
            if victim.apply(&mutated).is_ok() {
                // By luck a snapshot; such a replica may be anything.
                victim = replica.clone();
            }
        }
        let (before, after) = (replica.newest(), victim.newest());
        assert_eq!(before.tick(), after.tick());
        assert!(before.entities().eq(after.entities()), "a refused snapshot changed the replica");
    }
}

#[test]
fn faults_have_names() {
    let mut run = run(11, Network { loss_percent: 0, delay_ticks_max: 1, outages: false }, 4_000, 30);
    let bytes = run.newest_bytes(SeatId(0)).expect("a snapshot was written");
    assert_eq!(Replica::new(schema()).apply(&bytes).map(|_| ()), Err(SnapshotError::MissingBaseline));
    assert_eq!(Replica::new(schema()).apply(&[]).map(|_| ()), Err(SnapshotError::Malformed));
    assert_eq!(Replica::new(schema()).apply(&[0; 40]).map(|_| ()), Err(SnapshotError::Version(0)));
    let first = run.first_bytes(SeatId(0)).expect("a snapshot was written");
    let mut replica = Replica::new(schema());
    replica.apply(&first).unwrap();
    assert_eq!(replica.apply(&first).map(|_| ()), Err(SnapshotError::Duplicate));
    for _ in 0..100 {
        run.tick(true);
    }
    assert_eq!(run.replica(SeatId(0)).clone().apply(&first).map(|_| ()), Err(SnapshotError::TooOld));
}

#[test]
fn when_everything_changes_and_little_fits_nobody_starves() {
    let mut run = Run::new(7, Network { loss_percent: 0, delay_ticks_max: 2, outages: false }, 60);
    run.crowd();
    run.settle();
    let all: Vec<_> = run.world.entities().collect();
    for tick in 0..300 {
        // The value says when it was current.
        all.iter().for_each(|&id| run.world.set(id, 0, tick as f32 / 16.0));
        run.replicate();
        if tick >= 100 {
            let view = run.replica(SeatId(0)).newest();
            let oldest = all.iter().map(|&id| (view.get(id, 0) * 16.0) as i32).min().unwrap();
            assert!(tick - oldest < 40, "at tick {tick} an entity is as of {oldest}");
        }
    }
}

#[test]
fn hidden_fields_leave_no_trace_in_the_bytes_of_others() {
    let bytes = |ammo| {
        let mut run = Run::new(1, Network { loss_percent: 0, delay_ticks_max: 1, outages: false }, 4_000);
        let mine = run.world.spawn(0, Some(SeatId(0))).unwrap();
        for tick in 0..10 {
            run.world.set_int(mine, 4, ammo * tick);
            run.world.set_int(mine, 5, tick);
            run.replicate();
        }
        let own = run.replica(SeatId(0)).newest().raw(mine, 4);
        let other = run.replica(SeatId(1)).newest();
        assert_eq!((own, other.raw(mine, 4), other.get(mine, 4)), (Some(ammo as u32 * 9), None, 0.0));
        (run.newest_bytes(SeatId(0)), run.newest_bytes(SeatId(1)))
    };
    let (few, many) = (bytes(1), bytes(20));
    assert_ne!(few.0, many.0);
    assert_eq!(few.1, many.1);
}
