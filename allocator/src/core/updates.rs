//! What servers report about their matches; giving matches back; the right to a join token.

use std::sync::Arc;

use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::pb::{self, MatchEventKind, MatchPhase, RefusalReason};

use super::effect::{AllocateError, Order};
use super::link::LinkId;
use super::matches::{Live, Match, MatchState, OverWhy, Phase};
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
    /// The player is not on its roster.
    #[error("the player is not on the match's roster")]
    NotOnRoster,
}

impl Core {
    /// A message came on a stream. One that is not its server's current stream is ignored.
    pub fn handle(&mut self, link: LinkId, message: FromServer, now: Now) {
        let Some(server) = self.hear(link, now) else { return };
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
    }

    /// Gives a match back before it was played. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`ReleaseError::Playing`].
    pub fn release_match(&mut self, match_id: MatchId, reason: &str, now: Now) -> Result<(), ReleaseError> {
        let Some(known) = self.matches.get(match_id) else { return Ok(()) };
        match &known.state {
            MatchState::Pending(_) => {
                let assigning = known.assigning();
                self.fail_calls(match_id, &AllocateError::Released);
                if let Some(server) = assigning {
                    self.orphan(match_id, server, reason, now);
                }
                self.finish(match_id, OverWhy::Released, assigning, now);
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
    pub fn join_grant(&self, match_id: MatchId, player_id: PlayerId) -> Result<JoinGrant, JoinGrantError> {
        let known = self.matches.get(match_id).ok_or(JoinGrantError::NotLive)?;
        let live = known.live().filter(|live| live.phase < Phase::Ended).ok_or(JoinGrantError::NotLive)?;
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
        let match_id = update.match_id;
        let id = server.server_id;
        let over = |m: &Match| matches!(&m.state, MatchState::Over(over) if over.server == Some(id));
        match self.matches.get(match_id) {
            None => self.end_unknown(server, update, now),
            Some(known) if known.is_live_on(id) => self.advance(server, update, now),
            Some(known) if over(known) => self.after_the_end(server, update, now),
            Some(known) => {
                // It was taken away from this server. What is left to learn is that its room is free.
                let deciding = known.assigning() == Some(id);
                if ends_room(update.phase) {
                    self.free_room(id, match_id, now);
                    if deciding {
                        self.place_elsewhere(match_id, id, now);
                    }
                }
            }
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
        let (match_id, id) = (update.match_id, server.server_id);
        let lost = matches!(
            self.matches.get(match_id).map(|m| &m.state),
            Some(MatchState::Over(over)) if matches!(over.why, OverWhy::Lost { .. })
        );
        if lost && matches!(update.phase, MatchPhase::Ended | MatchPhase::Closed) {
            // It was not lost after all: its server came back with the end.
            let live = Live {
                server: server.clone(),
                phase: Phase::Playing,
                took: std::time::Duration::ZERO,
                end_logged: false,
            };
            self.matches.set_state(match_id, MatchState::Live(live));
            if let Some(entry) = self.pool.get_mut(id) {
                entry.rooms.insert(match_id, Room::Hosted);
            }
            return self.advance(server, update, now);
        }
        match update.phase {
            MatchPhase::Closed => {
                self.log_event(
                    match_id,
                    MatchEventKind::Closed,
                    Some(server),
                    EventDetails::because(&update.reason),
                    now,
                );
                self.free_room(id, match_id, now);
            }
            MatchPhase::Failed => self.free_room(id, match_id, now),
            MatchPhase::Ended | MatchPhase::Playing | MatchPhase::Joinable | MatchPhase::Unspecified => {}
        }
    }

    /// The end of a match that this leader never knew: it ended while no leader listened. Its roster is not known
    /// any more, its end still is.
    fn end_unknown(&mut self, server: &Arc<ServerFacts>, update: Update, now: Now) {
        if !matches!(update.phase, MatchPhase::Ended | MatchPhase::Closed | MatchPhase::Failed) {
            return;
        }
        let request = Arc::new(MatchRequest::restored(update.match_id, Vec::new()));
        let live =
            Live { server: server.clone(), phase: Phase::Playing, took: std::time::Duration::ZERO, end_logged: false };
        self.matches.put(Match { request, attempt: 0, epoch: self.epoch, state: MatchState::Live(live) });
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
