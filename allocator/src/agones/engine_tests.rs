//! Tests of the engine against a cluster in memory, in virtual time.

use std::sync::atomic::AtomicBool;

use super::super::core::fleets::Fleet;
use super::super::core::server::MATCH;
use super::super::core::server::fixtures::ready;
use super::super::fake_cluster::{FakeCluster, Fault, engine, leads};
use super::*;

fn cluster(count: usize) -> Arc<FakeCluster> {
    let cluster = Arc::new(FakeCluster::default());
    for n in 0..count {
        cluster.put(ready(&format!("a-{n}"), "a", "n1"));
    }
    cluster
}

fn running(count: usize) -> (Arc<FakeCluster>, Engine) {
    let cluster = cluster(count);
    let engine = engine(&cluster, leads(), &Shutdown::new());
    (cluster, engine)
}

fn fleet_a() -> Request {
    Request::of_fleet("games", "a")
}

fn for_match(id: &str) -> Request {
    let mut request = fleet_a();
    request.annotations.insert(MATCH.into(), id.into());
    request
}

fn name(answer: Answer) -> String {
    answer.expect("given out").server.key.name.to_string()
}

const NOW: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn a_conflict_costs_one_write_and_the_server_is_taken_as_it_is_now() {
    let (cluster, engine) = running(2);
    cluster.fail(&[Fault::Conflict]);
    assert_eq!(name(engine.allocate(fleet_a(), NOW).await), "a-0");
    assert_eq!(cluster.writes(), ["a-0", "a-0"]);
    assert_eq!(name(engine.allocate(fleet_a(), NOW).await), "a-1");
    assert_eq!(engine.allocate(fleet_a(), NOW).await.expect_err("none left"), AllocateError::NoServer);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_found_by_its_stamp_and_not_done_on_another_server() {
    let (cluster, engine) = running(2);
    cluster.fail(&[Fault::AnswerLost]);
    assert_eq!(name(engine.allocate(fleet_a(), NOW).await), "a-0");
    assert_eq!(cluster.allocated(), ["a-0"]);
    cluster.fail(&[Fault::Lost, Fault::AnswerLost]);
    assert_eq!(name(engine.allocate(fleet_a(), NOW).await), "a-1");
    assert_eq!(cluster.writes(), ["a-0", "a-0", "a-1", "a-1", "a-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_write_never_had_an_answer_stays_held_until_that_is_certain() {
    let (cluster, engine) = running(1);
    cluster.fail(&[Fault::Lost, Fault::Lost, Fault::Lost]);
    let error = engine.allocate(fleet_a(), NOW).await.expect_err("no answer");
    assert!(matches!(error, AllocateError::Unavailable(_)), "{error}");
    assert_eq!(engine.allocate(fleet_a(), NOW).await.expect_err("held"), AllocateError::NoServer);
    // Waiting ends with the certainty that nothing was written.
    assert_eq!(name(engine.allocate(fleet_a(), Duration::from_secs(120)).await), "a-0");

    let (cluster, engine) = running(1);
    cluster.fail(&[Fault::Lost, Fault::Lost, Fault::AnswerLost]);
    engine.allocate(for_match("m1"), NOW).await.expect_err("no answer");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let again = engine.allocate(for_match("m1"), NOW).await.expect("found");
    assert!(again.repeated);
    assert_eq!(cluster.allocated(), ["a-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_match_gets_one_server_however_often_it_is_asked_for() {
    let (cluster, engine) = running(3);
    let (one, two) = tokio::join!(engine.allocate(for_match("m1"), NOW), engine.allocate(for_match("m1"), NOW));
    let first = name(one);
    assert_eq!(name(two), first);
    let later = engine.allocate(for_match("m1"), NOW).await.expect("the same");
    assert!(later.repeated);
    assert_eq!(*later.server.key.name, first);
    assert_ne!(name(engine.allocate(for_match("m2"), NOW).await), first);
    assert_eq!(cluster.writes().len(), 2);
    // A new leader reads what the old one wrote, though no watch has told it yet.
    let next = super::super::fake_cluster::engine(&cluster, Arc::new(|| Ok(2)), &Shutdown::new());
    assert_eq!(name(next.allocate(for_match("m1"), NOW).await), first);
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_server_that_comes_free_and_who_waited_too_long_does_not() {
    let (cluster, engine) = running(0);
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.allocate(fleet_a(), Duration::from_secs(9)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let server = cluster.put(ready("a-7", "a", "n1"));
    engine.book(|book| book.observe(server));
    assert_eq!(name(waiting.await.expect("no panic")), "a-7");
    let began = Instant::now();
    let late = engine.allocate(fleet_a(), Duration::from_secs(3)).await;
    assert_eq!(late.expect_err("none came"), AllocateError::NoServer);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(engine.book(|book| book.counts()).waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_left_gets_nothing() {
    let (cluster, engine) = running(0);
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.allocate(fleet_a(), Duration::from_secs(9)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    waiting.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let server = cluster.put(ready("a-7", "a", "n1"));
    engine.book(|book| book.observe(server));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.writes(), Vec::<String>::new());
    assert_eq!(name(engine.allocate(fleet_a(), NOW).await), "a-7");
}

#[tokio::test(start_paused = true)]
async fn only_a_leader_writes() {
    let cluster = cluster(1);
    let leading = Arc::new(AtomicBool::new(false));
    let gate: Gate = {
        let leading = leading.clone();
        Arc::new(move || if leading.load(Ordering::Relaxed) { Ok(1) } else { Err(Some("10.0.0.9:7443".to_owned())) })
    };
    let engine = engine(&cluster, gate, &Shutdown::new());
    let error = engine.allocate(fleet_a(), NOW).await.expect_err("no leader");
    assert_eq!(error, AllocateError::NotLeader { leader: Some("10.0.0.9:7443".into()) });
    assert!(error.to_string().contains("10.0.0.9:7443"));
    leading.store(true, Ordering::Relaxed);
    // It leads until the first write got lost; the second is not sent.
    cluster.fail(&[Fault::Lost]);
    let call = tokio::spawn({
        let engine = engine.clone();
        async move { engine.allocate(fleet_a(), NOW).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    leading.store(false, Ordering::Relaxed);
    let error = call.await.expect("no panic").expect_err("leads no longer");
    assert!(matches!(error, AllocateError::NotLeader { .. }), "{error}");
    assert_eq!(cluster.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn fleets_and_namespaces_that_are_not_served_are_refused_with_a_sentence() {
    let (_, engine) = running(1);
    let error = engine.allocate(Request::of_fleet("elsewhere", "a"), NOW).await.expect_err("not served").to_string();
    assert!(error.contains("elsewhere") && error.contains("games"), "{error}");
    engine.book(|book| {
        book.fleets.set_fleet("games", "a", Some(Fleet { is_muster_pool: true, is_draining: false }));
    });
    let error = engine.allocate(fleet_a(), NOW).await.expect_err("refused").to_string();
    assert!(error.contains("pool muster") && error.contains("control link"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn many_callers_get_different_servers_whatever_fails() {
    for seed in 0..50_u64 {
        let (cluster, engine) = running(20);
        let faults = [Fault::Conflict, Fault::AnswerLost, Fault::Lost];
        for n in 0..10_u64 {
            let pick = (seed.wrapping_mul(2_654_435_761).wrapping_add(n * n * 7) >> 3) % 3;
            cluster.fail(&[faults[usize::try_from(pick).unwrap_or(0)]]);
        }
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(async move { engine.allocate(fleet_a(), Duration::from_secs(200)).await })
            })
            .collect();
        let mut given = Vec::new();
        for call in calls {
            given.extend(call.await.expect("no panic").ok().map(|given| given.server.key.name.to_string()));
        }
        let mut different = given.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), given.len(), "seed {seed}: {given:?}");
        let allocated = cluster.allocated();
        assert!(given.iter().all(|name| allocated.contains(name)), "seed {seed}: {given:?} {allocated:?}");
        assert!(given.len() >= 10, "seed {seed}: {given:?}");
    }
}
