//! Refresh tokens that rotate, and what a presented one is worth.
//!
//! A login starts a family of tokens, known by its session id. Each use of the newest token replaces it. The one
//! before it answers for [`GRACE_MS`] with the very same successor, since the answer to a client that crashed or
//! lost its connection never arrived. Any older token can only be a copy: then the whole family dies.
//!
//! Every token's value comes from its predecessor's by HMAC, so the successor can be given again although the store
//! holds only hashes. A tag over the whole token proves that this installation made it: a forged token kills no
//! family, and tokens long replaced need not be remembered.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Life of a family in milliseconds: 30 days, however often it is refreshed.
pub const FAMILY_LIFE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a replaced token still gets its successor, in milliseconds.
pub const GRACE_MS: u64 = 30_000;

const TAG_BYTES: usize = 16;
const TOKEN_BYTES: usize = 16 + 4 + 32 + TAG_BYTES;

/// One login of one player, and the refresh family that grows from it; the `sid` of access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// A session that begins now: the id begins with the time (UUID version 7), so that new rows lie beside each other, and
    /// so that it can be told which sessions began before a ban.
    pub fn from_time(now_ms: u64, entropy: [u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now_ms, &entropy).into_uuid())
    }

    /// Unix milliseconds at which it began, if its id tells.
    pub fn began_at_ms(&self) -> Option<u64> {
        let bytes = self.0.as_bytes();
        let time = u64::from_be_bytes([0, 0, bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]]);
        (self.0.get_version_num() == 7).then_some(time)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The SHA-256 of a refresh token's value; all that is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// A refresh token that this installation made.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The family.
    pub session: SessionId,
    /// How many rotations came before it.
    pub generation: u32,
    value: [u8; 32],
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken").field("session", &self.session).finish_non_exhaustive()
    }
}

impl RefreshToken {
    /// What the store holds of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.value).into())
    }

    fn head(&self) -> [u8; TOKEN_BYTES - TAG_BYTES] {
        let mut head = [0; TOKEN_BYTES - TAG_BYTES];
        head[..16].copy_from_slice(self.session.0.as_bytes());
        head[16..20].copy_from_slice(&self.generation.to_le_bytes());
        head[20..].copy_from_slice(&self.value);
        head
    }
}

/// Makes and reads refresh tokens.
#[derive(Debug, Clone)]
pub struct RefreshSecret(hmac::Key);

impl RefreshSecret {
    /// The secret of an installation with this seed.
    pub fn new(seed: &[u8; 32]) -> Self {
        // Derived, since the same seed also is the access tokens' signing key.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), b"muster refresh tokens v1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The first token of a family; `value` is 256 bits of entropy.
    pub fn first(&self, session: SessionId, value: [u8; 32]) -> RefreshToken {
        RefreshToken { session, generation: 0, value }
    }

    /// The token that replaces `token`; always the same.
    pub fn successor(&self, token: &RefreshToken) -> RefreshToken {
        let next = self.mac(b"next", &token.head());
        let value = next.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes");
        RefreshToken { session: token.session, generation: token.generation.wrapping_add(1), value }
    }

    /// The token as the client keeps it: 91 characters.
    pub fn text(&self, token: &RefreshToken) -> String {
        let mut bytes = token.head().to_vec();
        bytes.extend_from_slice(&self.mac(b"tag", &token.head()).as_ref()[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The token in `text`, if this installation made it.
    pub fn read(&self, text: &str) -> Option<RefreshToken> {
        let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let token = RefreshToken {
            session: SessionId(Uuid::from_slice(&bytes[..16]).ok()?),
            generation: u32::from_le_bytes(bytes[16..20].try_into().ok()?),
            value: bytes[20..52].try_into().ok()?,
        };
        let tag = self.mac(b"tag", &token.head());
        let same =
            tag.as_ref()[..TAG_BYTES].iter().zip(&bytes[52..]).fold(0, |difference, (a, b)| difference | (a ^ b));
        (same == 0).then_some(token)
    }

    fn mac(&self, label: &[u8], head: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(label);
        context.update(head);
        context.sign()
    }
}

/// What is stored of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Hash of the newest token.
    pub current: TokenHash,
    /// Hash of the token that it replaced.
    pub previous: Option<TokenHash>,
    /// Unix milliseconds of the newest rotation.
    pub rotated_at_ms: u64,
    /// Unix milliseconds at which the family ends.
    pub expires_at_ms: u64,
}

/// What a token of the family is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The newest: it is replaced by its successor.
    Rotate,
    /// The one before, in time: its successor is given once more.
    Repeat,
    /// Replaced longer ago: a copy is in use, the family ends.
    Reused,
    /// The family's time is over.
    Expired,
}

impl Family {
    /// A family as a login starts it.
    pub fn new(first: TokenHash, now_ms: u64) -> Self {
        Self { current: first, previous: None, rotated_at_ms: now_ms, expires_at_ms: now_ms + FAMILY_LIFE_MS }
    }

    /// Judges a token that this installation made for this family.
    pub fn judge(&self, presented: TokenHash, now_ms: u64) -> Verdict {
        if now_ms >= self.expires_at_ms {
            Verdict::Expired
        } else if presented == self.current {
            Verdict::Rotate
        } else if self.previous == Some(presented) && now_ms.saturating_sub(self.rotated_at_ms) <= GRACE_MS {
            Verdict::Repeat
        } else {
            Verdict::Reused
        }
    }

    /// Replaces the newest token by `successor`.
    pub fn rotate(&mut self, successor: TokenHash, now_ms: u64) {
        self.previous = Some(self.current);
        self.current = successor;
        self.rotated_at_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> RefreshSecret {
        RefreshSecret::new(&[1; 32])
    }

    fn token() -> RefreshToken {
        secret().first(SessionId(Uuid::from_bytes([2; 16])), [3; 32])
    }

    #[test]
    fn a_token_reads_back_and_a_changed_one_does_not() {
        let text = secret().text(&token());
        assert_eq!(secret().read(&text), Some(token()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(secret().read(&changed), None, "character {at}");
        }
        assert_eq!(RefreshSecret::new(&[9; 32]).read(&text), None, "another installation's");
        assert_eq!(secret().read(""), None);
    }

    #[test]
    fn an_id_tells_when_its_session_began() {
        let session = SessionId::from_time(1_700_000_000_123, [7; 10]);
        assert_eq!(session.began_at_ms(), Some(1_700_000_000_123));
        assert_eq!(SessionId(Uuid::from_bytes([2; 16])).began_at_ms(), None);
    }

    #[test]
    fn the_successor_is_always_the_same_and_says_nothing_without_the_secret() {
        let next = secret().successor(&token());
        assert_eq!(secret().successor(&token()), next);
        assert_ne!(next.hash(), token().hash());
        assert_ne!(RefreshSecret::new(&[9; 32]).successor(&token()).hash(), next.hash());
        assert_eq!(next.generation, 1);
    }

    #[test]
    fn the_predecessor_has_thirty_seconds_and_the_family_thirty_days() {
        let next = secret().successor(&token());
        let mut family = Family::new(token().hash(), 1_000);
        assert_eq!(family.judge(token().hash(), 1_000), Verdict::Rotate);
        assert_eq!(family.judge(next.hash(), 1_000), Verdict::Reused, "not issued yet");
        family.rotate(next.hash(), 2_000);
        assert_eq!(family.judge(token().hash(), 2_000 + GRACE_MS), Verdict::Repeat);
        assert_eq!(family.judge(token().hash(), 2_001 + GRACE_MS), Verdict::Reused);
        assert_eq!(family.judge(next.hash(), 999 + FAMILY_LIFE_MS), Verdict::Rotate);
        assert_eq!(family.judge(next.hash(), 1_000 + FAMILY_LIFE_MS), Verdict::Expired);
    }
}
