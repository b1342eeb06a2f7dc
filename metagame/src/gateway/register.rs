//! Where sessions are noted, so that each can go on at another gateway: in Redis, as long as they live.
//!
//! A gateway keeps its sessions itself. A note is what another one needs to go on with one: whose it is, which tokens resume it, until
//! when its access token is good, and how the player is seen. What the client had still to hear is not in it: the inbox is in the
//! database, party and ticket are where they always are, and the ring of ordered messages stays behind, which the client is told.
//!
//! A note has one owner, and a turn that counts its owners. Whoever takes a session over is the owner from then on; the one before
//! hears of it by [`Moved`](super::fanout::News::Moved), or by the next of its own writes, which is refused. A session that has
//! ended stays noted as nobody's for as long as somebody may still have a copy of it. Without Redis a session is resumed where it
//! was opened, and nowhere else.

use std::collections::HashSet;
use std::sync::Arc;

use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::presence::{Presences, Seen};
use super::session::Session;
use crate::core::gateway::resume::ResumeHash;
use crate::core::session::SessionId;
use crate::redis::{Redis, Script, pipe};

/// Name of this part in metrics.
const PART: &str = "gateway";
/// Notes that are written in one round trip.
const AT_ONCE: usize = 128;
/// How much longer than the grace a note lasts that nobody renews: its owner writes it every half a minute.
const SPARE_MS: u64 = 60_000;

/// Writes a note, unless it is another's, or the owner has written a newer one. Arguments: owner, turn, token that is held, token that
/// was offered, the rest, milliseconds, and how new it is.
const KEEP: &str = "local note = redis.call('HMGET', KEYS[1], 'owner', 'age')
if note[1] and note[1] ~= ARGV[1] then return 0 end
if note[2] and tonumber(note[2]) > tonumber(ARGV[7]) then return 1 end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'turn', ARGV[2], 'held', ARGV[3], 'offered', ARGV[4], 'about', ARGV[5], 'age', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1";

/// Takes a session over for whoever shows a good token, as `ResumeTokens::present` has it. Arguments: owner, token that is shown, token that is
/// offered next, milliseconds, and whether it must be another's.
const TAKE: &str = "local note = redis.call('HMGET', KEYS[1], 'owner', 'turn', 'held', 'offered', 'about')
if not note[1] or note[1] == '' or (note[1] == ARGV[1] and ARGV[5] == '1') then return false end
if note[3] ~= ARGV[2] and note[4] ~= ARGV[2] then return false end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'turn', note[2] + 1, 'held', ARGV[2], 'offered', ARGV[3], 'age', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {note[2] + 1, note[5]}";

/// A session has ended, unless it is another's. Arguments: owner, milliseconds.
const END: &str = "local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', '')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1";

/// What is noted of a session besides its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) player: PlayerId,
    pub(super) account_session: SessionId,
    pub(super) expires_at_ms: u64,
    /// How the player was seen: a status and its text; absent where it was not.
    pub(super) seen: Option<(i32, String)>,
}

/// A session that was another gateway's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) turn: u64,
    pub(super) note: Note,
}

/// The notes of this gateway.
pub(crate) struct Register {
    redis: Option<Redis>,
    own: Uuid,
    life_ms: u64,
}

impl Register {
    /// Notes in `redis`, of sessions that wait for a resume for `grace_ms`.
    pub(crate) fn new(redis: Option<Redis>, grace_ms: u64) -> Self {
        let own = uuid::Builder::from_random_bytes(service::random::bytes()).into_uuid();
        Self { redis, own, life_ms: grace_ms + SPARE_MS }
    }

    /// Writes sessions down as they are now. Returns those that are another gateway's by now.
    pub(super) async fn keep(
        &self,
        sessions: &[Arc<Session>],
        presences: &Presences,
        now_ms: u64,
    ) -> Vec<Arc<Session>> {
        let Some(redis) = &self.redis else { return Vec::new() };
        let mut moved = Vec::new();
        for some in sessions.chunks(AT_ONCE) {
            let mut commands = pipe();
            for session in some {
                let (tokens, age, note) = session.note(presences.get(session.player, now_ms));
                let about = serde_json::to_vec(&note).expect("a note is plain data");
                commands.cmd("EVAL").arg(KEEP).arg(1).arg(key(redis, session.id)).arg(self.own.as_bytes().as_slice());
                let held = tokens.held().map_or(&[][..], |held| held.as_slice());
                commands.arg(session.turn).arg(held).arg(tokens.offered().as_slice());
                commands.arg(about).arg(self.life_ms).arg(age);
            }
            let kept: Result<Vec<i64>, _> = redis.pipeline(PART, &commands).await;
            let kept = kept.unwrap_or_default();
            moved.extend(some.iter().zip(kept).filter(|(_, kept)| *kept == 0).map(|(session, _)| Arc::clone(session)));
        }
        moved
    }

    /// Takes a session over for whoever shows a good token; `next` is offered to it. `has_own`: this gateway has that session
    /// itself and has refused the token, so the note counts only if it is another's.
    pub(super) async fn take(&self, id: Uuid, shown: ResumeHash, next: ResumeHash, has_own: bool) -> Option<Taken> {
        let redis = self.redis.as_ref()?;
        let script = Script::new(TAKE);
        let mut call = script.key(key(redis, id));
        call.arg(self.own.as_bytes().as_slice()).arg(shown.as_slice()).arg(next.as_slice());
        call.arg(self.life_ms).arg(u8::from(has_own));
        let (turn, about): (u64, Vec<u8>) = redis.script::<Option<_>>(PART, &call).await.ok()??;
        let note = serde_json::from_slice(&about).ok()?;
        Some(Taken { turn, note })
    }

    /// Sessions have ended. Returns those that have not, as they are another gateway's.
    pub(super) async fn end(&self, sessions: &[Arc<Session>]) -> HashSet<Uuid> {
        let Some(redis) = &self.redis else { return HashSet::new() };
        let mut elsewhere = HashSet::new();
        for some in sessions.chunks(AT_ONCE) {
            let mut commands = pipe();
            for session in some {
                commands.cmd("EVAL").arg(END).arg(1).arg(key(redis, session.id));
                commands.arg(self.own.as_bytes().as_slice()).arg(self.life_ms);
            }
            let ended: Result<Vec<i64>, _> = redis.pipeline(PART, &commands).await;
            let ended = ended.unwrap_or_default();
            elsewhere.extend(some.iter().zip(ended).filter(|(_, ended)| *ended == 0).map(|(session, _)| session.id));
        }
        elsewhere
    }
}

/// How the player of a note was seen, for whoever does not know it better.
pub(super) fn seen_by(note: &Note, until_ms: u64) -> Option<Seen> {
    let (status, text) = note.seen.clone()?;
    Some(Seen { status: protocol::pb::GatewayStatus::try_from(status).ok()?, text, until_ms })
}

fn key(redis: &Redis, session: Uuid) -> String {
    redis.key(&format!("gateway-session:{}", session.simple()))
}

#[cfg(test)]
mod tests {
    use super::super::session::Opening;
    use super::*;
    use crate::core::gateway::resume::ResumeTokens;
    use crate::core::gateway::stream::Bounds;

    fn session(tokens: ResumeTokens, turn: u64) -> Arc<Session> {
        let opening = Opening {
            player: PlayerId::from_entropy([1; 16]),
            account_session: SessionId(Uuid::nil()),
            tokens,
            expires_at_ms: 9,
            inbox_sent: 0,
            last_seq: 0,
            turn,
            now_ms: 0,
            bounds: Bounds::default(),
        };
        Arc::new(Session::open(Uuid::from_u128(7), &opening))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_session_has_one_owner_and_who_shows_a_good_token_takes_it_along() {
        let server = testkit::redis::RedisServer::start();
        let redis = || Some(Redis::new(&server.url().parse().expect("an address"), "test").expect("a way"));
        let (one, two) = (Register::new(redis(), 1_000), Register::new(redis(), 1_000));
        let presences = Presences::default();
        let (id, first) = (Uuid::from_u128(7), [session(ResumeTokens::new([1; 32]), 0)]);
        assert!(one.keep(&first, &presences, 0).await.is_empty());
        assert_eq!(two.take(id, [9; 32], [2; 32], false).await, None, "a token that nobody has");
        assert_eq!(one.take(id, [1; 32], [2; 32], true).await, None, "it has the session, and knows better");
        let taken = two.take(id, [1; 32], [2; 32], false).await.expect("the client has come to the second");
        assert_eq!((taken.turn, taken.note.expires_at_ms), (1, 9));
        let again = two.take(id, [1; 32], [3; 32], false).await.expect("its answer was lost");
        assert_eq!(again.turn, 2);
        assert_eq!(two.take(id, [2; 32], [4; 32], false).await, None, "and what it offered is nobody's");
        assert_eq!(one.keep(&first, &presences, 0).await.len(), 1, "the first one hears of it");
        assert!(one.end(&first).await.contains(&id), "and does not end it");
        let second = [session(ResumeTokens::taken([1; 32], [3; 32]), 2)];
        assert!(two.keep(&second, &presences, 0).await.is_empty());
        assert!(two.end(&second).await.is_empty());
        assert_eq!(one.take(id, [3; 32], [5; 32], false).await, None, "it is over");
        assert_eq!(one.keep(&first, &presences, 0).await.len(), 1, "an old copy does not bring it back");
        let ttl = server.cli(&["PTTL", "muster:test:gateway-session:00000000000000000000000000000007"]);
        assert!((1..=61_000).contains(&ttl.parse::<u64>().expect("milliseconds")), "{ttl}: it is forgotten");
    }

    #[tokio::test]
    async fn without_redis_a_session_stays_where_it_is() {
        let register = Register::new(None, 1_000);
        let own = [session(ResumeTokens::new([1; 32]), 0)];
        assert!(register.keep(&own, &Presences::default(), 0).await.is_empty());
        assert_eq!(register.take(Uuid::from_u128(7), [1; 32], [2; 32], false).await, None);
        assert!(register.end(&own).await.is_empty());
    }
}
