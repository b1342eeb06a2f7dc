//! What a match gives, within the transaction that records its result.

use super::grant::{Grant, GrantLine, Granted, grant};
use crate::core::catalog::{Catalog, Part};
use crate::core::settlement::{PlayerSettlement, UNRATED_REASONS};
use crate::db::{StoreError, Tx};
use crate::store::VerifiedResult;
use crate::store::audit::audit;

/// Gives a player what the catalog's rules say, once per match and player.
pub(crate) async fn reward(
    tx: &mut Tx,
    catalog: &Catalog,
    verified: &VerifiedResult,
    player: &PlayerSettlement,
) -> Result<(), StoreError> {
    let contested = !UNRATED_REASONS.contains(&verified.result.reason.as_str());
    let part = |part: Part| match part {
        Part::Currency { currency, amount } => Some(GrantLine::Currency { currency, amount }),
        Part::Item { item, quantity } => catalog.goods(&item, quantity, verified.now_ms).map(GrantLine::Goods),
    };
    let parts = catalog.rewards(&verified.claims.queue, contested, player);
    let lines: Vec<GrantLine> = parts.into_iter().filter_map(part).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let (match_id, player_id) = (verified.result.match_id, player.result.player_id);
    let mut gift = Grant::reward(player_id, format!("match:{match_id}:{player_id}"), lines, verified.now_ms);
    gift.match_id = Some(match_id);
    if let Granted::Refused(fault) = grant(tx, &gift).await? {
        // The result counts all the same.
        audit(tx, verified.now_ms, "reward_refused", &gift.cause, &fault.to_string()).await?;
    }
    Ok(())
}
