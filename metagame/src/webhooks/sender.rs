//! One delivery over the wire, and what its answer is worth.

use axum::http::{HeaderMap, Uri, header};

use super::WebhookTiming;
use super::settings::Endpoint;
use crate::core::webhook::Verdict;
use crate::outgoing::{AddressFault, Destination, Outgoing, OutgoingError, OutgoingSettings, Request};

/// Sends deliveries; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    destination: Destination,
    timing: WebhookTiming,
}

impl Sender {
    /// A sender to these endpoints. Each has a worker with a schedule of its own, which replaces the circuit.
    pub(super) fn new(endpoints: &[Endpoint], timing: &WebhookTiming) -> Result<Self, AddressFault> {
        let outgoing = Outgoing::new(OutgoingSettings { connect: timing.connect, ..OutgoingSettings::default() });
        let destination = outgoing.destination("webhooks").plain_allowed().without_circuit().at_once(usize::MAX);
        for endpoint in endpoints {
            destination.check(&endpoint.url)?;
        }
        Ok(Self { destination, timing: *timing })
    }

    /// Posts a body with these headers, and judges the answer.
    pub(super) async fn post(&self, url: &Uri, headers: HeaderMap, body: String) -> Verdict {
        // What it says beside its status is not read: its connection is used again only if nothing follows.
        let request = Request::post(url.clone(), "application/json", body).timeout(self.timing.answer).answer_max(0);
        match self.destination.send(request.headers(headers)).await {
            Err(OutgoingError::Unreachable(reason) | OutgoingError::Unanswered(reason)) => Verdict::unanswered(reason),
            Err(error) => Verdict::unanswered(error.to_string()),
            Ok(answer) => {
                let retry_after = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                Verdict::of_answer(answer.status.as_u16(), retry_after, service::clock::unix_ms())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    async fn told(url: String) -> String {
        let (connect, answer) = (Duration::from_millis(500), Duration::from_secs(1));
        let timing = WebhookTiming { connect, answer, ..WebhookTiming::default() };
        let sender = Sender::new(&[], &timing).expect("no endpoint to refuse");
        match sender.post(&url.parse().expect("a URL"), HeaderMap::new(), "{}".into()).await {
            Verdict::Failed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn silence_and_absence_are_told_in_a_few_words() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let silence = told(url.clone()).await;
        assert!(silence.contains("none within 1s"), "{silence}");
        drop(listener);
        let absence = told(url).await;
        assert!(absence.contains("refused"), "{absence}");
    }
}
