//! Money of the world, on both databases: whatever order events come in, however often and however many at once, the books are the same.

use metagame::args;
use metagame::core::payment::{Event, News, OrderState, Stand};
use metagame::db::Domain;
use metagame::idempotency::{Answer, Keyed};
use metagame::store::Store;
use metagame::store::economy::{Heard, NewOrder, Order, Ordered, Purchased};
use metagame::store::inventory::{Act, Acted};
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use protocol::id::PlayerId;
use testkit::proxy::CutAt;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::hands::{NOW, assert_whole, balance, player, shops};
use super::races::{STATES, behind, inject};
use super::shop::items;

const NOW_S: u64 = NOW / 1_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;

fn new(player: PlayerId, key: &str, offer: &str) -> NewOrder {
    let (request_hash, money) = ([offer.len() as u8; 32], Some("eur".to_owned()));
    NewOrder {
        player,
        key: key.into(),
        request_hash,
        offer: offer.into(),
        quantity: 1,
        money,
        now_ms: NOW,
        life_ms: HOUR_MS,
    }
}

async fn order(store: &Store, player: PlayerId, key: &str, offer: &str) -> Order {
    match store.make_order(new(player, key, offer)).await.expect("an answer") {
        Ordered::Order(order) => *order,
        other => panic!("{other:?}"),
    }
}

/// The events of one payment: sessions name their order, refunds and disputes their payment alone.
#[derive(Clone)]
struct Payment {
    order: Uuid,
    intent: String,
    amount: u64,
}

impl Payment {
    fn of(order: &Order) -> Self {
        Self { order: order.order_id, intent: format!("pi_{}", order.order_id.simple()), amount: order.price.amount }
    }

    fn event(&self, id: &str, at_s: u64, news: News) -> Event {
        let names_order = matches!(news, News::Paid { .. } | News::Pending | News::Closed);
        Event {
            id: format!("evt_{}_{id}", self.order.simple()),
            kind: "test".into(),
            at_s: NOW_S + at_s,
            is_live: false,
            order: names_order.then_some(self.order),
            intent: Some(self.intent.clone()),
            news,
        }
    }

    fn paid(&self) -> Event {
        let (subtotal, total) = (self.amount, self.amount);
        self.event("paid", 1, News::Paid { subtotal, total, money: "eur".into() })
    }

    fn refunded(&self, amount: u64, at_s: u64) -> Event {
        self.event(&format!("refunded-{amount}-{at_s}"), at_s, News::Refunded { amount })
    }

    fn dispute(&self, stand: Stand, at_s: u64) -> Event {
        let news = News::Dispute { dispute: "dp_1".into(), amount: self.amount, stand };
        self.event(&format!("dispute-{stand:?}-{at_s}"), at_s, news)
    }
}

async fn hear(store: &Store, event: Event) -> Heard {
    store.hear_payment(event, NOW).await.expect("heard")
}

async fn state(store: &Store, order: Uuid) -> OrderState {
    store.order(order).await.expect("read").expect("an order").state()
}

/// Gems, swords, potions.
async fn has(store: &Store, player: PlayerId) -> (i64, u64, u64) {
    let items = items(store, player).await;
    let count = |name: &str| items.iter().filter(|item| item.definition == name).map(|item| item.quantity).sum();
    (balance(store, player, "gems").await, count("sword"), count("potion"))
}

async fn owed(store: &Store, player: PlayerId) -> Vec<(String, i64)> {
    let wallet = store.wallet(player).await.expect("a wallet");
    wallet.into_iter().filter(|one| one.balance < 0).map(|one| (one.currency, one.balance)).collect()
}

#[tokio::test]
async fn an_order_is_made_once_per_key_and_counts_until_it_is_over() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let first = order(&store, ada, "k1", "hero-pack").await;
        assert_eq!((first.price.amount, first.price.money.as_str()), (999, "eur"));
        assert_eq!(order(&store, ada, "k1", "hero-pack").await, first);
        let other = store.make_order(new(ada, "k1", "gems-100")).await.expect("an answer");
        assert_eq!(other, Ordered::OtherRequest);
        // One ever, and this one may still be paid.
        let second = store.make_order(new(ada, "k2", "hero-pack")).await.expect("an answer");
        assert_eq!(second, Ordered::Refused(Purchased::Limit { left: 0 }));
        let payment = Payment::of(&first);
        assert_eq!(hear(&store, payment.event("over", 1, News::Closed)).await, Heard::Done(OrderState::Closed));
        order(&store, ada, "k2", "hero-pack").await;
        for n in 0..4 {
            order(&store, ada, &format!("more-{n}"), "gems-100").await;
        }
        assert_eq!(store.make_order(new(ada, "k3", "gems-100")).await.expect("an answer"), Ordered::TooMany);
        let unsold = store.make_order(new(ada, "k4", "potions")).await.expect("an answer");
        assert!(matches!(unsold, Ordered::Refused(Purchased::NotSold(_))), "{unsold:?}");
    }
}

#[tokio::test]
async fn what_was_paid_is_given_once_and_what_is_paid_back_is_taken() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let payment = Payment::of(&order(&store, ada, "k1", "hero-pack").await);
        assert_eq!(hear(&store, payment.event("waits", 0, News::Pending)).await, Heard::Done(OrderState::Pending));
        assert_eq!(has(&store, ada).await, (0, 0, 0));
        assert_eq!(hear(&store, payment.paid()).await, Heard::Done(OrderState::Paid));
        assert_eq!(hear(&store, payment.paid()).await, Heard::Before);
        let again = Event { id: "evt_other".into(), ..payment.paid() };
        assert_eq!(hear(&store, again).await, Heard::Known);
        assert_eq!(has(&store, ada).await, (50, 1, 3));
        let inbox = store.inbox(ada, 0, 9).await.expect("an inbox");
        assert!(inbox.last().is_some_and(|last| last.kind == "order" && last.body.contains("\"paid\"")), "{inbox:?}");
        assert_eq!(hear(&store, payment.refunded(333, 5)).await, Heard::Done(OrderState::PartlyRefunded));
        assert_eq!(has(&store, ada).await, (34, 1, 2));
        // Older, and less.
        assert_eq!(hear(&store, payment.refunded(100, 4)).await, Heard::Known);
        assert_eq!(hear(&store, payment.refunded(999, 6)).await, Heard::Done(OrderState::Refunded));
        assert_eq!(has(&store, ada).await, (0, 0, 0));
        assert_eq!(owed(&store, ada).await, []);
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn a_dispute_holds_and_what_is_not_there_is_owed_until_it_is_won() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let payment = Payment::of(&order(&store, ada, "k1", "hero-pack").await);
        hear(&store, payment.paid()).await;
        // Both are gone before the bank asks: a potion is drunk, and 20 of the 50 gems are spent.
        let potion = items(&store, ada).await.into_iter().find(|item| item.definition == "potion").expect("a potion");
        let keyed = Keyed::economic(ada, "drink".into(), "act", &"", NOW, |outcome: &Acted| {
            Answer::json(200, &format!("{outcome:?}"))
        });
        store.act(keyed, Act::Consume { item_id: potion.item_id, quantity: 1 }).await.expect("drunk");
        for n in 0..2 {
            let bought = super::shop::try_buy(&store, ada, &format!("starter-{n}"), "starter", 1, NOW).await;
            bought.expect("an answer");
        }
        assert_eq!(has(&store, ada).await, (40, 2, 4));
        assert_eq!(hear(&store, payment.dispute(Stand::Open, 5)).await, Heard::Done(OrderState::Disputed));
        assert_eq!(owed(&store, ada).await, [("gems".to_owned(), -10)]);
        assert_eq!(has(&store, ada).await, (-10, 1, 1));
        assert_eq!(hear(&store, payment.dispute(Stand::Won, 6)).await, Heard::Done(OrderState::Paid));
        assert_eq!((has(&store, ada).await, owed(&store, ada).await), ((40, 2, 4), vec![]));
        assert_whole(&store).await;
        // Given away for good: it is owed by name, and the books say so.
        let bob = player(&store, 2).await;
        for item in items(&store, ada).await.into_iter().filter(|item| item.definition != "shard") {
            let key = format!("gift-{}", item.item_id);
            let keyed = Keyed::economic(ada, key, "act", &"", NOW, |outcome: &Acted| {
                Answer::json(200, &format!("{outcome:?}"))
            });
            let gift = Act::Gift { item_id: item.item_id, quantity: item.quantity, to: bob };
            store.act(keyed, gift).await.expect("given away");
        }
        assert_eq!(hear(&store, payment.dispute(Stand::Lost, 7)).await, Heard::Done(OrderState::Lost));
        let due = [("gems", -10), ("item:potion", -3), ("item:sword", -1)];
        assert_eq!(owed(&store, ada).await, due.map(|(name, owed)| (name.to_owned(), owed)));
        let sql = "SELECT count(*) FROM audit WHERE kind = 'payment_owed'";
        let noted: u64 = store.database().one(Domain::Operations, sql, args![]).await.expect("read");
        assert_eq!(noted, 4, "each debt is noted");
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn a_payment_of_another_amount_gives_nothing_and_is_noted() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let payment = Payment::of(&order(&store, ada, "k1", "gems-100").await);
        let little = News::Paid { subtotal: 1, total: 1, money: "eur".into() };
        assert_eq!(hear(&store, payment.event("little", 1, little)).await, Heard::Done(OrderState::Mismatched));
        assert_eq!(has(&store, ada).await, (0, 0, 0));
        let sql = "SELECT count(*) FROM audit WHERE kind = 'payment_mismatched'";
        let noted: u64 = store.database().one(Domain::Operations, sql, args![]).await.expect("read");
        assert_eq!(noted, 1);
        // Somebody else's payment, by the same account at Stripe.
        let foreign = Payment { order: Uuid::from_bytes([9; 16]), intent: "pi_other".into(), amount: 5 };
        assert_eq!(hear(&store, foreign.paid()).await, Heard::Waits);
        assert_eq!(hear(&store, foreign.refunded(5, 2)).await, Heard::Waits);
    }
}

#[test]
fn whatever_order_events_come_in_and_however_often_wallet_and_inventory_are_the_same() {
    let mut runner = TestRunner::new(RunnerConfig { cases: 12, ..RunnerConfig::default() });
    let told =
        (0..3_u8, Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(), prop::collection::vec(0..6_usize, 0..6));
    let outcome = runner.run(&told, |(end, shuffled, again)| {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            for (store, _keep) in shops().await {
                let mut seen = Vec::new();
                for (n, sequence) in
                    [(0..6).collect(), [shuffled.clone(), again.clone()].concat()].into_iter().enumerate()
                {
                    let who = player(&store, n as u8 + 1).await;
                    let payment = Payment::of(&order(&store, who, "k", "hero-pack").await);
                    let ends =
                        [payment.dispute(Stand::Won, 7), payment.dispute(Stand::Lost, 7), payment.refunded(999, 7)];
                    let events = [
                        payment.event("pending", 0, News::Pending),
                        payment.paid(),
                        payment.refunded(200, 3),
                        payment.refunded(400, 4),
                        payment.dispute(Stand::Open, 5),
                        ends[usize::from(end)].clone(),
                    ];
                    for at in sequence {
                        let _: Heard = hear(&store, events[at].clone()).await;
                    }
                    let wallet = store.wallet(who).await.expect("a wallet");
                    let wallet: Vec<_> = wallet.into_iter().filter(|one| one.balance != 0).collect();
                    let money: Vec<_> = wallet.iter().map(|one| (one.currency.clone(), one.balance)).collect();
                    seen.push((money, has(&store, who).await, state(&store, payment.order).await));
                }
                assert_eq!(seen[0], seen[1]);
                assert_whole(&store).await;
            }
        });
        Ok(())
    });
    outcome.expect("the books are the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_at_once_give_once() {
    for (store, _keep) in shops().await {
        for n in 1..=4_u8 {
            let who = player(&store, n).await;
            let payment = Payment::of(&order(&store, who, "k", "hero-pack").await);
            let mut told = JoinSet::new();
            for copy in 0..12_u8 {
                let store = store.clone();
                let mut event = match copy % 3 {
                    0 => payment.paid(),
                    1 => payment.refunded(333, 3),
                    _ => payment.event("pending", 0, News::Pending),
                };
                // Half of them under ids of their own.
                if copy % 2 == 0 {
                    event.id = format!("{}-{copy}", event.id);
                }
                told.spawn(async move { hear(&store, event).await });
            }
            told.join_all().await;
            assert_eq!(has(&store, who).await, (34, 1, 2), "player {n}");
        }
        assert_whole(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_at_once_are_no_more_than_the_limit_allows() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let mut made = JoinSet::new();
        for n in 0..12 {
            // Each key comes twice.
            let (store, order) = (store.clone(), new(ada, &format!("k{}", n % 6), "hero-pack"));
            made.spawn(async move { store.make_order(order).await.expect("an answer") });
        }
        let orders = made.join_all().await.into_iter().filter_map(|made| match made {
            Ordered::Order(order) => Some(order.order_id),
            _ => None,
        });
        let orders: std::collections::BTreeSet<Uuid> = orders.collect();
        assert_eq!(orders.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_half_way_or_whose_commit_is_cut_off_counts_once() {
    for state in STATES {
        for (store, keep) in shops().await {
            let ada = player(&store, 1).await;
            let payment = Payment::of(&order(&store, ada, "k", "hero-pack").await);
            inject(&keep, "postings", state, 4);
            assert_eq!(hear(&store, payment.paid()).await, Heard::Done(OrderState::Paid));
            assert_eq!(has(&store, ada).await, (50, 1, 3));
            assert_whole(&store).await;
        }
    }
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let ada = player(&store, 1).await;
        let payment = Payment::of(&order(&store, ada, "k", "hero-pack").await);
        proxy.cut_commits(at, 2);
        let heard = hear(&store, payment.paid()).await;
        assert_eq!(heard, if at == CutAt::BeforeCommit { Heard::Done(OrderState::Paid) } else { Heard::Before });
        assert_eq!(has(&store, ada).await, (50, 1, 3));
        assert_whole(&store).await;
    }
}
