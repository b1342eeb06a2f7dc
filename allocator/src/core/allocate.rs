//! From an Allocate call to its one answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{MatchId, ServerId};
use protocol::pb::{MatchEventKind, RefusalReason};

use super::effect::{AllocateError, CallId, Order, Placed};
use super::matches::{Call, Live, Match, MatchState, OverWhy, Pending, Phase, Stage};
use super::now::Now;
use super::placement::Wanted;
use super::pool::Room;
use super::request::MatchRequest;
use super::state::{Core, EventDetails};
use super::wait_queue::Waiting;

impl Core {
    /// An Allocate call arrives. It gets exactly one [`Effect::Answer`](super::effect::Effect::Answer), now or
    /// later, unless it is cancelled before.
    pub fn allocate(&mut self, id: CallId, request: MatchRequest, attempt: u32, wait: Duration, now: Now) {
        let match_id = request.match_id;
        self.calls.insert(id, match_id);
        if self.stopping {
            return self.answer(id, Err(AllocateError::Stopping));
        }
        let call = Call { id, arrived: now.at, wait_until: now.at + wait.min(self.timing.wait_max) };
        match self.matches.get(match_id) {
            None if attempt > 1 && !self.settled => self.hold(request, attempt, call),
            None => self.begin(request, (attempt, 0), call, BTreeSet::new(), now),
            Some(known) if !known.request.same_roster(&request.roster) => {
                self.answer(id, Err(AllocateError::OtherRoster));
            }
            Some(known) => match &known.state {
                MatchState::Pending(_) => self.join(match_id, call, now),
                MatchState::Live(live) if live.phase == Phase::Ended => self.answer(id, Err(AllocateError::Ended)),
                MatchState::Live(live) if !self.is_firm(live, now) => self.answer(id, Err(AllocateError::NotSettled)),
                MatchState::Live(live) => {
                    let placed = Placed { match_id, server: live.server.clone(), took: live.took };
                    self.answer(id, Ok(placed));
                }
                MatchState::Over(over) => match over.why {
                    OverWhy::Ended => self.answer(id, Err(AllocateError::Ended)),
                    OverWhy::Released => self.answer(id, Err(AllocateError::Released)),
                    OverWhy::Lost { played } if played || attempt <= known.attempt => {
                        self.answer(id, Err(AllocateError::Lost));
                    }
                    // The first answer may never have arrived: a later attempt for a match that nobody played is
                    // placed again.
                    OverWhy::Lost { .. } | OverWhy::Unplaced => {
                        let orphans = over.orphans.iter().copied().chain(over.server).collect();
                        let order = known.order;
                        self.begin(request, (attempt, order), call, orphans, now);
                    }
                },
            },
        }
    }

    /// The caller has gone: nobody waits for this call's answer.
    pub fn cancel(&mut self, call: CallId, now: Now) {
        let Some(match_id) = self.calls.remove(&call) else { return };
        self.queue.remove_call(call);
        if let Some(pending) = self.matches.pending_mut(match_id) {
            pending.calls.retain(|c| c.id != call);
        }
        self.drop_if_unwanted(match_id, now);
    }

    /// Whether no other server can turn out to have the match by a later order. While a new leader does not know
    /// every server, a match that is merely joinable may be one that an earlier leader had taken away; nobody plays
    /// there, for no token was ever minted for it.
    pub(super) fn is_firm(&self, live: &Live, now: Now) -> bool {
        !live.restored || live.phase >= Phase::Playing || self.settled || now.at >= self.timing.settle_max
    }

    /// A new record, and the search for a server. `numbers`: the caller's attempt, and the last order so far.
    fn begin(&mut self, request: MatchRequest, numbers: (u32, u32), call: Call, orphans: BTreeSet<ServerId>, now: Now) {
        let match_id = request.match_id;
        self.put_pending(request, numbers, call, Stage::Waiting, orphans);
        self.place(match_id, now);
    }

    /// A new record that waits for the servers of an earlier leader.
    fn hold(&mut self, request: MatchRequest, attempt: u32, call: Call) {
        let held = |m: &MatchId| self.matches.get(*m).and_then(Match::pending).is_some_and(|p| p.stage == Stage::Held);
        if self.matches.pending().iter().filter(|m| held(m)).count() >= self.limits.waiting_max {
            return self.answer(call.id, Err(AllocateError::QueueFull));
        }
        self.put_pending(request, (attempt, 0), call, Stage::Held, BTreeSet::new());
    }

    fn put_pending(
        &mut self,
        request: MatchRequest,
        (attempt, order): (u32, u32),
        call: Call,
        stage: Stage,
        orphans: BTreeSet<ServerId>,
    ) {
        let pending = Pending { calls: vec![call], stage, excluded: BTreeSet::new(), orphans, since: call.arrived };
        let state = MatchState::Pending(pending);
        self.matches.put(Match { request: Arc::new(request), attempt, order, epoch: self.epoch, state });
    }

    /// One more call for a match that is being placed.
    fn join(&mut self, match_id: MatchId, call: Call, now: Now) {
        let calls_max = self.limits.calls_per_match_max;
        let Some(pending) = self.matches.pending_mut(match_id) else { return };
        if pending.calls.len() >= calls_max {
            return self.answer(call.id, Err(AllocateError::TooManyCalls));
        }
        pending.calls.push(call);
        if pending.stage == Stage::Waiting {
            self.enqueue(match_id, call, now);
        }
    }

    /// Finds a server for a pending match, or lets its calls wait.
    pub(super) fn place(&mut self, match_id: MatchId, now: Now) {
        self.queue.remove_match(match_id);
        let Some(pending) = self.matches.pending_mut(match_id) else { return };
        pending.stage = Stage::Waiting;
        if self.stopping {
            return self.fail_pending(match_id, &AllocateError::Stopping, now);
        }
        let late = |arrived| now.at.saturating_sub(arrived) >= self.timing.wait_max;
        for (call, _) in pairs(pending).filter(|(_, arrived)| late(*arrived)).collect::<Vec<_>>() {
            self.end_call(match_id, call, &AllocateError::TimedOut, now);
        }
        let Some(record) = self.matches.get(match_id) else { return };
        let Some(pending) = record.pending() else { return };
        if pending.calls.is_empty() {
            return self.drop_if_unwanted(match_id, now);
        }
        let rules = self.fleet_rules(&record.request);
        match Wanted::new(&record.request, &pending.excluded, rules).choose(&self.pool) {
            Some(server) => self.assign(match_id, server, now),
            None => {
                for call in pending.calls.clone() {
                    self.enqueue(match_id, call, now);
                }
            }
        }
    }

    /// A room of this server may have come free: the longest waiting match that fits takes it.
    pub(super) fn place_waiting(&mut self, server_id: ServerId, now: Now) {
        if self.queue.is_empty() {
            return;
        }
        for match_id in self.queue.matches().collect::<Vec<_>>() {
            let Some(server) = self.pool.get(server_id) else { return };
            if !server.takes_matches() || server.free_rooms() == 0 {
                return;
            }
            let Some(record) = self.matches.get(match_id) else { continue };
            let Some(pending) = record.pending().filter(|p| p.stage == Stage::Waiting) else { continue };
            let rules = self.fleet_rules(&record.request);
            if Wanted::new(&record.request, &pending.excluded, rules).rank(server).is_some() {
                self.assign(match_id, server_id, now);
            }
        }
    }

    fn assign(&mut self, match_id: MatchId, server_id: ServerId, now: Now) {
        self.queue.remove_match(match_id);
        if let Some(pending) = self.matches.pending_mut(match_id) {
            pending.stage = Stage::Assigning { server: server_id, since: now.at };
        }
        let attempt = self.matches.next_order(match_id);
        let Some(request) = self.matches.get(match_id).map(|record| record.request.clone()) else { return };
        let Some(server) = self.pool.get_mut(server_id) else { return };
        server.rooms.insert(match_id, Room::Reserved);
        let facts = server.facts.clone();
        self.send(server_id, Order::Assign { request, attempt, server: facts });
    }

    fn enqueue(&mut self, match_id: MatchId, call: Call, now: Now) {
        if call.wait_until <= now.at {
            return self.end_call(match_id, call.id, &AllocateError::NoServer, now);
        }
        let waiting = Waiting { call: call.id, match_id, until: call.wait_until };
        if self.queue.push(waiting).is_err() {
            self.end_call(match_id, call.id, &AllocateError::QueueFull, now);
        }
    }

    /// Gives up on the server that does not answer Assign, and tries the next one.
    pub(super) fn abandon(&mut self, match_id: MatchId, reason: &str, now: Now) {
        let Some(server) = self.matches.get(match_id).and_then(Match::assigning) else { return };
        tracing::warn!(%match_id, server_id = %server, reason, "assign given up");
        self.orphan(match_id, server, reason, now);
        self.place(match_id, now);
    }

    /// Takes a pending match away from a server for good, even if it says Joinable later.
    pub(super) fn orphan(&mut self, match_id: MatchId, server: ServerId, reason: &str, now: Now) {
        if let Some(pending) = self.matches.pending_mut(match_id) {
            pending.excluded.insert(server);
            pending.orphans.insert(server);
        }
        self.release_at(server, match_id, reason, now);
    }

    /// Tells a server to end a match; its room counts as taken until it has.
    pub(super) fn release_at(&mut self, server_id: ServerId, match_id: MatchId, reason: &str, now: Now) {
        if let Some(server) = self.pool.get_mut(server_id) {
            server.rooms.insert(match_id, Room::Releasing { since: now.at });
        }
        self.send(server_id, Order::Release { match_id, reason: reason.to_owned() });
    }

    pub(super) fn free_room(&mut self, server_id: ServerId, match_id: MatchId, now: Now) {
        let freed = self.pool.get_mut(server_id).and_then(|server| server.rooms.remove(&match_id)).is_some();
        if freed {
            self.place_waiting(server_id, now);
        }
    }

    /// A server says that the match can be joined.
    pub(super) fn joinable(&mut self, server_id: ServerId, match_id: MatchId, attempt: u32, now: Now) {
        match self.matches.get(match_id) {
            Some(known) if known.assigning() == Some(server_id) => {
                if attempt == known.order {
                    self.go_live(match_id, server_id, now);
                }
            }
            Some(known) if known.is_live_on(server_id) => {}
            // Too late: another server has it, or nobody wants it any more.
            _ => self.release_at(server_id, match_id, "answered too late", now),
        }
    }

    fn go_live(&mut self, match_id: MatchId, server_id: ServerId, now: Now) {
        let Some(server) = self.pool.get_mut(server_id) else { return };
        server.rooms.insert(match_id, Room::Hosted);
        let facts = server.facts.clone();
        let Some(pending) = self.matches.get(match_id).and_then(Match::pending).cloned() else { return };
        let took = now.at.saturating_sub(pending.since);
        let live = Live { server: facts.clone(), phase: Phase::Joinable, took, end_logged: false, restored: false };
        self.matches.set_state(match_id, MatchState::Live(live));
        let allocation_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let details = EventDetails { allocation_us, ..EventDetails::default() };
        self.log_event(match_id, MatchEventKind::Joinable, Some(&facts), details, now);
        for call in pending.calls {
            self.answer(call.id, Ok(Placed { match_id, server: facts.clone(), took }));
        }
    }

    /// A server refuses a match.
    pub(super) fn refused(
        &mut self,
        server_id: ServerId,
        match_id: MatchId,
        attempt: u32,
        refusal: (RefusalReason, String),
        now: Now,
    ) {
        let known = self.matches.get(match_id);
        let current = known.is_some_and(|m| m.assigning() == Some(server_id) && m.order == attempt);
        if !current {
            // It does not have the match, so the room that waited to hear so is free.
            let room = self.pool.get(server_id).and_then(|s| s.rooms.get(&match_id));
            if matches!(room, Some(Room::Releasing { .. })) {
                self.free_room(server_id, match_id, now);
            }
            return;
        }
        let (reason, detail) = refusal;
        tracing::warn!(%match_id, server_id = %server_id, reason = reason.as_str_name(), detail, "assign refused");
        let orphan = known.and_then(Match::pending).is_some_and(|p| p.orphans.contains(&server_id));
        let paused_until = now.at + self.timing.refusal_pause;
        if let Some(server) = self.pool.get_mut(server_id) {
            server.rooms.remove(&match_id);
            match reason {
                RefusalReason::Leaving => server.leaving = true,
                RefusalReason::Game | RefusalReason::Ended => {}
                RefusalReason::Full | RefusalReason::State | RefusalReason::StaleEpoch | RefusalReason::Unspecified => {
                    server.paused_until = Some(paused_until);
                }
            }
        }
        match reason {
            RefusalReason::Game => self.fail_pending(match_id, &AllocateError::GameRefused(detail), now),
            RefusalReason::Ended if !orphan => {
                self.fail_calls(match_id, &AllocateError::Ended);
                self.finish(match_id, OverWhy::Ended, None, now);
            }
            RefusalReason::Ended => {
                if let Some(pending) = self.matches.pending_mut(match_id) {
                    pending.excluded.insert(server_id);
                }
                self.place(match_id, now);
            }
            _ => self.place(match_id, now),
        }
        self.place_waiting(server_id, now);
    }

    /// Answers one call of a pending match.
    pub(super) fn end_call(&mut self, match_id: MatchId, call: CallId, error: &AllocateError, now: Now) {
        self.answer(call, Err(error.clone()));
        self.queue.remove_call(call);
        if let Some(pending) = self.matches.pending_mut(match_id) {
            pending.calls.retain(|c| c.id != call);
        }
        self.drop_if_unwanted(match_id, now);
    }

    /// Answers every call of a pending match.
    pub(super) fn fail_calls(&mut self, match_id: MatchId, error: &AllocateError) {
        self.queue.remove_match(match_id);
        let Some(pending) = self.matches.pending_mut(match_id) else { return };
        for call in std::mem::take(&mut pending.calls) {
            self.answer(call.id, Err(error.clone()));
        }
    }

    /// Answers every call of a pending match that has no server, and drops it.
    pub(super) fn fail_pending(&mut self, match_id: MatchId, error: &AllocateError, now: Now) {
        self.fail_calls(match_id, error);
        if let Some(pending) = self.matches.pending_mut(match_id) {
            pending.stage = Stage::Waiting;
        }
        self.drop_if_unwanted(match_id, now);
    }

    /// Drops a pending match that nobody waits for, unless a server is deciding about it.
    fn drop_if_unwanted(&mut self, match_id: MatchId, now: Now) {
        let Some(pending) = self.matches.get(match_id).and_then(Match::pending) else { return };
        if !pending.calls.is_empty() || matches!(pending.stage, Stage::Assigning { .. }) {
            return;
        }
        if pending.orphans.is_empty() {
            self.queue.remove_match(match_id);
            self.matches.remove(match_id);
        } else {
            self.finish(match_id, OverWhy::Unplaced, None, now);
        }
    }
}

/// The calls of a pending match, with the time at which each arrived.
pub(super) fn pairs(pending: &Pending) -> impl Iterator<Item = (CallId, Duration)> + '_ {
    pending.calls.iter().map(|call| (call.id, call.arrived))
}
