//! A match of tag for tests, and a sink that keeps what the room sends.
#![allow(dead_code, reason = "every test file uses a part of it")]

#[path = "../../examples/tag/rules.rs"]
pub(crate) mod rules;

use game::{
    Input, InputPacket, MatchSetup, Phase, Player, Room, RoomConfig, RoomInput, RoomMessage, RoomSink, SeatId, Seen,
    Settings, Tick,
};
use protocol::id::{MatchId, PlayerId};
use rules::Tag;

pub(crate) fn setup(players: u8, seconds: u64) -> MatchSetup {
    let player = |seat: u8| Player {
        id: PlayerId::from_entropy([seat; 16]),
        seat: SeatId(seat),
        team: u32::from(seat),
        name: format!("player {seat}"),
    };
    MatchSetup {
        match_id: MatchId::from_entropy([9; 16]),
        seed: 7,
        tick_rate_hz: 30,
        players: (0..players).map(player).collect(),
        settings: Settings::from_iter([("seconds".to_owned(), seconds.into())]),
    }
}

pub(crate) fn room(players: u8, seconds: u64) -> Room<Tag> {
    let config = RoomConfig { entities_max: 64, record: true, ..RoomConfig::default() };
    Room::new(setup(players, seconds), config).expect("the setup is right")
}

/// An input payload for consecutive ticks up to `newest`.
pub(crate) fn payload(room: &Room<Tag>, newest: u32, moves: &[(i64, i64)]) -> Vec<u8> {
    let inputs: Vec<Input> = moves
        .iter()
        .map(|&(x, y)| {
            let mut input = Input::neutral(room.schema().clone());
            input.set_int(rules::MOVE_X, x);
            input.set_int(rules::MOVE_Y, y);
            input
        })
        .collect();
    let mut out = Vec::new();
    InputPacket::encode(room.schema(), Tick(newest), Seen::default(), inputs.iter(), &mut out);
    out
}

pub(crate) fn send(room: &mut Room<Tag>, seat: u8, newest: u32, moves: &[(i64, i64)]) {
    let payload = payload(room, newest, moves);
    room.handle(RoomInput::Unreliable { seat: SeatId(seat), payload, early_us: 0 });
}

/// Everything that steps have sent.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) snapshots: Vec<(SeatId, u32, Vec<u8>)>,
    pub(crate) messages: Vec<(SeatId, RoomMessage)>,
    pub(crate) bulks: Vec<(SeatId, Vec<u8>)>,
    pub(crate) phases: Vec<Phase>,
}

impl Sent {
    pub(crate) fn messages_to(&self, seat: u8) -> Vec<&RoomMessage> {
        self.messages.iter().filter(|(to, _)| *to == SeatId(seat)).map(|(_, message)| message).collect()
    }
}

impl RoomSink for Sent {
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]) {
        self.snapshots.push((seat, tag, bytes.to_vec()));
    }

    fn message(&mut self, seat: SeatId, bytes: &[u8]) {
        self.messages.push((seat, RoomMessage::decode(bytes).expect("the room's own message")));
    }

    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>) {
        self.bulks.push((seat, bytes));
    }

    fn phase(&mut self, phase: Phase) {
        self.phases.push(phase);
    }
}
