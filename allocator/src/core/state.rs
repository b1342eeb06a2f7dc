//! Everything the allocator knows, and what the passing of time does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use protocol::id::{MatchId, ServerId};
use protocol::pb::{self, MatchEventKind};

use super::allocate::pairs;
use super::cluster::Cluster;
use super::effect::{AllocateError, CallId, Effect, Order, Placed};
use super::events::{CursorOutOfRange, EventLog};
use super::link::LinkState;
use super::matches::{Match, MatchState, Matches, Over, OverWhy, Stage};
use super::now::Now;
use super::pool::{Pool, Room, ServerFacts};
use super::settings::{Limits, Timing};
use super::wait_queue::WaitQueue;

/// What a core is made of.
#[derive(Debug, Clone)]
pub struct CoreSettings {
    /// The leader's epoch.
    pub epoch: u64,
    /// Name of the match log, unique to this start.
    pub log_id: String,
    /// Servers that exist as the leader starts; see [`crate::Config::expected`].
    pub expected: Option<BTreeSet<String>>,
    /// How long things may take.
    pub timing: Timing,
    /// How much is kept at once.
    pub limits: Limits,
}

/// The allocator's whole state. Every method that takes `now` may leave effects; the shell takes them with
/// [`take_effects`](Self::take_effects) after each call and carries them out in order. [`tick`](Self::tick) is called
/// every few dozen milliseconds; extra calls are harmless.
#[derive(Debug)]
pub struct Core {
    pub(super) epoch: u64,
    pub(super) timing: Timing,
    pub(super) limits: Limits,
    pub(super) pool: Pool,
    pub(super) matches: Matches,
    pub(super) queue: WaitQueue,
    pub(super) log: EventLog,
    pub(super) calls: BTreeMap<CallId, MatchId>,
    pub(super) stopping: bool,
    pub(super) settled: bool,
    expected: Option<BTreeSet<String>>,
    complete_since: Option<Duration>,
    pub(super) cluster: Option<Cluster>,
    effects: Vec<Effect>,
}

impl Core {
    /// A leader that knows no server yet.
    pub fn new(settings: CoreSettings) -> Self {
        let limits = settings.limits;
        Self {
            epoch: settings.epoch,
            timing: settings.timing,
            pool: Pool::default(),
            matches: Matches::new(limits.remembered_max),
            queue: WaitQueue::new(limits.waiting_max),
            log: EventLog::new(settings.log_id, limits.events_max, limits.event_bytes_max),
            calls: BTreeMap::new(),
            stopping: false,
            // Before the first leader there was none that could have placed a match.
            settled: settings.epoch <= 1,
            expected: settings.expected,
            complete_since: None,
            cluster: None,
            effects: Vec::new(),
            limits,
        }
    }

    /// What is to be done since the last call.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Cursor of the newest event.
    pub fn newest_event(&self) -> u64 {
        self.log.newest()
    }

    /// Events after `cursor`, at most `events_max`.
    ///
    /// # Errors
    /// [`CursorOutOfRange`].
    pub fn events_after(
        &self,
        cursor: u64,
        events_max: usize,
    ) -> Result<Vec<std::sync::Arc<pb::MatchEvent>>, CursorOutOfRange> {
        self.log.after(cursor, events_max)
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Now) {
        self.judge_links(now);
        self.expire_rooms(now);
        self.end_pauses(now);
        self.settle(now);
        self.expire_calls(now);
        self.matches.expire(now.at);
        self.look_at_cluster(now);
    }

    /// Another list of the servers that exist. Those that came into being under this leader have no match of an earlier one,
    /// so nobody waits for them.
    pub fn set_expected(&mut self, names: &BTreeSet<String>, now: Now) {
        if let Some(expected) = &mut self.expected {
            expected.retain(|name| names.contains(name));
        }
        self.settle(now);
    }

    /// No new call is taken, those that wait are answered; an Assign that is under way may still be answered.
    pub fn stop(&mut self, now: Now) {
        self.stopping = true;
        for match_id in self.matches.pending() {
            if self.matches.get(match_id).is_some_and(|m| m.assigning().is_none()) {
                self.fail_pending(match_id, &AllocateError::Stopping, now);
            }
        }
    }

    /// Whether any call waits for its answer.
    pub fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Notes when every server that an earlier leader may have used has registered or is gone. From a moment later,
    /// so that updates which were waiting for a leader have arrived too, later attempts are placed like first ones.
    pub(super) fn settle(&mut self, now: Now) {
        if self.settled {
            return;
        }
        // Whoever was silent for so long is lost, in the list or not.
        let complete = now.at >= self.timing.lost_after
            || self.expected.as_ref().is_some_and(|names| {
                let known: BTreeSet<String> = self.pool.iter().map(|s| s.facts.key()).collect();
                names.iter().all(|name| known.contains(name))
            });
        let since = complete.then(|| self.complete_since.unwrap_or(now.at));
        self.complete_since = since;
        if since.is_none_or(|since| now.at.saturating_sub(since) < self.timing.settle_grace) {
            return;
        }
        self.settled = true;
        self.expected = None;
        for match_id in self.matches.pending() {
            if self.matches.get(match_id).and_then(Match::pending).is_some_and(|p| p.stage == Stage::Held) {
                self.place(match_id, now);
            }
        }
    }

    /// A server that was expected is gone.
    pub(super) fn no_longer_expect(&mut self, name: &str, now: Now) {
        if let Some(names) = &mut self.expected {
            names.remove(name);
        }
        self.settle(now);
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Sends an order if the server has a stream.
    pub(super) fn send(&mut self, server: ServerId, order: Order) {
        if let Some(link) = self.pool.get(server).and_then(|s| s.link.stream()) {
            self.effects.push(Effect::Send { link, order });
        }
    }

    /// Answers a call, once.
    pub(super) fn answer(&mut self, call: CallId, answer: Result<Placed, AllocateError>) {
        if self.calls.remove(&call).is_some() {
            self.effects.push(Effect::Answer { call, answer });
        }
    }

    /// Ends the record of a match and remembers why.
    pub(super) fn finish(&mut self, match_id: MatchId, why: OverWhy, server: Option<ServerId>, now: Now) {
        let orphans = match self.matches.get(match_id).map(|m| &m.state) {
            Some(MatchState::Pending(pending)) => pending.orphans.clone(),
            Some(MatchState::Over(over)) => over.orphans.clone(),
            Some(MatchState::Live(_)) | None => BTreeSet::new(),
        };
        let forget_at = now.at + self.timing.remember;
        self.queue.remove_match(match_id);
        self.matches.set_state(match_id, MatchState::Over(Over { why, server, orphans, forget_at }));
    }

    /// Writes an event about a match into the log.
    pub(super) fn log_event(
        &mut self,
        match_id: MatchId,
        kind: MatchEventKind,
        server: Option<&ServerFacts>,
        details: EventDetails,
        now: Now,
    ) {
        let request = self.matches.get(match_id).map(|m| m.request.clone());
        let trace_id = request.as_ref().map(|r| r.trace_id.clone()).unwrap_or_default();
        tracing::info!(
            %match_id, trace_id, event = kind.as_str_name(), reason = details.reason,
            server_name = server.map(|s| s.name.as_str()), "match"
        );
        self.log.append(pb::MatchEvent {
            match_id: match_id.to_string(),
            kind: kind.into(),
            reason: details.reason,
            queue: request.as_ref().map(|r| r.queue.clone()).unwrap_or_default(),
            roster: request.map(|r| r.roster.iter().map(Into::into).collect()).unwrap_or_default(),
            server_id: server.map(|s| s.server_id.to_string()).unwrap_or_default(),
            server_name: server.map(|s| s.name.clone()).unwrap_or_default(),
            build: server.map(|s| s.build.clone()).unwrap_or_default(),
            region: server.map(|s| s.region.clone()).unwrap_or_default(),
            revision: server.map(|s| s.revision.clone()).unwrap_or_default(),
            fleet: server.map(|s| s.fleet.clone()).unwrap_or_default(),
            namespace: server.map(|s| s.namespace.clone()).unwrap_or_default(),
            stats: details.stats,
            trace_id,
            at_ms: now.unix_ms,
            allocation_us: details.allocation_us,
            ..pb::MatchEvent::default()
        });
    }

    fn judge_links(&mut self, now: Now) {
        let mut changes = Vec::new();
        let mut forgotten = Vec::new();
        let forget_after = self.timing.lost_after + self.timing.remember;
        for server in self.pool.iter_mut() {
            let id = server.facts.server_id;
            if let Some(state) = server.link.judge(now.at, &self.timing) {
                changes.push((id, state));
            }
            if server.link.state() == LinkState::Lost && now.at.saturating_sub(server.link.last_heard()) >= forget_after
            {
                forgotten.push(id);
            }
        }
        for (id, state) in changes {
            match state {
                LinkState::Suspect => self.suspect(id, now),
                LinkState::Lost => self.lose(id, "its server has been silent for too long", now),
                LinkState::Linked => {}
            }
        }
        for id in forgotten {
            self.pool.remove(id);
        }
    }

    fn expire_rooms(&mut self, now: Now) {
        let mut due = Vec::new();
        for server in self.pool.iter().filter(|server| server.link.state() == LinkState::Linked) {
            for (match_id, room) in &server.rooms {
                if let Room::Missing { since } | Room::Releasing { since } = *room
                    && now.at.saturating_sub(since) >= self.timing.release_timeout
                {
                    due.push((server.facts.clone(), *match_id, *room));
                }
            }
        }
        for (facts, match_id, room) in due {
            if matches!(room, Room::Missing { .. }) {
                self.lose_match(match_id, &facts, "its server no longer has it", None, now);
            }
            self.free_room(facts.server_id, match_id, now);
        }
    }

    fn end_pauses(&mut self, now: Now) {
        let mut rested = Vec::new();
        for server in self.pool.iter_mut() {
            if server.paused_until.is_some_and(|until| until <= now.at) {
                server.paused_until = None;
                rested.push(server.facts.server_id);
            }
        }
        for id in rested {
            self.place_waiting(id, now);
        }
    }

    fn expire_calls(&mut self, now: Now) {
        for waiting in self.queue.expire(now.at) {
            self.end_call(waiting.match_id, waiting.call, &AllocateError::NoServer, now);
        }
        for match_id in self.matches.pending() {
            let assign_timeout = self.assign_timeout(match_id);
            let Some(pending) = self.matches.get(match_id).and_then(Match::pending) else { continue };
            match pending.stage {
                Stage::Held => {
                    let due = |arrived| now.at.saturating_sub(arrived) >= self.timing.settle_max;
                    for call in pairs(pending).filter(|(_, arrived)| due(*arrived)).collect::<Vec<_>>() {
                        self.end_call(match_id, call.0, &AllocateError::NotSettled, now);
                    }
                }
                Stage::Assigning { since, .. } if now.at.saturating_sub(since) >= assign_timeout => {
                    self.abandon(match_id, "no answer to Assign in time", now);
                }
                Stage::Waiting | Stage::Assigning { .. } => {}
            }
        }
    }

    /// How long the server that a match is being assigned to may take: a game in another language may have a map to load.
    fn assign_timeout(&self, match_id: MatchId) -> Duration {
        let server = self.matches.get(match_id).and_then(Match::assigning).and_then(|id| self.pool.get(id));
        let asked = server.map_or(Duration::ZERO, |server| server.facts.joinable_within);
        asked.max(self.timing.assign_timeout)
    }
}

/// What an event says beside whose and where.
#[derive(Debug, Default)]
pub(super) struct EventDetails {
    pub(super) reason: String,
    pub(super) stats: Option<pb::MatchStats>,
    pub(super) allocation_us: u64,
}

impl EventDetails {
    pub(super) fn because(reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..Self::default() }
    }
}
