//! What servers report about their matches; giving matches back; the right to a join token.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::pb::{self, MatchEventKind, MatchPhase, RefusalReason};

use super::effect::{AllocateError, Order};
use super::link::LinkId;
use super::matches::{Live, Match, MatchState, Over, OverWhy, Phase};
use super::now::Now;
use super::pool::{Room, ServerFacts};
use super::request::{MatchRequest, Player};
use super::state::{Core, EventDetails};

/// A message of a registered server.
#[derive(Debug, Clone, PartialEq)]
pub enum FromServer {
    /// It hosts the match: players may come.
    Joinable {
        /// The match.
        match_id: MatchId,
        /// Attempt of the Assign that it answers.
        attempt: u32,
    },
    /// It does not host the match.
    Refused {
        /// The match.
        match_id: MatchId,
        /// Attempt of the Assign that it answers.
        attempt: u32,
        /// Why.
        reason: RefusalReason,
        /// Why, for people.
        detail: String,
    },
    /// A match has come further.
    Update(Update),
    /// How busy it is.
    Load {
        /// Players connected.
        players: u32,
        /// p99 of tick time over the tick budget, in thousandths.
        tick_load_permille: u32,
        /// Agones state as last observed.
        state: String,
    },
    /// It takes no new match.
    Leaving,
    /// Anything else: it lives.
    Alive,
}

/// A match has come further; repeated until it is acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The match.
    pub match_id: MatchId,
    /// How far it has come.
    pub phase: MatchPhase,
    /// Why, for people.
    pub reason: String,
    /// What it cost.
    pub stats: Option<pb::MatchStats>,
    /// Names the update within the server's incarnation.
    pub number: u64,
}

/// Why a match cannot be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is being played.
    #[error("the match is being played: it ends by its own rules")]
    Playing,
}

/// A player's right to a join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGrant {
    /// The match.
    pub match_id: MatchId,
    /// Its server.
    pub server: Arc<ServerFacts>,
    /// The player's place on the roster.
    pub player: Player,
    /// Trace id of the match, or empty.
    pub trace_id: String,
}

/// Why a player gets no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinGrantError {
    /// No such match is joinable or playing.
    #[error("no such live match")]
    NotLive,
    /// A new leader does not know yet whether the match is on this server or on one that has not registered.
    #[error("servers of an earlier leader have not registered yet: try again")]
    NotSettled,
    /// The player is not on its roster.
    #[error("the player is not on the match's roster")]
    NotOnRoster,
}

impl Core {
    /// A message came on a stream. One that is not its server's current stream is ignored.
    pub fn handle(&mut self, link: LinkId, message: FromServer, now: Now) {
        let Some((server, back)) = self.hear(link, now) else { return };
        match message {
            FromServer::Joinable { match_id, attempt } => self.joinable(server, match_id, attempt, now),
            FromServer::Refused { match_id, attempt, reason, detail } => {
                self.refused(server, match_id, attempt, (reason, detail), now);
            }
            FromServer::Update(update) => self.update(server, update, now),
            FromServer::Load { players, tick_load_permille, state } => {
                if let Some(server) = self.pool.get_mut(server) {
                    server.players = players;
                    server.tick_load_permille = tick_load_permille;
                    server.state = state;
                }
                self.place_waiting(server, now);
            }
            FromServer::Leaving => {
                tracing::info!(server_id = %server, "server leaves the pool");
                if let Some(server) = self.pool.get_mut(server) {
                    server.leaving = true;
                }
            }
            FromServer::Alive => {}
        }
        // Last: what it said may have been about its rooms.
        if back {
            self.place_waiting(server, now);
        }
    }

    /// Gives a match back before it was played. Doing so again changes nothing. A match that is not known is noted all
    /// the same: the call that it overtook is refused when it arrives.
    ///
    /// # Errors
    /// [`ReleaseError::Playing`].
    pub fn release_match(&mut self, match_id: MatchId, reason: &str, now: Now) -> Result<(), ReleaseError> {
        let Some(known) = self.matches.get(match_id) else {
            let request = Arc::new(MatchRequest::restored(match_id, Vec::new()));
            let forget_at = now.at + self.timing.remember;
            let over = Over { why: OverWhy::Released, server: None, orphans: BTreeSet::new(), forget_at };
            let state = MatchState::Over(over);
            self.matches.put(Match { request, attempt: 0, order: 0, epoch: self.epoch, state });
            return Ok(());
        };
        match &known.state {
            MatchState::Pending(_) => {
                let assigning = known.assigning();
                self.fail_calls(match_id, &AllocateError::Released);
                if let Some(server) = assigning {
                    self.orphan(match_id, server, reason, now);
                }
                // Without a server: it was never joinable, so the log says nothing of it, now or later.
                self.finish(match_id, OverWhy::Released, None, now);
            }
            MatchState::Live(live) => match live.phase {
                Phase::Joinable => {
                    let server = live.server.clone();
                    self.release_at(server.server_id, match_id, reason, now);
                    let details = EventDetails::because(&format!("released: {reason}"));
                    self.log_event(match_id, MatchEventKind::Ended, Some(&server), details, now);
                    self.finish(match_id, OverWhy::Released, Some(server.server_id), now);
                }
                Phase::Playing => return Err(ReleaseError::Playing),
                Phase::Ended => {}
            },
            MatchState::Over(over) => {
                if over.why == OverWhy::Unplaced {
                    self.finish(match_id, OverWhy::Released, None, now);
                }
            }
        }
        Ok(())
    }

    /// Whether this player may enter this match, and where.
    ///
    /// # Errors
    /// [`JoinGrantError`].
    pub fn join_grant(&self, match_id: MatchId, player_id: PlayerId, now: Now) -> Result<JoinGrant, JoinGrantError> {
        let unknown = if self.settled { JoinGrantError::NotLive } else { JoinGrantError::NotSettled };
        let known = self.matches.get(match_id).ok_or(unknown)?;
        let live = known.live().filter(|live| live.phase < Phase::Ended).ok_or(JoinGrantError::NotLive)?;
        if !self.is_firm(live, now) {
            return Err(JoinGrantError::NotSettled);
        }
        let player = known.request.player(player_id).ok_or(JoinGrantError::NotOnRoster)?.clone();
        Ok(JoinGrant { match_id, server: live.server.clone(), player, trace_id: known.request.trace_id.clone() })
    }

    fn update(&mut self, server_id: ServerId, update: Update, now: Now) {
        let number = update.number;
        let Some(server) = self.pool.get_mut(server_id) else { return };
        let facts = server.facts.clone();
        if server.note_number(number) {
            self.apply(&facts, update, now);
        }
        // Only now: what is acknowledged is in the log.
        self.send(server_id, Order::UpdateAck { number });
    }

    fn apply(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        let (match_id, id, phase) = (update.match_id, server.server_id, update.phase);
        let over = |m: &Match| matches!(&m.state, MatchState::Over(over) if over.server == Some(id));
        match self.matches.get(match_id) {
            None => self.end_unknown(server, update, now),
            Some(known) if known.is_live_on(id) => self.advance(server, update, now),
            Some(known) if over(known) => self.after_the_end(server, update, now),
            Some(known) => {
                let taken_away = known.pending().is_none_or(|pending| pending.orphans.contains(&id));
                if !taken_away && known.assigning() != Some(id) {
                    // An earlier leader placed it there, and there it has ended.
                    return self.end_elsewhere(server, update, now);
                }
                if !taken_away && ends_room(phase) {
                    self.place_elsewhere(match_id, id, now);
                }
            }
        }
        // It was taken away from this server: what is left to learn is that its room is free.
        let ours = self.matches.get(match_id).is_some_and(|m| m.is_live_on(id) || m.assigning() == Some(id));
        if ends_room(phase) && !ours {
            self.free_room(id, match_id, now);
        }
    }

    /// An update of the match's own server.
    fn advance(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        let match_id = update.match_id;
        match update.phase {
            MatchPhase::Joinable | MatchPhase::Unspecified => {}
            MatchPhase::Playing => self.started_playing(match_id, server, now),
            MatchPhase::Ended => self.ended(server, update, now),
            MatchPhase::Closed => {
                let reason = update.reason.clone();
                self.ended(server, update, now);
                self.log_event(match_id, MatchEventKind::Closed, Some(server), EventDetails::because(&reason), now);
                self.finish(match_id, OverWhy::Ended, Some(server.server_id), now);
                self.free_room(server.server_id, match_id, now);
            }
            MatchPhase::Failed => {
                self.lose_match(match_id, server, &update.reason, update.stats, now);
                // A room that failed has been played in, or would fail again: it is never placed a second time.
                self.finish(match_id, OverWhy::Lost { played: true }, Some(server.server_id), now);
                self.free_room(server.server_id, match_id, now);
            }
        }
    }

    pub(super) fn started_playing(&mut self, match_id: MatchId, server: &ServerFacts, now: Now) {
        let Some(live) = self.matches.live_mut(match_id) else { return };
        if live.phase == Phase::Joinable {
            live.phase = Phase::Playing;
            self.log_event(match_id, MatchEventKind::Playing, Some(server), EventDetails::default(), now);
        }
    }

    fn ended(&mut self, server: &ServerFacts, update: Update, now: Now) {
        let Some(live) = self.matches.live_mut(update.match_id) else { return };
        live.phase = Phase::Ended;
        if !std::mem::replace(&mut live.end_logged, true) {
            let details = EventDetails { reason: update.reason, stats: update.stats, allocation_us: 0 };
            self.log_event(update.match_id, MatchEventKind::Ended, Some(server), details, now);
        }
    }

    /// An update of a match whose record is closed already: released, or believed lost.
    fn after_the_end(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        let match_id = update.match_id;
        let lost = matches!(
            self.matches.get(match_id).map(|m| &m.state),
            Some(MatchState::Over(over)) if matches!(over.why, OverWhy::Lost { .. })
        );
        if lost && matches!(update.phase, MatchPhase::Ended | MatchPhase::Closed) {
            // It was not lost after all: its server came back with the end.
            self.matches.set_state(match_id, MatchState::Live(Live::reported_by(server)));
            return self.resume(server, update, now);
        }
        if update.phase == MatchPhase::Closed {
            let details = EventDetails::because(&update.reason);
            self.log_event(match_id, MatchEventKind::Closed, Some(server), details, now);
        }
    }

    /// The end of a match that this leader never knew: it ended while no leader listened. Its roster is not known
    /// any more, its end still is.
    fn end_unknown(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        if update.phase < MatchPhase::Ended {
            return;
        }
        let request = Arc::new(MatchRequest::restored(update.match_id, Vec::new()));
        let state = MatchState::Live(Live::reported_by(server));
        self.matches.put(Match { request, attempt: 0, order: 0, epoch: self.epoch, state });
        self.resume(server, update, now);
    }

    /// A match that is being placed has ended on another server already: it is not placed again.
    fn end_elsewhere(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        let match_id = update.match_id;
        if update.phase < MatchPhase::Ended {
            return;
        }
        let error = if update.phase == MatchPhase::Failed { AllocateError::Lost } else { AllocateError::Ended };
        self.fail_calls(match_id, &error);
        if let Some(other) = self.matches.get(match_id).and_then(Match::assigning) {
            self.release_at(other, match_id, "the match has ended on another server", now);
        }
        self.matches.set_state(match_id, MatchState::Live(Live::reported_by(server)));
        self.resume(server, update, now);
    }

    /// Goes on with a match whose record has just been made from its server's word.
    fn resume(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        if let Some(entry) = self.pool.get_mut(server.server_id) {
            entry.rooms.insert(update.match_id, Room::Hosted);
        }
        self.advance(server, update, now);
    }

    /// The room ended before its server answered Assign.
    fn place_elsewhere(&mut self, match_id: MatchId, server: ServerId, now: Now) {
        if let Some(pending) = self.matches.pending_mut(match_id) {
            pending.excluded.insert(server);
            pending.orphans.insert(server);
        }
        self.place(match_id, now);
    }
}

fn ends_room(phase: MatchPhase) -> bool {
    matches!(phase, MatchPhase::Closed | MatchPhase::Failed)
}
