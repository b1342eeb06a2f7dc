//! Streams of how the queues are doing. A watcher holds nothing but the last picture that it was given: it asks the
//! actor again when the actor says that something has changed, and tells only what is new.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use protocol::pb;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use crate::actor::{Busy, Handle};
use crate::convert;

/// Most watchers at once: the operator needs one, and a person who looks another.
const WATCHERS_MAX: usize = 16;
/// Shortest time between two pictures of one stream.
const PICTURE_EVERY: Duration = Duration::from_millis(100);
/// Without any change the percentiles of waits still fall as time goes by; this is how often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Where watchers begin.
#[derive(Debug)]
pub(crate) struct QueueWatch {
    actor: Handle,
    changes: watch::Receiver<()>,
    watchers: Arc<Semaphore>,
}

impl QueueWatch {
    /// `changes` is marked by the actor whenever a queue has changed.
    pub(crate) fn new(actor: Handle, changes: watch::Receiver<()>) -> Self {
        Self { actor, changes, watchers: Arc::new(Semaphore::new(WATCHERS_MAX)) }
    }

    /// A stream of pictures: the present one, then one after each change.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED with too many watchers.
    pub(crate) fn watch(
        &self,
    ) -> Result<impl Stream<Item = Result<pb::ListQueuesResponse, Status>> + Send + use<>, Status> {
        let permit = self.watchers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted(format!("{WATCHERS_MAX} watchers already")))?;
        let watcher = Watcher {
            actor: self.actor.clone(),
            changes: self.changes.clone(),
            told: None,
            next_at: Instant::now(),
            ended: false,
            _permit: permit,
        };
        Ok(unfold(watcher, |mut watcher| async move { watcher.next().await.map(|item| (item, watcher)) }))
    }
}

struct Watcher {
    actor: Handle,
    changes: watch::Receiver<()>,
    told: Option<pb::ListQueuesResponse>,
    /// When the next picture may be told.
    next_at: Instant,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<pb::ListQueuesResponse, Status>> {
        while !self.ended {
            sleep_until(self.next_at).await;
            // Marked as seen before the look: a change during it is looked at again.
            self.changes.mark_unchanged();
            match self.actor.list().await {
                Ok(picture) => {
                    let picture = convert::picture(&picture);
                    if self.told.as_ref() != Some(&picture) {
                        self.told = Some(picture.clone());
                        self.next_at = Instant::now() + PICTURE_EVERY;
                        return Some(Ok(picture));
                    }
                }
                Err(Busy) if self.changes.has_changed().is_ok() => self.next_at = Instant::now() + PICTURE_EVERY,
                Err(Busy) => self.ended = true,
            }
            if let Ok(Err(_)) = timeout(LOOK_EVERY, self.changes.changed()).await {
                self.ended = true;
            }
            if self.ended {
                return Some(Err(Status::unavailable("the matchmaker is shutting down: watch again in a moment")));
            }
        }
        None
    }
}
