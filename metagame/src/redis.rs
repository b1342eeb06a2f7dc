//! Redis, for what can be rebuilt or lost: ranks, presence, limits, fan-out. The database stays the truth.
//!
//! No call takes longer than [`TIMEOUT`], and after a few that failed nobody asks for a moment: a Redis that is gone costs
//! a feature, never a request's patience. Each caller says what it does without; the book's pages of the parts tell it.
//! This is the one file that knows the client library.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use ::redis::{Client, ErrorKind, FromRedisValue, IntoConnectionInfo as _, ServerErrorKind};

use crate::core::circuit::{Circuit, Turn};
use crate::metrics;

pub use ::redis::{Cmd, Pipeline, Script, ScriptInvocation, Value, cmd, pipe};

/// Longest that a call may take, connecting included.
pub const TIMEOUT: Duration = Duration::from_millis(250);
/// Failures in a row after which nobody asks.
const FAILURES_MAX: u32 = 3;
/// How long nobody asks; then one does.
const PAUSE: Duration = Duration::from_millis(500);

/// Where Redis is: `redis://[user:password@]host:port/database`, or `rediss://` with TLS. Shown, it has no password.
#[derive(Clone)]
pub struct RedisUrl {
    text: String,
    shown: String,
}

/// An address that is not one. It does not repeat the address, which may hold a password.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the address of Redis cannot be read: write redis://host:6379/0, or rediss:// where it speaks TLS")]
pub struct RedisUrlError;

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let text = text.trim();
        let info = text.into_connection_info().map_err(|_| RedisUrlError)?;
        let shown = format!("redis {} database {}", info.addr(), info.redis_settings().db());
        Ok(Self { text: text.to_owned(), shown })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// Why Redis did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedisError {
    /// It is gone, too slow, only starting, or was so a moment ago. A write may have happened.
    #[error("redis is not there: {0}")]
    Away(String),
    /// It answered that it will not: no memory, no right, or a wrong command.
    #[error("redis refused: {0}")]
    Refused(String),
}

/// A way to Redis; cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    namespace: String,
    /// Replaced when it stops answering: a connection into a void would be waited for by TCP for minutes.
    manager: RwLock<ConnectionManager>,
    circuit: Mutex<Circuit>,
}

impl Redis {
    /// A way to the Redis at `url`, which need not be there yet. All keys begin with `muster:` and `namespace`, so several
    /// installations may share one.
    ///
    /// # Errors
    /// [`RedisUrlError`] if the library refuses the address after all.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new(url: &RedisUrl, namespace: &str) -> Result<Self, RedisUrlError> {
        let client = Client::open(url.text.as_str()).map_err(|_| RedisUrlError)?;
        let manager = manager(&client).map_err(|_| RedisUrlError)?;
        let (manager, circuit) = (RwLock::new(manager), Mutex::new(Circuit::new(FAILURES_MAX, PAUSE)));
        metrics::redis_up(true);
        Ok(Self(Arc::new(Inner { client, namespace: namespace.to_owned(), manager, circuit })))
    }

    /// The whole name of a key.
    pub fn key(&self, name: &str) -> String {
        format!("muster:{}:{name}", self.0.namespace)
    }

    /// Has one command done; `part` names who asks, in metrics.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn query<T: FromRedisValue>(&self, part: &'static str, command: &Cmd) -> Result<T, RedisError> {
        self.call(part, async |mut connection| command.query_async(&mut connection).await).await
    }

    /// Has several commands done in one round trip.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn pipeline<T: FromRedisValue>(&self, part: &'static str, commands: &Pipeline) -> Result<T, RedisError> {
        self.call(part, async |mut connection| commands.query_async(&mut connection).await).await
    }

    /// Runs a script, which Redis keeps after the first time.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn script<T: FromRedisValue>(
        &self,
        part: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, RedisError> {
        self.call(part, async |mut connection| script.invoke_async(&mut connection).await).await
    }

    /// A connection that hears what others publish. It ends when it breaks; whoever listens asks for another one, and for what
    /// it has missed.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn pubsub(&self, part: &'static str) -> Result<PubSub, RedisError> {
        self.call(part, async |_| self.0.client.get_async_pubsub().await).await
    }

    async fn call<T>(
        &self,
        part: &'static str,
        ask: impl AsyncFnOnce(ConnectionManager) -> ::redis::RedisResult<T>,
    ) -> Result<T, RedisError> {
        if self.circuit().turn(Instant::now()) == Turn::Refused {
            metrics::redis_call(part, "skipped", None);
            return Err(RedisError::Away("it did not answer a moment ago".into()));
        }
        let connection = self.0.manager.read().unwrap_or_else(PoisonError::into_inner).clone();
        let begun = Instant::now();
        let done = tokio::time::timeout(TIMEOUT, ask(connection)).await;
        let done = match done {
            Ok(done) => done.map_err(|error| judge(&error)),
            Err(_) => Err(RedisError::Away(format!("no answer within {} ms", TIMEOUT.as_millis()))),
        };
        let outcome = match &done {
            Ok(_) => "done",
            Err(RedisError::Away(_)) => "away",
            Err(RedisError::Refused(_)) => "refused",
        };
        metrics::redis_call(part, outcome, Some(begun.elapsed()));
        self.note(&done);
        done
    }

    fn note<T>(&self, done: &Result<T, RedisError>) {
        if let Err(RedisError::Away(reason)) = done {
            if self.circuit().failed(Instant::now()) {
                metrics::redis_up(false);
                tracing::warn!(reason, "redis is gone: features do without it until it is back");
                self.replace_connection();
            }
        } else if self.circuit().succeeded() {
            metrics::redis_up(true);
            tracing::info!("redis is back");
        }
    }

    fn replace_connection(&self) {
        if let Ok(fresh) = manager(&self.0.client) {
            *self.0.manager.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    fn circuit(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.0.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redis").field("namespace", &self.0.namespace).finish_non_exhaustive()
    }
}

/// Connects when it is first asked, and again when the connection breaks.
fn manager(client: &Client) -> ::redis::RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT));
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

fn judge(error: &::redis::RedisError) -> RedisError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    let away = match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain),
        // A password that is wrong is so until somebody looks: it is told once, like an absence.
        ErrorKind::AuthenticationFailed => true,
        _ => error.is_timeout() || error.is_connection_dropped(),
    };
    if away { RedisError::Away(error.to_string()) } else { RedisError::Refused(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url: RedisUrl = "redis://muster:hush@cache.example:6380/3\n".parse().expect("an address");
        for shown in [format!("{url}"), format!("{url:?}")] {
            assert!(shown.contains("cache.example:6380") && shown.contains('3') && !shown.contains("hush"), "{shown}");
        }
        for wrong in ["", "http://x", "redis://u:hush@x:y"] {
            let error = wrong.parse::<RedisUrl>().expect_err("no address");
            assert!(!format!("{error}{error:?}").contains("hush"));
        }
    }
}
