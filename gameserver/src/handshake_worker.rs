//! The thread beside the I/O thread that does public-key work: Noise, and the join token of each handshake.
//!
//! Its queue is bounded; what does not fit stays in the endpoint, which bounds half-open handshakes itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};

use netcode::endpoint::{HandshakeDone, HandshakeJob};
use protocol::id::ServerId;
use protocol::jwt::{JwtError, KeySet};
use protocol::token::JoinClaims;
use protocol::wire::Refusal;

use crate::io_thread::Waker;
use crate::room_link::Directory;

/// Handshakes that wait for the worker: 0.3 ms each.
const JOBS_MAX: usize = 64;

/// The allocator's public keys, replaced at every registration. Empty until the first: nobody is admitted.
#[derive(Debug, Clone, Default)]
pub struct TokenKeys(Arc<RwLock<Arc<KeySet>>>);

impl TokenKeys {
    /// Replaces the keys.
    pub fn replace(&self, keys: KeySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The claims of a good token for this incarnation.
    ///
    /// # Errors
    /// The first [`JwtError`] that applies.
    pub fn verify(&self, token: &str, server: ServerId, now_unix_s: u64) -> Result<JoinClaims, JwtError> {
        JoinClaims::verify(&self.current(), token, server, now_unix_s)
    }

    fn current(&self) -> Arc<KeySet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Who may join: a good token for this incarnation, for a match that lives here, of a player on its roster.
#[derive(Debug, Clone)]
pub struct Doorkeeper {
    /// This incarnation.
    pub server: ServerId,
    /// Keys of the allocator.
    pub keys: TokenKeys,
    /// Live matches.
    pub directory: Directory,
}

impl Doorkeeper {
    /// The claims of a token that opens a room here.
    ///
    /// # Errors
    /// The [`Refusal`] that says why it does not. Whether it was used before is for the endpoint to say.
    pub fn verify(&self, token: &str, now_unix_s: u64) -> Result<JoinClaims, Refusal> {
        let claims = self.keys.verify(token, self.server, now_unix_s).map_err(refusal)?;
        self.directory.admit(&claims)?;
        Ok(claims)
    }
}

/// The number by which a client is refused whose token has this fault.
pub(crate) fn refusal(error: JwtError) -> Refusal {
    match error {
        JwtError::Malformed | JwtError::WrongType | JwtError::BadClaims => Refusal::TokenMalformed,
        JwtError::UnknownKey | JwtError::BadSignature => Refusal::TokenSignature,
        JwtError::WrongAudience => Refusal::TokenAudience,
        JwtError::Expired => Refusal::TokenExpired,
    }
}

/// The I/O thread's end of the worker. The worker ends when it is dropped.
#[derive(Debug)]
pub struct HandshakeWorker {
    jobs: SyncSender<HandshakeJob>,
    done: Receiver<HandshakeDone>,
    /// A job that found the queue full.
    waiting: Option<HandshakeJob>,
}

impl HandshakeWorker {
    /// Starts the worker; it wakes the I/O thread by `waker` for each job that is done.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(doorkeeper: Doorkeeper, waker: Waker) -> std::io::Result<Self> {
        let (jobs, incoming) = sync_channel::<HandshakeJob>(JOBS_MAX);
        let (finished, done) = sync_channel(JOBS_MAX);
        let work = move || {
            while let Ok(job) = incoming.recv() {
                let run = || job.run(&|token| doorkeeper.verify(token, service::clock::unix_s()));
                // No handshake may cost the next one its worker; its client tries again or gives up.
                let Ok(result) = catch_unwind(AssertUnwindSafe(run)) else {
                    tracing::error!("a handshake panicked; dropping it");
                    continue;
                };
                if finished.send(result).is_err() {
                    return;
                }
                waker.wake();
            }
        };
        std::thread::Builder::new().name("handshakes".into()).spawn(work)?;
        Ok(Self { jobs, done, waiting: None })
    }

    /// Gives jobs from `next` to the worker for as long as there are any and it takes them.
    pub fn feed(&mut self, mut next: impl FnMut() -> Option<HandshakeJob>) {
        while let Some(job) = self.waiting.take().or_else(&mut next) {
            match self.jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => {
                    self.waiting = Some(job);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// The next finished job.
    pub fn finished(&self) -> Option<HandshakeDone> {
        self.done.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::id::{MatchId, PlayerId};
    use protocol::jwt::SigningKey;
    use protocol::token::JOIN_TYP;
    use testkit::tokens::{allocator_keys, join_claims, join_token};

    use super::*;
    use crate::room_link::RoomLink;

    #[test]
    fn each_fault_of_a_token_is_refused_by_its_own_number() {
        let (server, id) = (ServerId::from_entropy([1; 16]), MatchId::from_entropy([2; 16]));
        let player = PlayerId::from_entropy([3; 16]);
        let door = Doorkeeper { server, keys: TokenKeys::default(), directory: Directory::default() };
        let good = join_token(&join_claims(server, id, player, 1_000, "a"));
        assert_eq!(door.verify(&good, 1_000), Err(Refusal::TokenSignature), "no keys yet: nobody is admitted");
        door.keys.replace(allocator_keys());
        assert_eq!(door.verify(&good, 1_000), Err(Refusal::NoMatch));
        door.directory.open(Arc::new(RoomLink::new(id, vec![player])));
        assert_eq!(door.verify(&good, 1_000).map(|claims| claims.sub), Ok(player));
        assert_eq!(door.verify(&good, 1_060), Err(Refusal::TokenExpired));
        assert_eq!(door.verify("nonsense", 1_000), Err(Refusal::TokenMalformed));
        let other = ServerId::from_entropy([9; 16]);
        let elsewhere = join_token(&join_claims(other, id, player, 1_000, "a"));
        assert_eq!(door.verify(&elsewhere, 1_000), Err(Refusal::TokenAudience));
        let stranger = PlayerId::from_entropy([4; 16]);
        let uninvited = join_token(&join_claims(server, id, stranger, 1_000, "a"));
        assert_eq!(door.verify(&uninvited, 1_000), Err(Refusal::NotOnRoster));
        let forged = SigningKey::from_seed(&[7; 32]).sign(JOIN_TYP, &join_claims(server, id, player, 1_000, "a"));
        assert_eq!(door.verify(&forged, 1_000), Err(Refusal::TokenSignature));
    }
}
