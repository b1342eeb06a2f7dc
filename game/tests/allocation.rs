//! What the tick of a room allocates once it runs: nothing.

#[path = "../../netcode/tests/counting/mod.rs"]
mod counting;
mod tag_match;

use counting::allocations;
use game::{Room, RoomConfig, RoomInput, RoomSink, SeatId};
use tag_match::rules::Tag;

const PLAYERS: u8 = 16;
/// Ticks between a snapshot and the news of its delivery.
const ACK_TICKS: u32 = 4;

/// Sends nothing anywhere.
#[derive(Default)]
struct Nowhere {
    snapshot_bytes: usize,
}

impl RoomSink for Nowhere {
    fn snapshot(&mut self, _seat: SeatId, _tag: u32, bytes: &[u8]) {
        self.snapshot_bytes += bytes.len();
    }

    fn message(&mut self, _seat: SeatId, _bytes: &[u8]) {}

    fn bulk(&mut self, _seat: SeatId, _bytes: Vec<u8>) {}
}

#[test]
fn a_tick_with_inputs_rules_and_snapshots_allocates_nothing() {
    let config = RoomConfig { entities_max: 64, ..RoomConfig::default() };
    let mut room: Room<Tag> = Room::new(tag_match::setup(PLAYERS, 3_600), config).expect("the setup is right");
    let mut sink = Nowhere::default();
    (0..PLAYERS).for_each(|seat| room.handle(RoomInput::Joined { seat: SeatId(seat) }));
    let mut counted = 0;
    for tick in 1..=600u32 {
        let direction = i64::from(tick / 20 % 3) - 1;
        let inputs: Vec<RoomInput> = (0..PLAYERS)
            .map(|seat| {
                let payload = tag_match::payload(&room, tick, &[(direction, i64::from(seat % 3) - 1)]);
                RoomInput::Unreliable { seat: SeatId(seat), payload, early_us: 0 }
            })
            .collect();
        let before = allocations();
        inputs.into_iter().for_each(|input| room.handle(input));
        for seat in (0..PLAYERS).map(SeatId) {
            room.handle(RoomInput::Delivered { seat, tag: tick.saturating_sub(ACK_TICKS) });
        }
        let report = room.step(&mut sink);
        if tick > 300 {
            counted += allocations() - before;
        }
        assert!(!report.ended, "the match ended at tick {tick}");
        assert_eq!(report.snapshots, usize::from(PLAYERS));
    }
    assert!(sink.snapshot_bytes > 0);
    assert_eq!(counted, 0, "allocations in 300 ticks of {PLAYERS} players");
}
