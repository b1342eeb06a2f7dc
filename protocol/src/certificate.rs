//! What makes a match's result believable: the allocator certifies which server key may report which match, and
//! the server signs the result with that key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::id::{MatchId, PlayerId};
use crate::jwt::{self, Expect, JwtError, KeySet, SigningKey};
use crate::token::ALLOCATOR_ISSUER;

/// `typ` of a match certificate.
pub const CERTIFICATE_TYP: &str = "muster-certificate+jwt";
/// Longest result document in bytes.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;

/// What the allocator certifies about a match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateClaims {
    /// Issuer: [`ALLOCATOR_ISSUER`].
    pub iss: String,
    /// The match.
    pub mid: MatchId,
    /// [`roster_hash`] of the match.
    pub roster: String,
    /// Queue that made the match; its result counts for this queue alone.
    pub queue: String,
    /// Build that the server runs.
    pub build: String,
    /// Thumbprint of the server's result key (RFC 7638).
    pub jkt: String,
    /// Unix seconds.
    pub iat: u64,
    /// Unix seconds after which no result is accepted.
    pub exp: u64,
}

/// Hash of who plays on which team: SHA-256 over the 16-byte player id and the team as 4 bytes little-endian of
/// each player, sorted by player; base64url without padding.
pub fn roster_hash(roster: impl IntoIterator<Item = (PlayerId, u32)>) -> String {
    let mut entries: Vec<_> = roster.into_iter().collect();
    entries.sort_unstable();
    let mut hash = Sha256::new();
    for (player, team) in entries {
        hash.update(player.to_bytes());
        hash.update(team.to_le_bytes());
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// Whether a player of the roster played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Participation {
    /// Was there at the end, or left with leave.
    Played,
    /// Was there and was gone at the end.
    Abandoned,
    /// Never came.
    Absent,
}

/// One player's part of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerResult {
    /// The player.
    pub player_id: PlayerId,
    /// Team, as in the roster.
    pub team: u32,
    /// Place of the team, 1 is best; equal places are a draw.
    pub place: u32,
    /// The game's own score.
    pub score: i64,
    /// Whether the player played.
    pub participation: Participation,
    /// The game's own figures (kills, deaths, …), at most 64.
    #[serde(default)]
    pub stats: BTreeMap<String, i64>,
}

/// How a match ended. The server signs exactly the JSON bytes that it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchResult {
    /// The match.
    pub match_id: MatchId,
    /// Name of the game.
    pub game: String,
    /// Unix milliseconds of the first tick.
    pub started_at_ms: u64,
    /// Unix milliseconds of the last tick.
    pub ended_at_ms: u64,
    /// Ticks played.
    pub ticks: u32,
    /// Tick rate.
    pub tick_rate_hz: u32,
    /// Hash of the last state, 16 hex digits: a replay must arrive at the same.
    pub state_hash: String,
    /// Why it ended: "finished", "nobody_joined", "drained", …
    pub reason: String,
    /// Trace id of the match, 32 hex digits, or empty.
    #[serde(default)]
    pub trace_id: String,
    /// Everyone on the roster.
    pub players: Vec<PlayerResult>,
}

/// A result as it travels to metagame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedResult {
    /// The allocator's certificate.
    pub certificate: String,
    /// Public key of the server, base64url, 32 bytes; its thumbprint is in the certificate.
    pub key: String,
    /// The JSON of a [`MatchResult`], byte for byte as signed.
    pub result: String,
    /// Ed25519 signature over `result`, base64url, 64 bytes.
    pub signature: String,
}

/// Why a signed result is not believed. The variants are stable names for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The certificate is not good.
    #[error("certificate: {0}")]
    Certificate(JwtError),
    /// The key is not the certified one.
    #[error("the result's key is not the certified one")]
    Key,
    /// The signature does not fit.
    #[error("the result's signature does not fit")]
    Signature,
    /// The document is not a result.
    #[error("the result is malformed")]
    Malformed,
    /// It speaks of another match.
    #[error("the result is of another match than the certificate")]
    Match,
    /// It speaks of other players or teams.
    #[error("the result's players are not the certified roster")]
    Roster,
}

impl SignedResult {
    /// Signs a result with the server's key.
    pub fn sign(key: &SigningKey, certificate: String, result: &MatchResult) -> Self {
        let result = serde_json::to_string(result).expect("a result is plain data");
        let signature = URL_SAFE_NO_PAD.encode(key.sign_bytes(result.as_bytes()));
        Self { certificate, key: URL_SAFE_NO_PAD.encode(key.public_key()), result, signature }
    }

    /// The result, if certificate, key, signature, match and roster all fit.
    ///
    /// # Errors
    /// The first [`ResultError`] that applies.
    pub fn verify(&self, keys: &KeySet, now_unix_s: u64) -> Result<(CertificateClaims, MatchResult), ResultError> {
        let expect = Expect { typ: CERTIFICATE_TYP, audience: None, now_unix_s };
        let claims: CertificateClaims = keys.verify(&self.certificate, expect).map_err(ResultError::Certificate)?;
        if claims.iss != ALLOCATOR_ISSUER {
            return Err(ResultError::Certificate(JwtError::BadClaims));
        }
        let key = URL_SAFE_NO_PAD.decode(&self.key).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
        let key = key.filter(|key| jwt::thumbprint(key) == claims.jkt).ok_or(ResultError::Key)?;
        let signature = URL_SAFE_NO_PAD.decode(&self.signature).map_err(|_| ResultError::Signature)?;
        if self.result.len() > RESULT_BYTES_MAX || !jwt::verify_bytes(&key, self.result.as_bytes(), &signature) {
            return Err(ResultError::Signature);
        }
        let result: MatchResult = serde_json::from_str(&self.result).map_err(|_| ResultError::Malformed)?;
        if result.match_id != claims.mid {
            return Err(ResultError::Match);
        }
        if roster_hash(result.players.iter().map(|p| (p.player_id, p.team))) != claims.roster {
            return Err(ResultError::Roster);
        }
        Ok((claims, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(byte: u8, team: u32) -> PlayerResult {
        PlayerResult {
            player_id: PlayerId::from_entropy([byte; 16]),
            team,
            place: 1 + team,
            score: 3,
            participation: Participation::Played,
            stats: BTreeMap::from([("kills".into(), 3)]),
        }
    }

    fn fixture() -> (SigningKey, SigningKey, MatchResult, CertificateClaims) {
        let allocator = SigningKey::from_seed(&[1; 32]);
        let server = SigningKey::from_seed(&[2; 32]);
        let result = MatchResult {
            match_id: MatchId::from_entropy([5; 16]),
            game: "arena".into(),
            started_at_ms: 1,
            ended_at_ms: 2,
            ticks: 60,
            tick_rate_hz: 60,
            state_hash: "00".repeat(8),
            reason: "finished".into(),
            trace_id: String::new(),
            players: vec![player(6, 0), player(7, 1)],
        };
        let claims = CertificateClaims {
            iss: ALLOCATOR_ISSUER.into(),
            mid: result.match_id,
            roster: roster_hash(result.players.iter().map(|p| (p.player_id, p.team))),
            queue: "duel".into(),
            build: "1".into(),
            jkt: server.kid().into(),
            iat: 10,
            exp: 20,
        };
        (allocator, server, result, claims)
    }

    #[test]
    fn a_result_is_believed_only_whole() {
        let (allocator, server, result, claims) = fixture();
        let keys = KeySet::new([allocator.public_key()]);
        let certificate = allocator.sign(CERTIFICATE_TYP, &claims);
        let good = SignedResult::sign(&server, certificate.clone(), &result);
        assert_eq!(good.verify(&keys, 19), Ok((claims.clone(), result.clone())));
        assert_eq!(good.verify(&keys, 20), Err(ResultError::Certificate(JwtError::Expired)));

        let stranger = SigningKey::from_seed(&[9; 32]);
        assert_eq!(
            SignedResult::sign(&stranger, certificate.clone(), &result).verify(&keys, 19),
            Err(ResultError::Key)
        );
        let edited = SignedResult { result: good.result.replace("\"score\":3", "\"score\":4"), ..good.clone() };
        assert_eq!(edited.verify(&keys, 19), Err(ResultError::Signature));
        let other = MatchResult { match_id: MatchId::from_entropy([8; 16]), ..result.clone() };
        assert_eq!(SignedResult::sign(&server, certificate.clone(), &other).verify(&keys, 19), Err(ResultError::Match));
        let fewer = MatchResult { players: vec![player(6, 0)], ..result };
        assert_eq!(SignedResult::sign(&server, certificate, &fewer).verify(&keys, 19), Err(ResultError::Roster));
    }

    #[test]
    fn the_roster_hash_ignores_order_and_sees_teams() {
        let (a, b) = (PlayerId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        assert_eq!(roster_hash([(a, 0), (b, 1)]), roster_hash([(b, 1), (a, 0)]));
        assert_ne!(roster_hash([(a, 0), (b, 1)]), roster_hash([(a, 1), (b, 0)]));
    }
}
