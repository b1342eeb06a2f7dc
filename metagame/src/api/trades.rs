//! Trades between two players.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::inventory::{ItemBody, item_body};
use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::inventory::ItemId;
use crate::core::live::rule::Act;
use crate::core::trade::{TradeState, TradeWord};
use crate::extract::{Body, Named};
use crate::idempotency::{Answer, IdempotencyKey, Keyed};
use crate::problem::{Problem, UsualProblems};
use crate::rules::facts;
use crate::store::inventory::{Held, Side, Trade, Traded};

/// Most items, and most currencies, of one side.
const PARTS_MAX: usize = 32;
/// Most of one item, and of one currency, of one side.
const AMOUNT_MAX: u64 = 1_000_000_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(offer, open))
        .routes(routes!(get))
        .routes(routes!(accept))
        .routes(routes!(confirm))
        .routes(routes!(cancel))
}

/// What a player puts in.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SideBody {
    #[serde(default)]
    items: Vec<SomeItem>,
    /// Soft currencies alone.
    #[serde(default)]
    currencies: Vec<SomeMoney>,
}

/// Some of an item.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SomeItem {
    #[schema(value_type = Uuid)]
    item_id: ItemId,
    /// From 1.
    quantity: u64,
}

/// Some of a currency.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SomeMoney {
    currency: String,
    /// From 1.
    amount: u64,
}

/// A trade with somebody.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OfferTradeBody {
    #[schema(value_type = Uuid)]
    to: PlayerId,
    gives: SideBody,
}

/// A trade.
#[derive(Debug, Serialize, ToSchema)]
struct TradeBody {
    trade_id: Uuid,
    #[schema(value_type = Uuid)]
    from: PlayerId,
    #[schema(value_type = Uuid)]
    to: PlayerId,
    /// "offered", "accepted", "settled", "cancelled" or "timed_out".
    state: &'static str,
    /// What the offering player puts in.
    gives: HeldBody,
    /// What the other puts in.
    takes: HeldBody,
    /// Unix milliseconds until which the next word is waited for.
    until_ms: u64,
}

/// A side of a trade.
#[derive(Debug, Serialize, ToSchema)]
struct HeldBody {
    items: Vec<ItemBody>,
    currencies: Vec<SomeMoney>,
}

/// Trades that wait for a word.
#[derive(Debug, Serialize, ToSchema)]
struct TradesBody {
    trades: Vec<TradeBody>,
}

fn trade_body(trade: &Trade) -> TradeBody {
    TradeBody {
        trade_id: trade.trade_id,
        from: trade.from,
        to: trade.to,
        state: trade.state.name(),
        gives: held_body(&trade.gives),
        takes: held_body(&trade.takes),
        until_ms: trade.until_ms,
    }
}

fn held_body(held: &Held) -> HeldBody {
    let money = |(currency, amount): &(String, u64)| SomeMoney { currency: currency.clone(), amount: *amount };
    HeldBody {
        items: held.items.iter().map(item_body).collect(),
        currencies: held.currencies.iter().map(money).collect(),
    }
}

fn side(body: &SideBody) -> Result<Side, Problem> {
    let counts = body.items.iter().map(|one| one.quantity).chain(body.currencies.iter().map(|one| one.amount));
    let good = |count: u64| (1..=AMOUNT_MAX).contains(&count);
    if body.items.len() > PARTS_MAX || body.currencies.len() > PARTS_MAX || !counts.into_iter().all(good) {
        let detail =
            format!("a side has at most {PARTS_MAX} items and {PARTS_MAX} currencies, of each 1 to {AMOUNT_MAX}");
        return Err(Problem::invalid("invalid-quantity", detail));
    }
    Ok(Side {
        items: body.items.iter().map(|one| (one.item_id, one.quantity)).collect(),
        currencies: body.currencies.iter().map(|one| (one.currency.clone(), one.amount)).collect(),
    })
}

/// Offer a trade
///
/// What you give is in escrow until the trade is settled or over, 15 minutes after its last word at the latest.
#[utoipa::path(post, path = "/v1/trades", operation_id = "offer_trade", tag = "inventory", security(("access_token" = [])), request_body = OfferTradeBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 201, body = TradeBody)))]
async fn offer(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<OfferTradeBody>,
) -> Result<Response, Problem> {
    let gives = side(&body.gives)?;
    if gives == Side::default() {
        return Err(Problem::invalid("invalid-quantity", "an offer gives something"));
    }
    let now_ms = service::clock::unix_ms();
    let keyed = Keyed::economic(caller.player_id, key, "POST /v1/trades", &body, now_ms, offered);
    let counts = [("items", gives.items.len()), ("currencies", gives.currencies.len())];
    let known = facts(counts.map(|(name, count)| (name, Some((count as u64).into()))));
    app.once_permitted((Act::Trade, known), keyed, |keyed| app.store.offer_trade(keyed, body.to, gives)).await
}

/// Own trades that wait for a word
#[utoipa::path(get, path = "/v1/trades", operation_id = "list_trades", tag = "inventory", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = TradesBody)))]
async fn open(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let trades = app.store.open_trades(caller.player_id).await?;
    Ok(private(Json(TradesBody { trades: trades.iter().map(trade_body).collect() })))
}

/// An own trade
#[utoipa::path(get, path = "/v1/trades/{id}", operation_id = "get_trade", tag = "inventory", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = TradeBody)))]
async fn get(State(app): State<App>, caller: Caller, Named(id): Named<Uuid>) -> Result<impl IntoResponse, Problem> {
    let trade = app.store.trade(id, caller.player_id).await?.ok_or_else(unknown_trade)?;
    Ok(private(Json(trade_body(&trade))))
}

/// Put your side into a trade that was offered to you
#[utoipa::path(post, path = "/v1/trades/{id}/accept", operation_id = "accept_trade", tag = "inventory", security(("access_token" = [])), request_body = SideBody,
    params(("id" = Uuid, Path), ("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = TradeBody)))]
async fn accept(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<Uuid>,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<SideBody>,
) -> Result<Response, Problem> {
    let takes = side(&body)?;
    say(&app, caller, id, key, TradeWord::Accept, takes).await
}

/// Let both sides of your offer cross
#[utoipa::path(post, path = "/v1/trades/{id}/confirm", operation_id = "confirm_trade", tag = "inventory", security(("access_token" = [])),
    params(("id" = Uuid, Path), ("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = TradeBody)))]
async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<Uuid>,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Response, Problem> {
    say(&app, caller, id, key, TradeWord::Confirm, Side::default()).await
}

/// Take your side back
#[utoipa::path(post, path = "/v1/trades/{id}/cancel", operation_id = "cancel_trade", tag = "inventory", security(("access_token" = [])),
    params(("id" = Uuid, Path), ("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = TradeBody)))]
async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Named(id): Named<Uuid>,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Response, Problem> {
    say(&app, caller, id, key, TradeWord::Cancel, Side::default()).await
}

async fn say(
    app: &App,
    caller: Caller,
    id: Uuid,
    key: String,
    word: TradeWord,
    takes: Side,
) -> Result<Response, Problem> {
    let what = format!("{id} {word:?} {takes:?}");
    let keyed = Keyed::economic(caller.player_id, key, "POST /v1/trades/{id}", &what, service::clock::unix_ms(), said);
    app.once(keyed, |keyed| app.store.say_to_trade(keyed, id, word, takes)).await
}

fn offered(outcome: &Traded) -> Answer {
    answer(outcome, 201)
}

fn said(outcome: &Traded) -> Answer {
    answer(outcome, 200)
}

fn answer(outcome: &Traded, status: u16) -> Answer {
    let problem = match outcome {
        Traded::Now(trade) if trade.state == TradeState::TimedOut => {
            Problem::conflict("trade-timed-out", "nobody said a word for 15 minutes: both have back what was theirs")
        }
        Traded::Now(trade) => return Answer::json(status, &trade_body(trade)),
        Traded::NoTrade => unknown_trade(),
        Traded::NoPlayer => Problem::not_found("unknown-player", "there is no such player"),
        Traded::Missing(missing) => {
            let detail = format!("you have {} of item {}", missing.have, missing.item_id);
            Problem::conflict("too-few-items", detail).with("have", missing.have)
        }
        Traded::NotPossible(why) => Problem::conflict("not-possible", *why),
        Traded::Money(fault) => {
            Problem::new(axum::http::StatusCode::PAYMENT_REQUIRED, "too-poor", "Not enough money", fault.to_string())
        }
        Traded::Fault(fault) => Problem::conflict("not-now", fault.to_string()),
    };
    problem.into_answer()
}

fn unknown_trade() -> Problem {
    Problem::not_found("unknown-trade", "you have no such trade")
}
