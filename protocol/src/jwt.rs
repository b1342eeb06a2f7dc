//! Signed JSON Web Tokens: EdDSA (Ed25519) only, every token with a `kid` and an explicit `typ`.
//!
//! Expiry is checked against the `now` that the caller gives, with no leeway. (jsonwebtoken's own check reads the
//! system clock and allows 60 s.)

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Longest token that is read, in bytes: it has to fit a padded hello of 1,200.
pub const TOKEN_BYTES_MAX: usize = 960;

/// Most keys that a key set may hold: current, next and retired of a few issuers.
pub const KEYS_MAX: usize = 32;

/// Why a token was not accepted. The variants are stable names for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Not a token at all, or longer than [`TOKEN_BYTES_MAX`].
    #[error("malformed token")]
    Malformed,
    /// A good token for another purpose.
    #[error("token of the wrong type")]
    WrongType,
    /// Signed by a key that is not in the key set.
    #[error("token signed by an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("bad token signature")]
    BadSignature,
    /// For somebody else.
    #[error("token for another audience")]
    WrongAudience,
    /// Too old by the given clock.
    #[error("token has expired")]
    Expired,
    /// Claims are missing or of the wrong type.
    #[error("token claims are not what this type of token holds")]
    BadClaims,
}

impl JwtError {
    /// The error's name as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::BadClaims => "bad_claims",
        }
    }
}

/// A text that is not a usable JSON Web Key Set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a usable JSON Web Key Set: {0}")]
pub struct KeySetError(String);

/// An Ed25519 key that signs: tokens, and raw bytes such as match results.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
    kid: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key of this secret seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32-byte seed is an Ed25519 key");
        let public: [u8; 32] = pair.public_key().as_ref().try_into().expect("Ed25519 public keys have 32 bytes");
        Self { pair, kid: thumbprint(&public), public }
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// The key's name: its thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs raw bytes.
    pub fn sign_bytes(&self, bytes: &[u8]) -> [u8; 64] {
        self.pair.sign(bytes).as_ref().try_into().expect("Ed25519 signatures have 64 bytes")
    }

    /// A token of type `typ` with these claims.
    ///
    /// # Panics
    /// If the claims do not serialize to a JSON object: claims are plain structs of Muster's own.
    pub fn sign<C: Serialize>(&self, typ: &str, claims: &C) -> String {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.kid.clone());
        // The compact form of RFC 7515. jsonwebtoken's `encode` reads the private key anew for every token: twice the work
        // of the signature.
        let mut token = part(&header);
        token.push('.');
        token.push_str(&part(claims));
        let signature = self.sign_bytes(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

/// Header or claims as a token holds them.
fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("plain claims always serialize"))
}

/// RFC 7638 thumbprint of an Ed25519 public key, base64url without padding: 43 characters.
pub fn thumbprint(public: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

/// Whether `signature` over `bytes` was made by the owner of `public`.
pub fn verify_bytes(public: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public).verify(bytes, signature).is_ok()
}

/// Public keys by `kid`; what a JWKS endpoint serves.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: BTreeMap<String, (jsonwebtoken::DecodingKey, [u8; 32])>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

/// What a verifier demands of a token.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The `typ` of the header.
    pub typ: &'a str,
    /// The `aud` claim; `None` for types that name no audience.
    pub audience: Option<&'a str>,
    /// Now, in seconds since the Unix epoch.
    pub now_unix_s: u64,
}

impl KeySet {
    /// A key set of these public keys.
    pub fn new(public: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let mut set = Self::default();
        for key in public {
            set.insert(&key);
        }
        set
    }

    /// Adds a public key.
    pub fn insert(&mut self, public: &[u8; 32]) {
        let x = URL_SAFE_NO_PAD.encode(public);
        let key = jsonwebtoken::DecodingKey::from_ed_components(&x).expect("32 bytes in base64url are a key's x");
        self.keys.insert(thumbprint(public), (key, *public));
    }

    /// Whether the set holds no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads a JWKS document. Keys of other kinds than Ed25519 are passed over.
    ///
    /// # Errors
    /// [`KeySetError`] if it is no JWKS, holds more than [`KEYS_MAX`] keys, or an Ed25519 key is malformed.
    pub fn from_json(text: &str) -> Result<Self, KeySetError> {
        let jwks: Jwks = serde_json::from_str(text).map_err(|e| KeySetError(e.to_string()))?;
        if jwks.keys.len() > KEYS_MAX {
            return Err(KeySetError(format!("{} keys, at most {KEYS_MAX} are read", jwks.keys.len())));
        }
        let mut set = Self::default();
        for value in jwks.keys {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            if jwk.kty != "OKP" || jwk.crv != "Ed25519" {
                continue;
            }
            let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
            let public = bytes.ok_or_else(|| KeySetError(format!("key {} has a malformed x", jwk.kid)))?;
            set.insert(&public);
        }
        Ok(set)
    }

    /// The set as a JWKS document (RFC 7517, RFC 8037).
    pub fn to_json(&self) -> String {
        let keys = self.keys.iter().map(|(kid, (_, public))| {
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(public),
                "kid": kid, "use": "sig", "alg": "EdDSA",
            })
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    }

    /// The claims of a token, if it is of the expected type, signed by a key of this set, for the expected audience
    /// and not expired.
    ///
    /// # Errors
    /// The first [`JwtError`] that applies; nothing of a refused token is returned.
    pub fn verify<C: DeserializeOwned>(&self, token: &str, expect: Expect<'_>) -> Result<C, JwtError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| JwtError::Malformed)?;
        if header.typ.as_deref() != Some(expect.typ) || header.alg != jsonwebtoken::Algorithm::EdDSA {
            return Err(JwtError::WrongType);
        }
        let (key, _) = header.kid.as_ref().and_then(|kid| self.keys.get(kid)).ok_or(JwtError::UnknownKey)?;
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let data =
            jsonwebtoken::decode::<serde_json::Value>(token, key, &validation).map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => JwtError::BadSignature,
                _ => JwtError::Malformed,
            })?;
        let claims = data.claims;
        if let Some(audience) = expect.audience
            && claims.get("aud").and_then(serde_json::Value::as_str) != Some(audience)
        {
            return Err(JwtError::WrongAudience);
        }
        let expires = claims.get("exp").and_then(serde_json::Value::as_u64).ok_or(JwtError::BadClaims)?;
        if expires <= expect.now_unix_s {
            return Err(JwtError::Expired);
        }
        serde_json::from_value(claims).map_err(|_| JwtError::BadClaims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Claims {
        aud: String,
        exp: u64,
    }

    fn token(key: &SigningKey) -> String {
        key.sign("test+jwt", &Claims { aud: "me".into(), exp: 100 })
    }

    fn check(set: &KeySet, token: &str, typ: &str, audience: &str, now_unix_s: u64) -> Result<Claims, JwtError> {
        set.verify(token, Expect { typ, audience: Some(audience), now_unix_s })
    }

    #[test]
    fn a_good_token_is_read_and_each_fault_has_its_name() {
        let key = SigningKey::from_seed(&[1; 32]);
        let set = KeySet::new([key.public_key()]);
        let good = token(&key);
        assert_eq!(check(&set, &good, "test+jwt", "me", 99), Ok(Claims { aud: "me".into(), exp: 100 }));
        assert_eq!(check(&set, &good, "test+jwt", "me", 100), Err(JwtError::Expired));
        assert_eq!(check(&set, &good, "test+jwt", "you", 99), Err(JwtError::WrongAudience));
        assert_eq!(check(&set, &good, "other+jwt", "me", 99), Err(JwtError::WrongType));
        let other = SigningKey::from_seed(&[2; 32]);
        assert_eq!(check(&set, &token(&other), "test+jwt", "me", 99), Err(JwtError::UnknownKey));
        let (head, _) = good.rsplit_once('.').expect("a JWT has dots");
        let forged = format!("{head}.{}", token(&other).rsplit_once('.').expect("a JWT has dots").1);
        assert_eq!(check(&set, &forged, "test+jwt", "me", 99), Err(JwtError::BadSignature));
        assert_eq!(check(&set, "a.b.c", "test+jwt", "me", 99), Err(JwtError::Malformed));
        assert_eq!(check(&set, &"x".repeat(5_000), "test+jwt", "me", 99), Err(JwtError::Malformed));
    }

    #[test]
    fn the_published_key_set_verifies() {
        let key = SigningKey::from_seed(&[3; 32]);
        let set = KeySet::from_json(&KeySet::new([key.public_key()]).to_json()).expect("own JWKS");
        assert!(check(&set, &token(&key), "test+jwt", "me", 1).is_ok());
        assert!(KeySet::from_json("{}").is_err());
    }

    #[test]
    fn raw_signatures_verify() {
        let key = SigningKey::from_seed(&[4; 32]);
        let signature = key.sign_bytes(b"result");
        assert!(verify_bytes(&key.public_key(), b"result", &signature));
        assert!(!verify_bytes(&key.public_key(), b"Result", &signature));
    }
}
