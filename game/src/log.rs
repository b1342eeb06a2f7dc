//! The input log: everything that a match depended on, tick by tick, with the state hash of each.
//!
//! Bytes (integers little-endian): `"MLOG"`, format `u8` = 1; length `u32` and canonical bytes of the schema; length
//! `u32` and header by [`protocol::codec`]: match id (16 bytes), seed, tick rate, entities_max, players (id, team,
//! name) by seat, settings as JSON. Then records, each a type byte and its content:
//!
//! | type | record | content |
//! |---|---|---|
//! | 1 | joined | seat `u8` |
//! | 2 | left | seat `u8`, reason `u8` |
//! | 3 | message | seat `u8`, length `u16`, bytes |
//! | 4 | input, until the next one of the seat | seat `u8`, raw values bit-packed as in an input payload, filled to bytes |
//! | 5 | end of a tick | state hash `u64` |
//! | 6 | aborted | length `u8`, reason |

use std::sync::Arc;

use netcode::bits::{BitReader, BitWriter};
use netcode::replication::SeatId;
use protocol::codec;
use protocol::id::{MatchId, PlayerId};
use protocol::schema::{INPUT_FIELDS_MAX, Schema};

use crate::input::RawInput;
use crate::outbox::GAME_MESSAGE_BYTES_MAX;
use crate::outcome::REASON_BYTES_MAX;
use crate::rules::Leave;
use crate::setup::{MatchSetup, Player, SEATS_MAX};

const MAGIC: &[u8; 5] = b"MLOG\x01";
/// Longest log; a match that goes on longer is recorded up to there.
pub const LOG_BYTES_MAX: usize = 64 * 1024 * 1024;

const JOINED: u8 = 1;
const LEFT: u8 = 2;
const MESSAGE: u8 = 3;
const INPUT: u8 = 4;
const STEPPED: u8 = 5;
const ABORTED: u8 = 6;

/// The header as the codec sees it: match id, seed, tick rate, entities_max, players, settings.
type Header = ([u8; 16], u64, u32, u16, Vec<([u8; 16], u32, String)>, String);

/// Why bytes are not an input log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// They do not begin as a log of a known format.
    #[error("not an input log, or of another format")]
    Format,
    /// The schema or the header is malformed.
    #[error("the input log's {0} is malformed")]
    Header(&'static str),
    /// A record is malformed or cut off.
    #[error("the input log is damaged after tick {after_tick}")]
    Record {
        /// The last tick that is whole.
        after_tick: u32,
    },
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// A player took its seat.
    Joined(SeatId),
    /// A player left its seat.
    Left(SeatId, Leave),
    /// A message from a player.
    Message(SeatId, &'a [u8]),
    /// The seat's input from now on.
    Input(SeatId, RawInput),
    /// The match was ended from outside.
    Aborted(&'a str),
    /// The tick ends with this state hash.
    Stepped(u64),
}

/// The log of one match.
#[derive(Debug, Clone, PartialEq)]
pub struct InputLog {
    setup: MatchSetup,
    schema: Arc<Schema>,
    entities_max: u16,
    records: Vec<u8>,
    is_full: bool,
}

impl InputLog {
    pub(crate) fn new(setup: &MatchSetup, schema: Arc<Schema>, entities_max: u16) -> Self {
        Self { setup: setup.clone(), schema, entities_max, records: Vec::new(), is_full: false }
    }

    /// What the match began with.
    pub fn setup(&self) -> &MatchSetup {
        &self.setup
    }

    /// The game's schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Most entities of the world.
    pub fn entities_max(&self) -> u16 {
        self.entities_max
    }

    /// Whether the match went on after the log had reached [`LOG_BYTES_MAX`].
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut reader = Reader { rest: &self.records, schema: &self.schema, seats: self.setup.players.len() };
        std::iter::from_fn(move || reader.next())
    }

    /// The log's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let schema = self.schema.to_bytes();
        let setup = &self.setup;
        let players = setup.players.iter().map(|player| (player.id.to_bytes(), player.team, player.name.clone()));
        let players: Vec<_> = players.collect();
        let header: Header = (
            setup.match_id.to_bytes(),
            setup.seed,
            setup.tick_rate_hz,
            self.entities_max,
            players,
            setup.settings_json(),
        );
        let header = codec::encode(&header);
        let mut out = MAGIC.to_vec();
        for part in [&schema, &header] {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.records);
        out
    }

    /// Reads a log.
    ///
    /// # Errors
    /// [`LogError`] for anything but the exact bytes of a log. Never panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LogError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(LogError::Format)?;
        let (schema, rest) = part(rest).ok_or(LogError::Header("schema"))?;
        let schema = Schema::from_bytes(schema).map_err(|_| LogError::Header("schema"))?;
        let (header, records) = part(rest).ok_or(LogError::Header("header"))?;
        let header: Header = codec::decode(header).map_err(|_| LogError::Header("header"))?;
        let (setup, entities_max) = setup(header).ok_or(LogError::Header("header"))?;
        let log = Self { setup, schema: Arc::new(schema), entities_max, records: records.to_vec(), is_full: false };
        let mut reader = Reader { rest: &log.records, schema: &log.schema, seats: log.setup.players.len() };
        let mut after_tick = 0;
        while !reader.rest.is_empty() {
            match reader.next() {
                Some(Record::Stepped(_)) => after_tick += 1,
                Some(_) => {}
                None => return Err(LogError::Record { after_tick }),
            }
        }
        Ok(log)
    }

    pub(crate) fn joined(&mut self, seat: SeatId) {
        self.push(&[JOINED, seat.0], &[]);
    }

    pub(crate) fn left(&mut self, seat: SeatId, why: Leave) {
        self.push(&[LEFT, seat.0, why as u8], &[]);
    }

    pub(crate) fn message(&mut self, seat: SeatId, bytes: &[u8]) {
        let [low, high] = (bytes.len() as u16).to_le_bytes();
        self.push(&[MESSAGE, seat.0, low, high], bytes);
    }

    pub(crate) fn input(&mut self, seat: SeatId, raw: &RawInput) {
        let mut writer = BitWriter::new();
        self.schema.input.iter().zip(raw).for_each(|(field, &raw)| writer.write(raw, field.codec.bits()));
        self.push(&[INPUT, seat.0], writer.finish());
    }

    pub(crate) fn aborted(&mut self, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        self.push(&[ABORTED, reason.len() as u8], reason.as_bytes());
    }

    pub(crate) fn stepped(&mut self, hash: u64) {
        self.push(&[STEPPED], &hash.to_le_bytes());
        self.is_full |= self.records.len() > LOG_BYTES_MAX;
    }

    fn push(&mut self, head: &[u8], body: &[u8]) {
        if !self.is_full {
            self.records.extend_from_slice(head);
            self.records.extend_from_slice(body);
        }
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

fn setup((match_id, seed, tick_rate_hz, entities_max, players, settings): Header) -> Option<(MatchSetup, u16)> {
    if players.len() > SEATS_MAX {
        return None;
    }
    let players = (0u8..).map(SeatId).zip(players).map(|(seat, (id, team, name))| {
        let id = PlayerId::from_bytes(id);
        Player { id, seat, team, name }
    });
    let setup = MatchSetup {
        match_id: MatchId::from_bytes(match_id),
        seed,
        tick_rate_hz,
        players: players.collect(),
        settings: serde_json::from_str(&settings).ok()?,
    };
    setup.validate().is_ok().then_some((setup, entities_max))
}

/// Reads record after record; `None` at the end and at the first fault.
struct Reader<'a> {
    rest: &'a [u8],
    schema: &'a Schema,
    seats: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Record<'a>> {
        match self.u8()? {
            JOINED => Some(Record::Joined(self.seat()?)),
            LEFT => Some(Record::Left(self.seat()?, Leave::from_code(self.u8()?)?)),
            MESSAGE => {
                let seat = self.seat()?;
                let length = usize::from(u16::from_le_bytes([self.u8()?, self.u8()?]));
                (length <= GAME_MESSAGE_BYTES_MAX).then_some(())?;
                Some(Record::Message(seat, self.take(length)?))
            }
            INPUT => {
                let seat = self.seat()?;
                let bits: u32 = self.schema.input.iter().map(|field| field.codec.bits()).sum();
                let mut reader = BitReader::new(self.take(bits.div_ceil(8) as usize)?);
                let mut raw = [0; INPUT_FIELDS_MAX];
                for (field, raw) in self.schema.input.iter().zip(&mut raw) {
                    *raw = reader.read(field.codec.bits()).ok().filter(|&raw| raw <= field.codec.raw_max())?;
                }
                reader.finish().ok()?;
                Some(Record::Input(seat, raw))
            }
            STEPPED => self.take(8)?.try_into().ok().map(u64::from_le_bytes).map(Record::Stepped),
            ABORTED => {
                let length = usize::from(self.u8()?);
                std::str::from_utf8(self.take(length)?).ok().map(Record::Aborted)
            }
            _ => None,
        }
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn seat(&mut self) -> Option<SeatId> {
        self.u8().filter(|&seat| usize::from(seat) < self.seats).map(SeatId)
    }
}
