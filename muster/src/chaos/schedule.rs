//! What is broken when: pure, by seed.

use std::time::Duration;

use arena::random::Random;

/// Before this the first matches are not played yet.
const QUIET_BEGIN: Duration = Duration::from_secs(4);
/// After this there would be no match left to break.
const QUIET_END: Duration = Duration::from_secs(2);
/// Time for one round of all acts, at least.
const ROUND: Duration = Duration::from_secs(35);

/// One thing to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// kill -9 of a game server that has a match.
    KillServer,
    /// kill -9 of a game server that has a match, while the allocator is down.
    KillServerUnheard,
    /// SIGSTOP, and SIGCONT after this time.
    PauseServer(Duration),
    /// A room's game panics.
    PanicRoom,
    /// The allocator is stopped, and started again after this time.
    RestartAllocator(Duration),
    /// Metagame is stopped and started again.
    RestartMetagame,
    /// kill -9 of the whole platform, which is started again this long after its last process has ended.
    KillPlatform(Duration),
}

/// Rounds of all acts, each round in an order of its own, spread over the time without its begin and end.
pub(super) fn schedule(random: &mut Random, whole: Duration) -> Vec<(Duration, Act)> {
    let window = whole.saturating_sub(QUIET_BEGIN + QUIET_END);
    let rounds = (window.as_secs() / ROUND.as_secs()).max(1);
    let mut acts = Vec::new();
    for _ in 0..rounds {
        let mut ms = |least, more| Duration::from_millis(u64::from(least + random.below(more)));
        let mut round = vec![
            Act::KillServer,
            Act::KillServerUnheard,
            Act::PauseServer(ms(1_500, 2_000)),
            Act::PanicRoom,
            Act::RestartAllocator(ms(0, 1_500)),
            Act::RestartMetagame,
            Act::KillPlatform(ms(0, 1_500)),
        ];
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
        let of = |seed| schedule(&mut Random::new(seed), Duration::from_secs(40));
        assert_eq!(of(1), of(1));
        assert!((2..20).any(|seed| of(seed) != of(1)));
        for seed in 0..50 {
            let acts = of(seed);
            assert_eq!(acts.len(), 7);
            assert!(acts.windows(2).all(|pair| pair[0].0 < pair[1].0), "{acts:?}");
            assert!(acts.iter().all(|(at, _)| *at >= QUIET_BEGIN && *at < Duration::from_secs(38)), "{acts:?}");
            for (place, (_, act)) in acts.iter().enumerate() {
                let same = |(_, other): &(Duration, Act)| std::mem::discriminant(other) == std::mem::discriminant(act);
                assert_eq!(acts.iter().position(same), Some(place), "{acts:?}");
            }
        }
    }

    #[test]
    fn a_long_run_has_many_rounds_and_a_short_one_still_one() {
        let of = |seconds| schedule(&mut Random::new(1), Duration::from_secs(seconds)).len();
        assert_eq!((of(1), of(40), of(76), of(181)), (7, 7, 14, 35));
    }
}
