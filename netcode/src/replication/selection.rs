//! Which of the entities that need a mention go into a snapshot of limited size.

use super::place_set::PlaceSet;
use super::snapshot::gap_bits;

/// An encoded mention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) place: u16,
    /// First bit and number of bits in the scratch buffer.
    pub(super) start: usize,
    pub(super) bits: usize,
    /// When the place was last mentioned to this client.
    pub(super) mentioned: u32,
    /// Whether the client owns the entity.
    pub(super) own: bool,
}

/// The candidates of one snapshot, and those that are chosen. Its memory is reused.
#[derive(Debug)]
pub(super) struct Selection {
    /// By ascending place.
    pub(super) candidates: Vec<Candidate>,
    order: Vec<u16>,
    chosen: PlaceSet,
}

impl Selection {
    pub(super) fn new(entities_max: usize) -> Self {
        Self {
            candidates: Vec::with_capacity(entities_max),
            order: Vec::with_capacity(entities_max),
            chosen: PlaceSet::new(entities_max),
        }
    }

    pub(super) fn clear(&mut self) {
        self.candidates.clear();
    }

    pub(super) fn is_chosen(&self, place: usize) -> bool {
        self.chosen.contains(place)
    }

    /// Chooses candidates of at most `bits_max` in total and returns their number. What does not fit goes first next
    /// time, because the least recently mentioned come first; the client's own entities come before all others, but
    /// take at most half of the room when it is short.
    pub(super) fn choose(&mut self, bits_max: usize) -> usize {
        self.chosen.clear();
        let mut before = None;
        let mut total = 0;
        for candidate in &self.candidates {
            let place = usize::from(candidate.place);
            total += gap_bits(before, place) + candidate.bits;
            before = Some(place);
        }
        if total <= bits_max {
            self.candidates.iter().for_each(|candidate| self.chosen.insert(usize::from(candidate.place)));
            return self.candidates.len();
        }
        self.order.clear();
        self.order.extend(0..self.candidates.len() as u16);
        let candidates = &self.candidates;
        self.order.sort_unstable_by_key(|&index| {
            let candidate = candidates[usize::from(index)];
            (candidate.mentioned, candidate.place)
        });
        let mut used = 0;
        let own = self.fill(&mut used, bits_max / 2, true);
        own + self.fill(&mut used, bits_max, false)
    }

    /// Adds candidates in order while they fit; returns how many.
    fn fill(&mut self, used: &mut usize, bits_max: usize, own_only: bool) -> usize {
        let mut added = 0;
        for &index in &self.order {
            let candidate = &self.candidates[usize::from(index)];
            let place = usize::from(candidate.place);
            if own_only && !candidate.own || self.chosen.contains(place) {
                continue;
            }
            let (before, after) = (self.chosen.before(place), self.chosen.after(place));
            let after_bits = after.map_or(0, |after| gap_bits(Some(place), after));
            let replaced_bits = after.map_or(0, |after| gap_bits(before, after));
            let total = *used + candidate.bits + gap_bits(before, place) + after_bits - replaced_bits;
            if total <= bits_max {
                *used = total;
                self.chosen.insert(place);
                added += 1;
            }
        }
        added
    }
}
