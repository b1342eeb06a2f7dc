//! A schema prepared for the codec: what every field costs and which fields a client sees.

use protocol::schema::{FieldCodec, Schema};

/// Fields of at most this many bits are sent whole when they change: classes would cost more than they save.
const WHOLE_BITS_MAX: u32 = 4;

/// How one field is written.
#[derive(Debug, Clone)]
pub(super) struct FieldPlan {
    pub(super) bits: u32,
    pub(super) raw_max: u32,
    /// Differences go the short way around the circle.
    pub(super) wraps: bool,
    /// Bits of a small and of a medium difference; `None`: no difference classes.
    pub(super) classes: Option<(u32, u32)>,
}

/// How one kind's entities are written.
#[derive(Debug, Clone)]
pub(super) struct KindPlan {
    pub(super) fields: Vec<FieldPlan>,
    /// Fields that everyone sees, in order.
    pub(super) public: Vec<u8>,
    /// Fields that the owner sees: all, in order.
    pub(super) all: Vec<u8>,
}

impl KindPlan {
    /// The fields that a client sees of its own (`mine`) or of another's entity.
    pub(super) fn visible(&self, mine: bool) -> &[u8] {
        if mine { &self.all } else { &self.public }
    }
}

/// How a whole world is written.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kinds: Vec<KindPlan>,
    /// Bits of a kind's number.
    pub(super) kind_bits: u32,
    /// Most fields of a kind.
    pub(super) stride: usize,
}

impl Plan {
    pub(super) fn new(schema: &Schema) -> Self {
        let kinds: Vec<KindPlan> = schema
            .kinds
            .iter()
            .map(|kind| KindPlan {
                fields: kind.fields.iter().map(|field| FieldPlan::new(field.codec)).collect(),
                public: (0u8..)
                    .zip(&kind.fields)
                    .filter(|(_, field)| !field.owner_only)
                    .map(|(place, _)| place)
                    .collect(),
                all: (0u8..).zip(&kind.fields).map(|(place, _)| place).collect(),
            })
            .collect();
        let stride = kinds.iter().map(|kind| kind.fields.len()).max().unwrap_or(0);
        Self { kind_bits: count_bits(kinds.len().saturating_sub(1)), stride, kinds }
    }
}

impl FieldPlan {
    fn new(codec: FieldCodec) -> Self {
        let bits = codec.bits();
        // Three and five eighths of the width, rounded up: with 15 bits of position at 2 mm, a walk (some
        // centimetres per tick) is small and 100 ms of running is medium.
        let classes = (bits > WHOLE_BITS_MAX).then(|| ((bits * 3).div_ceil(8), (bits * 5).div_ceil(8)));
        Self { bits, raw_max: codec.raw_max(), wraps: matches!(codec, FieldCodec::Angle { .. }), classes }
    }
}

/// Bits that tell the numbers 0 to `largest` apart.
pub(super) fn count_bits(largest: usize) -> u32 {
    usize::BITS - largest.leading_zeros()
}
