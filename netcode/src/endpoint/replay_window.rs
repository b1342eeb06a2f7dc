//! Which sequences of a session were received already.

const WORDS: usize = 16;
/// Sequences remembered below the newest.
const WINDOW: u32 = WORDS as u32 * 64;

/// A window over the newest 1,024 sequences: 8 s at 128 packets per second. It moves only for packets that have
/// authenticated: otherwise one forged packet with a high sequence would shut everything else out.
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    newest: u32,
    /// Bit `sequence % 1024`; only the bits of the window have a meaning.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(super) fn new() -> Self {
        Self { newest: 0, seen: [0; WORDS] }
    }

    /// Whether a packet with this sequence may be opened: it is new, and not too old to tell.
    pub(super) fn is_fresh(&self, sequence: u32) -> bool {
        if sequence == 0 {
            return false;
        }
        if sequence > self.newest {
            return true;
        }
        self.newest - sequence < WINDOW && !self.is_seen(sequence)
    }

    /// Notes an authenticated packet. Returns whether it is the newest so far.
    pub(super) fn advance(&mut self, sequence: u32) -> bool {
        let is_newest = sequence > self.newest;
        if is_newest {
            let steps = (sequence - self.newest).min(WINDOW);
            for step in 0..steps {
                self.set(sequence - step, false);
            }
            self.newest = sequence;
        }
        self.set(sequence, true);
        is_newest
    }

    fn is_seen(&self, sequence: u32) -> bool {
        self.seen[(sequence / 64) as usize % WORDS] >> (sequence % 64) & 1 == 1
    }

    fn set(&mut self, sequence: u32, seen: bool) {
        let word = &mut self.seen[(sequence / 64) as usize % WORDS];
        let bit = 1 << (sequence % 64);
        *word = if seen { *word | bit } else { *word & !bit };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_and_the_end_of_the_range_are_safe() {
        let mut window = ReplayWindow::new();
        assert!(!window.is_fresh(0));
        assert!(window.advance(u32::MAX));
        assert!(!window.is_fresh(u32::MAX) && window.is_fresh(u32::MAX - 1_023) && !window.is_fresh(u32::MAX - 1_024));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(jumps in proptest::collection::vec((0u32..1_500, any::<bool>()), 1..400)) {
            let (mut window, mut model, mut newest) = (ReplayWindow::new(), BTreeSet::new(), 0u32);
            for (jump, back) in jumps {
                let sequence = if back { newest.saturating_sub(jump) } else { newest + jump };
                let fresh = sequence != 0 && !model.contains(&sequence) && newest.saturating_sub(sequence) < WINDOW;
                prop_assert_eq!(window.is_fresh(sequence), fresh, "sequence {} after {}", sequence, newest);
                if fresh {
                    prop_assert_eq!(window.advance(sequence), sequence > newest);
                    model.insert(sequence);
                    newest = newest.max(sequence);
                }
            }
        }
    }
}
