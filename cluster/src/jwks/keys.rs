//! Judging a token of a service account: signature, issuer, audience, time, and what its account may be.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use service::verify::{PodIdentity, Proven};

use super::verified::Verified;

/// Longest token that is read, in bytes. Those of Kubernetes have about 1,200.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// What API servers sign with. Nothing symmetric: a public key must never count as a secret.
const ALGORITHMS: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];
/// The program that every account of game servers counts as.
const GAME_SERVER: &str = "gameserver";

/// Why a token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token at all, or too long.
    #[error("malformed token")]
    Malformed,
    /// Signed by a key that the cluster does not have, as far as is known.
    #[error("token signed by an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("bad token signature")]
    BadSignature,
    /// Of another cluster.
    #[error("token of another issuer")]
    WrongIssuer,
    /// For somebody else.
    #[error("token for another audience")]
    WrongAudience,
    /// Too old, or not good yet, by the given clock.
    #[error("token has expired or is not good yet")]
    Expired,
    /// Of an account that may not call.
    #[error("{0} may not call")]
    NotACaller(String),
    /// Not bound to a pod, though a game server has to be one.
    #[error("the token is not bound to a pod")]
    NoPod,
}

/// The cluster's answer is not a usable key set.
#[derive(Debug, thiserror::Error)]
#[error("not a usable key set: {0}")]
pub struct BadKeys(String);

/// An entry of `--callers` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a caller: expected NAMESPACE:ACCOUNT, whose account ends in -PROGRAM, or NAMESPACE:ACCOUNT=PROGRAM"
)]
pub struct ParseCallerError(String);

/// Which accounts are which programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    programs: BTreeMap<(String, String), String>,
}

impl Callers {
    /// Nobody.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Also the pods of game servers in these namespaces.
    #[must_use]
    pub fn with_game_servers(mut self, namespaces: &[String]) -> Self {
        for namespace in namespaces {
            let account = (namespace.clone(), crds::agones::SERVICE_ACCOUNT.to_owned());
            self.programs.insert(account, GAME_SERVER.to_owned());
        }
        self
    }

    fn program(&self, subject: &str) -> Option<&str> {
        let (namespace, account) = subject.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        self.programs.get(&(namespace.to_owned(), account.to_owned())).map(String::as_str)
    }
}

impl FromStr for Callers {
    type Err = ParseCallerError;

    /// `NAMESPACE:ACCOUNT,…`: the program is what follows the account's last dash, or `=`.
    fn from_str(text: &str) -> Result<Self, ParseCallerError> {
        let mut programs = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let fault = || ParseCallerError(entry.to_owned());
            let (namespace, account) = entry.split_once(':').ok_or_else(fault)?;
            let (account, program) = match account.split_once('=') {
                Some(named) => named,
                None => (account, account.rsplit_once('-').ok_or_else(fault)?.1),
            };
            if [namespace, account, program].iter().any(|part| part.is_empty()) {
                return Err(fault());
            }
            programs.insert((namespace.to_owned(), account.to_owned()), program.to_owned());
        }
        Ok(Self { programs })
    }
}

/// The cluster's public keys and its name as an issuer.
pub struct Keys {
    issuer: String,
    keys: BTreeMap<String, DecodingKey>,
    /// Tokens whose signature one of these keys has made: a caller that makes thousands of calls with one token costs one
    /// check of its signature, which takes longer than all else. Other keys begin without any.
    verified: Mutex<Verified<Claims>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("issuer", &self.issuer).field("kids", &self.keys.keys()).finish()
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(rename = "kubernetes.io", default)]
    kubernetes: Bound,
}

/// One audience or several, as RFC 7519 has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Audiences {
    fn contain(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

#[derive(Deserialize, Default)]
struct Bound {
    #[serde(default)]
    namespace: String,
    pod: Option<BoundPod>,
}

#[derive(Deserialize)]
struct BoundPod {
    name: String,
    uid: String,
}

impl Keys {
    /// The keys of a JWKS document. Those without a `kid`, or of a kind that is not known here, are passed over.
    ///
    /// # Errors
    /// [`BadKeys`] if it is no JWKS, or no key of it can be used.
    pub fn read(issuer: &str, jwks: &str) -> Result<Self, BadKeys> {
        let set: JwkSet = serde_json::from_str(jwks).map_err(|error| BadKeys(error.to_string()))?;
        let usable =
            set.keys.iter().filter_map(|jwk| Some((jwk.common.key_id.clone()?, DecodingKey::from_jwk(jwk).ok()?)));
        let keys: BTreeMap<_, _> = usable.collect();
        if keys.is_empty() {
            return Err(BadKeys("none of its keys can be used".into()));
        }
        Ok(Self { issuer: issuer.to_owned(), keys, verified: Mutex::default() })
    }

    /// Who bears this token.
    ///
    /// # Errors
    /// The first [`TokenError`] that applies.
    pub fn judge(&self, token: &str, audience: &str, callers: &Callers, now_unix_s: u64) -> Result<Proven, TokenError> {
        let claims = self.claims(token)?;
        // What time, audience and caller decide is decided anew on each call.
        if claims.iss != self.issuer {
            return Err(TokenError::WrongIssuer);
        }
        if !claims.aud.contain(audience) {
            return Err(TokenError::WrongAudience);
        }
        if claims.exp <= now_unix_s || claims.nbf > now_unix_s {
            return Err(TokenError::Expired);
        }
        let program = callers.program(&claims.sub).ok_or_else(|| TokenError::NotACaller(claims.sub.clone()))?;
        let Bound { namespace, pod } = &claims.kubernetes;
        let identity = |BoundPod { name, uid }: &BoundPod| PodIdentity {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
        };
        let pod = pod.as_ref().map(identity);
        if program == GAME_SERVER && pod.is_none() {
            return Err(TokenError::NoPod);
        }
        Ok(Proven { program: program.to_owned(), pod })
    }

    fn claims(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = verified().get(token) {
            return Ok(claims);
        }
        let claims = Arc::new(self.verify(token)?);
        verified().insert(token, claims.clone());
        Ok(claims)
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(TokenError::BadSignature);
        }
        let key = header.kid.as_ref().and_then(|kid| self.keys.get(kid)).ok_or(TokenError::UnknownKey)?;
        // Times are judged by the given clock, the rest by name.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::BadSignature,
            _ => TokenError::Malformed,
        })?;
        Ok(decoded.claims)
    }
}

#[cfg(test)]
mod tests;
