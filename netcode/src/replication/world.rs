//! What a game changes: entities with quantized fields.

use std::sync::Arc;

use protocol::schema::{FieldCodec, Schema};
use xxhash_rust::xxh3::Xxh3;

use super::entity::{ENTITIES_MAX, EntityId, SeatId};
use super::place_set::PlaceSet;
use super::state::State;

/// The world holds as many entities as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the world is full: it holds its {entities_max} entities; raise entities_max or despawn some")]
pub struct WorldFull {
    /// Most entities of this world.
    pub entities_max: u16,
}

/// All entities of one match. Values are quantized as they are set, so server and clients compute with the same.
///
/// Deterministic: the same calls give the same ids, values and [`hash`](Self::hash).
#[derive(Debug, Clone)]
pub struct World {
    schema: Arc<Schema>,
    entities_max: u16,
    state: State,
    /// The lowest free place is taken, so that indexes stay small and gaps between them cheap.
    used: PlaceSet,
    living: usize,
}

impl World {
    /// An empty world.
    ///
    /// `schema` must be valid ([`Schema::validate`]); `entities_max` is limited to [`ENTITIES_MAX`].
    pub fn new(schema: Arc<Schema>, entities_max: u16) -> Self {
        let entities_max = entities_max.min(ENTITIES_MAX);
        let stride = schema.kinds.iter().map(|kind| kind.fields.len()).max().unwrap_or(0);
        let mut state = State::new(stride);
        state.reserve(usize::from(entities_max));
        Self { schema, entities_max, state, used: PlaceSet::new(usize::from(entities_max)), living: 0 }
    }

    /// The schema that the world was made with.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Most entities.
    pub fn entities_max(&self) -> u16 {
        self.entities_max
    }

    /// Adds an entity at the lowest free index. Its fields have the value nearest to 0.
    ///
    /// # Errors
    /// [`WorldFull`] when `entities_max` entities live.
    ///
    /// # Panics
    /// If the schema has no such kind.
    pub fn spawn(&mut self, kind: usize, owner: Option<SeatId>) -> Result<EntityId, WorldFull> {
        assert!(kind < self.schema.kinds.len(), "spawn: the schema has no kind {kind}");
        let place = self.used.lowest_missing();
        if place >= usize::from(self.entities_max) {
            return Err(WorldFull { entities_max: self.entities_max });
        }
        self.used.insert(place);
        self.living += 1;
        let is_new = place >= self.state.places();
        self.state.reach(place + 1);
        let generation = if is_new { 0 } else { self.state.generation(place).wrapping_add(1) };
        self.state.occupy(place, kind, generation, owner);
        for (field, raw) in self.schema.kinds[kind].fields.iter().zip(self.state.row_mut(place)) {
            *raw = field.codec.quantize(0.0);
        }
        Ok(self.state.id(place))
    }

    /// Removes an entity; false if it did not live.
    pub fn despawn(&mut self, id: EntityId) -> bool {
        let Some(place) = self.state.find(id) else { return false };
        self.state.free(place);
        self.used.remove(place);
        self.living -= 1;
        true
    }

    /// Whether the entity lives.
    pub fn contains(&self, id: EntityId) -> bool {
        self.state.find(id).is_some()
    }

    /// Number of living entities.
    pub fn len(&self) -> usize {
        self.living
    }

    /// Whether no entity lives.
    pub fn is_empty(&self) -> bool {
        self.living == 0
    }

    /// Living entities by ascending index.
    pub fn entities(&self) -> impl Iterator<Item = EntityId> + '_ {
        self.state.entities()
    }

    /// The entity's kind, `None` if it does not live.
    pub fn kind(&self, id: EntityId) -> Option<usize> {
        self.state.find(id).map(|place| self.state.kind(place))
    }

    /// The seat that owns the entity, `None` if there is none or the entity does not live.
    pub fn owner(&self, id: EntityId) -> Option<SeatId> {
        self.state.find(id).and_then(|place| self.state.owner(place))
    }

    /// Sets a field to the nearest value that its codec has. An entity that does not live is left alone.
    ///
    /// # Panics
    /// If the entity's kind has no such field.
    pub fn set(&mut self, id: EntityId, field: usize, value: f32) {
        self.change(id, field, |codec| codec.quantize(value));
    }

    /// As [`set`](Self::set) with an integer, exact beyond the 24 bits of an `f32`.
    ///
    /// # Panics
    /// If the entity's kind has no such field.
    pub fn set_int(&mut self, id: EntityId, field: usize, value: i64) {
        self.change(id, field, |codec| codec.quantize_int(value));
    }

    /// A field's value; 0 if the entity does not live.
    ///
    /// # Panics
    /// If the entity's kind has no such field.
    pub fn get(&self, id: EntityId, field: usize) -> f32 {
        self.field(id, field).map_or(0.0, |(codec, raw)| codec.dequantize(raw))
    }

    /// A field's value as an integer; 0 if the entity does not live.
    ///
    /// # Panics
    /// If the entity's kind has no such field.
    pub fn get_int(&self, id: EntityId, field: usize) -> i64 {
        self.field(id, field).map_or(0, |(codec, raw)| codec.dequantize_int(raw))
    }

    /// A field's raw value, `None` if the entity does not live.
    ///
    /// # Panics
    /// If the entity's kind has no such field.
    pub fn raw(&self, id: EntityId, field: usize) -> Option<u32> {
        self.field(id, field).map(|(_, raw)| raw)
    }

    /// xxh3 of everything that the world holds: kinds, generations, owners and raw values of all places.
    pub fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        self.state.bytes(|bytes| hash.update(bytes));
        hash.digest()
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    fn change(&mut self, id: EntityId, field: usize, quantize: impl FnOnce(FieldCodec) -> u32) {
        let Some(place) = self.state.find(id) else { return };
        let codec = self.schema.kinds[self.state.kind(place)].fields[field].codec;
        self.state.row_mut(place)[field] = quantize(codec);
    }

    fn field(&self, id: EntityId, field: usize) -> Option<(FieldCodec, u32)> {
        let place = self.state.find(id)?;
        let codec = self.schema.kinds[self.state.kind(place)].fields[field].codec;
        Some((codec, self.state.row(place)[field]))
    }
}

#[cfg(test)]
mod tests {
    use protocol::schema::{Field, Kind};

    use super::*;

    fn schema() -> Arc<Schema> {
        let fields = vec![
            Field::new("x", FieldCodec::Range { min: -4.0, max: 4.0, step: 0.25 }),
            Field::new("id", FieldCodec::Unsigned { bits: 32 }),
        ];
        Arc::new(Schema {
            game: "test".into(),
            version: 1,
            kinds: vec![Kind { name: "thing".into(), fields }],
            input: vec![],
        })
    }

    #[test]
    fn an_index_is_reused_with_another_generation() {
        let mut world = World::new(schema(), 2);
        let first = world.spawn(0, None).unwrap();
        let second = world.spawn(0, Some(SeatId(3))).unwrap();
        assert_eq!(world.spawn(0, None), Err(WorldFull { entities_max: 2 }));
        assert!(world.despawn(first));
        assert!(!world.despawn(first));
        let third = world.spawn(0, None).unwrap();
        assert_eq!(third.index(), first.index());
        assert_ne!(third, first);
        assert!(!world.contains(first));
        world.set(first, 0, 1.0);
        assert_eq!((world.get(third, 0), world.get(first, 0)), (0.0, 0.0));
        assert_eq!(world.entities().collect::<Vec<_>>(), [third, second]);
        assert_eq!(world.owner(second), Some(SeatId(3)));
        assert_eq!(EntityId::from_bits(third.to_bits()), third);
    }

    #[test]
    fn values_are_quantized_as_they_are_set() {
        let mut world = World::new(schema(), 8);
        let id = world.spawn(0, None).unwrap();
        world.set(id, 0, 1.1);
        assert_eq!(world.get(id, 0), 1.0);
        world.set(id, 0, f32::NAN);
        assert_eq!(world.get(id, 0), -4.0);
        world.set_int(id, 1, 4_000_000_001);
        assert_eq!(world.get_int(id, 1), 4_000_000_001);
    }

    #[test]
    fn the_hash_tells_values_owners_and_generations_apart() {
        let mut world = World::new(schema(), 8);
        let id = world.spawn(0, None).unwrap();
        let mut hashes = vec![world.hash()];
        world.set(id, 0, 0.25);
        hashes.push(world.hash());
        world.set(id, 0, 0.0);
        assert_eq!(world.hash(), hashes[0]);
        world.despawn(id);
        hashes.push(world.hash());
        world.spawn(0, None).unwrap();
        hashes.push(world.hash());
        let mut other = World::new(schema(), 8);
        other.spawn(0, Some(SeatId(0))).unwrap();
        hashes.push(other.hash());
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 5);
    }
}
