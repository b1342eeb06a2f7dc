//! A game's replicated data, as data: kinds of entities with quantized fields, and the fields of one player's input.
//!
//! The codec is driven by a [`Schema`], so a prebuilt client decodes any studio's game, and replays stay readable.
//! Client and server compare the schema's hash in the handshake: equal hashes mean equal bytes on the wire.
//!
//! Canonical bytes (all integers little-endian, `text` = length `u8` + UTF-8):
//! `"MSCH"`, format `u8` = 1, game `text`, version `u32`, number of kinds `u8`, then per kind: name `text`, number of
//! fields `u8`, fields; then number of input fields `u8`, fields. A field: name `text`, flags `u8` (bit 0: owner only),
//! codec `u8` (0 bool, 1 unsigned, 2 signed, 3 range, 4 angle), then bits `u8` for 1, 2 and 4, or min, max, step as
//! three IEEE 754 `f32` for 3. The hash is the first 8 bytes of the SHA-256 of these bytes, as a little-endian `u64`.

use sha2::{Digest as _, Sha256};

/// Most kinds of entities in a schema.
pub const KINDS_MAX: usize = 64;
/// Most fields of one kind.
pub const FIELDS_MAX: usize = 64;
/// Most fields of an input.
pub const INPUT_FIELDS_MAX: usize = 32;
/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most bits of a quantized field.
pub const FIELD_BITS_MAX: u32 = 32;
/// Most bits of an angle: an `f32` near a full circle holds no finer step.
pub const ANGLE_BITS_MAX: u8 = 20;

const MAGIC: &[u8; 4] = b"MSCH";
const FORMAT: u8 = 1;
const OWNER_ONLY: u8 = 1;

/// Everything that client and server must agree on about a game's data.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Name of the game.
    pub game: String,
    /// The game's own version of its rules, for people.
    pub version: u32,
    /// Kinds of entities; a kind's number is its place.
    pub kinds: Vec<Kind>,
    /// Fields of one player's input for one tick.
    pub input: Vec<Field>,
}

/// A kind of entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// Name, unique within the schema.
    pub name: String,
    /// Fields, those that change most often first.
    pub fields: Vec<Field>,
}

/// One quantized value.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name, unique within its kind.
    pub name: String,
    /// How the value is quantized.
    pub codec: FieldCodec,
    /// Only the player who owns the entity receives this field.
    pub owner_only: bool,
}

/// How a value becomes an integer of a fixed number of bits, its raw value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldCodec {
    /// False or true: 1 bit.
    Bool,
    /// 0 to 2^bits − 1.
    Unsigned {
        /// 1 to 32.
        bits: u8,
    },
    /// −2^(bits−1) to 2^(bits−1) − 1; raw values are offset by 2^(bits−1).
    Signed {
        /// 1 to 32.
        bits: u8,
    },
    /// Steps of `step` from `min` up to `max`.
    Range {
        /// Smallest value.
        min: f32,
        /// Largest value.
        max: f32,
        /// Quantum.
        step: f32,
    },
    /// An angle in radians, the full circle in 2^bits steps; wraps.
    Angle {
        /// 1 to [`ANGLE_BITS_MAX`].
        bits: u8,
    },
}

/// Why bytes or a description are not a usable schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The bytes end early, or go on after the end, or do not begin as a schema.
    #[error("not a schema: malformed bytes")]
    Malformed,
    /// A limit is exceeded.
    #[error("schema has too many {what} ({got}, at most {max})")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        max: usize,
    },
    /// A name is empty, too long, or used twice.
    #[error("schema name \"{0}\" is empty, longer than {NAME_BYTES_MAX} bytes, or used twice")]
    Name(String),
    /// A codec's numbers make no sense.
    #[error(
        "field \"{0}\": bits must be 1 to {FIELD_BITS_MAX} ({ANGLE_BITS_MAX} for an angle); a range needs min < max, step > 0 and at most 2^32 steps"
    )]
    Codec(String),
}

impl FieldCodec {
    /// Bits of the raw value.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bool => 1,
            Self::Unsigned { bits } | Self::Signed { bits } | Self::Angle { bits } => u32::from(bits),
            Self::Range { .. } => (u64::from(self.raw_max()) + 1).next_power_of_two().trailing_zeros().max(1),
        }
    }

    /// Largest raw value.
    pub fn raw_max(self) -> u32 {
        match self {
            Self::Bool => 1,
            Self::Unsigned { bits } | Self::Signed { bits } | Self::Angle { bits } => {
                u32::MAX >> (32 - u32::from(bits))
            }
            Self::Range { min, max, step } => {
                ((f64::from(max) - f64::from(min)) / f64::from(step) + 0.5).floor() as u32
            }
        }
    }

    /// The raw value nearest to `value`; values outside the range are clamped (an angle wraps), NaN becomes raw 0.
    pub fn quantize(self, value: f32) -> u32 {
        let value = f64::from(value);
        let raw = match self {
            Self::Bool => return u32::from(value != 0.0),
            Self::Unsigned { .. } => value,
            Self::Signed { bits } => value + signed_offset(bits),
            Self::Range { min, step, .. } => (value - f64::from(min)) / f64::from(step),
            Self::Angle { bits } => {
                let steps = 2f64.powi(i32::from(bits));
                let raw = (value / std::f64::consts::TAU * steps + 0.5).floor();
                return raw.rem_euclid(steps) as u64 as u32;
            }
        };
        // `as` saturates and turns NaN into 0, which is what is wanted.
        ((raw + 0.5).floor() as u32).min(self.raw_max())
    }

    /// The value of a raw value, always finite; raw values above [`raw_max`](Self::raw_max) are clamped.
    pub fn dequantize(self, raw: u32) -> f32 {
        let raw = f64::from(raw.min(self.raw_max()));
        let value = match self {
            Self::Bool | Self::Unsigned { .. } => raw,
            Self::Signed { bits } => raw - signed_offset(bits),
            Self::Range { min, step, .. } => f64::from(min) + raw * f64::from(step),
            Self::Angle { bits } => raw / 2f64.powi(i32::from(bits)) * std::f64::consts::TAU,
        };
        // A range may end half a step beyond its maximum, which may be the last finite number.
        value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }

    /// The raw value of an integer, exact where an `f32` is not (beyond 24 bits); clamped to the codec's range.
    /// For a range or an angle the same as [`quantize`](Self::quantize).
    pub fn quantize_int(self, value: i64) -> u32 {
        let raw = match self {
            Self::Bool => i64::from(value != 0),
            Self::Unsigned { .. } => value,
            Self::Signed { bits } => value.saturating_add(1 << (bits - 1)),
            Self::Range { .. } | Self::Angle { .. } => return self.quantize(value as f32),
        };
        raw.clamp(0, i64::from(self.raw_max())) as u32
    }

    /// The integer of a raw value; for a range or an angle the nearest integer.
    pub fn dequantize_int(self, raw: u32) -> i64 {
        let clamped = i64::from(raw.min(self.raw_max()));
        match self {
            Self::Bool | Self::Unsigned { .. } => clamped,
            Self::Signed { bits } => clamped - (1 << (bits - 1)),
            Self::Range { .. } | Self::Angle { .. } => f64::from(self.dequantize(raw)).round() as i64,
        }
    }

    fn is_valid(self) -> bool {
        match self {
            Self::Bool => true,
            Self::Unsigned { bits } | Self::Signed { bits } => (1..=FIELD_BITS_MAX).contains(&u32::from(bits)),
            Self::Angle { bits } => (1..=ANGLE_BITS_MAX).contains(&bits),
            Self::Range { min, max, step } => {
                let steps = (f64::from(max) - f64::from(min)) / f64::from(step);
                min.is_finite() && max.is_finite() && min < max && step > 0.0 && (0.5..4_294_967_295.0).contains(&steps)
            }
        }
    }
}

fn signed_offset(bits: u8) -> f64 {
    2f64.powi(i32::from(bits) - 1)
}

impl Field {
    /// A field that every client receives.
    pub fn new(name: &str, codec: FieldCodec) -> Self {
        Self { name: name.to_owned(), codec, owner_only: false }
    }

    /// A field that only the entity's owner receives.
    pub fn owner_only(name: &str, codec: FieldCodec) -> Self {
        Self { name: name.to_owned(), codec, owner_only: true }
    }
}

impl Schema {
    /// Checks limits, names and codecs.
    ///
    /// # Errors
    /// The first [`SchemaError`] found.
    pub fn validate(&self) -> Result<(), SchemaError> {
        limit("kinds", self.kinds.len(), KINDS_MAX)?;
        limit("input fields", self.input.len(), INPUT_FIELDS_MAX)?;
        names(std::iter::once(&self.game))?;
        names(self.kinds.iter().map(|kind| &kind.name))?;
        for fields in self.kinds.iter().map(|kind| &kind.fields).chain([&self.input]) {
            limit("fields of one kind", fields.len(), FIELDS_MAX)?;
            names(fields.iter().map(|field| &field.name))?;
            if let Some(bad) = fields.iter().find(|field| !field.codec.is_valid()) {
                return Err(SchemaError::Codec(bad.name.clone()));
            }
        }
        Ok(())
    }

    /// The schema's canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(FORMAT);
        put_text(&mut out, &self.game);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.push(self.kinds.len() as u8);
        for kind in &self.kinds {
            put_text(&mut out, &kind.name);
            put_fields(&mut out, &kind.fields);
        }
        put_fields(&mut out, &self.input);
        out
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`SchemaError`] for anything but the exact bytes of a valid schema. Never panics.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SchemaError> {
        let mut reader = Reader(bytes);
        if reader.take(4)? != MAGIC || reader.u8()? != FORMAT {
            return Err(SchemaError::Malformed);
        }
        let game = reader.text()?;
        let version = u32::from_le_bytes(reader.array()?);
        let mut kinds = Vec::new();
        for _ in 0..reader.u8()? {
            kinds.push(Kind { name: reader.text()?, fields: reader.fields()? });
        }
        let input = reader.fields()?;
        if !reader.0.is_empty() {
            return Err(SchemaError::Malformed);
        }
        let schema = Self { game, version, kinds, input };
        schema.validate()?;
        Ok(schema)
    }

    /// Hash of the canonical bytes.
    pub fn hash(&self) -> u64 {
        let digest = Sha256::digest(self.to_bytes());
        u64::from_le_bytes(digest[..8].try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Number of the kind with this name.
    pub fn kind(&self, name: &str) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.name == name)
    }
}

impl Kind {
    /// Number of the field with this name.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

fn limit(what: &'static str, got: usize, max: usize) -> Result<(), SchemaError> {
    if got > max { Err(SchemaError::TooMany { what, got, max }) } else { Ok(()) }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), SchemaError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !seen.insert(name) {
            return Err(SchemaError::Name(name.clone()));
        }
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn put_fields(out: &mut Vec<u8>, fields: &[Field]) {
    out.push(fields.len() as u8);
    for field in fields {
        put_text(out, &field.name);
        out.push(if field.owner_only { OWNER_ONLY } else { 0 });
        match field.codec {
            FieldCodec::Bool => out.push(0),
            FieldCodec::Unsigned { bits } => out.extend([1, bits]),
            FieldCodec::Signed { bits } => out.extend([2, bits]),
            FieldCodec::Range { min, max, step } => {
                out.push(3);
                for value in [min, max, step] {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
            FieldCodec::Angle { bits } => out.extend([4, bits]),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], SchemaError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(SchemaError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SchemaError> {
        self.take(N)?.try_into().map_err(|_| SchemaError::Malformed)
    }

    fn u8(&mut self) -> Result<u8, SchemaError> {
        Ok(self.array::<1>()?[0])
    }

    fn f32(&mut self) -> Result<f32, SchemaError> {
        self.array().map(f32::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, SchemaError> {
        let length = self.u8()?;
        let bytes = self.take(usize::from(length))?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| SchemaError::Malformed)
    }

    fn fields(&mut self) -> Result<Vec<Field>, SchemaError> {
        let mut fields = Vec::new();
        for _ in 0..self.u8()? {
            let name = self.text()?;
            let flags = self.u8()?;
            if flags & !OWNER_ONLY != 0 {
                return Err(SchemaError::Malformed);
            }
            let codec = match self.u8()? {
                0 => FieldCodec::Bool,
                1 => FieldCodec::Unsigned { bits: self.u8()? },
                2 => FieldCodec::Signed { bits: self.u8()? },
                3 => FieldCodec::Range { min: self.f32()?, max: self.f32()?, step: self.f32()? },
                4 => FieldCodec::Angle { bits: self.u8()? },
                _ => return Err(SchemaError::Malformed),
            };
            fields.push(Field { name, codec, owner_only: flags & OWNER_ONLY != 0 });
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Schema {
        Schema {
            game: "sample".into(),
            version: 3,
            kinds: vec![Kind {
                name: "player".into(),
                fields: vec![
                    Field::new("x", FieldCodec::Range { min: -32.0, max: 32.0, step: 1.0 / 256.0 }),
                    Field::new("aim", FieldCodec::Angle { bits: 12 }),
                    Field::owner_only("ammo", FieldCodec::Unsigned { bits: 6 }),
                ],
            }],
            input: vec![Field::new("fire", FieldCodec::Bool), Field::new("turn", FieldCodec::Signed { bits: 5 })],
        }
    }

    #[test]
    fn a_range_as_wide_as_floats_go_has_finite_values_only() {
        let codec = FieldCodec::Range { min: f32::MIN, max: f32::MAX, step: 1e35 };
        assert!(codec.is_valid());
        for raw in [0, 1, codec.raw_max() - 1, codec.raw_max()] {
            assert!(codec.dequantize(raw).is_finite(), "{raw}");
        }
    }

    #[test]
    fn canonical_bytes_and_hash_are_fixed() {
        let schema = sample();
        assert_eq!(Schema::from_bytes(&schema.to_bytes()).as_ref(), Ok(&schema));
        // Golden: a change here breaks every released client.
        assert_eq!(schema.hash(), GOLDEN_HASH, "the canonical bytes have changed");
        let mut other = schema.clone();
        other.kinds[0].fields[2].owner_only = false;
        assert_ne!(other.hash(), schema.hash());
    }

    const GOLDEN_HASH: u64 = 14_365_734_291_982_041_488;

    #[test]
    fn faulty_schemas_are_named() {
        let mut schema = sample();
        schema.input[1].codec = FieldCodec::Signed { bits: 33 };
        assert_eq!(schema.validate(), Err(SchemaError::Codec("turn".into())));
        schema.input[1] = schema.input[0].clone();
        assert_eq!(schema.validate(), Err(SchemaError::Name("fire".into())));
    }

    #[test]
    fn a_range_uses_the_bits_it_needs() {
        assert_eq!(FieldCodec::Range { min: 0.0, max: 1.0, step: 1.0 }.bits(), 1);
        assert_eq!(FieldCodec::Range { min: 0.0, max: 255.0, step: 1.0 }.bits(), 8);
        assert_eq!(FieldCodec::Range { min: 0.0, max: 256.0, step: 1.0 }.bits(), 9);
    }

    proptest! {
        #[test]
        fn a_quantized_value_is_within_half_a_step(value in -40.0f32..40.0) {
            let codec = FieldCodec::Range { min: -32.0, max: 32.0, step: 1.0 / 256.0 };
            let back = codec.dequantize(codec.quantize(value));
            prop_assert!((back - value.clamp(-32.0, 32.0)).abs() <= 0.5 / 256.0 + 1e-5);
        }

        #[test]
        fn every_raw_value_survives(raw in any::<u32>(), bits in 1u8..=32) {
            let small = bits.min(ANGLE_BITS_MAX);
            let small = [FieldCodec::Unsigned { bits: small }, FieldCodec::Signed { bits: small }, FieldCodec::Angle { bits: small }];
            for codec in small {
                let raw = raw & codec.raw_max();
                prop_assert_eq!(codec.quantize(codec.dequantize(raw)), raw);
            }
            for codec in [FieldCodec::Unsigned { bits }, FieldCodec::Signed { bits }] {
                let raw = raw & codec.raw_max();
                prop_assert_eq!(codec.quantize_int(codec.dequantize_int(raw)), raw);
            }
        }

        #[test]
        fn reading_hostile_bytes_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Schema::from_bytes(&bytes);
            let mut whole = MAGIC.to_vec();
            whole.push(FORMAT);
            whole.append(&mut bytes);
            if let Ok(schema) = Schema::from_bytes(&whole) {
                prop_assert_eq!(schema.to_bytes(), whole);
            }
        }
    }
}
