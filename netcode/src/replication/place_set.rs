//! A set of places in a world: one bit each.

/// Places below a fixed limit.
#[derive(Debug, Clone)]
pub(super) struct PlaceSet {
    words: Vec<u64>,
}

impl PlaceSet {
    /// The empty set of places below `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { words: vec![0; limit.div_ceil(64)] }
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }

    pub(super) fn insert(&mut self, place: usize) {
        self.words[place / 64] |= 1 << (place % 64);
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.words[place / 64] &= !(1 << (place % 64));
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let rest = std::iter::successors(Some(word), |&word| Some(word & word.wrapping_sub(1)));
            rest.take_while(|&word| word != 0).map(move |word| index * 64 + word.trailing_zeros() as usize)
        })
    }

    /// The lowest place that is not in the set; may be the limit or above it.
    pub(super) fn lowest_missing(&self) -> usize {
        let full = self.words.iter().take_while(|&&word| word == u64::MAX).count();
        full * 64 + self.words.get(full).map_or(0, |word| word.trailing_ones() as usize)
    }

    /// The highest member below `place`.
    pub(super) fn before(&self, place: usize) -> Option<usize> {
        let below = self.words[place / 64] & ((1 << (place % 64)) - 1);
        let words = std::iter::once((place / 64, below));
        words
            .chain((0..place / 64).rev().map(|index| (index, self.words[index])))
            .find(|&(_, word)| word != 0)
            .map(|(index, word)| index * 64 + 63 - word.leading_zeros() as usize)
    }

    /// The lowest member above `place`.
    pub(super) fn after(&self, place: usize) -> Option<usize> {
        let above = self.words[place / 64] & (u64::MAX << (place % 64) << 1);
        let words = std::iter::once((place / 64, above));
        words
            .chain((place / 64 + 1..self.words.len()).map(|index| (index, self.words[index])))
            .find(|&(_, word)| word != 0)
            .map(|(index, word)| index * 64 + word.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_as_an_ordered_set(members in proptest::collection::btree_set(0usize..200, 0..60), asked in 0usize..200) {
            let mut set = PlaceSet::new(200);
            members.iter().for_each(|&place| set.insert(place));
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), members.clone());
            prop_assert_eq!(set.contains(asked), members.contains(&asked));
            prop_assert_eq!(set.before(asked), members.range(..asked).next_back().copied());
            prop_assert_eq!(set.after(asked), members.range(asked + 1..).next().copied());
            let missing = (0..).find(|place| !members.contains(place)).unwrap();
            prop_assert_eq!(set.lowest_missing(), missing);
            set.remove(asked);
            prop_assert!(!set.contains(asked));
        }
    }
}
