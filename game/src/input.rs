//! One player's input for one tick, and the payload that carries inputs to the server.
//!
//! The payload (bits as in [`netcode::bits`]):
//!
//! | bits | meaning |
//! |---|---|
//! | 4 | format, 1 |
//! | 4 | number of inputs, 1 to 12 |
//! | 32 | tick of the newest input |
//! | 32 | tick that the player saw when making the newest input |
//! | 8 | fraction of the way to the next tick that the player saw, in 1/256 |
//!
//! then the inputs for consecutive ticks, oldest first: one bit, 1 when the input is the same as the one before (the
//! first: as neutral input), else 0 and every field's raw value in its number of bits, in the schema's order. The last
//! byte is filled with zero bits.

use std::sync::Arc;

use netcode::bits::{BitReader, BitWriter, BitsError};
use netcode::replication::SeatId;
use protocol::schema::{INPUT_FIELDS_MAX, Schema};
use protocol::tick::Tick;
use protocol::wire::INPUTS_REPEATED_MAX;

const FORMAT: u32 = 1;
const FORMAT_BITS: u32 = 4;
const COUNT_BITS: u32 = 4;

/// Raw values of an input's fields, by place in the schema; unused places are 0.
pub type RawInput = [u32; INPUT_FIELDS_MAX];

/// One player's input for one tick, quantized as the schema says.
#[derive(Clone, PartialEq)]
pub struct Input {
    schema: Arc<Schema>,
    raw: RawInput,
}

impl Input {
    /// Every field at the value nearest to 0.
    pub fn neutral(schema: Arc<Schema>) -> Self {
        let raw = neutral(&schema);
        Self { schema, raw }
    }

    /// An input with these raw values, each clamped to its field's range.
    pub fn from_raw(schema: Arc<Schema>, raw: &RawInput) -> Self {
        let raw = clamp(&schema, raw);
        Self { schema, raw }
    }

    /// Sets a field to the nearest value that its codec has.
    ///
    /// # Panics
    /// If the schema's input has no such field.
    pub fn set(&mut self, field: usize, value: f32) {
        self.raw[field] = self.schema.input[field].codec.quantize(value);
    }

    /// As [`set`](Self::set) with an integer.
    ///
    /// # Panics
    /// If the schema's input has no such field.
    pub fn set_int(&mut self, field: usize, value: i64) {
        self.raw[field] = self.schema.input[field].codec.quantize_int(value);
    }

    /// A field's value.
    ///
    /// # Panics
    /// If the schema's input has no such field.
    pub fn get(&self, field: usize) -> f32 {
        self.schema.input[field].codec.dequantize(self.raw[field])
    }

    /// A field's value as an integer.
    ///
    /// # Panics
    /// If the schema's input has no such field.
    pub fn get_int(&self, field: usize) -> i64 {
        self.schema.input[field].codec.dequantize_int(self.raw[field])
    }

    /// Whether a field is not 0.
    ///
    /// # Panics
    /// If the schema's input has no such field.
    pub fn is_set(&self, field: usize) -> bool {
        self.get_int(field) != 0
    }

    /// The raw values.
    pub fn raw(&self) -> &RawInput {
        &self.raw
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.raw[..self.schema.input.len().min(INPUT_FIELDS_MAX)]).finish()
    }
}

/// The inputs of one tick, one per seat.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    by_seat: &'a [(bool, Input)],
}

impl<'a> Inputs<'a> {
    /// The inputs of a tick: per seat whether a player is there, and its input.
    pub fn new(by_seat: &'a [(bool, Input)]) -> Self {
        Self { by_seat }
    }

    /// The seat's input: neutral when no player is there or nothing came for a second.
    ///
    /// # Panics
    /// If the match has no such seat.
    pub fn get(&self, seat: SeatId) -> &'a Input {
        &self.by_seat[usize::from(seat.0)].1
    }

    /// The seats where a player is, with their inputs.
    pub fn present(&self) -> impl Iterator<Item = (SeatId, &'a Input)> + use<'a> {
        let seats = (0u8..).map(SeatId).zip(self.by_seat);
        seats.filter(|(_, (present, _))| *present).map(|(seat, (_, input))| (seat, input))
    }
}

/// What a player saw when it made an input: for rewinding to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The tick shown.
    pub tick: Tick,
    /// How far towards the next tick, in 1/256.
    pub fraction: u8,
}

/// Why bytes are not an input payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed input payload")]
pub struct InputError;

impl From<BitsError> for InputError {
    fn from(_: BitsError) -> Self {
        Self
    }
}

/// The inputs of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPacket {
    /// Tick of the newest input.
    pub newest: Tick,
    /// What the player saw when it made the newest input.
    pub seen: Seen,
    count: usize,
    inputs: [RawInput; INPUTS_REPEATED_MAX],
}

impl InputPacket {
    /// Writes the inputs of consecutive ticks, oldest first, the last for `newest`, into `out`.
    ///
    /// Of more than 12 the newest are taken, and no more than there are ticks up to `newest`.
    pub fn encode<'a>(
        schema: &Schema,
        newest: Tick,
        seen: Seen,
        inputs: impl ExactSizeIterator<Item = &'a Input>,
        out: &mut Vec<u8>,
    ) {
        let count = inputs.len().min(INPUTS_REPEATED_MAX).min(newest.0 as usize);
        let mut writer = BitWriter::new();
        writer.write(FORMAT, FORMAT_BITS);
        writer.write(count as u32, COUNT_BITS);
        writer.write(newest.0, 32);
        writer.write(seen.tick.0, 32);
        writer.write(u32::from(seen.fraction), 8);
        let mut previous = neutral(schema);
        let skip = inputs.len() - count;
        for input in inputs.skip(skip) {
            let is_same = input.raw == previous;
            writer.write_bool(is_same);
            if !is_same {
                schema.input.iter().zip(&input.raw).for_each(|(field, &raw)| writer.write(raw, field.codec.bits()));
            }
            previous = input.raw;
        }
        out.clear();
        out.extend_from_slice(writer.finish());
    }

    /// Reads a payload; raw values are clamped to their fields' ranges.
    ///
    /// # Errors
    /// [`InputError`] when the bytes are not exactly one payload. Never panics.
    pub fn decode(schema: &Schema, bytes: &[u8]) -> Result<Self, InputError> {
        let mut reader = BitReader::new(bytes);
        let format = reader.read(FORMAT_BITS)?;
        let count = reader.read(COUNT_BITS)? as usize;
        let newest = Tick(reader.read(32)?);
        let seen = Seen { tick: Tick(reader.read(32)?), fraction: reader.read(8)? as u8 };
        if format != FORMAT || !(1..=INPUTS_REPEATED_MAX).contains(&count) || count > newest.0 as usize {
            return Err(InputError);
        }
        let mut inputs = [[0; INPUT_FIELDS_MAX]; INPUTS_REPEATED_MAX];
        let mut previous = neutral(schema);
        for input in &mut inputs[..count] {
            if !reader.read_bool()? {
                for (field, raw) in schema.input.iter().zip(&mut previous) {
                    *raw = reader.read(field.codec.bits())?.min(field.codec.raw_max());
                }
            }
            *input = previous;
        }
        reader.finish()?;
        Ok(Self { newest, seen, count, inputs })
    }

    /// Ticks with their raw inputs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Tick, &RawInput)> {
        let oldest = self.newest.0 - (self.count as u32 - 1);
        (oldest..=self.newest.0).map(Tick).zip(&self.inputs[..self.count])
    }
}

pub(crate) fn neutral(schema: &Schema) -> RawInput {
    let mut raw = [0; INPUT_FIELDS_MAX];
    for (raw, field) in raw.iter_mut().zip(&schema.input) {
        *raw = field.codec.quantize(0.0);
    }
    raw
}

fn clamp(schema: &Schema, raw: &RawInput) -> RawInput {
    let mut clamped = [0; INPUT_FIELDS_MAX];
    for ((clamped, raw), field) in clamped.iter_mut().zip(raw).zip(&schema.input) {
        *clamped = (*raw).min(field.codec.raw_max());
    }
    clamped
}
