//! The two streams that others follow: the match log, by cursor, and the pool, by whole pictures.

use std::sync::Arc;
use std::time::Duration;

use protocol::pb;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::api::ended;
use crate::client::ActorClient;

/// Events that are taken from the log, and wait for a watcher's stream, at once.
pub(crate) const EVENTS_PER_PAGE: usize = 256;
/// A watcher that takes nothing for this long is ended; it resumes by its cursor.
pub(crate) const WATCHER_PATIENCE: Duration = Duration::from_secs(30);

/// The newest picture of the pool, published by the actor at most ten times a second while anybody watches.
pub(crate) type Pictures = watch::Sender<Arc<pb::GetPoolResponse>>;

/// Sends every event after `cursor`, then waits for more. The log keeps nothing for a watcher: one that is slow
/// finds its cursor out of range.
pub(crate) async fn matches(
    actor: &ActorClient,
    mut newest: watch::Receiver<u64>,
    mut cursor: u64,
    send: &mpsc::Sender<Result<pb::MatchEvent, Status>>,
) -> Option<Status> {
    loop {
        // Seen before the log is read: an event that comes in between wakes the wait below.
        newest.borrow_and_update();
        let page = match actor.events(cursor, EVENTS_PER_PAGE).await {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => return Some(Status::out_of_range(error.to_string())),
            Err(error) => return Some(ended(error)),
        };
        if page.is_empty() {
            newest.changed().await.ok()?;
            continue;
        }
        for event in page {
            cursor = event.cursor;
            if let Err(end) = hand_over(send, (*event).clone()).await {
                return end;
            }
        }
    }
}

/// Sends the pool as it is, then each newer picture that differs.
pub(crate) async fn pool(
    actor: &ActorClient,
    mut pictures: watch::Receiver<Arc<pb::GetPoolResponse>>,
    send: &mpsc::Sender<Result<pb::GetPoolResponse, Status>>,
) -> Option<Status> {
    // Seen before the pool is read: what changes in between comes with the next picture.
    pictures.borrow_and_update();
    let mut picture = match actor.pool().await {
        Ok(picture) => picture,
        Err(error) => return Some(ended(error)),
    };
    loop {
        if let Err(end) = hand_over(send, picture.clone()).await {
            return end;
        }
        let newer = loop {
            pictures.changed().await.ok()?;
            let newest = pictures.borrow_and_update().clone();
            if *newest != picture {
                break newest;
            }
        };
        picture = pb::GetPoolResponse::clone(&newer);
    }
}

/// Gives a watcher its next message; the status that ends its stream, if it does not take it.
async fn hand_over<T>(send: &mpsc::Sender<Result<T, Status>>, message: T) -> Result<(), Option<Status>> {
    match tokio::time::timeout(WATCHER_PATIENCE, send.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(None),
        Err(_) => Err(Some(Status::unavailable("the watcher is too slow: watch again"))),
    }
}
