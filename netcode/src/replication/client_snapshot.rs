//! One client's snapshot in the making: what must be said of each place, and what of it fits.
//!
//! Two stages choose, a third writes: the client's own entities, within half of the packet; then every place, the one
//! not mentioned for longest first, until the packet is full.

use super::contents::Contents;
use super::entity::{EntityId, SeatId};
use super::history::History;
use super::peer::{Need, Peer};
use super::plan::Plan;
use super::selection::{Pick, Selection};
use super::snapshot::HISTORY_TICKS;
use super::state::State;
use crate::bits::BitWriter;

/// A packet is full when less than this part of it is left: to look further for something small enough would cost more
/// than it brings. Of 1,098 bytes these are 8.
const FULL_PART: usize = 128;

/// What became of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The snapshot leaves it right.
    Right,
    /// What must be said of it does not fit.
    Deferred,
}

/// A snapshot of the newest recorded tick for one client.
pub(super) struct ClientSnapshot<'a> {
    seat: SeatId,
    tick: u32,
    /// The age of most baselines; 0: there are none.
    age: u32,
    /// Bit `i`: an entity of kind `i` is mentioned.
    kinds: u64,
    plan: &'a Plan,
    history: &'a History,
    frame: &'a State,
    peer: &'a mut Peer,
    contents: &'a mut Contents,
    selection: &'a mut Selection,
}

impl<'a> ClientSnapshot<'a> {
    /// Begins with nothing; `frame` is the newest world of `history`.
    pub(super) fn begin(
        seat: SeatId,
        plan: &'a Plan,
        history: &'a History,
        frame: &'a State,
        peer: &'a mut Peer,
        contents: &'a mut Contents,
        selection: &'a mut Selection,
    ) -> Self {
        let tick = history.newest();
        let age = if peer.acked == 0 { HISTORY_TICKS } else { tick - peer.acked };
        let age = if age < HISTORY_TICKS { age } else { 0 };
        peer.begin(tick, frame.places());
        selection.clear();
        Self { seat, tick, age, kinds: 0, plan, history, frame, peer, contents, selection }
    }

    /// The age of most baselines; 0: there are none.
    pub(super) fn common_age(&self) -> u32 {
        self.age
    }

    /// Most bits of the sets of fields that usually change together.
    pub(super) fn usual_bits_max(&self) -> usize {
        self.contents.usual().bits_max()
    }

    /// Whether the snapshot names such sets.
    pub(super) fn has_usual_fields(&self) -> bool {
        self.contents.usual().has_any(self.kinds)
    }

    /// Number of mentions.
    pub(super) fn mentioned(&self) -> usize {
        self.selection.len()
    }

    /// Stage 1: what the client owns, within `bits_max`. What does not fit takes its turn among the others.
    pub(super) fn choose_own(&mut self, bits_max: usize) {
        let history = self.history;
        for place in history.owned_by(self.seat) {
            self.choose_place(place, true, true, bits_max);
        }
    }

    /// Stage 2: all places, least recently mentioned first, within `bits_max`. Returns how many are left for later.
    pub(super) fn choose(&mut self, relevant: &mut dyn FnMut(EntityId) -> bool, bits_max: usize) -> usize {
        let is_full_above = bits_max - bits_max / FULL_PART;
        let mut left = self.peer.queue.len();
        let mut deferred = 0;
        let mut next = self.peer.queue.first();
        while let Some(place) = next {
            if self.selection.bits() > is_full_above {
                break;
            }
            left -= 1;
            next = self.peer.queue.after(place);
            if self.selection.contains(place) {
                continue;
            }
            let here = self.history.here(place);
            let own = here.entity.is_some() && here.owner == Some(self.seat);
            let visible =
                own || here.entity.is_some_and(|generation| relevant(EntityId::new(place as u16, generation)));
            let outcome = self.choose_place(place, visible, own, bits_max);
            deferred += usize::from(outcome == Outcome::Deferred);
        }
        deferred + left
    }

    /// Stage 3: writes what follows the header, usual fields and mentions, and notes what the client now gets.
    pub(super) fn write(self, writer: &mut BitWriter) {
        if self.has_usual_fields() {
            self.contents.usual().write(self.kinds, writer);
        }
        let (peer, tick) = (self.peer, self.tick);
        self.selection.write(self.contents, writer, |place| peer.mention(tick, place));
    }

    /// Mentions a place if that is needed and fits.
    fn choose_place(&mut self, place: usize, visible: bool, own: bool, bits_max: usize) -> Outcome {
        let here = self.history.here(place);
        let entity = here.entity.filter(|_| visible);
        let need = self.peer.places[place].need(entity, here.changed(own), self.tick);
        let Some(pick) = self.pick(place, own, need) else {
            self.peer.cover(self.tick, place);
            return Outcome::Right;
        };
        if !self.selection.add(place, pick, bits_max) {
            return Outcome::Deferred;
        }
        if entity.is_some() {
            self.kinds |= 1 << self.frame.kind(place);
        }
        Outcome::Right
    }

    /// What is to be said of a place; `None`: nothing.
    fn pick(&mut self, place: usize, own: bool, need: Need) -> Option<Pick> {
        let (base, settled) = match need {
            Need::Nothing => return None,
            Need::Removed => return Some(Pick::removed()),
            Need::Full => return Some(self.pick_full(place, own)),
            Need::Delta { base, settled } => (base, settled),
        };
        let Some(old) = self.history.frame(base) else { return Some(self.pick_full(place, own)) };
        let content = self.contents.delta(self.plan, place, own, (base, old), self.frame);
        let is_needed = content.differs || !settled;
        is_needed.then(|| Pick::delta(self.tick - base, self.age, content))
    }

    fn pick_full(&mut self, place: usize, own: bool) -> Pick {
        Pick::full(self.contents.full(self.plan, place, own, self.frame))
    }
}
