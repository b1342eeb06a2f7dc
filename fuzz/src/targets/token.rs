//! Everything that is signed: join tokens, service tokens, certificates with results, key sets. A forged one must never be
//! believed, and what is behind a good signature must still be checked.
//!
//! Case: what (1 byte), content.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::certificate::{
    CERTIFICATE_TYP, CertificateClaims, MatchResult, Participation, PlayerResult, SignedResult, roster_hash,
};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::jwt::{Expect, KEYS_MAX, KeySet, SigningKey};
use protocol::token::{
    ALLOCATOR_AUDIENCE, ALLOCATOR_ISSUER, JOIN_LIFE_S, JOIN_TYP, JoinClaims, SERVICE_TYP, ServiceClaims,
};

use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "token",
    what: "join tokens, service tokens, certificates, results and key sets, forged and really signed",
    cases_per_world: 4_096,
    bytes_max: 1_600,
    world: || Box::new(Verifier::new()),
    seeds,
};

const KINDS: u8 = 6;
/// A token as it is.
const TOKEN: u8 = 0;
/// Claims, to be signed by the allocator's real key.
const CLAIMS: u8 = 1;
/// A header, to be signed with good claims.
const HEADER: u8 = 2;
/// A JWKS document.
const JWKS: u8 = 3;
/// A signed result as it travels.
const SIGNED: u8 = 4;
/// A result document, to be signed by the certified key.
const RESULT: u8 = 5;

const NOW: u64 = 1_030;

struct Verifier {
    allocator: SigningKey,
    server: SigningKey,
    keys: KeySet,
    claims: JoinClaims,
    service: ServiceClaims,
    certificate: String,
    result: MatchResult,
}

impl Verifier {
    fn new() -> Self {
        let (allocator, server) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let (match_id, result) = (MatchId::from_entropy([4; 16]), result());
        let claims = JoinClaims {
            iss: ALLOCATOR_ISSUER.into(),
            aud: ServerId::from_entropy([2; 16]),
            sub: PlayerId::from_entropy([3; 16]),
            mid: match_id,
            team: 1,
            build: "1.0.0".into(),
            region: "eu-west".into(),
            jti: "0123456789abcdef".into(),
            iat: 1_000,
            exp: 1_060,
        };
        let service = ServiceClaims {
            iss: "muster".into(),
            sub: "metagame".into(),
            aud: ALLOCATOR_AUDIENCE.into(),
            iat: 1_000,
            exp: 1_300,
        };
        let certified = CertificateClaims {
            iss: ALLOCATOR_ISSUER.into(),
            mid: match_id,
            roster: roster_hash(result.players.iter().map(|player| (player.player_id, player.team))),
            queue: "arena-4v4".into(),
            build: "1.0.0".into(),
            jkt: server.kid().to_owned(),
            iat: 1_000,
            exp: 9_000,
        };
        let certificate = allocator.sign(CERTIFICATE_TYP, &certified);
        let keys = KeySet::new([allocator.public_key()]);
        Self { allocator, server, keys, claims, service, certificate, result }
    }

    /// A token of any bytes under the allocator's real key.
    fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.allocator.sign_bytes(input.as_bytes()));
        format!("{input}.{signature}")
    }

    fn header(&self, typ: &str) -> Vec<u8> {
        format!(r#"{{"typ":"{typ}","alg":"EdDSA","kid":"{}"}}"#, self.allocator.kid()).into_bytes()
    }

    fn join(&self, token: &str) -> Result<JoinClaims, u64> {
        JoinClaims::verify(&self.keys, token, self.claims.aud, NOW).map_err(|error| error as u64 + 1)
    }

    /// Whatever was done to them, only the tokens that were really signed are believed.
    fn token(&self, token: &str) -> Result<u64, String> {
        let expect = Expect { typ: SERVICE_TYP, audience: Some(ALLOCATOR_AUDIENCE), now_unix_s: NOW };
        if let Ok(claims) = self.keys.verify::<ServiceClaims>(token, expect) {
            check(claims == self.service, || format!("a forged service token was believed: {token}"))?;
            return Ok(100);
        }
        match self.join(token) {
            Ok(claims) => {
                check(claims == self.claims, || format!("a forged join token was believed: {token}")).map(|()| 101)
            }
            Err(error) => Ok(error),
        }
    }

    fn signed_claims(&self, claims: &[u8]) -> Result<u64, String> {
        let token = self.sign(&self.header(JOIN_TYP), claims);
        let claims = match self.join(&token) {
            Ok(claims) => claims,
            Err(error) => return Ok(error),
        };
        let is_good = claims.iss == ALLOCATOR_ISSUER
            && claims.aud == self.claims.aud
            && claims.exp > NOW
            && claims.exp.saturating_sub(claims.iat) <= JOIN_LIFE_S;
        check(is_good, || format!("claims that must be refused were believed: {claims:?}")).map(|()| 101)
    }

    fn signed_header(&self, header: &[u8]) -> Result<u64, String> {
        let claims = serde_json::to_vec(&self.claims).expect("plain claims");
        let Err(error) = self.join(&self.sign(header, &claims)) else {
            let value: serde_json::Value = serde_json::from_slice(header).map_err(|error| error.to_string())?;
            let is_good = value["typ"] == JOIN_TYP && value["alg"] == "EdDSA" && value["kid"] == self.allocator.kid();
            return check(is_good, || format!("a header that must be refused was believed: {value}")).map(|()| 101);
        };
        Ok(error)
    }

    fn result(&self, signed: &SignedResult) -> Result<u64, String> {
        let (claims, result) = match signed.verify(&self.keys, NOW) {
            Ok(believed) => believed,
            Err(protocol::certificate::ResultError::Certificate(error)) => return Ok(16 + error as u64),
            Err(protocol::certificate::ResultError::Key) => return Ok(1),
            Err(protocol::certificate::ResultError::Signature) => return Ok(2),
            Err(protocol::certificate::ResultError::Malformed) => return Ok(3),
            Err(protocol::certificate::ResultError::Match) => return Ok(4),
            Err(protocol::certificate::ResultError::Roster) => return Ok(5),
        };
        let players = result.players.iter().map(|player| (player.player_id, player.team));
        let is_good = result.match_id == claims.mid && roster_hash(players) == claims.roster;
        check(is_good, || format!("a result that is not the certified match's was believed: {result:?}")).map(|()| 100)
    }
}

impl Target for Verifier {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[what, ref content @ ..] = case else { return Ok(0) };
        let (what, text) = (what % KINDS, String::from_utf8_lossy(content));
        let result = match what {
            TOKEN => self.token(&text)?,
            CLAIMS => self.signed_claims(content)?,
            HEADER => self.signed_header(content)?,
            JWKS => key_set(&text)?,
            SIGNED => match serde_json::from_str::<SignedResult>(&text) {
                Ok(signed) => {
                    let result = self.result(&signed)?;
                    let same =
                        result != 100 || serde_json::from_str(&signed.result).ok().as_ref() == Some(&self.result);
                    check(same, || format!("a forged result was believed: {}", signed.result)).map(|()| result)?
                }
                Err(_) => 99,
            },
            _ => {
                let signature = URL_SAFE_NO_PAD.encode(self.server.sign_bytes(text.as_bytes()));
                let key = URL_SAFE_NO_PAD.encode(self.server.public_key());
                let certificate = self.certificate.clone();
                self.result(&SignedResult { certificate, key, result: text.into_owned(), signature })?
            }
        };
        Ok(u64::from(what) << 32 | result)
    }
}

fn key_set(text: &str) -> Result<u64, String> {
    let Ok(set) = KeySet::from_json(text) else { return Ok(1) };
    let json = set.to_json();
    let again = KeySet::from_json(&json).map_err(|error| format!("own key set: {error}"))?;
    check(again.to_json() == json, || "a key set changes on its way through JSON".to_owned())?;
    let keys = json.matches("\"kid\"").count();
    check(keys <= KEYS_MAX, || format!("{keys} keys, at most {KEYS_MAX}"))?;
    Ok(2 + keys as u64)
}

fn result() -> MatchResult {
    let player = |byte: u8, team| PlayerResult {
        player_id: PlayerId::from_entropy([byte; 16]),
        team,
        place: 1 + team,
        score: 3,
        participation: Participation::Played,
        stats: [("kills".to_owned(), 3)].into(),
    };
    MatchResult {
        match_id: MatchId::from_entropy([4; 16]),
        game: "arena".into(),
        started_at_ms: 1_000_000,
        ended_at_ms: 1_020_000,
        ticks: 1_200,
        tick_rate_hz: 60,
        state_hash: "0123456789abcdef".into(),
        reason: "finished".into(),
        trace_id: "0123456789abcdef0123456789abcdef".into(),
        players: vec![player(1, 0), player(2, 1)],
    }
}

fn seeds() -> Vec<Entry> {
    let verifier = Verifier::new();
    let json = |value: &serde_json::Value| value.to_string();
    let signed = SignedResult::sign(&verifier.server, verifier.certificate.clone(), &verifier.result);
    let to_value = |value: serde_json::Result<serde_json::Value>| json(&value.expect("plain data"));
    let more_keys = KeySet::new([verifier.allocator.public_key(), verifier.server.public_key()]).to_json();
    let stranger = SigningKey::from_seed(&[9; 32]).sign(JOIN_TYP, &verifier.claims);
    let old = JoinClaims { iat: 900, exp: 960, ..verifier.claims.clone() };
    let rows: [(&str, u8, String); 11] = [
        ("join", TOKEN, verifier.allocator.sign(JOIN_TYP, &verifier.claims)),
        ("expired", TOKEN, verifier.allocator.sign(JOIN_TYP, &old)),
        ("stranger", TOKEN, stranger),
        ("service", TOKEN, verifier.allocator.sign(SERVICE_TYP, &verifier.service)),
        ("certificate", TOKEN, verifier.certificate.clone()),
        ("claims", CLAIMS, to_value(serde_json::to_value(&verifier.claims))),
        ("header", HEADER, String::from_utf8_lossy(&verifier.header(JOIN_TYP)).into_owned()),
        ("keys", JWKS, more_keys),
        ("other-keys", JWKS, r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519"}]}"#.into()),
        ("signed", SIGNED, to_value(serde_json::to_value(&signed))),
        ("result", RESULT, signed.result),
    ];
    rows.into_iter().map(|(name, what, text)| (name.to_owned(), [&[what], text.as_bytes()].concat())).collect()
}
