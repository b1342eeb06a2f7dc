//! One-time tickets by which a connection says who it is, for clients that do not want to hand an access token to whatever
//! opens the connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use protocol::id::PlayerId;

use crate::core::session::SessionId;

/// Who a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) player: PlayerId,
    /// The session of its account.
    pub(crate) session: SessionId,
    /// Unix milliseconds at which the access token expires.
    pub(crate) expires_at_ms: u64,
}

/// How long a ticket holds.
pub(crate) const TICKET_LIFE_MS: u64 = 30_000;
/// Tickets that are kept at most; beyond, the oldest half goes.
const TICKETS_MAX: usize = 32_768;

/// Tickets that were given out by this process and not used yet.
#[derive(Debug, Default)]
pub(crate) struct WsTickets(Mutex<HashMap<[u8; 32], (Proof, u64)>>);

impl WsTickets {
    /// A ticket of these random bytes for whoever this is.
    pub(crate) fn issue(&self, proof: Proof, entropy: [u8; 32], now_ms: u64) -> String {
        let text = URL_SAFE_NO_PAD.encode(entropy);
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, (_, until_ms)| *until_ms > now_ms);
        }
        if tickets.len() >= TICKETS_MAX {
            let half_over_ms = now_ms + TICKET_LIFE_MS / 2;
            tickets.retain(|_, (_, until_ms)| *until_ms > half_over_ms);
        }
        if tickets.len() < TICKETS_MAX {
            tickets.insert(hash(&text), (proof, now_ms + TICKET_LIFE_MS));
        }
        text
    }

    /// Uses a ticket up.
    pub(crate) fn redeem(&self, text: &str, now_ms: u64) -> Option<Proof> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.remove(&hash(text)).filter(|(_, until_ms)| *until_ms > now_ms).map(|(proof, _)| proof)
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_works_once_and_not_for_long() {
        let claims =
            Proof { player: PlayerId::from_entropy([1; 16]), session: SessionId(uuid::Uuid::nil()), expires_at_ms: 9 };
        let tickets = WsTickets::default();
        let ticket = tickets.issue(claims, [1; 32], 0);
        assert_eq!(tickets.redeem(&ticket, 1), Some(claims));
        assert_eq!(tickets.redeem(&ticket, 1), None, "once");
        let late = tickets.issue(claims, [2; 32], 0);
        assert_eq!(tickets.redeem(&late, TICKET_LIFE_MS), None);
        assert_eq!(tickets.redeem("anything", 0), None);
    }
}
