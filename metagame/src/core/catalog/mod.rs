//! The catalog: currencies, items, offers, recipes and rewards, as data with a version.
//!
//! An operator writes it down in one TOML file (`file`); what is here has been checked, so nothing in it names what does not
//! exist. The whole of it is kept in the database under its version, which every entry of the books names.

pub mod file;
pub mod offer;
pub mod rewards;

use std::collections::BTreeMap;

use serde::Serialize;

use super::inventory::{Goods, expiry};

pub use file::CatalogFaults;
pub use offer::{Limit, Offer, Period, Price, Rotation};
pub use rewards::Rewards;

/// Everything that money is about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    /// Counts its changes.
    pub version: u32,
    /// Monies, by id.
    pub currencies: BTreeMap<String, Currency>,
    /// Goods, by id.
    pub items: BTreeMap<String, ItemDefinition>,
    /// What is sold, by id.
    pub offers: BTreeMap<String, Offer>,
    /// Which offers take turns.
    pub rotations: Vec<Rotation>,
    /// What can be made of what, by id.
    pub recipes: BTreeMap<String, Recipe>,
    /// What matches give.
    pub rewards: Vec<Rewards>,
    /// The file, as it was read.
    pub source: String,
}

/// Whether money of the game is earned or bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurrencyKind {
    /// Earned in play.
    Soft,
    /// Bought with money of the world: every refund can take it back.
    Hard,
}

/// A money of the game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    /// What players read.
    pub name: String,
    /// Earned or bought.
    pub kind: CurrencyKind,
}

/// A sort of goods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemDefinition {
    /// What players read.
    pub name: String,
    /// Counts its changes; items remember theirs.
    pub version: u32,
    /// Whether many are one stack. Otherwise each is an item of its own.
    pub stacks: bool,
    /// Seconds until one expires.
    pub lasts_s: Option<u64>,
    /// Whether players may use one up.
    pub consumable: bool,
    /// Whether players may give it away.
    pub tradable: bool,
    /// What one becomes when it is taken apart; empty: it cannot be.
    pub disenchant: Vec<Part>,
}

/// What can be made of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// What it takes.
    pub takes: Vec<Part>,
    /// What it gives.
    pub gives: Vec<Part>,
}

/// An amount of money or a number of items.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, Serialize)]
#[serde(untagged)]
pub enum Part {
    /// Money of the game, in minor units.
    Currency {
        /// Which.
        currency: String,
        /// How much, from 1.
        amount: u64,
    },
    /// Goods.
    Item {
        /// Which.
        item: String,
        /// How many, from 1.
        quantity: u64,
    },
}

impl Part {
    /// So often.
    pub fn times(&self, count: u64) -> Self {
        let mut part = self.clone();
        let (Self::Currency { amount, .. } | Self::Item { quantity: amount, .. }) = &mut part;
        *amount = amount.saturating_mul(count);
        part
    }
}

impl Catalog {
    /// Money with which a new installation begins, and a little of it for every match.
    pub fn starter() -> Self {
        file::parse(include_str!("starter.toml")).expect("the starter catalog is good: a test reads it")
    }

    /// `quantity` of an item, as they are made now. `None`: there is no such item.
    pub fn goods(&self, item: &str, quantity: u64, now_ms: u64) -> Option<Goods> {
        let definition = self.items.get(item)?;
        Some(Goods {
            definition: item.to_owned(),
            version: definition.version,
            quantity,
            stacks: definition.stacks,
            expires_at_ms: definition.lasts_s.map(|seconds| expiry(now_ms, seconds)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_catalog_is_good() {
        let catalog = Catalog::starter();
        assert_eq!(catalog.currencies["gold"].kind, CurrencyKind::Soft);
        assert_eq!(catalog.currencies["gems"].kind, CurrencyKind::Hard);
    }

    #[test]
    fn goods_are_made_by_their_definition() {
        let text = "version = 1\n[[item]]\nid = \"potion\"\nversion = 3\nstacks = true\nlasts_s = 60\n";
        let catalog = file::parse(text).expect("a catalog");
        let goods = catalog.goods("potion", 5, 1).expect("a potion");
        assert_eq!((goods.version, goods.quantity, goods.expires_at_ms), (3, 5, Some(120_000)));
        assert_eq!(catalog.goods("sword", 1, 1), None);
    }
}
