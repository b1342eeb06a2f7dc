//! Recording and writing snapshots allocate nothing once every buffer has reached its size.
#![expect(unsafe_code, reason = "a global allocator that counts can only be written with unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use netcode::replication::{Replicator, SeatId, SnapshotHeader, World};
use protocol::schema::{Field, FieldCodec, Kind, Schema};
use protocol::tick::Tick;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn recording_and_writing_allocate_nothing_in_steady_state() {
    let fields = vec![
        Field::new("x", FieldCodec::Range { min: -32.0, max: 32.0, step: 1.0 / 256.0 }),
        Field::new("aim", FieldCodec::Angle { bits: 12 }),
    ];
    let kinds = vec![Kind { name: "walker".into(), fields }];
    let schema = Arc::new(Schema { game: "test".into(), version: 1, kinds, input: vec![] });
    let mut world = World::new(schema.clone(), 200);
    let mut replicator = Replicator::new(&schema, 200);
    (0..4).for_each(|seat| replicator.add_client(SeatId(seat)));
    let mut out = Vec::with_capacity(1_200);
    let mut counted = 0;
    for tick in 1..=400u32 {
        for _ in 0..2 {
            let _ = world.spawn(0, None);
        }
        let before = ALLOCATIONS.get();
        let old = world.entities().nth(tick as usize % 150);
        if let Some(id) = old.filter(|_| tick % 2 == 0) {
            world.despawn(id);
        }
        for place in 0..world.len() {
            let id = world.entities().nth(place);
            if let Some(id) = id {
                world.set(id, 0, ((tick + place as u32) as f32 / 20.0).sin());
            }
        }
        replicator.record(Tick(tick), &world);
        for seat in (0..4).map(SeatId) {
            let mut relevant = |_| true;
            let header = SnapshotHeader::default();
            replicator.write_snapshot(seat, header, &mut relevant, &mut out, 1_000).expect("the client is known");
            replicator.delivered(seat, Tick(tick.saturating_sub(6)));
        }
        if tick > 200 {
            counted += ALLOCATIONS.get() - before;
        }
    }
    assert_eq!(counted, 0, "allocations in 200 ticks");
}
