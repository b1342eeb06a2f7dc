//! The connections of one domain: at most so many, each given to one use case at a time.
//!
//! It is our own because it must keep a deadline whatever the network does, count how long it made anyone wait, and
//! spend no round trip on asking a connection whether it still lives: the use case finds out, and is repeated.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{Connection, Tx};
use super::domain::Domain;
use super::error::StoreError;
use super::location::Opener;
use crate::metrics;

/// How long a connection whose use case was dropped may take to end its transaction.
const RECOVERY: Duration = Duration::from_secs(1);

/// The pool.
pub(super) struct Pool {
    pub(super) domain: Domain,
    /// How long a use case may take in all.
    pub(super) patience: Duration,
    opener: Opener,
    connections_max: usize,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    listeners: Arc<AtomicBool>,
}

impl Pool {
    /// A pool that opens its connections when they are needed, at most `connections_max`.
    pub(super) fn new(
        domain: Domain,
        opener: Opener,
        connections_max: usize,
        patience: Duration,
        listeners: &Arc<AtomicBool>,
    ) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(connections_max));
        let listeners = Arc::clone(listeners);
        Arc::new(Self { domain, patience, opener, connections_max, room, idle: Mutex::default(), listeners })
    }

    /// A connection that nobody else uses.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if none is free until then, [`StoreError::Unavailable`] if none can be opened.
    pub(super) async fn take(self: &Arc<Self>, until: Instant) -> Result<Held, StoreError> {
        let permit = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(until).await?,
        };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (connection, is_fresh) = match idle {
            Some(connection) => (connection, false),
            None => (self.open(until).await?, true),
        };
        let (pool, tx) = (Arc::clone(self), Some(Tx::new(connection, &self.listeners)));
        Ok(Held { tx, is_fresh, pool, permit: Some(permit) })
    }

    async fn wait(&self, until: Instant) -> Result<OwnedSemaphorePermit, StoreError> {
        let begun = Instant::now();
        let permit = timeout_at(until, Arc::clone(&self.room).acquire_owned()).await;
        metrics::database_wait(self.domain, begun.elapsed());
        // Closed: the database was closed at shutdown.
        permit.map_err(|_| StoreError::Busy)?.map_err(|_| StoreError::Unavailable("it was closed".into()))
    }

    async fn open(&self, until: Instant) -> Result<Connection, StoreError> {
        match timeout_at(until, self.opener.open()).await {
            Ok(opened) => opened.map_err(|error| match error {
                // Whatever keeps a connection from standing, be it a password or a full server: nothing was written.
                StoreError::Failed(reason) => StoreError::Unavailable(reason),
                other => other,
            }),
            Err(_) => Err(StoreError::Unavailable("it does not answer".into())),
        }
    }

    /// Waits for the use cases under way and closes the connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        let done = timeout(self.patience, self.room.acquire_many(all)).await;
        self.room.close();
        drop(done);
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            // A server that is away does not keep us from ending.
            let _ = timeout(RECOVERY, connection.close()).await;
        }
    }

    fn put(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// A connection in use. Dropped without [`Held::back`], it is closed, or on PostgreSQL ended with care: its use case was
/// dropped half-way, because a client went away.
pub(super) struct Held {
    tx: Option<Tx>,
    /// Whether it was opened for this use case; an idle one may have died meanwhile.
    pub(super) is_fresh: bool,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    pub(super) fn tx(&mut self) -> &mut Tx {
        self.tx.as_mut().expect("taken only when it is given back")
    }

    pub(super) async fn control(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.tx().connection.control(sql).await
    }

    /// Gives it back; it must be outside any transaction.
    pub(super) fn back(mut self) {
        if let Some(tx) = self.tx.take() {
            self.pool.put(tx.connection);
        }
    }

    /// Closes it without a word.
    pub(super) fn discard(mut self) {
        self.tx = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(tx), Some(permit)) = (self.tx.take(), self.permit.take()) else { return };
        let Connection::Postgres(_) = &tx.connection else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let pool = Arc::clone(&self.pool);
        // The answer under way is read to its end first. A connection that fails this is closed.
        runtime.spawn(async move {
            let mut connection = tx.connection;
            if let Ok(Ok(())) = timeout(RECOVERY, connection.control("ROLLBACK")).await {
                pool.put(connection);
            }
            drop(permit);
        });
    }
}
