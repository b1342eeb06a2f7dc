//! What the provider says: the few of Stripe's events that matter, read leniently, and nothing personal of them kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The name in the provider's metadata under which an order is found again.
pub const METADATA: &str = "muster_order";
/// The sorts that are listened to, as the provider names them.
pub const KINDS: [&str; 13] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "charge.refund.updated",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
];
/// Longest id of the provider's that is taken.
const ID_BYTES_MAX: usize = 255;

/// Where a dispute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// The bank only asks: nothing was withdrawn.
    Inquiry,
    /// The bank has withdrawn the money, and it is not decided.
    Open,
    /// The money stays withdrawn.
    Lost,
    /// The money came back.
    Won,
}

/// What an event says of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// The money has arrived.
    Paid {
        /// What the goods cost, without taxes and discounts; minor units.
        subtotal: u64,
        /// What was paid; minor units.
        total: u64,
        /// ISO 4217, in small letters.
        money: String,
    },
    /// The player has done its part, and the money is on its way.
    Pending,
    /// Nothing will be paid.
    Closed,
    /// So much has been paid back, all refunds together; minor units.
    Refunded {
        /// How much.
        amount: u64,
    },
    /// A refund did not arrive: the money is here again.
    RefundFailed {
        /// Which.
        refund: String,
        /// How much; minor units.
        amount: u64,
    },
    /// A bank wants money back.
    Dispute {
        /// Which.
        dispute: String,
        /// How much; minor units.
        amount: u64,
        /// Where it stands.
        stand: Stand,
    },
}

/// An event that concerns a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The provider's id: the same event comes more than once.
    pub id: String,
    /// The provider's name of its sort.
    pub kind: String,
    /// When it happened, Unix seconds.
    pub at_s: u64,
    /// Whether it is about real money.
    pub is_live: bool,
    /// Which order, where it says so.
    pub order: Option<Uuid>,
    /// The payment that it is about, by the provider's id: refunds and disputes say nothing else.
    pub intent: Option<String>,
    /// What it says.
    pub news: News,
}

/// A body that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// It concerns payments.
    Event(Event),
    /// It does not; nothing follows from it.
    Other {
        /// The provider's name of its sort.
        kind: String,
    },
}

/// A body that is signed and no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// Not JSON.
    #[error("the body is not JSON")]
    Json,
    /// Something is missing, or of another type.
    #[error("the event has no usable {0}")]
    Field(&'static str),
}

/// Reads an event as it was sent.
///
/// # Errors
/// [`EventFault`].
pub fn parse(body: &[u8]) -> Result<Parsed, EventFault> {
    read(&serde_json::from_slice(body).map_err(|_| EventFault::Json)?)
}

/// Reads an event.
///
/// # Errors
/// [`EventFault`].
pub fn read(whole: &Value) -> Result<Parsed, EventFault> {
    let (id, kind) = (text(whole, "id")?, text(whole, "type")?);
    let object = &whole["data"]["object"];
    let Some(news) = news(&kind, object)? else { return Ok(Parsed::Other { kind }) };
    Ok(Parsed::Event(Event {
        id,
        at_s: whole["created"].as_u64().ok_or(EventFault::Field("created"))?,
        is_live: whole["livemode"].as_bool().ok_or(EventFault::Field("livemode"))?,
        order: order_of(object),
        intent: id_of(&object["payment_intent"]),
        news,
        kind,
    }))
}

/// What a checkout session says when the provider is asked for it: its order, its payment, and the news, `None` where there is
/// none yet.
pub type SessionNews = (Option<Uuid>, Option<String>, Option<News>);

/// What a checkout session says, as the provider shows it when it is asked.
///
/// # Errors
/// [`EventFault`] where it is not a session.
pub fn session_news(session: &Value) -> Result<SessionNews, EventFault> {
    let news = match (session["payment_status"].as_str(), session["status"].as_str()) {
        (Some("paid" | "no_payment_required"), Some("complete")) => Some(paid(session)?),
        (_, Some("expired")) => Some(News::Closed),
        (_, Some("complete")) => Some(News::Pending),
        _ => None,
    };
    Ok((order_of(session), id_of(&session["payment_intent"]), news))
}

fn news(kind: &str, object: &Value) -> Result<Option<News>, EventFault> {
    Ok(match kind {
        // What it says now counts, not what the event is called: a completed session may be unpaid for days.
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            match object["payment_status"].as_str() {
                Some("paid" | "no_payment_required") => Some(paid(object)?),
                _ => Some(News::Pending),
            }
        }
        "checkout.session.expired" | "checkout.session.async_payment_failed" => Some(News::Closed),
        "charge.refunded" => Some(News::Refunded { amount: number(object, "amount_refunded")? }),
        "refund.failed" | "refund.updated" | "charge.refund.updated" => match object["status"].as_str() {
            Some("failed" | "canceled") => {
                Some(News::RefundFailed { refund: text(object, "id")?, amount: number(object, "amount")? })
            }
            _ => None,
        },
        _ if kind.starts_with("charge.dispute.") => {
            let stand = match object["status"].as_str().ok_or(EventFault::Field("status"))? {
                "won" => Stand::Won,
                "lost" => Stand::Lost,
                status if status.starts_with("warning") || status == "prevented" => Stand::Inquiry,
                // needs_response, under_review, and whatever the provider invents: the money is in doubt.
                _ => Stand::Open,
            };
            Some(News::Dispute { dispute: text(object, "id")?, amount: number(object, "amount")?, stand })
        }
        _ => None,
    })
}

fn paid(session: &Value) -> Result<News, EventFault> {
    let total = number(session, "amount_total")?;
    let subtotal = session["amount_subtotal"].as_u64().unwrap_or(total);
    Ok(News::Paid { subtotal, total, money: text(session, "currency")? })
}

fn order_of(object: &Value) -> Option<Uuid> {
    let named = object["metadata"][METADATA].as_str().or_else(|| object["client_reference_id"].as_str())?;
    named.parse().ok()
}

/// An id, or the object that was put in its place.
fn id_of(value: &Value) -> Option<String> {
    let id = value.as_str().or_else(|| value["id"].as_str())?;
    (!id.is_empty() && id.len() <= ID_BYTES_MAX).then(|| id.to_owned())
}

fn text(object: &Value, name: &'static str) -> Result<String, EventFault> {
    id_of(&object[name]).ok_or(EventFault::Field(name))
}

fn number(object: &Value, name: &'static str) -> Result<u64, EventFault> {
    object[name].as_u64().ok_or(EventFault::Field(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ORDER: &str = "6f1c0b1e-5a1f-4d3a-9c52-0d5f0a7c1e11";

    #[expect(clippy::needless_pass_by_value, reason = "tests read better without a borrow of each json!")]
    fn told(kind: &str, object: Value) -> Event {
        let body = json!({ "id": "evt_1", "type": kind, "created": 1_800_000_000, "livemode": false,
                           "data": { "object": object } });
        match parse(body.to_string().as_bytes()).expect("an event") {
            Parsed::Event(event) => event,
            Parsed::Other { kind } => panic!("{kind} says nothing"),
        }
    }

    fn session(payment_status: &str) -> Value {
        json!({ "id": "cs_1", "status": "complete", "payment_status": payment_status, "amount_subtotal": 499,
                "amount_total": 594, "currency": "eur", "payment_intent": "pi_1", "client_reference_id": ORDER,
                "metadata": { "muster_order": ORDER }, "customer_details": { "email": "ada@example.org" } })
    }

    #[test]
    fn a_completed_session_is_paid_only_if_it_says_so() {
        let event = told("checkout.session.completed", session("paid"));
        assert_eq!((event.order, event.intent.as_deref()), (ORDER.parse().ok(), Some("pi_1")));
        assert_eq!(event.news, News::Paid { subtotal: 499, total: 594, money: "eur".into() });
        assert_eq!(told("checkout.session.completed", session("unpaid")).news, News::Pending);
        assert!(matches!(told("checkout.session.async_payment_succeeded", session("paid")).news, News::Paid { .. }));
        assert_eq!(told("checkout.session.async_payment_failed", session("unpaid")).news, News::Closed);
        assert_eq!(told("checkout.session.expired", session("unpaid")).news, News::Closed);
    }

    #[test]
    fn a_session_that_was_asked_for_says_the_same() {
        let asked = |status: &str, payment_status: &str| {
            let mut session = session(payment_status);
            session["status"] = status.into();
            session_news(&session).expect("a session").2
        };
        assert!(matches!(asked("complete", "paid"), Some(News::Paid { .. })));
        assert_eq!(asked("complete", "unpaid"), Some(News::Pending));
        assert_eq!((asked("expired", "unpaid"), asked("open", "unpaid")), (Some(News::Closed), None));
    }

    #[test]
    fn refunds_and_disputes_are_found_by_their_payment() {
        let charge = json!({ "id": "ch_1", "payment_intent": { "id": "pi_1" }, "amount": 594, "amount_refunded": 100 });
        let refunded = told("charge.refunded", charge);
        assert_eq!((refunded.intent.as_deref(), refunded.news), (Some("pi_1"), News::Refunded { amount: 100 }));
        let refund = json!({ "id": "re_1", "payment_intent": "pi_1", "amount": 100, "status": "failed" });
        let failed = News::RefundFailed { refund: "re_1".into(), amount: 100 };
        assert_eq!(told("refund.failed", refund).news, failed);
        for (status, stand) in [
            ("warning_needs_response", Stand::Inquiry),
            ("warning_closed", Stand::Inquiry),
            ("needs_response", Stand::Open),
            ("under_review", Stand::Open),
            ("something_new", Stand::Open),
            ("won", Stand::Won),
            ("lost", Stand::Lost),
        ] {
            let dispute = json!({ "id": "dp_1", "payment_intent": "pi_1", "amount": 594, "status": status });
            let due = News::Dispute { dispute: "dp_1".into(), amount: 594, stand };
            assert_eq!(told("charge.dispute.updated", dispute).news, due, "{status}");
        }
    }

    #[test]
    fn every_sort_that_is_listened_to_says_something_and_no_other_does() {
        let mut object = session("paid");
        for (name, value) in [("amount", json!(5)), ("amount_refunded", json!(5)), ("status", json!("failed"))] {
            object[name] = value;
        }
        for kind in KINDS {
            assert_eq!(told(kind, object.clone()).kind, kind);
        }
        for kind in ["charge.succeeded", "refund.created", "payment_intent.succeeded", "invoice.paid"] {
            assert_eq!(news(kind, &object), Ok(None), "{kind}");
        }
    }

    #[test]
    fn what_does_not_concern_payments_is_left_alone_and_what_is_broken_is_named() {
        let other =
            br#"{"id": "evt_1", "type": "customer.created", "created": 1, "livemode": true, "data": {"object": {}}}"#;
        assert_eq!(parse(other), Ok(Parsed::Other { kind: "customer.created".into() }));
        let pending = br#"{"id": "evt_1", "type": "refund.updated", "data": {"object": {"status": "pending"}}}"#;
        assert_eq!(parse(pending), Ok(Parsed::Other { kind: "refund.updated".into() }));
        assert_eq!(parse(b"{"), Err(EventFault::Json));
        assert_eq!(parse(b"{}"), Err(EventFault::Field("id")));
        let broken =
            br#"{"id": "evt_1", "type": "charge.refunded", "created": 1, "livemode": true, "data": {"object": {}}}"#;
        assert_eq!(parse(broken), Err(EventFault::Field("amount_refunded")));
        assert_eq!(
            parse(br#"{"id": "evt_1", "type": "charge.refunded", "data": 7}"#),
            Err(EventFault::Field("amount_refunded"))
        );
    }
}
