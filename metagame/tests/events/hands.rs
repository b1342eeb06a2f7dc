//! What these tests have in common.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metagame::core::catalog::{Catalog, file};
use metagame::core::device::device_hash;
use metagame::core::session::{RefreshSecret, SessionId};
use metagame::db::Domain;
use metagame::events::relay::{Relay, RelayTiming};
use metagame::events::{BUS, Sink};
use metagame::store::economy::{Grant, GrantLine, Granted, grant};
use metagame::store::{DeviceLogin, EventBacklog, Store, Wants};
use protocol::id::PlayerId;
use serde_json::Value;
use service::Shutdown;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::stores::{Keep, stores};

pub(crate) const NOW: u64 = 1_795_305_600_000;

/// Names of people that no event may have.
pub(crate) const MARK: &str = "Zyxwmark";

pub(crate) fn catalog() -> Arc<Catalog> {
    Arc::new(file::parse(include_str!("../economy/catalog.toml")).expect("a catalog"))
}

/// A store on each engine in which a bus hears of everything.
pub(crate) async fn told() -> Vec<(Store, Keep)> {
    let mut told = Vec::new();
    for (store, keep) in stores().await {
        let store = store.with_catalog(catalog());
        listen(&store).await;
        told.push((store, keep));
    }
    told
}

/// A bus hears of everything from now on.
pub(crate) async fn listen(store: &Store) {
    store.set_event_sinks(vec![(BUS.to_owned(), Wants::All)]).await.expect("named");
}

/// A player with an account and a marked name.
pub(crate) async fn player(store: &Store, n: u8) -> PlayerId {
    let token = RefreshSecret::new(&[7; 32]).first(SessionId(Uuid::from_bytes([n; 16])), [n; 32]);
    let login = DeviceLogin {
        device: device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id"),
        new_player: PlayerId::from_entropy([n; 16]),
        name: Some(format!("{MARK} {n}").parse().expect("a name")),
        session: token.session,
        token: token.hash(),
        sessions_max: 8,
        now_ms: NOW,
    };
    store.login_device(login).await.expect("a login").player
}

/// Gives a player `n` pieces of gold, which is an event with that figure.
pub(crate) async fn give(store: &Store, player: PlayerId, n: u64) {
    let line = GrantLine::Currency { currency: "gold".into(), amount: n };
    let gift = Grant::reward(player, format!("test:{player}:{n}"), vec![line], NOW);
    let given = store.database().write(Domain::Economy, gift, |tx, gift| Box::pin(grant(tx, gift))).await;
    assert_eq!(given.expect("given"), Granted::Now);
}

/// What waits for the bus, and whatever it is.
pub(crate) async fn backlog(store: &Store) -> EventBacklog {
    let backlogs = store.event_backlogs().await.expect("counts");
    backlogs.into_iter().find(|one| one.sink == BUS).expect("it was named")
}

/// Waits for no longer than a test has to.
pub(crate) fn quick() -> RelayTiming {
    RelayTiming {
        look: Duration::from_millis(5),
        hold: Duration::from_secs(6),
        hold_again: Duration::from_millis(50),
        measure: Duration::from_secs(1),
    }
}

/// A relay that runs until it is dropped; dropped, it is gone without a word, as a process that was killed.
pub(crate) struct Running(JoinHandle<()>);

pub(crate) fn run(store: &Store, sink: Arc<dyn Sink>) -> Running {
    let relay = Relay::new(BUS, sink, store.clone(), quick());
    Running(tokio::spawn(relay.run(Shutdown::new())))
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Those events that came for the first time, in the order in which they came.
pub(crate) fn first_times(events: &[Value]) -> Vec<&Value> {
    let mut seen = HashSet::new();
    events.iter().filter(|event| seen.insert(event["id"].as_str().expect("an id"))).collect()
}

/// The figures of [`give`], for each player in the order in which they came for the first time.
pub(crate) fn figures(events: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut figures = BTreeMap::<_, Vec<_>>::new();
    for event in first_times(events) {
        if let Some(figure) = event["data"]["currencies"][0]["amount"].as_u64() {
            let player = event["data"]["player_id"].as_str().expect("a player");
            figures.entry(player.to_owned()).or_default().push(figure);
        }
    }
    figures
}

/// Asserts that of each of these players the figures 1 to `count` have come, in order.
pub(crate) fn assert_in_order(events: &[Value], players: &[PlayerId], count: u64) {
    let figures = figures(events);
    for player in players {
        assert_eq!(figures.get(&player.to_string()), Some(&(1..=count).collect()), "{player}");
    }
    assert_eq!(figures.len(), players.len());
}
