//! Wallets, and what operators put into them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use protocol::id::{MatchId, PlayerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::players::bad_cursor;
use super::private;
use crate::admin::operator::{Operator, order_of, seal_note};
use crate::app::App;
use crate::auth::Caller;
use crate::core::ledger::System;
use crate::core::page::{WalletCursor, limit};
use crate::extract::{Body, Query};
use crate::idempotency::{Answer, IdempotencyKey, Keyed};
use crate::problem::{Problem, UsualProblems};
use crate::store::Order;
use crate::store::economy::{Grant, GrantLine, Granted, WalletEntry};
use crate::tickets::unknown_player;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(wallet)).routes(routes!(entries))
}

/// What a player has.
#[derive(Debug, Serialize, ToSchema)]
struct WalletBody {
    /// One for each currency of the game, and for those that there were.
    balances: Vec<BalanceBody>,
}

/// What a player has of a currency.
#[derive(Debug, Serialize, ToSchema)]
struct BalanceBody {
    currency: String,
    /// What players read.
    name: String,
    /// "soft" is earned, "hard" is bought; null for a currency that is no more.
    kind: Option<&'static str>,
    /// Whole minor units. Negative is owed, after a refund or a dispute.
    balance: i64,
}

/// Which part of a wallet's movements.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EntriesQuery {
    /// Of which currency.
    currency: String,
    /// next_cursor of the page before.
    cursor: Option<String>,
    /// 1 to 200, by default 50.
    limit: Option<u32>,
}

/// A page of movements, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct EntriesBody {
    entries: Vec<EntryBody>,
    next_cursor: Option<String>,
}

/// One movement.
#[derive(Debug, Serialize, ToSchema)]
struct EntryBody {
    /// Counts the wallet's movements, from 1.
    number: u64,
    /// Plus was received, minus was given.
    amount: i64,
    /// Afterwards.
    balance: i64,
    /// What sort of thing: "match", "purchase", "gift", "refund", …
    kind: String,
    /// Names what happened.
    cause: String,
    #[schema(value_type = Option<Uuid>)]
    match_id: Option<MatchId>,
    /// Unix milliseconds.
    at_ms: u64,
    /// SHA-256 over this movement and all before it, in hexadecimal digits.
    hash: String,
}

/// Own balances
#[utoipa::path(get, path = "/v1/players/me/wallet", tag = "economy", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = WalletBody)))]
async fn wallet(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let mut held = app.store.wallet(caller.player_id).await?;
    let catalog = app.store.catalog();
    let mut balances = Vec::new();
    for (id, currency) in &catalog.currencies {
        let at = held.iter().position(|one| one.currency == *id);
        let kind = match currency.kind {
            crate::core::catalog::CurrencyKind::Soft => "soft",
            crate::core::catalog::CurrencyKind::Hard => "hard",
        };
        let balance = at.map_or(0, |at| held.swap_remove(at).balance);
        balances.push(BalanceBody { currency: id.clone(), name: currency.name.clone(), kind: Some(kind), balance });
    }
    for one in held {
        balances.push(BalanceBody {
            name: one.currency.clone(),
            currency: one.currency,
            kind: None,
            balance: one.balance,
        });
    }
    Ok(private(Json(WalletBody { balances })))
}

/// Movements of an own wallet, newest first
#[utoipa::path(get, path = "/v1/players/me/wallet/entries", operation_id = "wallet_entries", tag = "economy", security(("access_token" = [])), params(EntriesQuery),
    responses(UsualProblems, (status = 200, body = EntriesBody)))]
async fn entries(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<EntriesQuery>,
) -> Result<impl IntoResponse, Problem> {
    let before = query.cursor.as_deref().map(WalletCursor::decode).transpose();
    let before = before.map_err(|error| bad_cursor(error.to_string()))?.map(|cursor| cursor.number);
    let limit = limit(query.limit);
    let entries = app.store.wallet_entries(caller.player_id, query.currency, before, limit).await?;
    let next_cursor = entries
        .last()
        .filter(|last| entries.len() == limit as usize && last.number > 1)
        .map(|last| WalletCursor { number: last.number }.encode());
    Ok(private(Json(EntriesBody { entries: entries.into_iter().map(entry_body).collect(), next_cursor })))
}

fn entry_body(entry: WalletEntry) -> EntryBody {
    EntryBody {
        number: entry.number,
        amount: entry.amount,
        balance: entry.balance,
        kind: entry.kind,
        cause: entry.cause,
        match_id: entry.match_id,
        at_ms: entry.at_ms,
        hash: hex::encode(entry.hash),
    }
}

/// What an operator gives, on the admin port.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorGrant {
    player_id: PlayerId,
    /// Who orders it: a name that the books keep.
    operator: String,
    /// Why; for the books.
    reason: String,
    #[serde(default)]
    currencies: Vec<CurrencyGrant>,
    #[serde(default)]
    items: Vec<ItemGrant>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CurrencyGrant {
    currency: String,
    amount: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ItemGrant {
    item: String,
    quantity: u64,
}

/// Most units and items that one order of an operator may give: a slip of a finger is not a fortune.
const OPERATOR_AMOUNT_MAX: u64 = 1_000_000;
const OPERATOR_ITEMS_MAX: u64 = 1_000;

/// Gives currency or goods to a player, once per Idempotency-Key; on the admin port.
pub(crate) async fn operator_grant(
    State(app): State<App>,
    operator: Option<Operator>,
    IdempotencyKey(key): IdempotencyKey,
    Body(order): Body<OperatorGrant>,
) -> Result<Response, Problem> {
    let now_ms = service::clock::unix_ms();
    let player = order.player_id;
    app.store.profile(player).await?.ok_or_else(unknown_player)?;
    let lines = operator_lines(&app, &order, now_ms)?;
    let keyed = Keyed::economic(player, format!("operator:{key}"), "POST /grants", &order, now_ms, granted);
    let grant = Grant {
        account: player,
        cause: format!("operator:{player}:{key}"),
        actor: format!("operator:{}", order.operator),
        from: System::Operator,
        match_id: None,
        lines,
        at_ms: now_ms,
    };
    let named = order_of(operator.as_ref());
    let note = seal_note(&app, player, &order.reason, now_ms).await?;
    let named = if operator.is_some() { named } else { Order { actor: grant.actor.clone(), ..named } };
    let by = Order { note, ..named };
    app.once(keyed, |keyed| app.store.operator_grant(keyed, grant, by)).await
}

fn operator_lines(app: &App, order: &OperatorGrant, now_ms: u64) -> Result<Vec<GrantLine>, Problem> {
    let named = |text: &str| (1..=200).contains(&text.len());
    if !named(&order.operator) || !named(&order.reason) {
        return Err(Problem::invalid("invalid-grant", "operator and reason have 1 to 200 bytes"));
    }
    let catalog = app.store.catalog();
    let mut lines = Vec::new();
    for one in &order.currencies {
        if !catalog.currencies.contains_key(&one.currency) || !(1..=OPERATOR_AMOUNT_MAX).contains(&one.amount) {
            let detail = format!("{:?} is no currency, or the amount is not 1 to {OPERATOR_AMOUNT_MAX}", one.currency);
            return Err(Problem::invalid("invalid-grant", detail));
        }
        lines.push(GrantLine::Currency { currency: one.currency.clone(), amount: one.amount });
    }
    for one in &order.items {
        let goods = catalog.goods(&one.item, one.quantity, now_ms);
        let goods = goods.filter(|goods| (1..=OPERATOR_ITEMS_MAX).contains(&goods.quantity)).ok_or_else(|| {
            let detail = format!("{:?} is no item, or the quantity is not 1 to {OPERATOR_ITEMS_MAX}", one.item);
            Problem::invalid("invalid-grant", detail)
        })?;
        lines.push(GrantLine::Goods(goods));
    }
    if lines.is_empty() {
        return Err(Problem::invalid("invalid-grant", "a grant has currencies or items"));
    }
    Ok(lines)
}

fn granted(outcome: &Granted) -> Answer {
    match outcome {
        Granted::Now | Granted::Before => Answer::json(200, &json!({ "granted": true })),
        Granted::Refused(fault) => Problem::conflict("wallet-full", fault.to_string()).into_answer(),
    }
}
