//! Events of matches and their deliveries, on both databases.

#[path = "stores/results.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod results;
mod stores;

use std::collections::{BTreeMap, BTreeSet};

use metagame::core::match_event::{EventKind, Placement};
use metagame::core::match_state::Report;
use metagame::core::webhook::{Next, Schedule};
use metagame::store::{
    Delivery, EVENT_LIFE_MS, MatchOpened, MatchReport, Order, Recorded, Seat, Settled, Settlement, Store, Subscription,
};
use protocol::certificate::MatchResult;
use protocol::id::{MatchId, PlayerId};
use results::{of_match, played, verified};
use serde_json::Value;
use stores::{Keep, stores};

const NOW: u64 = 1_700_000_000_000;

/// Stores with these endpoints; each hears of everything.
async fn stores_for(names: &[&str]) -> Vec<(Store, Keep)> {
    let stores = stores().await;
    for (store, _) in &stores {
        store.set_subscriptions(names.iter().map(|name| all(name)).collect()).await.expect("subscriptions");
    }
    stores
}

fn all(name: &str) -> Subscription {
    Subscription { endpoint: name.into(), kinds: EventKind::ALL.into(), others: BTreeSet::new() }
}

fn match_id(n: u8) -> MatchId {
    MatchId::from_entropy([n; 16])
}

fn player(n: u8) -> PlayerId {
    PlayerId::from_entropy([n; 16])
}

async fn placed(store: &Store, n: u8) {
    let seat = |n: u8| Seat { player_id: player(n), team: u32::from(n), name: format!("Name {n}") };
    let opened = MatchOpened {
        match_id: match_id(n),
        queue: "duel".into(),
        trace_id: "trace".into(),
        roster: vec![seat(0), seat(1)],
        placement: Placement { server_id: "s-1".into(), region: "eu".into(), ..Placement::default() },
        placed_at_ms: NOW,
    };
    store.open_match(opened).await.expect("open");
}

async fn told(store: &Store, n: u8, report: Report, at_ms: u64) -> bool {
    let report = MatchReport {
        match_id: match_id(n),
        report,
        reason: "because".into(),
        trace_id: String::new(),
        queue: String::new(),
        roster: vec![],
        placement: Placement { server_name: "arena-1".into(), build: "1.0".into(), ..Placement::default() },
        at_ms,
    };
    store.report_match(report).await.expect("report")
}

async fn ended(store: &Store, n: u8, ticks: u32, now_ms: u64) -> Recorded {
    let part = |n: u8| played(player(n), u32::from(n), u32::from(n) + 1, BTreeMap::from([("kills".into(), 3)]));
    let result = MatchResult { ticks, trace_id: String::new(), ..of_match(n, NOW + 21_000, vec![part(0), part(1)]) };
    let mut verified = verified(result, &Default::default(), now_ms);
    // Another than the match was opened on.
    verified.claims.build = "1.1".into();
    store.record_result(verified).await.expect("record")
}

async fn due(store: &Store, endpoint: &str, now_ms: u64) -> Vec<Delivery> {
    store.due_deliveries(endpoint.into(), now_ms, 100).await.expect("due").due
}

async fn settle(store: &Store, endpoint: &str, delivery: &Delivery, outcome: Settlement) {
    let settled = vec![Settled { sequence: delivery.sequence, outcome }];
    store.settle_deliveries(endpoint.into(), settled).await.expect("settled");
}

/// Delivers everything that becomes due, and says what it was in order.
async fn drain(store: &Store, endpoint: &str, now_ms: u64) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let now_due = due(store, endpoint, now_ms).await;
        if now_due.is_empty() {
            return events;
        }
        for delivery in now_due {
            let event: Value = serde_json::from_str(&delivery.body).expect("JSON");
            assert_eq!(event["id"], delivery.event_id);
            events.push(event);
            settle(store, endpoint, &delivery, Settlement::Delivered).await;
        }
    }
}

/// What an operator orders then.
fn order(at_ms: u64) -> Order {
    Order { at_ms, ..Order::default() }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

#[tokio::test]
async fn a_match_is_one_start_and_one_end_however_often_it_is_told() {
    for (store, _keep) in stores_for(&["a"]).await {
        placed(&store, 1).await;
        for _ in 0..3 {
            told(&store, 1, Report::Playing, NOW + 1_000).await;
            told(&store, 1, Report::Ended, NOW + 21_000).await;
        }
        assert!(matches!(ended(&store, 1, 1_200, NOW + 22_000).await, Recorded::First { .. }));
        assert_eq!(ended(&store, 1, 1_200, NOW + 23_000).await, Recorded::Again);
        told(&store, 1, Report::Lost, NOW + 24_000).await;
        let events = drain(&store, "a", NOW + 30_000).await;
        assert_eq!(kinds(&events), ["match.started", "match.ended"]);
        let (start, end) = (&events[0]["data"], &events[1]["data"]);
        assert_eq!(
            (&start["queue"], &start["region"], &start["server_id"]),
            (&"duel".into(), &"eu".into(), &"s-1".into())
        );
        assert_eq!((&start["server_name"], &start["build"]), (&"arena-1".into(), &"1.0".into()));
        assert_eq!(start["teams"][1]["players"][0]["name"], "Name 1");
        assert_eq!(
            (&end["build"], &end["after_lost"], &end["trace_id"]),
            (&"1.1".into(), &false.into(), &"trace".into())
        );
        let winner = &end["teams"][0]["players"][0];
        assert_eq!((&winner["name"], &winner["place"], &winner["score"]), (&"Name 0".into(), &1.into(), &5.into()));
        assert_eq!(winner["stats"]["kills"], 3);
    }
}

#[tokio::test]
async fn a_result_alone_tells_of_the_start_it_proves() {
    for (store, _keep) in stores_for(&["a"]).await {
        ended(&store, 1, 1_200, NOW + 22_000).await;
        placed(&store, 2).await;
        ended(&store, 2, 0, NOW + 22_000).await;
        let events = drain(&store, "a", NOW + 30_000).await;
        let of = |n: u8| {
            let id = match_id(n).to_string();
            events.iter().filter(|event| event["data"]["match_id"] == id).cloned().collect::<Vec<_>>()
        };
        assert_eq!(kinds(&of(1)), ["match.started", "match.ended"]);
        assert_eq!(of(1)[0]["data"]["started_at_ms"], NOW + 1_000);
        assert_eq!(kinds(&of(2)), ["match.ended"], "nobody joined, so it never started");
    }
}

#[tokio::test]
async fn a_lost_match_whose_result_comes_has_ended_after_lost() {
    for (store, _keep) in stores_for(&["a"]).await {
        placed(&store, 1).await;
        told(&store, 1, Report::Playing, NOW + 1_000).await;
        told(&store, 1, Report::Lost, NOW + 2_000).await;
        ended(&store, 1, 1_200, NOW + 3_000).await;
        let events = drain(&store, "a", NOW + 30_000).await;
        assert_eq!(kinds(&events), ["match.started", "match.lost", "match.ended"]);
        let lost = &events[1]["data"];
        assert_eq!((&lost["reason"], &lost["started_at_ms"]), (&"because".into(), &(NOW + 1_000).into()));
        assert_eq!(events[2]["data"]["after_lost"], true);
    }
}

#[tokio::test]
async fn an_endpoint_hears_only_of_what_it_wants_and_from_when_it_is_named() {
    for (store, _keep) in stores_for(&[]).await {
        ended(&store, 1, 1_200, NOW).await;
        let lost_only = BTreeSet::from([EventKind::Lost]);
        let lost_only = Subscription { endpoint: "lost".into(), kinds: lost_only, others: BTreeSet::new() };
        store.set_subscriptions(vec![all("every"), lost_only]).await.expect("subscriptions");
        placed(&store, 2).await;
        told(&store, 2, Report::Playing, NOW).await;
        told(&store, 2, Report::Lost, NOW).await;
        assert_eq!(kinds(&drain(&store, "lost", NOW).await), ["match.lost"]);
        // Not named any more: what it has not heard of is kept, new events are not for it.
        store.set_subscriptions(vec![]).await.expect("subscriptions");
        ended(&store, 3, 1_200, NOW).await;
        store.set_subscriptions(vec![all("every")]).await.expect("subscriptions");
        assert_eq!(kinds(&drain(&store, "every", NOW).await), ["match.started", "match.lost"]);
    }
}

#[tokio::test]
async fn a_later_event_of_a_match_waits_for_the_earlier_and_no_other_match_does() {
    for (store, _keep) in stores_for(&["a", "b"]).await {
        for n in [1, 2] {
            ended(&store, n, 1_200, NOW).await;
        }
        let first = due(&store, "a", NOW).await;
        assert_eq!(first.len(), 2, "one of each match");
        let again = Settlement::Again { at_ms: NOW + 5_000, reason: "500".into() };
        settle(&store, "a", &first[0], again).await;
        settle(&store, "a", &first[1], Settlement::Delivered).await;
        let waits = store.due_deliveries("a".into(), NOW + 1, 100).await.expect("due");
        assert_eq!((waits.due.len(), waits.next_at_ms), (1, Some(NOW + 5_000)), "the other match's end");
        assert_eq!(waits.due[0].event_id, EventKind::Ended.event_id(match_id(2)));
        let retried = due(&store, "a", NOW + 5_000).await;
        assert!(retried.iter().any(|one| one.event_id == first[0].event_id && one.attempts == 1), "{retried:?}");
        assert_eq!(drain(&store, "b", NOW).await.len(), 4, "another endpoint knows nothing of it");
    }
}

#[tokio::test]
async fn what_is_pending_survives_the_death_of_the_process() {
    for (store, keep) in stores_for(&["a"]).await {
        ended(&store, 1, 1_200, NOW).await;
        let before = due(&store, "a", NOW).await;
        // Nothing is closed: what was committed is all that is left, as after kill -9.
        std::mem::forget(store);
        let store = keep.open().await;
        assert_eq!(due(&store, "a", NOW).await, before);
        assert_eq!(kinds(&drain(&store, "a", NOW).await), ["match.started", "match.ended"]);
    }
}

#[tokio::test]
async fn after_three_days_of_failures_an_event_is_a_dead_letter_that_can_be_sent_again() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    for (store, _keep) in stores_for(&["a"]).await {
        placed(&store, 1).await;
        told(&store, 1, Report::Lost, NOW).await;
        let schedule = metagame::WebhookTiming::default().schedule;
        let died_at = fail_until_dead(&store, schedule).await;
        assert_eq!(died_at, NOW + 3 * DAY_MS);
        let letters = store.dead_letters(10).await.expect("letters");
        assert_eq!(
            (letters.len(), letters[0].kind.as_str(), letters[0].reason.as_str()),
            (1, "match.lost", "it is down")
        );
        assert!(letters[0].attempts > 80, "{letters:?}");
        let backlog = &store.backlogs().await.expect("backlogs")[0];
        assert_eq!((backlog.pending, backlog.dead, backlog.oldest_pending_at_ms), (0, 1, None));
        assert_eq!(backlog.failures, u64::from(letters[0].attempts));
        // A later event of the match does not wait for a dead one.
        ended(&store, 1, 1_200, NOW + 1).await;
        assert_eq!(kinds(&drain(&store, "a", died_at).await), ["match.started", "match.ended"]);

        assert_eq!(store.resend("nobody".into(), None, order(died_at)).await.expect("resend"), None);
        assert_eq!(store.resend("a".into(), None, order(died_at)).await.expect("resend"), Some(1));
        assert_eq!(kinds(&drain(&store, "a", died_at).await), ["match.lost"]);
        // Delivered or not, an event that is kept can be sent again by its id.
        let one = Some(EventKind::Ended.event_id(match_id(1)));
        assert_eq!(store.resend("a".into(), one.clone(), order(died_at)).await.expect("resend"), Some(1));
        assert_eq!(kinds(&drain(&store, "a", died_at).await), ["match.ended"]);
        store.prune(NOW + EVENT_LIFE_MS + 60_000).await.expect("prune");
        assert_eq!(store.resend("a".into(), one, order(died_at)).await.expect("resend"), Some(0));
        assert_eq!(store.stats().await.expect("stats").outbox_events, 0);
    }
}

/// Nobody says what time it is: instances whose clocks differ agree all the same.
#[tokio::test]
async fn of_several_instances_one_holds_an_endpoint_by_the_databases_clock() {
    for (store, _keep) in stores_for(&["a"]).await {
        let hold = async |holder: &str, ms| store.hold_endpoint("a".into(), holder.into(), ms).await.expect("asked");
        assert_eq!((hold("one", 60_000).await, hold("two", 60_000).await), (Some(0), None));
        assert_eq!(hold("one", 60_000).await, Some(0), "it keeps what it has");
        store.leave_endpoint("a".into(), "two".into()).await.expect("left");
        assert_eq!(hold("two", 60_000).await, None, "what another has is not its to leave");
        store.leave_endpoint("a".into(), "one".into()).await.expect("left");
        assert_eq!(
            (hold("two", 0).await, hold("one", 60_000).await),
            (Some(0), Some(0)),
            "a hold that is over is nobody's"
        );
    }
}

/// Lets every try fail in simulated time. When the last one did.
async fn fail_until_dead(store: &Store, schedule: Schedule) -> u64 {
    let mut now_ms = NOW;
    loop {
        let due = store.due_deliveries("a".into(), now_ms, 10).await.expect("due");
        let Some(delivery) = due.due.first() else {
            now_ms = due.next_at_ms.expect("something is pending");
            continue;
        };
        let reason = "it is down".to_owned();
        let next = schedule.next(delivery.attempts + 1, delivery.since_ms, now_ms, None, u64::from(delivery.attempts));
        let outcome = match next {
            Next::Again(at_ms) => Settlement::Again { at_ms, reason },
            Next::GiveUp => Settlement::Dead { reason },
        };
        let dead = matches!(outcome, Settlement::Dead { .. });
        settle(store, "a", delivery, outcome).await;
        if dead {
            return now_ms;
        }
    }
}
