//! Group commit for SQLite: one task writes, in groups of what has queued meanwhile.
//!
//! Each use case runs in a savepoint of its own, so its error takes back what it wrote and nothing else. The group is
//! committed once, with `synchronous=FULL`; only then is anybody answered. Under load the cost of reaching the disk is
//! shared by the group; alone, a use case waits for nobody.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Tx};
use super::domain::Domain;
use super::error::StoreError;
use super::write::UseCase;
use crate::metrics;

/// Most use cases of one commit: what fails together stays few.
const GROUP_MAX: usize = 64;
/// No group is joined after this: the first one has waited long enough.
const GROUP_TIME_MAX: Duration = Duration::from_millis(10);
/// Use cases that may wait; those beyond are told to come back.
const QUEUE_MAX: usize = 1_024;

/// A use case on its way through the writer.
trait Job: Send {
    /// Whether nobody waits for it any more.
    fn is_over(&self, now: Instant) -> bool;
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>>;
    /// Tells the caller: what the use case gave, unless `fault` kept it from being written.
    fn answer(self: Box<Self>, fault: Option<StoreError>);
}

struct Write<I, T> {
    input: I,
    body: Box<dyn UseCase<I, T>>,
    until: Instant,
    outcome: Result<T, StoreError>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<I: Send + Sync + 'static, T: Send + 'static> Job for Write<I, T> {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.until || self.reply.is_closed()
    }

    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, Result<(), StoreError>> {
        Box::pin(async move {
            let ran = AssertUnwindSafe(self.body.run(tx, &self.input)).catch_unwind().await;
            self.outcome = ran.unwrap_or_else(|_| Err(StoreError::Failed("the use case panicked".into())));
            if let (Ok(_), Some(swallowed)) = (&self.outcome, tx.fault.take()) {
                self.outcome = Err(swallowed);
            }
            self.outcome.as_ref().map(drop).map_err(Clone::clone)
        })
    }

    fn answer(self: Box<Self>, fault: Option<StoreError>) {
        // The caller may have gone; what it asked for is done all the same.
        let _ = self.reply.send(fault.map_or(self.outcome, Err));
    }
}

/// The way to the writer.
pub(super) struct Writer {
    patience: Duration,
    queue: mpsc::Sender<Box<dyn Job>>,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Writer {
    /// Starts the task that owns `connection`.
    pub(super) fn start(connection: Connection, patience: Duration, listeners: &Arc<AtomicBool>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let end = CancellationToken::new();
        let task = tokio::spawn(write_groups(Tx::new(connection, listeners), jobs, end.clone()));
        Self { patience, queue, end, task }
    }

    /// Has a use case written; returns after the commit.
    pub(super) async fn write<I, T>(
        &self,
        domain: Domain,
        input: I,
        body: Box<dyn UseCase<I, T>>,
    ) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + 'static,
    {
        let begun = Instant::now();
        let until = begun + domain.patience(self.patience);
        let (reply, answer) = oneshot::channel();
        let outcome = Err(StoreError::Failed("it did not run".into()));
        let job = Box::new(Write { input, body, until, outcome, reply });
        self.queue.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("it was closed".into()),
        })?;
        match tokio::time::timeout_at(until, answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(StoreError::Unavailable("it was closed".into()))),
            // It may be in the group that the disk is slow with.
            Err(_) => Err(StoreError::Unknown),
        }
    }

    /// Writes what has queued, then closes the file.
    pub(super) async fn close(&mut self) {
        self.end.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the writer of the database ended before its time");
        }
    }
}

async fn write_groups(mut tx: Tx, mut jobs: mpsc::Receiver<Box<dyn Job>>, end: CancellationToken) {
    loop {
        let first = tokio::select! {
            first = jobs.recv() => first,
            () = end.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
        };
        let Some(first) = first else { break };
        write_group(&mut tx, first, &mut jobs).await;
    }
    tx.connection.close().await;
}

async fn write_group(tx: &mut Tx, first: Box<dyn Job>, jobs: &mut mpsc::Receiver<Box<dyn Job>>) {
    let begun = Instant::now();
    if let Err(error) = tx.connection.control("BEGIN IMMEDIATE").await {
        return first.answer(Some(error));
    }
    let mut group = Vec::new();
    let mut next = Some(first);
    let mut fault = None;
    while let Some(mut job) = next {
        if job.is_over(Instant::now()) {
            job.answer(Some(StoreError::Busy));
        } else {
            fault = savepoint(tx, job.as_mut()).await.err();
            group.push(job);
        }
        let may_join = fault.is_none() && group.len() < GROUP_MAX && begun.elapsed() < GROUP_TIME_MAX;
        next = if may_join { jobs.try_recv().ok() } else { None };
    }
    if fault.is_none() {
        fault = tx.connection.control("COMMIT").await.err();
    }
    if fault.is_some() {
        // Fails where SQLite has taken the transaction back by itself, which is as good.
        let _ = tx.connection.control("ROLLBACK").await;
    }
    metrics::database_group(group.len());
    for job in group {
        job.answer(fault.clone());
    }
}

/// Runs a use case; its error takes back its own writes.
///
/// # Errors
/// If the whole group is lost: a full disk or a failing one ends SQLite's transaction.
async fn savepoint(tx: &mut Tx, job: &mut dyn Job) -> Result<(), StoreError> {
    tx.connection.control("SAVEPOINT use_case").await?;
    tx.fault = None;
    if let Err(error) = job.run(tx).await {
        // Without the savepoint the transaction is gone, and this error says why.
        tx.connection.control("ROLLBACK TO use_case").await.map_err(|_| error)?;
    }
    tx.connection.control("RELEASE use_case").await
}
