//! What a server tells its clients reliably, and the logs that replays are made from.
//!
//! Case: what (1 byte), content.

use arena::Arena;
use game::message::{RoomMessage, RosterEntry, Standing};
use game::sink::RoomSink;
use game::{InputLog, Leave, Room, RoomConfig, RoomInput};
use netcode::replication::SeatId;
use protocol::codec;

use super::input::{payload, setup};
use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "message",
    what: "room messages, the arena's own, the codec of control messages, input logs and their replay",
    cases_per_world: 1_024,
    bytes_max: 2_048,
    world: || Box::new(Reader),
    seeds,
};

const KINDS: u8 = 5;
const ROOM: u8 = 0;
const WELCOME: u8 = 1;
const EVENT: u8 = 2;
const CODEC: u8 = 3;
const LOG: u8 = 4;

/// A log that goes on longer is read, but not played.
const RECORDS_MAX: usize = 64;

/// What bounded types the codec is asked for: nested lists, texts, options, every integer.
type Nested = (Vec<(String, Vec<u64>)>, Option<Box<[i128]>>, Vec<Vec<Vec<u8>>>);

struct Reader;

impl Target for Reader {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[what, ref content @ ..] = case else { return Ok(0) };
        let what = what % KINDS;
        let result = match what {
            ROOM => room_message(content)?,
            WELCOME => u64::from(arena::welcome::Welcome::from_bytes(content).is_ok()),
            EVENT => match arena::event::Event::from_bytes(content) {
                Ok(event) => {
                    check(event.to_bytes() == content, || "an event is not canonical".to_owned()).map(|()| 1)?
                }
                Err(_) => 0,
            },
            CODEC => u64::from(codec::decode::<Nested>(content).is_ok()),
            _ => log(content)?,
        };
        Ok(u64::from(what) << 32 | result)
    }
}

fn room_message(bytes: &[u8]) -> Result<u64, String> {
    let Ok(message) = RoomMessage::decode(bytes) else {
        return Ok(u64::from(bytes.first().copied().unwrap_or(9).min(9)));
    };
    message.match_id();
    message.leave();
    let again = RoomMessage::decode(&message.encode());
    check(again.is_ok_and(|again| again == message), || format!("{message:?} does not survive the wire"))?;
    Ok(16
        + match message {
            RoomMessage::Welcome { players, .. } => 16 + players.len().min(8) as u64,
            RoomMessage::PlayerJoined { .. } => 1,
            RoomMessage::PlayerLeft { .. } => 2,
            RoomMessage::Game(_) => 3,
            RoomMessage::Draining { .. } => 4,
            RoomMessage::Ended { standings, .. } => 32 + standings.len().min(8) as u64,
        })
}

fn log(bytes: &[u8]) -> Result<u64, String> {
    let log = match InputLog::from_bytes(bytes) {
        Ok(log) => log,
        Err(game::log::LogError::Format) => return Ok(1),
        Err(game::log::LogError::Header(part)) => return Ok(2 + part.len() as u64),
        Err(game::log::LogError::Record { after_tick }) => return Ok(32 + u64::from(after_tick.min(32))),
    };
    let again = InputLog::from_bytes(&log.to_bytes());
    check(again.is_ok_and(|again| again == log), || "a log does not survive its own bytes".to_owned())?;
    if log.records().count() > RECORDS_MAX {
        return Ok(80);
    }
    Ok(match game::replay::<Arena>(&log) {
        Ok(_) => 81,
        Err(game::replay::ReplayError::Schema { .. }) => 82,
        Err(game::replay::ReplayError::Start(_)) => 83,
        Err(game::replay::ReplayError::Diverged { .. }) => 84,
    })
}

/// Keeps what a room sends.
#[derive(Default)]
struct Kept {
    messages: Vec<Vec<u8>>,
    bulk: Vec<Vec<u8>>,
}

impl RoomSink for Kept {
    fn snapshot(&mut self, _seat: SeatId, _tag: u32, _bytes: &[u8]) {}

    fn message(&mut self, _seat: SeatId, bytes: &[u8]) {
        self.messages.push(bytes.to_vec());
    }

    fn bulk(&mut self, _seat: SeatId, bytes: Vec<u8>) {
        self.bulk.push(bytes);
    }
}

/// Messages and logs of a real match, and of each message that it does not happen to send.
fn seeds() -> Vec<Entry> {
    let config = RoomConfig { record: true, entities_max: 64, ..RoomConfig::default() };
    let mut room: Room<Arena> = Room::new(setup(2), config).expect("the arena takes its own setup");
    let mut kept = Kept::default();
    let mut logs = Vec::new();
    for tick in 1..=12 {
        match tick {
            1 => (0..2).for_each(|seat| room.handle(RoomInput::Joined { seat: SeatId(seat) })),
            2 => room.handle(RoomInput::Message { seat: SeatId(1), payload: b"hello".to_vec() }),
            9 => room.handle(RoomInput::Left { seat: SeatId(1), why: Leave::Left }),
            11 => room.abort("drained"),
            _ => room.handle(RoomInput::Unreliable { seat: SeatId(0), payload: payload(tick, 3), early_us: 0 }),
        }
        room.step(&mut kept);
        if [1, 4, 12].contains(&tick) {
            logs.extend(room.log().map(InputLog::to_bytes));
        }
    }
    let mut seeds: Vec<Entry> = Vec::new();
    let mut add = |name: String, what: u8, bytes: &[u8]| seeds.push((name, [&[what], bytes].concat()));
    let rows = [("room", ROOM, kept.messages), ("welcome", WELCOME, kept.bulk[..1].to_vec()), ("log", LOG, logs)];
    for (name, what, entries) in rows {
        entries.iter().enumerate().for_each(|(number, bytes)| add(format!("{name}-{number}"), what, bytes));
    }
    let event = RoomMessage::Game(vec![1, 2, 3]).encode();
    add("game".to_owned(), ROOM, &event);
    add("event".to_owned(), EVENT, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let nested: Nested = (vec![("name".into(), vec![1, u64::MAX])], Some(Box::new([-1])), vec![vec![vec![7; 3]]]);
    add("nested".to_owned(), CODEC, &codec::encode(&nested));
    for (name, message) in messages() {
        add(name.to_owned(), ROOM, &message.encode());
    }
    seeds
}

fn messages() -> [(&'static str, RoomMessage); 2] {
    let entry = |seat| RosterEntry { player_id: [seat; 16], seat, team: 1, name: "ö".repeat(20), present: true };
    let standing =
        |seat| Standing { seat, place: 1, score: i64::MIN, stats: vec![("kills".into(), -1), ("x".into(), 7)] };
    [
        (
            "roster",
            RoomMessage::Welcome {
                match_id: [3; 16],
                seat: 1,
                tick_rate_hz: 60,
                tick: u32::MAX,
                players: (0..4).map(entry).collect(),
                settings_json: r#"{"mode":"ffa"}"#.into(),
            },
        ),
        ("standings", RoomMessage::Ended { reason: "finished".into(), standings: (0..4).map(standing).collect() }),
    ]
}
