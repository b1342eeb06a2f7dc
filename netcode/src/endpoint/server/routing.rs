//! A server's packets under session keys: which session, from where, and what came of it.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::wire::{DATA_OVERHEAD_BYTES, DataHeader, Frame};

use super::{Connected, Link, Route, ServerEndpoint};
use crate::Micros;
use crate::endpoint::admission::Seat;
use crate::endpoint::quic::Room;
use crate::endpoint::session::SessionEvent;
use crate::endpoint::{DropReason, ServerEvent, SessionId, Transmit};

/// Length of a packet with nothing but a path challenge.
const CHALLENGE_BYTES: usize = DATA_OVERHEAD_BYTES + 9;

impl ServerEndpoint {
    pub(super) fn handle_data(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let (header, _) = DataHeader::decode(datagram)?;
        let session = match self.routes.get(&header.connection_id) {
            None => return Err(DropReason::UnknownSession),
            Some(Route::Attempt(key)) => {
                let key = *key;
                return self.confirm(now, from, &key, header, datagram);
            }
            Some(Route::Session(session)) => *session,
        };
        let Some(connected) = self.sessions.get_mut(&session) else { return Err(DropReason::UnknownSession) };
        let result = connected.session.receive(now, header, datagram, &mut self.buffers);
        if let (Ok(is_newest), Link::Native { path, .. }) = (result, &mut connected.link) {
            path.note(now, from, datagram.len(), is_newest, &mut self.entropy);
            self.take_path_answer_of(session, from);
        }
        if matches!(result, Ok(_) | Err(DropReason::Malformed)) {
            self.service(now, session, false);
        }
        result.map(drop)
    }

    /// Hands on a session's events, sends what it has to send, and sets its timer; ends it when it has ended.
    pub(super) fn service(&mut self, now: Micros, id: SessionId, flush: bool) {
        let Some(connected) = self.sessions.get_mut(&id) else { return };
        let packets = &mut self.packets;
        match &mut connected.link {
            Link::Native { path, .. } => {
                connected.session.transmit(now, flush, Room::NATIVE, &mut self.buffers, packets);
                let to = path.remote();
                self.transmits.extend(packets.drain(..).map(|bytes| Transmit { to, bytes }));
                if let Some((to, challenge)) = path.take_challenge(now, CHALLENGE_BYTES)
                    && let Some(bytes) =
                        connected.session.probe(now, &Frame::PathChallenge(challenge), &mut self.buffers)
                {
                    self.transmits.push_back(Transmit { to, bytes });
                }
            }
            Link::Quic(quic_id) => {
                if let Some((quic, room)) = self.quic.as_mut().and_then(|quic| quic.room(*quic_id).map(|r| (quic, r))) {
                    connected.session.transmit(now, flush, room, &mut self.buffers, packets);
                    quic.send(now, *quic_id, packets);
                }
            }
        }
        let mut is_closed = false;
        while let Some(event) = connected.session.poll_event() {
            if let SessionEvent::Closed { reason, .. } = event {
                (is_closed, connected.closed) = (true, Some(reason));
            }
            self.events.extend(server_event(id, event));
        }
        let (has_ended, seat) = (connected.session.has_ended(), connected.seat);
        if connected.session.is_heard && connected.came_with.take().is_some() {
            self.revoke_earlier(seat, id);
        }
        if is_closed && self.seats.get(&seat) == Some(&id) {
            self.seats.remove(&seat);
            self.keep(now, seat, id);
            self.leave_seat(&seat);
        }
        if has_ended {
            self.remove(now, id);
        } else {
            self.arm_next(id);
        }
    }

    /// Wakes the session no later than `at`.
    pub(super) fn arm(&mut self, id: SessionId, at: Micros) {
        let Some(connected) = self.sessions.get_mut(&id) else { return };
        if connected.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        if let Some(timer) = connected.timer.replace(at) {
            self.timers.remove(timer, id);
        }
        self.timers.insert(at, id);
    }

    /// Frees a seat that neither a session nor an offer holds any more.
    pub(super) fn leave_seat(&mut self, seat: &Seat) {
        if !self.seats.contains_key(seat) && !self.half_open.has_offer(seat) {
            Arc::make_mut(&mut self.admission).leave_seat(seat);
        }
    }

    fn arm_next(&mut self, id: SessionId) {
        let Some(connected) = self.sessions.get_mut(&id) else { return };
        let next = connected.session.next_timeout();
        if connected.timer == next {
            return;
        }
        if let Some(timer) = connected.timer {
            self.timers.remove(timer, id);
        }
        connected.timer = next;
        if let Some(at) = next {
            self.timers.insert(at, id);
        }
    }

    fn take_path_answer_of(&mut self, id: SessionId, from: SocketAddr) {
        let Some(Connected { session, link: Link::Native { path, .. }, .. }) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.take_path_answer().is_some_and(|answer| path.validate(from, answer)) {
            self.counters.paths_changed += 1;
        }
    }

    fn remove(&mut self, now: Micros, id: SessionId) {
        let Some(connected) = self.sessions.remove(&id) else { return };
        match connected.link {
            Link::Native { connection_id, .. } => drop(self.routes.remove(&connection_id)),
            Link::Quic(quic_id) => self.close_quic(now, quic_id, connected.closed.map_or(0, |reason| reason as u32)),
        }
        if let Some(timer) = connected.timer {
            self.timers.remove(timer, id);
        }
    }
}

fn server_event(session: SessionId, event: SessionEvent) -> Option<ServerEvent> {
    Some(match event {
        SessionEvent::Unreliable(payload) => ServerEvent::Unreliable { session, payload },
        SessionEvent::Message(payload) => ServerEvent::Message { session, payload },
        SessionEvent::Delivered(tag) => ServerEvent::Delivered { session, tag },
        SessionEvent::Silent => ServerEvent::Silent { session },
        SessionEvent::Heard => ServerEvent::Heard { session },
        SessionEvent::Closed { reason, by_peer } => ServerEvent::Closed { session, reason, by_peer },
        // A server takes no bulk.
        SessionEvent::Bulk(_) => return None,
    })
}
