//! The shop: what is sold, and buying it with a currency of the game.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::inventory::{ItemBody, item_body};
use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::catalog::offer::{NotSold, Tender};
use crate::core::catalog::{Offer, Part, Period};
use crate::core::live::rule::{Act, Fact, Facts};
use crate::extract::Body;
use crate::idempotency::{Answer, IdempotencyKey, Keyed};
use crate::problem::{Problem, UsualProblems};
use crate::rules::facts;
use crate::store::economy::{Purchase, Purchased, Receipt};

/// Most of one offer that are bought at once.
pub(super) const QUANTITY_MAX: u64 = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(offers)).routes(routes!(purchase)).routes(routes!(set_region))
}

/// What is sold now.
#[derive(Debug, Serialize, ToSchema)]
struct OffersBody {
    /// The region by which prices are chosen; null: none was set.
    region: Option<String>,
    offers: Vec<OfferBody>,
}

/// Something that is sold.
#[derive(Debug, Serialize, ToSchema)]
struct OfferBody {
    offer: String,
    name: String,
    gives: Vec<PartBody>,
    /// Any one of them is the price.
    prices: Vec<PriceBody>,
    per_player: Option<LimitBody>,
    /// How many there are for all players together; null: no end.
    stock: Option<u64>,
    /// Unix milliseconds; null: it stays.
    until_ms: Option<u64>,
}

/// Money of the game or items.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PartBody {
    /// Money of the game.
    Currency { currency: String, amount: u64 },
    /// Items.
    Item { item: String, quantity: u64 },
}

/// A price: in a currency of the game, or in money of the world.
#[derive(Debug, Serialize, ToSchema)]
struct PriceBody {
    currency: Option<String>,
    /// ISO 4217, in small letters.
    money: Option<String>,
    /// Minor units.
    amount: u64,
}

/// How often a player may have it.
#[derive(Debug, Serialize, ToSchema)]
struct LimitBody {
    count: u64,
    /// "day", "week" or "ever".
    #[schema(value_type = String)]
    period: Period,
}

/// What to buy.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PurchaseBody {
    offer: String,
    /// 1 to 100, by default 1.
    quantity: Option<u64>,
    /// Paid with what, where there is a choice.
    currency: Option<String>,
}

/// What was bought.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptBody {
    #[schema(value_type = Uuid)]
    purchase_id: uuid::Uuid,
    offer: String,
    quantity: u64,
    currency: String,
    paid: u64,
    /// Money of the game that it gave.
    currencies: Vec<PartBody>,
    /// Items that it gave; of a stack, what was added to it.
    items: Vec<ItemBody>,
}

/// Where the player buys.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegionBody {
    /// Two capital letters (ISO 3166).
    region: String,
}

pub(super) fn part_body(part: &Part) -> PartBody {
    match part.clone() {
        Part::Currency { currency, amount } => PartBody::Currency { currency, amount },
        Part::Item { item, quantity } => PartBody::Item { item, quantity },
    }
}

/// Offers that are sold now, with the prices of the player's region
#[utoipa::path(get, path = "/v1/store/offers", operation_id = "list_offers", tag = "economy", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = OffersBody)))]
async fn offers(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let region = app.store.shop_region(caller.player_id).await?;
    let sold = app.store.catalog().sold(service::clock::unix_ms());
    let offers = sold.map(|(id, offer, until_ms)| offer_body(id, offer, until_ms, region.as_deref())).collect();
    Ok(private(Json(OffersBody { region, offers })))
}

fn offer_body(id: &str, offer: &Offer, until_ms: u64, region: Option<&str>) -> OfferBody {
    let mut tenders: Vec<&Tender> = offer.prices.iter().map(|price| &price.tender).collect();
    tenders.sort_unstable();
    tenders.dedup();
    let prices = tenders.into_iter().filter_map(|tender| {
        let amount = offer.price(region, Some(tender)).ok()?.amount;
        Some(match tender.clone() {
            Tender::Currency(currency) => PriceBody { currency: Some(currency), money: None, amount },
            Tender::Money(money) => PriceBody { currency: None, money: Some(money), amount },
        })
    });
    OfferBody {
        offer: id.to_owned(),
        name: offer.name.clone(),
        gives: offer.gives.iter().map(part_body).collect(),
        prices: prices.collect(),
        per_player: offer.per_player.map(|limit| LimitBody { count: limit.count, period: limit.period }),
        stock: offer.stock,
        until_ms: (until_ms != u64::MAX).then_some(until_ms),
    }
}

/// Buy an offer with a currency of the game
///
/// Once per Idempotency-Key; sent again it is answered as it was.
#[utoipa::path(post, path = "/v1/store/purchases", tag = "economy", security(("access_token" = [])), request_body = PurchaseBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each purchase; the same when it is sent again")),
    responses(UsualProblems, (status = 201, body = ReceiptBody)))]
async fn purchase(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<PurchaseBody>,
) -> Result<Response, Problem> {
    buy(&app, caller.player_id, key, body).await
}

/// Buys an offer, once per key.
pub(super) async fn buy(app: &App, player: PlayerId, key: String, body: PurchaseBody) -> Result<Response, Problem> {
    let quantity = body.quantity.unwrap_or(1);
    if !(1..=QUANTITY_MAX).contains(&quantity) {
        return Err(Problem::invalid("invalid-quantity", format!("a quantity is 1 to {QUANTITY_MAX}")));
    }
    let now_ms = service::clock::unix_ms();
    let keyed = Keyed::economic(player, key, "POST /v1/store/purchases", &body, now_ms, purchased);
    let asked = (Act::Purchase, purchase_facts(&body.offer, quantity, body.currency.as_deref(), false));
    let purchase = Purchase { player, offer: body.offer, quantity, currency: body.currency };
    app.once_permitted(asked, keyed, |keyed| app.store.purchase(keyed, purchase)).await
}

/// What rules are told of a purchase.
pub(super) fn purchase_facts(offer: &str, quantity: u64, currency: Option<&str>, for_money: bool) -> Facts {
    facts([
        ("offer", Some(offer.into())),
        ("quantity", Some(quantity.into())),
        ("currency", currency.map(Fact::from)),
        ("for_money", Some(Fact::Flag(for_money))),
    ])
}

fn purchased(outcome: &Purchased) -> Answer {
    match outcome {
        Purchased::Bought(receipt) => Answer::json(201, &receipt_body(receipt)),
        other => not_bought(other).into_answer(),
    }
}

/// Why something was not bought.
pub(super) fn not_bought(outcome: &Purchased) -> Problem {
    match outcome {
        Purchased::NotSold(why @ NotSold::Unknown) => Problem::not_found("unknown-offer", why.to_string()),
        Purchased::NotSold(why) => Problem::conflict("not-sold", why.to_string()),
        Purchased::TooPoor { currency, balance, price } => {
            let detail = format!("it costs {price} {currency} and you have {balance}");
            let problem =
                Problem::new(axum::http::StatusCode::PAYMENT_REQUIRED, "too-poor", "Not enough money", detail);
            problem.with("currency", currency.as_str()).with("balance", *balance).with("price", *price)
        }
        Purchased::Limit { left } => {
            Problem::conflict("limit-reached", format!("you can have {left} more of this offer in this period"))
                .with("left", *left)
        }
        Purchased::SoldOut { left } => {
            Problem::conflict("sold-out", format!("there are {left} left of this offer")).with("left", *left)
        }
        Purchased::Full(fault) => Problem::conflict("wallet-full", fault.to_string()),
        Purchased::Bought(_) => Problem::internal(),
    }
}

fn receipt_body(receipt: &Receipt) -> ReceiptBody {
    let currency =
        |(currency, amount): &(String, u64)| PartBody::Currency { currency: currency.clone(), amount: *amount };
    ReceiptBody {
        purchase_id: uuid::Uuid::from_bytes(receipt.purchase_id),
        offer: receipt.offer.clone(),
        quantity: receipt.quantity,
        currency: receipt.currency.clone(),
        paid: receipt.paid,
        currencies: receipt.currencies.iter().map(currency).collect(),
        items: receipt.items.iter().map(item_body).collect(),
    }
}

/// Say where you buy, for regional prices
///
/// It stays for 90 days: 409 while another region is set.
#[utoipa::path(put, path = "/v1/store/region", tag = "economy", security(("access_token" = [])), request_body = RegionBody,
    responses(UsualProblems, (status = 200, body = RegionBody)))]
async fn set_region(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<RegionBody>,
) -> Result<impl IntoResponse, Problem> {
    if body.region.len() != 2 || !body.region.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Problem::invalid("invalid-region", "a region is two capital letters, such as BR"));
    }
    let player: PlayerId = caller.player_id;
    let region = app.store.set_shop_region(player, body.region.clone(), service::clock::unix_ms()).await?;
    if region != body.region {
        let detail = format!("your region is {region}: it can be changed 90 days after it was set");
        return Err(Problem::conflict("region-set", detail).with("region", region));
    }
    Ok(private(Json(RegionBody { region })))
}
