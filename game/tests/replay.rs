//! A match runs again from its log, bit for bit.

mod tag_match;

use game::log::{LogError, Record};
use game::replay::ReplayError;
use game::{InputLog, Leave, Room, RoomInput, SeatId, replay};
use proptest::prelude::*;
use tag_match::rules::Tag;
use tag_match::{Sent, room, send};

/// A match of three with everything that a log holds.
fn played(ticks: u32) -> Room<Tag> {
    let (mut room, mut sent) = (room(3, 20), Sent::default());
    for tick in 1..=ticks {
        match tick {
            1 => (0..2).for_each(|seat| room.handle(RoomInput::Joined { seat: SeatId(seat) })),
            40 => room.handle(RoomInput::Joined { seat: SeatId(2) }),
            50 => room.handle(RoomInput::Message { seat: SeatId(1), payload: b"hello".to_vec() }),
            90 => room.handle(RoomInput::Left { seat: SeatId(0), why: Leave::Left }),
            200 => room.abort("enough"),
            _ => {}
        }
        for seat in 0..3 {
            let step = i64::from((tick / 7 + u32::from(seat)) % 3) - 1;
            send(&mut room, seat, tick, &[(step, -step)]);
        }
        room.step(&mut sent);
    }
    room
}

fn log(room: &Room<Tag>) -> &InputLog {
    room.log().expect("the room records")
}

#[test]
fn a_replay_arrives_at_the_same_hash() {
    for ticks in [1, 150, 220] {
        let room = played(ticks);
        assert_eq!(replay::<Tag>(log(&room)), Ok(room.state_hash()));
        let again = InputLog::from_bytes(&log(&room).to_bytes()).expect("the log's own bytes");
        assert_eq!(&again, log(&room));
        assert_eq!(replay::<Tag>(&again), Ok(room.state_hash()));
    }
    assert_ne!(played(150).state_hash(), played(151).state_hash());
}

#[test]
fn a_changed_log_names_the_first_tick_that_differs() {
    let room = played(150);
    let bytes = log(&room).to_bytes();
    // The join of seat 2 before tick 40 becomes another one of seat 1, who is there already.
    let join = bytes.windows(2).rposition(|pair| pair == [1, 2]).expect("seat 2 joins");
    let mut changed = bytes.clone();
    changed[join + 1] = 1;
    let changed = InputLog::from_bytes(&changed).expect("still a log");
    assert!(matches!(replay::<Tag>(&changed), Err(ReplayError::Diverged { tick: 40, .. })));
    let kinds: Vec<_> =
        log(&room).records().filter(|record| !matches!(record, Record::Stepped(_) | Record::Input(..))).collect();
    let expected = [
        Record::Joined(SeatId(0)),
        Record::Joined(SeatId(1)),
        Record::Joined(SeatId(2)),
        Record::Message(SeatId(1), b"hello"),
        Record::Left(SeatId(0), Leave::Left),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn damage_is_named() {
    let bytes = log(&played(30)).to_bytes();
    assert_eq!(InputLog::from_bytes(b"MLOG\x02"), Err(LogError::Format));
    assert_eq!(InputLog::from_bytes(&bytes[..20]), Err(LogError::Header("schema")));
    assert_eq!(InputLog::from_bytes(&bytes[..bytes.len() - 1]), Err(LogError::Record { after_tick: 29 }));
}

proptest! {
    #[test]
    fn hostile_logs_never_panic(place in 0usize..2_000, value in any::<u8>(), cut in 0usize..2_000) {
        let mut bytes = log(&played(20)).to_bytes();
        let length = bytes.len();
        bytes[place % length] = value;
        bytes.truncate(length - cut % 3);
        if let Ok(log) = InputLog::from_bytes(&bytes) {
            let _ = replay::<Tag>(&log);
        }
    }
}
