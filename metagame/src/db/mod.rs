//! Two databases, one way to use them: SQLite in this process, or PostgreSQL on a server.
//!
//! A use case is written once, in statements that both take, over [`Database`]:
//!
//! - [`Database::one`], [`optional`](Database::optional), [`all`](Database::all) read with one statement;
//! - [`Database::read`] reads with several, all of which see the same moment;
//! - [`Database::write`] writes: all or nothing, as if no other use case ran meanwhile. What it is given may run more
//!   than once;
//! - [`Database::statement`] writes with one statement, in one round trip;
//! - lanes make one statement of what has queued, for the few use cases that come by the thousand.
//!
//! On PostgreSQL a write is a SERIALIZABLE transaction that is repeated when it met another; on SQLite there is one
//! writer, which commits in groups. Each [`Domain`] has connections of its own. Every use case ends within its domain's
//! patience, whatever the network does, and finds the database again without a restart.
//!
//! Why it is like this: `docs/adr/015-one-use-case-two-databases.md`. How to add one: the page "Adding a use case".

mod connection;
mod copy;
mod domain;
mod error;
mod group;
mod lanes;
mod location;
mod migrate;
mod open;
mod pool;
mod row;
mod side;
mod sql;
mod value;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::args;

use group::Writer;
use pool::Pool;
use write::{AfterUnknown, Mode};

pub use connection::Tx;
pub use copy::{CopiedTable, CopyError, StoreCopy, copy_to_postgres};
pub use domain::Domain;
pub use error::StoreError;
pub(crate) use lanes::Lanes;
pub use location::{DatabaseLocation, PostgresUrl, UrlError};
pub use open::{DatabaseLimits, OpenError, check_database};
pub use row::{Cells, FromColumn, FromRow, Row};
pub use side::SideFile;
pub use sql::{Engine, Sql};
pub use value::{Args, List, ToValue, Value};

/// What does a group with one statement: one outcome for each, in their order.
type OfGroup<I, T> = fn(Database, Vec<I>) -> BoxFuture<'static, Result<Vec<T>, StoreError>>;

/// An open database; cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    engine: Engine,
    pools: HashMap<Domain, Arc<Pool>>,
    /// On SQLite, the one that writes. Behind a lock for closing alone.
    writer: Option<tokio::sync::RwLock<Writer>>,
    closing: Mutex<()>,
    listeners: Arc<AtomicBool>,
}

impl Database {
    /// Which database it is.
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// Whether anybody may want to be told of what happens; every [`Tx`] knows it. True until somebody knows better.
    pub(crate) fn listeners(&self) -> &AtomicBool {
        &self.0.listeners
    }

    /// Writes: all that `body` does, or nothing. It sees the database as if no other use case ran at the same time.
    ///
    /// `body` runs again when it met another use case, and when nobody knows whether its commit happened: it has to find
    /// out by a key (`ON CONFLICT DO NOTHING`, a look for its own row) that it has been here. It does nothing besides
    /// its statements. Once begun it goes on to its end, even if the caller goes away.
    ///
    /// # Errors
    /// [`StoreError`]: of `body`, or of the database.
    pub async fn write<I, T, F>(&self, domain: Domain, input: I, body: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.run_write(domain, Mode::Write(AfterUnknown::Repeat), input, body).await
    }

    /// As [`Database::write`], for what cannot find out whether it has been here: where nobody knows whether its commit
    /// happened, it ends with [`StoreError::Unknown`].
    ///
    /// # Errors
    /// [`StoreError`]: of `body`, or of the database.
    pub async fn write_once<I, T, F>(&self, domain: Domain, input: I, body: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        self.run_write(domain, Mode::Write(AfterUnknown::Tell), input, body).await
    }

    /// Writes with one statement; how many rows that changed. On PostgreSQL one round trip, READ COMMITTED: for what
    /// its own words and the constraints of the tables keep right, and what done twice is as good as done once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn statement(&self, domain: Domain, sql: impl Into<Sql>, args: Args) -> Result<u64, StoreError> {
        self.run_write(domain, Mode::Statement, (sql.into(), args), |tx, (sql, args)| {
            Box::pin(tx.execute(*sql, args.clone()))
        })
        .await
    }

    /// As [`Database::statement`], for a statement with `RETURNING`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn statement_returning<T: FromRow + Send + 'static>(
        &self,
        domain: Domain,
        sql: impl Into<Sql>,
        args: Args,
    ) -> Result<Vec<T>, StoreError> {
        self.run_write(domain, Mode::Statement, (sql.into(), args), |tx, (sql, args)| {
            Box::pin(tx.all(*sql, args.clone()))
        })
        .await
    }

    /// Groups of a use case, each of which `run` does with one statement: one outcome for each of the group, in their order.
    /// Nothing on SQLite, whose writer groups by itself and whose reads cost no round trip.
    pub(crate) fn lanes<I, T>(&self, domain: Domain, run: OfGroup<I, T>) -> Option<Lanes<I, T>>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        let db = self.clone();
        let lanes = || Lanes::new(self.pool(domain).patience, move |inputs| run(db.clone(), inputs));
        (self.engine() == Engine::Postgres).then(lanes)
    }

    /// Changes what tables there are, by a text that is made at run time: tables of days. Doing it twice must be as good as once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn define(&self, domain: Domain, text: String) -> Result<(), StoreError> {
        self.run_write(domain, Mode::Statement, text, |tx, text| Box::pin(tx.define(text.clone()))).await
    }

    /// Reads with several statements that all see the same moment.
    ///
    /// # Errors
    /// [`StoreError`]: of `body`, or of the database.
    pub async fn read<I, T, F>(&self, domain: Domain, input: I, body: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        write::run(self.pool(domain), Mode::Read, &input, &body).await
    }

    /// All rows that one statement reads.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn all<T: FromRow + Send + 'static>(
        &self,
        domain: Domain,
        sql: impl Into<Sql>,
        args: Args,
    ) -> Result<Vec<T>, StoreError> {
        let input = (sql.into(), args);
        self.look(domain, &input, |tx, (sql, args)| Box::pin(tx.all(*sql, args.clone()))).await
    }

    /// The first row that one statement reads, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn optional<T: FromRow + Send + 'static>(
        &self,
        domain: Domain,
        sql: impl Into<Sql>,
        args: Args,
    ) -> Result<Option<T>, StoreError> {
        let input = (sql.into(), args);
        self.look(domain, &input, |tx, (sql, args)| Box::pin(tx.optional(*sql, args.clone()))).await
    }

    /// The row that one statement reads, where there always is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn one<T: FromRow + Send + 'static>(
        &self,
        domain: Domain,
        sql: impl Into<Sql>,
        args: Args,
    ) -> Result<T, StoreError> {
        let input = (sql.into(), args);
        self.look(domain, &input, |tx, (sql, args)| Box::pin(tx.one(*sql, args.clone()))).await
    }

    /// Empties the log through which SQLite writes its file, so that what was deleted is not there either. PostgreSQL has its own
    /// ways (`VACUUM`, and the retention of its log), which are the operator's.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if somebody reads from the log: try again.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        if self.0.engine == Engine::Postgres {
            return Ok(());
        }
        let (is_busy, _pages, _written): (bool, i64, i64) =
            self.one(Domain::Operations, "PRAGMA wal_checkpoint(TRUNCATE)", args![]).await?;
        if is_busy { Err(StoreError::Busy) } else { Ok(()) }
    }

    /// Ends: after the use cases under way, at the latest when their patience is over.
    pub async fn close(&self) {
        let _one_by_one = self.0.closing.lock().await;
        if let Some(writer) = &self.0.writer {
            writer.write().await.close().await;
        }
        for pool in self.0.pools.values() {
            pool.close().await;
        }
    }

    fn pool(&self, domain: Domain) -> &Arc<Pool> {
        &self.0.pools[&domain]
    }

    async fn look<I, T, F>(&self, domain: Domain, input: &I, body: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        write::run(self.pool(domain), Mode::Look, input, &body).await
    }

    async fn run_write<I, T, F>(&self, domain: Domain, mode: Mode, input: I, body: F) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx, &'t I) -> BoxFuture<'t, Result<T, StoreError>> + Send + Sync + 'static,
    {
        if let Some(writer) = &self.0.writer {
            return writer.read().await.write(domain, input, Box::new(body)).await;
        }
        let pool = Arc::clone(self.pool(domain));
        // A task of its own: a client that goes away does not break it off.
        let task = tokio::spawn(async move { write::run(&pool, mode, &input, &body).await });
        match task.await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(StoreError::Unknown),
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Database").field("engine", &self.0.engine).finish_non_exhaustive()
    }
}
