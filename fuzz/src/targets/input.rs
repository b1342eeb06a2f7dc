//! What clients send into a room, in a real match: input payloads, messages, comings and goings.
//!
//! Case: what (1 byte), seat (1 byte), content.

use arena::Arena;
use game::message::RoomMessage;
use game::sink::{RoomSink, StepReport};
use game::{Input, InputPacket, Leave, MatchSetup, Player, Room, RoomConfig, RoomInput, Schema, Seen, Tick};
use netcode::endpoint::MESSAGE_BYTES_MAX;
use netcode::replication::SeatId;
use protocol::id::{MatchId, PlayerId};
use protocol::wire::{BULK_BYTES_MAX, INPUTS_REPEATED_MAX, UNRELIABLE_BYTES_MAX};

use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "input",
    what: "input payloads, messages and events into a room that plays the arena; its log replays to the same hash",
    cases_per_world: 256,
    bytes_max: 200,
    world: || Box::new(World::new()),
    seeds,
};

const SEATS: u8 = 4;
/// The room steps after the case.
const STEP: u8 = 0x80;
/// The payload's tick is moved to where the match is.
const NEAR: u8 = 0x40;
/// Below the marks: what is given.
const WHAT: u8 = 0x07;

struct World {
    room: Room<Arena>,
    sink: Sink,
    /// Inputs given since the last step, and payloads that were none.
    given: u64,
    malformed: u64,
}

impl World {
    fn new() -> Self {
        let config = RoomConfig { record: true, entities_max: 128, ..RoomConfig::default() };
        let mut room = Room::new(setup(SEATS), config).expect("the arena takes its own setup");
        (0..SEATS).for_each(|seat| room.handle(RoomInput::Joined { seat: SeatId(seat) }));
        let mut sink = Sink::default();
        room.step(&mut sink);
        Self { room, sink, given: 0, malformed: 0 }
    }

    fn unreliable(&mut self, seat: SeatId, near: bool, content: &[u8]) -> Result<RoomInput, String> {
        let mut payload = content.to_vec();
        if near && payload.len() >= 5 {
            // The newest tick follows the first byte; its lowest byte moves it about the present.
            let newest = self.room.tick().0.saturating_add(u32::from(payload[1] % 80)).saturating_sub(8).max(1);
            payload[1..5].copy_from_slice(&newest.to_le_bytes());
        }
        if seat.0 < SEATS {
            match InputPacket::decode(self.room.schema(), &payload) {
                Ok(packet) => self.given += check_packet(self.room.schema(), &packet)?,
                Err(_) => self.malformed += 1,
            }
        }
        Ok(RoomInput::Unreliable { seat, payload, early_us: u32::from_le_bytes([content.len() as u8; 4]) })
    }

    fn step(&mut self) -> Result<u64, String> {
        let report = self.room.step(&mut self.sink);
        self.sink.faults.take().map_or(Ok(()), Err)?;
        let StepReport { inputs, ended, messages_refused, events_refused, players, .. } = report;
        let (given, malformed) = (std::mem::take(&mut self.given), std::mem::take(&mut self.malformed));
        // Repetitions are taken in silence, so the counts may be lower; a payload that is none is counted exactly.
        let counted = inputs.accepted + inputs.late + inputs.ahead;
        check(counted <= given && inputs.malformed == malformed, || {
            format!("of {given} inputs and {malformed} malformed payloads {inputs:?} were counted")
        })?;
        let what = [inputs.accepted, inputs.late, inputs.ahead, inputs.malformed, messages_refused, events_refused];
        let bits = what.iter().enumerate().map(|(bit, count)| u64::from(*count > 0) << bit).sum::<u64>();
        Ok(1 << 16 | u64::from(ended) << 8 | bits << 24 | players as u64)
    }
}

impl Target for World {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[what, seat, ref content @ ..] = case else { return Ok(0) };
        // One seat beyond the last, so that a wrong one is met too.
        let seat = SeatId(seat % (SEATS + 1));
        let number = content.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let input = match what & WHAT {
            0..=2 => self.unreliable(seat, what & NEAR != 0, content)?,
            3 => RoomInput::Message { seat, payload: content.to_vec() },
            4 => RoomInput::Joined { seat },
            5 => RoomInput::Left { seat, why: Leave::from_code(number as u8 % 4).unwrap_or(Leave::Left) },
            6 if number % 2 == 0 => RoomInput::Silent { seat },
            6 => RoomInput::Heard { seat },
            _ => RoomInput::Delivered { seat, tag: number % (self.room.tick().0 + 4) },
        };
        self.room.handle(input);
        if what & STEP == 0 { Ok(u64::from(what & WHAT)) } else { self.step() }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.step()?;
        let log = self.room.log().ok_or("the room does not record")?;
        let bytes = log.to_bytes();
        let read = game::InputLog::from_bytes(&bytes).map_err(|error| format!("own log: {error}"))?;
        check(read.to_bytes() == bytes, || "the log changed on its way through bytes".to_owned())?;
        let replayed = game::replay::<Arena>(&read).map_err(|error| format!("the log does not replay: {error}"))?;
        check(replayed == self.room.state_hash(), || "the replay ends in another state".to_owned())
    }
}

/// Every value is in its field's range. Returns the number of inputs.
fn check_packet(schema: &Schema, packet: &InputPacket) -> Result<u64, String> {
    let mut count = 0;
    for (_, raw) in packet.iter() {
        count += 1;
        let in_range = schema.input.iter().zip(raw).all(|(field, raw)| *raw <= field.codec.raw_max());
        check(in_range, || "an input leaves its field's range".to_owned())?;
    }
    check((1..=INPUTS_REPEATED_MAX as u64).contains(&count), || format!("a payload of {count} inputs"))?;
    Ok(count)
}

/// Checks what a room sends against the limits of its channels.
#[derive(Default)]
struct Sink {
    faults: Option<String>,
}

impl Sink {
    fn check(&mut self, what: &str, bytes: usize, bytes_max: usize) {
        if bytes > bytes_max {
            self.faults = Some(format!("a {what} of {bytes} bytes, at most {bytes_max}"));
        }
    }
}

impl RoomSink for Sink {
    fn snapshot(&mut self, _seat: SeatId, _tag: u32, bytes: &[u8]) {
        self.check("snapshot", bytes.len(), UNRELIABLE_BYTES_MAX);
    }

    fn message(&mut self, _seat: SeatId, bytes: &[u8]) {
        self.check("message", bytes.len(), MESSAGE_BYTES_MAX);
        if RoomMessage::decode(bytes).is_err() {
            self.faults = Some("the room's own message does not decode".to_owned());
        }
    }

    fn bulk(&mut self, _seat: SeatId, bytes: Vec<u8>) {
        self.check("bulk transfer", bytes.len(), BULK_BYTES_MAX);
    }
}

pub(crate) fn setup(seats: u8) -> MatchSetup {
    let player = |seat: u8| Player {
        id: PlayerId::from_entropy([seat; 16]),
        seat: SeatId(seat),
        team: u32::from(seat % 2),
        name: format!("player {seat}"),
    };
    MatchSetup {
        match_id: MatchId::from_entropy([1; 16]),
        seed: 11,
        tick_rate_hz: 20,
        players: (0..seats).map(player).collect(),
        settings: serde_json::Map::from_iter([("seconds".to_owned(), 5.into())]),
    }
}

/// A payload of `count` inputs whose newest is for `newest`, with fields that move.
pub(crate) fn payload(newest: u32, count: u32) -> Vec<u8> {
    let schema = std::sync::Arc::new(<Arena as game::Game>::schema());
    let input = |number: u32| {
        let mut raw = [0; protocol::schema::INPUT_FIELDS_MAX];
        for (place, raw) in raw.iter_mut().enumerate().take(schema.input.len()) {
            *raw = number / 2 * (place as u32 + 3) % (schema.input[place].codec.raw_max() / 2 + 1);
        }
        Input::from_raw(schema.clone(), &raw)
    };
    let inputs: Vec<Input> = (0..count).map(input).collect();
    let mut bytes = Vec::new();
    let seen = Seen { tick: Tick(newest.saturating_sub(3)), fraction: 128 };
    InputPacket::encode(&schema, Tick(newest), seen, inputs.iter(), &mut bytes);
    bytes
}

fn seeds() -> Vec<Entry> {
    let rows: [(&str, u8, u8, Vec<u8>); 13] = [
        ("inputs", STEP | NEAR, 0, payload(40, 12)),
        ("one-input", STEP | NEAR, 1, payload(9, 1)),
        ("early-inputs", NEAR, 2, payload(70, 5)),
        ("far-inputs", 0, 3, payload(u32::MAX, 12)),
        ("first-input", 0, 0, payload(1, 1)),
        ("message", 3, 0, b"hello".to_vec()),
        ("long-message", STEP | 3, 1, vec![b'x'; 150]),
        ("join", STEP | 4, 2, vec![]),
        ("leave", STEP | 5, 2, vec![1, 0, 0, 0]),
        ("silent", 6, 3, vec![0; 4]),
        ("heard", 6, 3, vec![1, 0, 0, 0]),
        ("delivered", STEP | 7, 0, vec![3, 0, 0, 0]),
        ("nobody", 0, SEATS, payload(40, 3)),
    ];
    rows.into_iter().map(|(name, what, seat, bytes)| (name.to_owned(), [&[what, seat], &bytes[..]].concat())).collect()
}
