//! Waiting for a match: by the ticket's event stream, and by asking when there is no stream.

use std::time::Duration;

use protocol::id::TicketId;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, ApiError, Ticket};
use crate::sse::SseReader;

/// From one question to the next when there is no stream.
const POLL_EVERY: Duration = Duration::from_secs(2);
/// A stream that says nothing for so long, not even its comment every 15 s, is dead.
const STREAM_SILENT_MAX: Duration = Duration::from_secs(40);

/// How waiting for a ticket ended.
#[derive(Debug)]
pub enum Waited {
    /// The ticket is in a final state.
    Final(Ticket),
    /// The caller wanted no longer.
    Stopped,
}

impl Ticket {
    /// Whether nothing more will happen to it.
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "cancelled" | "timed_out" | "failed")
    }
}

/// Waits until the ticket is final, or `stop` is cancelled.
///
/// # Errors
/// [`ApiError`] when the ticket cannot even be asked for.
pub async fn wait(api: &mut Api, ticket_id: TicketId, stop: &CancellationToken) -> Result<Waited, ApiError> {
    let mut last_event = None;
    loop {
        let streamed = tokio::select! {
            () = stop.cancelled() => return Ok(Waited::Stopped),
            streamed = stream(api, ticket_id, &mut last_event) => streamed,
        };
        if let Some(ticket) = streamed {
            return Ok(Waited::Final(ticket));
        }
        // The stream broke, or there is none: ask, then try again.
        let ticket = api.ticket(ticket_id).await?;
        if ticket.is_final() {
            return Ok(Waited::Final(ticket));
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(Waited::Stopped),
            () = tokio::time::sleep(POLL_EVERY) => {}
        }
    }
}

/// Reads the ticket's stream up to its final state; none when it breaks before.
async fn stream(api: &mut Api, ticket_id: TicketId, last_event: &mut Option<String>) -> Option<Ticket> {
    let mut answer = api.ticket_events(ticket_id, last_event.as_deref()).await.ok()?;
    let mut reader = SseReader::default();
    loop {
        let chunk = timeout_at(Instant::now() + STREAM_SILENT_MAX, answer.chunk()).await.ok()?.ok()??;
        for event in reader.take(&chunk) {
            last_event.clone_from(&event.id);
            if let Ok(ticket) = serde_json::from_str::<Ticket>(&event.data)
                && ticket.is_final()
            {
                return Some(ticket);
            }
        }
    }
}
