//! Inventories, and what players do with what is in them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::players::{PageQuery, bad_cursor};
use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::inventory::{Item, ItemId};
use crate::core::ledger::LedgerFault;
use crate::core::live::rule;
use crate::core::page::{ItemCursor, limit};
use crate::extract::{Body, Query};
use crate::idempotency::{Answer, IdempotencyKey, Keyed};
use crate::problem::{Problem, UsualProblems};
use crate::rules::facts;
use crate::store::inventory::{Act, Acted};

/// Most items that one recipe's request may name.
const CHOSEN_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(inventory))
        .routes(routes!(consume))
        .routes(routes!(craft))
        .routes(routes!(disenchant))
        .routes(routes!(gift))
}

/// A page of an inventory, in the order of ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InventoryBody {
    items: Vec<ItemBody>,
    next_cursor: Option<String>,
}

/// A stack, or one item of its kind.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemBody {
    #[schema(value_type = Uuid)]
    item_id: ItemId,
    /// What it is: an id of the catalog.
    item: String,
    /// Version of the definition that it was made by.
    version: u32,
    quantity: u64,
    /// Unix milliseconds.
    acquired_at_ms: u64,
    /// Unix milliseconds; null: never.
    expires_at_ms: Option<u64>,
}

pub(super) fn item_body(item: &Item) -> ItemBody {
    ItemBody {
        item_id: item.item_id,
        item: item.definition.clone(),
        version: item.version,
        quantity: item.quantity,
        acquired_at_ms: item.acquired_at_ms,
        expires_at_ms: item.expires_at_ms,
    }
}

/// Some of an item.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SomeBody {
    #[schema(value_type = Uuid)]
    item_id: ItemId,
    /// From 1; by default 1.
    quantity: Option<u64>,
}

/// What to make.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CraftBody {
    recipe: String,
    /// Which items it shall take, of those that do not stack or that expire.
    #[serde(default)]
    #[schema(value_type = Vec<Uuid>)]
    items: Vec<ItemId>,
}

/// What to give, and to whom.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GiftBody {
    #[schema(value_type = Uuid)]
    to: PlayerId,
    #[schema(value_type = Uuid)]
    item_id: ItemId,
    /// From 1; by default 1.
    quantity: Option<u64>,
}

/// What an act has changed.
#[derive(Debug, Serialize, ToSchema)]
struct ActedBody {
    /// What the player has no more.
    taken: Vec<ItemBody>,
    /// What there is instead; of a gift, what the other player got.
    given: Vec<ItemBody>,
    /// Money of the game that came or went.
    currencies: Vec<MovedBody>,
}

/// Money that came (plus) or went (minus).
#[derive(Debug, Serialize, ToSchema)]
struct MovedBody {
    currency: String,
    amount: i64,
}

/// Own items
#[utoipa::path(get, path = "/v1/players/me/inventory", tag = "inventory", security(("access_token" = [])), params(PageQuery),
    responses(UsualProblems, (status = 200, body = InventoryBody)))]
async fn inventory(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    own_page(&app, caller.player_id, &page).await
}

/// A page of a player's inventory.
pub(super) async fn own_page(
    app: &App,
    player: PlayerId,
    page: &PageQuery,
) -> Result<impl IntoResponse + use<>, Problem> {
    let after = page.cursor.as_deref().map(ItemCursor::decode).transpose();
    let after = after.map_err(|error| bad_cursor(error.to_string()))?.map(|cursor| cursor.item_id);
    let limit = limit(page.limit);
    let items = app.store.inventory(player, after, limit, service::clock::unix_ms()).await?;
    let last = items.last().filter(|_| items.len() == limit as usize);
    let next_cursor = last.map(|item| ItemCursor { item_id: item.item_id }.encode());
    Ok(private(Json(InventoryBody { items: items.iter().map(item_body).collect(), next_cursor })))
}

/// Use items up
#[utoipa::path(post, path = "/v1/inventory/consume", operation_id = "consume_item", tag = "inventory", security(("access_token" = [])), request_body = SomeBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = ActedBody)))]
async fn consume(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<SomeBody>,
) -> Result<Response, Problem> {
    let act = Act::Consume { item_id: body.item_id, quantity: quantity(body.quantity)? };
    act_once(&app, caller, key, "POST /v1/inventory/consume", &body, act).await
}

/// Make something by a recipe
#[utoipa::path(post, path = "/v1/inventory/craft", operation_id = "craft_item", tag = "inventory", security(("access_token" = [])), request_body = CraftBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = ActedBody)))]
async fn craft(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<CraftBody>,
) -> Result<Response, Problem> {
    if body.items.len() > CHOSEN_MAX {
        return Err(Problem::invalid("invalid-quantity", format!("at most {CHOSEN_MAX} items can be named")));
    }
    let act = Act::Craft { recipe: body.recipe.clone(), items: body.items.clone() };
    act_once(&app, caller, key, "POST /v1/inventory/craft", &body, act).await
}

/// Take items apart
#[utoipa::path(post, path = "/v1/inventory/disenchant", operation_id = "disenchant_item", tag = "inventory", security(("access_token" = [])), request_body = SomeBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = ActedBody)))]
async fn disenchant(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<SomeBody>,
) -> Result<Response, Problem> {
    let act = Act::Disenchant { item_id: body.item_id, quantity: quantity(body.quantity)? };
    act_once(&app, caller, key, "POST /v1/inventory/disenchant", &body, act).await
}

/// Give items to another player
#[utoipa::path(post, path = "/v1/inventory/gift", operation_id = "gift_item", tag = "inventory", security(("access_token" = [])), request_body = GiftBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each act; the same when it is sent again")),
    responses(UsualProblems, (status = 200, body = ActedBody)))]
async fn gift(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<GiftBody>,
) -> Result<Response, Problem> {
    let quantity = quantity(body.quantity)?;
    let act = Act::Gift { item_id: body.item_id, quantity, to: body.to };
    let now_ms = service::clock::unix_ms();
    let keyed = Keyed::economic(caller.player_id, key, "POST /v1/inventory/gift", &body, now_ms, acted);
    let asked = (rule::Act::Gift, facts([("quantity", Some(quantity.into()))]));
    app.once_permitted(asked, keyed, |keyed| app.store.act(keyed, act)).await
}

fn quantity(asked: Option<u64>) -> Result<u64, Problem> {
    let quantity = asked.unwrap_or(1);
    let good = (1..=1_000_000).contains(&quantity);
    good.then_some(quantity).ok_or_else(|| Problem::invalid("invalid-quantity", "a quantity is 1 to 1000000"))
}

async fn act_once(
    app: &App,
    caller: Caller,
    key: String,
    route: &str,
    body: &impl Serialize,
    act: Act,
) -> Result<Response, Problem> {
    let keyed = Keyed::economic(caller.player_id, key, route, body, service::clock::unix_ms(), acted);
    app.once(keyed, |keyed| app.store.act(keyed, act)).await
}

fn acted(outcome: &Acted) -> Answer {
    let problem = match outcome {
        Acted::Done { taken, given, currencies } => {
            let moved = |(currency, amount): &(String, i64)| MovedBody { currency: currency.clone(), amount: *amount };
            let body = ActedBody {
                taken: taken.iter().map(item_body).collect(),
                given: given.iter().map(item_body).collect(),
                currencies: currencies.iter().map(moved).collect(),
            };
            return Answer::json(200, &body);
        }
        Acted::Missing(missing) => {
            let detail = format!("you have {} of item {}", missing.have, missing.item_id);
            Problem::conflict("too-few-items", detail).with("have", missing.have)
        }
        Acted::NotPossible(why) => Problem::conflict("not-possible", *why),
        Acted::NoRecipe => Problem::not_found("unknown-recipe", "there is no recipe of this name"),
        Acted::NoPlayer => Problem::not_found("unknown-player", "there is no such player"),
        Acted::Money(LedgerFault::Insufficient { currency, balance, amount, .. }) => {
            let detail = format!("it costs {amount} {currency} and you have {balance}");
            Problem::new(axum::http::StatusCode::PAYMENT_REQUIRED, "too-poor", "Not enough money", detail)
        }
        Acted::Money(fault) => Problem::conflict("wallet-full", fault.to_string()),
    };
    problem.into_answer()
}
