//! Signed things for tests: a fixed allocator key, join tokens, certificates.

use protocol::certificate::{CERTIFICATE_TYP, CertificateClaims, roster_hash};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::jwt::{KeySet, SigningKey};
use protocol::token::{ALLOCATOR_ISSUER, JOIN_LIFE_S, JOIN_TYP, JoinClaims};

/// The allocator key of tests.
pub fn allocator_key() -> SigningKey {
    SigningKey::from_seed(&[0xA1; 32])
}

/// The key set that verifies what [`allocator_key`] signs.
pub fn allocator_keys() -> KeySet {
    KeySet::new([allocator_key().public_key()])
}

/// Claims of a join token minted at `now_unix_s`; `jti` makes it unique.
pub fn join_claims(server: ServerId, match_id: MatchId, player: PlayerId, now_unix_s: u64, jti: &str) -> JoinClaims {
    JoinClaims {
        iss: ALLOCATOR_ISSUER.into(),
        aud: server,
        sub: player,
        mid: match_id,
        team: 0,
        build: "test".into(),
        region: "local".into(),
        jti: jti.into(),
        iat: now_unix_s,
        exp: now_unix_s + JOIN_LIFE_S,
    }
}

/// A join token with these claims, signed by [`allocator_key`].
pub fn join_token(claims: &JoinClaims) -> String {
    allocator_key().sign(JOIN_TYP, claims)
}

/// A certificate for `match_id` whose results `result_key` signs, good for an hour from `now_unix_s`.
pub fn certificate(
    match_id: MatchId,
    roster: &[(PlayerId, u32)],
    queue: &str,
    result_key: &SigningKey,
    now_unix_s: u64,
) -> String {
    let claims = CertificateClaims {
        iss: ALLOCATOR_ISSUER.into(),
        mid: match_id,
        roster: roster_hash(roster.iter().copied()),
        queue: queue.into(),
        build: "test".into(),
        jkt: result_key.kid().into(),
        iat: now_unix_s,
        exp: now_unix_s + 3_600,
    };
    allocator_key().sign(CERTIFICATE_TYP, &claims)
}
