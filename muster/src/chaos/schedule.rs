//! What is broken when: pure, by seed.

use std::time::Duration;

use arena::random::Random;

/// Before this the first matches are not played yet.
const QUIET_BEGIN: Duration = Duration::from_secs(4);
/// After this there would be no match left to break.
const QUIET_END: Duration = Duration::from_secs(2);
/// Time for one round of all acts, at least.
const ROUND: Duration = Duration::from_secs(24);

/// One thing to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// kill -9 of a game server that has a match.
    KillServer,
    /// SIGSTOP, and SIGCONT after this time.
    PauseServer(Duration),
    /// A room's game panics.
    PanicRoom,
    /// The allocator is stopped and started again.
    RestartAllocator,
    /// Metagame is stopped and started again.
    RestartMetagame,
}

/// Rounds of all acts, each round in an order of its own, spread over the time without its begin and end.
pub(super) fn schedule(random: &mut Random, whole: Duration) -> Vec<(Duration, Act)> {
    let window = whole.saturating_sub(QUIET_BEGIN + QUIET_END);
    let rounds = (window.as_secs() / ROUND.as_secs()).max(1);
    let mut acts = Vec::new();
    for _ in 0..rounds {
        let pause = Duration::from_millis(u64::from(1_500 + random.below(2_000)));
        let mut round =
            vec![Act::KillServer, Act::PauseServer(pause), Act::PanicRoom, Act::RestartAllocator, Act::RestartMetagame];
        while !round.is_empty() {
            let place = random.below(u32::try_from(round.len()).unwrap_or(1)) as usize;
            acts.push(round.swap_remove(place));
        }
    }
    let slot = window / u32::try_from(acts.len()).unwrap_or(u32::MAX);
    let slot_ms = u32::try_from(slot.as_millis()).unwrap_or(u32::MAX);
    let mut at = QUIET_BEGIN;
    let mut timed = Vec::with_capacity(acts.len());
    for act in acts {
        timed.push((at + Duration::from_millis(u64::from(random.below(slot_ms / 2 + 1))), act));
        at += slot;
    }
    timed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_has_its_turn_in_an_order_that_the_seed_decides() {
        let of = |seed| schedule(&mut Random::new(seed), Duration::from_secs(30));
        assert_eq!(of(1), of(1));
        assert!((2..20).any(|seed| of(seed) != of(1)));
        for seed in 0..50 {
            let acts = of(seed);
            assert_eq!(acts.len(), 5);
            assert!(acts.windows(2).all(|pair| pair[0].0 < pair[1].0), "{acts:?}");
            assert!(acts.iter().all(|(at, _)| *at >= QUIET_BEGIN && *at < Duration::from_secs(28)), "{acts:?}");
            assert!(acts.iter().any(|(_, act)| *act == Act::KillServer));
            assert!(acts.iter().any(|(_, act)| *act == Act::PanicRoom));
        }
    }

    #[test]
    fn a_long_run_has_many_rounds_and_a_short_one_still_one() {
        let of = |seconds| schedule(&mut Random::new(1), Duration::from_secs(seconds)).len();
        assert_eq!((of(1), of(30), of(60), of(126)), (5, 5, 10, 25));
    }
}
