//! One record per match, from the first call until it has been over for a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{MatchId, ServerId};

use super::effect::CallId;
use super::pool::ServerFacts;
use super::request::MatchRequest;

/// What is known of a match.
#[derive(Debug, Clone)]
pub struct Match {
    /// What was asked for.
    pub request: Arc<MatchRequest>,
    /// The caller's attempt that it was placed by.
    pub attempt: u32,
    /// Number in the last Assign, at least `attempt`. A call may try several servers, each by a higher number, so
    /// that of two servers that both name the match the later order is known even to another leader.
    pub order: u32,
    /// Epoch of the leader that placed it.
    pub epoch: u64,
    /// How far it has come.
    pub state: MatchState,
}

/// How far a match has come.
#[derive(Debug, Clone)]
pub enum MatchState {
    /// A server is being found.
    Pending(Pending),
    /// A server hosts it.
    Live(Live),
    /// It is over; only the right answer to a late call remains.
    Over(Over),
}

/// A match without a server that said Joinable.
#[derive(Debug, Clone)]
pub struct Pending {
    /// Calls that wait for the answer. Empty when all were cancelled.
    pub calls: Vec<Call>,
    /// What is being waited for.
    pub stage: Stage,
    /// Servers not to be tried again.
    pub excluded: BTreeSet<ServerId>,
    /// Servers that were told to release it and have not said that they did; `Ended` from one of these means that.
    pub orphans: BTreeSet<ServerId>,
    /// When the first call arrived.
    pub since: Duration,
}

/// What a pending match waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The servers of an earlier leader: one of them may host it.
    Held,
    /// A free room.
    Waiting,
    /// The server's answer to Assign.
    Assigning {
        /// The server.
        server: ServerId,
        /// When Assign was sent.
        since: Duration,
    },
}

/// An Allocate call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub id: CallId,
    /// When it arrived.
    pub arrived: Duration,
    /// Until when it waits for a free room.
    pub wait_until: Duration,
}

/// How far a hosted match has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It admits players.
    Joinable,
    /// The first tick of play has run.
    Playing,
    /// It ended by the game's rules; the result is being delivered.
    Ended,
}

/// A match on its server.
#[derive(Debug, Clone)]
pub struct Live {
    /// The server.
    pub server: Arc<ServerFacts>,
    /// How far it has come.
    pub phase: Phase,
    /// Time from the first call to Joinable.
    pub took: Duration,
    /// Whether its end is in the log. A match can be restored as Ended before its server repeats the update.
    pub end_logged: bool,
    /// Whether only its server's word is known: another server may have had a later order.
    pub restored: bool,
}

impl Live {
    /// A match of which only its server's word is known, and that it has been played.
    pub fn reported_by(server: &Arc<ServerFacts>) -> Self {
        Self { server: server.clone(), phase: Phase::Playing, took: Duration::ZERO, end_logged: false, restored: true }
    }
}

/// A match that is over.
#[derive(Debug, Clone)]
pub struct Over {
    /// How it came to be over.
    pub why: OverWhy,
    /// Its last server.
    pub server: Option<ServerId>,
    /// As in [`Pending::orphans`].
    pub orphans: BTreeSet<ServerId>,
    /// When the record is dropped.
    pub forget_at: Duration,
}

/// How a match came to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverWhy {
    /// It ended by the game's rules.
    Ended,
    /// Its caller gave it back.
    Released,
    /// Its server is gone or its room failed.
    Lost {
        /// Whether play had begun: then it is never placed again.
        played: bool,
    },
    /// No server was found, but one was tried and may still answer.
    Unplaced,
}

impl Match {
    /// Its pending state.
    pub fn pending(&self) -> Option<&Pending> {
        match &self.state {
            MatchState::Pending(pending) => Some(pending),
            MatchState::Live(_) | MatchState::Over(_) => None,
        }
    }

    /// Its pending state.
    pub fn pending_mut(&mut self) -> Option<&mut Pending> {
        match &mut self.state {
            MatchState::Pending(pending) => Some(pending),
            MatchState::Live(_) | MatchState::Over(_) => None,
        }
    }

    /// Its live state.
    pub fn live(&self) -> Option<&Live> {
        match &self.state {
            MatchState::Live(live) => Some(live),
            MatchState::Pending(_) | MatchState::Over(_) => None,
        }
    }

    /// The server that is deciding about Assign.
    pub fn assigning(&self) -> Option<ServerId> {
        match self.pending()?.stage {
            Stage::Assigning { server, .. } => Some(server),
            Stage::Held | Stage::Waiting => None,
        }
    }

    /// Whether this server hosts it.
    pub fn is_live_on(&self, server: ServerId) -> bool {
        self.live().is_some_and(|live| live.server.server_id == server)
    }
}

/// Every match that is known.
#[derive(Debug)]
pub struct Matches {
    records: BTreeMap<MatchId, Match>,
    pending: BTreeSet<MatchId>,
    /// Those on a server: a few among all that are remembered.
    live: BTreeSet<MatchId>,
    over: VecDeque<(Duration, MatchId)>,
    over_max: usize,
}

impl Matches {
    /// No match; at most `over_max` will be remembered after they are over.
    pub fn new(over_max: usize) -> Self {
        Self {
            records: BTreeMap::new(),
            pending: BTreeSet::new(),
            live: BTreeSet::new(),
            over: VecDeque::new(),
            over_max,
        }
    }

    /// The match.
    pub fn get(&self, id: MatchId) -> Option<&Match> {
        self.records.get(&id)
    }

    /// The match's pending state, to change it in place.
    pub fn pending_mut(&mut self, id: MatchId) -> Option<&mut Pending> {
        self.records.get_mut(&id)?.pending_mut()
    }

    /// Numbers the next Assign of a match: higher than any before, and at least the caller's attempt.
    pub fn next_order(&mut self, id: MatchId) -> u32 {
        let Some(record) = self.records.get_mut(&id) else { return 0 };
        record.order = record.attempt.max(record.order.saturating_add(1));
        record.order
    }

    /// The match's live state, to change it in place.
    pub fn live_mut(&mut self, id: MatchId) -> Option<&mut Live> {
        match &mut self.records.get_mut(&id)?.state {
            MatchState::Live(live) => Some(live),
            MatchState::Pending(_) | MatchState::Over(_) => None,
        }
    }

    /// Puts a record in, in place of the one that there was.
    pub fn put(&mut self, mut record: Match) {
        let id = record.request.match_id;
        match &record.state {
            MatchState::Pending(_) => {
                self.live.remove(&id);
                self.pending.insert(id);
            }
            MatchState::Live(_) => {
                self.pending.remove(&id);
                self.live.insert(id);
            }
            MatchState::Over(over) => {
                self.pending.remove(&id);
                self.live.remove(&id);
                self.over.push_back((over.forget_at, id));
                if !record.request.settings_json.is_empty() {
                    Arc::make_mut(&mut record.request).settings_json = String::new();
                }
            }
        }
        self.records.insert(id, record);
        while self.over.len() > self.over_max {
            self.forget_oldest();
        }
    }

    /// Changes the state of a match that is known.
    pub fn set_state(&mut self, id: MatchId, state: MatchState) {
        if let Some(record) = self.records.remove(&id) {
            self.put(Match { state, ..record });
        }
    }

    /// Drops a record.
    pub fn remove(&mut self, id: MatchId) {
        self.records.remove(&id);
        self.pending.remove(&id);
        self.live.remove(&id);
    }

    /// Drops the records of matches that have been over for long enough.
    pub fn expire(&mut self, now: Duration) {
        while self.over.front().is_some_and(|(forget_at, _)| *forget_at <= now) {
            self.forget_oldest();
        }
    }

    /// Matches that are pending.
    pub fn pending(&self) -> Vec<MatchId> {
        self.pending.iter().copied().collect()
    }

    /// Matches that are pending or on a server, by id within each: without those that are only remembered, which are many more.
    pub fn current(&self) -> impl Iterator<Item = &Match> {
        self.pending.iter().chain(&self.live).filter_map(|id| self.records.get(id))
    }

    /// How many are only remembered.
    pub fn remembered(&self) -> usize {
        self.records.len() - self.pending.len() - self.live.len()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn forget_oldest(&mut self) {
        let Some((forget_at, id)) = self.over.pop_front() else { return };
        // A match that was lost or unplaced may have come back to life since: then this entry is stale.
        let due = |record: &Match| matches!(&record.state, MatchState::Over(over) if over.forget_at == forget_at);
        if self.records.get(&id).is_some_and(due) {
            self.records.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(byte: u8, forget_at_s: u64) -> Match {
        let request = MatchRequest::restored(MatchId::from_entropy([byte; 16]), vec![]);
        let forget_at = Duration::from_secs(forget_at_s);
        let over = Over { why: OverWhy::Ended, server: None, orphans: BTreeSet::new(), forget_at };
        Match { request: Arc::new(request), attempt: 1, order: 1, epoch: 1, state: MatchState::Over(over) }
    }

    #[test]
    fn what_is_over_is_forgotten_in_time_and_over_the_bound() {
        let mut matches = Matches::new(2);
        matches.put(over(1, 10));
        matches.put(over(2, 11));
        assert_eq!(matches.len(), 2);
        matches.put(over(3, 12));
        assert_eq!(matches.len(), 2, "the oldest fell out");
        assert!(matches.get(MatchId::from_entropy([1; 16])).is_none());
        matches.expire(Duration::from_secs(11));
        assert_eq!(matches.len(), 1);
        matches.expire(Duration::from_secs(12));
        assert!(matches.is_empty());
    }

    #[test]
    fn a_match_that_came_back_is_not_forgotten_by_its_old_date() {
        let mut matches = Matches::new(9);
        let id = MatchId::from_entropy([1; 16]);
        matches.put(over(1, 10));
        assert_eq!((matches.current().count(), matches.remembered()), (0, 1));
        let pending = Pending {
            calls: vec![],
            stage: Stage::Waiting,
            excluded: BTreeSet::new(),
            orphans: BTreeSet::new(),
            since: Duration::ZERO,
        };
        matches.set_state(id, MatchState::Pending(pending));
        assert_eq!(matches.pending(), [id]);
        assert_eq!((matches.current().count(), matches.remembered()), (1, 0));
        matches.expire(Duration::from_secs(10));
        assert!(matches.get(id).is_some_and(|record| record.pending().is_some()));
        matches.remove(id);
        assert!(matches.is_empty() && matches.pending().is_empty());
    }
}
