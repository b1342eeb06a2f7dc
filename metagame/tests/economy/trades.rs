//! Trades: what is in escrow is nobody's to spend, and ends with exactly one of two.

use metagame::core::inventory::stack_id;
use metagame::core::trade::{TRADE_LIFE_MS, TradeWord};
use metagame::idempotency::{Answer, Keyed, Reply};
use metagame::store::Store;
use metagame::store::economy::GrantLine;
use metagame::store::inventory::{Side, Traded};
use protocol::id::PlayerId;
use testkit::proxy::CutAt;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::hands::{NOW, assert_whole, balance, give, gold, player, shops};
use super::races::{STATES, behind, inject};
use super::shop::items;

fn traded(outcome: &Traded) -> Answer {
    match outcome {
        Traded::Now(trade) => Answer { status: 200, body: format!("{} {}", trade.trade_id, trade.state.name()) },
        other => Answer { status: 409, body: format!("{other:?}") },
    }
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::New(answer) | Reply::Again(answer) => answer.body,
        Reply::OtherRequest => "other".into(),
    }
}

fn keyed(player: PlayerId, key: &str, now_ms: u64) -> Keyed<Traded> {
    Keyed::economic(player, key.into(), "trade", &key, now_ms, traded)
}

/// Ada with 10 gold and 5 potions, Bob with 20 gold, and a trade of 5 potions and 4 gold that Ada offers.
async fn offered(store: &Store) -> (PlayerId, PlayerId, Uuid) {
    let (ada, bob) = (player(store, 1).await, player(store, 2).await);
    let mut gift = gold(ada, "ada", 10);
    gift.lines.push(GrantLine::Goods(store.catalog().goods("potion", 5, NOW).expect("a potion")));
    give(store, gift).await.expect("given");
    give(store, gold(bob, "bob", 20)).await.expect("given");
    let gives = Side { items: vec![(stack_id(ada, "potion", None), 5)], currencies: vec![("gold".into(), 4)] };
    let answer = text(store.offer_trade(keyed(ada, "offer", NOW), bob, gives).await.expect("an answer"));
    let id = answer.strip_suffix(" offered").expect("an offer").parse().expect("an id");
    (ada, bob, id)
}

async fn say(store: &Store, who: PlayerId, key: &str, id: Uuid, word: TradeWord, pay: u64, now_ms: u64) -> String {
    let currencies = if pay > 0 { vec![("gold".into(), pay)] } else { vec![] };
    let takes = Side { items: vec![], currencies };
    text(store.say_to_trade(keyed(who, key, now_ms), id, word, takes).await.expect("an answer"))
}

/// Gold and potions of both.
async fn hands(store: &Store, ada: PlayerId, bob: PlayerId) -> [(i64, u64); 2] {
    let mut hands = [(0, 0); 2];
    for (hand, who) in hands.iter_mut().zip([ada, bob]) {
        *hand = (balance(store, who, "gold").await, items(store, who).await.iter().map(|item| item.quantity).sum());
    }
    assert_whole(store).await;
    hands
}

#[tokio::test]
async fn both_sides_are_in_escrow_before_they_cross() {
    for (store, _keep) in shops().await {
        let (ada, bob, id) = offered(&store).await;
        assert_eq!(hands(&store, ada, bob).await, [(6, 0), (20, 0)]);
        let early = say(&store, ada, "early", id, TradeWord::Confirm, 0, NOW).await;
        assert!(early.contains("State(\"offered\")"), "{early}");
        let poor = say(&store, bob, "poor", id, TradeWord::Accept, 21, NOW).await;
        assert!(poor.contains("Insufficient"), "{poor}");
        assert!(say(&store, bob, "accept", id, TradeWord::Accept, 15, NOW).await.ends_with("accepted"));
        assert_eq!(hands(&store, ada, bob).await, [(6, 0), (5, 0)]);
        for _ in 0..2 {
            assert!(say(&store, ada, "confirm", id, TradeWord::Confirm, 0, NOW).await.ends_with("settled"));
        }
        assert_eq!(hands(&store, ada, bob).await, [(21, 0), (9, 5)]);
        let over = say(&store, bob, "late", id, TradeWord::Cancel, 0, NOW).await;
        assert!(over.contains("settled"), "{over}");
        let stranger = player(&store, 3).await;
        assert_eq!(say(&store, stranger, "k", id, TradeWord::Cancel, 0, NOW).await, "NoTrade");
    }
}

#[tokio::test]
async fn who_cancels_or_falls_silent_gets_everything_back() {
    for (store, _keep) in shops().await {
        let (ada, bob, id) = offered(&store).await;
        say(&store, bob, "accept", id, TradeWord::Accept, 15, NOW).await;
        assert!(say(&store, bob, "cancel", id, TradeWord::Cancel, 0, NOW).await.ends_with("cancelled"));
        assert_eq!(hands(&store, ada, bob).await, [(10, 5), (20, 0)]);
    }
    for (store, _keep) in shops().await {
        let (ada, bob, id) = offered(&store).await;
        assert_eq!(store.end_trades(NOW + TRADE_LIFE_MS - 1).await.expect("ended"), 0);
        let late = say(&store, bob, "accept", id, TradeWord::Accept, 15, NOW + TRADE_LIFE_MS).await;
        assert!(late.ends_with("timed_out"), "{late}");
        assert_eq!(hands(&store, ada, bob).await, [(10, 5), (20, 0)]);
    }
    for (store, _keep) in shops().await {
        let (ada, bob, _) = offered(&store).await;
        assert_eq!(store.end_trades(NOW + TRADE_LIFE_MS).await.expect("ended"), 1);
        assert_eq!(store.end_trades(NOW + TRADE_LIFE_MS).await.expect("ended"), 0);
        assert_eq!(hands(&store, ada, bob).await, [(10, 5), (20, 0)]);
        assert_eq!(store.open_trades(ada).await.expect("trades"), []);
    }
}

#[tokio::test]
async fn what_is_bought_or_not_tradable_is_not_traded() {
    for (store, _keep) in shops().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let mut gift = gold(ada, "ada", 10);
        gift.lines.push(GrantLine::Currency { currency: "gems".into(), amount: 10 });
        gift.lines.push(GrantLine::Goods(store.catalog().goods("shard", 5, NOW).expect("a shard")));
        give(&store, gift).await.expect("given");
        let gems = Side { items: vec![], currencies: vec![("gems".into(), 1)] };
        let shards = Side { items: vec![(stack_id(ada, "shard", None), 1)], currencies: vec![] };
        for (n, side) in [gems, shards].into_iter().enumerate() {
            let keyed = keyed(ada, &format!("k{n}"), NOW);
            let answer = text(store.offer_trade(keyed, bob, side).await.expect("an answer"));
            assert!(answer.starts_with("NotPossible"), "{answer}");
        }
        assert_whole(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_and_cancelled_at_once_is_one_of_both() {
    for (store, _keep) in shops().await {
        let (ada, bob, id) = offered(&store).await;
        say(&store, bob, "accept", id, TradeWord::Accept, 15, NOW).await;
        let mut words = JoinSet::new();
        for n in 0..12_u8 {
            let store = store.clone();
            words.spawn(async move {
                let (who, word) = if n % 2 == 0 { (ada, TradeWord::Confirm) } else { (bob, TradeWord::Cancel) };
                say(&store, who, &format!("k{n}"), id, word, 0, NOW).await
            });
        }
        let answers = words.join_all().await;
        let done: Vec<_> = answers.iter().filter(|one| !one.starts_with("Fault")).collect();
        assert_eq!(done.len(), 1, "{answers:?}");
        let expected = if done[0].ends_with("settled") { [(21, 0), (9, 5)] } else { [(10, 5), (20, 0)] };
        assert_eq!(hands(&store, ada, bob).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_that_fails_half_way_is_repeated_until_it_crosses_once() {
    for state in STATES {
        for (store, keep) in shops().await {
            let (ada, bob, id) = offered(&store).await;
            inject(&keep, "journal", state, 3);
            say(&store, bob, "accept", id, TradeWord::Accept, 15, NOW).await;
            assert!(say(&store, ada, "confirm", id, TradeWord::Confirm, 0, NOW).await.ends_with("settled"));
            assert_eq!(hands(&store, ada, bob).await, [(21, 0), (9, 5)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trade_whose_commits_were_cut_off_crosses_once() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let (ada, bob, id) = offered(&store).await;
        proxy.cut_commits(at, 2);
        assert!(say(&store, bob, "accept", id, TradeWord::Accept, 15, NOW).await.ends_with("accepted"), "{at:?}");
        proxy.cut_commits(at, 2);
        assert!(say(&store, ada, "confirm", id, TradeWord::Confirm, 0, NOW).await.ends_with("settled"), "{at:?}");
        assert_eq!(hands(&store, ada, bob).await, [(21, 0), (9, 5)]);
    }
}
