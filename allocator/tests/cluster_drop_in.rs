//! The stand-in for Agones' allocator on a real API server.

#[allow(dead_code, reason = "the bench uses the rest of it")]
mod agones_stage;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agones_stage::{Certificates, Stage, request, start};
use kube::api::{Patch, PatchParams};
use protocol::agones_allocation as pb;
use protocol::agones_allocation::allocation_service_client::AllocationServiceClient;
use serde_json::json;
use service::Shutdown;
use tokio::process::{Child, Command};
use tonic::Code;
use tonic::transport::Channel;

const MATCH: &str = "muster.dev/match";

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn what_a_caller_asks_for_is_what_the_api_shows() {
    let (stage, certificates, shutdown) = (Stage::new().await, Certificates::new(), Shutdown::new());
    stage.game_servers(0, 3).await;
    let running = start(&stage.namespace, certificates.folder.path(), &shutdown).await;
    let mut caller = certificates.connect(running.grpc.expect("served")).await.expect("connects");

    let mut asked = request(&stage.namespace, (MATCH, "m1".into()));
    let action = pb::CounterAction { action: Some("Increment".into()), amount: Some(3), capacity: None };
    asked.counters.insert("rooms".into(), action);
    let metadata = asked.metadata.get_or_insert_default();
    metadata.labels.insert("mode".into(), "ranked".into());
    let given = caller.allocate(asked.clone()).await.expect("given out").into_inner();
    let seen = stage.seen().await;
    let server = seen.iter().find(|seen| seen.name == given.game_server_name).expect("it exists");
    assert_eq!((server.state.as_str(), server.labels["mode"].as_str()), ("Allocated", "ranked"));
    assert_eq!(server.status["counters"]["rooms"], json!({ "count": 3, "capacity": 4 }));
    assert_eq!(server.annotations[MATCH], "m1");
    assert!(server.annotations.contains_key("agones.dev/last-allocated"));
    assert_eq!((given.address.as_str(), given.ports[0].port), ("10.0.0.1", 7000));
    assert_eq!(given.counters["rooms"].count, Some(3));

    let again = caller.allocate(asked.clone()).await.expect("the same").into_inner();
    assert_eq!(again.game_server_name, given.game_server_name);

    // Every other server is written by somebody else: what the watch has not told yet costs a conflict, and no more.
    for other in seen.iter().filter(|seen| seen.name != given.game_server_name) {
        let patch = json!({ "metadata": { "annotations": { "somebody": "else" } } });
        stage.api().patch(&other.name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("written");
        let next = caller.allocate(request(&stage.namespace, ("n", other.name.clone()))).await;
        next.expect("given out");
    }
    let none = caller.allocate(request(&stage.namespace, ("n", "x".into()))).await.expect_err("all are given out");
    assert_eq!(none.code(), Code::ResourceExhausted);

    // A caller that waits gets the one that is made now.
    let mut waiting = tonic::Request::new(request(&stage.namespace, ("n", "y".into())));
    waiting.metadata_mut().insert("muster-wait-ms", "20000".parse().expect("a number"));
    let (made, waited) = tokio::join!(stage.game_servers(7, 1), caller.allocate(waiting));
    let () = made;
    assert_eq!(waited.expect("given out").into_inner().game_server_name, "stage-00007");
    // What the API server will never take is the caller's fault, and the server stays free.
    stage.game_servers(8, 1).await;
    let mut wrong = request(&stage.namespace, ("not a name!", "x".into()));
    wrong.game_server_selectors.clear();
    let refused = loop {
        let refused = caller.allocate(wrong.clone()).await.expect_err("refused");
        if refused.code() != Code::ResourceExhausted {
            break refused;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("not a name!"), "{refused}");
    caller.allocate(request(&stage.namespace, ("n", "z".into()))).await.expect("still free");
    shutdown.trigger();
    running.wait().await;
    stage.remove().await;
}

const KILLS: usize = 20;
const CALLERS: usize = 6;
const SERVERS: usize = 1_500;
const LEASE_SECONDS: u64 = 3;

/// A program that is killed and started again.
struct Replica {
    arguments: Vec<String>,
    child: Child,
}

impl Replica {
    fn start(arguments: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drop_in"));
        let child = command.args(arguments).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("starts");
        Self { arguments: arguments.to_vec(), child }
    }

    async fn kill_and_start(&mut self) {
        self.child.kill().await.expect("killed");
        *self = Self::start(&self.arguments);
    }
}

/// What the callers were told: match, server.
type History = Arc<Mutex<Vec<(String, String)>>>;

/// Asks for one server per match, again and again until there is an answer, of whichever replica leads.
async fn call(
    number: usize,
    (namespace, certificates, addresses): (String, Arc<Certificates>, [SocketAddr; 2]),
    (history, leader, stop): (History, Arc<AtomicUsize>, Arc<AtomicBool>),
) {
    let mut connections: [Option<AllocationServiceClient<Channel>>; 2] = [None, None];
    for count in 0.. {
        let id = format!("match-{number}-{count}");
        while !stop.load(Ordering::Relaxed) {
            let replica = leader.load(Ordering::Relaxed);
            if connections[replica].is_none() {
                connections[replica] = certificates.connect(addresses[replica]).await.ok();
            }
            let other = 1 - replica;
            let Some(connection) = &mut connections[replica] else {
                leader.store(other, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(30)).await;
                continue;
            };
            let answer = connection.allocate(request(&namespace, (MATCH, id.clone())));
            match tokio::time::timeout(Duration::from_secs(8), answer).await {
                Ok(Ok(given)) => {
                    history.lock().expect("no panic").push((id.clone(), given.into_inner().game_server_name));
                    leader.store(replica, Ordering::Relaxed);
                    break;
                }
                Ok(Err(status)) if status.code() == Code::ResourceExhausted => return,
                Ok(Err(_)) | Err(_) => {
                    connections[replica] = None;
                    leader.store(other, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // In bursts, so that kills find writes under way and the servers last for all of them.
        if count % 5 != 0 {
            continue;
        }
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn a_leader_killed_at_any_moment_gives_no_server_twice_and_loses_none() {
    let (stage, certificates) = (Stage::new().await, Arc::new(Certificates::new()));
    stage.game_servers(0, SERVERS).await;
    let addresses = [free_port(), free_port()];
    let folder = certificates.folder.path().display().to_string();
    let arguments =
        |address: SocketAddr| [stage.namespace.clone(), address.to_string(), folder.clone(), LEASE_SECONDS.to_string()];
    let mut replicas = addresses.map(|address| Replica::start(&arguments(address)));
    let history: History = Arc::default();
    let (leader, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let place = (stage.namespace.clone(), certificates.clone(), addresses);
            tokio::spawn(call(number, place, (history.clone(), leader.clone(), stop.clone())))
        })
        .collect();
    let seed = service::random::u64();
    eprintln!("seed {seed}");
    let mut random = seed;
    let told = || history.lock().expect("no panic").len();
    for kill in 0..KILLS {
        // Somebody leads and answers; then, at a random moment soon after, it is killed.
        let before = told();
        let answered = async {
            while told() < before + 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), answered).await.expect("a leader answers");
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis((random >> 33) % 700)).await;
        let killed = leader.load(Ordering::Relaxed);
        replicas[killed].kill_and_start().await;
        eprintln!("kill {}: replica {killed}, {} told", kill + 1, told());
    }
    tokio::time::sleep(Duration::from_secs(LEASE_SECONDS * 2)).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("a caller");
    }
    let history = history.lock().expect("no panic").clone();
    check(&stage, &history).await;
    drop(replicas);
    stage.remove().await;
}

/// Holds what callers were told against what the API shows.
async fn check(stage: &Stage, history: &[(String, String)]) {
    let seen: BTreeMap<_, _> = stage.seen().await.into_iter().map(|seen| (seen.name.clone(), seen)).collect();
    let (mut servers, mut matches) = (BTreeMap::new(), BTreeMap::new());
    for (id, server) in history {
        let owner = servers.insert(server, id);
        assert!(owner.is_none_or(|owner| owner == id), "{server} was given to {owner:?} and {id}");
        let earlier = matches.insert(id, server);
        assert!(earlier.is_none_or(|earlier| earlier == server), "{id} was given {earlier:?} and {server}");
        let now = &seen[server];
        assert_eq!((now.state.as_str(), now.annotations.get(MATCH)), ("Allocated", Some(id)), "{server} was lost");
    }
    let given: Vec<_> = seen.values().filter(|seen| seen.state == "Allocated").collect();
    let marks: BTreeSet<_> = given.iter().filter_map(|seen| seen.annotations.get(MATCH)).collect();
    assert_eq!(marks.len(), given.len(), "a match has two servers");
    eprintln!("{} told, {} given out, {} of them never told", history.len(), given.len(), given.len() - servers.len());
    assert!(history.len() >= KILLS * 3);
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
