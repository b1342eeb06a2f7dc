//! Giving: currency and goods, once per cause, within the transaction of whoever has a reason to give.

use protocol::id::{MatchId, PlayerId};
use serde_json::json;

use super::books::{self, Posted, is_booked};
use crate::core::event::{NewEvent, fact};
use crate::core::inventory::{Goods, items};
use crate::core::ledger::{Entry, LedgerFault, System};
use crate::db::{Domain, StoreError, Tx};
use crate::idempotency::{Keyed, Reply, claim, settle};
use crate::store::acts::note;
use crate::store::events::tell;
use crate::store::inventory::stock;
use crate::store::{Order, Store, subject};

/// What a player gets, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who gets it.
    pub account: PlayerId,
    /// Why: `kind:` and what names this one gift among all, such as `match:<match>:<player>`. A second grant with the same
    /// cause changes nothing.
    pub cause: String,
    /// Who gives it: `system`, `operator:<name>`, `player:<id>`.
    pub actor: String,
    /// The account that the currency comes from.
    pub from: System,
    /// The match that led to it.
    pub match_id: Option<MatchId>,
    /// What.
    pub lines: Vec<GrantLine>,
    /// Unix milliseconds.
    pub at_ms: u64,
}

/// A part of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantLine {
    /// Money of the game.
    Currency {
        /// Which.
        currency: String,
        /// Minor units.
        amount: u64,
    },
    /// Goods, as the catalog makes them ([`crate::core::catalog::Catalog::goods`]).
    Goods(Goods),
}

/// What became of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// The player has it.
    Now,
    /// The player got it before.
    Before,
    /// The player's wallet would hold more than can be counted. Nothing was given.
    Refused(LedgerFault),
}

impl Grant {
    /// A reward of the game: from [`System::Rewards`], given by the system.
    pub fn reward(account: PlayerId, cause: String, lines: Vec<GrantLine>, at_ms: u64) -> Self {
        Self { account, cause, actor: "system".into(), from: System::Rewards, match_id: None, lines, at_ms }
    }

    /// Its entry in the books, and the goods beside it.
    pub(crate) fn entry(&self) -> (Entry, Vec<Goods>) {
        let mut entry = Entry::new(self.cause.clone(), self.actor.clone(), self.at_ms);
        entry.match_id = self.match_id;
        let mut goods = Vec::new();
        for line in &self.lines {
            match line {
                GrantLine::Currency { currency, amount } => {
                    let amount = i64::try_from(*amount).unwrap_or(i64::MAX);
                    entry.transfer(self.from.account(), self.account.into(), currency, amount);
                }
                GrantLine::Goods(one) => goods.push(one.clone()),
            }
        }
        entry.detail = match goods.is_empty() {
            true => json!({ "to": self.account }).to_string(),
            false => json!({ "to": self.account, "goods": goods }).to_string(),
        };
        (entry, goods)
    }
}

impl Grant {
    fn fact(&self, grant_id: &[u8; 16], kind: &str, goods: &[Goods]) -> NewEvent {
        let amount = |line: &GrantLine| match line {
            GrantLine::Currency { currency, amount } => Some((currency.clone(), *amount)),
            GrantLine::Goods(_) => None,
        };
        let currencies: Vec<(String, u64)> = self.lines.iter().filter_map(amount).collect();
        let (player, match_id) = (self.account, self.match_id);
        let given = fact::Given { player, grant_id, kind, match_id, currencies: &currencies, goods };
        fact::grant_made(given, self.at_ms)
    }
}

/// Gives, unless it was given before.
///
/// # Errors
/// [`StoreError`].
pub async fn grant(tx: &mut Tx, grant: &Grant) -> Result<Granted, StoreError> {
    let (entry, goods) = grant.entry();
    if is_booked(tx, entry.id()).await? {
        return Ok(Granted::Before);
    }
    match books::post(tx, &entry).await? {
        Posted::Now(booked) => {
            stock::put(tx, grant.account, &items(grant.account, &booked.journal_id, grant.at_ms, &goods)).await?;
            tell(tx, || vec![grant.fact(&booked.journal_id, &entry.kind, &goods)]).await?;
            Ok(Granted::Now)
        }
        Posted::Refused(fault) => Ok(Granted::Refused(fault)),
    }
}

impl Store {
    /// Gives what an operator orders, once per key, and notes it for the audit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn operator_grant(&self, keyed: Keyed<Granted>, given: Grant, order: Order) -> Result<Reply, StoreError> {
        let input = (keyed, given, order);
        self.database()
            .write(Domain::Economy, input, |tx, (keyed, given, order)| {
                Box::pin(operator_grant(tx, keyed, given, order))
            })
            .await
    }
}

async fn operator_grant(
    tx: &mut Tx,
    keyed: &Keyed<Granted>,
    given: &Grant,
    order: &Order,
) -> Result<Reply, StoreError> {
    if let Some(reply) = claim(tx, keyed).await? {
        return Ok(reply);
    }
    let granted = grant(tx, given).await?;
    if granted == Granted::Now {
        let detail = json!({ "cause": given.cause }).to_string();
        note(tx, order, "grant", &subject(given.account), &detail).await?;
    }
    settle(tx, keyed, &granted).await
}
