//! What use cases tell: each fact once, in its transaction, with nothing of a person but its id.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metagame::core::catalog::{Catalog, file as catalog_file};
use metagame::core::event::{Event, EventType};
use metagame::core::match_event::Placement;
use metagame::core::match_state::Report;
use metagame::core::payment::{Event as PaymentEvent, News};
use metagame::core::progression::file::parse;
use metagame::core::progression::{Claim, Progression};
use metagame::core::sanction::SanctionKind;
use metagame::core::social::party::PartyAct;
use metagame::events::BUS;
use metagame::idempotency::{Answer, Keyed};
use metagame::store::economy::{NewOrder, Ordered, Purchase, Purchased};
use metagame::store::social::{Entrance, NewParty, PartyStep};
use metagame::store::{MatchOpened, MatchReport, NewSanction, Order, Seat, Store, VerifiedResult, Wants};
use metagame::{DatabaseLimits, DatabaseLocation};
use protocol::id::{MatchId, PartyId, PlayerId, TicketId};
use serde_json::Value;
use testkit::postgres::{TestDatabase, shared};
use testkit::proxy::{CutAt, Proxy};
use uuid::Uuid;

use super::hands::{MARK, NOW, backlog, catalog, give, listen, player, told};
use super::results::{in_order, of_match, verified};
use super::stores::{Keep, stores};

/// Everything that waits for the bus.
async fn events(store: &Store) -> Vec<Event> {
    store.pending_events(BUS, 1_000).await.expect("read")
}

/// Types and data of what waits, without what was told before `skip`.
async fn tail(store: &Store, skip: usize) -> Vec<(String, Value)> {
    let data = |event: Event| (event.type_name, serde_json::from_str(&event.data).expect("JSON"));
    events(store).await.into_iter().skip(skip).map(data).collect()
}

fn types(told: &[(String, Value)]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).collect()
}

fn answer(outcome: &Purchased) -> Answer {
    Answer { status: if matches!(outcome, Purchased::Bought(_)) { 201 } else { 409 }, body: String::new() }
}

async fn buy(store: &Store, player: PlayerId, key: &str) -> metagame::idempotency::Reply {
    let keyed = Keyed::economic(player, key.into(), "buy", &"potions", NOW, answer);
    let purchase = Purchase { player, offer: "potions".into(), quantity: 1, currency: None };
    store.purchase(keyed, purchase).await.expect("an answer")
}

fn order(reason: &str) -> Order {
    Order { actor: format!("operator:{MARK}"), reason: reason.into(), at_ms: NOW, ..Order::default() }
}

async fn ban(store: &Store, player: PlayerId, sanction_id: Uuid) {
    let new = NewSanction { sanction_id, player, kind: SanctionKind::Ban, until_ms: None };
    let order = Order { note: Some(MARK.as_bytes().to_vec()), ..order("cheating") };
    store.impose(new, order).await.expect("imposed");
}

async fn order_hero_pack(store: &Store, player: PlayerId) -> Uuid {
    let new = NewOrder {
        player,
        key: "k".into(),
        request_hash: [1; 32],
        offer: "hero-pack".into(),
        quantity: 1,
        money: Some("eur".into()),
        now_ms: NOW,
        life_ms: 3_600_000,
    };
    match store.make_order(new).await.expect("an answer") {
        Ordered::Order(order) => order.order_id,
        other => panic!("{other:?}"),
    }
}

async fn hear(store: &Store, order: Uuid, id: &str, news: News) {
    let event = PaymentEvent {
        id: id.into(),
        kind: "test".into(),
        at_s: NOW / 1_000,
        is_live: false,
        order: Some(order),
        intent: Some("pi_1".into()),
        news,
    };
    store.hear_payment(event, NOW).await.expect("heard");
}

#[tokio::test]
async fn accounts_and_sanctions_are_told_once() {
    for (store, _keep) in told().await {
        let ada = player(&store, 1).await;
        player(&store, 1).await;
        let sanction = Uuid::from_bytes([5; 16]);
        ban(&store, ada, sanction).await;
        ban(&store, ada, sanction).await;
        store.lift(sanction, order("mistake")).await.expect("lifted");
        store.lift(sanction, order("mistake")).await.expect("it is over");
        let told = tail(&store, 0).await;
        assert_eq!(types(&told), ["account.created", "sanction.imposed", "sanction.lifted"]);
        let imposed = &told[1].1;
        assert_eq!((&imposed["sanction"], &imposed["reason"]), (&"ban".into(), &"cheating".into()));
        assert_eq!((&imposed["until_ms"], &imposed["sanction_id"]), (&Value::Null, &sanction.to_string().into()));
        let all = events(&store).await;
        assert_eq!(all[0].id, format!("account_created_{ada}"));
        assert!(all.iter().all(|event| event.subject == format!("player/{ada}") && event.at_ms == NOW), "{all:?}");
    }
}

#[tokio::test]
async fn purchases_grants_orders_and_refunds_are_told_with_what_they_moved() {
    for (store, _keep) in told().await {
        let ada = player(&store, 1).await;
        assert_eq!(
            buy(&store, ada, "too poor").await,
            metagame::idempotency::Reply::New(answer(&Purchased::SoldOut { left: 0 }))
        );
        give(&store, ada, 50).await;
        buy(&store, ada, "k1").await;
        buy(&store, ada, "k1").await;
        let order_id = order_hero_pack(&store, ada).await;
        let paid = News::Paid { subtotal: 999, total: 999, money: "eur".into() };
        for _ in 0..2 {
            hear(&store, order_id, "evt_paid", paid.clone()).await;
        }
        hear(&store, order_id, "evt_back", News::Refunded { amount: 999 }).await;
        let told = tail(&store, 1).await;
        assert_eq!(
            types(&told),
            ["grant.made", "purchase.completed", "order.opened", "order.changed", "order.changed"],
            "what was refused or came twice is not told"
        );
        assert_eq!((&told[0].1["kind"], &told[0].1["currencies"][0]["amount"]), (&"test".into(), &50.into()));
        let bought = &told[1].1;
        assert_eq!(
            (&bought["offer"], &bought["paid"], &bought["currency"]),
            (&"potions".into(), &20.into(), &"gold".into())
        );
        assert_eq!((&bought["items"][0]["item"], &bought["items"][0]["quantity"]), (&"potion".into(), &5.into()));
        for (told, state, paid, back) in [(&told[3].1, "paid", 999, 0), (&told[4].1, "refunded", 999, 999)] {
            assert_eq!((&told["order_id"], &told["state"]), (&order_id.to_string().into(), &state.into()));
            assert_eq!(
                (&told["paid"], &told["taken_back"], &told["money"]),
                (&paid.into(), &back.into(), &"eur".into())
            );
        }
        let ids: BTreeSet<String> = events(&store).await.into_iter().map(|event| event.id).collect();
        assert_eq!(ids.len(), 6, "each has an id of its own");
    }
}

const PROGRESS: &str = r#"
    version = 1
    [[currency]]
    id = "gold"
    kind = "soft"
    [[item]]
    id = "pass"
    stacks = true
    [[item]]
    id = "sword"
    tradable = true
"#;

fn match_id(n: u8) -> MatchId {
    MatchId::from_entropy([n; 16])
}

fn result(n: u8, players: &[PlayerId], progression: &Arc<Progression>) -> VerifiedResult {
    let stats = BTreeMap::from([("kills".to_owned(), 5)]);
    verified(of_match(n, NOW, in_order(players, &stats)), progression, NOW)
}

/// A match between players with marked names, from its ticket to its start.
async fn play(store: &Store, n: u8, players: &[PlayerId]) {
    let seat = |(team, player_id): (usize, &PlayerId)| Seat {
        player_id: *player_id,
        team: team as u32,
        name: format!("{MARK} {team}"),
    };
    let opened = MatchOpened {
        match_id: match_id(n),
        queue: "duel".into(),
        trace_id: "trace".into(),
        roster: players.iter().enumerate().map(seat).collect(),
        placement: Placement { region: "eu".into(), ..Placement::default() },
        placed_at_ms: NOW,
    };
    store.open_match(opened).await.expect("open");
    let report = MatchReport {
        match_id: match_id(n),
        report: Report::Playing,
        reason: String::new(),
        trace_id: String::new(),
        queue: String::new(),
        roster: vec![],
        placement: Placement::default(),
        at_ms: NOW,
    };
    for _ in 0..2 {
        store.report_match(report.clone()).await.expect("report");
    }
}

#[tokio::test]
async fn matches_and_what_they_lead_to_are_told_without_names() {
    let catalog: Arc<Catalog> = Arc::new(catalog_file::parse(PROGRESS).expect("a catalog"));
    let rules = Arc::new(parse(include_str!("../players/progression.toml"), &catalog).expect("rules"));
    for (store, _keep) in stores().await {
        let store = store.with_catalog(Arc::clone(&catalog));
        listen(&store).await;
        let players = [player(&store, 1).await, player(&store, 2).await];
        play(&store, 1, &players).await;
        for _ in 0..2 {
            store.record_result(result(1, &players, &rules)).await.expect("recorded");
        }
        let told = tail(&store, 2).await;
        let count = |name: &str| types(&told).into_iter().filter(|one| *one == name).count();
        assert_eq!((count("match.started"), count("match.ended")), (1, 1), "{told:?}");
        let of = |name: &str, player: PlayerId| -> Vec<&Value> {
            let is = |(one, data): &&(String, Value)| one == name && data["player_id"] == player.to_string();
            told.iter().filter(is).map(|(_, data)| data).collect()
        };
        // 100 XP for the winner, 50 for the other; five kills are a week's challenge and a hidden achievement.
        assert_eq!(of("level.reached", players[0])[0]["level"], 2, "{told:?}");
        assert_eq!(of("level.reached", players[1]).len(), 0);
        for player in players {
            let mut goals: Vec<&str> =
                of("goal.reached", player).iter().map(|data| data["goal"].as_str().expect("one")).collect();
            goals.sort_unstable();
            assert_eq!(goals, ["achievement:spree", "challenge:kill"]);
        }
        let before = events(&store).await.len();
        for _ in 0..2 {
            store.claim(players[0], Claim::Level(2), Arc::clone(&rules), NOW).await.expect("an answer");
        }
        let claimed = tail(&store, before).await;
        assert_eq!(types(&claimed), ["grant.made", "reward.claimed"], "{claimed:?}");
        assert_eq!((&claimed[0].1["kind"], &claimed[1].1["claim"]), (&"claim".into(), &"level:2".into()));
        let over_ms = rules.seasons["s1"].archive_ms();
        for _ in 0..2 {
            store.archive_seasons(Arc::clone(&rules), over_ms).await.expect("archived");
        }
        let archived = tail(&store, before + 2).await;
        assert_eq!(types(&archived), ["season.archived"]);
        assert_eq!(archived[0].1["season"], "s1");
        for event in events(&store).await {
            assert!(!event.data.contains(MARK), "{event:?}");
        }
    }
}

#[tokio::test]
async fn a_party_is_told_when_others_are_in_it_or_it_queues_and_when_it_is_over() {
    for (store, _keep) in told().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let id = PartyId::from_entropy([1; 16]);
        let new = NewParty { player: ada, party_id: id, size_max: 4, code: Some("CDFGHJKM".into()), now_ms: NOW };
        for _ in 0..2 {
            store.make_party(new.clone()).await.expect("a use case").expect("a party");
        }
        store.join_party(bob, Entrance::Code("CDFGHJKM".into()), NOW).await.expect("a use case").expect("in");
        let step = async |player, act| {
            store
                .step_party(PartyStep { player, act, version: None, now_ms: NOW })
                .await
                .expect("a use case")
                .expect("done")
        };
        for player in [ada, bob] {
            step(player, PartyAct::Ready(true, Default::default())).await;
        }
        step(ada, PartyAct::Queue(TicketId::from_entropy([3; 16]))).await;
        step(ada, PartyAct::Leave).await;
        step(bob, PartyAct::Leave).await;
        let told = tail(&store, 2).await;
        let changed = "party.changed";
        assert_eq!(types(&told), [changed, changed, changed, changed, "party.disbanded"], "{told:?}");
        assert_eq!((&told[0].1["is_lobby"], &told[1].1["members"][1]), (&true.into(), &bob.to_string().into()));
        assert!(told[2].1["ticket_id"].is_string());
        assert_eq!(
            (&told[3].1["leader_id"], &told[4].1["party_id"]),
            (&bob.to_string().into(), &id.to_string().into())
        );
        let all = events(&store).await;
        assert!(all.iter().all(|event| !event.data.contains("CDFGHJKM")), "the code is a secret");
        assert_eq!(all.iter().map(|event| &event.id).collect::<BTreeSet<_>>().len(), all.len());
    }
}

#[tokio::test]
async fn nobody_listens_and_nothing_is_written_and_each_hears_what_it_wants() {
    for (store, keep) in stores().await {
        player(&store, 1).await;
        let wants = BTreeSet::from([EventType::SanctionImposed]);
        let sinks = vec![(BUS.to_owned(), Wants::All), ("webhooks".to_owned(), Wants::These(wants))];
        store.set_event_sinks(sinks).await.expect("named");
        let ada = player(&store, 2).await;
        // Another program on the same database, such as an operator's command.
        let other = keep.open().await;
        ban(&other, ada, Uuid::from_bytes([5; 16])).await;
        let of = async |sink| -> Vec<String> {
            let events = store.pending_events(sink, 10).await.expect("read");
            events.into_iter().map(|event| event.type_name).collect()
        };
        assert_eq!(of(BUS).await, ["account.created", "sanction.imposed"], "from then on");
        assert_eq!(of("webhooks").await, ["sanction.imposed"]);
        store.set_event_sinks(vec![]).await.expect("named");
        player(&store, 3).await;
        assert_eq!(of(BUS).await.len(), 2, "nothing new, and what waited waits");
    }
}

#[tokio::test]
async fn what_waits_of_an_erased_player_has_its_id_and_nothing_else_and_its_end_comes_last() {
    for (store, _keep) in told().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        play(&store, 1, &[ada, bob]).await;
        give(&store, ada, 50).await;
        buy(&store, ada, "k1").await;
        ban(&store, ada, Uuid::from_bytes([5; 16])).await;
        let receipt = Uuid::from_bytes([8; 16]);
        for _ in 0..2 {
            store.begin_erasure(ada, receipt, order("")).await.expect("begun").expect("a player");
            store.erase_lines(ada).await.expect("erased");
        }
        let all = events(&store).await;
        assert!(all.len() >= 6, "{all:?}");
        for event in &all {
            assert!(!format!("{event:?}").contains(MARK), "{event:?}");
        }
        let subject = format!("player/{ada}");
        let own: Vec<&str> =
            all.iter().filter(|event| event.subject == subject).map(|event| event.type_name.as_str()).collect();
        assert_eq!(own, ["account.created", "grant.made", "purchase.completed", "sanction.imposed", "account.erased"]);
    }
}

/// The states of PostgreSQL after which a transaction is repeated: serialization failure, deadlock, lock not available.
const STATES: [&str; 3] = ["40001", "40P01", "55P03"];

#[tokio::test(flavor = "multi_thread")]
async fn a_use_case_that_is_repeated_tells_once() {
    for state in STATES {
        for (store, keep) in told().await {
            let Keep::Database(database) = &keep else { continue };
            let ada = player(&store, 1).await;
            give(&store, ada, 50).await;
            database.psql(&format!(
                "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF nextval('tries') <= 3 THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END IF;
                 RETURN NEW; END $$;
                 CREATE TRIGGER fail BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION fail()"
            ));
            buy(&store, ada, "k1").await;
            assert_eq!(types(&tail(&store, 2).await), ["purchase.completed"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_case_whose_commit_was_cut_off_tells_once() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let database = TestDatabase::new();
        let port = shared().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
        let url = format!("postgres://postgres@{}/{}?sslmode=disable", proxy.address(), database.name());
        let limits = DatabaseLimits { patience: Duration::from_secs(20), ..DatabaseLimits::default() };
        let store = Store::open(&DatabaseLocation::parse(&url).expect("an address"), limits).await.expect("a database");
        let store = store.with_catalog(catalog());
        listen(&store).await;
        let ada = player(&store, 1).await;
        give(&store, ada, 50).await;
        proxy.cut_commits(at, 2);
        buy(&store, ada, "k1").await;
        assert!(proxy.cuts_left() < 2);
        assert_eq!(types(&tail(&store, 2).await), ["purchase.completed"]);
        assert_eq!(backlog(&store).await.pending, 3);
    }
}
