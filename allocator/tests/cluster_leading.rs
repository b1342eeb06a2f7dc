//! The allocator on a real cluster: who may register, who leads, and what a new leader knows.
//! `KUBECONFIG=… cargo test -p allocator --test cluster_leading -- --ignored`; Agones' CRDs have to be there.

mod cluster_stage;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod fake_server;

use std::time::Duration;

use cluster_stage::{AUDIENCE, Stage};
use crds::labels;
use fake_server::FakeServer;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::pb::MatchPhase;
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::allocator_message::Message as Order;
use service::Shutdown;
use service::token::{ServiceTokens, with_token};
use testkit::wait::until;
use tonic::{Code, Status};

/// A leader that is gone is replaced within seconds.
const QUICK: cluster::lease::Timing =
    cluster::lease::Timing { duration: Duration::from_secs(3), retry: Duration::from_millis(300) };

fn named(byte: u8, name: &str) -> pb::Register {
    pb::Register { name: name.into(), ..fake_server::registration(byte, 1) }
}

/// Registers as soon as the pod has been seen.
async fn register(url: &str, tokens: &ServiceTokens, register: &pb::Register) -> FakeServer {
    until("the server may register", async || {
        FakeServer::try_register(url, tokens.clone(), register.clone()).await.ok()
    })
    .await
}

async fn refused(url: &str, tokens: ServiceTokens, register: pb::Register) -> Status {
    match FakeServer::try_register(url, tokens, register).await {
        Ok(_) => panic!("it was let in"),
        Err(status) => status,
    }
}

fn request(byte: u8, attempt: u32) -> pb::AllocateRequest {
    let player_id = PlayerId::from_entropy([byte; 16]).to_string();
    pb::AllocateRequest {
        match_id: MatchId::from_entropy([byte; 16]).to_string(),
        attempt,
        fleet: "arena".into(),
        roster: vec![pb::RosterEntry { player_id, ..Default::default() }],
        wait_ms: 8_000,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_pod_registers_as_its_own_game_server_and_as_no_other() {
    let stage = Stage::new("link-pods").await;
    let (one, two) = (stage.game_server("arena-1", "Reserved").await, stage.game_server("arena-2", "Reserved").await);
    let pod = stage.pod(&one).await;
    stage.pod(&two).await;
    let token = stage.token("agones-sdk", AUDIENCE, Some(&pod)).await;
    let shutdown = Shutdown::new();
    let config = stage.config("allocator-0", QUICK);
    let began = std::time::Instant::now();
    let (running, _) = allocator::kubernetes::start(config, shutdown.clone()).await.expect("it starts");
    assert!(began.elapsed() < Duration::from_secs(30), "it does not wait for anybody");
    let url = format!("http://{}", running.address);
    let server = register(&url, &token, &named(1, "arena-1")).await;

    let swapped = refused(&url, token.clone(), named(2, "arena-2")).await;
    assert_eq!(swapped.code(), Code::PermissionDenied, "{swapped:?}");
    let wrong_audience = stage.token("agones-sdk", "muster-matchmaker", Some(&pod)).await;
    assert_eq!(refused(&url, wrong_audience, named(1, "arena-1")).await.code(), Code::Unauthenticated);
    let unbound = stage.token("agones-sdk", AUDIENCE, None).await;
    assert_eq!(refused(&url, unbound, named(1, "arena-1")).await.code(), Code::Unauthenticated);
    let program = stage.token("muster-matchmaker", AUDIENCE, None).await;
    assert_eq!(refused(&url, program, named(2, "arena-2")).await.code(), Code::PermissionDenied);

    // A pod of the same name that came later: the old token is nobody's any more.
    drop(server);
    let pods = stage.api::<Pod>();
    pods.delete("arena-1", &DeleteParams::default().grace_period(0)).await.expect("deleted");
    await_condition(pods, "arena-1", conditions::is_deleted(&pod.uid().expect("made"))).await.expect("gone");
    let again = stage.pod(&one).await;
    let fresh = stage.token("agones-sdk", AUDIENCE, Some(&again)).await;
    let late = register(&url, &fresh, &named(3, "arena-1")).await;
    let old = refused(&url, token, named(4, "arena-1")).await;
    assert_eq!(old.code(), Code::PermissionDenied, "{old:?}");
    drop(late);
    shutdown.trigger();
    running.wait().await.expect("a clean end");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn another_replica_takes_over_and_knows_the_matches_from_their_servers() {
    let stage = Stage::new("link-leads").await;
    let object = stage.game_server("arena-1", "Reserved").await;
    let token = stage.token("agones-sdk", AUDIENCE, Some(&stage.pod(&object).await)).await;
    let (first_end, second_end) = (Shutdown::new(), Shutdown::new());
    let start = async |pod: &str, end: &Shutdown| {
        allocator::kubernetes::start(stage.config(pod, QUICK), end.clone()).await.expect("it starts")
    };
    let (first, first_leads) = start("allocator-0", &first_end).await;
    until("the first leads", async || first_leads.epoch()).await;
    let (second, second_leads) = start("allocator-1", &second_end).await;
    let url = |running: &allocator::Running| format!("http://{}", running.address);

    // The one that does not lead names the one that does, and calls find their way.
    until("the second knows the leader", async || second_leads.holder()).await;
    let not_leading = refused(&url(&second), token.clone(), named(1, "arena-1")).await;
    let leader = not_leading.metadata().get(service::leader::LEADER).expect("its address").to_str().expect("text");
    assert_eq!((not_leading.code(), leader), (Code::Unavailable, first.address.to_string().as_str()));
    let mut server = register(&url(&first), &token, &named(1, "arena-1")).await;
    let caller = stage.token("muster-matchmaker", AUDIENCE, None).await;
    let channel = service::leader::leader_channel(&url(&second)).expect("an address");
    let mut matchmaker = AllocatorClient::with_interceptor(channel, with_token(caller, AUDIENCE));
    assert_eq!(matchmaker.allocate(request(7, 1)).await.expect_err("not the leader").code(), Code::Unavailable);
    let mut again = matchmaker.clone();
    let call = tokio::spawn(async move { again.allocate(request(7, 2)).await });
    let assign = server.assign().await;
    server.joinable(&assign).await;
    let placed = call.await.expect("no panic").expect("allocated").into_inner().assignment.expect("an assignment");
    stage.set_state("arena-1", "Allocated").await;

    // The leader goes; the other one knows the match from its server, and gives nobody a second one.
    first_end.trigger();
    first.wait().await.expect("a clean end");
    let took_over = std::time::Instant::now();
    until("the second leads", async || second_leads.epoch()).await;
    assert!(took_over.elapsed() < Duration::from_secs(10), "a Lease that was given up is taken at once");
    assert_eq!(matchmaker.allocate(request(7, 3)).await.expect_err("the leader is gone").code(), Code::Unavailable);
    let mut waiting = matchmaker.clone();
    let call = tokio::spawn(async move { waiting.allocate(request(7, 4)).await });
    let hosted = pb::HostedMatch {
        match_id: assign.match_id.clone(),
        roster: assign.roster.clone(),
        attempt: assign.attempt,
        epoch: assign.epoch,
        phase: MatchPhase::Playing.into(),
    };
    let back = pb::Register {
        hosted: vec![hosted],
        epoch_seen: assign.epoch,
        state: "Allocated".into(),
        ..named(1, "arena-1")
    };
    let mut server = register(&url(&second), &token, &back).await;
    let found = call.await.expect("no panic").expect("the same match").into_inner().assignment.expect("an assignment");
    assert_eq!((found.server_id, found.match_id), (placed.server_id, placed.match_id));

    // A drain that the operator announces reaches the server, and its end reaches the match.
    let deadline = k8s_openapi::jiff::Timestamp::now() + Duration::from_secs(120);
    let annotations = serde_json::json!({ "metadata": { "annotations": {
        labels::DRAIN_DEADLINE: deadline.to_string(), labels::DRAIN_REASON: "node cordoned" } } });
    let servers = stage.api::<crds::agones::GameServer>();
    servers.patch("arena-1", &PatchParams::default(), &Patch::Merge(&annotations)).await.expect("annotated");
    let Order::Drain(drain) = server.order().await else { panic!("expected Drain") };
    assert!(drain.reason == "node cordoned" && (100_000..=120_000).contains(&drain.deadline_ms), "{drain:?}");
    assert!(drain.epoch > assign.epoch);
    servers.delete("arena-1", &DeleteParams::default()).await.expect("deleted");
    assert_eq!(server.ended().await, Some(Code::Unavailable), "its link is closed once its GameServer is gone");

    second_end.trigger();
    second.wait().await.expect("a clean end");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_lease_that_was_deleted_counts_on_from_what_its_leader_knows_and_from_what_servers_have_obeyed() {
    let stage = Stage::new("link-epoch").await;
    let object = stage.game_server("arena-1", "Reserved").await;
    let token = stage.token("agones-sdk", AUDIENCE, Some(&stage.pod(&object).await)).await;
    let shutdown = Shutdown::new();
    let (running, leadership) =
        allocator::kubernetes::start(stage.config("allocator-0", QUICK), shutdown.clone()).await.expect("it starts");
    let leases = stage.api::<Lease>();
    let first = until("it leads", async || leadership.epoch()).await;
    leases.delete(allocator::kubernetes::LEASE, &DeleteParams::default()).await.expect("deleted");
    until("the Lease is there again", async || leases.get_opt(allocator::kubernetes::LEASE).await.expect("read")).await;
    assert_eq!(leadership.epoch(), Some(first), "the same leadership");

    // Every replica is new, and the Lease too: only a server knows.
    let url = format!("http://{}", running.address);
    let old = pb::Register { epoch_seen: 40, ..named(1, "arena-1") };
    let mut server = register(&url, &token, &old).await;
    let caller = stage.token("muster-matchmaker", AUDIENCE, None).await;
    let channel = service::leader::leader_channel(&url).expect("an address");
    let mut matchmaker = AllocatorClient::with_interceptor(channel, with_token(caller, AUDIENCE));
    let call = tokio::spawn(async move { matchmaker.allocate(request(7, 1)).await });
    let assign = server.assign().await;
    assert!(assign.epoch > 40, "above what the server has obeyed: {}", assign.epoch);
    server.joinable(&assign).await;
    call.await.expect("no panic").expect("allocated");
    shutdown.trigger();
    running.wait().await.expect("a clean end");
    stage.end().await;
}
