//! The I/O thread's view of its rooms: which session sits where, events into inboxes, outboxes onto sessions, and the
//! orderly end of a room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use game::Leave;
use netcode::Micros;
use netcode::endpoint::{SendError, ServerEndpoint, ServerEvent, SessionId};
use netcode::replication::SeatId;
use protocol::id::{MatchId, PlayerId};
use protocol::pb::PlayerPhase;
use protocol::wire::CloseReason;
use tokio::sync::mpsc;

use crate::inbox::{Put, RoomEvent};
use crate::notice::Notice;
use crate::outbox::{Batch, Out};
use crate::room_link::RoomLink;
use crate::seats::{Effect, Seat, Seats};

/// What became of a player, for the allocator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerNews {
    /// The match.
    pub id: MatchId,
    /// The player.
    pub player: PlayerId,
    /// What it is now.
    pub phase: PlayerPhase,
}

struct IoRoom {
    link: Arc<RoomLink>,
    seats: Seats,
    takings: Vec<Taking>,
    closing: Option<Closing>,
}

/// How often a seat was taken, and up to which taking the room knows.
#[derive(Clone, Copy, Default)]
struct Taking {
    newest: u32,
    begun: u32,
}

#[derive(Clone, Copy)]
struct Closing {
    reason: CloseReason,
    /// When the sessions are closed even if something is undelivered.
    at: Micros,
}

/// All rooms that have, or may get, sessions.
pub struct IoRooms {
    rooms: BTreeMap<MatchId, IoRoom>,
    by_session: BTreeMap<SessionId, MatchId>,
    players: mpsc::Sender<PlayerNews>,
    notices: mpsc::UnboundedSender<Notice>,
    connected: Arc<AtomicUsize>,
}

impl IoRooms {
    /// No rooms.
    pub fn new(
        players: mpsc::Sender<PlayerNews>,
        notices: mpsc::UnboundedSender<Notice>,
        connected: Arc<AtomicUsize>,
    ) -> Self {
        Self { rooms: BTreeMap::new(), by_session: BTreeMap::new(), players, notices, connected }
    }

    /// A room admits players.
    pub fn open(&mut self, link: Arc<RoomLink>) {
        let seats = Seats::new(&link.players);
        let takings = vec![Taking::default(); link.players.len()];
        self.rooms.insert(link.id, IoRoom { link, seats, takings, closing: None });
    }

    /// A room is over: its sessions are closed once everything is delivered, at the latest at `at`.
    pub fn close(&mut self, at: Micros, id: MatchId, reason: CloseReason) {
        if let Some(room) = self.rooms.get_mut(&id) {
            room.closing = Some(Closing { reason, at });
        }
    }

    /// Takes all events of the endpoint.
    pub fn events(&mut self, now: Micros, endpoint: &mut ServerEndpoint) {
        while let Some(event) = endpoint.poll_event() {
            self.event(now, endpoint, event);
        }
    }

    fn event(&mut self, now: Micros, endpoint: &mut ServerEndpoint, event: ServerEvent) {
        match event {
            ServerEvent::Connected { session, claims, remote, carrier, resumed } => {
                let Some(room) = self.rooms.get_mut(&claims.mid).filter(|room| room.closing.is_none()) else {
                    return endpoint.close(now, session, CloseReason::MatchEnded);
                };
                tracing::debug!(match_id = %claims.mid, player_id = %claims.sub, %remote, carrier = carrier.label(), resumed, "player connected");
                self.by_session.insert(session, claims.mid);
                let effects = room.seats.connected(claims.sub, session);
                self.apply(now, endpoint, claims.mid, &effects);
            }
            ServerEvent::Unreliable { session, payload } => {
                self.put(now, endpoint, session, |seat| RoomEvent::Unreliable { seat, payload, at: now });
            }
            ServerEvent::Message { session, payload } => {
                self.put(now, endpoint, session, |seat| RoomEvent::Message { seat, payload });
            }
            ServerEvent::Delivered { session, tag } => {
                self.put(now, endpoint, session, |seat| RoomEvent::Delivered { seat, tag });
            }
            ServerEvent::Silent { session } => self.change(now, endpoint, session, |s| s.silent(now, session)),
            ServerEvent::Heard { session } => self.change(now, endpoint, session, |s| s.heard(session)),
            ServerEvent::Closed { session, reason, by_peer } => {
                tracing::debug!(session = session.0, reason = reason.label(), by_peer, "session closed");
                self.change(now, endpoint, session, |seats| seats.closed(now, session, reason));
                self.by_session.remove(&session);
            }
        }
    }

    fn put(
        &mut self,
        now: Micros,
        endpoint: &mut ServerEndpoint,
        session: SessionId,
        event: impl FnOnce(SeatId) -> RoomEvent,
    ) {
        let Some(room) = self.by_session.get(&session).and_then(|id| self.rooms.get(id)) else { return };
        let Some(seat) = room.seats.seat_of(session) else { return };
        if room.link.inbox.put(event(seat)) == Put::Flooded {
            tracing::warn!(match_id = %room.link.id, seat = seat.0, "closing a session that floods its room");
            endpoint.close(now, session, CloseReason::Protocol);
            // The message is lost, so the player's messages cannot go on where they are.
            if let Some(&player) = room.link.players.get(usize::from(seat.0)) {
                endpoint.forget_seat(now, room.link.id, player);
            }
        }
    }

    fn change(
        &mut self,
        now: Micros,
        endpoint: &mut ServerEndpoint,
        session: SessionId,
        change: impl FnOnce(&mut Seats) -> Vec<Effect>,
    ) {
        let Some(&id) = self.by_session.get(&session) else { return };
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let effects = change(&mut room.seats);
        self.apply(now, endpoint, id, &effects);
    }

    fn apply(&mut self, now: Micros, endpoint: &mut ServerEndpoint, id: MatchId, effects: &[Effect]) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        for effect in effects {
            if let Effect::Gone { seat, .. } = *effect
                && let Some(&player) = room.link.players.get(usize::from(seat.0))
            {
                endpoint.forget_seat(now, id, player);
            }
            let (seat, event, phase) = match *effect {
                Effect::Close(session, reason) => {
                    endpoint.close(now, session, reason);
                    self.by_session.remove(&session);
                    continue;
                }
                Effect::Joined { seat, again } => {
                    let taking = &mut room.takings[usize::from(seat.0)];
                    taking.newest += 1;
                    let session = room.seats.session(seat);
                    let carrier = session.and_then(|session| endpoint.carrier(session)).unwrap_or_default();
                    (seat, RoomEvent::Joined { seat, again, join: taking.newest, carrier }, PlayerPhase::Connected)
                }
                Effect::Lost(seat) => (seat, RoomEvent::Lost(seat), PlayerPhase::Lost),
                Effect::Heard(seat) => (seat, RoomEvent::Heard(seat), PlayerPhase::Connected),
                Effect::Gone { seat, left } => {
                    let why = if left { Leave::Left } else { Leave::Lost };
                    (seat, RoomEvent::Gone { seat, why }, PlayerPhase::Gone)
                }
            };
            room.link.inbox.put(event);
            if let Some(&player) = room.link.players.get(usize::from(seat.0)) {
                // News for dashboards: a slow host loses some rather than holding up the port.
                let _ = self.players.try_send(PlayerNews { id, player, phase });
            }
        }
    }

    /// Sends what the rooms have made.
    pub fn send(&mut self, now: Micros, endpoint: &mut ServerEndpoint) {
        let mut sent = false;
        for room in self.rooms.values_mut() {
            while let Some(batch) = room.link.outbox.take() {
                room.send(now, endpoint, &batch);
                room.link.outbox.recycle(batch);
                sent = true;
            }
        }
        if sent {
            endpoint.flush(now);
        }
        self.finish(now, endpoint);
    }

    /// Seats that were lost for too long; and the number of players.
    pub fn handle_timeout(&mut self, now: Micros, endpoint: &mut ServerEndpoint) {
        let ids: Vec<MatchId> = self.rooms.keys().copied().collect();
        for id in ids {
            let effects = self.rooms.get_mut(&id).map(|room| room.seats.handle_timeout(now)).unwrap_or_default();
            self.apply(now, endpoint, id, &effects);
        }
        for room in self.rooms.values() {
            room.measure(endpoint);
        }
        let connected = self.rooms.values().map(|room| players(&room.seats, room.link.players.len())).sum();
        self.connected.store(connected, Ordering::Relaxed);
        crate::metrics::players(connected);
    }

    /// Closes the sessions of rooms that are over and have nothing undelivered left.
    fn finish(&mut self, now: Micros, endpoint: &mut ServerEndpoint) {
        let over = self.rooms.values().filter_map(|room| {
            let closing = room.closing?;
            let delivered = || room.link.outbox.is_empty() && room.seats.sessions().all(|s| is_delivered(endpoint, s));
            (now >= closing.at || delivered()).then_some((room.link.id, closing.reason))
        });
        let over: Vec<(MatchId, CloseReason)> = over.collect();
        for (id, reason) in over {
            self.remove(now, endpoint, id, reason);
        }
    }

    fn remove(&mut self, now: Micros, endpoint: &mut ServerEndpoint, id: MatchId, reason: CloseReason) {
        let Some(room) = self.rooms.remove(&id) else { return };
        for session in room.seats.sessions() {
            endpoint.close(now, session, reason);
            self.by_session.remove(&session);
        }
        endpoint.forget_match(now, id);
        endpoint.flush(now);
        let _ = self.notices.send(Notice::Emptied(id));
    }

    /// Closes every room at once.
    pub fn close_all(&mut self, now: Micros, endpoint: &mut ServerEndpoint, reason: CloseReason) {
        let ids: Vec<MatchId> = self.rooms.keys().copied().collect();
        for id in ids {
            self.remove(now, endpoint, id, reason);
        }
    }
}

fn players(seats: &Seats, count: usize) -> usize {
    (0..count).filter(|n| matches!(seats.state(crate::seats::seat_id(*n)), Seat::Connected(_))).count()
}

/// Whether the client has acknowledged every reliable message; also when there is no such session any more.
fn is_delivered(endpoint: &ServerEndpoint, session: SessionId) -> bool {
    endpoint.stats(session).is_none_or(|stats| stats.reliable_queued == 0)
}

impl IoRoom {
    /// Notes the state of every seat's path for the admin port.
    fn measure(&self, endpoint: &ServerEndpoint) {
        for n in 0..self.link.players.len() {
            let seat = crate::seats::seat_id(n);
            let is_connected = matches!(self.seats.state(seat), Seat::Connected(_));
            let stats = self.seats.session(seat).and_then(|session| endpoint.stats(session));
            self.link.figures.seat(n, is_connected, stats.as_ref());
        }
    }

    fn send(&mut self, now: Micros, endpoint: &mut ServerEndpoint, batch: &Batch) {
        for entry in &batch.entries {
            let (Out::Begin { seat, .. }
            | Out::Snapshot { seat, .. }
            | Out::Message { seat, .. }
            | Out::Bulk { seat, .. }) = *entry;
            let taking = &mut self.takings[usize::from(seat.0)];
            if let Out::Begin { join, .. } = entry {
                taking.begun = *join;
            }
            let Some(&player) = self.link.players.get(usize::from(seat.0)) else { continue };
            let session = self.seats.session(seat).filter(|_| taking.begun == taking.newest);
            let sent = match (entry, session) {
                // The player's messages go on from session to session, and wait while there is none.
                (Out::Message { bytes, .. }, _) => {
                    endpoint.send_to_player(now, self.link.id, player, batch.bytes(bytes.clone()))
                }
                (Out::Snapshot { tag, bytes, .. }, Some(session)) => {
                    // A snapshot that does not fit now is worth nothing later.
                    let _ = endpoint.send_unreliable(now, session, batch.bytes(bytes.clone()), Some(*tag));
                    continue;
                }
                (Out::Bulk { bytes, .. }, Some(session)) => endpoint.send_bulk(now, session, bytes.clone()),
                (Out::Begin { .. }, _) | (Out::Snapshot { .. } | Out::Bulk { .. }, None) => continue,
            };
            if let Err(error @ (SendError::Full | SendError::TooLong { .. })) = sent {
                self.cannot_be_told(now, endpoint, seat, error);
            }
        }
    }

    /// Without this message the client's state would be wrong: it starts from nothing, with a fresh token.
    fn cannot_be_told(&self, now: Micros, endpoint: &mut ServerEndpoint, seat: SeatId, error: SendError) {
        let match_id = self.link.id;
        tracing::warn!(%match_id, seat = seat.0, %error, "a player cannot be told everything and must start from nothing");
        if let Some(session) = self.seats.session(seat) {
            endpoint.close(now, session, CloseReason::Protocol);
        }
        if let Some(&player) = self.link.players.get(usize::from(seat.0)) {
            endpoint.forget_seat(now, match_id, player);
        }
    }
}
