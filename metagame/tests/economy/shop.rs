//! Buying, making, giving: once per key, never more than there is, and the books say all of it.

use std::collections::BTreeMap;

use metagame::core::inventory::{Item, ItemId, stack_id};
use metagame::db::Domain;
use metagame::idempotency::{Answer, Keyed, Reply};
use metagame::store::Store;
use metagame::store::economy::{Granted, Purchase, Purchased, REGION_LIFE_MS};
use metagame::store::inventory::{Act, Acted};
use metagame::{args, db::StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use protocol::id::PlayerId;
use testkit::proxy::CutAt;
use tokio::task::JoinSet;

use super::hands::{NOW, assert_whole, balance, give, gold, player, shops};
use super::races::{STATES, behind, inject};

/// The outcome as text: what a test looks at.
fn bought(outcome: &Purchased) -> Answer {
    Answer { status: if matches!(outcome, Purchased::Bought(_)) { 201 } else { 409 }, body: format!("{outcome:?}") }
}

fn acted(outcome: &Acted) -> Answer {
    Answer { status: if matches!(outcome, Acted::Done { .. }) { 200 } else { 409 }, body: format!("{outcome:?}") }
}

pub(crate) async fn try_buy(
    store: &Store,
    player: PlayerId,
    key: &str,
    offer: &str,
    quantity: u64,
    now_ms: u64,
) -> Result<Reply, StoreError> {
    let keyed = Keyed::economic(player, key.into(), "buy", &(offer, quantity), now_ms, bought);
    store.purchase(keyed, Purchase { player, offer: offer.into(), quantity, currency: None }).await
}

/// Status and outcome.
async fn buy(store: &Store, player: PlayerId, key: &str, offer: &str, quantity: u64) -> (u16, String) {
    said(try_buy(store, player, key, offer, quantity, NOW).await.expect("an answer"))
}

async fn act(store: &Store, player: PlayerId, key: &str, act: Act) -> (u16, String) {
    let keyed = Keyed::economic(player, key.into(), "act", &format!("{act:?}"), NOW, acted);
    said(store.act(keyed, act).await.expect("an answer"))
}

fn said(reply: Reply) -> (u16, String) {
    match reply {
        Reply::New(answer) | Reply::Again(answer) => (answer.status, answer.body),
        Reply::OtherRequest => (422, String::new()),
    }
}

pub(crate) async fn items(store: &Store, player: PlayerId) -> Vec<Item> {
    store.inventory(player, None, 200, NOW).await.expect("an inventory")
}

async fn counts(store: &Store, player: PlayerId) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for item in items(store, player).await {
        *counts.entry(item.definition).or_default() += item.quantity;
    }
    counts
}

async fn rich(store: &Store, n: u8, amount: u64) -> PlayerId {
    let one = player(store, n).await;
    assert_eq!(give(store, gold(one, &format!("rich-{n}"), amount)).await.expect("given"), Granted::Now);
    one
}

#[tokio::test]
async fn a_purchase_moves_money_and_goods_once() {
    for (store, _keep) in shops().await {
        let ada = rich(&store, 1, 50).await;
        for _ in 0..3 {
            let (status, text) = buy(&store, ada, "k1", "potions", 2).await;
            assert!(status == 201 && text.contains("paid: 40"), "{text}");
        }
        assert_eq!((balance(&store, ada, "gold").await, counts(&store, ada).await["potion"]), (10, 10));
        let (status, text) = buy(&store, ada, "k2", "potions", 1).await;
        assert!(status == 409 && text.contains("balance: 10, price: 20"), "{text}");
        // What was refused stays refused under its key, even when there is money.
        give(&store, gold(ada, "later", 100)).await.expect("given");
        assert_eq!(buy(&store, ada, "k2", "potions", 1).await.0, 409);
        assert_eq!(buy(&store, ada, "k3", "potions", 1).await.0, 201);
        assert_eq!(buy(&store, ada, "k3", "potions", 2).await.0, 422);
        let (_, text) = buy(&store, ada, "k4", "nothing", 1).await;
        assert!(text.contains("Unknown"), "{text}");
        let (_, text) = buy(&store, ada, "k5", "gems-100", 1).await;
        assert!(text.contains("NoPrice"), "{text}");
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn a_bundle_is_given_whole_and_as_often_as_its_limit_says() {
    for (store, _keep) in shops().await {
        let ada = rich(&store, 1, 50).await;
        let mut gems = gold(ada, "gems", 100);
        gems.lines[0] = metagame::store::economy::GrantLine::Currency { currency: "gems".into(), amount: 100 };
        give(&store, gems).await.expect("given");
        assert_eq!(buy(&store, ada, "k1", "starter", 1).await.0, 201);
        let (status, text) = buy(&store, ada, "k2", "starter", 1).await;
        assert!(status == 409 && text.contains("Limit { left: 0 }"), "{text}");
        assert_eq!(balance(&store, ada, "gold").await, 80);
        assert_eq!(balance(&store, ada, "gems").await, 90);
        assert_eq!(counts(&store, ada).await, BTreeMap::from([("potion".into(), 2), ("sword".into(), 1)]));
        // Three a day, and three more the next day.
        let day = 24 * 60 * 60 * 1_000;
        for (n, now_ms, due) in [(0, NOW, 201), (1, NOW, 201), (2, NOW, 201), (3, NOW, 409), (4, NOW + day, 201)] {
            let reply = try_buy(&store, ada, &format!("daily-{n}"), "daily", 1, now_ms).await.expect("an answer");
            assert_eq!(said(reply).0, due, "{n}");
        }
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn a_region_changes_the_price_and_is_not_changed_every_day() {
    for (store, _keep) in shops().await {
        let ada = rich(&store, 1, 100).await;
        assert!(buy(&store, ada, "k1", "potions", 1).await.1.contains("paid: 20"));
        assert_eq!(store.set_shop_region(ada, "BR".into(), NOW).await.expect("set"), "BR");
        assert!(buy(&store, ada, "k2", "potions", 1).await.1.contains("paid: 8"));
        assert_eq!(store.set_shop_region(ada, "DE".into(), NOW + 1).await.expect("kept"), "BR");
        assert_eq!(store.set_shop_region(ada, "BR".into(), NOW + 2).await.expect("the same"), "BR");
        assert_eq!(store.set_shop_region(ada, "DE".into(), NOW + REGION_LIFE_MS).await.expect("set"), "DE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_item_is_sold_to_one_of_many() {
    for (store, _keep) in shops().await {
        let mut buyers = Vec::new();
        for n in 1..=10 {
            buyers.push(rich(&store, n, 10).await);
        }
        let mut tasks = JoinSet::new();
        for buyer in buyers.clone() {
            let store = store.clone();
            tasks.spawn(async move { buy(&store, buyer, "k", "rare", 1).await });
        }
        let answers = tasks.join_all().await;
        assert_eq!(answers.iter().filter(|one| one.0 == 201).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|one| one.0 == 201 || one.1.contains("SoldOut")), "{answers:?}");
        let mut spent = 0;
        for buyer in buyers {
            spent += 10 - balance(&store, buyer, "gold").await;
        }
        assert_eq!(spent, 1);
        assert_whole(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_player_at_many_tills_stays_within_limit_and_money() {
    for (store, _keep) in shops().await {
        let ada = rich(&store, 1, 50).await;
        let mut tasks = JoinSet::new();
        for n in 0..16_u8 {
            let (store, offer) = (store.clone(), if n % 2 == 0 { "daily" } else { "potions" });
            tasks.spawn(async move { (offer, buy(&store, ada, &format!("k{n}"), offer, 1).await) });
        }
        let answers = tasks.join_all().await;
        let sold = |offer: &str| answers.iter().filter(|one| one.0 == offer && one.1.0 == 201).count() as i64;
        assert_eq!((sold("daily"), sold("potions")), (3, 2), "{answers:?}");
        assert_eq!(balance(&store, ada, "gold").await, 50 - 3 - 40);
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn items_are_used_up_taken_apart_made_and_given() {
    for (store, _keep) in shops().await {
        let (ada, bob) = (rich(&store, 1, 100).await, player(&store, 2).await);
        buy(&store, ada, "k1", "potions", 1).await;
        let potion = stack_id(ada, "potion", None);
        assert_eq!(act(&store, ada, "a1", Act::Consume { item_id: potion, quantity: 2 }).await.0, 200);
        assert_eq!(act(&store, ada, "a1", Act::Consume { item_id: potion, quantity: 2 }).await.0, 200);
        let (status, text) = act(&store, ada, "a2", Act::Consume { item_id: potion, quantity: 4 }).await;
        assert!(status == 409 && text.contains("have: 3"), "{text}");
        assert_eq!(act(&store, ada, "a3", Act::Disenchant { item_id: potion, quantity: 1 }).await.0, 200);
        assert_eq!(act(&store, ada, "a4", Act::Gift { item_id: potion, quantity: 1, to: bob }).await.0, 200);
        assert_eq!((counts(&store, ada).await["potion"], counts(&store, bob).await["potion"]), (1, 1));
        assert_eq!(balance(&store, ada, "gold").await, 82);
        buy(&store, ada, "k2", "rare", 1).await;
        let sword = items(&store, ada).await.into_iter().find(|one| one.definition == "sword").expect("a sword");
        let not_used = act(&store, ada, "a5", Act::Consume { item_id: sword.item_id, quantity: 1 }).await;
        assert!(not_used.1.contains("cannot be used up"), "{not_used:?}");
        act(&store, ada, "a6", Act::Gift { item_id: sword.item_id, quantity: 1, to: bob }).await;
        let (status, text) = act(&store, bob, "b1", Act::Disenchant { item_id: sword.item_id, quantity: 1 }).await;
        assert!(status == 200 && counts(&store, bob).await["shard"] == 3, "{text}");
        let forge = Act::Craft { recipe: "forge".into(), items: vec![] };
        let (_, text) = act(&store, bob, "b2", forge.clone()).await;
        assert!(text.contains("Insufficient"), "no gold: {text}");
        give(&store, gold(bob, "bob", 5)).await.expect("given");
        let (_, text) = act(&store, bob, "b3", forge).await;
        assert!(text.contains("have: 3"), "too few shards: {text}");
        assert_eq!(balance(&store, bob, "gold").await, 5);
        let nobody = PlayerId::from_entropy([99; 16]);
        let (_, text) = act(&store, ada, "a7", Act::Gift { item_id: potion, quantity: 1, to: nobody }).await;
        assert!(text.contains("NoPlayer"), "{text}");
        assert_whole(&store).await;
    }
}

#[tokio::test]
async fn what_has_expired_is_not_there_and_goes() {
    for (store, _keep) in shops().await {
        let ada = rich(&store, 1, 10).await;
        buy(&store, ada, "k1", "daily", 1).await;
        let boost = items(&store, ada).await[0].clone();
        let expires_at_ms = boost.expires_at_ms.expect("it expires");
        assert!(expires_at_ms >= NOW + 3_600_000);
        let later = store.inventory(ada, None, 10, expires_at_ms).await.expect("an inventory");
        assert_eq!(later, []);
        store.prune(expires_at_ms).await.expect("pruned");
        assert_eq!(items(&store, ada).await, []);
    }
}

#[tokio::test]
async fn pages_of_an_inventory_hold_every_item_once() {
    for (store, _keep) in shops().await {
        let ada = player(&store, 1).await;
        let mut gift = gold(ada, "swords", 1);
        for _ in 0..7 {
            let swords = store.catalog().goods("sword", 50, NOW).expect("a sword");
            gift.lines.push(metagame::store::economy::GrantLine::Goods(swords));
        }
        give(&store, gift).await.expect("given");
        let (mut seen, mut after) = (Vec::<ItemId>::new(), None);
        loop {
            let page = store.inventory(ada, after, 100, NOW).await.expect("a page");
            let Some(last) = page.last() else { break };
            after = Some(last.item_id);
            seen.extend(page.iter().map(|item| item.item_id));
        }
        assert_eq!(seen.len(), 350);
        assert!(seen.is_sorted_by(|a, b| a < b));
    }
}

/// What a purchase and a gift leave behind, whatever went wrong meanwhile.
async fn assert_bought_and_given_once(store: &Store, ada: PlayerId, bob: PlayerId) {
    assert_eq!(balance(store, ada, "gold").await, 30);
    assert_eq!((counts(store, ada).await["potion"], counts(store, bob).await["potion"]), (4, 1));
    let sql = "SELECT count(*) FROM journal WHERE kind IN ('purchase', 'gift')";
    let entries: u64 = store.database().one(Domain::Economy, sql, args![]).await.expect("a count");
    assert_eq!(entries, 2);
    assert_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_and_gifts_that_fail_half_way_are_repeated_until_they_count_once() {
    for state in STATES {
        for table in ["journal", "items"] {
            for (store, keep) in shops().await {
                let (ada, bob) = (rich(&store, 1, 50).await, player(&store, 2).await);
                inject(&keep, table, state, 3);
                assert_eq!(buy(&store, ada, "k", "potions", 1).await.0, 201);
                let potion = stack_id(ada, "potion", None);
                assert_eq!(act(&store, ada, "g", Act::Gift { item_id: potion, quantity: 1, to: bob }).await.0, 200);
                assert_bought_and_given_once(&store, ada, bob).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_and_gifts_whose_commits_were_cut_off_count_once() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let (ada, bob) = (rich(&store, 1, 50).await, player(&store, 2).await);
        proxy.cut_commits(at, 2);
        assert_eq!(buy(&store, ada, "k", "potions", 1).await.0, 201, "{at:?}");
        proxy.cut_commits(at, 2);
        let potion = stack_id(ada, "potion", None);
        assert_eq!(act(&store, ada, "g", Act::Gift { item_id: potion, quantity: 1, to: bob }).await.0, 200, "{at:?}");
        assert_bought_and_given_once(&store, ada, bob).await;
    }
}

/// One of a player's ideas: what, which key, how many.
type Idea = (u8, u8, u8, u64);

#[test]
fn whatever_players_do_and_repeat_nothing_comes_from_nowhere() {
    let mut runner = TestRunner::new(RunnerConfig { cases: 5, ..RunnerConfig::default() });
    let ideas = prop::collection::vec((0..5_u8, 0..2_u8, 0..25_u8, 1..4_u64), 1..40);
    let outcome = runner.run(&ideas, |ideas| {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            for (store, _keep) in shops().await {
                live(&store, &ideas).await;
            }
        });
        Ok(())
    });
    outcome.expect("nothing comes from nowhere");
}

async fn live(store: &Store, ideas: &[Idea]) {
    let players = [rich(store, 1, 200).await, rich(store, 2, 200).await];
    // Gold and potions that there are in all, as the answers tell; each key counts once.
    let (mut money, mut potions, mut keys) = (400_i64, 0_i64, BTreeMap::new());
    for (what, who, key, quantity) in ideas.iter().copied() {
        let (me, other) = (players[usize::from(who)], players[usize::from(1 - who)]);
        let (key, item_id) = (format!("{who}-{key}"), stack_id(me, "potion", None));
        let (status, _) = match what {
            0 | 1 => buy(store, me, &key, "potions", quantity).await,
            2 => act(store, me, &key, Act::Consume { item_id, quantity }).await,
            3 => act(store, me, &key, Act::Disenchant { item_id, quantity }).await,
            _ => act(store, me, &key, Act::Gift { item_id, quantity, to: other }).await,
        };
        if keys.insert(key, ()).is_some() || status >= 400 {
            continue;
        }
        let quantity = quantity as i64;
        match what {
            0 | 1 => (money, potions) = (money - 20 * quantity, potions + 5 * quantity),
            2 => potions -= quantity,
            3 => (money, potions) = (money + 2 * quantity, potions - quantity),
            _ => {}
        }
    }
    let mut there = (0, 0);
    for one in players {
        there.0 += balance(store, one, "gold").await;
        there.1 += counts(store, one).await.get("potion").copied().unwrap_or(0) as i64;
    }
    assert_eq!(there, (money, potions), "{ideas:?}");
    assert_whole(store).await;
}
