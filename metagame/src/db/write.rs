//! Writing on PostgreSQL: serializable transactions, repeated where they met another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::connection::Tx;
use super::error::StoreError;
use super::pool::{Held, Pool};
use super::sql::Engine;
use crate::metrics;

/// Most tries of one use case.
const TRIES_MAX: u32 = 16;
/// Pause before the second try; it doubles, up to [`PAUSE_MAX`], and a random part of it is waited.
const PAUSE: Duration = Duration::from_millis(1);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What is done in a transaction. It may run several times for one caller, and only the last run counts: besides its
/// statements it must do nothing.
pub(super) trait UseCase<I, T>: Send + Sync + 'static {
    /// Does it once.
    fn run<'t>(&'t self, tx: &'t mut Tx, input: &'t I) -> BoxFuture<'t, Result<T, StoreError>>;
}

impl<F, I, T> UseCase<I, T> for F
where
    F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
{
    fn run<'t>(&'t self, tx: &'t mut Tx, input: &'t I) -> BoxFuture<'t, Result<T, StoreError>> {
        self(tx, input)
    }
}

/// What may be done when nobody knows whether the commit happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterUnknown {
    /// The use case finds out by its key: do it again.
    Repeat,
    /// Only the caller can know: [`StoreError::Unknown`].
    Tell,
}

/// How a transaction runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Serializable, and written.
    Write(AfterUnknown),
    /// One look at everything as it is now; nothing is written.
    Read,
    /// One statement that reads.
    Look,
    /// One statement, which is a transaction by itself: no `BEGIN`, no `COMMIT`. Doing it twice is as good as once.
    Statement,
}

impl Mode {
    fn begin(self, engine: Engine) -> Option<&'static str> {
        match (self, engine) {
            (Self::Statement | Self::Look, _) => None,
            (_, Engine::Sqlite) => Some("BEGIN"),
            (Self::Write(_), Engine::Postgres) => Some("BEGIN ISOLATION LEVEL SERIALIZABLE"),
            (Self::Read, Engine::Postgres) => Some("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        }
    }

    fn is_repeatable(self) -> bool {
        self != Self::Write(AfterUnknown::Tell)
    }

    fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Look)
    }
}

/// How far a try came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing can have been written.
    Safe,
    /// The server was asked to commit.
    Committing,
}

/// Runs a use case to its end within the domain's patience.
pub(super) async fn run<I, T>(
    pool: &Arc<Pool>,
    mode: Mode,
    input: &I,
    body: &dyn UseCase<I, T>,
) -> Result<T, StoreError>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let until = Instant::now() + pool.patience;
    let mut may_be_written = false;
    let mut error = StoreError::Busy;
    for tries in 1..=TRIES_MAX {
        let (mut stage, mut was_stale) = (Stage::Safe, false);
        let done = timeout_at(until, try_once(pool, mode, until, input, body, &mut stage, &mut was_stale)).await;
        let out_of_time = done.is_err();
        error = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => StoreError::Busy,
        };
        let broke = out_of_time || matches!(error, StoreError::Unavailable(_));
        if stage == Stage::Committing && broke {
            may_be_written = true;
        }
        let again = match &error {
            StoreError::Conflict(_) => true,
            // An idle connection had died, which says nothing of the server; a commit's fate can be found out.
            StoreError::Unavailable(_) => was_stale || (may_be_written && mode.is_repeatable()),
            _ => false,
        };
        if out_of_time || !again || (may_be_written && !mode.is_repeatable()) {
            break;
        }
        metrics::database_retry(pool.domain, error.kind());
        let pause = pause(tries, service::random::u64());
        if Instant::now() + pause >= until {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    Err(match error {
        _ if may_be_written => StoreError::Unknown,
        // It met others again and again, or a row stands in its way that no other use case was about to remove.
        StoreError::Conflict(reason) if reason.contains("duplicate key") => StoreError::Failed(reason),
        StoreError::Conflict(_) => StoreError::Busy,
        other => other,
    })
}

/// A random part of the pause, at least half of it.
fn pause(tries: u32, entropy: u64) -> Duration {
    let whole = PAUSE.saturating_mul(1 << (tries - 1).min(16)).min(PAUSE_MAX);
    whole / 2 + whole.mul_f64((entropy >> 40) as f64 / (1_u64 << 25) as f64)
}

async fn try_once<I: 'static, T: 'static>(
    pool: &Arc<Pool>,
    mode: Mode,
    until: Instant,
    input: &I,
    body: &dyn UseCase<I, T>,
    stage: &mut Stage,
    was_stale: &mut bool,
) -> Result<T, StoreError> {
    let mut held = pool.take(until).await?;
    *was_stale = !held.is_fresh;
    let done = transaction(&mut held, mode, input, body, stage).await;
    match &done {
        // It broke, or the server has become a standby: the next connection may lead to the right one.
        Err(StoreError::Unavailable(_)) => held.discard(),
        _ => held.back(),
    }
    done
}

async fn transaction<I: 'static, T: 'static>(
    held: &mut Held,
    mode: Mode,
    input: &I,
    body: &dyn UseCase<I, T>,
    stage: &mut Stage,
) -> Result<T, StoreError> {
    let begin = mode.begin(held.tx().engine());
    if let Some(begin) = begin {
        held.control(begin).await?;
    } else if mode.writes() {
        *stage = Stage::Committing;
    }
    let tx = held.tx();
    tx.fault = None;
    let ran = body.run(tx, input).await;
    let swallowed = tx.fault.take();
    let ran = match (ran, swallowed) {
        (Ok(_), Some(fault)) => Err(fault),
        (ran, _) => ran,
    };
    if begin.is_none() {
        return ran;
    }
    match ran {
        Ok(value) => {
            if mode.writes() {
                *stage = Stage::Committing;
            }
            held.control("COMMIT").await?;
            Ok(value)
        }
        Err(error @ StoreError::Unavailable(_)) => Err(error),
        Err(error) => {
            held.control("ROLLBACK").await?;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_differ_and_end() {
        assert_eq!((pause(1, 0), pause(3, 0)), (Duration::from_micros(500), Duration::from_millis(2)));
        assert!(pause(3, u64::MAX) > pause(3, 0));
        assert!(pause(60, u64::MAX) <= PAUSE_MAX);
    }
}
