//! Handshakes between Connect and the client's first packet under session keys: a bounded table.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use protocol::wire::{ConnectionId, Cookie};

use super::admission::{Seat, seat};
use super::handshake::{Entry, Grant};
use super::limits::ATTEMPT_LIFE;
use super::quic::server::QuicId;
use super::session::Session;
use crate::Micros;

/// What makes a handshake the same as an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AttemptKey {
    /// Client id and a keyed hash of its Noise message. The cookie may differ, because a client fetches a new one when
    /// its answer is lost.
    Native(ConnectionId, [u8; 16]),
    /// The connection.
    Quic(QuicId),
}

/// One handshake.
pub(super) struct Attempt {
    pub(super) key: AttemptKey,
    /// Attempts are numbered in the order of their first Connect.
    pub(super) number: u64,
    /// Where the newest Connect of this attempt came from: there the answer goes.
    pub(super) remote: SocketAddr,
    /// From its newest Connect; none over QUIC.
    pub(super) cookie: Option<Cookie>,
    /// Connection id of the session to be.
    pub(super) session_id: ConnectionId,
    pub(super) state: AttemptState,
}

/// How far a handshake is.
pub(super) enum AttemptState {
    /// Its job is waiting or running; over QUIC its request may still be on its way.
    Working,
    /// Refused with this answer; a repeated Connect gets it again.
    Refused { answer: Vec<u8> },
    /// Accepted with this answer; the session waits for its first packet.
    Offered { answer: Vec<u8>, session: Box<Session>, grant: Box<Grant> },
}

/// All handshakes without a session yet.
pub(super) struct HalfOpen {
    max: usize,
    next_number: u64,
    attempts: BTreeMap<AttemptKey, Attempt>,
    /// In order of time, because every attempt lives equally long.
    expiries: VecDeque<(Micros, AttemptKey, u64)>,
    /// Which attempt of a player is the one that counts.
    offers: BTreeMap<Seat, AttemptKey>,
}

impl HalfOpen {
    pub(super) fn new(max: usize) -> Self {
        Self { max, next_number: 0, attempts: BTreeMap::new(), expiries: VecDeque::new(), offers: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn get_mut(&mut self, key: &AttemptKey) -> Option<&mut Attempt> {
        self.attempts.get_mut(key)
    }

    pub(super) fn has_offer(&self, seat: &Seat) -> bool {
        self.offers.contains_key(seat)
    }

    /// The attempt whose offer to this player counts.
    pub(super) fn offer_to(&self, seat: &Seat) -> Option<(AttemptKey, u64)> {
        let key = self.offers.get(seat)?;
        self.attempts.get(key).map(|attempt| (*key, attempt.number))
    }

    /// The attempt by which a player is about to resume, if one is.
    pub(super) fn resume_of(&self, seat: &Seat) -> Option<AttemptKey> {
        let key = self.offers.get(seat)?;
        let is_resume = |state: &AttemptState| match state {
            AttemptState::Offered { grant, .. } => grant.entry != Entry::Token,
            AttemptState::Working | AttemptState::Refused { .. } => false,
        };
        self.attempts.get(key).filter(|attempt| is_resume(&attempt.state)).map(|attempt| attempt.key)
    }

    /// Whether one more attempt would fit.
    pub(super) fn has_room(&self) -> bool {
        let is_refused = |attempt: &Attempt| matches!(attempt.state, AttemptState::Refused { .. });
        self.attempts.len() < self.max || self.attempts.values().any(is_refused)
    }

    /// Makes room for one more attempt. Answers of refused attempts make room, oldest first: they are only there to be
    /// repeated. What was dropped is returned.
    pub(super) fn make_room(&mut self) -> Result<Option<Attempt>, ()> {
        if self.attempts.len() < self.max {
            return Ok(None);
        }
        let is_refused = |key: &AttemptKey| {
            matches!(self.attempts.get(key), Some(Attempt { state: AttemptState::Refused { .. }, .. }))
        };
        let oldest = self.expiries.iter().map(|(_, key, _)| *key).find(is_refused).ok_or(())?;
        Ok(self.remove(&oldest))
    }

    /// Notes a new attempt and returns its number.
    pub(super) fn insert(
        &mut self,
        now: Micros,
        key: AttemptKey,
        remote: SocketAddr,
        cookie: Option<Cookie>,
        session_id: ConnectionId,
    ) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.attempts.insert(key, Attempt { key, number, remote, cookie, session_id, state: AttemptState::Working });
        self.expiries.push_back((now + ATTEMPT_LIFE, key, number));
        number
    }

    /// Makes this attempt the one that counts for its player.
    pub(super) fn offer(&mut self, key: &AttemptKey, answer: Vec<u8>, session: Box<Session>, grant: Box<Grant>) {
        if let Some(attempt) = self.attempts.get_mut(key) {
            self.offers.insert(seat(&grant.claims), *key);
            attempt.state = AttemptState::Offered { answer, session, grant };
        }
    }

    pub(super) fn remove(&mut self, key: &AttemptKey) -> Option<Attempt> {
        let attempt = self.attempts.remove(key)?;
        self.expiries.retain(|(_, _, number)| *number != attempt.number);
        if let AttemptState::Offered { grant, .. } = &attempt.state {
            self.offers.remove(&seat(&grant.claims));
        }
        Some(attempt)
    }

    /// Removes and returns an attempt whose time is up.
    pub(super) fn pop_expired(&mut self, now: Micros) -> Option<Attempt> {
        let (expires, key, _) = *self.expiries.front()?;
        if now < expires { None } else { self.remove(&key) }
    }

    pub(super) fn next_timeout(&self) -> Option<Micros> {
        self.expiries.front().map(|(expires, _, _)| *expires)
    }
}
