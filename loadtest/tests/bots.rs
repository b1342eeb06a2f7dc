//! Bots from login to result, against a stand-in of metagame and a real match on a real UDP port.

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use loadtest::api::Api;
use loadtest::{BotsConfig, Progress, run};
use support::metagame::{World, start};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn config(address: std::net::SocketAddr, players: usize) -> BotsConfig {
    BotsConfig {
        url: format!("http://{address}/"),
        players,
        seed: 7,
        queue: "duel".into(),
        schema: None,
        network: None,
        churn: false,
        udp_share: 1.0,
        history: loadtest::history::Recorder::default(),
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    }
}

/// Waits until the progress is as wanted; panics after a generous deadline.
async fn until(progress: &mut watch::Receiver<Progress>, wanted: impl FnMut(&Progress) -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), progress.wait_for(wanted)).await;
    waited.expect("it happens within a minute").expect("the bots run");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bots_find_each_other_fight_and_see_their_result() {
    let world = Arc::new(Mutex::new(World::default()));
    let config = config(start(Arc::clone(&world)).await, 2);
    let (sender, mut progress) = watch::channel(Progress::default());
    let stop = config.stop.clone();
    let bots = tokio::spawn(run(config, sender));
    until(&mut progress, |progress| progress.playing == 2).await;
    // Told to stop in the middle of the match, they play it to its end.
    stop.cancel();
    let report = bots.await.unwrap().unwrap();
    let summary = report.summary();
    assert_eq!((summary.players, summary.udp_clients, summary.games_ended), (2, 2, 2), "{summary:?}");
    assert_eq!((summary.matches_entered, summary.matches_ended, summary.games_in_history), (1, 1, 2), "{summary:?}");
    assert_eq!((summary.join_failures, summary.disconnects, summary.games_missing), (0, 0, 0), "{summary:?}");
    assert!(summary.snapshot_bytes_per_client_s > 100.0 && summary.bytes_in > summary.bytes_out / 10, "{summary:?}");
    assert!(report.time_to_match.count() == 2 && report.rtt.count() > 2 && report.predictions > 100, "{summary:?}");
    assert!(progress.borrow().playing == 0 && progress.borrow().queued == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_stopped_while_it_waits_cancels_its_ticket() {
    let world = Arc::new(Mutex::new(World::default()));
    world.lock().unwrap().no_streams = true;
    let config = config(start(Arc::clone(&world)).await, 1);
    let (sender, mut progress) = watch::channel(Progress::default());
    let stop = config.stop.clone();
    let bots = tokio::spawn(run(config, sender));
    until(&mut progress, |progress| progress.queued == 1).await;
    stop.cancel();
    let report = bots.await.unwrap().unwrap();
    assert_eq!(report.tickets_unmatched.get("cancelled"), Some(&1), "{report:?}");
    assert!(world.lock().unwrap().calls.contains(&"cancel".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_queue_and_an_unreachable_url_are_said_plainly() {
    let world = Arc::new(Mutex::new(World::default()));
    let mut wrong = config(start(world).await, 1);
    wrong.queue = "chess".into();
    let error = run(wrong, watch::Sender::default()).await.expect_err("no such queue");
    assert_eq!(error.to_string(), "there is no queue \"chess\", only: duel");
    let mut none = config(([127, 0, 0, 1], 9).into(), 0);
    none.players = 0;
    assert!(run(none, watch::Sender::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_tried_again_when_that_can_help_and_not_when_it_cannot() {
    let world = Arc::new(Mutex::new(World::default()));
    let address = start(Arc::clone(&world)).await;
    let mut api = Api::new(reqwest::Client::new(), &format!("http://{address}"), "0".repeat(32), "Bot".into(), 1);
    api.login().await.unwrap();
    world.lock().unwrap().faults =
        vec![(StatusCode::SERVICE_UNAVAILABLE, Some("1")), (StatusCode::INTERNAL_SERVER_ERROR, None)];
    let begin = Instant::now();
    assert_eq!(api.queues().await.unwrap().len(), 1);
    assert!(begin.elapsed() >= Duration::from_secs(1), "Retry-After is honoured");
    assert_eq!((api.failures["503"], api.failures["500"]), (1, 1));

    world.lock().unwrap().faults = vec![(StatusCode::FORBIDDEN, None)];
    let calls = world.lock().unwrap().calls.len();
    assert_eq!(api.queues().await.expect_err("forbidden").status(), Some(StatusCode::FORBIDDEN));
    assert_eq!(world.lock().unwrap().calls.len(), calls + 1);

    world.lock().unwrap().generation += 1;
    assert_eq!(api.queues().await.unwrap().len(), 1, "an expired access token is renewed");
    assert_eq!(world.lock().unwrap().calls.iter().filter(|call| *call == "refresh").count(), 1);
}
