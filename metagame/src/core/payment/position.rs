//! Where the books of an order are, and what has to move so that they are as is due.
//!
//! Currency moves in the ledger: from `payments` to the player, to `disputes` while a bank asks, and back. It is taken from a wallet whatever is
//! in it; what is not there is owed, and the wallet says so. Goods are taken from the inventory; one that is used up or given away cannot be, so
//! the player owes it: in the ledger, in the currency `item:<definition>`. What comes back pays that first.

use serde::{Deserialize, Serialize};

use super::facts::Due;
use crate::core::inventory::{Goods, Item, ItemId, expiry};
use crate::core::ledger::{Account, Entry, System};

/// What an order gives, as it was when it was made: a later catalog changes nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gives {
    /// Currencies and how much of each.
    pub currencies: Vec<(String, u64)>,
    /// Goods.
    pub goods: Vec<GoodsShare>,
}

/// Goods of one definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodsShare {
    /// Without an expiry.
    pub goods: Goods,
    /// Seconds that they last from when they are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_s: Option<u64>,
}

impl Gives {
    /// The goods as they are given now.
    pub fn goods_at(&self, now_ms: u64) -> Vec<Goods> {
        let given = |one: &GoodsShare| Goods {
            expires_at_ms: one.lasts_s.map(|seconds| expiry(now_ms, seconds)),
            ..one.goods.clone()
        };
        self.goods.iter().map(given).collect()
    }
}

/// Where a currency of an order is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyPart {
    /// Which.
    pub currency: String,
    /// How much the player has of it, spent or not.
    pub kept: u64,
    /// How much is in `disputes`.
    pub held: u64,
}

/// Where an item of an order is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodsPart {
    /// What the order gave.
    pub made: Item,
    /// How many of it were taken out of the inventory.
    pub away: u64,
    /// How many should have been, and were not there.
    pub owed: u64,
}

/// What happens to an item of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GoodsMove {
    /// Into the inventory.
    pub give: u64,
    /// Out of it.
    pub take: u64,
    /// Owed from now on (plus), or not any more (minus).
    pub owe: i64,
}

/// The books of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Whether its goods were made.
    pub is_given: bool,
    /// Currencies.
    pub currencies: Vec<CurrencyPart>,
    /// Items, made when it was paid.
    pub goods: Vec<GoodsPart>,
}

impl Position {
    /// Moves the currencies to where they are due, by lines of `entry`.
    pub fn move_currencies(&mut self, gives: &Gives, due: &Due, player: Account, entry: &mut Entry) {
        if self.currencies.is_empty() {
            let none = |(currency, _): &(String, u64)| CurrencyPart { currency: currency.clone(), kept: 0, held: 0 };
            self.currencies = gives.currencies.iter().map(none).collect();
        }
        for (part, (currency, amount)) in self.currencies.iter_mut().zip(&gives.currencies) {
            let (kept, held) = due.split(*amount);
            let (to_player, to_disputes) = (difference(kept, part.kept), difference(held, part.held));
            let payments = System::Payments.account();
            entry.transfer(payments, player, currency, to_player);
            entry.transfer(payments, System::Disputes.account(), currency, to_disputes);
            (part.kept, part.held) = (kept, held);
        }
        entry.lines.retain(|line| line.amount != 0);
    }

    /// Moves the goods to where they are due; one move for each of [`Position::goods`]. `there` says how many of an item the player has.
    /// Their debts are lines of `entry`.
    pub fn move_goods(
        &mut self,
        due: &Due,
        there: impl Fn(ItemId) -> u64,
        player: Account,
        entry: &mut Entry,
    ) -> Vec<GoodsMove> {
        let mut moves = Vec::with_capacity(self.goods.len());
        // Two parts may be of one stack.
        let mut left: std::collections::BTreeMap<ItemId, u64> = std::collections::BTreeMap::new();
        // Of items that are one each, a share of all of them is due and not of each.
        let mut shares = Shares::default();
        for part in &mut self.goods {
            let kept = shares.kept(due, &part.made);
            let away = part.made.quantity - kept;
            let left = left.entry(part.made.item_id).or_insert_with(|| there(part.made.item_id));
            let step = step(part, away, *left);
            *left -= step.take;
            if step.owe != 0 {
                let currency = format!("item:{}", part.made.definition);
                entry.transfer(player, System::Payments.account(), &currency, step.owe);
            }
            moves.push(step);
        }
        moves
    }

    /// Notes goods that were made just now, none of them in the inventory yet.
    pub fn make(&mut self, items: Vec<Item>) {
        let part = |made: Item| GoodsPart { away: made.quantity, made, owed: 0 };
        self.goods = items.into_iter().map(part).collect();
        self.is_given = true;
    }
}

/// How many of a sort of goods were looked at, and how many of those are kept.
#[derive(Default)]
struct Shares(std::collections::BTreeMap<String, (u64, u64)>);

impl Shares {
    /// How many of this item the player keeps.
    fn kept(&mut self, due: &Due, made: &Item) -> u64 {
        let (seen, kept) = self.0.entry(made.definition.clone()).or_default();
        *seen += made.quantity;
        let now = due.split(*seen).0;
        let here = now.saturating_sub(*kept).min(made.quantity);
        *kept += here;
        here
    }
}

/// From where an item is to where `away` of it are gone; `there` are in the inventory.
fn step(part: &mut GoodsPart, away: u64, there: u64) -> GoodsMove {
    let before = part.away + part.owed;
    let mut step = GoodsMove::default();
    if away >= before {
        let more = away - before;
        step.take = more.min(there).min(part.made.quantity - part.away);
        step.owe = difference(more, step.take);
        (part.away, part.owed) = (part.away + step.take, part.owed + more - step.take);
    } else {
        let back = before - away;
        let paid = back.min(part.owed);
        step.owe = difference(0, paid);
        step.give = back - paid;
        (part.away, part.owed) = (part.away - step.give, part.owed - paid);
    }
    step
}

fn difference(now: u64, before: u64) -> i64 {
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    signed(now) - signed(before)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use protocol::id::PlayerId;

    use super::*;
    use crate::core::inventory::items;
    use crate::core::payment::{Facts, News, Price, Stand};

    fn player() -> PlayerId {
        PlayerId::from_entropy([1; 16])
    }

    fn gives() -> Gives {
        let goods = |definition: &str, quantity, stacks| GoodsShare {
            goods: Goods { definition: definition.into(), version: 1, quantity, stacks, expires_at_ms: None },
            lasts_s: None,
        };
        Gives {
            currencies: vec![("gems".into(), 100)],
            goods: vec![goods("potion", 10, true), goods("sword", 2, false)],
        }
    }

    /// A player, an inventory, and books that are kept as a store keeps them.
    #[derive(Default, Debug, PartialEq, Clone)]
    struct World {
        facts: Facts,
        position: Position,
        inventory: BTreeMap<ItemId, u64>,
        ledger: BTreeMap<(Account, String), i64>,
    }

    impl World {
        fn hear(&mut self, news: &News, at_s: u64) {
            self.facts.add(news, at_s);
            let due = self.facts.due(&Price { amount: 1_000, money: "eur".into() });
            let mut entry = Entry::new("payment:1".into(), "stripe".into(), 0);
            let mine = Account::from(player());
            self.position.move_currencies(&gives(), &due, mine, &mut entry);
            if due.is_paid && !self.position.is_given {
                self.position.make(items(player(), &[7; 16], 0, &gives().goods_at(0)));
            }
            let inventory = self.inventory.clone();
            let there = |id: ItemId| inventory.get(&id).copied().unwrap_or(0);
            let moves = self.position.move_goods(&due, there, mine, &mut entry);
            for (part, moved) in self.position.goods.iter().zip(moves) {
                let held = self.inventory.entry(part.made.item_id).or_default();
                *held = (*held + moved.give).checked_sub(moved.take).expect("only what is there is taken");
            }
            for line in entry.lines {
                *self.ledger.entry((line.account, line.currency)).or_default() += line.amount;
            }
            self.check(&due);
        }

        fn balance(&self, account: Account, currency: &str) -> i64 {
            self.ledger.get(&(account, currency.to_owned())).copied().unwrap_or(0)
        }

        fn owed(&self) -> u64 {
            self.position.goods.iter().map(|part| part.owed).sum()
        }

        fn check(&self, due: &Due) {
            let mut sums = BTreeMap::<&str, i64>::new();
            self.ledger.iter().for_each(|((_, currency), amount)| *sums.entry(currency).or_default() += amount);
            assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
            let (kept, held) = due.split(100);
            assert_eq!(self.balance(player().into(), "gems"), kept as i64);
            assert_eq!(self.balance(System::Disputes.account(), "gems"), held as i64);
            let debts = ["item:potion", "item:sword"].map(|currency| self.balance(player().into(), currency));
            assert_eq!(debts.iter().sum::<i64>(), -(self.owed() as i64));
            for (definition, quantity) in [("potion", 10), ("sword", 2)] {
                let parts = self.position.goods.iter().filter(|part| part.made.definition == definition);
                let gone: u64 = parts.map(|part| part.away + part.owed).sum();
                if self.position.is_given {
                    assert_eq!(gone, quantity - due.split(quantity).0, "{definition}");
                }
            }
        }
    }

    fn any_news() -> impl Strategy<Value = (News, u64)> {
        let stand = prop_oneof![Just(Stand::Inquiry), Just(Stand::Open), Just(Stand::Lost), Just(Stand::Won)];
        let news = prop_oneof![
            3 => Just(News::Paid { subtotal: 1_000, total: 1_000, money: "eur".into() }),
            1 => Just(News::Closed),
            3 => (0..1_100_u64).prop_map(|amount| News::Refunded { amount }),
            1 => (0..600_u64).prop_map(|amount| News::RefundFailed { refund: "re_1".into(), amount }),
            3 => (0..2_u8, 0..1_100_u64, stand).prop_map(|(n, amount, stand)| {
                News::Dispute { dispute: format!("dp_{n}"), amount, stand }
            }),
        ];
        (news, 0..6_u64)
    }

    /// News with the second at which each was told.
    type Told = Vec<(News, u64)>;

    fn told() -> impl Strategy<Value = (Told, Told)> {
        prop::collection::vec(any_news(), 1..10).prop_flat_map(|news| {
            let twice = [news.clone(), news.clone()].concat();
            (Just(news), Just(twice).prop_shuffle())
        })
    }

    proptest! {
        #[test]
        fn whatever_order_events_come_in_and_however_often_the_books_are_the_same((news, shuffled) in told()) {
            let after = |news: &[(News, u64)]| {
                let mut world = World::default();
                news.iter().for_each(|(one, at_s)| world.hear(one, *at_s));
                world.inventory.retain(|_, quantity| *quantity > 0);
                world.ledger.retain(|_, amount| *amount != 0);
                world
            };
            let (straight, shuffled) = (after(&news), after(&shuffled));
            prop_assert_eq!(&straight, &shuffled);
            prop_assert_eq!(straight.owed(), 0, "nothing was used up");
        }

        #[test]
        fn what_was_used_up_is_owed_and_what_comes_back_pays_that_first(
            news in prop::collection::vec((any_news(), 0..12_u64), 1..12),
        ) {
            let mut world = World::default();
            let mut used = 0;
            for ((one, at_s), uses) in news {
                world.hear(&one, at_s);
                for quantity in world.inventory.values_mut() {
                    let gone = uses.min(*quantity);
                    (*quantity, used) = (*quantity - gone, used + gone);
                }
                prop_assert!(world.owed() <= used);
            }
        }
    }

    #[test]
    fn a_sword_that_was_given_away_is_owed_and_not_given_again() {
        let mut world = World::default();
        world.hear(&News::Paid { subtotal: 1_000, total: 1_000, money: "eur".into() }, 1);
        let sword = world.position.goods[1].made.item_id;
        assert_eq!(world.inventory.insert(sword, 0), Some(1));
        let dispute = |stand| News::Dispute { dispute: "dp_1".into(), amount: 1_000, stand };
        world.hear(&dispute(Stand::Open), 2);
        assert_eq!((world.owed(), world.balance(player().into(), "item:sword")), (1, -1));
        world.hear(&dispute(Stand::Won), 3);
        assert_eq!((world.owed(), world.balance(player().into(), "item:sword")), (0, 0));
        assert_eq!(world.inventory[&sword], 0, "it is not made twice");
        assert_eq!(world.inventory.values().sum::<u64>(), 11);
    }
}
