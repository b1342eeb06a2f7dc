//! What frames the entities of a snapshot: its header, the gaps between indexes, and what is said of an entity.

use protocol::tick::Tick;

use super::entity::ENTITIES_MAX;
use crate::bits::{BitReader, BitWriter, BitsError, groups_bits};

/// Ticks of history that the server keeps: a baseline is at most this many ticks minus one old.
pub const HISTORY_TICKS: u32 = 64;
/// Bits of a baseline's age.
pub(super) const AGE_BITS: u32 = 6;

/// Format of the snapshot; a decoder refuses any other.
const VERSION: u32 = 1;
const VERSION_BITS: u32 = 4;
/// The others are reserved for two-baseline prediction and priorities: they must be 0 in this version.
const FLAGS_BITS: u32 = 4;
/// Sets of fields that usually change together follow the header.
const FLAG_USUAL_FIELDS: u32 = 1;
/// Bits of the longest header.
const HEAD_BITS_MAX: usize = 4 + 4 + 32 + 6 + 33 + 16 + 20;

/// What a snapshot says about the client's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotHeader {
    /// Tick of the newest input of this client that a step has used; 0 before the first.
    pub last_input: Tick,
    /// How long before its step the newest input arrived, in milliseconds; negative: too late.
    pub margin_ms: i16,
}

/// Why a snapshot is not applied. The replica is unchanged then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bits are not a snapshot of this schema.
    #[error("malformed snapshot")]
    Malformed,
    /// Another version of the format.
    #[error("snapshot format {0} is not known: update the client")]
    Version(u32),
    /// A difference from a state that this replica does not have: it is not the one that acked it.
    #[error("snapshot needs a baseline that was never received: connect again with a new replica")]
    MissingBaseline,
    /// The same tick was applied before.
    #[error("snapshot was applied before")]
    Duplicate,
    /// The snapshot is too far behind the newest.
    #[error("snapshot is too old")]
    TooOld,
}

impl From<BitsError> for SnapshotError {
    fn from(_: BitsError) -> Self {
        Self::Malformed
    }
}

/// A snapshot's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) tick: u32,
    pub(super) input: SnapshotHeader,
    /// The age of most baselines in this snapshot, in ticks; 0 when it has no differences.
    pub(super) age: u32,
    /// Number of entities that follow.
    pub(super) count: u32,
    /// Whether sets of fields that usually change together follow the header.
    pub(super) has_usual_fields: bool,
}

impl Head {
    /// Bits that entities may take in a snapshot of `bytes_max`.
    pub(super) fn body_bits_max(bytes_max: usize) -> usize {
        (bytes_max * 8).saturating_sub(HEAD_BITS_MAX)
    }

    pub(super) fn write(self, writer: &mut BitWriter) {
        writer.write(VERSION, VERSION_BITS);
        writer.write(if self.has_usual_fields { FLAG_USUAL_FIELDS } else { 0 }, FLAGS_BITS);
        writer.write(self.tick, 32);
        writer.write(self.age, AGE_BITS);
        let is_current = self.input.last_input.0 == self.tick;
        writer.write_bool(is_current);
        if !is_current {
            writer.write(self.input.last_input.0, 32);
        }
        writer.write(u32::from(self.input.margin_ms as u16), 16);
        debug_assert!(groups_bits(self.count) <= 20, "ENTITIES_MAX needs four groups");
        writer.write_groups(self.count);
    }

    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, SnapshotError> {
        let version = reader.read(VERSION_BITS)?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let flags = reader.read(FLAGS_BITS)?;
        let tick = reader.read(32)?;
        let age = reader.read(AGE_BITS)?;
        let last_input = Tick(if reader.read_bool()? { tick } else { reader.read(32)? });
        let margin_ms = reader.read(16)? as u16 as i16;
        let count = reader.read_groups()?;
        // Tick 0 is the empty beginning, which no snapshot describes.
        if flags & !FLAG_USUAL_FIELDS != 0 || tick == 0 || count > u32::from(ENTITIES_MAX) {
            return Err(SnapshotError::Malformed);
        }
        let has_usual_fields = flags & FLAG_USUAL_FIELDS != 0;
        Ok(Self { tick, input: SnapshotHeader { last_input, margin_ms }, age, count, has_usual_fields })
    }
}

/// What is said of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mention {
    /// Differences from a baseline.
    Delta,
    /// Everything: new, replaced, or without a usable baseline.
    Full,
    /// The client no longer has it.
    Removed,
}

impl Mention {
    /// Its code and the code's length.
    pub(super) fn code(self) -> (u32, u32) {
        match self {
            Self::Delta => (0, 1),
            Self::Full => (0b01, 2),
            Self::Removed => (0b11, 2),
        }
    }

    pub(super) fn read(reader: &mut BitReader<'_>) -> Result<Self, SnapshotError> {
        Ok(if !reader.read_bool()? {
            Self::Delta
        } else if !reader.read_bool()? {
            Self::Full
        } else {
            Self::Removed
        })
    }
}

/// The codes of a gap: prefix, its length, bits of the value, smallest gap.
const GAPS: [(u32, u32, u32, u32); 4] = [(0, 1, 0, 1), (0b01, 2, 3, 2), (0b011, 3, 6, 10), (0b111, 3, 14, 74)];

fn gap_class(gap: usize) -> (u32, u32, u32, u32) {
    match gap {
        ..=1 => GAPS[0],
        2..=9 => GAPS[1],
        10..=73 => GAPS[2],
        _ => GAPS[3],
    }
}

/// Bits of the gap between `place` and the place mentioned before it.
pub(super) fn gap_bits(before: Option<usize>, place: usize) -> usize {
    let (_, prefix_bits, bits, _) = gap_class(gap(before, place));
    (prefix_bits + bits) as usize
}

/// The code of that gap and its length, at most 17 bits.
pub(super) fn gap_code(before: Option<usize>, place: usize) -> (u32, u32) {
    let gap = gap(before, place);
    let (prefix, prefix_bits, bits, smallest) = gap_class(gap);
    (prefix | (gap as u32 - smallest) << prefix_bits, prefix_bits + bits)
}

/// The next place, below `places_max`.
pub(super) fn read_gap(
    reader: &mut BitReader<'_>,
    before: Option<usize>,
    places_max: usize,
) -> Result<usize, SnapshotError> {
    let mut class = 0;
    while class < 3 && reader.read_bool()? {
        class += 1;
    }
    let (_, _, bits, smallest) = GAPS[class];
    let gap = (reader.read(bits)? + smallest) as usize;
    let place = before.map_or(gap - 1, |before| before + gap);
    if place < places_max { Ok(place) } else { Err(SnapshotError::Malformed) }
}

/// Distance to the place mentioned before; the first counts from one below 0.
fn gap(before: Option<usize>, place: usize) -> usize {
    before.map_or(place + 1, |before| place - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_survives_and_its_length_is_known() {
        for gap in (1..200).chain([1_000, 16_383]) {
            let mut writer = BitWriter::new();
            let (code, bits) = gap_code(Some(0), gap);
            writer.write(code, bits);
            assert_eq!(writer.bits(), gap_bits(Some(0), gap));
            let bytes = writer.finish().to_vec();
            assert_eq!(read_gap(&mut BitReader::new(&bytes), Some(0), 16_384), Ok(gap));
            assert_eq!(read_gap(&mut BitReader::new(&bytes), Some(0), gap), Err(SnapshotError::Malformed));
        }
    }

    #[test]
    fn no_header_is_longer_than_the_limit() {
        let input = SnapshotHeader { last_input: Tick(7), margin_ms: -3 };
        let head = Head { tick: u32::MAX, input, age: 63, count: u32::from(ENTITIES_MAX), has_usual_fields: true };
        let mut writer = BitWriter::new();
        head.write(&mut writer);
        assert_eq!(writer.bits(), HEAD_BITS_MAX);
        let bytes = writer.finish().to_vec();
        assert_eq!(Head::read(&mut BitReader::new(&bytes)), Ok(head));
    }
}
