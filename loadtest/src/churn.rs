//! Mishaps that players of one match suffer on purpose: who, and when. Pure.

use std::time::Duration;

use arena::random::Random;
use protocol::id::MatchId;

/// What happens to a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The program is killed and started again, with the resume ticket that it had kept in a file; the old socket just
    /// vanishes.
    Resume,
    /// The same session goes on from another address.
    ChangeAddress,
    /// A new session on the other carrier, where there are two; otherwise on the same. By the resume ticket.
    ChangeCarrier,
    /// The program is killed and started again, and remembers nothing: it asks for a fresh token.
    Relaunch,
}

impl Mishap {
    /// Every mishap, in the order in which a match has them.
    pub const ALL: [Self; 4] = [Self::Resume, Self::ChangeAddress, Self::ChangeCarrier, Self::Relaunch];
}

/// Which mishap the player on this seat suffers in this match, and how long after it has its seat. Every match of four or
/// more has each of them once, on seats that the match decides.
pub fn mishap(match_id: MatchId, seat: u8, players: usize) -> Option<(Mishap, Duration)> {
    let bytes = match_id.to_bytes();
    let mut random = Random::new(bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(257) + u64::from(*byte)));
    let first = random.below(u32::try_from(players.max(1)).unwrap_or(u32::MAX)) as usize;
    let place = (usize::from(seat) + players - first) % players.max(1);
    let mishap = *Mishap::ALL.get(place)?;
    // One after the other, so that a match has two good clients at any time.
    let wait_ms = 800 + 500 * u64::try_from(place).unwrap_or_default() + u64::from(random.below(500));
    Some((mishap, Duration::from_millis(wait_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_match_has_each_mishap_once() {
        let mut firsts = std::collections::BTreeSet::new();
        for n in 0..100 {
            let id = MatchId::from_entropy([n; 16]);
            let all: Vec<_> = (0..8).map(|seat| mishap(id, seat, 8).map(|(mishap, _)| mishap)).collect();
            for wanted in Mishap::ALL {
                assert_eq!(all.iter().filter(|mishap| **mishap == Some(wanted)).count(), 1, "{all:?}");
            }
            firsts.insert(all.iter().position(|mishap| *mishap == Some(Mishap::Relaunch)));
        }
        assert!(firsts.len() == 8, "every seat has its turn");
    }

    #[test]
    fn a_duel_has_two_of_them_and_an_empty_match_none_that_panics() {
        let id = MatchId::from_entropy([1; 16]);
        assert_eq!((0..2).filter_map(|seat| mishap(id, seat, 2)).count(), 2);
        let _ = mishap(id, 0, 0);
    }
}
