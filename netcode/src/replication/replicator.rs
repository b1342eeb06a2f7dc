//! The server's side: history of the world, and one snapshot per client and tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::schema::Schema;
use protocol::tick::Tick;

use super::entity::{ENTITIES_MAX, EntityId, SeatId};
use super::fields;
use super::peer::{Need, Peer, slot};
use super::plan::Plan;
use super::selection::{Candidate, Selection};
use super::snapshot::{AGE_BITS, HISTORY_TICKS, Head, Mention, SnapshotHeader, write_gap};
use super::state::State;
use super::view::View;
use super::world::World;
use crate::bits::BitWriter;

/// What became of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenSnapshot {
    /// The tick that it shows: the tag under which its delivery is reported.
    pub tick: Tick,
    /// Entities that it mentions.
    pub mentioned: usize,
    /// Entities that did not fit; they go first next time.
    pub deferred: usize,
}

/// A replica does not show what its server believes it to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("replica of {seat:?} differs from the server at tick {tick}, index {index}")]
pub struct Mismatch {
    /// The client.
    pub seat: SeatId,
    /// The snapshot.
    pub tick: Tick,
    /// The entity's index.
    pub index: u16,
}

/// The replication of one world to the clients of one room.
///
/// Per tick: [`record`](Self::record), then [`write_snapshot`](Self::write_snapshot) for each client. Nothing is
/// allocated in either once every buffer has reached its size.
#[derive(Debug)]
pub struct Replicator {
    plan: Plan,
    entities_max: usize,
    /// The newest recorded tick; 0: none.
    tick: u32,
    /// The worlds of the last 64 ticks, by tick modulo 64, with their ticks.
    frames: Vec<(u32, State)>,
    /// Per place: tick of the last change of what everyone sees, and of anything.
    changed_public: Vec<u32>,
    changed: Vec<u32>,
    peers: BTreeMap<SeatId, Peer>,
    selection: Selection,
    scratch: BitWriter,
    writer: BitWriter,
}

impl Replicator {
    /// A replicator for worlds of this schema with at most `entities_max` entities.
    pub fn new(schema: &Arc<Schema>, entities_max: u16) -> Self {
        let entities_max = usize::from(entities_max.min(ENTITIES_MAX));
        let plan = Plan::new(schema);
        let frames = (0..HISTORY_TICKS).map(|_| {
            let mut state = State::new(plan.stride);
            state.reserve(entities_max);
            (0, state)
        });
        Self {
            frames: frames.collect(),
            plan,
            entities_max,
            tick: 0,
            changed_public: vec![0; entities_max],
            changed: vec![0; entities_max],
            peers: BTreeMap::new(),
            selection: Selection::new(entities_max),
            scratch: BitWriter::new(),
            writer: BitWriter::new(),
        }
    }

    /// Records the world after the step of `tick`.
    ///
    /// # Panics
    /// If `tick` is not after the tick recorded before, or the world may hold more entities than this replicator.
    pub fn record(&mut self, tick: Tick, world: &World) {
        assert!(tick.0 > self.tick, "record: {tick:?} does not follow tick {}", self.tick);
        let state = world.state();
        assert!(state.places() <= self.entities_max, "record: the world is larger than the replicator");
        let (_, previous) = &self.frames[slot(self.tick)];
        for place in 0..state.places() {
            if !state.is_used(place) {
                continue;
            }
            let is_same = previous.is_used(place) && previous.generation(place) == state.generation(place);
            if is_same && previous.row(place) == state.row(place) {
                continue;
            }
            self.changed[place] = tick.0;
            let plan = &self.plan.kinds[state.kind(place)];
            if !is_same || !fields::equal(plan, false, previous.row(place), state.row(place)) {
                self.changed_public[place] = tick.0;
            }
        }
        let (frame_tick, frame) = &mut self.frames[slot(tick.0)];
        *frame_tick = tick.0;
        frame.copy_from(state);
        self.tick = tick.0;
    }

    /// Adds a client that knows nothing; one that is already there starts again.
    pub fn add_client(&mut self, seat: SeatId) {
        self.peers.insert(seat, Peer::new(self.entities_max));
    }

    /// Forgets a client.
    pub fn remove_client(&mut self, seat: SeatId) {
        self.peers.remove(&seat);
    }

    /// The client has received the snapshot of `tick`. Reports that are too old, unknown or repeated change nothing.
    pub fn delivered(&mut self, seat: SeatId, tick: Tick) {
        if let (Some(peer), Some(frame)) = (self.peers.get_mut(&seat), frame(&self.frames, tick.0)) {
            peer.delivered(tick.0, frame);
        }
    }

    /// Writes the snapshot of the newest recorded tick for one client into `out`, at most `bytes_max` bytes.
    ///
    /// `relevant` is asked for each living entity that the client does not own; its own are always relevant. What does
    /// not fit is deferred, least recently mentioned first next time, so that a world larger than one packet arrives
    /// too. `bytes_max` must hold the header (15 bytes) and the largest entity, else that entity never arrives.
    /// Returns `None`, with `out` empty, for an unknown seat or before the first record.
    pub fn write_snapshot(
        &mut self,
        seat: SeatId,
        header: SnapshotHeader,
        relevant: &mut dyn FnMut(EntityId) -> bool,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Option<WrittenSnapshot> {
        out.clear();
        let peer = self.peers.get_mut(&seat)?;
        let frame = frame(&self.frames, self.tick)?;
        let age = if peer.acked == 0 { HISTORY_TICKS } else { self.tick - peer.acked };
        let age = if age < HISTORY_TICKS { age } else { 0 };
        self.scratch.clear();
        self.selection.clear();
        peer.begin(self.tick);
        let mut encoder = Encoder { plan: &self.plan, frames: &self.frames, frame, age, writer: &mut self.scratch };
        for place in 0..frame.places() {
            let own = frame.is_used(place) && frame.owner(place) == Some(seat);
            let visible = own || frame.is_used(place) && relevant(frame.id(place));
            let changed = if own { self.changed[place] } else { self.changed_public[place] };
            let entity = visible.then(|| frame.generation(place));
            let start = encoder.writer.bits();
            let need = peer.places[place].need(entity, changed, self.tick);
            if !encoder.write(place, own, need, self.tick) {
                peer.cover(self.tick, place);
                continue;
            }
            let bits = encoder.writer.bits() - start;
            let mentioned = peer.places[place].mentioned;
            self.selection.candidates.push(Candidate { place: place as u16, start, bits, mentioned, own });
        }
        let mentioned = self.selection.choose(Head::body_bits_max(bytes_max));
        let head = Head { tick: self.tick, input: header, age, count: mentioned as u32 };
        self.emit(seat, head, out);
        let deferred = self.selection.candidates.len() - mentioned;
        Some(WrittenSnapshot { tick: Tick(self.tick), mentioned, deferred })
    }

    /// Compares a client's view with what this server believes that the view's snapshot left there.
    ///
    /// For tests and simulations. `Ok(false)`: the snapshot is no longer remembered.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn verify(&self, seat: SeatId, view: &View) -> Result<bool, Mismatch> {
        let tick = view.tick();
        let sent = self.peers.get(&seat).and_then(|peer| peer.sent(tick.0));
        let (Some(sent), Some(frame)) = (sent, frame(&self.frames, tick.0)) else { return Ok(false) };
        for place in sent.covered.iter() {
            let is_right = if sent.present.contains(place) {
                let mine = frame.owner(place) == Some(seat);
                view.state.find(frame.id(place)).is_some()
                    && view.state.kind(place) == frame.kind(place)
                    && view.state.owner(place) == frame.owner(place)
                    && view.mine[place] == mine
                    && fields::equal(&self.plan.kinds[frame.kind(place)], mine, view.state.row(place), frame.row(place))
            } else {
                !view.state.is_used(place)
            };
            if !is_right {
                return Err(Mismatch { seat, tick, index: place as u16 });
            }
        }
        Ok(true)
    }

    /// Writes header and chosen candidates into `out` and notes what the client now gets.
    fn emit(&mut self, seat: SeatId, head: Head, out: &mut Vec<u8>) {
        let peer = self.peers.get_mut(&seat).expect("the caller has found the seat");
        let scratch = self.scratch.finish();
        self.writer.clear();
        head.write(&mut self.writer);
        let mut before = None;
        for candidate in &self.selection.candidates {
            let place = usize::from(candidate.place);
            if !self.selection.is_chosen(place) {
                continue;
            }
            write_gap(&mut self.writer, before, place);
            self.writer.write_from(scratch, candidate.start, candidate.bits);
            peer.places[place].mentioned = head.tick;
            peer.cover(head.tick, place);
            before = Some(place);
        }
        out.extend_from_slice(self.writer.finish());
    }
}

/// The world of `tick`, while it is remembered.
fn frame(frames: &[(u32, State)], tick: u32) -> Option<&State> {
    let (frame_tick, state) = &frames[slot(tick)];
    (tick != 0 && *frame_tick == tick).then_some(state)
}

/// Writes what is said of single places.
struct Encoder<'a> {
    plan: &'a Plan,
    frames: &'a [(u32, State)],
    frame: &'a State,
    /// The age of most baselines.
    age: u32,
    writer: &'a mut BitWriter,
}

impl Encoder<'_> {
    /// Writes what is needed; false if that is nothing.
    fn write(&mut self, place: usize, own: bool, need: Need, tick: u32) -> bool {
        match need {
            Need::Nothing => false,
            Need::Removed => {
                Mention::Removed.write(self.writer);
                true
            }
            Need::Full => {
                self.write_full(place, own);
                true
            }
            Need::Delta { base, settled } => match frame(self.frames, base) {
                Some(old) => self.write_delta(place, own, old, tick - base, settled),
                None => {
                    self.write_full(place, own);
                    true
                }
            },
        }
    }

    fn write_full(&mut self, place: usize, own: bool) {
        Mention::Full.write(self.writer);
        self.writer.write_groups(u32::from(self.frame.generation(place)));
        let kind = self.frame.kind(place);
        self.writer.write(kind as u32, self.plan.kind_bits);
        let owner = self.frame.owner(place);
        self.writer.write_bool(owner.is_some());
        if let Some(seat) = owner {
            self.writer.write(u32::from(seat.0), 8);
            self.writer.write_bool(own);
        }
        fields::write_full(self.writer, &self.plan.kinds[kind], own, self.frame.row(place));
    }

    fn write_delta(&mut self, place: usize, own: bool, old: &State, age: u32, settled: bool) -> bool {
        let plan = &self.plan.kinds[self.frame.kind(place)];
        let (old, new) = (old.row(place), self.frame.row(place));
        if settled && fields::equal(plan, own, old, new) {
            return false;
        }
        Mention::Delta.write(self.writer);
        self.writer.write_bool(age != self.age);
        if age != self.age {
            self.writer.write(age, AGE_BITS);
        }
        fields::write_delta(self.writer, plan, own, old, new);
        true
    }
}
