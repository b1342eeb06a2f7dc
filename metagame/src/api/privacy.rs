//! Everything about the player in one call, forgotten in another, and the receipts of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json_, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::admin::operator::order_of_player;
use crate::app::App;
use crate::auth::{Caller, require_strong};
use crate::core::receipt::{self, BEFORE_RECEIPT, SignedReceipt};
use crate::db::Value;
use crate::extract::{Body, Named};
use crate::privacy::{self, sealed_receipt};
use crate::problem::{Problem, UsualProblems};
use crate::store::privacy::held::Held;
use crate::store::privacy::{ExportCursor, ExportedRow};
use crate::store::telemetry::{PURPOSE, TelemetryRow};
use crate::store::{Order, StoreError, subject};
use crate::vault::AccountKey;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(export_own))
        .routes(routes!(erase_own))
        .routes(routes!(one_receipt))
        .routes(routes!(receipt_key))
}

/// The player means it.
#[derive(Debug, Deserialize, ToSchema)]
struct EraseBody {
    /// The player's own id.
    #[schema(value_type = Uuid)]
    confirm: PlayerId,
    /// Id of the receipt, random, made by the client: with it the receipt is found again if the answer is lost.
    #[serde(default)]
    receipt_id: Option<Uuid>,
}

/// The key that signs receipts.
#[derive(Debug, Serialize, ToSchema)]
struct ReceiptKeyBody {
    /// Ed25519: 32 bytes, base64url. Keep it: receipts are verified with it years later.
    public_key: String,
}

/// Everything that is held about the player
///
/// One JSON object with `tables`, each a list of rows as they are kept (bytes in hexadecimal digits, ids as UUIDs), and at its end
/// a signed `receipt` over all that stands before it. If it is cut off there is no receipt: ask again. With a second factor, if the
/// account has one.
#[utoipa::path(post, path = "/v1/privacy/export", operation_id = "export_player", tag = "privacy", security(("access_token" = [])),
    responses(UsualProblems,
        (status = 200, description = "The export, as a stream", content_type = "application/json")))]
async fn export_own(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    require_strong(&app, &caller).await?;
    export(&app, caller.player_id, order_of_player(caller.player_id)).await
}

/// Forget the player
///
/// At once and for good: logins, names, friends, messages, goods, progress. What was paid and traded stays as amounts under an id
/// that is nobody's. With a second factor, if the account has one. The answer is the receipt.
#[utoipa::path(post, path = "/v1/privacy/erase", operation_id = "erase_player", tag = "privacy", security(("access_token" = [])), request_body = EraseBody,
    responses(UsualProblems, (status = 200, body = SignedReceipt)))]
async fn erase_own(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<EraseBody>,
) -> Result<Json<SignedReceipt>, Problem> {
    require_strong(&app, &caller).await?;
    if body.confirm != caller.player_id {
        return Err(Problem::invalid("not-confirmed", "confirm is your own player id: this cannot be taken back"));
    }
    let receipt_id = body.receipt_id.unwrap_or_else(|| Uuid::from_bytes(service::random::bytes()));
    if app.store.receipt(receipt_id).await?.is_some() {
        return Err(Problem::conflict("receipt-in-use", "there is a receipt with this id: make a random one"));
    }
    let receipt = privacy::erase(&app, caller.player_id, receipt_id, order_of_player(caller.player_id)).await?;
    receipt.map(Json).ok_or_else(crate::tickets::unknown_player)
}

/// A receipt, for whoever has its id
#[utoipa::path(get, path = "/v1/privacy/receipts/{id}", operation_id = "get_receipt", tag = "privacy", params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = SignedReceipt)))]
async fn one_receipt(State(app): State<App>, Named(id): Named<Uuid>) -> Result<Json<SignedReceipt>, Problem> {
    let found = app.store.receipt(id).await?;
    let (body, signature) = found.ok_or_else(|| Problem::not_found("unknown-receipt", "there is no such receipt"))?;
    Ok(Json(receipt::of(body, &app.identity.vault.receipts().public_key(), &signature)))
}

/// The key that signs receipts
#[utoipa::path(get, path = "/v1/privacy/receipt-key", tag = "privacy", responses(UsualProblems, (status = 200, body = ReceiptKeyBody)))]
async fn receipt_key(State(app): State<App>) -> Json<ReceiptKeyBody> {
    use base64::Engine as _;
    let key = app.identity.vault.receipts().public_key();
    Json(ReceiptKeyBody { public_key: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key) })
}

/// The export of a player as a stream; who asked is in the log of acts before the first byte is sent.
pub(crate) async fn export(app: &App, player: PlayerId, order: Order) -> Result<Response, Problem> {
    let Ok(place) = Arc::clone(&app.privacy.exports).try_acquire_owned() else {
        return Err(Problem::unavailable("overloaded", "other exports are being written: come back soon", 10));
    };
    app.store.found_player(player).await?.ok_or_else(crate::tickets::unknown_player)?;
    let receipt_id = Uuid::from_bytes(service::random::bytes());
    let (asked_by, asked_at_ms) = (order.actor.clone(), order.at_ms);
    let detail = json!({ "receipt_id": receipt_id }).to_string();
    app.store.note_act(order, "export", subject(player), detail).await?;
    let key = app.store.account_key(&app.identity.vault, player, asked_at_ms).await?;
    let export = Export {
        app: app.clone(),
        player,
        key,
        receipt_id,
        asked_by,
        asked_at_ms,
        cursor: ExportCursor::default(),
        reports: Reports::Begin,
        table: None,
        seen: BTreeSet::new(),
        rows: Map::new(),
        hash: Sha256::new(),
        is_over: false,
        _place: place,
    };
    let chunks = futures_util::stream::try_unfold(export, Export::next);
    let name = HeaderValue::from_str(&format!("attachment; filename=\"player-{player}.json\""));
    let mut response = HttpBody::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_DISPOSITION, name.map_err(|_| Problem::internal())?);
    Ok(response)
}

/// How far the reports of the game are, which come after the tables.
enum Reports {
    Begin,
    After((u64, [u8; 16])),
    Done,
}

/// Reports of a page of an export.
const REPORTS: u32 = 500;

/// An export under way: a page of rows is read when the client has taken the one before.
struct Export {
    app: App,
    player: PlayerId,
    key: Option<AccountKey>,
    receipt_id: Uuid,
    asked_by: String,
    asked_at_ms: u64,
    cursor: ExportCursor,
    reports: Reports,
    /// Name of the list that is open, and whether it has a row.
    table: Option<(String, bool)>,
    /// Tables that there has been a list of.
    seen: BTreeSet<&'static str>,
    /// Rows by list.
    rows: Map<String, Json_>,
    /// Over all that was sent.
    hash: Sha256,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Export {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let chunk = match self.cursor.line().copied() {
            Some(held) => self.page(&held).await?,
            None if !matches!(self.reports, Reports::Done) => self.reports().await?,
            None => self.end().await?,
        };
        Ok(Some((Bytes::from(chunk), self)))
    }

    /// The rows of a page.
    async fn page(&mut self, held: &Held) -> Result<String, StoreError> {
        let is_begun = self.table.is_some();
        let mut text = String::new();
        if self.rows.is_empty() && !is_begun {
            let begin =
                json!({ "player_id": self.player, "receipt_id": self.receipt_id, "asked_at_ms": self.asked_at_ms });
            text.push_str(&format!("{{\"format\":\"muster-export-1\",\"about\":{begin},\"tables\":{{"));
        }
        let page = self.app.store.export_page(self.player, &mut self.cursor).await?;
        if held.is_shown && !is_begun {
            let name = if self.seen.insert(held.table) {
                held.table.to_owned()
            } else {
                format!("{}.{}", held.table, held.column)
            };
            let comma = if self.rows.is_empty() { "" } else { "," };
            text.push_str(&format!("{comma}\n{}:[", json!(name)));
            self.rows.insert(name.clone(), 0.into());
            self.table = Some((name, false));
        }
        for row in page {
            let Some((name, has_rows)) = &mut self.table else { break };
            text.push_str(if *has_rows { ",\n" } else { "\n" });
            *has_rows = true;
            if let Some(count) = self.rows.get_mut(name) {
                *count = (count.as_u64().unwrap_or(0) + 1).into();
            }
            text.push_str(&shown(held, row, self.key.as_ref()).to_string());
        }
        let stays = self.cursor.line().is_some_and(|next| std::ptr::eq(next.first, held.first)) && held.is_shown;
        if !stays && self.table.take().is_some() {
            text.push(']');
        }
        self.hash.update(&text);
        Ok(text)
    }

    /// A page of reports of the game: they are found by the account's key.
    async fn reports(&mut self) -> Result<String, StoreError> {
        let (mut text, after) = match self.reports {
            Reports::After(after) => (String::new(), Some(after)),
            Reports::Begin | Reports::Done => (",\n\"telemetry\":[".to_owned(), None),
        };
        let page = match &self.key {
            Some(key) => self.app.telemetry.log.page(key.pseudonym(PURPOSE), after, REPORTS).await?,
            None => Vec::new(),
        };
        for (number, row) in page.iter().enumerate() {
            text.push_str(if number > 0 || after.is_some() { ",\n" } else { "\n" });
            text.push_str(&report(row, self.key.as_ref()).to_string());
        }
        let before = self.rows.get("telemetry").and_then(Json_::as_u64).unwrap_or(0);
        self.rows.insert("telemetry".to_owned(), (before + page.len() as u64).into());
        // A page ends with its day, where days are files: only an empty one is the last.
        self.reports = page.last().map_or(Reports::Done, |row| Reports::After((row.day, row.event_id)));
        if page.is_empty() {
            text.push(']');
        }
        self.hash.update(&text);
        Ok(text)
    }

    /// The receipt.
    async fn end(&mut self) -> Result<String, StoreError> {
        self.is_over = true;
        let tables = "\n}";
        self.hash.update(tables);
        let now_ms = service::clock::unix_ms();
        let body = json!({
            "kind": "export",
            "receipt_id": self.receipt_id,
            "player_id": self.player,
            "asked_by": self.asked_by,
            "asked_at_ms": self.asked_at_ms,
            "done_at_ms": now_ms,
            "rows": self.rows,
            "sha256": hex::encode(self.hash.clone().finalize()),
        });
        let signed = receipt::sign(&self.app.identity.vault.receipts(), body.to_string());
        let kept = sealed_receipt(self.receipt_id, self.player, "export", &signed, now_ms);
        self.app.store.keep_receipt(kept).await?;
        let signed = serde_json::to_string(&signed).map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(format!("{tables}{BEFORE_RECEIPT}{signed}}}\n"))
    }
}

/// A row as its player sees it.
fn shown(held: &Held, row: ExportedRow, key: Option<&AccountKey>) -> Json_ {
    let mut object = Map::new();
    for (column, value) in row {
        let opened = held.sealed.iter().find(|(sealed, _)| *sealed == column).map(|(_, purpose)| *purpose);
        let shown = match (&value, opened) {
            (Value::Blob(Some(sealed)), Some(purpose)) => {
                let opened = key.and_then(|key| key.open(purpose, sealed).ok());
                opened.map_or(Json_::Null, |bytes| String::from_utf8_lossy(&bytes).into_owned().into())
            }
            _ if held.hidden.contains(&column.as_str()) => {
                if is_null(&value) {
                    Json_::Null
                } else {
                    "(kept, not shown)".into()
                }
            }
            _ => plain(value),
        };
        object.insert(column, shown);
    }
    Json_::Object(object)
}

/// A report of the game as its player sees it.
fn report(row: &TelemetryRow, key: Option<&AccountKey>) -> Json_ {
    let json = |bytes: &[u8]| serde_json::from_slice::<Json_>(bytes).unwrap_or(Json_::Null);
    let opened = key.and_then(|key| key.open(PURPOSE, &row.sealed).ok());
    json!({
        "event_id": Uuid::from_bytes(row.event_id), "name": row.name, "version": row.version, "at_ms": row.at_ms,
        "received_at_ms": row.received_at_ms, "source": row.source, "body": json(row.body.as_bytes()),
        "texts": opened.map_or(Json_::Null, |text| json(&text)),
    })
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Int(None) | Value::Real(None) | Value::Text(None) | Value::Blob(None))
}

fn plain(value: Value) -> Json_ {
    match value {
        Value::Int(value) => json!(value),
        Value::Real(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::Blob(Some(bytes)) => match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(id) => json!(Uuid::from_bytes(id)),
            Err(_) => hex::encode(bytes).into(),
        },
        _ => Json_::Null,
    }
}
