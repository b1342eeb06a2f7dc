//! Who a token says its bearer is: judged by the installation's key on one machine, by the cluster's keys on Kubernetes.

use std::fmt;
use std::sync::Arc;

use protocol::jwt::{Expect, KeySet};
use protocol::token::{SERVICE_TYP, ServiceClaims};

/// What a good token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The program, such as `matchmaker`.
    pub program: String,
    /// The pod that the token is bound to; `None` outside Kubernetes.
    pub pod: Option<PodIdentity>,
}

/// A pod, as Kubernetes vouches for it. Found in the extensions of requests that
/// [`RequireToken`](crate::token::RequireToken) let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodIdentity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a pod of the same name that came later has another.
    pub uid: String,
}

/// Why a token proves nothing, for the log and the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unproven(pub String);

/// Judges tokens whose keys it fetches by itself. Must not wait: it is asked within each call.
pub trait Judge: Send + Sync + fmt::Debug {
    /// Who bears this token, if it is good for `audience` at `now_unix_s`.
    ///
    /// # Errors
    /// [`Unproven`].
    fn judge(&self, token: &str, audience: &str, now_unix_s: u64) -> Result<Proven, Unproven>;
}

/// Judges service tokens.
#[derive(Debug, Clone)]
pub enum Verifier {
    /// Tokens that the installation's programs mint.
    Keys(Arc<KeySet>),
    /// Tokens that a cluster mints.
    Cluster(Arc<dyn Judge>),
}

impl From<Arc<KeySet>> for Verifier {
    fn from(keys: Arc<KeySet>) -> Self {
        Self::Keys(keys)
    }
}

impl Verifier {
    /// Who bears this token, if it is good for `audience` at `now_unix_s`.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn judge(&self, token: &str, audience: &str, now_unix_s: u64) -> Result<Proven, Unproven> {
        match self {
            Self::Keys(keys) => {
                let expect = Expect { typ: SERVICE_TYP, audience: Some(audience), now_unix_s };
                let claims: ServiceClaims = keys.verify(token, expect).map_err(|error| Unproven(error.to_string()))?;
                Ok(Proven { program: claims.sub, pod: None })
            }
            Self::Cluster(judge) => judge.judge(token, audience, now_unix_s),
        }
    }
}
