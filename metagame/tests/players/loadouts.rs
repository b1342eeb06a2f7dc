//! Loadouts: made of what a player has, and readable whatever becomes of it.

use std::sync::Arc;

use metagame::core::catalog::{Catalog, file};
use metagame::core::inventory::{Item, ItemId};
use metagame::core::loadout::{LOADOUTS_MAX, SlotName, Worn};
use metagame::db::Domain;
use metagame::idempotency::{Answer, Keyed};
use metagame::store::economy::{Grant, GrantLine, grant};
use metagame::store::inventory::{Act, Acted};
use metagame::store::{LoadoutSaved, Store};
use protocol::id::PlayerId;
use tokio::task::JoinSet;

use super::hands::{NOW, player};
use super::stores::stores;

const CATALOG: &str = r#"
    version = 1
    [[item]]
    id = "potion"
    stacks = true
    consumable = true
    [[item]]
    id = "sword"
    tradable = true
"#;

fn catalog() -> Arc<Catalog> {
    Arc::new(file::parse(CATALOG).expect("a catalog"))
}

fn name(text: &str) -> SlotName {
    text.parse().expect("a name")
}

fn worn(places: &[(&str, ItemId)]) -> Worn {
    places.iter().map(|(place, item)| (name(place), *item)).collect()
}

async fn give(store: &Store, player: PlayerId, item: &str, quantity: u64) -> Vec<Item> {
    let goods = catalog().goods(item, quantity, NOW).expect("an item");
    let gift = Grant::reward(player, format!("test:{player}:{item}"), vec![GrantLine::Goods(goods)], NOW);
    store.database().write(Domain::Economy, gift, |tx, gift| Box::pin(grant(tx, gift))).await.expect("given");
    let items = store.inventory(player, None, 50, NOW).await.expect("items");
    items.into_iter().filter(|one| one.definition == item).collect()
}

async fn act(store: &Store, player: PlayerId, key: &str, act: Act) {
    let render = |acted: &Acted| Answer { status: 200, body: format!("{:?}", matches!(acted, Acted::Done { .. })) };
    let keyed = Keyed::economic(player, key.into(), "test", &key, NOW, render);
    let reply = store.act(keyed, act).await.expect("an answer");
    assert!(format!("{reply:?}").contains("true"), "{reply:?}");
}

async fn save(store: &Store, player: PlayerId, slot: &str, worn: &Worn, expected: Option<u64>) -> LoadoutSaved {
    store.save_loadout(player, name(slot), worn.clone(), expected, NOW).await.expect("an answer")
}

#[tokio::test]
async fn a_loadout_is_made_of_own_items_and_stays_readable_when_they_go() {
    for (store, _keep) in stores().await {
        let store = store.with_catalog(catalog());
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let sword = give(&store, ada, "sword", 1).await.remove(0).item_id;
        let potion = give(&store, ada, "potion", 2).await.remove(0).item_id;
        let others = give(&store, bob, "sword", 1).await.remove(0).item_id;
        let not_hers = worn(&[("hand", sword), ("back", others)]);
        assert_eq!(save(&store, ada, "duel", &not_hers, None).await, LoadoutSaved::Missing(vec![name("back")]));
        let thrice = worn(&[("a", potion), ("b", potion), ("c", potion)]);
        assert_eq!(save(&store, ada, "duel", &thrice, None).await, LoadoutSaved::Missing(vec![name("c")]));
        let good = worn(&[("hand", sword), ("belt-1", potion), ("belt-2", potion)]);
        assert_eq!(save(&store, ada, "duel", &good, Some(5)).await, LoadoutSaved::Stale(None));
        assert_eq!(save(&store, ada, "duel", &good, None).await, LoadoutSaved::Done(NOW));
        assert_eq!(save(&store, ada, "duel", &good, Some(5)).await, LoadoutSaved::Done(NOW), "it is so already");
        act(&store, ada, "gift", Act::Gift { item_id: sword, quantity: 1, to: bob }).await;
        act(&store, ada, "drink", Act::Consume { item_id: potion, quantity: 1 }).await;
        let loadouts = store.loadouts(ada, NOW).await.expect("read");
        let places: Vec<_> = loadouts[0].items.keys().map(SlotName::as_str).collect();
        assert_eq!((places, &loadouts[0].missing), (vec!["belt-1"], &vec![name("belt-2"), name("hand")]));
        let lighter = worn(&[("belt-1", potion)]);
        assert_eq!(save(&store, ada, "duel", &lighter, Some(NOW)).await, LoadoutSaved::Done(NOW + 1));
        assert_eq!(save(&store, ada, "duel", &Worn::new(), Some(NOW)).await, LoadoutSaved::Stale(Some(NOW + 1)));
        assert!(store.remove_loadout(ada, name("duel")).await.expect("removed"));
        assert!(!store.remove_loadout(ada, name("duel")).await.expect("nothing there"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_never_more_than_may_be_and_one_version_has_one_successor() {
    for (store, _keep) in stores().await {
        let store = store.with_catalog(catalog());
        let ada = player(&store, 1).await;
        let sword = give(&store, ada, "sword", 1).await.remove(0).item_id;
        let mut saves = JoinSet::new();
        for n in 0..LOADOUTS_MAX + 4 {
            let (store, slot) = (store.clone(), format!("slot-{n}"));
            saves.spawn(async move { save(&store, ada, &slot, &Worn::new(), None).await });
        }
        let saved = saves.join_all().await;
        assert_eq!(saved.iter().filter(|one| **one == LoadoutSaved::Full).count(), 4, "{saved:?}");
        let first = store.loadouts(ada, NOW).await.expect("read").remove(0);
        let mut saves = JoinSet::new();
        for n in 0..8 {
            let (store, slot, version) = (store.clone(), first.slot.clone(), first.version);
            let worn = worn(&[(&format!("place-{n}"), sword)]);
            saves.spawn(async move { save(&store, ada, &slot, &worn, Some(version)).await });
        }
        let done = saves.join_all().await;
        assert_eq!(done.iter().filter(|one| matches!(one, LoadoutSaved::Done(_))).count(), 1, "{done:?}");
    }
}
