//! A carrier that does not get through: bots play over the other one.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadtest::{BotsConfig, Progress, run};
use netcode::endpoint::Carrier;
use support::metagame::{World, start};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Two bots, whose first carrier vanishes on the way to the server, play one match over the other.
async fn play_while_blocked(blocked: Carrier) -> loadtest::Report {
    // The handshake that nobody answers takes 5 s of the match.
    let mut world = World::default();
    (world.blocked, world.more_seconds) = (Some(blocked), 15);
    let address = start(Arc::new(Mutex::new(world))).await;
    let config = BotsConfig {
        url: format!("http://{address}/"),
        players: 2,
        seed: 7,
        queue: "duel".into(),
        schema: None,
        network: None,
        churn: false,
        udp_share: if blocked == Carrier::Native { 1.0 } else { 0.0 },
        history: loadtest::history::Recorder::default(),
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    let (sender, mut progress) = watch::channel(Progress::default());
    let stop = config.stop.clone();
    let bots = tokio::spawn(run(config, sender));
    let found = tokio::time::timeout(Duration::from_secs(60), progress.wait_for(|progress| progress.playing == 2));
    found.await.expect("they find each other within a minute").expect("the bots run");
    stop.cancel();
    bots.await.expect("no panic").expect("the bots played")
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_whose_native_packets_vanish_play_over_quic_and_failed_at_nothing() {
    let summary = play_while_blocked(Carrier::Native).await.summary();
    assert_eq!((summary.udp_clients, summary.quic_clients, summary.games_ended), (0, 2, 2), "{summary:?}");
    assert_eq!((summary.join_failures, summary.disconnects, summary.reconnects), (0, 0, 0), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_whose_quic_vanishes_play_over_native_udp_and_failed_at_nothing() {
    let summary = play_while_blocked(Carrier::Quic).await.summary();
    assert_eq!((summary.udp_clients, summary.quic_clients, summary.games_ended), (2, 0, 2), "{summary:?}");
    assert_eq!((summary.join_failures, summary.disconnects, summary.reconnects), (0, 0, 0), "{summary:?}");
}
