//! Whatever clients send, and whatever a game says, stays within the limits and never panics.

mod tag_match;

use std::collections::BTreeMap;
use std::sync::Arc;

use game::schema::{SchemaBuilder, angle, flag, range, signed, unsigned};
use game::{
    Game, Input, InputPacket, Inputs, Leave, MatchSetup, Outbox, Outcome, PlayerOutcome, Room, RoomConfig, RoomInput,
    RoomMessage, Schema, SeatId, Seen, StartError, Tick, To, World,
};
use netcode::endpoint::MESSAGE_BYTES_MAX;
use proptest::prelude::*;
use tag_match::{Sent, payload, room, setup};

fn schema() -> Arc<Schema> {
    let input = [flag("a"), unsigned("b", 32), signed("c", 7), range("d", -1.0, 1.0, 0.1), angle("e", 20)];
    Arc::new(SchemaBuilder::new("hostile", 1).input(input).build())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inputs_survive_the_wire(
        raws in proptest::collection::vec((0u32..2, any::<u32>(), 0u32..128, 0u32..=20, 0u32..1 << 20), 1..20),
        same in any::<u32>(),
        newest in 1u32..,
        fraction in any::<u8>(),
    ) {
        let schema = schema();
        let mut inputs: Vec<Input> = Vec::new();
        for (place, &(a, b, c, d, e)) in raws.iter().enumerate() {
            let mut raw = [0; 32];
            raw[..5].copy_from_slice(&[a, b, c, d, e]);
            let fresh = Input::from_raw(schema.clone(), &raw);
            let repeats = same >> place & 1 == 1;
            inputs.push(inputs.last().filter(|_| repeats).cloned().unwrap_or(fresh));
        }
        let mut bytes = Vec::new();
        let seen = Seen { tick: Tick(newest - 1), fraction };
        InputPacket::encode(&schema, Tick(newest), seen, inputs.iter(), &mut bytes);
        let packet = InputPacket::decode(&schema, &bytes).unwrap();
        prop_assert_eq!((packet.newest, packet.seen), (Tick(newest), seen));
        let kept = inputs.len().min(12).min(newest as usize);
        let expected = &inputs[inputs.len() - kept..];
        prop_assert!(packet.iter().map(|(_, raw)| raw).eq(expected.iter().map(Input::raw)));
        prop_assert_eq!(packet.iter().last().map(|(tick, _)| tick), Some(Tick(newest)));
    }

    #[test]
    fn hostile_payloads_never_panic_and_never_leave_a_fields_range(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        count in 1u8..13,
    ) {
        let schema = schema();
        let mut likely = bytes.clone();
        if let Some(first) = likely.first_mut() {
            *first = 1 | count << 4;
        }
        for bytes in [bytes, likely] {
            let _ = RoomMessage::decode(&bytes);
            if let Ok(packet) = InputPacket::decode(&schema, &bytes) {
                for (_, raw) in packet.iter() {
                    prop_assert!(schema.input.iter().zip(raw).all(|(field, &raw)| raw <= field.codec.raw_max()));
                }
            }
        }
    }

    #[test]
    fn a_room_takes_anything(
        events in proptest::collection::vec((0u8..6, 0u8..5, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..60),
    ) {
        let (mut room, mut sent) = (room(3, 100), Sent::default());
        for (what, seat, number, bytes) in events {
            let seat = SeatId(seat);
            room.handle(match what {
                0 => RoomInput::Joined { seat },
                1 => RoomInput::Left { seat, why: Leave::Left },
                2 => RoomInput::Unreliable { seat, payload: bytes, early_us: number },
                3 => RoomInput::Unreliable { seat, payload: payload(&room, number.max(1), &[(1, 1); 12]), early_us: number },
                4 => RoomInput::Message { seat, payload: bytes },
                _ => RoomInput::Delivered { seat, tag: number % 80 },
            });
            if number % 3 == 0 {
                room.step(&mut sent);
            }
        }
        room.step(&mut sent);
        prop_assert_eq!(game::replay::<tag_match::rules::Tag>(room.log().unwrap()), Ok(room.state_hash()));
    }
}

/// A game that says as much as it can.
struct Talker;

impl Game for Talker {
    fn schema() -> Schema {
        tag_match::rules::Tag::schema()
    }

    fn start(_setup: &MatchSetup, _world: &mut World) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn join(&mut self, _seat: SeatId, _world: &mut World) {}

    fn leave(&mut self, _seat: SeatId, _why: Leave, _world: &mut World) {}

    fn step(&mut self, _tick: Tick, _inputs: &Inputs<'_>, _world: &mut World, outbox: &mut Outbox) {
        assert!(!outbox.send(To::All, &[0; 10_000]), "too long");
        let taken = (0..1_000).filter(|_| outbox.send(To::Seat(SeatId(0)), b"hello")).count();
        assert_eq!(taken, 256);
    }

    fn outcome(&self) -> Option<Outcome> {
        let stats: BTreeMap<String, i64> = (0..500).map(|n| (format!("{n:060}"), i64::MIN)).collect();
        let player = |seat| PlayerOutcome { seat: SeatId(seat), place: 1, score: i64::MAX, stats: stats.clone() };
        Some(Outcome { reason: "ö".repeat(100), players: (0..64).map(player).collect() })
    }
}

#[test]
fn a_game_that_says_too_much_is_cut_short_and_counted() {
    let mut room: Room<Talker> = Room::new(setup(64, 1), RoomConfig::default()).unwrap();
    let mut sent = Sent::default();
    room.handle(RoomInput::Joined { seat: SeatId(0) });
    let report = room.step(&mut sent);
    assert!(report.ended);
    assert_eq!(report.messages_refused, 1 + (1_000 - 256));
    assert!(sent.messages.iter().all(|(_, message)| message.encode().len() <= MESSAGE_BYTES_MAX));
    let outcome = room.outcome().unwrap();
    assert_eq!((outcome.reason.len(), outcome.players[0].stats.len()), (64, 64));
    let Some(RoomMessage::Ended { standings, .. }) = sent.messages_to(0).pop() else { panic!("no end was told") };
    assert_eq!((standings.len(), standings[0].stats.len()), (64, 0));
}
