//! A client's session over QUIC: TLS, the request, its answer, then packets as datagrams.

use std::net::SocketAddr;

use protocol::wire::{AcceptPayload, CloseReason, Refusal, ResumeBinder, VERSION_MAX, VERSION_MIN, decode_join_answer};
use quinn_proto::ConnectionError;

use super::{ClientConfig, ClientEndpoint, State};
use crate::endpoint::limits::HANDSHAKE_TIMEOUT;
use crate::endpoint::quic::QuicClientConfig;
use crate::endpoint::quic::client::{Dial, QuicClient, refusal};
use crate::endpoint::quic::link::LinkEvent;
use crate::endpoint::server::close_reason;
use crate::endpoint::session::{Role, Session};
use crate::endpoint::{Carrier, DropReason, SessionStats};
use crate::{Entropy, Micros};

impl ClientEndpoint {
    pub(super) fn dial(&mut self, config: ClientConfig, quic: QuicClientConfig, entropy: &mut Entropy, now: Micros) {
        let ClientConfig { server, routing_token, schema_hash, .. } = config;
        let dial = Dial { server, routing_token, quic, schema_hash };
        match QuicClient::new(dial, entropy, now) {
            Ok(client) => {
                self.quic = Some(Box::new(client));
                self.state = State::Asking { deadline: now + HANDSHAKE_TIMEOUT };
            }
            Err(refusal) => self.refused(refusal, None),
        }
    }

    pub(super) fn handle_quic(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Result<(), DropReason> {
        let Some(quic) = &mut self.quic else { return Err(DropReason::UnknownType) };
        quic.handle(now, from, datagram)?;
        self.take_quic_events(now);
        Ok(())
    }

    pub(super) fn expire_quic(&mut self, now: Micros) {
        if let Some(quic) = self.quic.as_mut().filter(|quic| quic.next_timeout().is_some_and(|at| at <= now)) {
            quic.handle_timeout(now);
            self.take_quic_events(now);
        }
    }

    /// Closes the connection, if there is one.
    pub(super) fn close_quic(&mut self, now: Micros, code: u32) {
        if let Some(quic) = &mut self.quic {
            quic.close(now, code);
        }
    }

    /// The session has ended.
    pub(super) fn end(&mut self, now: Micros) {
        let stats = self.stats();
        self.left = self.resumption();
        self.close_quic(now, self.close_reason.map_or(0, |reason| reason as u32));
        self.state = State::Done(stats);
    }

    /// Measurements of a session; bytes are those of the carrier.
    pub(super) fn stats_of(&self, session: &Session) -> SessionStats {
        let mut stats = session.stats();
        if let Some(quic) = &self.quic {
            (stats.bytes_out, stats.bytes_in) = quic.bytes();
        }
        stats
    }

    fn take_quic_events(&mut self, now: Micros) {
        while let Some(event) = self.quic.as_mut().and_then(|quic| quic.poll_event()) {
            match event {
                LinkEvent::Established => self.ask(now),
                LinkEvent::Stream => self.take_answer(now),
                LinkEvent::Datagram(packet) => self.take_quic_packet(now, &packet),
                LinkEvent::Lost(error) => self.lost_quic(now, &error),
            }
        }
    }

    fn ask(&mut self, now: Micros) {
        let Some(quic) = &mut self.quic else { return };
        match self.credential.request(|| quic.export().map(ResumeBinder::Quic)) {
            Some(request) => quic.ask(now, request.to_vec()),
            None => self.refused_over_quic(now, Refusal::TokenMalformed),
        }
    }

    fn take_answer(&mut self, now: Micros) {
        let (State::Asking { .. }, Some(quic)) = (&self.state, &self.quic) else { return };
        match decode_join_answer(quic.stream_bytes()) {
            Ok(None) => {}
            Ok(Some(AcceptPayload::Offer(offer))) if (VERSION_MIN..=VERSION_MAX).contains(&offer.version) => {
                self.begin(now, Carrier::Quic, Session::over_quic(now, Role::Client), &offer);
            }
            Ok(Some(AcceptPayload::Refused(refusal))) => self.refused_over_quic(now, refusal),
            Ok(Some(AcceptPayload::Offer(_))) | Err(_) => self.refused_over_quic(now, Refusal::Version),
        }
    }

    fn refused_over_quic(&mut self, now: Micros, refusal: Refusal) {
        self.close_quic(now, CloseReason::Left as u32);
        self.refused(refusal, None);
    }

    fn take_quic_packet(&mut self, now: Micros, packet: &[u8]) {
        let State::Connected(session) = &mut self.state else { return self.counters.drop(DropReason::Stale) };
        match session.receive_plain(now, packet, &mut self.buffers) {
            Ok(_) => self.service(now, false),
            Err(reason) => {
                self.counters.drop(reason);
                self.service(now, false);
            }
        }
    }

    fn lost_quic(&mut self, now: Micros, error: &ConnectionError) {
        match &mut self.state {
            State::Asking { .. } => match refusal(error) {
                Some(refusal) => self.refused(refusal, None),
                None => self.timed_out(),
            },
            State::Connected(session) => {
                let (reason, by_peer) = close_reason(error);
                session.lost(reason, by_peer);
                self.service(now, false);
            }
            State::Handshake(_) | State::Done(_) => {}
        }
    }
}
