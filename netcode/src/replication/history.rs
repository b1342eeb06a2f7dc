//! The worlds of the last ticks, and when each place last changed.

use super::entity::SeatId;
use super::fields;
use super::peer::slot;
use super::plan::Plan;
use super::snapshot::HISTORY_TICKS;
use super::state::State;

/// What every client's snapshot asks about a place of the newest world, side by side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Here {
    /// Generation of the entity, if there is one.
    pub(super) entity: Option<u16>,
    pub(super) owner: Option<SeatId>,
    /// Tick of the last change of what everyone sees.
    changed_public: u32,
    /// Tick of the last change of anything.
    changed: u32,
}

impl Here {
    /// Tick of the last change of what its owner (`mine`), or anyone else, sees.
    pub(super) fn changed(&self, mine: bool) -> u32 {
        if mine { self.changed } else { self.changed_public }
    }
}

/// The last 64 recorded worlds.
#[derive(Debug)]
pub(super) struct History {
    /// The newest recorded tick; 0: none.
    newest: u32,
    /// By tick modulo 64, with their ticks.
    frames: Vec<(u32, State)>,
    /// Per place of the newest world.
    here: Vec<Here>,
    /// Places of the newest world that have an owner.
    owned: Vec<(SeatId, u16)>,
}

impl History {
    pub(super) fn new(stride: usize, entities_max: usize) -> Self {
        let frames = (0..HISTORY_TICKS).map(|_| {
            let mut state = State::new(stride);
            state.reserve(entities_max);
            (0, state)
        });
        Self {
            newest: 0,
            frames: frames.collect(),
            here: Vec::with_capacity(entities_max),
            owned: Vec::with_capacity(entities_max),
        }
    }

    /// The newest recorded tick; 0: none.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// The world of `tick`, while it is remembered.
    pub(super) fn frame(&self, tick: u32) -> Option<&State> {
        let (frame_tick, state) = &self.frames[slot(tick)];
        (tick != 0 && *frame_tick == tick).then_some(state)
    }

    /// A place of the newest world; nothing is beyond its last.
    pub(super) fn here(&self, place: usize) -> Here {
        self.here.get(place).copied().unwrap_or_default()
    }

    /// The places of what a seat owns in the newest world, ascending.
    pub(super) fn owned_by(&self, seat: SeatId) -> impl Iterator<Item = usize> + '_ {
        let owned = self.owned.iter().filter(move |(owner, _)| *owner == seat);
        owned.map(|&(_, place)| usize::from(place))
    }

    /// Takes the world of the next tick.
    pub(super) fn record(&mut self, plan: &Plan, tick: u32, state: &State) {
        let (_, previous) = &self.frames[slot(self.newest)];
        self.here.resize(state.places(), Here::default());
        self.owned.clear();
        for (place, here) in self.here.iter_mut().enumerate() {
            here.entity = state.is_used(place).then(|| state.generation(place));
            here.owner = state.owner(place);
            self.owned.extend(here.owner.map(|seat| (seat, place as u16)));
            let is_same = previous.is_used(place) && here.entity == Some(previous.generation(place));
            if here.entity.is_none() || is_same && previous.row(place) == state.row(place) {
                continue;
            }
            here.changed = tick;
            let plan = &plan.kinds[state.kind(place)];
            if !is_same || !fields::equal(plan, false, previous.row(place), state.row(place)) {
                here.changed_public = tick;
            }
        }
        let (frame_tick, frame) = &mut self.frames[slot(tick)];
        *frame_tick = tick;
        frame.copy_from(state);
        self.newest = tick;
    }
}
