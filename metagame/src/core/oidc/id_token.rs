//! What an id token is worth (OpenID Connect Core 1.0, 3.1.3.7): every check, in an order in which nothing is believed
//! before its signature was checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::keys::{Algorithm, Checked, ProviderKeys};

/// Longest token in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Longest subject in bytes (Core 1.0, 2).
const SUBJECT_BYTES_MAX: usize = 255;
/// How far the clocks of a provider and of metagame may differ, in seconds.
const LEEWAY_S: u64 = 60;

/// What a token has to say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// The client ids for which it may be made; no other may be among its audiences.
    pub clients: &'a [String],
    /// The algorithms by which it may be signed.
    pub algorithms: &'a [Algorithm],
    /// The nonce of the flow.
    pub nonce: &'a str,
    /// Unix seconds at which the flow began: no token is older.
    pub begun_at_s: u64,
    /// Unix seconds.
    pub now_s: u64,
}

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Whom, within the issuer.
    pub subject: String,
    /// An e-mail address of theirs, only if the provider has verified it.
    pub email: Option<String>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is no JWT with the claims of an id token.
    #[error("it is no id token")]
    Form,
    /// It is signed by an algorithm that is not taken, or not at all.
    #[error("it is signed by an algorithm that is not taken")]
    Algorithm,
    /// The provider has no such key.
    #[error("it is signed by a key that the provider does not publish")]
    UnknownKey,
    /// Its signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Somebody else issued it.
    #[error("another issuer made it")]
    Issuer,
    /// It is for somebody else.
    #[error("it was made for another client")]
    Audience,
    /// It was given to somebody else.
    #[error("it was given to another client")]
    Party,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is from before the flow, or from the future.
    #[error("it was not made during this login")]
    IssuedAt,
    /// It belongs to another flow.
    #[error("its nonce is not the one of this login")]
    Nonce,
    /// It names nobody.
    #[error("its subject is none")]
    Subject,
}

impl TokenFault {
    /// In problems.
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Party => "authorized-party",
            Self::Expired => "expired",
            Self::IssuedAt => "issued-at",
            Self::Nonce => "nonce",
            Self::Subject => "subject",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood: none are.
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

/// Checks a token.
///
/// # Errors
/// [`TokenFault`]; [`TokenFault::UnknownKey`] may mean that the provider has a new key.
pub fn verify(token: &str, keys: &ProviderKeys, expected: &Expected<'_>) -> Result<Identity, TokenFault> {
    let Parts { header, payload, signature, signed } = split(token)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| TokenFault::Form)?;
    if header.crit.is_some() || header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(TokenFault::Form);
    }
    let algorithm: Algorithm = header.alg.parse().map_err(|_| TokenFault::Algorithm)?;
    if !expected.algorithms.contains(&algorithm) {
        return Err(TokenFault::Algorithm);
    }
    match keys.check(header.kid.as_deref(), algorithm, signed.as_bytes(), &signature) {
        Checked::Good => {}
        Checked::Bad => return Err(TokenFault::Signature),
        Checked::Unknown => return Err(TokenFault::UnknownKey),
    }
    judge(serde_json::from_slice(&payload).map_err(|_| TokenFault::Form)?, expected)
}

/// A token's parts, decoded, and what was signed.
struct Parts<'a> {
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
    signed: &'a str,
}

fn split(token: &str) -> Result<Parts<'_>, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenFault::Form);
    }
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::Form);
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenFault::Form)?;
    Ok(Parts { header: decode(header)?, payload: decode(payload)?, signature: decode(signature)?, signed })
}

fn judge(claims: Claims, expected: &Expected<'_>) -> Result<Identity, TokenFault> {
    if claims.iss != expected.issuer {
        return Err(TokenFault::Issuer);
    }
    let audiences = match claims.aud {
        Audiences::One(one) => vec![one],
        Audiences::Several(several) => several,
    };
    if audiences.is_empty() || !audiences.iter().all(|one| expected.clients.contains(one)) {
        return Err(TokenFault::Audience);
    }
    match &claims.azp {
        Some(party) if !expected.clients.contains(party) => return Err(TokenFault::Party),
        None if audiences.len() > 1 => return Err(TokenFault::Party),
        _ => {}
    }
    let (now_s, leeway_s) = (expected.now_s as f64, LEEWAY_S as f64);
    if claims.exp + leeway_s <= now_s {
        return Err(TokenFault::Expired);
    }
    let is_of_now = claims.iat <= now_s + leeway_s && claims.iat + leeway_s >= expected.begun_at_s as f64;
    if !is_of_now || claims.nbf.is_some_and(|nbf| nbf > now_s + leeway_s) {
        return Err(TokenFault::IssuedAt);
    }
    let nonce = claims.nonce.unwrap_or_default();
    if !bool::from(subtle::ConstantTimeEq::ct_eq(nonce.as_bytes(), expected.nonce.as_bytes())) {
        return Err(TokenFault::Nonce);
    }
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_BYTES_MAX {
        return Err(TokenFault::Subject);
    }
    // Some providers write it as text.
    let is_verified = claims.email_verified.is_some_and(|value| value == true || value == "true");
    Ok(Identity { subject: claims.sub, email: claims.email.filter(|_| is_verified) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const NOW_S: u64 = 1_700_000_000;

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed")
    }

    fn keys() -> ProviderKeys {
        let x = URL_SAFE_NO_PAD.encode(key().public_key());
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x }] });
        ProviderKeys::parse(set.to_string().as_bytes()).expect("a set")
    }

    fn claims() -> Value {
        json!({
            "iss": "https://id.example", "sub": "ada", "aud": "game", "exp": NOW_S + 300, "iat": NOW_S - 5, "nonce": "n-1",
            "email": "ada@example.org", "email_verified": true,
        })
    }

    fn token(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(key().sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn check(token: &str) -> Result<Identity, TokenFault> {
        let clients = ["game".to_owned(), "game-android".to_owned()];
        let expected = Expected {
            issuer: "https://id.example",
            clients: &clients,
            algorithms: &[Algorithm::EdDsa],
            nonce: "n-1",
            begun_at_s: NOW_S - 60,
            now_s: NOW_S,
        };
        verify(token, &keys(), &expected)
    }

    fn with(name: &str, value: Value) -> Result<Identity, TokenFault> {
        let mut claims = claims();
        claims[name] = value;
        check(&token(&json!({ "alg": "EdDSA", "kid": "k1" }), &claims))
    }

    #[test]
    fn a_good_token_names_its_subject_and_an_address_only_if_it_is_verified() {
        let ada = Identity { subject: "ada".into(), email: Some("ada@example.org".into()) };
        assert_eq!(check(&token(&json!({ "alg": "EdDSA", "kid": "k1", "typ": "JWT" }), &claims())), Ok(ada.clone()));
        assert_eq!(
            check(&token(&json!({ "alg": "EdDSA" }), &claims())),
            Ok(ada.clone()),
            "without the name of its key"
        );
        assert_eq!(with("email_verified", json!("true")), Ok(ada));
        for unverified in [json!(false), json!("false"), json!(1), Value::Null] {
            assert_eq!(with("email_verified", unverified).expect("good").email, None);
        }
    }

    #[test]
    fn each_wrong_claim_has_its_fault() {
        let rows = [
            ("iss", json!("https://id.example/"), TokenFault::Issuer),
            ("aud", json!("other"), TokenFault::Audience),
            ("aud", json!([]), TokenFault::Audience),
            ("aud", json!(["game", "other"]), TokenFault::Audience),
            ("aud", json!(["game", "game-android"]), TokenFault::Party),
            ("azp", json!("other"), TokenFault::Party),
            ("exp", json!(NOW_S - 60), TokenFault::Expired),
            ("exp", json!("soon"), TokenFault::Form),
            ("iat", json!(NOW_S + 61), TokenFault::IssuedAt),
            ("iat", json!(NOW_S - 121), TokenFault::IssuedAt),
            ("nbf", json!(NOW_S + 61), TokenFault::IssuedAt),
            ("nonce", json!("n-2"), TokenFault::Nonce),
            ("nonce", Value::Null, TokenFault::Nonce),
            ("sub", json!(""), TokenFault::Subject),
            ("sub", json!("x".repeat(256)), TokenFault::Subject),
            ("sub", json!(7), TokenFault::Form),
        ];
        for (name, value, fault) in rows {
            assert_eq!(with(name, value.clone()), Err(fault), "{name}: {value}");
        }
        assert!(with("azp", json!("game-android")).is_ok());
    }

    #[test]
    fn each_wrong_header_has_its_fault() {
        let rows = [
            (json!({ "alg": "none" }), TokenFault::Algorithm),
            (json!({ "alg": "HS256", "kid": "k1" }), TokenFault::Algorithm),
            (json!({ "alg": "RS256", "kid": "k1" }), TokenFault::Algorithm),
            (json!({ "alg": "EdDSA", "kid": "k2" }), TokenFault::UnknownKey),
            (json!({ "alg": "EdDSA", "crit": ["exp"] }), TokenFault::Form),
            (json!({ "alg": "EdDSA", "typ": "at+jwt" }), TokenFault::Form),
            (json!({}), TokenFault::Form),
        ];
        for (header, fault) in rows {
            assert_eq!(check(&token(&header, &claims())), Err(fault), "{header}");
        }
        let good = token(&json!({ "alg": "EdDSA" }), &claims());
        let (head, signature) = good.rsplit_once('.').expect("three parts");
        assert_eq!(check(&format!("{head}.")), Err(TokenFault::Signature));
        assert_eq!(check(&format!("{head}.{signature}=")), Err(TokenFault::Form), "another way to write it");
        assert_eq!(check(head), Err(TokenFault::Form));
        assert_eq!(check(&"a".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenFault::Form));
    }

    proptest! {
        #[test]
        fn no_changed_token_is_good(at in 0_usize..400, to in 0_u8..128) {
            let good = token(&json!({ "alg": "EdDSA", "kid": "k1" }), &claims());
            let mut changed = good.clone().into_bytes();
            let at = at % changed.len();
            changed[at] = to;
            let changed = String::from_utf8(changed).expect("ASCII");
            prop_assume!(changed != good);
            prop_assert!(check(&changed).is_err(), "{changed}");
        }
    }
}
