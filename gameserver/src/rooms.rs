//! The arbiter: which matches this process hosts, and which orders of an allocator it obeys.
//!
//! Pure. The allocator proposes, the game server decides: it accepts at most `capacity` matches, answers a repeated
//! `MatchId` as before, and refuses a leader with a lower epoch than one already obeyed.

use std::collections::{BTreeMap, VecDeque};

use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::pb::{MatchPhase, RefusalReason};

/// Ended matches that are remembered, so that a late repetition does not start them again.
const ENDED_MAX: usize = 1_024;
/// Most players of one match: a seat is named by one byte.
pub const PLAYERS_MAX: usize = 64;

/// A match of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// Who plays, as assigned.
    pub roster: Vec<pb::RosterEntry>,
    /// Newest attempt that was seen.
    pub attempt: u32,
    /// Epoch of the leader that assigned it first.
    pub epoch: u64,
    /// How far it is; `None` while its room is being made.
    pub phase: Option<MatchPhase>,
}

/// What to do with an Assign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Make the room, then say [`Arbiter::joinable`] or [`Arbiter::refused`].
    Start,
    /// Its room is being made already: answer when it is there.
    Wait,
    /// Hosted: answer Joinable again.
    Joinable,
    /// Not here, and why.
    Refuse(RefusalReason, String),
}

/// An order of a leader who has been replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the order carries epoch {given}, but epoch {seen} was obeyed already")]
pub struct StaleEpoch {
    /// Epoch of the order.
    pub given: u64,
    /// Highest epoch obeyed.
    pub seen: u64,
}

/// Every match of this process.
#[derive(Debug)]
pub struct Arbiter {
    capacity: usize,
    epoch_seen: u64,
    leaving: Option<String>,
    matches: BTreeMap<MatchId, Hosted>,
    ended: VecDeque<MatchId>,
}

impl Arbiter {
    /// Hosts nothing yet; `capacity` matches at once, at least 1.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            epoch_seen: 0,
            leaving: None,
            matches: BTreeMap::new(),
            ended: VecDeque::new(),
        }
    }

    /// Decides an Assign. `closed` says why the observed Agones state forbids a new match, if it does.
    pub fn assign(&mut self, id: MatchId, order: &pb::Assign, closed: Option<&str>) -> Decision {
        use RefusalReason as Reason;
        if let Err(stale) = self.obey(order.epoch) {
            return Decision::Refuse(Reason::StaleEpoch, stale.to_string());
        }
        if let Some(hosted) = self.matches.get_mut(&id) {
            hosted.attempt = hosted.attempt.max(order.attempt);
            return match hosted.phase {
                None => Decision::Wait,
                Some(MatchPhase::Joinable | MatchPhase::Playing) => Decision::Joinable,
                Some(_) => Decision::Refuse(Reason::Ended, "the match has ended here".into()),
            };
        }
        if self.ended.contains(&id) {
            return Decision::Refuse(Reason::Ended, "the match was hosted here and has ended".into());
        }
        if let Some(reason) = &self.leaving {
            return Decision::Refuse(Reason::Leaving, reason.clone());
        }
        if self.matches.len() >= self.capacity {
            return Decision::Refuse(Reason::Full, format!("{} of {} matches", self.matches.len(), self.capacity));
        }
        if let Some(why) = closed {
            return Decision::Refuse(Reason::State, why.into());
        }
        if let Err(fault) = check_roster(&order.roster) {
            return Decision::Refuse(Reason::Game, fault);
        }
        let hosted = Hosted { roster: order.roster.clone(), attempt: order.attempt, epoch: order.epoch, phase: None };
        self.matches.insert(id, hosted);
        Decision::Start
    }

    /// Checks the epoch of any order, and remembers it.
    ///
    /// # Errors
    /// [`StaleEpoch`]: the order must be ignored.
    pub fn obey(&mut self, epoch: u64) -> Result<(), StaleEpoch> {
        if epoch < self.epoch_seen {
            return Err(StaleEpoch { given: epoch, seen: self.epoch_seen });
        }
        self.epoch_seen = epoch;
        Ok(())
    }

    /// Takes no new match from now on.
    pub fn leave(&mut self, reason: &str) {
        self.leaving.get_or_insert_with(|| reason.to_owned());
    }

    /// Why no new match is taken, if so.
    pub fn leaving(&self) -> Option<&str> {
        self.leaving.as_deref()
    }

    /// The room is there and admits players.
    pub fn joinable(&mut self, id: MatchId) {
        self.advance(id, MatchPhase::Joinable);
    }

    /// The game refused the match: it never was here, and another attempt may try again.
    pub fn refused(&mut self, id: MatchId) {
        self.matches.remove(&id);
    }

    /// The match is in this phase now. Closed and Failed give its place free; a phase never goes back.
    pub fn advance(&mut self, id: MatchId, phase: MatchPhase) {
        let Some(hosted) = self.matches.get_mut(&id) else { return };
        if hosted.phase.is_none_or(|before| (before as i32) < phase as i32) {
            hosted.phase = Some(phase);
        }
        if matches!(phase, MatchPhase::Closed | MatchPhase::Failed) {
            self.matches.remove(&id);
            if self.ended.len() == ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(id);
        }
    }

    /// A hosted match.
    pub fn get(&self, id: MatchId) -> Option<&Hosted> {
        self.matches.get(&id)
    }

    /// Hosted matches, those that are being made or whose result is on its way included.
    pub fn len(&self) -> usize {
        self.matches.len()
    }

    /// Whether nothing is hosted.
    pub fn is_empty(&self) -> bool {
        self.matches.is_empty()
    }

    /// Highest epoch obeyed.
    pub fn epoch_seen(&self) -> u64 {
        self.epoch_seen
    }

    /// What Register says about the matches that are here.
    pub fn hosted(&self) -> Vec<pb::HostedMatch> {
        let known = self.matches.iter().filter_map(|(id, hosted)| Some((id, hosted, hosted.phase?)));
        let message = known.map(|(id, hosted, phase)| pb::HostedMatch {
            match_id: id.to_string(),
            roster: hosted.roster.clone(),
            attempt: hosted.attempt,
            epoch: hosted.epoch,
            phase: phase.into(),
        });
        message.collect()
    }
}

/// The players of a roster in seat order.
///
/// # Errors
/// A sentence that says what is wrong: nobody, too many, a player twice, or no player id.
pub fn players(roster: &[pb::RosterEntry]) -> Result<Vec<PlayerId>, String> {
    if roster.is_empty() || roster.len() > PLAYERS_MAX {
        return Err(format!("a roster has 1 to {PLAYERS_MAX} players, this one {}", roster.len()));
    }
    let ids: Result<Vec<PlayerId>, _> = roster.iter().map(|entry| entry.player_id.parse()).collect();
    let ids = ids.map_err(|error| error.to_string())?;
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    if distinct.len() < ids.len() {
        return Err("a player is on the roster twice".into());
    }
    Ok(ids)
}

fn check_roster(roster: &[pb::RosterEntry]) -> Result<(), String> {
    players(roster).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn match_id(byte: u8) -> MatchId {
        MatchId::from_entropy([byte; 16])
    }

    fn order(attempt: u32, epoch: u64) -> pb::Assign {
        let player = |byte: u8| pb::RosterEntry {
            player_id: PlayerId::from_entropy([byte; 16]).to_string(),
            team: u32::from(byte),
            ..Default::default()
        };
        pb::Assign { attempt, epoch, roster: vec![player(1), player(2)], ..Default::default() }
    }

    fn refusal(decision: &Decision) -> Option<RefusalReason> {
        if let Decision::Refuse(reason, _) = decision { Some(*reason) } else { None }
    }

    #[test]
    fn a_repeated_match_is_answered_as_before_and_takes_one_place() {
        let mut arbiter = Arbiter::new(1);
        let (one, two) = (match_id(1), match_id(2));
        assert_eq!(arbiter.assign(one, &order(1, 5), None), Decision::Start);
        assert_eq!(arbiter.assign(one, &order(2, 5), None), Decision::Wait);
        arbiter.joinable(one);
        assert_eq!(arbiter.assign(one, &order(3, 5), None), Decision::Joinable);
        arbiter.advance(one, MatchPhase::Playing);
        assert_eq!(arbiter.assign(one, &order(4, 5), Some("closed")), Decision::Joinable, "it is here already");
        assert_eq!(arbiter.hosted()[0].attempt, 4);
        assert_eq!(refusal(&arbiter.assign(two, &order(1, 5), None)), Some(RefusalReason::Full));
        arbiter.advance(one, MatchPhase::Ended);
        assert_eq!(refusal(&arbiter.assign(one, &order(5, 5), None)), Some(RefusalReason::Ended));
        assert_eq!(
            refusal(&arbiter.assign(two, &order(1, 5), None)),
            Some(RefusalReason::Full),
            "result not delivered"
        );
        arbiter.advance(one, MatchPhase::Closed);
        assert_eq!(refusal(&arbiter.assign(one, &order(6, 5), None)), Some(RefusalReason::Ended));
        assert_eq!(arbiter.assign(two, &order(1, 5), None), Decision::Start);
    }

    #[test]
    fn a_lower_epoch_is_refused_whatever_it_orders() {
        let mut arbiter = Arbiter::new(2);
        assert_eq!(arbiter.assign(match_id(1), &order(1, 7), None), Decision::Start);
        assert_eq!(refusal(&arbiter.assign(match_id(2), &order(1, 6), None)), Some(RefusalReason::StaleEpoch));
        assert_eq!(refusal(&arbiter.assign(match_id(1), &order(2, 6), None)), Some(RefusalReason::StaleEpoch));
        assert_eq!(arbiter.obey(6), Err(StaleEpoch { given: 6, seen: 7 }));
        assert_eq!((arbiter.obey(8), arbiter.epoch_seen()), (Ok(()), 8));
    }

    #[test]
    fn state_leaving_and_bad_rosters_are_refused_by_name() {
        let mut arbiter = Arbiter::new(2);
        let state = arbiter.assign(match_id(1), &order(1, 1), Some("observed Ready"));
        assert_eq!(state, Decision::Refuse(RefusalReason::State, "observed Ready".into()));
        let mut twice = order(1, 1);
        twice.roster[1] = twice.roster[0].clone();
        let mut crowd = order(1, 1);
        crowd.roster = vec![twice.roster[0].clone(); PLAYERS_MAX + 1];
        let mut nobody = order(1, 1);
        nobody.roster.clear();
        let mut nameless = order(1, 1);
        nameless.roster[0].player_id = "bob".into();
        for bad in [twice, crowd, nobody, nameless] {
            assert_eq!(refusal(&arbiter.assign(match_id(1), &bad, None)), Some(RefusalReason::Game));
        }
        arbiter.leave("draining");
        assert_eq!(refusal(&arbiter.assign(match_id(1), &order(1, 1), None)), Some(RefusalReason::Leaving));
        assert!(arbiter.is_empty());
    }

    #[test]
    fn a_match_that_the_game_refused_may_be_tried_again() {
        let mut arbiter = Arbiter::new(1);
        assert_eq!(arbiter.assign(match_id(1), &order(1, 1), None), Decision::Start);
        assert!(arbiter.hosted().is_empty(), "a room that is not there yet is not announced");
        arbiter.refused(match_id(1));
        assert_eq!(arbiter.assign(match_id(1), &order(2, 1), None), Decision::Start);
        arbiter.joinable(match_id(1));
        arbiter.advance(match_id(1), MatchPhase::Failed);
        assert_eq!(refusal(&arbiter.assign(match_id(1), &order(3, 1), None)), Some(RefusalReason::Ended));
    }

    #[test]
    fn the_memory_of_ended_matches_is_bounded() {
        let mut arbiter = Arbiter::new(1);
        for n in 0..=ENDED_MAX {
            let id = MatchId::from_time(n as u64, [0; 10]);
            assert_eq!(arbiter.assign(id, &order(1, 1), None), Decision::Start);
            arbiter.advance(id, MatchPhase::Closed);
        }
        assert_eq!(arbiter.ended.len(), ENDED_MAX);
    }
}
