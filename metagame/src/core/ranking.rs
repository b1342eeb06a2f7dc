//! Ranks in memory: who stands where, found by counting in blocks.
//!
//! [`SortedPlaces`] is a sorted list cut into blocks. The lengths of the blocks lie side by side, so the position of an
//! entry is a sum over some thousand numbers that the cache holds and a search in one block: about a microsecond among a
//! million. [`Ranking`] is one season of a board: entries by player, and a sorted list of all and of each region.

use std::collections::HashMap;

use protocol::id::PlayerId;

/// Most places of a block; it is cut in two beyond. Moving half of one costs about as much as summing the lengths.
const BLOCK_MAX: usize = 1_024;

/// Where an entry stands: smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The score as it is sorted: negated on a board where more is better.
    pub sort: i64,
    /// Among equals, who had it first is before.
    pub since_ms: u64,
    /// Among those of the same millisecond, the smaller id.
    pub player: PlayerId,
}

/// Places in order, each once, with counting.
#[derive(Debug, Default)]
pub struct SortedPlaces {
    blocks: Vec<Vec<Place>>,
    lengths: Vec<u32>,
    /// The last place of each block.
    lasts: Vec<Place>,
    total: usize,
}

impl SortedPlaces {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many are before `place`, be it there or not.
    pub fn before(&self, place: &Place) -> usize {
        self.count(|other| other < place)
    }

    /// How many have a better score than this.
    pub fn better(&self, sort: i64) -> usize {
        self.count(|other| other.sort < sort)
    }

    /// Those for which `is_before` holds, which must be the first ones.
    fn count(&self, is_before: impl Fn(&Place) -> bool) -> usize {
        let block = self.lasts.partition_point(&is_before);
        let whole: usize = self.lengths[..block].iter().map(|length| *length as usize).sum();
        whole + self.blocks.get(block).map_or(0, |block| block.partition_point(&is_before))
    }

    /// Up to `limit` places from position `from` on, counted from 0.
    pub fn from(&self, from: usize, limit: usize) -> Vec<Place> {
        let mut skip = from;
        let mut block = 0;
        while block < self.lengths.len() && skip >= self.lengths[block] as usize {
            skip -= self.lengths[block] as usize;
            block += 1;
        }
        self.blocks[block..].iter().flatten().skip(skip).take(limit).copied().collect()
    }

    /// Adds a place; whether it was not there.
    pub fn insert(&mut self, place: Place) -> bool {
        if self.blocks.is_empty() {
            self.blocks.push(Vec::with_capacity(BLOCK_MAX));
            self.lengths.push(0);
            self.lasts.push(place);
        }
        // Behind everything: into the last block.
        let at = self.lasts.partition_point(|last| *last < place).min(self.blocks.len() - 1);
        let Err(within) = self.blocks[at].binary_search(&place) else { return false };
        self.blocks[at].insert(within, place);
        self.total += 1;
        if self.blocks[at].len() > BLOCK_MAX {
            let half = self.blocks[at].split_off(BLOCK_MAX / 2);
            self.blocks.insert(at + 1, half);
            self.lengths.insert(at + 1, 0);
            self.lasts.insert(at + 1, place);
            self.note(at + 1);
        }
        self.note(at);
        true
    }

    /// Removes a place; whether it was there.
    pub fn remove(&mut self, place: &Place) -> bool {
        let at = self.lasts.partition_point(|last| last < place);
        let Some(block) = self.blocks.get_mut(at) else { return false };
        let Ok(within) = block.binary_search(place) else { return false };
        block.remove(within);
        self.total -= 1;
        if self.blocks[at].is_empty() {
            self.blocks.remove(at);
            self.lengths.remove(at);
            self.lasts.remove(at);
        } else {
            self.note(at);
        }
        true
    }

    fn note(&mut self, at: usize) {
        let block = &self.blocks[at];
        self.lengths[at] = u32::try_from(block.len()).expect("a block is short");
        self.lasts[at] = *block.last().expect("no block is empty");
    }
}

/// One row of the table, as ranks need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub player: PlayerId,
    /// The score.
    pub score: i64,
    /// Unix milliseconds since which it stands.
    pub since_ms: u64,
    /// Which of the board's regions, from 1; 0 is none of them.
    pub region: usize,
    /// Counts the changes of the row: an older state never replaces a newer one, in whatever order they are heard of.
    pub version: u64,
    /// It was taken off the board.
    pub removed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    place: Place,
    region: usize,
    version: u64,
    removed: bool,
}

/// An entry with its rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranked {
    /// From 1.
    pub rank: u64,
    /// Where it stands.
    pub place: Place,
    /// Which of the board's regions, from 1; 0 is none of them.
    pub region: usize,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this position, counted from 0.
    At(u64),
    /// Behind this place.
    After(Place),
    /// So many before this player.
    Around(PlayerId, u32),
}

/// A part of a board.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Entries of the whole board, or of the region.
    pub total: u64,
    /// In order.
    pub entries: Vec<Ranked>,
}

/// How equal scores are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// They share the rank of the first of them; the next score's rank counts all of them: 1, 1, 3.
    #[default]
    Shared,
    /// Who had the score first is before.
    First,
}

/// The ranks of one season of a board.
#[derive(Debug)]
pub struct Ranking {
    ties: Ties,
    entries: HashMap<PlayerId, Held>,
    whole: SortedPlaces,
    /// By region, from 1.
    regions: Vec<SortedPlaces>,
}

impl Ranking {
    /// Without entries, for a board with so many regions.
    pub fn new(ties: Ties, regions: usize) -> Self {
        let regions = (0..regions).map(|_| SortedPlaces::default()).collect();
        Self { ties, entries: HashMap::new(), whole: SortedPlaces::default(), regions }
    }

    /// Entries that are on the board.
    pub fn len(&self) -> usize {
        self.whole.len()
    }

    /// Whether nobody is on it.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Takes in the state of a row, unless a newer one is here; `sort` is the score as the board sorts it. Whether it did.
    pub fn apply(&mut self, entry: &Entry, sort: i64) -> bool {
        let place = Place { sort, since_ms: entry.since_ms, player: entry.player };
        let held = Held { place, region: entry.region, version: entry.version, removed: entry.removed };
        if let Some(before) = self.entries.get(&entry.player).copied() {
            if before.version >= entry.version {
                return false;
            }
            if !before.removed {
                self.whole.remove(&before.place);
                if let Some(region) = self.region_mut(before.region) {
                    region.remove(&before.place);
                }
            }
        }
        self.entries.insert(entry.player, held);
        if !entry.removed {
            self.whole.insert(place);
            if let Some(region) = self.region_mut(entry.region) {
                region.insert(place);
            }
        }
        true
    }

    fn region_mut(&mut self, region: usize) -> Option<&mut SortedPlaces> {
        self.regions.get_mut(region.checked_sub(1)?)
    }

    /// The list of a region, or of all for 0.
    fn list(&self, region: usize) -> Option<&SortedPlaces> {
        match region.checked_sub(1) {
            None => Some(&self.whole),
            Some(index) => self.regions.get(index),
        }
    }

    fn rank_at(&self, list: &SortedPlaces, place: &Place) -> u64 {
        let before = match self.ties {
            Ties::Shared => list.better(place.sort),
            Ties::First => list.before(place),
        };
        before as u64 + 1
    }

    /// Where a player stands among all, or among those of a region.
    pub fn rank_of(&self, player: PlayerId, region: usize) -> Option<Ranked> {
        let held = self.entries.get(&player).filter(|held| !held.removed)?;
        let list = self.list(region).filter(|_| region == 0 || held.region == region)?;
        Some(Ranked { rank: self.rank_at(list, &held.place), place: held.place, region: held.region })
    }

    /// Part of the board, or of a region of it; `None` if it begins around somebody who is not on it.
    pub fn page(&self, start: Start, limit: usize, region: usize) -> Option<Page> {
        let list = self.list(region)?;
        let from = match start {
            Start::At(position) => usize::try_from(position).unwrap_or(usize::MAX),
            // The place itself, if it still is there, was on the page before.
            Start::After(place) => {
                list.before(&place) + usize::from(list.from(list.before(&place), 1).first() == Some(&place))
            }
            Start::Around(player, before) => {
                let own = self.rank_of(player, region)?;
                list.before(&own.place).saturating_sub(before as usize)
            }
        };
        let places = list.from(from, limit);
        let mut entries: Vec<Ranked> = Vec::with_capacity(places.len());
        for (index, place) in places.into_iter().enumerate() {
            let shared = entries.last().filter(|last| self.ties == Ties::Shared && last.place.sort == place.sort);
            let rank = match shared {
                Some(last) => last.rank,
                None if index == 0 => self.rank_at(list, &place),
                None => (from + index) as u64 + 1,
            };
            let region = self.entries.get(&place.player).map_or(0, |held| held.region);
            entries.push(Ranked { rank, place, region });
        }
        Some(Page { total: list.len() as u64, entries })
    }

    /// These players among themselves, best first; who is not on the board is left out.
    pub fn among(&self, players: &[PlayerId]) -> Page {
        let held = players.iter().filter_map(|player| self.entries.get(player).filter(|held| !held.removed));
        among(self.ties, held.map(|held| (held.place, held.region)).collect())
    }
}

/// Ranks some entries among themselves.
pub fn among(ties: Ties, mut entries: Vec<(Place, usize)>) -> Page {
    entries.sort_unstable();
    entries.dedup();
    let mut ranked: Vec<Ranked> = Vec::with_capacity(entries.len());
    for (index, (place, region)) in entries.into_iter().enumerate() {
        let shared = ranked.last().filter(|last| ties == Ties::Shared && last.place.sort == place.sort);
        let rank = shared.map_or(index as u64 + 1, |last| last.rank);
        ranked.push(Ranked { rank, place, region });
    }
    Page { total: ranked.len() as u64, entries: ranked }
}

#[cfg(test)]
mod tests;
