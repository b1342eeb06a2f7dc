//! Tests of the book: choices, holds, waiting, and a seeded run against a scripted cluster.

use super::super::fleets::{BUILD_LABEL, Fleet, GAME_FLEET_LABEL, GameFleet, REVISION_LABEL};
use super::super::request::{Priority, PriorityKind, Scheduling};
use super::super::selector::{Bounds, CounterSelector, Selector};
use super::super::server::fixtures::ready;
use super::super::server::{Counter, DRAIN_DEADLINE, FLEET_LABEL, MATCH};
use super::*;
use crate::core::cluster::{FleetRules, RevisionRule};

fn book(servers: &[Server]) -> Book {
    let mut book = Book::new(8);
    servers.iter().cloned().for_each(|server| book.observe(server));
    book
}

fn fleet_a() -> Request {
    Request::of_fleet("games", "a")
}

fn name(held: Option<Arc<Server>>) -> Option<String> {
    held.map(|server| server.key.name.to_string())
}

/// What the server is after it was written.
fn allocated(server: &Server, version: u32) -> Server {
    Server { state: State::Allocated, resource_version: version.to_string(), ..server.clone() }
}

#[test]
fn packed_fills_the_node_that_has_the_most_matches() {
    let mut book =
        book(&[ready("a-1", "a", "n1"), ready("a-2", "a", "n2"), ready("a-3", "a", "n2"), ready("a-4", "a", "n1")]);
    book.observe(Server { resource_version: "2".into(), state: State::Allocated, ..ready("a-9", "a", "n2") });
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-2"));
    // What is held counts as a match of its node already.
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-3"));
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-1"));
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-4"));
    assert_eq!(name(book.hold(&fleet_a(), 0)), None);
    assert_eq!(book.counts(), Counts { ready: 0, allocated: 1, held: 4, waiting: 0 });
}

#[test]
fn without_matches_the_node_with_the_most_ready_servers_comes_first() {
    let mut book = book(&[ready("a-1", "a", "n1"), ready("a-2", "a", "n2"), ready("a-3", "a", "n2")]);
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-2"));
}

#[test]
fn the_first_selector_that_any_server_fits_wins() {
    let mut book = book(&[ready("a-1", "a", "n1"), ready("b-1", "b", "n2")]);
    let mut request = Request::of_fleet("games", "c");
    request.selectors.extend(Request::of_fleet("games", "b").selectors);
    request.selectors.extend(fleet_a().selectors);
    assert_eq!(name(book.hold(&request, 0)).as_deref(), Some("b-1"));
    assert_eq!(name(book.hold(&request, 0)).as_deref(), Some("a-1"));
    let any = Request { selectors: vec![Selector::any(State::Ready)], ..Request::of_fleet("elsewhere", "a") };
    assert_eq!(name(book.hold(&any, 0)), None);
}

#[test]
fn an_allocated_server_is_given_out_again_to_who_asks_for_it() {
    let mut book = book(&[ready("a-1", "a", "n1")]);
    let again = Request {
        selectors: vec![Selector { state: State::Allocated, ..fleet_a().selectors[0].clone() }],
        ..fleet_a()
    };
    assert_eq!(name(book.hold(&again, 0)), None);
    let held = book.hold(&fleet_a(), 0).expect("ready");
    book.written(allocated(&held, 2));
    assert_eq!(name(book.hold(&again, 0)).as_deref(), Some("a-1"));
}

#[test]
fn distributed_takes_any_by_chance_and_all_in_the_end() {
    let servers: Vec<_> = (0..5).map(|n| ready(&format!("a-{n}"), "a", "n1")).collect();
    let request = Request { scheduling: Scheduling::Distributed, ..fleet_a() };
    let firsts: BTreeSet<_> = (0..5).map(|random| name(book(&servers).hold(&request, random))).collect();
    assert_eq!(firsts.len(), 5);
    let mut book = book(&servers);
    let all: BTreeSet<_> = (0..5).map(|n| name(book.hold(&request, n * 7)).expect("one is left")).collect();
    assert_eq!((all.len(), name(book.hold(&request, 3))), (5, None));
}

fn with_room(name: &str, node: &str, room: Option<i64>) -> Server {
    let mut server = ready(name, "a", node);
    if let Some(room) = room {
        server.counters.insert("rooms".into(), Counter { count: 0, capacity: room });
    }
    server
}

#[test]
fn priorities_order_equal_nodes_and_servers_without_the_counter_come_last() {
    let servers = [
        with_room("a-1", "n1", Some(5)),
        with_room("a-2", "n2", Some(2)),
        with_room("a-3", "n3", Some(9)),
        with_room("a-4", "n4", None),
    ];
    let order = |scheduling, descending| {
        let priorities = vec![Priority { kind: PriorityKind::Counter, name: "rooms".into(), descending }];
        let request = Request { scheduling, priorities, ..fleet_a() };
        let mut book = book(&servers);
        std::iter::from_fn(move || {
            let held = book.hold(&request, 0)?;
            // Released nodes are equal again; the server itself is out.
            book.gone(&held.key);
            Some(held.key.name.to_string())
        })
        .collect::<Vec<_>>()
    };
    for scheduling in [Scheduling::Packed, Scheduling::Distributed] {
        assert_eq!(order(scheduling, true), ["a-3", "a-1", "a-2", "a-4"]);
        assert_eq!(order(scheduling, false), ["a-2", "a-1", "a-3", "a-4"]);
    }
}

#[test]
fn a_fuller_node_comes_before_a_priority_when_packed() {
    let mut book = book(&[with_room("a-1", "n1", Some(1)), with_room("a-2", "n2", Some(9))]);
    book.observe(Server { state: State::Allocated, ..ready("x-1", "x", "n1") });
    let priorities = vec![Priority { kind: PriorityKind::Counter, name: "rooms".into(), descending: true }];
    assert_eq!(name(book.hold(&Request { priorities, ..fleet_a() }, 0)).as_deref(), Some("a-1"));
}

#[test]
fn counters_are_looked_at_server_by_server() {
    for scheduling in [Scheduling::Packed, Scheduling::Distributed] {
        let mut book =
            book(&[with_room("a-1", "n1", Some(1)), with_room("a-2", "n1", Some(4)), with_room("a-3", "n2", None)]);
        let wanted = CounterSelector { available: Bounds { min: 3, max: 0 }, ..CounterSelector::default() };
        let selector = Selector { counters: [("rooms".to_owned(), wanted)].into(), ..fleet_a().selectors[0].clone() };
        let request = Request { scheduling, selectors: vec![selector], ..fleet_a() };
        assert_eq!(name(book.hold(&request, 2)).as_deref(), Some("a-2"));
        assert_eq!(name(book.hold(&request, 2)), None);
    }
}

#[test]
fn what_drains_or_is_deleted_or_is_of_musters_pool_is_not_given_out() {
    let mut draining = ready("a-1", "a", "n1");
    draining.annotations.insert(DRAIN_DEADLINE.into(), "2026-01-01T00:00:00Z".into());
    let deleting = Server { deleting: true, ..ready("a-2", "a", "n1") };
    let mut other_pool = ready("a-3", "a", "n1");
    Arc::make_mut(&mut other_pool.labels).insert(POOL_LABEL.into(), POOL_MUSTER.into());
    let mut book = book(&[draining, deleting, other_pool, ready("b-1", "b", "n1")]);
    assert_eq!(name(book.hold(&fleet_a(), 0)), None);
    book.fleets.set_fleet("games", "b", Some(Fleet { is_muster_pool: false, is_draining: true }));
    assert_eq!(name(book.hold(&Request::of_fleet("games", "b"), 0)), None);
}

#[test]
fn after_a_conflict_a_server_comes_back_when_its_change_is_seen() {
    let mut book = book(&[ready("a-1", "a", "n1")]);
    let held = book.hold(&fleet_a(), 0).expect("ready");
    assert!(book.conflicted(&held), "the change has not been seen");
    assert_eq!(name(book.hold(&fleet_a(), 0)), None);
    book.observe(ready("a-1", "a", "n1"));
    assert_eq!(name(book.hold(&fleet_a(), 0)), None, "the same old version says nothing");
    book.looked_up(Server { resource_version: "5".into(), ..ready("a-1", "a", "n1") });
    let held = book.hold(&fleet_a(), 0).expect("ready again");
    assert_eq!(held.resource_version, "5");
    // This time the change comes in while the write is under way.
    book.observe(Server { resource_version: "6".into(), ..ready("a-1", "a", "n1") });
    assert!(!book.conflicted(&held));
    assert_eq!(book.hold(&fleet_a(), 0).expect("ready").resource_version, "6");
}

#[test]
fn a_late_report_changes_nothing() {
    let mut book = book(&[ready("a-1", "a", "n1")]);
    let held = book.hold(&fleet_a(), 0).expect("ready");
    book.written(allocated(&held, 3));
    book.observe(Server { resource_version: "2".into(), ..ready("a-1", "a", "n1") });
    assert_eq!(name(book.hold(&fleet_a(), 0)), None);
    // Another one of the same name is another one.
    book.observe(Server { uid: "other".into(), resource_version: "4".into(), ..ready("a-1", "a", "n1") });
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-1"));
}

#[test]
fn a_server_that_went_while_it_was_held_does_not_come_back() {
    let mut book = book(&[ready("a-1", "a", "n1")]);
    let held = book.hold(&fleet_a(), 0).expect("ready");
    book.remove(&held.key);
    book.written(allocated(&held, 3));
    assert_eq!(book.counts(), Counts::default());
    book.retain("games", &BTreeSet::new());
    assert_eq!(book.counts(), Counts::default());
}

#[test]
fn a_match_is_found_while_its_server_is_given_out() {
    let mut book = book(&[ready("a-1", "a", "n1")]);
    let held = book.hold(&fleet_a(), 0).expect("ready");
    let mut given_out = allocated(&held, 2);
    given_out.annotations.insert(MATCH.into(), "m1".into());
    book.written(given_out.clone());
    assert_eq!(name(book.given_out_for("games", "m1")).as_deref(), Some("a-1"));
    assert_eq!(name(book.given_out_for("other", "m1")), None);
    book.observe(Server { state: State::Other, resource_version: "3".into(), ..given_out });
    assert_eq!(name(book.given_out_for("games", "m1")), None);
}

#[test]
fn who_waits_is_served_first_come_first_served_when_a_server_fits() {
    let mut book = book(&[]);
    let b = Arc::new(Request::of_fleet("games", "b"));
    book.wait(WaitId(1), b.clone()).expect("room");
    book.wait(WaitId(2), Arc::new(fleet_a())).expect("room");
    book.wait(WaitId(3), Arc::new(fleet_a())).expect("room");
    book.observe(ready("a-1", "a", "n1"));
    let granted = |book: &mut Book| {
        book.take_grants().into_iter().map(|(id, held)| (id.0, held.key.name.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(granted(&mut book), [(2, "a-1".to_owned())]);
    book.stop_waiting(WaitId(3));
    book.observe(ready("a-2", "a", "n1"));
    assert_eq!(granted(&mut book), []);
    assert_eq!(name(book.hold(&fleet_a(), 0)).as_deref(), Some("a-2"));
    for id in 10..17 {
        book.wait(WaitId(id), b.clone()).expect("room");
    }
    assert_eq!(book.wait(WaitId(99), b), Err(Full));
}

/// A cluster of a few servers that others change as well, a book that hears of changes late, and callers.
struct Model {
    seed: u64,
    random: u64,
    cluster: BTreeMap<Key, Server>,
    book: Book,
    /// Of the cluster, as the last change made it.
    version: u32,
    /// Changes that the book has not heard of.
    reports: VecDeque<(Key, Option<Server>)>,
    holds: Vec<Arc<Server>>,
    /// How often each server was given out, by uid.
    given: BTreeMap<String, u32>,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: seed,
            cluster: BTreeMap::new(),
            book: Book::new(4),
            version: 1,
            reports: VecDeque::new(),
            holds: Vec::new(),
            given: BTreeMap::new(),
        }
    }

    fn next(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.random >> 33) % below as u64).expect("below a usize")
    }

    fn step(&mut self) {
        self.version += 1;
        match self.next(7) {
            0 => self.a_server_comes(),
            1 => self.somebody_else_writes(),
            2 | 3 => self.the_book_hears(),
            4 => {
                let n = self.next(100) as u64;
                self.holds.extend(self.book.hold(&fleet_a(), n));
            }
            _ => self.a_held_server_is_written(),
        }
    }

    /// The cluster has it now, and will tell.
    fn put(&mut self, server: Server) {
        self.reports.push_back((server.key.clone(), Some(server.clone())));
        self.cluster.insert(server.key.clone(), server);
    }

    fn a_server_comes(&mut self) {
        let node = ["n1", "n2", "n3"][self.next(3)];
        let mut server = ready(&format!("a-{}", self.next(20)), "a", node);
        if self.cluster.len() < 12 && !self.cluster.contains_key(&server.key) {
            (server.uid, server.resource_version) = (self.version.to_string(), self.version.to_string());
            self.put(server);
        }
    }

    /// Somebody else writes, deletes, or frees a server: that is a new one to give out.
    fn somebody_else_writes(&mut self) {
        let (which, change) = (self.next(12), self.next(3));
        let Some(mut server) = self.cluster.values().nth(which).cloned() else { return };
        server.resource_version = self.version.to_string();
        if change == 0 {
            self.cluster.remove(&server.key);
            self.reports.push_back((server.key, None));
            return;
        }
        if change == 1 && server.state == State::Allocated {
            server.state = State::Ready;
            server.uid = format!("{}+{}", server.uid.split('+').next().unwrap_or(""), self.version);
        }
        self.put(server);
    }

    fn the_book_hears(&mut self) {
        match self.reports.pop_front() {
            Some((_, Some(server))) => self.book.observe(server),
            Some((key, None)) => self.book.remove(&key),
            None => {}
        }
    }

    fn a_held_server_is_written(&mut self) {
        if self.holds.is_empty() {
            return;
        }
        let which = self.next(self.holds.len());
        let held = self.holds.remove(which);
        match self.cluster.get(&held.key).cloned() {
            None => self.book.gone(&held.key),
            Some(now) if now.resource_version == held.resource_version => {
                assert_eq!(now.state, State::Ready, "seed {}", self.seed);
                let written = allocated(&now, self.version);
                *self.given.entry(written.uid.clone()).or_default() += 1;
                self.put(written.clone());
                self.book.written(written);
            }
            Some(now) => {
                if self.book.conflicted(&held) {
                    self.book.looked_up(now);
                }
            }
        }
    }

    /// Nobody holds a server any more, and the book has heard of everything.
    fn settle(&mut self) {
        for held in self.holds.drain(..) {
            self.book.released(&held.key);
        }
        while !self.reports.is_empty() {
            self.the_book_hears();
        }
    }
}

/// No server is given out twice, and in the end the book knows what the cluster has.
#[test]
fn whatever_happens_a_server_is_given_out_once() {
    for seed in 1..=300_u64 {
        let mut model = Model::new(seed);
        for _ in 0..400 {
            model.step();
        }
        assert!(model.given.values().all(|&count| count == 1), "seed {seed}: given out twice: {:?}", model.given);
        assert!(!model.given.is_empty(), "seed {seed}: nothing happened");
        model.settle();
        let ready = model.cluster.values().filter(|server| server.state == State::Ready).count();
        let allocated = model.cluster.len() - ready;
        assert_eq!(model.book.counts(), Counts { ready, allocated, held: 0, waiting: 0 }, "seed {seed}");
        assert!(model.cluster.values().all(|server| server.labels.contains_key(FLEET_LABEL)));
    }
}

/// A server of a revision of GameFleet "card".
fn of_revision(name: &str, revision: &str, build: &str) -> Server {
    let mut server = ready(name, &format!("card-eu-{revision}"), "n1");
    for (label, value) in [(GAME_FLEET_LABEL, "card"), (REVISION_LABEL, revision), (BUILD_LABEL, build)] {
        Arc::make_mut(&mut server.labels).insert(label.into(), value.into());
    }
    server
}

fn in_rollout(servers: &[Server], canary_weight: u32) -> Book {
    let rule = |name: &str, build: &str, weight, is_stable| RevisionRule {
        name: name.into(),
        build: build.into(),
        weight,
        is_stable,
    };
    let revisions = vec![rule("new", "2", canary_weight, false), rule("old", "1", 100 - canary_weight, true)];
    let rules = FleetRules { distributed: false, revisions };
    let mut book = book(servers);
    book.fleets.set_game_fleet("games", "card", Some(GameFleet { is_ours: true, rules }));
    book
}

fn any_card() -> Request {
    let labels = [(GAME_FLEET_LABEL.to_owned(), "card".to_owned())].into();
    let selector = Selector { labels, ..Selector::any(State::Ready) };
    Request { namespace: "games".into(), selectors: vec![selector], ..Request::default() }
}

#[test]
fn a_caller_who_takes_any_revision_gets_them_by_weight_and_a_match_always_the_same() {
    let mut book = in_rollout(&[of_revision("new-1", "new", "2"), of_revision("old-1", "old", "1")], 10);
    let mut given = |request: &Request, random: u64| {
        let held = book.hold(request, random).expect("one of each is Ready");
        book.released(&held.key);
        held.key.name.to_string()
    };
    let canary = (0..10_000_u64).filter(|n| given(&any_card(), hash(&n.to_le_bytes())) == "new-1").count();
    assert!((850..1_150).contains(&canary), "{canary} of 10,000");
    for n in 0..50 {
        let request = Request { annotations: [(MATCH.to_owned(), format!("match-{n}"))].into(), ..any_card() };
        assert_eq!(given(&request, 0), given(&request, u64::MAX), "match-{n}");
    }
    let mut of_build = any_card();
    of_build.selectors[0].labels.insert(BUILD_LABEL.into(), "2".into());
    assert!((0..50).all(|n| given(&of_build, n) == "new-1"), "only one revision has that build");
    assert!((0..50).all(|n| given(&Request::of_fleet("games", "card-eu-new"), n) == "new-1"), "it named the Fleet");
}

#[test]
fn an_empty_canary_falls_back_to_stable_and_an_empty_stable_does_not_fill_the_canary() {
    let mut book = in_rollout(&[of_revision("old-1", "old", "1")], 100);
    assert_eq!(name(book.hold(&any_card(), 7)).as_deref(), Some("old-1"));
    let mut book = in_rollout(&[of_revision("new-1", "new", "2")], 0);
    assert_eq!(name(book.hold(&any_card(), 7)), None);
    // Who waits gets the revision that was drawn, whenever a server of it comes.
    let mut book = in_rollout(&[], 50);
    for id in 0..8 {
        book.wait(WaitId(id), Arc::new(any_card())).expect("room");
    }
    for number in 0..8 {
        book.observe(of_revision(&format!("new-{number}"), "new", "2"));
    }
    let drawn = book.take_grants().len();
    assert!((1..8).contains(&drawn), "{drawn} of 8 drew the canary");
    for number in 0..8 {
        book.observe(of_revision(&format!("old-{number}"), "old", "1"));
    }
    assert_eq!(book.take_grants().len(), 8 - drawn);
}
