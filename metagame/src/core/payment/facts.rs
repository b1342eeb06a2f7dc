//! What is known of an order, and what is due by it. Facts only grow, and adding is commutative and idempotent: whatever comes twice, late
//! or in another order leads to the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{News, Stand};

/// What an order costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Minor units.
    pub amount: u64,
    /// ISO 4217, in small letters.
    pub money: String,
}

/// A payment that has arrived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Paid {
    subtotal: u64,
    total: u64,
    money: String,
}

/// A dispute: what was said last, but what is decided goes before what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Dispute {
    is_decided: bool,
    at_s: u64,
    stand: Stand,
    amount: u64,
}

/// Everything that is known of an order's payment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    paid: Option<Paid>,
    is_pending: bool,
    is_closed: bool,
    /// The newest word on what has been paid back: its time, and the sum of all refunds.
    refunded: Option<(u64, u64)>,
    /// Refunds that did not arrive: their time and amount.
    failed_refunds: BTreeMap<String, (u64, u64)>,
    disputes: BTreeMap<String, Dispute>,
}

/// How an order does, for players and operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// It waits for the player.
    Open,
    /// The money is on its way.
    Pending,
    /// Paid, and given.
    Paid,
    /// A part was paid back.
    PartlyRefunded,
    /// All was paid back.
    Refunded,
    /// A bank wants the money back, and it is not decided.
    Disputed,
    /// The bank has taken it.
    Lost,
    /// Nothing was paid.
    Closed,
    /// What was paid is not what it costs: somebody has to look.
    Mismatched,
}

impl OrderState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::Pending,
        Self::Paid,
        Self::PartlyRefunded,
        Self::Refunded,
        Self::Disputed,
        Self::Lost,
        Self::Closed,
        Self::Mismatched,
    ];

    /// The name in the database and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::PartlyRefunded => "partly_refunded",
            Self::Refunded => "refunded",
            Self::Disputed => "disputed",
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::Mismatched => "mismatched",
        }
    }

    /// Whether the provider may still have news of whether it is paid.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Open | Self::Pending)
    }
}

/// What is due by the facts: of what was paid, how much is taken back and how much is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// How the order does.
    pub state: OrderState,
    /// Whether the goods were paid for, and the price was right.
    pub is_paid: bool,
    /// What was paid, in minor units.
    pub total: u64,
    /// Paid back, or lost to a bank; at most `total`.
    pub taken: u64,
    /// Withdrawn by a bank until it is decided; with `taken` at most `total`.
    pub held: u64,
}

impl Due {
    /// Of so many: how many the player keeps, and how many are held. The rest is taken back. Parts are rounded in the player's favour,
    /// and the whole is the whole.
    pub fn split(&self, quantity: u64) -> (u64, u64) {
        if !self.is_paid {
            return (0, 0);
        }
        let gone = |amount: u64| match amount >= self.total {
            true if amount > 0 => quantity,
            _ => share(quantity, amount, self.total),
        };
        let (taken, away) = (gone(self.taken), gone(self.taken + self.held));
        (quantity - away, away - taken)
    }
}

fn share(quantity: u64, amount: u64, total: u64) -> u64 {
    let whole = u128::from(quantity) * u128::from(amount) / u128::from(total.max(1));
    u64::try_from(whole).unwrap_or(quantity)
}

impl Facts {
    /// Adds what an event of this time says; whether it was news.
    pub fn add(&mut self, news: &News, at_s: u64) -> bool {
        let before = self.clone();
        match news.clone() {
            News::Paid { subtotal, total, money } => {
                self.paid = self.paid.take().max(Some(Paid { subtotal, total, money }));
            }
            News::Pending => self.is_pending = true,
            News::Closed => self.is_closed = true,
            News::Refunded { amount } => self.refunded = self.refunded.max(Some((at_s, amount))),
            News::RefundFailed { refund, amount } => {
                // What is told twice has failed when it was told first.
                let failed = self.failed_refunds.entry(refund).or_insert((at_s, amount));
                *failed = (*failed).min((at_s, amount));
            }
            News::Dispute { dispute, amount, stand } => {
                let said = Dispute { is_decided: matches!(stand, Stand::Won | Stand::Lost), at_s, stand, amount };
                let known = self.disputes.entry(dispute).or_insert(said);
                *known = said.max(*known);
            }
        }
        *self != before
    }

    /// What is due by them for an order of this price.
    pub fn due(&self, price: &Price) -> Due {
        let Some(paid) = &self.paid else { return self.unpaid() };
        let is_paid = paid.subtotal == price.amount && paid.money == price.money;
        let taken = self.refunded_now().saturating_add(self.disputed(|stand| stand == Stand::Lost)).min(paid.total);
        let held = self.disputed(|stand| stand == Stand::Open).min(paid.total - taken);
        let lost = self.disputed(|stand| stand == Stand::Lost);
        let state = match () {
            // Until it is paid back: then nothing is left to look at.
            () if !is_paid && (taken < paid.total || paid.total == 0) => OrderState::Mismatched,
            () if held > 0 => OrderState::Disputed,
            () if lost > 0 => OrderState::Lost,
            () if taken == 0 => OrderState::Paid,
            () if taken < paid.total => OrderState::PartlyRefunded,
            () => OrderState::Refunded,
        };
        Due { state, is_paid, total: paid.total, taken, held }
    }

    fn unpaid(&self) -> Due {
        let state = match (self.is_closed, self.is_pending) {
            (true, _) => OrderState::Closed,
            (false, true) => OrderState::Pending,
            (false, false) => OrderState::Open,
        };
        Due { state, is_paid: false, total: 0, taken: 0, held: 0 }
    }

    /// What has been paid back by the newest word, without what failed after it.
    fn refunded_now(&self) -> u64 {
        let Some((at_s, amount)) = self.refunded else { return 0 };
        let failed = self.failed_refunds.values().filter(|(failed_at_s, _)| *failed_at_s > at_s);
        amount.saturating_sub(failed.map(|(_, amount)| *amount).sum())
    }

    fn disputed(&self, counts: impl Fn(Stand) -> bool) -> u64 {
        let those = self.disputes.values().filter(|dispute| counts(dispute.stand));
        those.fold(0, |sum, dispute| sum.saturating_add(dispute.amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price() -> Price {
        Price { amount: 499, money: "eur".into() }
    }

    fn paid() -> News {
        News::Paid { subtotal: 499, total: 499, money: "eur".into() }
    }

    fn dispute(stand: Stand) -> News {
        News::Dispute { dispute: "dp_1".into(), amount: 499, stand }
    }

    fn due(news: &[(News, u64)]) -> Due {
        let mut facts = Facts::default();
        for (one, at_s) in news {
            facts.add(one, *at_s);
        }
        facts.due(&price())
    }

    fn checked(news: &[(News, u64)], state: OrderState, split: (u64, u64)) {
        let due = due(news);
        assert_eq!((due.state, due.split(100)), (state, split), "{news:?}");
    }

    #[test]
    fn an_order_goes_from_open_to_paid_and_nothing_takes_that_back() {
        checked(&[], OrderState::Open, (0, 0));
        checked(&[(News::Pending, 1)], OrderState::Pending, (0, 0));
        checked(&[(News::Closed, 2), (News::Pending, 1)], OrderState::Closed, (0, 0));
        checked(&[(paid(), 3), (News::Closed, 2)], OrderState::Paid, (100, 0));
        checked(&[(News::Refunded { amount: 499 }, 4)], OrderState::Open, (0, 0));
    }

    #[test]
    fn refunds_count_by_their_sum_and_round_for_the_player() {
        let refunded = |amount| News::Refunded { amount };
        checked(&[(paid(), 1), (refunded(100), 2)], OrderState::PartlyRefunded, (80, 0));
        checked(&[(paid(), 1), (refunded(300), 3), (refunded(100), 2)], OrderState::PartlyRefunded, (40, 0));
        checked(&[(refunded(499), 2), (paid(), 1)], OrderState::Refunded, (0, 0));
        // One that did not arrive, and one that came after it.
        let failed = News::RefundFailed { refund: "re_1".into(), amount: 499 };
        checked(&[(paid(), 1), (failed.clone(), 3), (refunded(499), 2)], OrderState::Paid, (100, 0));
        checked(&[(paid(), 1), (refunded(499), 4), (failed, 3), (refunded(499), 2)], OrderState::Refunded, (0, 0));
    }

    #[test]
    fn a_dispute_holds_until_it_is_decided() {
        checked(&[(paid(), 1), (dispute(Stand::Inquiry), 2)], OrderState::Paid, (100, 0));
        checked(&[(paid(), 1), (dispute(Stand::Open), 2)], OrderState::Disputed, (0, 100));
        checked(&[(dispute(Stand::Won), 3), (paid(), 1), (dispute(Stand::Open), 4)], OrderState::Paid, (100, 0));
        checked(&[(dispute(Stand::Lost), 3), (dispute(Stand::Open), 2), (paid(), 1)], OrderState::Lost, (0, 0));
        // Lost, and won in the second instance.
        checked(&[(paid(), 1), (dispute(Stand::Won), 9), (dispute(Stand::Lost), 3)], OrderState::Paid, (100, 0));
        // Half was paid back before the bank asked for all of it.
        let half = (News::Refunded { amount: 250 }, 2);
        checked(&[(paid(), 1), half, (dispute(Stand::Open), 3)], OrderState::Disputed, (0, 50));
    }

    #[test]
    fn another_price_is_nobodys_goods() {
        let little = News::Paid { subtotal: 1, total: 1, money: "eur".into() };
        checked(&[(little.clone(), 1)], OrderState::Mismatched, (0, 0));
        checked(&[(little, 1), (News::Refunded { amount: 1 }, 2)], OrderState::Refunded, (0, 0));
        let taxed = News::Paid { subtotal: 499, total: 594, money: "eur".into() };
        checked(&[(taxed.clone(), 1)], OrderState::Paid, (100, 0));
        checked(&[(taxed, 1), (News::Refunded { amount: 297 }, 2)], OrderState::PartlyRefunded, (50, 0));
        let free = News::Paid { subtotal: 499, total: 0, money: "eur".into() };
        checked(&[(free, 1)], OrderState::Paid, (100, 0));
    }

    fn any_news() -> impl Strategy<Value = (News, u64)> {
        let stand = prop_oneof![Just(Stand::Inquiry), Just(Stand::Open), Just(Stand::Lost), Just(Stand::Won)];
        let news = prop_oneof![
            Just(paid()),
            Just(News::Pending),
            Just(News::Closed),
            (0..600_u64).prop_map(|amount| News::Refunded { amount }),
            (0..3_u8, 0..600_u64).prop_map(|(n, amount)| News::RefundFailed { refund: format!("re_{n}"), amount }),
            (0..3_u8, 0..600_u64, stand)
                .prop_map(|(n, amount, stand)| { News::Dispute { dispute: format!("dp_{n}"), amount, stand } }),
        ];
        (news, 0..8_u64)
    }

    /// News with the second at which each was told.
    type Told = Vec<(News, u64)>;

    fn told() -> impl Strategy<Value = (Told, Told)> {
        prop::collection::vec(any_news(), 0..12).prop_flat_map(|news| {
            let copies = prop::collection::vec(0..news.len().max(1), 0..12);
            (Just(news), copies).prop_flat_map(|(news, copies)| {
                let mut again = news.clone();
                again.extend(copies.into_iter().filter_map(|n| news.get(n).cloned()));
                (Just(news), Just(again).prop_shuffle())
            })
        })
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter((news, shuffled) in told()) {
            let facts = |news: &[(News, u64)]| {
                let mut facts = Facts::default();
                for (one, at_s) in news {
                    facts.add(one, *at_s);
                }
                facts
            };
            prop_assert_eq!(facts(&news), facts(&shuffled));
            let due = due(&news);
            prop_assert!(due.taken + due.held <= due.total);
            for quantity in [1, 3, 100, 1 << 53] {
                let (kept, held) = due.split(quantity);
                prop_assert!(kept + held <= quantity);
            }
        }
    }
}
