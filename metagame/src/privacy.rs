//! Telling a player everything, and forgetting it: what runs around the store's use cases.
//!
//! An erasure is begun, done line by line, and finished with a receipt; if anything interrupts it, the worker goes on. Requests
//! that were under way when it began may still write something, on an instance that has not heard of it yet: so the worker does
//! it all once more when every access token of the account has expired.

use std::sync::Arc;
use std::time::Duration;

use protocol::id::PlayerId;
use serde_json::json;
use service::Shutdown;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::admin::leave_queue;
use crate::app::App;
use crate::auth::ACCESS_LIFE_S;
use crate::core::receipt::{self, SignedReceipt};
use crate::core::social::party::PartyAct;
use crate::problem::Problem;
use crate::store::privacy::{Erasure, KeptReceipt, held};
use crate::store::social::PartyStep;
use crate::store::{Order, StoreError};

/// Exports at once: each reads every table.
const EXPORTS_MAX: usize = 4;
/// How often the worker looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// When an erasure is swept once more: access tokens live shorter, and so does every request.
const SWEEP_AFTER_MS: u64 = (ACCESS_LIFE_S + 5 * 60) * 1_000;

/// Why reports of the game stay.
const REPORTS_KEPT: &str = "reports under a pseudonym that was made of the key that is gone, as were the seals of their texts; dropped by the day";

/// What exports share.
pub(crate) struct Privacy {
    pub(crate) exports: Arc<Semaphore>,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { exports: Arc::new(Semaphore::new(EXPORTS_MAX)) }
    }
}

/// Forgets a player, now; its receipt. Asked again, the same receipt.
pub(crate) async fn erase(
    app: &App,
    player: PlayerId,
    receipt_id: Uuid,
    order: Order,
) -> Result<Option<SignedReceipt>, Problem> {
    // While the party still knows its member and the ticket its player.
    let Some(erasure) = app.store.begin_erasure(player, receipt_id, order).await? else { return Ok(None) };
    app.identity.revoked.look(&app.store).await?;
    go_on(app, &erasure).await.map(Some)
}

/// Does what an erasure has still to do; all of it may have been done before.
async fn go_on(app: &App, erasure: &Erasure) -> Result<SignedReceipt, Problem> {
    let player = erasure.player;
    take_away(app, player).await?;
    app.store.erase_lines(player).await?;
    app.ranks.forget_name(player);
    let now_ms = service::clock::unix_ms();
    let kept = kept(app, erasure, now_ms).await?;
    let key = app.identity.vault.receipts();
    let (body, signature) = app.store.finish_erasure(kept).await?;
    // The pages are overwritten; now the log that the file is written through is too. Readers may keep it for a moment.
    if let Err(error) = app.store.database().empty_log().await {
        tracing::warn!(%error, "the database's log still holds what was erased; trying again with the next sweep");
    }
    Ok(receipt::of(body, &key.public_key(), &signature))
}

/// What others have to hear of.
async fn take_away(app: &App, player: PlayerId) -> Result<(), StoreError> {
    let now_ms = service::clock::unix_ms();
    leave_queue(app, player).await;
    let step = PartyStep { player, act: PartyAct::Leave, version: None, now_ms };
    if let Ok(done) = app.store.step_party(step).await? {
        app.social.party_done(&done);
    }
    app.store.end_trades_of(player, now_ms).await?;
    Ok(())
}

async fn kept(app: &App, erasure: &Erasure, now_ms: u64) -> Result<KeptReceipt, StoreError> {
    let taken = app.store.erased(erasure.player).await?.taken;
    let taken: serde_json::Map<_, _> = taken.into_iter().map(|(held, rows)| (held, rows.into())).collect();
    let why = held::HELD.iter().filter_map(|held| match held.erase {
        held::Erase::Kept(why) => Some((format!("{}.{}", held.table, held.column), why.into())),
        _ => None,
    });
    let why = why.chain([("telemetry".to_owned(), REPORTS_KEPT.into())]);
    let body = json!({
        "kind": "erasure",
        "receipt_id": erasure.receipt_id,
        "player_id": erasure.player,
        "asked_by": erasure.asked_by,
        "asked_at_ms": erasure.asked_at_ms,
        "done_at_ms": now_ms,
        "key_shredded": true,
        "rows_erased": taken,
        "kept_without_a_person": why.collect::<serde_json::Map<_, _>>(),
    })
    .to_string();
    let signed = receipt::sign(&app.identity.vault.receipts(), body);
    Ok(sealed_receipt(erasure.receipt_id, erasure.player, "erasure", &signed, now_ms))
}

/// A receipt as the store keeps it.
pub(crate) fn sealed_receipt(
    receipt_id: Uuid,
    player: PlayerId,
    kind: &'static str,
    signed: &SignedReceipt,
    at_ms: u64,
) -> KeptReceipt {
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&signed.signature);
    let signature = signature.expect("a signature that was encoded just now");
    KeptReceipt { receipt_id, player, kind, body: signed.body.clone(), signature, at_ms }
}

/// Goes on with erasures that were interrupted, and sweeps those that are done once more, until shutdown.
pub(crate) async fn go_on_erasing(app: App, shutdown: Shutdown) {
    loop {
        if let Err(problem) = turn(&app).await {
            tracing::warn!(?problem, "an erasure cannot go on; trying again");
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn turn(app: &App) -> Result<(), Problem> {
    let now_ms = service::clock::unix_ms();
    for erasure in app.store.open_erasures(now_ms.saturating_sub(SWEEP_AFTER_MS)).await? {
        go_on(app, &erasure).await?;
        tracing::info!(receipt_id = %erasure.receipt_id, "an erasure went on");
        if erasure.done_at_ms.is_some() && erasure.asked_at_ms.saturating_add(SWEEP_AFTER_MS) < now_ms {
            app.store.sweep_done(erasure.player, now_ms).await?;
        }
    }
    Ok(())
}
