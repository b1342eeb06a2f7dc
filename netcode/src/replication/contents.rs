//! What is said of entities in one tick, each thing encoded once for all clients that are told the same.
//!
//! Most clients acknowledge the same few ticks, so an entity has few baselines, and a difference from one of them is
//! the same bits for everyone who does not own the entity.

use super::fields;
use super::plan::Plan;
use super::snapshot::HISTORY_TICKS;
use super::state::State;
use super::usual::{UsualFields, Votes};
use crate::bits::BitWriter;

/// The base of what is said in full.
const NO_BASE: u32 = 0;

/// Where the bits of one thing said lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    place: u16,
    base: u32,
    first_word: u32,
    bits: u32,
    /// Whether the entity differs from its baseline.
    pub(super) differs: bool,
}

impl Content {
    /// Nothing beside the mention itself.
    pub(super) const EMPTY: Self = Self { place: 0, base: NO_BASE, first_word: 0, bits: 0, differs: true };

    /// Its length.
    pub(super) fn bits(&self) -> usize {
        self.bits as usize
    }
}

/// The contents of one tick. Their memory is reused.
#[derive(Debug)]
pub(super) struct Contents {
    writer: BitWriter,
    contents: Vec<Content>,
    /// Per place and baseline (by tick modulo 64): where its content may be. What stands there may be from an older
    /// tick, so the content must say itself that it is the one asked for; hence nothing has to be cleared.
    index: Vec<u32>,
    /// Which fields usually change together, as the differences of the tick before have it.
    usual: UsualFields,
    votes: Votes,
}

impl Contents {
    pub(super) fn new(plan: &Plan, entities_max: usize) -> Self {
        Self {
            writer: BitWriter::new(),
            contents: Vec::new(),
            index: vec![0; entities_max * HISTORY_TICKS as usize],
            usual: UsualFields::new(plan),
            votes: Votes::new(plan),
        }
    }

    /// A tick begins.
    pub(super) fn clear(&mut self) {
        self.writer.clear();
        self.contents.clear();
        self.votes.elect(&mut self.usual);
    }

    /// What snapshots of this tick must say before any difference.
    pub(super) fn usual(&self) -> &UsualFields {
        &self.usual
    }

    /// The difference of the entity at `place` from tick `base`, for its owner (`mine`) or for anyone else.
    pub(super) fn delta(&mut self, plan: &Plan, place: usize, mine: bool, base: (u32, &State), now: &State) -> Content {
        let (base, old) = base;
        let kind = now.kind(place);
        let usual = self.usual.of(kind, mine);
        self.encoded(place, mine, base, |writer, votes| {
            let plan = &plan.kinds[kind];
            let changed = fields::write_delta(writer, plan, mine, usual, old.row(place), now.row(place));
            if !mine {
                votes.cast(kind, changed);
            }
            changed != 0
        })
    }

    /// Everything about the entity at `place`, for its owner (`mine`) or for anyone else.
    pub(super) fn full(&mut self, plan: &Plan, place: usize, mine: bool, now: &State) -> Content {
        self.encoded(place, mine, NO_BASE, |writer, _| {
            let (kind, owner) = (now.kind(place), now.owner(place));
            writer.write_groups(u32::from(now.generation(place)));
            writer.write(kind as u32, plan.kind_bits);
            writer.write_bool(owner.is_some());
            if let Some(seat) = owner {
                writer.write(u32::from(seat.0), 8);
                writer.write_bool(mine);
            }
            fields::write_full(writer, &plan.kinds[kind], mine, now.row(place));
            true
        })
    }

    /// Appends a content of this tick to `writer`.
    pub(super) fn copy_to(&self, content: Content, writer: &mut BitWriter) {
        writer.append(&self.writer, content.first_word as usize, content.bits());
    }

    /// What `write` writes, unless it was written in this tick already; `write` says whether anything differs. What is
    /// for the owner alone is used once.
    fn encoded(
        &mut self,
        place: usize,
        mine: bool,
        base: u32,
        write: impl FnOnce(&mut BitWriter, &mut Votes) -> bool,
    ) -> Content {
        let index = &mut self.index[place * HISTORY_TICKS as usize + (base % HISTORY_TICKS) as usize];
        if !mine
            && let Some(&content) = self.contents.get(*index as usize)
            && (usize::from(content.place), content.base) == (place, base)
        {
            return content;
        }
        let start = self.writer.bits();
        let differs = write(&mut self.writer, &mut self.votes);
        let (first_word, bits) = ((start / 64) as u32, (self.writer.bits() - start) as u32);
        self.writer.align();
        let content = Content { place: place as u16, base, first_word, bits, differs };
        if !mine {
            *index = self.contents.len() as u32;
            self.contents.push(content);
        }
        content
    }
}
