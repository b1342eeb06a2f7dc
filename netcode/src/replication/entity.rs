//! Names of entities and of places in a match.

use std::fmt;

/// Most entities of one world; indexes are below it.
pub const ENTITIES_MAX: u16 = 16_384;

/// Names one entity of one world for as long as it lives. Its index is reused after it dies, with another generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    index: u16,
    generation: u16,
}

impl EntityId {
    /// The entity with this index and generation.
    pub fn new(index: u16, generation: u16) -> Self {
        Self { index, generation }
    }

    /// Place in the world, below [`ENTITIES_MAX`].
    pub fn index(self) -> u16 {
        self.index
    }

    /// How often the place was used before, modulo 2^16.
    pub fn generation(self) -> u16 {
        self.generation
    }

    /// Index in the low, generation in the high 16 bits: for fields of 32 bits and for messages that name an entity.
    pub fn to_bits(self) -> u32 {
        u32::from(self.index) | u32::from(self.generation) << 16
    }

    /// The entity that [`to_bits`](Self::to_bits) came from.
    pub fn from_bits(bits: u32) -> Self {
        Self { index: bits as u16, generation: (bits >> 16) as u16 }
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entity {}.{}", self.index, self.generation)
    }
}

/// Place of a player in its match: 0, 1, 2, … in the order of the roster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(pub u8);

impl fmt::Debug for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.0)
    }
}

impl fmt::Display for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
