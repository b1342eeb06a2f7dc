//! Servers that come, come back, fall silent or are gone, and what becomes of their matches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{MatchId, ServerId};
use protocol::pb::{self, MatchEventKind, MatchPhase};

use super::effect::{AllocateError, Effect, Order, Placed};
use super::link::{LinkId, LinkState};
use super::matches::{Live, Match, MatchState, OverWhy, Phase};
use super::now::Now;
use super::pool::{Room, Server, ServerFacts, Standing};
use super::request::{MatchRequest, Player};
use super::state::{Core, EventDetails};

/// A server's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What it says about itself.
    pub facts: ServerFacts,
    /// Matches that it hosts already.
    pub hosted: Vec<Hosted>,
    /// Highest epoch that it has obeyed.
    pub epoch_seen: u64,
    /// Agones state as last observed.
    pub state: String,
    /// Milliseconds since its process started.
    pub uptime_ms: u64,
}

/// A match that a server brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosted {
    /// The match.
    pub match_id: MatchId,
    /// Who plays.
    pub roster: Vec<Player>,
    /// Attempt that it was assigned by.
    pub attempt: u32,
    /// Epoch that it was assigned by.
    pub epoch: u64,
    /// How far it has come.
    pub phase: MatchPhase,
}

/// Why a server may not register.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// It has obeyed a later leader than this one.
    #[error(
        "the server has obeyed epoch {seen} and this leader has {epoch}: a later one is taken on Kubernetes; on one machine \
         restore the allocator's epoch file"
    )]
    StaleEpoch {
        /// What the server has seen.
        seen: u64,
        /// What this leader has.
        epoch: u64,
    },
    /// Another process of the same name is linked.
    #[error("another process named \"{0}\" is linked: give each game server a name of its own")]
    NameTaken(String),
    /// No more servers are accepted.
    #[error("the pool is full")]
    PoolFull,
    /// The allocator is shutting down.
    #[error("the allocator is shutting down")]
    Stopping,
}

impl RegisterError {
    /// The reason as a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::StaleEpoch { .. } => "stale_epoch",
            Self::NameTaken(_) => "name_taken",
            Self::PoolFull => "pool_full",
            Self::Stopping => "stopping",
        }
    }
}

/// What to do about a match that a server brings along.
enum Claim {
    /// It is the match's server: believe it.
    Believe,
    /// It is, and the other server that has the match must let go.
    TakeFrom(ServerId),
    /// The record stands; the server only still has the room.
    Keep,
    /// The match is elsewhere or over: let go.
    LetGo,
    /// The room is gone already; an update will say so.
    Pass,
}

impl Core {
    /// A server registers on a new stream. On success [`Order::Registered`] is the first order on it.
    ///
    /// # Errors
    /// [`RegisterError`]; nothing changed, the shell ends the stream.
    pub fn register(&mut self, link: LinkId, registration: Registration, now: Now) -> Result<(), RegisterError> {
        self.admit(&registration, now)?;
        let Registration { facts, hosted, state, uptime_ms, .. } = registration;
        let (id, name) = (facts.server_id, facts.name.clone());
        tracing::info!(server_id = %id, server_name = name, hosted = hosted.len(), "server registered");
        let rooms = match self.pool.remove(id) {
            None => {
                self.pool.insert(Server::new(Arc::new(facts), link, state, uptime_ms, now));
                BTreeMap::new()
            }
            Some(mut before) => {
                if let Some(stream) = before.link.stream() {
                    self.effect(Effect::CloseLink { link: stream });
                }
                let rooms = std::mem::take(&mut before.rooms);
                self.pool.insert(before.again(Arc::new(facts), link, state, uptime_ms, now));
                rooms
            }
        };
        self.send(id, Order::Registered);
        for hosted in hosted {
            self.claim(id, hosted, now);
        }
        self.reconcile(id, rooms, now);
        self.note_cluster(id, now);
        self.repeat_standing(id, now);
        self.settle(now);
        self.place_waiting(id, now);
        Ok(())
    }

    fn admit(&mut self, registration: &Registration, now: Now) -> Result<(), RegisterError> {
        if self.stopping {
            return Err(RegisterError::Stopping);
        }
        if registration.epoch_seen > self.epoch {
            return Err(RegisterError::StaleEpoch { seen: registration.epoch_seen, epoch: self.epoch });
        }
        let (id, name) = (registration.facts.server_id, &registration.facts.name);
        let namesakes: Vec<_> =
            self.pool.named(&registration.facts.key()).into_iter().filter(|other| *other != id).collect();
        let linked = |other: &ServerId| self.pool.get(*other).is_some_and(|s| s.link.state() == LinkState::Linked);
        if namesakes.iter().any(linked) {
            return Err(RegisterError::NameTaken(name.clone()));
        }
        // One process per name: where a new one speaks, the silent old one is gone.
        for other in namesakes {
            self.remove_server(other, "its process was replaced", now);
        }
        if self.pool.get(id).is_none() && self.pool.len() >= self.limits.servers_max {
            let lost = self.pool.iter().filter(|s| s.link.state() == LinkState::Lost);
            let oldest = lost.min_by_key(|s| s.link.last_heard()).map(|s| s.facts.server_id);
            self.pool.remove(oldest.ok_or(RegisterError::PoolFull)?);
        }
        Ok(())
    }

    fn judge_claim(&self, server: ServerId, hosted: &Hosted) -> Claim {
        let phase = match hosted.phase {
            MatchPhase::Joinable => Phase::Joinable,
            MatchPhase::Playing => Phase::Playing,
            MatchPhase::Ended => Phase::Ended,
            MatchPhase::Closed | MatchPhase::Failed | MatchPhase::Unspecified => return Claim::Pass,
        };
        let Some(known) = self.matches.get(hosted.match_id) else { return Claim::Believe };
        let claimed = (hosted.epoch, hosted.attempt);
        let recorded = (known.epoch, known.order);
        let elsewhere = match &known.state {
            // This leader has taken it away from there: good again only if no other server was asked since.
            MatchState::Pending(pending) if pending.orphans.contains(&server) => {
                return if claimed == recorded { Claim::Believe } else { Claim::LetGo };
            }
            MatchState::Pending(_) => known.assigning().map(|there| (there, false)),
            MatchState::Live(live) => Some((live.server.server_id, live.restored)),
            MatchState::Over(over) => {
                return match over.why {
                    OverWhy::Lost { .. } => Claim::Believe,
                    OverWhy::Unplaced if phase == Phase::Ended => Claim::Believe,
                    // It was given back unseen, and is played: what is played is not given back.
                    OverWhy::Released
                        if phase == Phase::Playing && over.server.is_none() && !over.orphans.contains(&server) =>
                    {
                        Claim::Believe
                    }
                    OverWhy::Ended | OverWhy::Released if phase == Phase::Ended => Claim::Keep,
                    OverWhy::Ended | OverWhy::Released | OverWhy::Unplaced => Claim::LetGo,
                };
            }
        };
        match elsewhere {
            None => Claim::Believe,
            Some((there, _)) if there == server => Claim::Believe,
            // Two servers say that they have it, and this leader asked neither: the later order counts.
            Some((there, true)) if claimed > recorded => Claim::TakeFrom(there),
            Some(_) => Claim::LetGo,
        }
    }

    fn claim(&mut self, server: ServerId, hosted: Hosted, now: Now) {
        let match_id = hosted.match_id;
        match self.judge_claim(server, &hosted) {
            Claim::Believe => self.believe(server, hosted, now),
            Claim::TakeFrom(other) => {
                self.release_at(other, match_id, "a later order placed it elsewhere", now);
                self.believe(server, hosted, now);
            }
            Claim::Keep => self.set_room(server, match_id, Room::Hosted),
            Claim::LetGo => self.release_at(server, match_id, "the match is elsewhere or over", now),
            Claim::Pass => {}
        }
    }

    fn set_room(&mut self, server: ServerId, match_id: MatchId, room: Room) {
        if let Some(server) = self.pool.get_mut(server) {
            server.rooms.insert(match_id, room);
        }
    }

    /// The server's word becomes the record.
    fn believe(&mut self, server_id: ServerId, hosted: Hosted, now: Now) {
        let match_id = hosted.match_id;
        self.set_room(server_id, match_id, Room::Hosted);
        let Some(facts) = self.pool.get(server_id).map(|s| s.facts.clone()) else { return };
        let phase = match hosted.phase {
            MatchPhase::Playing => Phase::Playing,
            MatchPhase::Ended => Phase::Ended,
            _ => Phase::Joinable,
        };
        let known = self.matches.get(match_id);
        if let Some(live) = known.and_then(Match::live).filter(|live| live.server.server_id == server_id) {
            // Playing may be news; the end comes as an update, with statistics.
            if live.phase == Phase::Joinable && phase == Phase::Playing {
                self.started_playing(match_id, &facts, now);
            }
            return;
        }
        let same = known.is_some_and(|m| m.request.same_roster(&hosted.roster));
        let request = match known {
            Some(known) if same => known.request.clone(),
            _ => Arc::new(MatchRequest::restored(match_id, hosted.roster)),
        };
        let pending = known.and_then(Match::pending).cloned();
        let took = pending.as_ref().map_or(Duration::ZERO, |p| now.at.saturating_sub(p.since));
        self.queue.remove_match(match_id);
        let live = Live { server: facts.clone(), phase, took, end_logged: false, restored: true };
        let is_firm = self.is_firm(&live, now);
        let (attempt, state) = (hosted.attempt, MatchState::Live(live));
        self.matches.put(Match { request, attempt, order: attempt, epoch: hosted.epoch, state });
        self.log_event(match_id, MatchEventKind::Joinable, Some(&facts), EventDetails::because("restored"), now);
        if phase >= Phase::Playing {
            self.log_event(match_id, MatchEventKind::Playing, Some(&facts), EventDetails::because("restored"), now);
        }
        for call in pending.map(|p| p.calls).unwrap_or_default() {
            let answer = match phase {
                _ if !same => Err(AllocateError::OtherRoster),
                Phase::Ended => Err(AllocateError::Ended),
                _ if !is_firm => Err(AllocateError::NotSettled),
                Phase::Joinable | Phase::Playing => Ok(Placed { match_id, server: facts.clone(), took }),
            };
            self.answer(call.id, answer);
        }
    }

    /// What the server had before it registered again, and no longer names.
    fn reconcile(&mut self, server: ServerId, before: BTreeMap<MatchId, Room>, now: Now) {
        let mut unassigned = Vec::new();
        for (match_id, room) in before {
            if self.pool.get(server).is_none_or(|s| s.rooms.contains_key(&match_id)) {
                continue;
            }
            match room {
                Room::Reserved => unassigned.push(match_id),
                Room::Hosted if self.matches.get(match_id).is_some_and(|m| m.is_live_on(server)) => {
                    self.set_room(server, match_id, Room::Missing { since: now.at });
                }
                Room::Missing { .. } => self.set_room(server, match_id, room),
                Room::Hosted | Room::Releasing { .. } => {}
            }
        }
        // Assign was lost with the old stream: nothing stands against trying again, even here, now that it is known
        // how much room there is.
        for match_id in unassigned {
            if self.matches.get(match_id).and_then(Match::assigning) == Some(server) {
                self.place(match_id, now);
            }
        }
    }

    /// A stream ended.
    pub fn link_cut(&mut self, link: LinkId, now: Now) {
        let Some(id) = self.pool.by_link(link) else { return };
        self.pool.forget_link(link);
        if self.pool.get_mut(id).is_some_and(|server| server.link.cut()) {
            self.suspect(id, now);
        }
    }

    /// Any message of a server: it lives. Its id, if the stream is its current one, and whether it was Suspect.
    pub(super) fn hear(&mut self, link: LinkId, now: Now) -> Option<(ServerId, bool)> {
        let id = self.pool.by_link(link)?;
        let back = self.pool.get_mut(id)?.link.hear(now.at);
        if back {
            tracing::info!(server_id = %id, "server is heard again");
        }
        Some((id, back))
    }

    /// A server is not heard: matches that wait for its answer go elsewhere; those that it hosts stay.
    pub(super) fn suspect(&mut self, id: ServerId, now: Now) {
        let Some(server) = self.pool.get(id) else { return };
        if server.leaving && server.rooms.is_empty() {
            tracing::info!(server_id = %id, "server has left");
        } else {
            tracing::warn!(server_id = %id, "server is suspect");
        }
        let reserved = server.rooms.iter().filter(|(_, room)| **room == Room::Reserved);
        for match_id in reserved.map(|(match_id, _)| *match_id).collect::<Vec<_>>() {
            self.abandon(match_id, "its link was lost", now);
        }
    }

    /// The process or GameServer of this name, with its namespace where it has one, is gone.
    pub fn server_gone(&mut self, name: &str, now: Now) {
        for id in self.pool.named(name) {
            self.remove_server(id, "its server is gone", now);
        }
        self.no_longer_expect(name, now);
    }

    fn remove_server(&mut self, id: ServerId, reason: &str, now: Now) {
        self.lose(id, reason, now);
        self.pool.remove(id);
    }

    /// A server is lost, and its matches with it.
    pub(super) fn lose(&mut self, id: ServerId, reason: &str, now: Now) {
        let Some(server) = self.pool.get_mut(id) else { return };
        if server.leaving && server.rooms.is_empty() {
            tracing::info!(server_id = %id, server_name = server.facts.name, reason, "server is gone");
        } else {
            tracing::warn!(server_id = %id, server_name = server.facts.name, reason, "server is lost");
        }
        let facts = server.facts.clone();
        let rooms = std::mem::take(&mut server.rooms);
        if let Some(stream) = server.link.lose() {
            self.pool.forget_link(stream);
            self.effect(Effect::CloseLink { link: stream });
        }
        for (match_id, room) in rooms {
            match room {
                Room::Reserved => {
                    if let Some(pending) = self.matches.pending_mut(match_id) {
                        pending.orphans.insert(id);
                    }
                    self.place(match_id, now);
                }
                Room::Hosted | Room::Missing { .. } => self.lose_match(match_id, &facts, reason, None, now),
                Room::Releasing { .. } => {}
            }
        }
    }

    /// A hosted match will have no end of its own.
    pub(super) fn lose_match(
        &mut self,
        match_id: MatchId,
        server: &ServerFacts,
        reason: &str,
        stats: Option<pb::MatchStats>,
        now: Now,
    ) {
        let Some(live) = self.matches.get(match_id).filter(|m| m.is_live_on(server.server_id)).and_then(Match::live)
        else {
            return;
        };
        let played = live.phase >= Phase::Playing;
        let details = EventDetails { reason: reason.to_owned(), stats, allocation_us: 0 };
        self.log_event(match_id, MatchEventKind::Lost, Some(server), details, now);
        self.finish(match_id, OverWhy::Lost { played }, Some(server.server_id), now);
    }

    /// Takes the servers of this name out of the pool. Whether there is one.
    pub fn order_standing(&mut self, name: &str, standing: &Standing, now: Now) -> bool {
        let ids = self.pool.named(name);
        for id in &ids {
            if let Some(server) = self.pool.get_mut(*id) {
                server.standing = Some(standing.clone());
            }
            self.repeat_standing(*id, now);
        }
        !ids.is_empty()
    }

    pub(super) fn repeat_standing(&mut self, id: ServerId, now: Now) {
        let order = match self.pool.get(id).and_then(|server| server.standing.as_ref()) {
            None => return,
            Some(Standing::Retire) => Order::Retire,
            Some(Standing::Drain { deadline, reason }) => {
                Order::Drain { left: deadline.saturating_sub(now.at), reason: reason.clone() }
            }
        };
        self.send(id, order);
    }
}
