//! Claims of the tokens that pass between Muster's programs and its players.

use serde::{Deserialize, Serialize};

use crate::id::{MatchId, PlayerId, ServerId};
use crate::jwt::{Expect, JwtError, KeySet};

/// `typ` of a join token.
pub const JOIN_TYP: &str = "muster-join+jwt";
/// `typ` of a service token.
pub const SERVICE_TYP: &str = "muster-service+jwt";
/// Longest life of a join token in seconds. It is asked for right before it is used.
pub const JOIN_LIFE_S: u64 = 60;
/// Issuer of join tokens and certificates.
pub const ALLOCATOR_ISSUER: &str = "muster-allocator";
/// Audience of service tokens for the allocator.
pub const ALLOCATOR_AUDIENCE: &str = "muster-allocator";
/// Audience of service tokens for the matchmaker.
pub const MATCHMAKER_AUDIENCE: &str = "muster-matchmaker";
/// gRPC metadata key of service tokens; the value is `Bearer <token>`.
pub const AUTHORIZATION: &str = "authorization";

/// The signed right of one player to enter one match on one server process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinClaims {
    /// Issuer: [`ALLOCATOR_ISSUER`].
    pub iss: String,
    /// The incarnation of the server process.
    pub aud: ServerId,
    /// The player.
    pub sub: PlayerId,
    /// The match.
    pub mid: MatchId,
    /// Team number within the match, 0-based.
    pub team: u32,
    /// Build that the match runs.
    pub build: String,
    /// Region that the match runs in.
    pub region: String,
    /// Unique per token; makes it single-use.
    pub jti: String,
    /// Unix seconds at which it was minted.
    pub iat: u64,
    /// Unix seconds from which it is no longer valid; at most [`JOIN_LIFE_S`] after `iat`.
    pub exp: u64,
}

impl JoinClaims {
    /// Reads and checks a join token for the server process `audience`.
    ///
    /// # Errors
    /// The first [`JwtError`] that applies; a life longer than [`JOIN_LIFE_S`] is [`JwtError::BadClaims`].
    pub fn verify(keys: &KeySet, token: &str, audience: ServerId, now_unix_s: u64) -> Result<Self, JwtError> {
        let audience = audience.to_string();
        let expect = Expect { typ: JOIN_TYP, audience: Some(&audience), now_unix_s };
        let claims: Self = keys.verify(token, expect)?;
        if claims.iss != ALLOCATOR_ISSUER || claims.exp.saturating_sub(claims.iat) > JOIN_LIFE_S {
            return Err(JwtError::BadClaims);
        }
        Ok(claims)
    }
}

/// Who calls a service, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceClaims {
    /// Issuer: who keeps the keys.
    pub iss: String,
    /// The calling service: "metagame", "matchmaker", "gameserver", "operator".
    pub sub: String,
    /// The service that is called.
    pub aud: String,
    /// Unix seconds.
    pub iat: u64,
    /// Unix seconds.
    pub exp: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::SigningKey;

    #[test]
    fn a_join_token_is_for_one_incarnation_and_sixty_seconds() {
        let key = SigningKey::from_seed(&[1; 32]);
        let keys = KeySet::new([key.public_key()]);
        let server = ServerId::from_entropy([2; 16]);
        let claims = JoinClaims {
            iss: ALLOCATOR_ISSUER.into(),
            aud: server,
            sub: PlayerId::from_entropy([3; 16]),
            mid: MatchId::from_entropy([4; 16]),
            team: 1,
            build: "1.0.0+0123456".into(),
            region: "eu-west".into(),
            jti: "0123456789abcdef0123456789abcdef".into(),
            iat: 1_000,
            exp: 1_060,
        };
        let token = key.sign(JOIN_TYP, &claims);
        assert!(token.len() <= crate::jwt::TOKEN_BYTES_MAX, "{} bytes do not fit a hello", token.len());
        assert_eq!(JoinClaims::verify(&keys, &token, server, 1_059).as_ref(), Ok(&claims));
        assert_eq!(JoinClaims::verify(&keys, &token, server, 1_060), Err(JwtError::Expired));
        let other = ServerId::from_entropy([9; 16]);
        assert_eq!(JoinClaims::verify(&keys, &token, other, 1_000), Err(JwtError::WrongAudience));
        let long = key.sign(JOIN_TYP, &JoinClaims { exp: 1_061, ..claims });
        assert_eq!(JoinClaims::verify(&keys, &long, server, 1_000), Err(JwtError::BadClaims));
    }
}
