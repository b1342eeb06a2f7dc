//! Tokens of a cluster, good and bad, against its keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc";
const NOW: u64 = 1_700_000_000;

/// A cluster that mints tokens.
struct Cluster {
    kid: &'static str,
    key: EncodingKey,
    jwks: String,
}

impl Cluster {
    fn new(kid: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).expect("a key");
        let point = pair.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": part(1..33), "y": part(33..65) });
        Self { kid, key: EncodingKey::from_ec_der(pkcs8.as_ref()), jwks: json!({ "keys": [jwk] }).to_string() }
    }

    fn keys(&self) -> Keys {
        Keys::read(ISSUER, &self.jwks).expect("good keys")
    }

    fn mint(&self, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": "system:serviceaccount:games:agones-sdk", "aud": ["muster-allocator"],
            "exp": NOW + 3_600, "iat": NOW, "nbf": NOW,
            "kubernetes.io": { "namespace": "games", "pod": { "name": "arena-1", "uid": "u-1" } },
        });
        change(&mut claims);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }
}

fn callers() -> Callers {
    let named: Callers = "muster-system:muster-matchmaker, ops:robot=operator".parse().expect("callers");
    named.with_game_servers(&["games".to_owned()])
}

fn judge(cluster: &Cluster, token: &str) -> Result<Proven, TokenError> {
    cluster.keys().judge(token, "muster-allocator", &callers(), NOW + 1)
}

#[test]
fn a_game_server_is_its_pod_and_a_program_is_its_account() {
    let cluster = Cluster::new("one");
    let pod = PodIdentity { namespace: "games".into(), name: "arena-1".into(), uid: "u-1".into() };
    let server = judge(&cluster, &cluster.mint(|_| {}));
    assert_eq!(server, Ok(Proven { program: "gameserver".into(), pod: Some(pod) }));
    for (account, program) in [("muster-system:muster-matchmaker", "matchmaker"), ("ops:robot", "operator")] {
        let token = cluster.mint(|claims| {
            claims["sub"] = format!("system:serviceaccount:{account}").into();
            claims["aud"] = "muster-allocator".into();
            claims.as_object_mut().expect("an object").remove("kubernetes.io");
        });
        assert_eq!(judge(&cluster, &token), Ok(Proven { program: program.into(), pod: None }));
    }
}

#[test]
fn whatever_is_wrong_with_a_token_it_is_refused() {
    let cluster = Cluster::new("one");
    let refused =
        |change: &dyn Fn(&mut serde_json::Value)| judge(&cluster, &cluster.mint(change)).expect_err("refused");
    assert_eq!(refused(&|c| c["iss"] = "https://other".into()), TokenError::WrongIssuer);
    assert_eq!(refused(&|c| c["aud"] = json!(["muster-matchmaker", ISSUER])), TokenError::WrongAudience);
    assert_eq!(refused(&|c| c["exp"] = (NOW + 1).into()), TokenError::Expired);
    assert_eq!(refused(&|c| c["nbf"] = (NOW + 2).into()), TokenError::Expired);
    assert_eq!(refused(&|c| c["kubernetes.io"] = json!({ "namespace": "games" })), TokenError::NoPod);
    let strangers = ["system:serviceaccount:games:default", "system:serviceaccount:other:agones-sdk", "admin"];
    for subject in strangers {
        assert_eq!(refused(&|c| c["sub"] = subject.into()), TokenError::NotACaller(subject.into()));
    }
    assert_eq!(judge(&cluster, "a.b.c"), Err(TokenError::Malformed));
    assert_eq!(judge(&cluster, &"x".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenError::Malformed));
}

#[test]
fn a_token_of_another_key_is_no_token_whatever_kid_it_names() {
    let (cluster, forger) = (Cluster::new("one"), Cluster::new("one"));
    assert_eq!(judge(&cluster, &forger.mint(|_| {})), Err(TokenError::BadSignature));
    let stranger = Cluster::new("two");
    assert_eq!(judge(&cluster, &stranger.mint(|_| {})), Err(TokenError::UnknownKey));
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".into());
    let symmetric = jsonwebtoken::encode(&header, &json!({}), &EncodingKey::from_secret(cluster.jwks.as_bytes()));
    assert_eq!(judge(&cluster, &symmetric.expect("a token")), Err(TokenError::BadSignature));
}

#[test]
fn callers_are_read_with_their_faults_named() {
    assert_eq!("".parse(), Ok(Callers::nobody()));
    for bad in ["matchmaker", "ns:matchmaker", ":a-b", "ns:a=", "ns:"] {
        let error = bad.parse::<Callers>().expect_err(bad);
        assert!(error.to_string().contains(bad), "{error}");
    }
}

#[test]
fn a_document_without_a_usable_key_is_a_fault() {
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"EC"}]}"#] {
        assert!(Keys::read(ISSUER, bad).is_err(), "{bad}");
    }
}

#[test]
fn a_token_that_was_good_before_is_judged_anew_by_time_audience_and_caller_and_by_no_other_keys() {
    let cluster = Cluster::new("k1");
    let (keys, token) = (cluster.keys(), cluster.mint(|_| {}));
    let judge = |keys: &Keys, callers: &Callers, audience: &str, now| keys.judge(&token, audience, callers, now);
    for _ in 0..2 {
        assert!(judge(&keys, &callers(), "muster-allocator", NOW + 1).is_ok());
        assert_eq!(judge(&keys, &callers(), "muster-allocator", NOW + 3_600), Err(TokenError::Expired));
        assert_eq!(judge(&keys, &callers(), "muster-matchmaker", NOW + 1), Err(TokenError::WrongAudience));
        let nobody = judge(&keys, &Callers::nobody(), "muster-allocator", NOW + 1);
        assert!(matches!(nobody, Err(TokenError::NotACaller(_))), "{nobody:?}");
        let changed = format!("{}x", &token[..token.len() - 1]);
        assert!(keys.judge(&changed, "muster-allocator", &callers(), NOW + 1).is_err(), "its last letter is another");
    }
    let others = Cluster::new("k1").keys();
    assert_eq!(judge(&others, &callers(), "muster-allocator", NOW + 1), Err(TokenError::BadSignature));
}
