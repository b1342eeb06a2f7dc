//! Stripe, who takes money of the world: sessions in which players pay, and the question what became of them.
//!
//! | module | |
//! |---|---|
//! | this one | the few calls |
//! | [`settings`] | keys and addresses, as an operator writes them down |
//! | `reconcile` | asks about orders of which nothing was heard |
//! | `catch_up` | reads the list of events for those that no webhook told of |
//! | `health` | counts orders that somebody should look at |
//!
//! Its webhooks come in at `api/checkout.rs`; what they mean is decided by [`crate::core::payment`].

pub(crate) mod catch_up;
pub(crate) mod health;
pub(crate) mod reconcile;
pub(crate) mod settings;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use serde_json::Value;

use crate::core::payment::event::{KINDS, METADATA};
use crate::outgoing::{Answer, Destination, Outgoing, OutgoingError, Request};
use crate::store::economy::Order;
use settings::StripeSettings;

/// The version of the interface that this was written for; without it Stripe answers by the account's, which somebody may change.
const VERSION: &str = "2024-06-20";
/// Longest that a call may take: Stripe itself asks a bank now and then.
const PATIENCE: Duration = Duration::from_secs(8);

/// Events of one page of their list.
const PAGE: usize = 50;
/// Longest page in bytes: an event has some kilobytes.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why Stripe has not done it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StripeError {
    /// No answer. It may have done it: the same call again finds out.
    #[error("no answer: {0}")]
    Unanswered(#[from] OutgoingError),
    /// It asks for a moment, or the same call is under way.
    #[error("it asks to come back later (status {0})")]
    Later(u16),
    /// It refuses, or has failed; it would repeat that to the same call.
    #[error("status {status}, {kind}")]
    Failed {
        /// Of the answer.
        status: u16,
        /// Its own names of the error: type and code.
        kind: String,
    },
    /// It has answered something else than was asked for.
    #[error("the answer is not what was asked for")]
    Strange,
}

/// Where a player pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) url: String,
}

/// A page of the list of events, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    pub(crate) events: Vec<Value>,
    pub(crate) has_more: bool,
}

/// The way to Stripe; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stripe {
    settings: Arc<StripeSettings>,
    destination: Destination,
}

impl Stripe {
    pub(crate) fn new(settings: StripeSettings, outgoing: &Outgoing) -> Self {
        // An operator has chosen another address than Stripe's own: a fake, or a proxy.
        let destination = outgoing.destination("stripe").plain_allowed();
        Self { settings: Arc::new(settings), destination }
    }

    pub(crate) fn settings(&self) -> &StripeSettings {
        &self.settings
    }

    /// Makes the session of an order, or finds the one that was made: for Stripe, too, an order is one key. `name` is what the player
    /// reads. Nothing about the player goes there but the order's id.
    pub(crate) async fn make_session(&self, order: &Order, name: &str) -> Result<Session, StripeError> {
        let id = order.order_id.to_string();
        let expires = (order.expires_at_ms / 1_000).to_string();
        let (quantity, each) = (order.quantity.to_string(), (order.price.amount / order.quantity.max(1)).to_string());
        let [success, cancel] =
            [&self.settings.success_url, &self.settings.cancel_url].map(|url| url.replace(settings::ORDER, &id));
        let (order_metadata, payment_metadata) =
            (format!("metadata[{METADATA}]"), format!("payment_intent_data[metadata][{METADATA}]"));
        let fields = [
            ("mode", "payment"),
            ("client_reference_id", id.as_str()),
            (order_metadata.as_str(), id.as_str()),
            // Refunds are told with the payment's metadata.
            (payment_metadata.as_str(), id.as_str()),
            ("line_items[0][quantity]", quantity.as_str()),
            ("line_items[0][price_data][currency]", order.price.money.as_str()),
            ("line_items[0][price_data][unit_amount]", each.as_str()),
            ("line_items[0][price_data][product_data][name]", name),
            ("success_url", success.as_str()),
            ("cancel_url", cancel.as_str()),
            ("expires_at", expires.as_str()),
        ];
        let key = HeaderValue::from_str(&format!("muster-{id}-{}", order.failures)).expect("visible ASCII");
        let request = Request::form(self.url("/v1/checkout/sessions"), &fields)
            .header(HeaderName::from_static("idempotency-key"), key);
        let session = self.call(request).await?;
        match (session["id"].as_str(), session["url"].as_str()) {
            (Some(id), Some(url)) => Ok(Session { id: id.to_owned(), url: url.to_owned() }),
            _ => Err(StripeError::Strange),
        }
    }

    /// What became of a session.
    pub(crate) async fn session(&self, id: &str) -> Result<Value, StripeError> {
        check_id(id)?;
        self.call(Request::get(self.url(&format!("/v1/checkout/sessions/{id}")))).await
    }

    /// Events of the sorts that say something about payments, of these seconds, both included; those older than the one `after`.
    pub(crate) async fn events(&self, since_s: u64, until_s: u64, after: Option<&str>) -> Result<Page, StripeError> {
        let mut path = format!("/v1/events?limit={PAGE}&created%5Bgte%5D={since_s}&created%5Blte%5D={until_s}");
        for kind in KINDS {
            path.push_str("&types%5B%5D=");
            path.push_str(kind);
        }
        if let Some(id) = after {
            check_id(id)?;
            path.push_str("&starting_after=");
            path.push_str(id);
        }
        let mut list = self.call(Request::get(self.url(&path)).answer_max(PAGE_BYTES_MAX)).await?;
        match (list["data"].take(), list["has_more"].as_bool()) {
            (Value::Array(events), Some(has_more)) => Ok(Page { events, has_more }),
            _ => Err(StripeError::Strange),
        }
    }

    fn url(&self, path: &str) -> Uri {
        let base = self.settings.address.to_string();
        format!("{}{path}", base.trim_end_matches('/')).parse().expect("an address that was checked, and a plain path")
    }

    async fn call(&self, request: Request) -> Result<Value, StripeError> {
        let version = HeaderValue::from_static(VERSION);
        let request = request
            .bearer(self.settings.key.expose())
            .header(HeaderName::from_static("stripe-version"), version)
            .timeout(PATIENCE);
        judged(&self.destination.send(request).await?)
    }
}

/// Ids of Stripe's are letters, digits and underscores; another one would lead to another address.
fn check_id(id: &str) -> Result<(), StripeError> {
    let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { Ok(()) } else { Err(StripeError::Strange) }
}

fn judged(answer: &Answer) -> Result<Value, StripeError> {
    let status = answer.status;
    if status.is_success() {
        return answer.json().map_err(|_| StripeError::Strange);
    }
    if matches!(status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS) {
        return Err(StripeError::Later(status.as_u16()));
    }
    let body: Value = answer.json().unwrap_or_default();
    let names = ["type", "code", "param"].map(|name| body["error"][name].as_str().unwrap_or("-").to_owned());
    Err(StripeError::Failed { status: status.as_u16(), kind: names.join(" ") })
}
