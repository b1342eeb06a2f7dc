//! Fetches the cluster's keys and keeps them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use service::verify::{Judge, Proven, Unproven, Verifier};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::keys::{BadKeys, Callers, Keys, TokenError};

/// Where the API server says who it is as an issuer.
const CONFIGURATION: &str = "/.well-known/openid-configuration";
/// Where it has its keys. The address in its configuration may be one that pods cannot reach.
const KEYS: &str = "/openid/v1/jwks";
/// Least time between two fetches: tokens of unknown keys may come as often as a stranger likes.
const PAUSE: Duration = Duration::from_secs(5);
/// Keys are fetched anew so often even if nobody asks, so that one that was withdrawn is forgotten.
const RENEW: Duration = Duration::from_secs(600);
/// A fetch that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The API server did not answer as it should.
    #[error("the API server does not give its token keys: {0}")]
    Api(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server does not give its token keys within {} s", DEADLINE.as_secs())]
    Late,
    /// What it answered is no request that can be made, or no JSON.
    #[error("the API server's token configuration cannot be used: {0}")]
    Configuration(String),
    /// Its keys cannot be used.
    #[error("the API server's token keys: {0}")]
    Keys(#[from] BadKeys),
}

/// Judges tokens of service accounts; a [`Verifier`] for services. Cheap to share.
#[derive(Debug)]
pub struct ClusterTokens {
    keys: RwLock<Keys>,
    callers: Callers,
    stale: Notify,
}

impl ClusterTokens {
    /// Fetches the keys, and fetches them again until `shutdown` whenever a token of an unknown key comes.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn start(client: Client, callers: Callers, shutdown: CancellationToken) -> Result<Arc<Self>, FetchError> {
        let keys = fetch(&client).await?;
        let tokens = Arc::new(Self { keys: RwLock::new(keys), callers, stale: Notify::new() });
        let kept = tokens.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = kept.keep(&client) => {}
                () = shutdown.cancelled() => {}
            }
        });
        Ok(tokens)
    }

    /// What services judge their callers by.
    pub fn verifier(self: &Arc<Self>) -> Verifier {
        Verifier::Cluster(self.clone())
    }

    async fn keep(&self, client: &Client) {
        loop {
            tokio::time::sleep(PAUSE).await;
            // Either way it is time.
            tokio::time::timeout(RENEW, self.stale.notified()).await.ok();
            match fetch(client).await {
                Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys,
                Err(error) => {
                    tracing::warn!(%error, "going on with the token keys that are known");
                    self.stale.notify_one();
                }
            }
        }
    }
}

impl Judge for ClusterTokens {
    fn judge(&self, token: &str, audience: &str, now_unix_s: u64) -> Result<Proven, Unproven> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.judge(token, audience, &self.callers, now_unix_s).map_err(|error| {
            if error == TokenError::UnknownKey {
                self.stale.notify_one();
            }
            Unproven(error.to_string())
        })
    }
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
}

async fn fetch(client: &Client) -> Result<Keys, FetchError> {
    let both = async {
        let configuration = get(client, CONFIGURATION).await?;
        let configuration: Configuration =
            serde_json::from_str(&configuration).map_err(|error| FetchError::Configuration(error.to_string()))?;
        Ok(Keys::read(&configuration.issuer, &get(client, KEYS).await?)?)
    };
    tokio::time::timeout(DEADLINE, both).await.map_err(|_| FetchError::Late)?
}

async fn get(client: &Client, path: &str) -> Result<String, FetchError> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| FetchError::Configuration(error.to_string()))?;
    Ok(client.request_text(request).await?)
}
