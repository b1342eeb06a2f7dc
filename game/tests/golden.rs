//! Bytes that every released client depends on. The book's chapter "Snapshots on the wire" explains each of them.

use std::sync::Arc;

use game::schema::{SchemaBuilder, angle, flag, for_owner, range, unsigned};
use game::{Input, InputPacket, RoomMessage, RosterEntry, Schema, SeatId, Seen, Standing, Tick, World};
use netcode::replication::{Replica, Replicator, SnapshotHeader};

/// The chapter's example: x has 8 bits, aim 6, shield 1, ammo 5 and for the owner alone.
fn schema() -> Arc<Schema> {
    let schema = SchemaBuilder::new("golden", 1)
        .kind("ship", [range("x", -8.0, 8.0, 0.0625), angle("aim", 6), flag("shield"), for_owner(unsigned("ammo", 5))])
        .kind("rock", [range("x", -8.0, 8.0, 0.0625)])
        .input([unsigned("thrust", 2), angle("aim", 6), flag("fire")])
        .build();
    Arc::new(schema)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_schema_is_that_of_the_book() {
    assert_eq!(format!("{:016x}", schema().hash()), "7eff604754bad815");
}

#[test]
fn snapshots() {
    let schema = schema();
    let mut world = World::new(schema.clone(), 16);
    let mut server = Replicator::new(&schema, 16);
    let (mine, other) = (SeatId(2), SeatId(5));
    let ship = world.spawn(0, Some(mine)).unwrap();
    let gone = world.spawn(1, None).unwrap();
    let rock = world.spawn(1, None).unwrap();
    world.set(ship, 0, 1.5);
    world.set_int(ship, 3, 17);
    world.set(gone, 0, -1.0);
    world.set(rock, 0, 2.0);
    server.add_client(mine);
    server.add_client(other);
    let mut replica = Replica::new(schema.clone());
    let mut write = |server: &mut Replicator, seat, header| {
        let mut bytes = Vec::new();
        server.write_snapshot(seat, header, &mut |_| true, &mut bytes, 1_000).unwrap();
        if seat == mine {
            replica.apply(&bytes).unwrap();
        }
        hex(&bytes)
    };

    server.record(Tick(100), &world);
    let header = SnapshotHeader { last_input: Tick(0), margin_ms: 0 };
    assert_eq!(write(&mut server, mine, header), "01640000000000000000008021a0404c8028101c814001");
    assert_eq!(write(&mut server, other, header), "01640000000000000000008021a0004c0081e008040a");

    server.delivered(mine, Tick(100));
    world.set(ship, 0, 1.625);
    world.set(ship, 1, -0.2);
    world.set_int(ship, 2, 1);
    world.despawn(gone);
    server.record(Tick(103), &world);
    let header = SnapshotHeader { last_input: Tick(103), margin_ms: -21 };
    assert_eq!(write(&mut server, mine, header), "0167000000c3f57f816dc8");

    world.set_int(ship, 2, 0);
    server.record(Tick(104), &world);
    let header = SnapshotHeader { last_input: Tick(104), margin_ms: 16 };
    assert_eq!(write(&mut server, mine, header), "0168000000440800013564");
}

#[test]
fn a_snapshot_with_fields_that_usually_change_together() {
    let schema = schema();
    let mut world = World::new(schema.clone(), 16);
    let mut server = Replicator::new(&schema, 16);
    let mut replica = Replica::new(schema.clone());
    let seat = SeatId(5);
    server.add_client(seat);
    let ships: Vec<_> = (0..9).map(|_| world.spawn(0, None).unwrap()).collect();
    let mut bytes = Vec::new();
    for tick in 1..=3 {
        // All fly on and turn; in tick 3 the last one raises its shield instead.
        for &ship in &ships {
            let turns = tick < 3 || ship != ships[8];
            world.set(ship, 0, tick as f32 / 16.0);
            world.set_int(ship, 2, i64::from(!turns));
            world.set(ship, 1, if turns { tick as f32 / 10.0 } else { 0.1 });
        }
        server.record(Tick(tick), &world);
        let header = SnapshotHeader { last_input: Tick(tick), margin_ms: 0 };
        server.write_snapshot(seat, header, &mut |_| true, &mut bytes, 1_000).unwrap();
        replica.apply(&bytes).unwrap();
        server.verify(seat, replica.newest()).unwrap();
        server.delivered(seat, Tick(1));
    }
    assert_eq!(hex(&bytes), "110300000042008074d0181a4363680c8da1313486c6e00c");
}

#[test]
fn input_payloads() {
    let schema = schema();
    let input = |thrust, fire| {
        let mut input = Input::neutral(schema.clone());
        input.set_int(0, thrust);
        input.set(1, 1.0);
        input.set_int(2, fire);
        input
    };
    let inputs = [Input::neutral(schema.clone()), input(3, 0), input(3, 0), input(1, 1)];
    let mut bytes = Vec::new();
    let seen = Seen { tick: Tick(95), fraction: 128 };
    InputPacket::encode(&schema, Tick(107), seen, inputs.iter(), &mut bytes);
    assert_eq!(hex(&bytes), "416b0000005f00000080ad2825");
    let packet = InputPacket::decode(&schema, &bytes).unwrap();
    assert_eq!((packet.newest, packet.seen), (Tick(107), seen));
    let ticks: Vec<_> = packet.iter().map(|(tick, raw)| (tick.0, raw[..3].to_vec())).collect();
    let expected = [(104, vec![0, 0, 0]), (105, vec![3, 10, 0]), (106, vec![3, 10, 0]), (107, vec![1, 10, 1])];
    assert_eq!(ticks, expected);
}

#[test]
fn room_messages() {
    let players = vec![
        RosterEntry { player_id: [0x11; 16], seat: 0, team: 0, name: "Ada".into(), present: true },
        RosterEntry { player_id: [0x22; 16], seat: 1, team: 300, name: "Bob".into(), present: false },
    ];
    let welcome = RoomMessage::Welcome {
        match_id: [0x33; 16],
        seat: 0,
        tick_rate_hz: 60,
        tick: 1_000,
        players,
        settings_json: "{}".into(),
    };
    let standing = Standing { seat: 1, place: 1, score: -2, stats: vec![("kills".into(), 300)] };
    let ended = RoomMessage::Ended { reason: "finished".into(), standings: vec![standing] };
    let golden = [
        (
            welcome,
            "0033333333333333333333333333333333003cfbe8030211111111111111111111111111111111000003416461012222222222222222222222222222222201fb2c0103426f6200027b7d",
        ),
        (RoomMessage::PlayerJoined { seat: 3 }, "0103"),
        (RoomMessage::PlayerLeft { seat: 3, why: 2 }, "020302"),
        (RoomMessage::Game(vec![0xaa, 0xbb]), "0302aabb"),
        (ended, "040866696e69736865640101010301056b696c6c73fb5802"),
    ];
    for (message, expected) in golden {
        assert_eq!(hex(&message.encode()), expected, "{message:?}");
        assert_eq!(RoomMessage::decode(&message.encode()).unwrap(), message);
        assert!(RoomMessage::decode(&[&message.encode()[..], &[0]].concat()).is_err());
    }
    assert!(RoomMessage::decode(&[]).is_err());
    assert!(RoomMessage::decode(&[5]).is_err());
}
