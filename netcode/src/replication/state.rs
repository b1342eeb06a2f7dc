//! The quantized values of all entities at one moment: a column per attribute, raw values row by row.

use super::entity::{EntityId, SeatId};

/// The kind of a free place.
const FREE: u8 = u8::MAX;

/// What [`World`](super::World), the server's history and the client's views have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Length of a row: the fields of the kind that has most.
    stride: usize,
    kinds: Vec<u8>,
    generations: Vec<u16>,
    owners: Vec<Option<SeatId>>,
    raw: Vec<u32>,
}

impl State {
    /// No entity; grows by [`reach`](Self::reach).
    pub(super) fn new(stride: usize) -> Self {
        Self { stride, kinds: Vec::new(), generations: Vec::new(), owners: Vec::new(), raw: Vec::new() }
    }

    /// Makes room for `places` places without changing anything.
    pub(super) fn reserve(&mut self, places: usize) {
        self.kinds.reserve(places);
        self.generations.reserve(places);
        self.owners.reserve(places);
        self.raw.reserve(places * self.stride);
    }

    /// Number of places, free ones included.
    pub(super) fn places(&self) -> usize {
        self.kinds.len()
    }

    /// Makes at least `places` places.
    pub(super) fn reach(&mut self, places: usize) {
        if places > self.kinds.len() {
            self.kinds.resize(places, FREE);
            self.generations.resize(places, 0);
            self.owners.resize(places, None);
            self.raw.resize(places * self.stride, 0);
        }
    }

    /// Becomes a copy of `other`; allocates only when `other` has more places than this ever had.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.stride = other.stride;
        self.kinds.clone_from(&other.kinds);
        self.generations.clone_from(&other.generations);
        self.owners.clone_from(&other.owners);
        self.raw.clone_from(&other.raw);
    }

    /// Copies one place from `other`, which may have fewer places.
    pub(super) fn copy_place(&mut self, other: &Self, place: usize) {
        self.reach(place + 1);
        if place >= other.places() {
            self.free(place);
            return;
        }
        self.kinds[place] = other.kinds[place];
        self.generations[place] = other.generations[place];
        self.owners[place] = other.owners[place];
        self.row_mut(place).copy_from_slice(other.row(place));
    }

    pub(super) fn occupy(&mut self, place: usize, kind: usize, generation: u16, owner: Option<SeatId>) {
        self.kinds[place] = kind as u8;
        self.generations[place] = generation;
        self.owners[place] = owner;
        self.row_mut(place).fill(0);
    }

    /// Frees the place; its generation stays.
    pub(super) fn free(&mut self, place: usize) {
        self.kinds[place] = FREE;
        self.owners[place] = None;
        self.row_mut(place).fill(0);
    }

    pub(super) fn is_used(&self, place: usize) -> bool {
        self.kinds.get(place).is_some_and(|&kind| kind != FREE)
    }

    /// The kind of the entity at a used place.
    pub(super) fn kind(&self, place: usize) -> usize {
        usize::from(self.kinds[place])
    }

    pub(super) fn generation(&self, place: usize) -> u16 {
        self.generations[place]
    }

    pub(super) fn owner(&self, place: usize) -> Option<SeatId> {
        self.owners[place]
    }

    pub(super) fn row(&self, place: usize) -> &[u32] {
        &self.raw[place * self.stride..][..self.stride]
    }

    pub(super) fn row_mut(&mut self, place: usize) -> &mut [u32] {
        &mut self.raw[place * self.stride..][..self.stride]
    }

    /// The place of a living entity.
    pub(super) fn find(&self, id: EntityId) -> Option<usize> {
        let place = usize::from(id.index());
        (self.is_used(place) && self.generations[place] == id.generation()).then_some(place)
    }

    /// The entity at a place that exists.
    pub(super) fn id(&self, place: usize) -> EntityId {
        EntityId::new(place as u16, self.generations[place])
    }

    /// Living entities by ascending index.
    pub(super) fn entities(&self) -> impl Iterator<Item = EntityId> + '_ {
        (0..self.places()).filter(|&place| self.is_used(place)).map(|place| self.id(place))
    }

    /// Everything that tells two states apart, as bytes, in pieces of bounded size.
    pub(super) fn bytes(&self, mut take: impl FnMut(&[u8])) {
        let mut buffer = [0u8; 1024];
        for place in 0..self.places() {
            let owner = self.owners[place].map_or(u16::MAX, |seat| u16::from(seat.0));
            let head = [u16::from(self.kinds[place]), self.generations[place], owner];
            let mut end = 0;
            for value in head {
                buffer[end..end + 2].copy_from_slice(&value.to_le_bytes());
                end += 2;
            }
            for value in if self.is_used(place) { self.row(place) } else { &[] } {
                buffer[end..end + 4].copy_from_slice(&value.to_le_bytes());
                end += 4;
            }
            take(&buffer[..end]);
        }
    }
}
