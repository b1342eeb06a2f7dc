//! Values that a game keeps per player are written in groups: what has queued while the database was busy with the group
//! before goes into one transaction, so that a commit is shared by all who wait for it. Each is answered after its commit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use service::Shutdown;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::core::kv::{Collections, Outcome, Place, Request};
use crate::store::{Store, StoreError};

/// Callers that may wait; those beyond are told to come back.
const QUEUE_MAX: usize = 1_024;
/// Changes of one group: they end well within the patience of a use case.
const CHANGES_MAX: usize = 256;
/// Bytes of the values of one group; the last one may go beyond.
const BYTES_MAX: usize = 512 * 1024;

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

/// Collections, and the way to the task that writes.
pub(crate) struct Kv {
    pub(crate) collections: Arc<Collections>,
    queue: mpsc::Sender<Job>,
    /// How long a caller waits for its turn.
    patience: Duration,
}

impl Kv {
    /// Starts the task; it ends after `shutdown` with what has queued.
    pub(crate) fn start(
        store: Store,
        collections: Arc<Collections>,
        patience: Duration,
        shutdown: &Shutdown,
    ) -> (Self, JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        (Self { collections, queue, patience }, tokio::spawn(write_groups(store, jobs, shutdown.clone())))
    }

    /// Has a request written; returns after the commit.
    pub(crate) async fn write(&self, request: Request) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Job { request, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("it was closed".into()),
        })?;
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(StoreError::Unavailable("it was closed".into()))),
            // It may be in the group that the database is slow with.
            Err(_) => Err(StoreError::Unknown),
        }
    }
}

async fn write_groups(store: Store, mut jobs: mpsc::Receiver<Job>, shutdown: Shutdown) {
    let mut left = None;
    loop {
        let first = match left.take() {
            Some(job) => Some(job),
            None => tokio::select! {
                first = jobs.recv() => first,
                () = shutdown.wait(), if !jobs.is_closed() => {
                    // Requests under way may still come: what has queued is written, the rest is told to come back.
                    jobs.close();
                    continue;
                }
            },
        };
        let Some(first) = first else { return };
        let group = gather(first, &mut jobs, &mut left);
        write_group(&store, group).await;
    }
}

/// Takes in what waits, up to the first that touches a place which is in the group already: that one begins the next.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>, left: &mut Option<Job>) -> Vec<Job> {
    let (mut places, mut bytes, mut group) = (HashSet::<Place>::new(), 0, Vec::new());
    let mut next = Some(first);
    while let Some(job) = next {
        // Nobody waits for it any more.
        if !job.reply.is_closed() {
            let changes = &job.request.changes;
            if changes.iter().any(|change| places.contains(&change.place)) {
                *left = Some(job);
                break;
            }
            places.extend(changes.iter().map(|change| change.place.clone()));
            bytes += changes.iter().map(|change| change.value.as_ref().map_or(0, String::len)).sum::<usize>();
            group.push(job);
        }
        let has_room = places.len() < CHANGES_MAX && bytes < BYTES_MAX;
        next = if has_room { jobs.try_recv().ok() } else { None };
    }
    group
}

async fn write_group(store: &Store, group: Vec<Job>) {
    let (requests, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.request, job.reply)).unzip();
    if requests.is_empty() {
        return;
    }
    match store.kv_write(requests, service::clock::unix_ms()).await {
        Ok(outcomes) => {
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                // Whoever went away has its values all the same.
                let _ = reply.send(Ok(outcome));
            }
        }
        Err(error) => {
            for reply in replies {
                let _ = reply.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kv::{Change, Expects};
    use protocol::id::PlayerId;

    fn job(keys: &[&str]) -> (Job, oneshot::Receiver<Result<Outcome, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        let change = |key: &&str| Change {
            place: Place { player: PlayerId::from_entropy([1; 16]), collection: "c".into(), key: (*key).to_owned() },
            value: Some("1".into()),
            expects: Expects::Anything,
            counted: true,
        };
        (Job { request: Request { changes: keys.iter().map(change).collect(), quota: None }, reply }, answer)
    }

    #[test]
    fn a_group_ends_before_a_place_that_is_in_it() {
        let (queue, mut jobs) = mpsc::channel(8);
        let mut answers = Vec::new();
        for keys in [&["b", "c"][..], &["gone"], &["d"], &["e", "b"], &["f"]] {
            let (job, answer) = job(keys);
            queue.try_send(job).expect("room");
            answers.push(answer);
        }
        drop(answers.remove(1));
        let (first, _answer) = job(&["a"]);
        let mut left = None;
        let group = gather(first, &mut jobs, &mut left);
        let keys = |job: &Job| job.request.changes.iter().map(|change| change.place.key.clone()).collect::<String>();
        assert_eq!(group.iter().map(keys).collect::<Vec<_>>(), ["a", "bc", "d"]);
        assert_eq!(left.as_ref().map(keys).as_deref(), Some("eb"));
        let group = gather(left.take().expect("left"), &mut jobs, &mut left);
        assert_eq!((group.len(), left.is_none()), (2, true));
    }
}
