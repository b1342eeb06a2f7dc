//! One write of one held server, and what became of it.
//!
//! Each write carries a stamp of its own, the time in nanoseconds under `agones.dev/last-allocated`: whoever is told of
//! a conflict, or of nothing at all, reads the server and finds by the stamp whether it was this write after all.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use super::cluster::ClusterError;
use super::core::changes;
use super::core::request::Request;
use super::core::server::{LAST_ALLOCATED, Server};
use super::engine::{Engine, Given};
use super::error::AllocateError;
use super::metrics;

/// How long one write or read may take.
const CALL_PATIENCE: Duration = Duration::from_secs(5);
/// Pauses before a write whose outcome is unknown is sent again.
const AGAIN: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// How often a server is read whose write had no outcome in time.
const SETTLE_EVERY: Duration = Duration::from_secs(2);
/// The API server gives every request up after a minute; what was not written by then never will be.
const SETTLED_AFTER: Duration = Duration::from_secs(65);

/// What became of a held server.
pub(super) enum Written {
    /// It was given out, and is now this.
    Given(Box<Server>),
    /// Somebody else has it, or it is gone: try another one.
    Missed,
}

impl Engine {
    /// Gives out a held server. However this ends, the server is no longer held by the caller.
    pub(super) async fn write(
        &self,
        request: &Request,
        held: &Server,
        caller: &watch::Sender<Option<Result<Given, AllocateError>>>,
    ) -> Result<Written, AllocateError> {
        let now = OffsetDateTime::now_utc();
        let stamp = now.format(&Rfc3339).unwrap_or_else(|_| now.unix_timestamp_nanos().to_string());
        let (patch, left_out) = changes::patch(request, held, &stamp);
        let mut reason = None;
        for pause in [Duration::ZERO].into_iter().chain(AGAIN) {
            tokio::time::sleep(pause).await;
            // Right before each write: neither a leader of yesterday nor for a caller who has gone.
            let stop = match self.0.leads() {
                Ok(_) if caller.is_closed() => Some(AllocateError::Stopping),
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if let Some(stop) = stop {
                self.leave(held, stamp, reason.is_some());
                return Err(stop);
            }
            let sent = tokio::time::timeout(CALL_PATIENCE, self.0.cluster.patch(&held.key, &patch)).await;
            match sent.unwrap_or_else(|_| Err(ClusterError::Unknown("it did not answer in time".to_owned()))) {
                Ok(server) => {
                    if !left_out.is_empty() {
                        let left_out = left_out.join("; ");
                        tracing::warn!(server = %held.key, left_out, "given out without some of the asked changes");
                    }
                    self.book(|book| book.written(server.clone()));
                    return Ok(Written::Given(Box::new(server)));
                }
                Err(ClusterError::Conflict) => return Ok(self.after_conflict(held, &stamp, reason.is_some()).await),
                Err(ClusterError::Gone) => {
                    self.book(|book| book.gone(&held.key));
                    return Ok(Written::Missed);
                }
                Err(ClusterError::Invalid(text)) => {
                    self.book(|book| book.released(&held.key));
                    return Err(AllocateError::Refused(text));
                }
                Err(ClusterError::Forbidden(text)) => {
                    self.book(|book| book.released(&held.key));
                    return Err(AllocateError::Forbidden(text));
                }
                Err(ClusterError::Unknown(text)) => reason = Some(text),
            }
        }
        self.leave(held, stamp, true);
        Err(AllocateError::Unavailable(reason.unwrap_or_default()))
    }

    /// Somebody wrote the server. It may have been this very write, sent before without an answer.
    async fn after_conflict(&self, held: &Server, stamp: &str, is_unsure: bool) -> Written {
        match tokio::time::timeout(CALL_PATIENCE, self.0.cluster.get(&held.key)).await {
            Ok(Ok(now)) if is_by(&now, held, stamp) => {
                self.book(|book| book.written(now.clone()));
                return Written::Given(Box::new(now));
            }
            Ok(Ok(now)) => self.book(|book| {
                book.conflicted(held);
                book.looked_up(now);
            }),
            Ok(Err(ClusterError::Gone)) => self.book(|book| book.gone(&held.key)),
            Ok(Err(_)) | Err(_) if is_unsure => self.leave(held, stamp.to_owned(), true),
            // The watch will tell.
            Ok(Err(_)) | Err(_) => {
                self.book(|book| book.conflicted(held));
            }
        }
        Written::Missed
    }

    /// Leaves a held server. Where a write may still land it stays held until that is certain.
    fn leave(&self, held: &Server, stamp: String, is_unsure: bool) {
        if !is_unsure {
            return self.book(|book| book.released(&held.key));
        }
        let (engine, held) = (self.clone(), held.clone());
        tokio::spawn(async move { engine.settle(&held, &stamp).await });
    }

    async fn settle(&self, held: &Server, stamp: &str) {
        let certain_at = tokio::time::Instant::now() + SETTLED_AFTER;
        loop {
            tokio::time::sleep(SETTLE_EVERY).await;
            match tokio::time::timeout(CALL_PATIENCE, self.0.cluster.get(&held.key)).await {
                Ok(Ok(now)) if is_by(&now, held, stamp) => {
                    metrics::unclaimed();
                    tracing::warn!(server = %held.key, "given out after its caller was told of a failure; a retry for the same match finds it");
                    return self.book(|book| book.written(now));
                }
                Ok(Ok(now)) if now.resource_version != held.resource_version => {
                    return self.book(|book| {
                        book.conflicted(held);
                        book.looked_up(now);
                    });
                }
                Ok(Ok(_)) if tokio::time::Instant::now() >= certain_at => {
                    return self.book(|book| book.released(&held.key));
                }
                Ok(Err(ClusterError::Gone)) => return self.book(|book| book.gone(&held.key)),
                Ok(Ok(_) | Err(_)) | Err(_) => {}
            }
        }
    }
}

fn is_by(now: &Server, held: &Server, stamp: &str) -> bool {
    now.uid == held.uid && now.annotations.get(LAST_ALLOCATED).is_some_and(|at| at == stamp)
}
