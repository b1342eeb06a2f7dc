//! The server's side: history of the world, and one snapshot per client and tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::schema::Schema;
use protocol::tick::Tick;

use super::client_snapshot::ClientSnapshot;
use super::contents::Contents;
use super::entity::{ENTITIES_MAX, EntityId, SeatId};
use super::fields;
use super::history::History;
use super::peer::Peer;
use super::plan::Plan;
use super::selection::Selection;
use super::snapshot::{Head, SnapshotHeader};
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
    /// Indexes left for later because the packet was full, whether or not anything is new there; they go first next
    /// time. 0: the snapshot says everything.
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
    history: History,
    peers: BTreeMap<SeatId, Peer>,
    contents: Contents,
    selection: Selection,
    writer: BitWriter,
}

impl Replicator {
    /// A replicator for worlds of this schema with at most `entities_max` entities.
    pub fn new(schema: &Arc<Schema>, entities_max: u16) -> Self {
        let entities_max = usize::from(entities_max.min(ENTITIES_MAX));
        let plan = Plan::new(schema);
        Self {
            history: History::new(plan.stride, entities_max),
            entities_max,
            peers: BTreeMap::new(),
            contents: Contents::new(&plan, entities_max),
            selection: Selection::new(entities_max),
            writer: BitWriter::new(),
            plan,
        }
    }

    /// Records the world after the step of `tick`.
    ///
    /// # Panics
    /// If `tick` is not after the tick recorded before, or the world may hold more entities than this replicator.
    pub fn record(&mut self, tick: Tick, world: &World) {
        let newest = self.history.newest();
        assert!(tick.0 > newest, "record: {tick:?} does not follow tick {newest}");
        let state = world.state();
        assert!(state.places() <= self.entities_max, "record: the world is larger than the replicator");
        self.history.record(&self.plan, tick.0, state);
        self.contents.clear();
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
        if let (Some(peer), Some(frame)) = (self.peers.get_mut(&seat), self.history.frame(tick.0)) {
            peer.delivered(tick.0, frame);
        }
    }

    /// Writes the snapshot of the newest recorded tick for one client into `out`, at most `bytes_max` bytes.
    ///
    /// `relevant` is asked for living entities that the client does not own, each at most once, until the packet is
    /// full; its own are always relevant. What does not fit is deferred, least recently mentioned first next time, so
    /// that a world larger than one packet arrives too. `bytes_max` must hold the header (15 bytes) and the largest
    /// entity, else that entity never arrives. Returns `None`, with `out` empty, for an unknown seat or before the
    /// first record.
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
        let (tick, frame) = (self.history.newest(), self.history.frame(self.history.newest())?);
        let (plan, history, contents, selection) = (&self.plan, &self.history, &mut self.contents, &mut self.selection);
        let mut snapshot = ClientSnapshot::begin(seat, plan, history, frame, peer, contents, selection);
        let bits_max = Head::body_bits_max(bytes_max).saturating_sub(snapshot.usual_bits_max());
        snapshot.choose_own(bits_max / 2);
        let deferred = snapshot.choose(relevant, bits_max);
        let (mentioned, age) = (snapshot.mentioned(), snapshot.common_age());
        self.writer.clear();
        let has_usual_fields = snapshot.has_usual_fields();
        Head { tick, input: header, age, count: mentioned as u32, has_usual_fields }.write(&mut self.writer);
        snapshot.write(&mut self.writer);
        out.extend_from_slice(self.writer.finish());
        Some(WrittenSnapshot { tick: Tick(tick), mentioned, deferred })
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
        let (Some(sent), Some(frame)) = (sent, self.history.frame(tick.0)) else { return Ok(false) };
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
}
