//! Calling matchmaker and allocator: deadlines, and what their errors mean to a client.

use std::future::Future;
use std::time::Duration;

use service::Shutdown;
use service::backoff::Backoff;
use service::leader::LeaderChannel;
use service::token::TokenInterceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Response, Status};

use crate::metrics;
use crate::problem::Problem;

/// A channel that proves who is calling.
pub(crate) type Upstream = InterceptedService<LeaderChannel, TokenInterceptor>;

/// Longest time for an answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// A stream that stays broken is complained of at every so many tries: about every minute and a half.
const TRIES_PER_WARNING: u32 = 40;

/// The answer of a call, in time.
///
/// # Errors
/// The call's own, or DEADLINE_EXCEEDED.
pub(crate) async fn call<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_elapsed) => Err(Status::deadline_exceeded("no answer within 2 s")),
    }
}

/// What an error that has no meaning of its own in the use case means to the client: come back later.
pub(crate) fn away(peer: &'static str, status: &Status) -> Problem {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            tracing::error!(peer, %status, "metagame's service token is refused: do both use the same service key?");
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
            tracing::warn!(peer, %status, "a call failed");
        }
        _ => tracing::error!(peer, %status, "a call failed unexpectedly"),
    }
    let slug = if peer == MATCHMAKER { "matchmaker-unavailable" } else { "allocator-unavailable" };
    Problem::unavailable(slug, format!("the {peer} cannot be reached now; try again"), 2)
}

/// Name of the matchmaker in logs and metrics.
pub(crate) const MATCHMAKER: &str = "matchmaker";
/// Name of the allocator in logs and metrics.
pub(crate) const ALLOCATOR: &str = "allocator";

/// How far a watch stream was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Position {
    log_id: String,
    cursor: u64,
}

/// What to do with an event of a watch stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Handle it.
    News,
    /// The peer started afresh and this stream began in the middle of its new log: ask again from the beginning.
    Restarted,
}

impl Position {
    /// The cursor to ask from.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Looks at an event of a stream that was asked for from `asked`.
    pub(crate) fn look(&self, asked: u64, log_id: &str) -> Arrival {
        let known = self.log_id.is_empty() || self.log_id == log_id;
        if known || asked == 0 { Arrival::News } else { Arrival::Restarted }
    }

    /// The event was handled.
    pub(crate) fn advance(&mut self, log_id: &str, cursor: u64) {
        if self.log_id != log_id {
            log_id.clone_into(&mut self.log_id);
        }
        self.cursor = cursor;
    }

    /// Begins again.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Waits before a broken watch stream is opened again. `false`: shutdown.
pub(crate) async fn pause(peer: &'static str, status: &Status, backoff: &mut Backoff, shutdown: &Shutdown) -> bool {
    metrics::watch_restart(peer);
    let tries = backoff.tries();
    if tries == 0 && is_announced(status) {
        let message = status.message();
        tracing::info!(
            peer,
            message,
            "the watch stream was ended by the peer; it is opened again until the peer answers"
        );
    } else if tries.is_multiple_of(TRIES_PER_WARNING) {
        tracing::warn!(peer, %status, tries, "the watch stream broke; it is opened again until the peer answers");
    } else {
        tracing::debug!(peer, %status, tries, "the watch stream is still broken");
    }
    let wait = backoff.next(service::random::u64());
    tokio::select! {
        () = shutdown.wait() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

/// Whether the peer itself said that it goes, as it does before a planned end; a broken connection has a source.
fn is_announced(status: &Status) -> bool {
    status.code() == Code::Unavailable && std::error::Error::source(status).is_none()
}

/// The waiting times of [`pause`].
pub(crate) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_the_peer_announces_is_told_from_a_broken_connection() {
        let announced = Status::unavailable("shutting down: watch again in a moment");
        let mut broken = Status::unavailable("tcp connect error");
        broken.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        assert!(is_announced(&announced) && !is_announced(&broken) && !is_announced(&Status::unknown("")));
    }

    #[test]
    fn a_peer_that_started_afresh_is_read_from_the_beginning() {
        let mut position = Position::default();
        assert_eq!(position.look(0, "a"), Arrival::News);
        position.advance("a", 7);
        assert_eq!((position.cursor(), position.look(7, "a")), (7, Arrival::News));
        assert_eq!(position.look(7, "b"), Arrival::Restarted);
        position.reset();
        assert_eq!((position.cursor(), position.look(0, "b")), (0, Arrival::News));
    }
}
