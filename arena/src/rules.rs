//! When the match begins and ends, and who won.

use crate::fighter::Fighter;
use crate::rate::Rate;

/// How long the match waits for the others once the first player has joined, in seconds.
pub const WARM_UP_S: f32 = 8.0;

/// A part of the match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Players arrive and may run about; nobody can be hurt.
    WarmUp,
    /// The match.
    Play,
    /// The match has ended.
    Over,
}

/// Why the match ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The time was up.
    TimeUp,
    /// All players of all sides but one left.
    Abandoned,
}

/// The match's clock.
#[derive(Debug, Clone)]
pub struct Clock {
    phase: Phase,
    /// Ticks left of the phase; the warm-up's do not run before somebody is there.
    left: u32,
    play: u32,
    ending: Option<Ending>,
}

impl Phase {
    /// Every phase, in order of number.
    pub const ALL: [Self; 3] = [Self::WarmUp, Self::Play, Self::Over];

    /// The phase with this number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl Clock {
    /// A clock in warm-up, for a match of `seconds` of play.
    pub fn new(seconds: u32, rate: Rate) -> Self {
        Self { phase: Phase::WarmUp, left: u32::from(rate.ticks(WARM_UP_S)), play: seconds * rate.hz(), ending: None }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why the match ended; none before it has.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Ticks left of the phase.
    pub fn ticks_left(&self) -> u32 {
        self.left
    }

    /// Seconds left of the phase, rounded up.
    pub fn seconds_left(&self, rate: Rate) -> u32 {
        self.left.div_ceil(rate.hz())
    }

    /// One tick later; returns the phase that begins, if one does.
    pub fn step(&mut self, fighters: &[Fighter]) -> Option<Phase> {
        if self.phase == Phase::Over {
            return None;
        }
        if sides_left(fighters) < 2 {
            return Some(self.end(Ending::Abandoned));
        }
        let present = fighters.iter().filter(|fighter| fighter.entity.is_some()).count();
        if self.phase == Phase::WarmUp && present == 0 {
            return None;
        }
        let all_here = fighters.iter().all(|fighter| fighter.entity.is_some() || fighter.has_left);
        self.left = self.left.saturating_sub(1);
        match self.phase {
            Phase::WarmUp if all_here || self.left == 0 => {
                self.phase = Phase::Play;
                self.left = self.play;
                Some(Phase::Play)
            }
            Phase::Play if self.left == 0 => Some(self.end(Ending::TimeUp)),
            Phase::WarmUp | Phase::Play | Phase::Over => None,
        }
    }

    fn end(&mut self, ending: Ending) -> Phase {
        self.phase = Phase::Over;
        self.left = 0;
        self.ending = Some(ending);
        Phase::Over
    }
}

/// How many sides still have a player who has not left.
fn sides_left(fighters: &[Fighter]) -> usize {
    let mut sides: Vec<usize> =
        fighters.iter().filter(|fighter| !fighter.has_left).map(|fighter| fighter.side).collect();
    sides.sort_unstable();
    sides.dedup();
    sides.len()
}

/// Kills of each side, by side.
pub fn side_scores(fighters: &[Fighter]) -> Vec<u32> {
    let sides = fighters.iter().map(|fighter| fighter.side + 1).max().unwrap_or(0);
    let mut scores = vec![0; sides];
    for fighter in fighters {
        scores[fighter.side] += fighter.stats.kills;
    }
    scores
}

/// The place of each fighter, 1 for the first: that of its side by score. Sides with the same score share a place. A
/// side that has left altogether comes after those that stayed, so that nobody wins by leaving.
pub fn places(fighters: &[Fighter]) -> Vec<u32> {
    let scores = side_scores(fighters);
    let worth = |side: usize| {
        let stayed = fighters.iter().any(|fighter| fighter.side == side && !fighter.has_left);
        (stayed, scores[side])
    };
    let mut sides: Vec<usize> = fighters.iter().map(|fighter| fighter.side).collect();
    sides.sort_unstable();
    sides.dedup();
    let place = |side: usize| 1 + sides.iter().filter(|other| worth(**other) > worth(side)).count() as u32;
    fighters.iter().map(|fighter| place(fighter.side)).collect()
}

#[cfg(test)]
mod tests {
    use game::SeatId;

    use super::*;

    fn fighters(sides: &[usize], kills: &[u32]) -> Vec<Fighter> {
        let mut fighters: Vec<_> =
            sides.iter().zip(0..).map(|(side, seat)| Fighter::absent(SeatId(seat), *side)).collect();
        for (fighter, kills) in fighters.iter_mut().zip(kills) {
            fighter.stats.kills = *kills;
        }
        fighters
    }

    #[test]
    fn places_follow_the_side_and_draws_share() {
        assert_eq!(places(&fighters(&[0, 0, 1, 1], &[1, 4, 3, 0])), [1, 1, 2, 2]);
        assert_eq!(places(&fighters(&[0, 1], &[2, 2])), [1, 1]);
        assert_eq!(places(&fighters(&[0, 1, 2, 3], &[2, 5, 2, 0])), [2, 1, 2, 4]);
    }

    #[test]
    fn nobody_wins_by_leaving() {
        let mut both = fighters(&[0, 1], &[9, 0]);
        both[0].has_left = true;
        assert_eq!(places(&both), [2, 1]);
    }

    #[test]
    fn warm_up_waits_for_the_first_player_and_not_for_ever_for_the_last() {
        let rate = Rate::new(20).expect("allowed");
        let mut clock = Clock::new(5, rate);
        let mut both = fighters(&[0, 1], &[0, 0]);
        for _ in 0..10_000 {
            assert_eq!(clock.step(&both), None, "nobody is there");
        }
        both[0].entity = Some(some_entity());
        let began = (1..=1_000).find(|_| clock.step(&both) == Some(Phase::Play));
        assert_eq!(began, Some(i32::from(rate.ticks(WARM_UP_S))));
        let ended = (1..=1_000).find(|_| clock.step(&both) == Some(Phase::Over));
        assert_eq!((ended, clock.ending()), (Some(100), Some(Ending::TimeUp)));
    }

    #[test]
    fn play_begins_at_once_when_all_are_there_and_ends_when_one_side_is_left() {
        let mut clock = Clock::new(5, Rate::new(20).expect("allowed"));
        let mut both = fighters(&[0, 1], &[0, 0]);
        both.iter_mut().for_each(|fighter| fighter.entity = Some(some_entity()));
        assert_eq!(clock.step(&both), Some(Phase::Play));
        both[1].has_left = true;
        assert_eq!(clock.step(&both), Some(Phase::Over));
        assert_eq!(clock.ending(), Some(Ending::Abandoned));
    }

    fn some_entity() -> netcode::replication::EntityId {
        let mut world = netcode::replication::World::new(std::sync::Arc::new(crate::schema::schema()), 1);
        world.spawn(crate::schema::MATCH, None).expect("there is room for one")
    }
}
