//! The client's side: snapshots become views.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::schema::Schema;
use protocol::tick::Tick;

use super::entity::{ENTITIES_MAX, SeatId};
use super::fields::{read_delta, read_full};
use super::plan::Plan;
pub use super::snapshot::SnapshotError;
use super::snapshot::{AGE_BITS, HISTORY_TICKS, Head, Mention, read_gap};
use super::usual::UsualFields;
use super::view::View;
use crate::bits::BitReader;

/// Views that are kept. The server counts a snapshot as known when its ack is at most 63 ticks old, and that snapshot
/// may refer to a baseline 63 ticks older: so the newest 127 can be asked for.
const VIEWS_MAX: usize = 2 * HISTORY_TICKS as usize;

/// What an applied snapshot said beside the entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The tick that the snapshot shows.
    pub tick: Tick,
    /// Tick of the newest input of this client that the server has used.
    pub last_input: Tick,
    /// How long before its step that input arrived, in milliseconds; negative: too late.
    pub margin_ms: i16,
    /// Number of entities that the snapshot mentioned.
    pub mentioned: usize,
}

/// A client's copy of what it may see of the world. One per session: what it holds is what that session acked.
///
/// Every snapshot that the transport delivered must be applied, in the order of arrival, older ones than the newest
/// too: the server takes delivered snapshots as baselines.
#[derive(Debug, Clone)]
pub struct Replica {
    plan: Plan,
    /// By ascending tick, never empty; begins with the empty view of tick 0.
    views: VecDeque<View>,
    /// What the snapshot that is being read says about fields that change together.
    usual: UsualFields,
    /// A view whose memory is used next.
    spare: View,
}

impl Replica {
    /// A replica that has received nothing.
    pub fn new(schema: Arc<Schema>) -> Self {
        let plan = Plan::new(&schema);
        let empty = View::new(schema, plan.stride);
        Self { spare: empty.clone(), usual: UsualFields::new(&plan), views: VecDeque::from([empty]), plan }
    }

    /// Applies one snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`]; the replica is unchanged then. Never panics.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<SnapshotInfo, SnapshotError> {
        let mut reader = BitReader::new(bytes);
        let head = Head::read(&mut reader)?;
        let tick = Tick(head.tick);
        if self.newest().tick().since(tick) >= i64::from(HISTORY_TICKS) {
            return Err(SnapshotError::TooOld);
        }
        let position = self.views.partition_point(|view| view.tick < tick);
        if self.views.get(position).is_some_and(|view| view.tick == tick) {
            return Err(SnapshotError::Duplicate);
        }
        let before = position.checked_sub(1).ok_or(SnapshotError::TooOld)?;
        self.spare.copy_from(&self.views[before]);
        self.spare.tick = tick;
        self.usual.clear();
        if head.has_usual_fields {
            self.usual.read(&mut reader)?;
        }
        self.read_entities(&head, &mut reader)?;
        reader.finish()?;
        self.insert(position);
        Ok(SnapshotInfo {
            tick,
            last_input: head.input.last_input,
            margin_ms: head.input.margin_ms,
            mentioned: head.count as usize,
        })
    }

    /// The view with the highest tick; an empty one of tick 0 at first.
    pub fn newest(&self) -> &View {
        self.views.back().expect("there is always a view")
    }

    /// The view of exactly this tick, if its snapshot was received and it is among the last 64 ticks at least.
    pub fn at(&self, tick: Tick) -> Option<&View> {
        self.views.binary_search_by_key(&tick, |view| view.tick).ok().map(|position| &self.views[position])
    }

    /// Views by ascending tick: those of the last 64 ticks at least, as far as they were received.
    pub fn views(&self) -> impl DoubleEndedIterator<Item = &View> {
        self.views.iter()
    }

    /// Reads the entities into the spare view.
    fn read_entities(&mut self, head: &Head, reader: &mut BitReader<'_>) -> Result<(), SnapshotError> {
        let mut before = None;
        for _ in 0..head.count {
            let place = read_gap(reader, before, usize::from(ENTITIES_MAX))?;
            match Mention::read(reader)? {
                Mention::Delta => self.read_delta(head, place, reader)?,
                Mention::Full => self.read_full(place, reader)?,
                Mention::Removed => {
                    self.spare.reach(place + 1);
                    self.spare.state.free(place);
                    self.spare.mine[place] = false;
                }
            }
            self.spare.as_of[place] = head.tick;
            before = Some(place);
        }
        Ok(())
    }

    fn read_full(&mut self, place: usize, reader: &mut BitReader<'_>) -> Result<(), SnapshotError> {
        let generation = u16::try_from(reader.read_groups()?).map_err(|_| SnapshotError::Malformed)?;
        let kind = reader.read(self.plan.kind_bits)? as usize;
        let plan = self.plan.kinds.get(kind).ok_or(SnapshotError::Malformed)?;
        let owner = if reader.read_bool()? { Some(SeatId(reader.read(8)? as u8)) } else { None };
        let mine = owner.is_some() && reader.read_bool()?;
        self.spare.reach(place + 1);
        self.spare.state.occupy(place, kind, generation, owner);
        self.spare.mine[place] = mine;
        read_full(reader, plan, mine, self.spare.state.row_mut(place))
    }

    fn read_delta(&mut self, head: &Head, place: usize, reader: &mut BitReader<'_>) -> Result<(), SnapshotError> {
        let age = if reader.read_bool()? { reader.read(AGE_BITS)? } else { head.age };
        let base = head.tick.checked_sub(age).ok_or(SnapshotError::Malformed)?;
        let base = self.views.binary_search_by_key(&Tick(base), |view| view.tick);
        let base = &self.views[base.map_err(|_| SnapshotError::MissingBaseline)?];
        if !base.state.is_used(place) {
            return Err(SnapshotError::MissingBaseline);
        }
        self.spare.copy_place(base, place);
        let (kind, mine) = (base.state.kind(place), base.mine[place]);
        let usual = self.usual.of(kind, mine);
        read_delta(reader, &self.plan.kinds[kind], mine, usual, self.spare.state.row_mut(place))
    }

    /// Makes the spare view one of the views; the oldest becomes the next spare.
    fn insert(&mut self, mut position: usize) {
        let next = if self.views.len() < VIEWS_MAX {
            self.spare.clone()
        } else {
            position -= 1;
            self.views.pop_front().expect("there is always a view")
        };
        let view = std::mem::replace(&mut self.spare, next);
        self.views.insert(position, view);
        if position + 1 == self.views.len() {
            return;
        }
        // A late snapshot: newer views that were made without it take what it alone said.
        let (older, newer) = self.views.make_contiguous().split_at_mut(position + 1);
        let late = &older[position];
        for place in (0..late.as_of.len()).filter(|&place| late.as_of[place] == late.tick.0) {
            for view in newer.iter_mut() {
                if view.as_of.get(place).is_none_or(|&as_of| as_of < late.tick.0) {
                    view.copy_place(late, place);
                }
            }
        }
    }
}
