//! A server's sessions over QUIC: requests become handshake jobs, datagrams become packets.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::wire::{AcceptPayload, CloseReason, JoinRequest, Refusal, WireError};
use quinn_proto::ConnectionError;
use zeroize::Zeroizing;

use super::ServerEndpoint;
use crate::Micros;
use crate::endpoint::half_open::{Attempt, AttemptKey, AttemptState};
use crate::endpoint::handshake::Asked;
use crate::endpoint::quic::link::LinkEvent;
use crate::endpoint::quic::server::{Newcomers, QuicId};
use crate::endpoint::{DropReason, HandshakeJob, SessionId};

impl ServerEndpoint {
    pub(super) fn handle_quic(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        if self.quic.is_none() {
            return Err(DropReason::UnknownType);
        }
        self.expire_attempts(now);
        let newcomers = if self.half_open.has_room() { Newcomers::Welcome } else { Newcomers::Busy };
        let Some(quic) = &mut self.quic else { return Err(DropReason::UnknownType) };
        let begun = quic.handle(now, from, datagram, newcomers);
        self.counters.retries = quic.retries;
        if let Ok(Some(id)) = begun {
            let _has_room = self.make_room(now);
            let session_id = self.unused_connection_id();
            self.half_open.insert(now, AttemptKey::Quic(id), from, None, session_id);
        }
        self.take_quic_events(now);
        begun.map(drop)
    }

    pub(super) fn expire_quic(&mut self, now: Micros) {
        if let Some(quic) = &mut self.quic {
            quic.handle_timeout(now);
        }
        self.take_quic_events(now);
    }

    /// Takes everything that happened on QUIC connections, and what follows from it.
    pub(super) fn take_quic_events(&mut self, now: Micros) {
        while let Some((id, event)) = self.quic.as_mut().and_then(|quic| quic.poll_event()) {
            match event {
                LinkEvent::Established => {}
                LinkEvent::Stream => self.take_request(now, id),
                LinkEvent::Datagram(packet) => self.take_quic_packet(now, id, &packet),
                LinkEvent::Lost(error) => self.lost_quic(now, id, &error),
            }
        }
    }

    /// Reads the request once it is whole; the first that breaks the rules ends the connection.
    fn take_request(&mut self, now: Micros, id: QuicId) {
        let Some(quic) = &mut self.quic else { return };
        if !quic.awaits_request(id) {
            return self.break_off(now, id);
        }
        let request = match JoinRequest::decode(quic.stream_bytes(id)) {
            Ok(None) => return,
            Ok(Some(request)) => request,
            Err(WireError::TooLong) => return self.refuse_over_quic(now, id, Refusal::TokenMalformed),
            Err(_) => return self.break_off(now, id),
        };
        if !quic.took_request(id) {
            return self.break_off(now, id);
        }
        let checked = self.check_peer(request.version_min, request.version_max, request.schema_hash);
        match checked {
            Ok(version) => self.begin_over_quic(id, version, request.credential),
            Err(refusal) => self.refuse_over_quic(now, id, refusal),
        }
    }

    /// Ends a connection that breaks the rules, and what it was used for.
    fn break_off(&mut self, now: Micros, id: QuicId) {
        let session = self.quic_sessions.get(&id).copied();
        self.close_quic(now, id, CloseReason::Protocol as u32);
        self.abandon(now, &AttemptKey::Quic(id));
        if let Some((session, connected)) = session.and_then(|id| self.sessions.get_mut(&id).map(|c| (id, c))) {
            connected.session.lost(CloseReason::Protocol, false);
            self.service(now, session, false);
        }
    }

    fn begin_over_quic(&mut self, id: QuicId, version: u16, credential: Vec<u8>) {
        let key = AttemptKey::Quic(id);
        let Some(attempt) = self.half_open.get_mut(&key) else { return };
        let (number, session_id) = (attempt.number, attempt.session_id);
        let exported = self.quic.as_ref().and_then(|quic| quic.export(id)).unwrap_or_default();
        let ticket = self.new_ticket();
        self.jobs.push_back(HandshakeJob {
            key,
            number,
            asked: Asked::Quic { credential: Zeroizing::new(credential), exported },
            session_id,
            version,
            ticket,
            admission: Arc::clone(&self.admission),
        });
    }

    /// A refusal that no worker wrote. It is remembered, so that the connection stays until its client has read it.
    pub(super) fn refuse_over_quic(&mut self, now: Micros, id: QuicId, refusal: Refusal) {
        self.counters.refuse(refusal);
        let answer = AcceptPayload::Refused(refusal).encode();
        if let Some(attempt) = self.half_open.get_mut(&AttemptKey::Quic(id)) {
            attempt.state = AttemptState::Refused { answer: answer.clone() };
        }
        if let Some(quic) = &mut self.quic {
            quic.took_request(id);
        }
        self.reply_over_quic(now, id, &answer);
    }

    pub(super) fn reply_over_quic(&mut self, now: Micros, id: QuicId, answer: &[u8]) {
        if let Some(quic) = &mut self.quic {
            quic.answer(now, id, answer);
        }
    }

    /// The connection's first packet has come: it is this session from now on.
    pub(super) fn began_over_quic(&mut self, quic_id: QuicId, session: SessionId) {
        self.quic_sessions.insert(quic_id, session);
        if let Some(quic) = &mut self.quic {
            quic.took_session(quic_id);
        }
    }

    fn take_quic_packet(&mut self, now: Micros, id: QuicId, packet: &[u8]) {
        let result = match self.quic_sessions.get(&id).copied() {
            Some(session) => self.take_packet_of(now, session, packet),
            None => self.confirm_over_quic(now, id, packet),
        };
        if let Err(reason) = result {
            self.counters.drop(reason);
        }
    }

    fn take_packet_of(&mut self, now: Micros, session: SessionId, packet: &[u8]) -> Result<(), DropReason> {
        let Some(connected) = self.sessions.get_mut(&session) else { return Err(DropReason::UnknownSession) };
        let result = connected.session.receive_plain(now, packet, &mut self.buffers);
        if matches!(result, Ok(_) | Err(DropReason::Malformed)) {
            self.service(now, session, false);
        }
        result.map(drop)
    }

    /// A packet for a session that is offered: the session begins.
    fn confirm_over_quic(&mut self, now: Micros, id: QuicId, packet: &[u8]) -> Result<(), DropReason> {
        let key = AttemptKey::Quic(id);
        let Some(Attempt { state: AttemptState::Offered { session, .. }, remote, .. }) = self.half_open.get_mut(&key)
        else {
            return Err(DropReason::UnknownSession);
        };
        let remote = *remote;
        session.receive_plain(now, packet, &mut self.buffers)?;
        self.begin_session(now, remote, &key);
        Ok(())
    }

    fn lost_quic(&mut self, now: Micros, id: QuicId, error: &ConnectionError) {
        match self.quic_sessions.get(&id).copied() {
            Some(session) => {
                let Some(connected) = self.sessions.get_mut(&session) else { return };
                let (reason, by_peer) = close_reason(error);
                connected.session.lost(reason, by_peer);
                self.service(now, session, false);
            }
            None => self.abandon(now, &AttemptKey::Quic(id)),
        }
    }

    /// Closes a connection that has no session, or none any more.
    pub(super) fn close_quic(&mut self, now: Micros, id: QuicId, code: u32) {
        self.quic_sessions.remove(&id);
        if let Some(quic) = &mut self.quic {
            quic.close(now, id, code);
        }
    }
}

/// What the end of a connection means to its session, and whether the peer said so.
pub(in crate::endpoint) fn close_reason(error: &ConnectionError) -> (CloseReason, bool) {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = u16::try_from(close.error_code.into_inner()).ok();
            (code.and_then(CloseReason::from_code).unwrap_or(CloseReason::Left), true)
        }
        ConnectionError::TimedOut | ConnectionError::Reset => (CloseReason::TimedOut, false),
        _ => (CloseReason::Protocol, false),
    }
}
