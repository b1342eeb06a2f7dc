//! What the allocator signs: join tokens for players, certificates for matches.

use std::sync::Arc;
use std::time::Duration;

use protocol::certificate::{CERTIFICATE_TYP, CertificateClaims, roster_hash};
use protocol::jwt::{KeySet, SigningKey, thumbprint};
use protocol::token::{ALLOCATOR_ISSUER, JOIN_LIFE_S, JOIN_TYP, JoinClaims};

use crate::core::pool::ServerFacts;
use crate::core::request::MatchRequest;
use crate::core::updates::JoinGrant;

/// Signs with the allocator's key.
#[derive(Debug, Clone)]
pub(crate) struct Mint {
    key: Arc<SigningKey>,
    jwks: Arc<str>,
    certificate_life: Duration,
}

impl Mint {
    /// A mint with this key; results count until `certificate_life` after their match was placed.
    pub(crate) fn new(key: Arc<SigningKey>, certificate_life: Duration) -> Self {
        let jwks = KeySet::new([key.public_key()]).to_json().into();
        Self { key, jwks, certificate_life }
    }

    /// The key set that verifies what this mint signs.
    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// A join token and the Unix second at which it expires. `unique` is fresh randomness: it makes the token
    /// single-use.
    pub(crate) fn join_token(&self, grant: &JoinGrant, now_unix_s: u64, unique: [u8; 16]) -> (String, u64) {
        let exp = now_unix_s + JOIN_LIFE_S;
        let claims = JoinClaims {
            iss: ALLOCATOR_ISSUER.into(),
            aud: grant.server.server_id,
            sub: grant.player.player_id,
            mid: grant.match_id,
            team: grant.player.team,
            build: grant.server.build.clone(),
            region: grant.server.region.clone(),
            jti: hex::encode(unique),
            iat: now_unix_s,
            exp,
        };
        (self.key.sign(JOIN_TYP, &claims), exp)
    }

    /// The certificate that lets `server` report the result of this match.
    pub(crate) fn certificate(&self, request: &MatchRequest, server: &ServerFacts, now_unix_s: u64) -> String {
        let claims = CertificateClaims {
            iss: ALLOCATOR_ISSUER.into(),
            mid: request.match_id,
            roster: roster_hash(request.roster.iter().map(|player| (player.player_id, player.team))),
            queue: request.queue.clone(),
            build: server.build.clone(),
            jkt: thumbprint(&server.result_key),
            iat: now_unix_s,
            exp: now_unix_s + self.certificate_life.as_secs(),
        };
        self.key.sign(CERTIFICATE_TYP, &claims)
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::{MatchId, PlayerId, ServerId};
    use protocol::jwt::{Expect, JwtError, TOKEN_BYTES_MAX};

    use super::*;
    use crate::core::request::Player;

    fn facts() -> ServerFacts {
        ServerFacts {
            namespace: String::new(),
            server_id: ServerId::from_entropy([1; 16]),
            name: "one".into(),
            build: "b".repeat(64),
            region: "r".repeat(64),
            fleet: "arena".into(),
            revision: String::new(),
            capacity: 1,
            address: "127.0.0.1:7777".into(),
            admin_address: String::new(),
            quic_fingerprints: vec![],
            server_key: [2; 32],
            is_foreign: false,
            joinable_within: std::time::Duration::ZERO,
            result_key: SigningKey::from_seed(&[3; 32]).public_key(),
            routing_token: vec![],
            schema_hash: 4,
            tick_rate_hz: 60,
        }
    }

    fn player(byte: u8, team: u32) -> Player {
        Player { player_id: PlayerId::from_entropy([byte; 16]), team, name: "p".into(), party_id: String::new() }
    }

    #[test]
    fn a_join_token_verifies_on_its_server_alone_for_a_minute_and_fits_a_hello() {
        let key = Arc::new(SigningKey::from_seed(&[9; 32]));
        let mint = Mint::new(key, Duration::from_secs(60));
        let keys = KeySet::from_json(mint.jwks()).expect("own JWKS");
        let match_id = MatchId::from_entropy([5; 16]);
        let grant = JoinGrant { match_id, server: Arc::new(facts()), player: player(6, 3), trace_id: String::new() };
        let (token, exp) = mint.join_token(&grant, 1_000, [7; 16]);
        assert!(token.len() <= TOKEN_BYTES_MAX, "{} bytes", token.len());
        assert_eq!(exp, 1_060);
        let claims = JoinClaims::verify(&keys, &token, facts().server_id, 1_059).expect("good");
        assert_eq!((claims.sub, claims.mid, claims.team), (grant.player.player_id, match_id, 3));
        assert_eq!(JoinClaims::verify(&keys, &token, facts().server_id, 1_060), Err(JwtError::Expired));
        let other = ServerId::from_entropy([8; 16]);
        assert_eq!(JoinClaims::verify(&keys, &token, other, 1_000), Err(JwtError::WrongAudience));
        assert_ne!(mint.join_token(&grant, 1_000, [8; 16]).0, token);
    }

    #[test]
    fn a_certificate_names_roster_queue_and_result_key() {
        let mint = Mint::new(Arc::new(SigningKey::from_seed(&[9; 32])), Duration::from_secs(86_400));
        let keys = KeySet::from_json(mint.jwks()).expect("own JWKS");
        let mut request = MatchRequest::restored(MatchId::from_entropy([5; 16]), vec![player(1, 0), player(2, 1)]);
        request.queue = "duel".into();
        let token = mint.certificate(&request, &facts(), 1_000);
        let expect = Expect { typ: CERTIFICATE_TYP, audience: None, now_unix_s: 1_000 };
        let claims: CertificateClaims = keys.verify(&token, expect).expect("good");
        assert_eq!(claims.exp, 1_000 + 86_400);
        assert_eq!(claims.jkt, SigningKey::from_seed(&[3; 32]).kid());
        assert_eq!(claims.queue, "duel");
        let players = [(request.roster[1].player_id, 1), (request.roster[0].player_id, 0)];
        assert_eq!(claims.roster, roster_hash(players));
    }
}
