//! Who may still come in: tokens that are used, seats that are taken.

use std::collections::{BTreeMap, BTreeSet};

use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::JoinClaims;
use protocol::wire::Refusal;

use super::limits::{TOKEN_MEMORY, TOKENS_PER_SESSION_MAX};
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
}

impl Admission {
    pub(super) fn new(server: ServerId, sessions_max: usize) -> Self {
        Self { server, sessions_max, seats: BTreeSet::new(), used: BTreeMap::new() }
    }

    /// Whether the bearer of these claims may come in.
    pub(super) fn check(&self, claims: &JoinClaims) -> Result<(), Refusal> {
        if claims.aud != self.server {
            return Err(Refusal::TokenAudience);
        }
        if self.used.contains_key(&claims.jti) {
            return Err(Refusal::TokenUsed);
        }
        // A player who is here already takes over the own seat, however full the server is.
        let is_new = !self.seats.contains(&seat(claims));
        let is_full = self.seats.len() >= self.sessions_max;
        if is_new && is_full || self.used.len() >= self.sessions_max.max(1) * TOKENS_PER_SESSION_MAX {
            return Err(Refusal::Busy);
        }
        Ok(())
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
