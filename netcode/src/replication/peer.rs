//! What the server knows about one client's replica.
//!
//! For every place the replica holds one of: the state at the baseline (acked), or that of any later snapshot that
//! mentioned the place and is not acked yet. A place is left out of a snapshot only when all of these are equal to
//! what should be there now; so every snapshot that arrives is right for each place it covers, whatever was lost.

use super::place_set::PlaceSet;
use super::queue::Queue;
use super::snapshot::HISTORY_TICKS;
use super::state::State;

/// What must be said of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The client has it right.
    Nothing,
    /// The entity is new to the client, or its baseline is too old.
    Full,
    /// The client has this entity as it was at tick `base`. `settled`: nothing that differs may have been received
    /// since, so that nothing must be said if nothing differs now.
    Delta { base: u32, settled: bool },
    /// The client may have an entity where there should be none.
    Removed,
}

/// One place of one client. Ticks are 0 for "never"; before its first snapshot a client has nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Last acked tick whose snapshot covered this place, and what it showed there.
    base: u32,
    base_entity: Option<u16>,
    /// Generation of the entity that the client should see.
    entity: Option<u16>,
    /// When `entity` last changed.
    entity_since: u32,
    /// Last tick whose snapshot mentioned this place.
    mentioned: u32,
}

impl Place {
    /// What must be said when the client should see the entity of this generation, or none, whose row last changed at
    /// tick `changed`.
    pub(super) fn need(&mut self, entity: Option<u16>, changed: u32, tick: u32) -> Need {
        if entity != self.entity {
            self.entity = entity;
            self.entity_since = tick;
        }
        let changed = if entity.is_some() { changed.max(self.entity_since) } else { self.entity_since };
        if changed <= self.base {
            return Need::Nothing;
        }
        let settled = self.mentioned <= self.base;
        match entity {
            None if settled && self.base_entity.is_none() => Need::Nothing,
            None => Need::Removed,
            Some(_) if entity == self.base_entity && tick - self.base < HISTORY_TICKS => {
                Need::Delta { base: self.base, settled }
            }
            Some(_) => Need::Full,
        }
    }
}

/// What a snapshot covered: the places that are right in the replica once it has arrived.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    /// 0: none.
    pub(super) tick: u32,
    pub(super) covered: PlaceSet,
    /// Those of the covered places where the client should see an entity.
    pub(super) present: PlaceSet,
}

/// One client.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) places: Vec<Place>,
    /// Places in the order of their last mention.
    pub(super) queue: Queue,
    /// The last 64 ticks, by tick modulo 64.
    sent: Vec<Sent>,
    /// Newest acked tick.
    pub(super) acked: u32,
}

impl Peer {
    pub(super) fn new(entities_max: usize) -> Self {
        let sent = Sent { tick: 0, covered: PlaceSet::new(entities_max), present: PlaceSet::new(entities_max) };
        Self {
            places: vec![Place::default(); entities_max],
            queue: Queue::new(entities_max),
            sent: vec![sent; HISTORY_TICKS as usize],
            acked: 0,
        }
    }

    /// Starts the record of the snapshot of `tick`, whose world has so many places.
    pub(super) fn begin(&mut self, tick: u32, places: usize) {
        self.queue.reach(places);
        let sent = &mut self.sent[slot(tick)];
        sent.tick = tick;
        sent.covered.clear();
        sent.present.clear();
    }

    /// Notes that the snapshot of `tick` leaves the replica right about this place.
    pub(super) fn cover(&mut self, tick: u32, place: usize) {
        let sent = &mut self.sent[slot(tick)];
        sent.covered.insert(place);
        if self.places[place].entity.is_some() {
            sent.present.insert(place);
        }
    }

    /// Notes that the snapshot of `tick` mentions this place.
    pub(super) fn mention(&mut self, tick: u32, place: usize) {
        self.places[place].mentioned = tick;
        self.queue.move_to_end(place);
        self.cover(tick, place);
    }

    /// What the snapshot of `tick` covered, while it is remembered.
    pub(super) fn sent(&self, tick: u32) -> Option<&Sent> {
        let sent = &self.sent[slot(tick)];
        (tick != 0 && sent.tick == tick).then_some(sent)
    }

    /// The snapshot of `tick` has arrived; `frame` is the world of that tick.
    pub(super) fn delivered(&mut self, tick: u32, frame: &State) {
        let sent = &self.sent[slot(tick)];
        if sent.tick != tick {
            return;
        }
        for place in sent.covered.iter() {
            let known = &mut self.places[place];
            if known.base < tick {
                known.base = tick;
                known.base_entity = sent.present.contains(place).then(|| frame.generation(place));
            }
        }
        self.acked = self.acked.max(tick);
    }
}

/// Place of a tick in a ring of 64.
pub(super) fn slot(tick: u32) -> usize {
    (tick % HISTORY_TICKS) as usize
}
