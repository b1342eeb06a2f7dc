//! The SDK client against the SDK server, over real gRPC on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agones::pb::sdk_client::SdkClient;
use agones::sdk::Timing;
use agones::{HealthGate, HealthSpec, Observed, Sdk, SdkError, SdkServer, SdkServerConfig, State, pb};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("should have happened long ago")
}

/// Waits that are short, and a resync so rare that only the watch can bring news.
fn quick() -> Timing {
    Timing {
        call_timeout: Duration::from_secs(5),
        repeat_interval: Duration::from_millis(100),
        settle: Duration::from_millis(50),
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        resync: HOUR,
    }
}

fn config() -> SdkServerConfig {
    SdkServerConfig { health: HealthSpec::disabled(), resync: HOUR, ..SdkServerConfig::local("arena-1") }
}

async fn server(config: SdkServerConfig) -> SdkServer {
    SdkServer::start(config).await.unwrap()
}

fn sdk(address: SocketAddr) -> Sdk {
    Sdk::connect_with(&address.to_string(), quick()).unwrap()
}

async fn until_observed(sdk: &Sdk, is: impl Fn(&Observed) -> bool) -> Observed {
    let mut observed = sdk.observed();
    soon(observed.wait_for(|server| server.as_ref().is_some_and(&is))).await.unwrap().clone().unwrap()
}

#[tokio::test]
async fn the_client_sees_the_whole_game_server() {
    let mut config = config();
    config.ports = vec![agones::Port { name: "default".into(), port: 7777 }];
    config.labels.insert("agones.dev/fleet".into(), "arena".into());
    let server = server(config).await;
    let sdk = sdk(server.local_addr());
    assert_eq!(until_observed(&sdk, |_| true).await, *server.observed().borrow());
    soon(sdk.set_label("build", "7")).await.unwrap();
    soon(sdk.set_annotation("note", "so and so")).await.unwrap();
    let seen = until_observed(&sdk, |server| server.annotations.contains_key("agones.dev/sdk-note")).await;
    assert_eq!(seen.labels["agones.dev/sdk-build"], "7");
    assert_eq!(seen.labels["agones.dev/fleet"], "arena");
}

#[tokio::test]
async fn a_server_goes_from_the_pool_into_a_match_and_back_and_ends() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    soon(sdk.reserve_until_observed(0)).await.unwrap();
    assert_eq!(server.state(), State::Reserved);
    soon(sdk.allocate_until_observed()).await.unwrap();
    assert_eq!(server.state(), State::Allocated);
    soon(sdk.free()).await.unwrap();
    assert_eq!(server.state(), State::Reserved);
    soon(sdk.ready()).await.unwrap();
    assert_eq!(server.state(), State::Ready);
    soon(sdk.shutdown()).await.unwrap();
    assert_eq!(server.state(), State::Shutdown);
    assert!(matches!(soon(sdk.allocate_until_observed()).await, Err(SdkError::Final(State::Shutdown))));
}

#[tokio::test]
async fn with_the_lag_of_a_real_cluster_success_still_means_that_the_state_is_there() {
    let server = server(SdkServerConfig { write_lag: Duration::from_millis(500), ..config() }).await;
    let sdk = Sdk::connect(&server.local_addr().to_string()).unwrap();
    soon(sdk.reserve_until_observed(0)).await.unwrap();
    assert_eq!(server.state(), State::Reserved);
    soon(sdk.allocate_until_observed()).await.unwrap();
    assert_eq!(server.state(), State::Allocated);
    // The allocate overtakes the free in the server's queue, and what shows is the Allocated from before both.
    let (free, allocate) = tokio::join!(sdk.free(), async {
        tokio::task::yield_now().await;
        soon(sdk.allocate_until_observed()).await
    });
    assert!(matches!(free, Err(SdkError::Superseded)), "{free:?}");
    allocate.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(server.state(), State::Allocated);
}

#[tokio::test]
async fn an_acknowledged_write_that_was_lost_is_sent_again() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    server.drop_next_write();
    soon(sdk.reserve_until_observed(0)).await.unwrap();
    server.drop_next_write();
    server.drop_next_write();
    soon(sdk.allocate_until_observed()).await.unwrap();
    assert_eq!(server.state(), State::Allocated);
}

#[tokio::test]
async fn reserve_never_frees_a_busy_server() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    server.set_state(State::Allocated);
    assert!(matches!(soon(sdk.reserve_until_observed(0)).await, Err(SdkError::Allocated)));
    until_observed(&sdk, |server| server.state == State::Allocated).await;
    assert!(matches!(soon(sdk.ready()).await, Err(SdkError::Allocated)));
    assert_eq!(server.observed().borrow().resource_version, "2", "nothing was written since");
    // The SDK server itself would have let it through.
    let mut raw = SdkClient::connect(format!("http://{}", server.local_addr())).await.unwrap();
    raw.reserve(pb::Duration { seconds: 0 }).await.unwrap();
    assert_eq!(server.state(), State::Reserved);
}

#[tokio::test]
async fn a_deleted_server_can_only_end() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    soon(sdk.reserve_until_observed(0)).await.unwrap();
    server.delete();
    until_observed(&sdk, |server| server.deleting).await;
    assert!(matches!(soon(sdk.allocate_until_observed()).await, Err(SdkError::Final(State::Shutdown))));
    soon(sdk.shutdown()).await.unwrap();
    assert_eq!(server.state(), State::Reserved);
}

#[tokio::test]
async fn the_watch_resumes_after_its_stream_was_cut() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    for state in [State::Reserved, State::Allocated, State::Reserved] {
        until_observed(&sdk, |_| true).await;
        server.kill_streams();
        server.set_state(state);
        until_observed(&sdk, |server| server.state == state).await;
    }
}

#[tokio::test]
async fn the_client_finds_an_sdk_server_that_starts_late_and_one_that_restarts() {
    let first = server(config()).await;
    let address = first.local_addr();
    first.stop().await;
    let sdk = sdk(address);
    assert!(matches!(soon(sdk.set_label("a", "b")).await, Err(SdkError::Unavailable { .. })));
    assert!(sdk.observed().borrow().is_none());
    // A goal set while nobody listens is reached once somebody does.
    let reserve = tokio::spawn({
        let sdk = sdk.clone();
        async move { sdk.reserve_until_observed(0).await }
    });
    for name in ["arena-2", "arena-3"] {
        let server = server(SdkServerConfig { name: name.into(), listen: address, ..config() }).await;
        until_observed(&sdk, |server| server.name == name).await;
        if name == "arena-2" {
            until_observed(&sdk, |server| server.state == State::Reserved).await;
        } else {
            soon(sdk.allocate_until_observed()).await.unwrap();
            assert_eq!(server.state(), State::Allocated);
        }
        server.stop().await;
    }
    soon(reserve).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let timing = Timing { call_timeout: Duration::from_millis(200), ..quick() };
    let sdk = Sdk::connect_with(&silent.local_addr().unwrap().to_string(), timing).unwrap();
    assert!(matches!(soon(sdk.set_label("a", "b")).await, Err(SdkError::Unavailable { .. })));
}

#[tokio::test]
async fn a_key_that_kubernetes_would_refuse_is_refused() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    assert!(matches!(soon(sdk.set_label("a/b", "c")).await, Err(SdkError::Refused { .. })));
    assert!(matches!(soon(sdk.set_annotation("", "c")).await, Err(SdkError::Refused { .. })));
}

#[tokio::test]
async fn health_pings_stop_with_the_gate_and_the_server_becomes_unhealthy() {
    let health = HealthSpec {
        disabled: false,
        initial_delay: Duration::from_millis(100),
        period: Duration::from_millis(500),
        failure_threshold: 8,
    };
    let server = server(SdkServerConfig { health, ..config() }).await;
    let sdk = sdk(server.local_addr());
    let alive = Arc::new(AtomicBool::new(true));
    let gate = HealthGate::new({
        let alive = alive.clone();
        move || alive.load(Ordering::Relaxed)
    });
    let _health = sdk.start_health(Duration::from_millis(50), gate);
    // Cut streams are opened again: without that the server would be Unhealthy before this loop ends.
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        server.kill_streams();
    }
    assert_eq!(server.state(), State::Scheduled);
    alive.store(false, Ordering::Relaxed);
    until_observed(&sdk, |server| server.state == State::Unhealthy).await;
    assert!(matches!(soon(sdk.reserve_until_observed(0)).await, Err(SdkError::Final(State::Unhealthy))));
}

#[tokio::test]
async fn a_watch_begins_with_the_object_and_repeats_it_at_the_resync_interval() {
    let server = server(SdkServerConfig { resync: Duration::from_millis(50), ..config() }).await;
    let mut raw = SdkClient::connect(format!("http://{}", server.local_addr())).await.unwrap();
    let mut stream = raw.watch_game_server(pb::Empty {}).await.unwrap().into_inner();
    for _ in 0..3 {
        let seen = Observed::from(soon(stream.message()).await.unwrap().unwrap());
        assert_eq!(seen, *server.observed().borrow());
    }
    server.set_state(State::Allocated);
    while soon(stream.message()).await.unwrap().unwrap().status.unwrap().state != "Allocated" {}
}

#[tokio::test]
async fn a_reservation_ends_by_itself() {
    let server = server(config()).await;
    let sdk = sdk(server.local_addr());
    soon(sdk.reserve_until_observed(1)).await.unwrap();
    assert_eq!(server.state(), State::Reserved);
    until_observed(&sdk, |server| server.state == State::Ready).await;
}

#[tokio::test]
async fn without_agones_the_same_rules_hold_at_once() {
    let sdk = Sdk::alone("arena-1");
    assert!(sdk.is_alone());
    let state = || sdk.observed().borrow().as_ref().unwrap().state;
    assert_eq!(state(), State::Scheduled);
    sdk.reserve_until_observed(0).await.unwrap();
    assert_eq!(state(), State::Reserved);
    sdk.allocate_until_observed().await.unwrap();
    assert!(matches!(sdk.reserve_until_observed(0).await, Err(SdkError::Allocated)));
    sdk.free().await.unwrap();
    sdk.set_label("a", "b").await.unwrap();
    assert_eq!(sdk.observed().borrow().as_ref().unwrap().labels["agones.dev/sdk-a"], "b");
    let _health = sdk.start_health(Duration::from_millis(1), HealthGate::new(|| true));
    sdk.shutdown().await.unwrap();
    assert!(matches!(sdk.allocate_until_observed().await, Err(SdkError::Final(State::Shutdown))));
}
