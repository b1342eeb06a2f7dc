//! Who may still come in: tokens that are used, seats that are taken, tickets that are good.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::JoinClaims;
use protocol::wire::{Refusal, ResumeBinder, ResumeId, ResumeRequest, ResumeTicket};

use super::handshake::{Entry, Grant};
use super::limits::{TOKEN_MEMORY, TOKENS_PER_SESSION_MAX};
use super::resume::is_proved;
use crate::Micros;

/// The place of one player in one match.
pub(super) type Seat = (MatchId, PlayerId);

pub(super) fn seat(claims: &JoinClaims) -> Seat {
    (claims.mid, claims.sub)
}

/// What decides about a verified token. Handshake jobs get a snapshot of it, so that a refusal is written by the worker
/// and travels encrypted; the endpoint asks again when the job is done.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    server: ServerId,
    sessions_max: usize,
    /// Seats with a session, or with a handshake that was answered.
    seats: BTreeSet<Seat>,
    /// Tokens by `jti`, and when they may be forgotten.
    used: BTreeMap<String, Micros>,
    /// The good resume ticket of each seat that has one, and whose it is.
    tickets: BTreeMap<ResumeId, (ResumeTicket, JoinClaims)>,
}

impl Admission {
    pub(super) fn new(server: ServerId, sessions_max: usize) -> Self {
        Self { server, sessions_max, seats: BTreeSet::new(), used: BTreeMap::new(), tickets: BTreeMap::new() }
    }

    /// Whether the bearer of these claims may come in.
    pub(super) fn check(&self, claims: &JoinClaims, entry: Entry) -> Result<(), Refusal> {
        match entry {
            Entry::Token if claims.aud != self.server => return Err(Refusal::TokenAudience),
            Entry::Token if self.used.contains_key(&claims.jti) => return Err(Refusal::TokenUsed),
            Entry::Ticket { id, .. } if !self.tickets.contains_key(&id) => return Err(Refusal::ResumeTicket),
            Entry::Token | Entry::Ticket { .. } => {}
        }
        // A player who is here already takes over the own seat, however full the server is.
        let is_new = !self.seats.contains(&seat(claims));
        let is_full = self.seats.len() >= self.sessions_max;
        if is_new && is_full || self.used.len() >= self.sessions_max.max(1) * TOKENS_PER_SESSION_MAX {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Whose seat a request is for, if it proves its ticket. A ticket that is unknown and a wrong proof look the same.
    pub(super) fn redeem(&self, request: &ResumeRequest, binder: &ResumeBinder) -> Result<JoinClaims, Refusal> {
        let (ticket, claims) = self.tickets.get(&request.id).ok_or(Refusal::ResumeTicket)?;
        if !is_proved(ticket, binder, request) {
            return Err(Refusal::ResumeTicket);
        }
        self.check(claims, Entry::Ticket { id: request.id, lacks: request.received })?;
        Ok(claims.clone())
    }

    /// The ticket of a session that has begun is good from now on.
    pub(super) fn issue(&mut self, grant: &Grant) {
        self.tickets.insert(grant.ticket.id, (grant.ticket.clone(), grant.claims.clone()));
    }

    /// A ticket is used up, or its seat is gone.
    pub(super) fn revoke(&mut self, id: &ResumeId) {
        self.tickets.remove(id);
    }

    pub(super) fn tickets(&self) -> usize {
        self.tickets.len()
    }

    pub(super) fn take_seat(&mut self, seat: Seat) {
        self.seats.insert(seat);
    }

    pub(super) fn leave_seat(&mut self, seat: &Seat) {
        self.seats.remove(seat);
    }

    /// Notes that a token is used, and forgets those that have expired.
    pub(super) fn use_token(&mut self, now: Micros, jti: &str) {
        self.used.retain(|_, until| *until > now);
        self.used.insert(jti.to_owned(), now + TOKEN_MEMORY);
    }

    pub(super) fn forget_expired(&mut self, now: Micros) {
        self.used.retain(|_, until| *until > now);
    }

    pub(super) fn has_expired_tokens(&self, now: Micros) -> bool {
        self.used.values().any(|until| *until <= now)
    }

    pub(super) fn tokens(&self) -> usize {
        self.used.len()
    }
}
