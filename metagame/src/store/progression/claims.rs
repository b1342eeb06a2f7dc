//! Fetching what was reached. A claim is known by its name, so it needs no key: sent again it is answered as before.

use std::sync::Arc;

use protocol::id::PlayerId;

use super::record::{add, standings};
use crate::args;
use crate::core::catalog::{Catalog, Part};
use crate::core::event::fact;
use crate::core::inventory::stack_id;
use crate::core::ledger::LedgerFault;
use crate::core::progression::claim::{NoTerms, Proof};
use crate::core::progression::{Claim, Count, Keep, Progression};
use crate::db::{Domain, StoreError, Tx};
use crate::store::Store;
use crate::store::economy::{Grant, GrantLine, Granted, grant};
use crate::store::events::tell;
use crate::store::inventory::stock;

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The player has it.
    Given {
        /// What it gave.
        gave: Vec<Part>,
        /// Whether that was now.
        first: bool,
    },
    /// Nothing can be claimed, whatever the player has done.
    NoTerms(NoTerms),
    /// The player is not that far.
    NotReached {
        /// How far it is.
        count: u64,
        /// How far it takes.
        goal: u64,
    },
    /// The paid track is not open: this item opens it.
    NoPass(String),
    /// The wallet would hold more than can be counted.
    Full(LedgerFault),
}

impl Store {
    /// Gives a player what it has reached, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(
        &self,
        player: PlayerId,
        claim: Claim,
        rules: Arc<Progression>,
        now_ms: u64,
    ) -> Result<Claimed, StoreError> {
        let input = (player, claim, rules, Arc::clone(self.catalog()), now_ms);
        self.database()
            .write(Domain::Economy, input, |tx, (player, claim, rules, catalog, now_ms)| {
                Box::pin(claim_once(tx, *player, claim, rules, catalog, *now_ms))
            })
            .await
    }
}

async fn claim_once(
    tx: &mut Tx,
    player: PlayerId,
    claim: &Claim,
    rules: &Progression,
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Claimed, StoreError> {
    let name = claim.name();
    let sql = "SELECT gave FROM claims WHERE player_id = $1 AND claim = $2";
    if let Some(gave) = tx.optional::<String>(sql, args![player, name]).await? {
        let gave = serde_json::from_str(&gave).map_err(|error| StoreError::Unreadable(format!("a claim: {error}")))?;
        return Ok(Claimed::Given { gave, first: false });
    }
    let terms = match claim.terms(rules, now_ms) {
        Ok(terms) => terms,
        Err(why) => return Ok(Claimed::NoTerms(why)),
    };
    if let Some(refused) = refusal(tx, player, &terms.proof, rules, now_ms).await? {
        return Ok(refused);
    }
    // The grant is first: one that is refused has written nothing, and the claim stays open.
    let cause = format!("claim:{player}:{name}");
    if let Some(fault) = give(tx, player, cause, &terms.gives, catalog, now_ms).await? {
        return Ok(Claimed::Full(fault));
    }
    let gave = serde_json::to_string(&terms.gives).map_err(|error| StoreError::Failed(error.to_string()))?;
    let sql =
        "INSERT INTO claims (player_id, claim, rules_version, gave, at_ms, until_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    tx.execute(sql, args![player, name, rules.version, gave, now_ms, terms.until_ms]).await?;
    tell(tx, || vec![fact::reward_claimed(player, &name, &terms.gives, now_ms)]).await?;
    if let Some((season, _)) = rules.season_at(now_ms).filter(|_| terms.season_xp > 0) {
        let subject = format!("season:{season}");
        let xp = Count { subject, period: 0, count: terms.season_xp, keep: Keep::Sum, goal: 0, until_ms: None };
        add(tx, &[(player, xp)], rules.version, now_ms).await?;
    }
    Ok(Claimed::Given { gave: terms.gives, first: true })
}

/// Why a player cannot have it, if so.
async fn refusal(
    tx: &mut Tx,
    player: PlayerId,
    proof: &Proof,
    rules: &Progression,
    now_ms: u64,
) -> Result<Option<Claimed>, StoreError> {
    let standing = standings(tx, &[player]).await?.first().map(|(_, standing)| *standing).unwrap_or_default();
    let standing = standing.now(&rules.xp);
    let (goal, row) = proof.wanted();
    let (mut count, mut was_reached) = (u64::from(standing.level_max), false);
    if let Some((subject, period)) = row {
        let sql = "SELECT count, CASE WHEN reached_at_ms IS NULL THEN 0 ELSE 1 END FROM progress_counts
                   WHERE player_id = $1 AND subject = $2 AND period = $3";
        let found: Option<(u64, bool)> = tx.optional(sql, args![player, subject, period]).await?;
        (count, was_reached) = found.unwrap_or_default();
    }
    if !proof.is_shown(standing, count, was_reached) {
        return Ok(Some(Claimed::NotReached { count, goal }));
    }
    if let Proof::Season { pass: Some(pass), .. } = proof
        && !has_pass(tx, player, pass, now_ms).await?
    {
        return Ok(Some(Claimed::NoPass(pass.clone())));
    }
    Ok(None)
}

/// Whether a player has the item that opens a paid track; refunds take it away again.
pub(super) async fn has_pass(tx: &mut Tx, player: PlayerId, pass: &str, now_ms: u64) -> Result<bool, StoreError> {
    Ok(!stock::find(tx, player, &[stack_id(player, pass, None)], now_ms).await?.is_empty())
}

/// Gives a reward once per cause; why it cannot be given, if so.
pub(super) async fn give(
    tx: &mut Tx,
    player: PlayerId,
    cause: String,
    parts: &[Part],
    catalog: &Catalog,
    now_ms: u64,
) -> Result<Option<LedgerFault>, StoreError> {
    let line = |part: &Part| match part {
        Part::Currency { currency, amount } => {
            Some(GrantLine::Currency { currency: currency.clone(), amount: *amount })
        }
        Part::Item { item, quantity } => catalog.goods(item, *quantity, now_ms).map(GrantLine::Goods),
    };
    let lines: Vec<GrantLine> = parts.iter().filter_map(line).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    match grant(tx, &Grant::reward(player, cause, lines, now_ms)).await? {
        Granted::Refused(fault) => Ok(Some(fault)),
        Granted::Now | Granted::Before => Ok(None),
    }
}
