//! Paying with money of the world: orders, where they are paid, and what Stripe tells of them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::private;
use super::shop::{QUANTITY_MAX, not_bought, purchase_facts};
use crate::app::App;
use crate::auth::Caller;
use crate::core::live::rule::Act;
use crate::core::payment::{Event, Parsed, parse, signature};
use crate::extract::{Body, Named};
use crate::idempotency::IdempotencyKey;
use crate::metrics;
use crate::problem::{Problem, UsualProblems};
use crate::store::economy::{Heard, NewOrder, Order, Ordered};
use crate::stripe::{Stripe, StripeError};

/// Largest event of Stripe's that is read, in bytes.
const EVENT_BYTES_MAX: usize = 512 * 1024;
/// Orders of a player that are listed.
const LISTED_MAX: u32 = 50;
/// A session must be open for half an hour at least, by Stripe's rule.
const SESSION_LIFE_MS_MIN: u64 = 31 * 60 * 1_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    let webhook = OpenApiRouter::new().routes(routes!(webhook)).layer(DefaultBodyLimit::max(EVENT_BYTES_MAX));
    OpenApiRouter::new().routes(routes!(checkout)).routes(routes!(orders)).routes(routes!(order)).merge(webhook)
}

/// What to buy with money of the world.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CheckoutBody {
    offer: String,
    /// 1 to 100, by default 1.
    quantity: Option<u64>,
    /// ISO 4217 in small letters, where there is a choice.
    money: Option<String>,
}

/// Where to pay.
#[derive(Debug, Serialize, ToSchema)]
struct PayBody {
    order_id: Uuid,
    /// Open it in a browser; Stripe's page.
    url: String,
    /// Unix milliseconds until which it can be paid.
    expires_at_ms: u64,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
struct OrderBody {
    order_id: Uuid,
    offer: String,
    quantity: u64,
    /// ISO 4217, in small letters.
    money: String,
    /// Minor units.
    amount: u64,
    /// "open", "pending" (the money is on its way), "paid", "partly_refunded", "refunded", "disputed", "lost", "closed" or "mismatched".
    state: &'static str,
    /// Where to pay, while it is open.
    url: Option<String>,
    /// Unix milliseconds.
    made_at_ms: u64,
    /// Unix milliseconds until which it can be paid.
    expires_at_ms: u64,
}

/// Own orders.
#[derive(Debug, Serialize, ToSchema)]
struct OrdersBody {
    orders: Vec<OrderBody>,
}

/// That an event has arrived.
#[derive(Debug, Serialize, ToSchema)]
struct ReceivedBody {
    received: bool,
}

fn order_body(order: &Order) -> OrderBody {
    let state = order.state();
    OrderBody {
        order_id: order.order_id,
        offer: order.offer.clone(),
        quantity: order.quantity,
        money: order.price.money.clone(),
        amount: order.price.amount,
        state: state.name(),
        url: order.url.clone().filter(|_| state.is_waiting()),
        made_at_ms: order.made_at_ms,
        expires_at_ms: order.expires_at_ms,
    }
}

fn stripe(app: &App) -> Result<&Stripe, Problem> {
    app.stripe.as_ref().ok_or_else(|| Problem::not_found("no-payments", "nothing is sold for money here"))
}

/// Order an offer for money of the world
///
/// The answer says where to pay. Once per Idempotency-Key, which goes on to Stripe: sent again it is the same order, paid at the same
/// place. The goods come once the money has arrived, and an `order` in the inbox says so.
#[utoipa::path(post, path = "/v1/store/checkout", tag = "economy", security(("access_token" = [])), request_body = CheckoutBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each order; the same when it is sent again")),
    responses(UsualProblems, (status = 201, body = PayBody)))]
async fn checkout(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<CheckoutBody>,
) -> Result<Response, Problem> {
    let stripe = stripe(&app)?;
    let quantity = body.quantity.unwrap_or(1);
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid("invalid-quantity", format!("a quantity is 1 to {QUANTITY_MAX}")));
    }
    let now_ms = service::clock::unix_ms();
    let request_hash = Sha256::digest(serde_json::to_vec(&body).expect("plain data")).into();
    let life_ms = u64::try_from(stripe.settings().session_life.as_millis()).unwrap_or(u64::MAX);
    let (player, offer, money) = (caller.player_id, body.offer, body.money);
    let new = NewOrder { player, key, request_hash, offer, quantity, money, now_ms, life_ms };
    if app.has_rules(Act::Purchase) && app.store.order(new.order_id()).await?.is_none() {
        let facts = purchase_facts(&new.offer, quantity, new.money.as_deref(), true);
        app.permit(Act::Purchase, Some(player), facts).await?;
    }
    let order = match app.store.make_order(new).await? {
        Ordered::Order(order) => order,
        Ordered::Refused(why) => return Err(not_bought(&why)),
        Ordered::OtherRequest => {
            let detail = "this Idempotency-Key was used for another order: use a fresh one for each";
            return Err(Problem::invalid("idempotency-key-reused", detail));
        }
        Ordered::TooMany => {
            let detail = "so many of your orders wait for money already: pay one, or wait until it is over";
            return Err(Problem::conflict("too-many-orders", detail));
        }
    };
    if let Some(url) = order.url.clone() {
        let mut response = pay(&order, url);
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        return Ok(response);
    }
    if order.expires_at_ms < now_ms + SESSION_LIFE_MS_MIN {
        return Err(Problem::gone("order-over", "this order was never paid and is over: order again with a fresh key"));
    }
    let name =
        app.store.catalog().offers.get(&order.offer).map_or(order.offer.as_str(), |offer| &offer.name).to_owned();
    match stripe.make_session(&order, &name).await {
        Ok(session) => {
            app.store.note_session(order.order_id, session.id, session.url.clone()).await?;
            Ok(pay(&order, session.url))
        }
        Err(error) => Err(no_session(&app, &order, error).await?),
    }
}

fn pay(order: &Order, url: String) -> Response {
    let body = PayBody { order_id: order.order_id, url, expires_at_ms: order.expires_at_ms };
    private((StatusCode::CREATED, Json(body))).into_response()
}

/// What a player is told whose order Stripe has not taken; the order stays, and the same key tries again.
async fn no_session(app: &App, order: &Order, error: StripeError) -> Result<Problem, Problem> {
    tracing::warn!(order = %order.order_id, %error, "Stripe has made no session");
    metrics::payment_session(match &error {
        StripeError::Unanswered(_) => "unanswered",
        StripeError::Later(_) => "later",
        StripeError::Failed { .. } | StripeError::Strange => "failed",
    });
    if matches!(error, StripeError::Failed { .. } | StripeError::Strange) {
        app.store.note_session_failure(order.order_id, order.failures).await?;
    }
    let detail = "the payment provider cannot be reached now: send the same request again";
    Ok(Problem::unavailable("payments-unavailable", detail, 5))
}

/// Own orders, the newest first
#[utoipa::path(get, path = "/v1/store/orders", operation_id = "list_orders", tag = "economy", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = OrdersBody)))]
async fn orders(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let orders = app.store.orders_of(caller.player_id, LISTED_MAX).await?;
    Ok(private(Json(OrdersBody { orders: orders.iter().map(order_body).collect() })))
}

/// An own order
#[utoipa::path(get, path = "/v1/store/orders/{id}", operation_id = "get_order", tag = "economy", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = OrderBody)))]
async fn order(State(app): State<App>, caller: Caller, Named(id): Named<Uuid>) -> Result<impl IntoResponse, Problem> {
    let order = app.store.order(id).await?.filter(|order| order.player == caller.player_id);
    let order = order.ok_or_else(|| Problem::not_found("unknown-order", "you have no such order"))?;
    Ok(private(Json(order_body(&order))))
}

/// What Stripe tells, signed by it
#[utoipa::path(post, path = "/v1/webhooks/stripe", operation_id = "stripe_webhook", tag = "economy",
    request_body(content = String, content_type = "application/json", description = "An event as Stripe writes it"),
    params(("Stripe-Signature" = String, Header, description = "t=…,v1=…")),
    responses(UsualProblems, (status = 200, body = ReceivedBody)))]
async fn webhook(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Json<ReceivedBody>, Problem> {
    let settings = stripe(&app)?.settings();
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    signature::verify(header, &body, &settings.secrets, service::clock::unix_s()).map_err(|fault| {
        metrics::payment_event("unsigned");
        Problem::new(StatusCode::BAD_REQUEST, "invalid-signature", "Invalid signature", fault.to_string())
    })?;
    let event = match parse(&body) {
        Ok(Parsed::Event(event)) => event,
        Ok(Parsed::Other { kind }) => {
            tracing::debug!(kind, "an event of Stripe's that says nothing about payments");
            metrics::payment_event("other");
            return Ok(Json(ReceivedBody { received: true }));
        }
        Err(fault) => {
            metrics::payment_event("unreadable");
            tracing::error!(%fault, "a signed event of Stripe's cannot be read");
            return Err(Problem::invalid("invalid-event", fault.to_string()));
        }
    };
    if event.is_live != settings.is_live {
        metrics::payment_event("other_mode");
        tracing::warn!(
            event = event.id,
            live = event.is_live,
            "an event of the other mode is left alone: look at the keys"
        );
        return Ok(Json(ReceivedBody { received: true }));
    }
    hear(&app, event).await
}

/// Everything that follows from an event has happened before it is acknowledged; otherwise Stripe sends it again.
async fn hear(app: &App, event: Event) -> Result<Json<ReceivedBody>, Problem> {
    let (id, kind) = (event.id.clone(), event.kind.clone());
    let heard = app.store.hear_payment(event, service::clock::unix_ms()).await;
    let heard = heard.inspect_err(|_| metrics::payment_event("failed"))?;
    metrics::payment_event(match heard {
        Heard::Done(_) => "done",
        Heard::Known => "known",
        Heard::Before => "before",
        Heard::Waits => "waits",
    });
    tracing::info!(event = id, kind, ?heard, "heard of a payment");
    Ok(Json(ReceivedBody { received: true }))
}
