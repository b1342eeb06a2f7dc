//! One-time tickets by which a connection says who it is, for clients that do not want to hand an access token to whatever
//! opens the connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};

use crate::core::session::SessionId;
use crate::redis::{Redis, cmd};

/// Who a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
/// Name of this part in metrics.
const PART: &str = "gateway";

/// Tickets that were given out and not used yet: in Redis, where every gateway finds them, or in the memory of this process
/// where there is none, or none that answers. A ticket is in one of the two only, so that it works once.
#[derive(Debug, Default)]
pub(crate) struct WsTickets {
    redis: Option<Redis>,
    own: Mutex<HashMap<[u8; 32], (Proof, u64)>>,
}

impl WsTickets {
    /// No tickets yet.
    pub(crate) fn new(redis: Option<Redis>) -> Self {
        Self { redis, own: Mutex::default() }
    }

    /// A ticket of these random bytes for whoever this is.
    pub(crate) async fn issue(&self, proof: Proof, entropy: [u8; 32], now_ms: u64) -> String {
        let text = URL_SAFE_NO_PAD.encode(entropy);
        let hash = hash(&text);
        if !self.hand_out(&hash, &proof).await {
            self.keep(hash, proof, now_ms);
        }
        text
    }

    /// Uses a ticket up.
    pub(crate) async fn redeem(&self, text: &str, now_ms: u64) -> Option<Proof> {
        let hash = hash(text);
        let own = self.lock().remove(&hash);
        match own {
            Some((proof, until_ms)) => Some(proof).filter(|_| until_ms > now_ms),
            None => self.fetch(&hash).await,
        }
    }

    /// Whether Redis has it now.
    async fn hand_out(&self, hash: &[u8; 32], proof: &Proof) -> bool {
        let Some(redis) = &self.redis else { return false };
        let text = serde_json::to_vec(proof).expect("a proof is plain data");
        let mut set = cmd("SET");
        set.arg(key(redis, hash)).arg(text).arg("PX").arg(TICKET_LIFE_MS);
        redis.query::<()>(PART, &set).await.is_ok()
    }

    async fn fetch(&self, hash: &[u8; 32]) -> Option<Proof> {
        let redis = self.redis.as_ref()?;
        let found: Option<Vec<u8>> = redis.query(PART, cmd("GETDEL").arg(key(redis, hash))).await.ok()?;
        serde_json::from_slice(&found?).ok()
    }

    fn keep(&self, hash: [u8; 32], proof: Proof, now_ms: u64) {
        let mut tickets = self.lock();
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, (_, until_ms)| *until_ms > now_ms);
        }
        if tickets.len() >= TICKETS_MAX {
            let half_over_ms = now_ms + TICKET_LIFE_MS / 2;
            tickets.retain(|_, (_, until_ms)| *until_ms > half_over_ms);
        }
        if tickets.len() < TICKETS_MAX {
            tickets.insert(hash, (proof, now_ms + TICKET_LIFE_MS));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Proof, u64)>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(redis: &Redis, hash: &[u8; 32]) -> String {
    redis.key(&format!("ws-ticket:{}", hex::encode(hash)))
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof() -> Proof {
        Proof { player: PlayerId::from_entropy([1; 16]), session: SessionId(uuid::Uuid::nil()), expires_at_ms: 9 }
    }

    #[tokio::test]
    async fn a_ticket_works_once_and_not_for_long() {
        let tickets = WsTickets::default();
        let ticket = tickets.issue(proof(), [1; 32], 0).await;
        assert_eq!(tickets.redeem(&ticket, 1).await, Some(proof()));
        assert_eq!(tickets.redeem(&ticket, 1).await, None, "once");
        let late = tickets.issue(proof(), [2; 32], 0).await;
        assert_eq!(tickets.redeem(&late, TICKET_LIFE_MS).await, None);
        assert_eq!(tickets.redeem("anything", 0).await, None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn with_redis_a_ticket_works_once_at_any_gateway_and_without_an_answer_at_its_own() {
        let mut server = testkit::redis::RedisServer::start();
        let redis = || Some(Redis::new(&server.url().parse().expect("an address"), "test").expect("a way"));
        let (one, two) = (WsTickets::new(redis()), WsTickets::new(redis()));
        let ticket = one.issue(proof(), [1; 32], 0).await;
        assert_eq!(two.redeem(&ticket, 1).await, Some(proof()));
        assert_eq!((one.redeem(&ticket, 1).await, two.redeem(&ticket, 1).await), (None, None), "once");
        server.kill();
        let ticket = one.issue(proof(), [2; 32], 0).await;
        assert_eq!(one.redeem(&ticket, 1).await, Some(proof()));
        assert_eq!(one.redeem(&ticket, 1).await, None, "once");
    }
}
