//! Which mentions go into a snapshot of limited size.

use super::contents::{Content, Contents};
use super::place_set::PlaceSet;
use super::snapshot::{AGE_BITS, Mention, gap_bits, gap_code};
use crate::bits::BitWriter;

/// What is said of one place: a few bits that depend on the snapshot, then bits that do not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    head: u32,
    head_bits: u32,
    content: Content,
}

impl Pick {
    /// A difference from a baseline of this age in a snapshot of this common age.
    pub(super) fn delta(age: u32, common_age: u32, content: Content) -> Self {
        let (code, bits) = Mention::Delta.code();
        if age == common_age {
            Self { head: code, head_bits: bits + 1, content }
        } else {
            Self { head: code | (1 | age << 1) << bits, head_bits: bits + 1 + AGE_BITS, content }
        }
    }

    pub(super) fn full(content: Content) -> Self {
        let (head, head_bits) = Mention::Full.code();
        Self { head, head_bits, content }
    }

    pub(super) fn removed() -> Self {
        let (head, head_bits) = Mention::Removed.code();
        Self { head, head_bits, content: Content::EMPTY }
    }

    fn bits(&self) -> usize {
        self.head_bits as usize + self.content.bits()
    }
}

/// The mentions of one snapshot. Its memory is reused.
#[derive(Debug)]
pub(super) struct Selection {
    chosen: PlaceSet,
    /// Per place, where it is chosen.
    picks: Vec<Pick>,
    highest: Option<usize>,
    len: usize,
    bits: usize,
}

impl Selection {
    pub(super) fn new(entities_max: usize) -> Self {
        Self {
            chosen: PlaceSet::new(entities_max),
            picks: vec![Pick::removed(); entities_max],
            highest: None,
            len: 0,
            bits: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.chosen.clear();
        self.highest = None;
        self.len = 0;
        self.bits = 0;
    }

    /// Number of mentions.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bits of all mentions with their gaps.
    pub(super) fn bits(&self) -> usize {
        self.bits
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.chosen.contains(place)
    }

    /// Adds a mention, unless all would then take more than `bits_max`; false in that case.
    pub(super) fn add(&mut self, place: usize, pick: Pick, bits_max: usize) -> bool {
        let (added, replaced) = self.gap_bits(place);
        let bits = self.bits + pick.bits() + added - replaced;
        if bits > bits_max {
            return false;
        }
        self.bits = bits;
        self.len += 1;
        self.highest = self.highest.max(Some(place));
        self.chosen.insert(place);
        self.picks[place] = pick;
        true
    }

    /// Writes the mentions by ascending place; `mentioned` is told each place.
    pub(super) fn write(&self, contents: &Contents, writer: &mut BitWriter, mut mentioned: impl FnMut(usize)) {
        let mut before = None;
        for place in self.chosen.iter() {
            let pick = &self.picks[place];
            let (gap, gap_bits) = gap_code(before, place);
            writer.write(gap | pick.head << gap_bits, gap_bits + pick.head_bits);
            contents.copy_to(pick.content, writer);
            mentioned(place);
            before = Some(place);
        }
    }

    /// Bits of the gaps that another place adds, and of the one that it splits. Most come behind all others.
    fn gap_bits(&self, place: usize) -> (usize, usize) {
        let is_last = self.highest.is_none_or(|highest| place > highest);
        let before = if is_last { self.highest } else { self.chosen.before(place) };
        let after = if is_last { None } else { self.chosen.after(place) };
        let (rest, replaced) = after.map_or((0, 0), |after| (gap_bits(Some(place), after), gap_bits(before, after)));
        (gap_bits(before, place) + rest, replaced)
    }
}
