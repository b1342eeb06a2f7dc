//! What a client knows about the world at one tick.

use std::sync::Arc;

use protocol::schema::Schema;
use protocol::tick::Tick;

use super::entity::{EntityId, SeatId};
use super::state::State;

/// The entities that a client knows, with the server's raw values, at one tick.
#[derive(Debug, Clone)]
pub struct View {
    pub(super) tick: Tick,
    schema: Arc<Schema>,
    pub(super) state: State,
    /// Per place: tick of the snapshot that last mentioned it.
    pub(super) as_of: Vec<u32>,
    /// Per place: whether the fields for the owner alone are here.
    pub(super) mine: Vec<bool>,
}

impl View {
    pub(super) fn new(schema: Arc<Schema>, stride: usize) -> Self {
        Self { tick: Tick::ZERO, schema, state: State::new(stride), as_of: Vec::new(), mine: Vec::new() }
    }

    /// The tick that this view shows; 0 before the first snapshot.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// Known entities by ascending index.
    pub fn entities(&self) -> impl Iterator<Item = EntityId> + '_ {
        self.state.entities()
    }

    /// Whether the client knows the entity at this tick.
    pub fn contains(&self, id: EntityId) -> bool {
        self.state.find(id).is_some()
    }

    /// The entity's kind, `None` if it is not known.
    pub fn kind(&self, id: EntityId) -> Option<usize> {
        self.state.find(id).map(|place| self.state.kind(place))
    }

    /// The seat that owns the entity, `None` if there is none or the entity is not known.
    pub fn owner(&self, id: EntityId) -> Option<SeatId> {
        self.state.find(id).and_then(|place| self.state.owner(place))
    }

    /// A field's value; 0 if the entity or the field is not known to this client.
    pub fn get(&self, id: EntityId, field: usize) -> f32 {
        self.field(id, field).map_or(0.0, |(place, kind)| {
            self.schema.kinds[kind].fields[field].codec.dequantize(self.state.row(place)[field])
        })
    }

    /// A field's value as an integer; 0 if the entity or the field is not known to this client.
    pub fn get_int(&self, id: EntityId, field: usize) -> i64 {
        self.field(id, field).map_or(0, |(place, kind)| {
            self.schema.kinds[kind].fields[field].codec.dequantize_int(self.state.row(place)[field])
        })
    }

    /// A field's raw value, `None` if the entity or the field is not known to this client.
    pub fn raw(&self, id: EntityId, field: usize) -> Option<u32> {
        self.field(id, field).map(|(place, _)| self.state.row(place)[field])
    }

    /// Place and kind of a known entity whose field this client receives.
    fn field(&self, id: EntityId, field: usize) -> Option<(usize, usize)> {
        let place = self.state.find(id)?;
        let kind = self.state.kind(place);
        let description = self.schema.kinds[kind].fields.get(field)?;
        (self.mine[place] || !description.owner_only).then_some((place, kind))
    }

    /// Makes at least `places` places.
    pub(super) fn reach(&mut self, places: usize) {
        self.state.reach(places);
        if places > self.as_of.len() {
            self.as_of.resize(places, 0);
            self.mine.resize(places, false);
        }
    }

    pub(super) fn copy_from(&mut self, other: &Self) {
        self.tick = other.tick;
        self.state.copy_from(&other.state);
        self.as_of.clone_from(&other.as_of);
        self.mine.clone_from(&other.mine);
    }

    /// Takes over what `other` says of one of its places.
    pub(super) fn copy_place(&mut self, other: &Self, place: usize) {
        self.reach(place + 1);
        self.state.copy_place(&other.state, place);
        self.as_of[place] = other.as_of[place];
        self.mine[place] = other.mine[place];
    }
}
