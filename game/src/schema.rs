//! Describing a game's data in a few lines.
//!
//! ```
//! use game::schema::{SchemaBuilder, angle, flag, for_owner, range, signed, unsigned};
//!
//! let schema = SchemaBuilder::new("tag", 1)
//!     .kind("player", [range("x", -20.0, 20.0, 0.01), range("y", -20.0, 20.0, 0.01), for_owner(unsigned("breath", 7))])
//!     .kind("ball", [range("x", -20.0, 20.0, 0.01), angle("heading", 10)])
//!     .input([signed("move_x", 2), signed("move_y", 2), flag("dash")])
//!     .build();
//! assert!(schema.validate().is_ok());
//! assert_eq!(schema.kind("ball"), Some(1));
//! ```

pub use protocol::schema::{Field, FieldCodec, Kind, Schema, SchemaError};

/// Builds a [`Schema`].
#[derive(Debug, Clone)]
pub struct SchemaBuilder(Schema);

impl SchemaBuilder {
    /// A schema without kinds. `version` is the game's own, for people.
    pub fn new(game: &str, version: u32) -> Self {
        Self(Schema { game: game.to_owned(), version, kinds: Vec::new(), input: Vec::new() })
    }

    /// Adds a kind of entity; its number is its place. Put the fields that change most often first: a difference then
    /// ends early and costs fewer bits.
    #[must_use]
    pub fn kind(mut self, name: &str, fields: impl Into<Vec<Field>>) -> Self {
        self.0.kinds.push(Kind { name: name.to_owned(), fields: fields.into() });
        self
    }

    /// Sets the fields of one player's input for one tick.
    #[must_use]
    pub fn input(mut self, fields: impl Into<Vec<Field>>) -> Self {
        self.0.input = fields.into();
        self
    }

    /// The schema. A room refuses a faulty one when it starts ([`Schema::validate`]).
    pub fn build(self) -> Schema {
        self.0
    }
}

/// False or true.
pub fn flag(name: &str) -> Field {
    Field::new(name, FieldCodec::Bool)
}

/// 0 to 2^bits − 1.
pub fn unsigned(name: &str, bits: u8) -> Field {
    Field::new(name, FieldCodec::Unsigned { bits })
}

/// −2^(bits−1) to 2^(bits−1) − 1.
pub fn signed(name: &str, bits: u8) -> Field {
    Field::new(name, FieldCodec::Signed { bits })
}

/// Steps of `step` from `min` to `max`.
pub fn range(name: &str, min: f32, max: f32, step: f32) -> Field {
    Field::new(name, FieldCodec::Range { min, max, step })
}

/// An angle in radians, the circle in 2^bits steps.
pub fn angle(name: &str, bits: u8) -> Field {
    Field::new(name, FieldCodec::Angle { bits })
}

/// The same field, but only the player who owns the entity receives it.
#[must_use]
pub fn for_owner(mut field: Field) -> Field {
    field.owner_only = true;
    field
}
