//! What follows from what the cluster shows.

mod harness;

use std::time::Duration;

use allocator::Limits;
use allocator::core::cluster::{ClusterPicture, DrainWish, FleetRules, FleetWish, RevisionRule, SeenServer};
use allocator::core::effect::Order;
use allocator::core::link::LinkId;
use harness::{Harness, registration, request};
use protocol::pb::MatchPhase;

/// Servers of fleet "arena-eu" by name, node and state; the fleet wants `replicas`.
fn picture(servers: &[(&str, &str, &str)], replicas: u32) -> ClusterPicture {
    let seen = |node: &str, state: &str| SeenServer {
        fleet: "arena-eu".into(),
        node: node.into(),
        state: state.into(),
        drain: None,
    };
    ClusterPicture {
        servers: servers.iter().map(|(name, node, state)| ((*name).into(), seen(node, state))).collect(),
        fleets: [("arena-eu".into(), FleetWish { replicas: Some(replicas), drain: None })].into(),
        rules: [].into(),
    }
}

fn retired(h: &mut Harness, links: &[u64]) -> Vec<u64> {
    links.iter().copied().filter(|link| h.orders(*link).contains(&Order::Retire)).collect()
}

/// Asks for match `byte` without patience: the link of 1 and 2 that it was assigned on, if any. It is joinable then.
fn allocate(h: &mut Harness, byte: u8) -> Option<u64> {
    h.call(request(byte), 1, 0);
    let number = |order: &Order| if let Order::Assign { attempt, .. } = order { Some(*attempt) } else { None };
    let assigned = [1, 2].into_iter().find_map(|link| Some((link, h.orders(link).iter().find_map(number)?)));
    let (link, attempt) = assigned?;
    h.joinable(link, byte, attempt);
    Some(link)
}

#[test]
fn a_server_that_the_cluster_no_longer_shows_is_lost_at_once_with_its_match() {
    let mut h = Harness::new(&[(1, 1)]);
    h.show(picture(&[("server-1", "a", "Reserved")], 1));
    h.place(1, 9);
    h.show(picture(&[], 1));
    assert!(h.closed.contains(&LinkId(1)), "its stream is ended");
    assert_eq!(h.core.census().rooms_taken, 0);
}

#[test]
fn surplus_idle_servers_are_retired_emptiest_node_first_and_busy_ones_never() {
    let mut h = Harness::new(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
    h.place(1, 9);
    let servers = [
        ("server-1", "full", "Allocated"),
        ("server-2", "full", "Reserved"),
        ("server-3", "idle", "Reserved"),
        ("server-4", "idle", "Reserved"),
    ];
    h.show(picture(&servers, 4));
    assert_eq!(retired(&mut h, &[1, 2, 3, 4]), [0; 0]);
    h.show(picture(&servers, 2));
    assert_eq!(retired(&mut h, &[1, 2, 3, 4]), [3, 4]);
    h.show(picture(&servers, 2));
    assert_eq!(retired(&mut h, &[1, 2, 3, 4]), [0; 0], "those that leave count no more");
    h.show(picture(&servers, 0));
    assert_eq!(retired(&mut h, &[1, 2, 3, 4]), [2], "the busy one stays");
}

#[test]
fn a_drain_is_ordered_once_with_the_deadline_of_its_first_sight_and_again_at_registration() {
    let mut h = Harness::new(&[(1, 1)]);
    let mut draining = picture(&[("server-1", "a", "Reserved"), ("server-2", "a", "Reserved")], 2);
    let until_unix_ms = h.now().unix_ms + 60_000;
    draining.fleets.get_mut("arena-eu").expect("there").drain =
        Some(DrainWish { until_unix_ms, reason: "replaced".into() });
    h.show(draining.clone());
    let drain = |left_s| Order::Drain { left: Duration::from_secs(left_s), reason: "replaced".into() };
    assert_eq!(h.orders(1), [drain(60)]);
    h.pass(10_000, &[1]);
    h.show(draining.clone());
    assert_eq!(h.orders(1), [], "said already");
    h.register(2, registration(2, 1)).expect("registered");
    assert!(h.orders(2).contains(&drain(60)), "the wall clock of this test stands still");
    // Taken away: a drain is not undone.
    draining.fleets.get_mut("arena-eu").expect("there").drain = None;
    h.show(draining);
    assert_eq!(allocate(&mut h, 9), None, "no server takes matches");
}

#[test]
fn new_matches_follow_the_weights_and_an_empty_canary_falls_back_to_stable() {
    let mut h = Harness::leader(1, None, Limits::default());
    for (byte, revision) in [(1, "stable"), (2, "canary")] {
        let mut server = registration(byte, 100);
        server.facts.revision = revision.into();
        h.register(u64::from(byte), server).expect("registered");
    }
    let rule = |name: &str, weight, is_stable| RevisionRule { name: name.into(), build: "1".into(), weight, is_stable };
    let rules = |canary| FleetRules {
        distributed: false,
        revisions: vec![rule("stable", 100 - canary, true), rule("canary", canary, false)],
    };
    let mut all = picture(&[("server-1", "a", "Reserved"), ("server-2", "a", "Reserved")], 2);
    all.rules = [("arena".into(), rules(0))].into();
    h.show(all.clone());
    for byte in 10..30 {
        assert_eq!(allocate(&mut h, byte), Some(1), "a canary without a share gets nothing");
    }
    all.rules = [("arena".into(), rules(100))].into();
    h.show(all.clone());
    for byte in 30..50 {
        assert_eq!(allocate(&mut h, byte), Some(2));
    }
    all.servers.remove("server-2");
    h.show(all);
    assert_eq!(allocate(&mut h, 50), Some(1), "nobody else is there");
}

#[test]
fn an_allocated_server_without_a_match_is_reported_as_a_ghost_after_a_while() {
    let mut h = Harness::new(&[(1, 1)]);
    h.place(1, 9);
    h.show(picture(&[("server-1", "a", "Allocated"), ("server-2", "a", "Allocated")], 2));
    h.pass(15_000, &[1]);
    assert_eq!(h.core.ghosts(), [""; 0]);
    h.pass(10_000, &[1]);
    assert_eq!(h.core.ghosts(), ["server-2"]);
    h.update(1, 9, MatchPhase::Ended, 1);
    h.update(1, 9, MatchPhase::Closed, 2);
    h.pass(25_000, &[1]);
    assert_eq!(h.core.ghosts(), ["server-1", "server-2"]);
    h.show(picture(&[("server-1", "a", "Reserved")], 2));
    h.pass(2_000, &[1]);
    assert_eq!(h.core.ghosts(), [""; 0]);
}

#[test]
fn fleets_and_servers_of_one_name_in_two_namespaces_are_not_mixed_up() {
    let mut h = Harness::leader(1, None, Limits::default());
    for (byte, namespace, revision) in [(1, "live", "stable"), (2, "test", "trial")] {
        let mut server = registration(byte, 100);
        server.facts.name = "arena-eu-1".into();
        (server.facts.namespace, server.facts.revision) = (namespace.into(), revision.into());
        h.register(u64::from(byte), server).expect("the same name in another namespace is another server");
    }
    let only = |name: &str| FleetRules {
        distributed: false,
        revisions: vec![RevisionRule { name: name.into(), build: "1".into(), weight: 100, is_stable: true }],
    };
    let seen = |namespace: &str| SeenServer {
        fleet: format!("{namespace}/arena-eu"),
        state: "Reserved".into(),
        ..SeenServer::default()
    };
    let wish = |replicas| FleetWish { replicas: Some(replicas), drain: None };
    let mut all = ClusterPicture {
        servers: ["live", "test"].map(|space| (format!("{space}/arena-eu-1"), seen(space))).into(),
        fleets: ["live", "test"].map(|space| (format!("{space}/arena-eu"), wish(1))).into(),
        rules: [("live/arena".into(), only("stable")), ("test/arena".into(), only("trial"))].into(),
    };
    h.show(all.clone());
    let place = |h: &mut Harness, byte: u8, namespace: &str| {
        let mut request = request(byte);
        request.namespace = namespace.into();
        h.call(request, 1, 0);
        let number = |order: &Order| if let Order::Assign { attempt, .. } = order { Some(*attempt) } else { None };
        let assigned = [1, 2].into_iter().find_map(|link| Some((link, h.orders(link).iter().find_map(number)?)));
        let (link, attempt) = assigned.expect("placed");
        h.joinable(link, byte, attempt);
        link
    };
    for byte in 10..20 {
        assert_eq!((place(&mut h, byte, "live"), place(&mut h, byte + 20, "test")), (1, 2));
    }
    for byte in (10..20).chain(30..40) {
        let link = if byte < 20 { 1 } else { 2 };
        h.update(link, byte, MatchPhase::Ended, u64::from(byte) * 2);
        h.update(link, byte, MatchPhase::Closed, u64::from(byte) * 2 + 1);
    }
    all.fleets.insert("test/arena-eu".into(), wish(0));
    h.show(all.clone());
    assert_eq!(retired(&mut h, &[1, 2]), [2], "the other fleet has not shrunk");
    all.servers.remove("test/arena-eu-1");
    h.show(all);
    assert!(h.closed.contains(&LinkId(2)) && !h.closed.contains(&LinkId(1)), "only that one is gone");
}
