//! The local provider with real processes. The processes are this test program itself, told by a variable to play a
//! game server or a provider: so no further program has to be built.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agones::local::{Lifeline, Ports};
use agones::sdk::Timing;
use agones::{FleetConfig, HealthGate, HealthSpec, LocalFleet, Sdk, ServerStatus, State};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

const SOON: Duration = Duration::from_secs(30);
const ROLE: &str = "AGONES_TEST_ROLE";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("should have happened long ago")
}

/// The command line that runs one of the roles below in a process of its own.
fn this_program(role: &str) -> Vec<String> {
    let program = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    [&program, role, "--exact", "--ignored", "--nocapture", "--quiet"].map(ToString::to_string).to_vec()
}

/// A game server: joins the pool, sends health pings, ends on SIGTERM or with its lifeline.
#[tokio::test]
#[ignore = "a role that other tests run in a process of its own"]
async fn game_server() {
    if std::env::var(ROLE).as_deref() != Ok("server") {
        return;
    }
    let lifeline = agones::lifeline::watch();
    let address = agones::sdk::address_from(|name| std::env::var(name).ok()).unwrap();
    let sdk = Sdk::connect(&address).unwrap();
    let mut term = signal(SignalKind::terminate()).unwrap();
    let _health = sdk.start_health(Duration::from_millis(100), HealthGate::new(|| true));
    // The provider can be gone before anything else has worked, so the lifeline is watched all the time.
    tokio::select! {
        () = lifeline => std::process::exit(3),
        _ = term.recv() => std::process::exit(0),
        () = async {
            sdk.reserve_until_observed(0).await.unwrap();
            std::future::pending::<()>().await;
        } => {}
    }
}

/// A provider of two game servers, until it is killed.
#[tokio::test]
#[ignore = "a role that other tests run in a process of its own"]
async fn provider() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut config = match role.as_str() {
        "provider" => fleet_of_servers(2, 2),
        "supervising provider" => shell_fleet("exec sleep 1000", 2),
        _ => return,
    };
    if role == "supervising provider" {
        config.lifeline = Lifeline::Supervised;
    }
    let fleet = LocalFleet::start(config, std::future::pending()).unwrap();
    let mut servers = fleet.watch();
    let pids = |servers: &Vec<ServerStatus>| servers.iter().filter_map(|server| server.pid).collect::<Vec<_>>();
    let pids = pids(&servers.wait_for(|servers| pids(servers).len() == 2).await.unwrap().clone());
    std::fs::write(std::env::var("AGONES_TEST_PIDS").unwrap(), format!("{} {}\n", pids[0], pids[1])).unwrap();
    std::future::pending::<()>().await;
}

fn fleet_of_servers(minimum: u32, maximum: u32) -> FleetConfig {
    let mut config = FleetConfig::new("arena", this_program("game_server"), minimum, maximum, 1);
    config.env.insert(ROLE.into(), "server".into());
    config
}

fn shell_fleet(script: &str, size: u32) -> FleetConfig {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    FleetConfig { health: HealthSpec::disabled(), ..FleetConfig::new("shell", command, size, size, 0) }
}

fn start(config: FleetConfig) -> LocalFleet {
    LocalFleet::start(config, std::future::pending()).unwrap()
}

async fn until(fleet: &LocalFleet, is: impl Fn(&[ServerStatus]) -> bool) -> Vec<ServerStatus> {
    let mut servers = fleet.watch();
    match tokio::time::timeout(SOON, servers.wait_for(|servers| is(servers))).await {
        Ok(servers) => servers.unwrap().clone(),
        Err(_) => panic!("did not come about: {:#?}", fleet.servers()),
    }
}

fn count(servers: &[ServerStatus], state: State) -> usize {
    servers.iter().filter(|server| server.state == state && !server.ending).count()
}

async fn allocate(server: &ServerStatus) {
    let address = format!("127.0.0.1:{}", server.sdk_port);
    let sdk = Sdk::connect_with(&address, Timing::agones()).unwrap();
    soon(sdk.allocate_until_observed()).await.unwrap();
}

fn pid(server: &ServerStatus) -> Pid {
    Pid::from_raw(i32::try_from(server.pid.unwrap()).unwrap()).unwrap()
}

/// Whether the process runs; one that has ended and waits for its parent does not.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

async fn until_gone(pids: &[u32]) {
    let deadline = Instant::now() + SOON;
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(Instant::now() < deadline, "still running: {pids:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_server_is_replaced() {
    let fleet = start(fleet_of_servers(2, 4));
    let before = until(&fleet, |servers| count(servers, State::Reserved) == 2).await;
    kill_process(pid(&before[0]), Signal::KILL).unwrap();
    let killed = before[0].name.clone();
    let after = until(&fleet, |servers| {
        count(servers, State::Reserved) == 2 && servers.iter().all(|server| server.name != killed)
    })
    .await;
    assert!(after.contains(&before[1]), "the other one was left alone");
    soon(fleet.drain(SOON)).await;
}

#[tokio::test]
async fn the_fleet_grows_with_its_busy_servers_and_stops_at_the_maximum() {
    let fleet = start(fleet_of_servers(1, 3));
    for busy in 1..=3 {
        let servers = until(&fleet, |servers| count(servers, State::Reserved) == 1).await;
        allocate(servers.iter().find(|server| server.state == State::Reserved).unwrap()).await;
        let expected = (busy + 1).min(3);
        let servers = until(&fleet, |servers| {
            count(servers, State::Allocated) == busy && count(servers, State::Reserved) == expected - busy
        })
        .await;
        assert_eq!(servers.len(), expected);
    }
    soon(fleet.drain(SOON)).await;
}

#[tokio::test]
async fn surplus_servers_of_the_pool_are_asked_to_leave_and_busy_ones_are_not() {
    let asked = Arc::new(Mutex::new(BTreeSet::new()));
    let mut config = fleet_of_servers(1, 3);
    config.scale_down_delay = Duration::ZERO;
    config.retire = Some(Arc::new({
        let asked = asked.clone();
        move |name: &str| {
            asked.lock().unwrap().insert(name.to_owned());
        }
    }));
    let fleet = start(config);
    let first = until(&fleet, |servers| count(servers, State::Reserved) == 1).await.remove(0);
    allocate(&first).await;
    let servers = until(&fleet, |servers| count(servers, State::Reserved) == 1).await;
    let second = servers.into_iter().find(|server| server.name != first.name).unwrap();
    assert!(asked.lock().unwrap().is_empty(), "one spare server is wanted");
    // The match ends: one of two idle servers is too many, and the older one goes.
    let sdk = Sdk::connect(&format!("127.0.0.1:{}", first.sdk_port)).unwrap();
    soon(sdk.free()).await.unwrap();
    let deadline = Instant::now() + SOON;
    while asked.lock().unwrap().is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(*asked.lock().unwrap(), BTreeSet::from([first.name.clone()]));
    assert!(is_running(first.pid.unwrap()), "it is asked, not killed");
    // It leaves as a server does; nobody takes its place.
    soon(sdk.shutdown()).await.unwrap();
    until(&fleet, |servers| servers.len() == 1 && servers[0].name == second.name).await;
    soon(fleet.drain(SOON)).await;
}

#[tokio::test]
async fn a_list_has_every_server_before_it_runs_and_not_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (list, unlisted) = (folder.path().join("list"), folder.path().join("unlisted"));
    let script =
        format!("grep -qx \"$NAME\" {} || echo \"$NAME\" >>{}; exec sleep 600", list.display(), unlisted.display());
    let mut config = shell_fleet(&script, 3);
    config.stable_after = Duration::ZERO;
    config.env.insert("NAME".into(), "{name}".into());
    let file = list.clone();
    config.list = Some(Arc::new(move |names| {
        // Slow: a server that did not wait for it would not find itself.
        std::thread::sleep(Duration::from_millis(50));
        std::fs::write(&file, names.iter().map(|name| format!("{name}\n")).collect::<String>()).unwrap();
    }));
    let fleet = start(config);
    let running = |servers: &[ServerStatus]| servers.iter().filter(|server| server.pid.is_some()).count() == 3;
    let first = until(&fleet, running).await.remove(0);
    kill_process(pid(&first), Signal::KILL).unwrap();
    let servers =
        until(&fleet, |servers| running(servers) && servers.iter().all(|server| server.name != first.name)).await;
    let listed = std::fs::read_to_string(&list).unwrap();
    let names: BTreeSet<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), names);
    drop(fleet);
    assert!(!unlisted.exists(), "{:?}", std::fs::read_to_string(&unlisted));
}

#[tokio::test]
async fn a_server_that_hangs_becomes_unhealthy_and_is_replaced() {
    let mut config = fleet_of_servers(1, 2);
    config.health = HealthSpec {
        disabled: false,
        initial_delay: Duration::from_secs(2),
        period: Duration::from_secs(1),
        failure_threshold: 3,
    };
    config.shutdown_grace = Duration::from_millis(100);
    let fleet = start(config);
    let hung = until(&fleet, |servers| count(servers, State::Reserved) == 1).await.remove(0);
    kill_process(pid(&hung), Signal::STOP).unwrap();
    until(&fleet, |servers| count(servers, State::Reserved) == 1 && servers.iter().all(|s| s.name != hung.name)).await;
    until_gone(&[hung.pid.unwrap()]).await;
    soon(fleet.drain(SOON)).await;
}

#[tokio::test]
async fn a_server_that_never_becomes_idle_is_replaced() {
    let mut config = shell_fleet("read -r _", 1);
    config.startup_timeout = Duration::from_millis(200);
    let fleet = start(config);
    let first = until(&fleet, |servers| servers.iter().any(|server| server.pid.is_some())).await.remove(0);
    until(&fleet, |servers| servers.iter().any(|server| server.name != first.name)).await;
    until_gone(&[first.pid.unwrap()]).await;
}

#[tokio::test]
async fn servers_that_crash_at_once_are_started_with_growing_pauses() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let began = Instant::now();
    let fleet = start(shell_fleet(&format!("echo start >> {}; exit 1", starts.display()), 1));
    let count = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    while count(&starts) < 3 {
        assert!(began.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(1_500), "pauses of 0.5 s and 1 s lie before the third start");
    soon(fleet.drain(SOON)).await;
}

#[tokio::test]
async fn a_command_that_does_not_exist_harms_nobody() {
    let mut config = shell_fleet("", 2);
    config.command = vec!["/nonexistent/game-server".into()];
    let fleet = start(config);
    tokio::time::sleep(Duration::from_millis(100)).await;
    soon(fleet.drain(SOON)).await;
    assert!(fleet.servers().is_empty());
}

#[tokio::test]
async fn a_drain_lets_servers_end_and_kills_those_that_do_not() {
    let fleet = start(fleet_of_servers(2, 2));
    let servers = until(&fleet, |servers| count(servers, State::Reserved) == 2).await;
    let drained = soon(fleet.drain(SOON)).await;
    assert_eq!((drained.servers, drained.killed), (2, 0));
    assert!(servers.iter().all(|server| !is_running(server.pid.unwrap())));

    let fleet = start(shell_fleet("trap '' TERM; while :; do sleep 0.1; done", 2));
    let servers = until(&fleet, |servers| servers.iter().filter(|server| server.pid.is_some()).count() == 2).await;
    // The shell needs a moment until it ignores the signal.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let drained = soon(fleet.drain(Duration::from_millis(100))).await;
    assert_eq!((drained.servers, drained.killed), (2, 2));
    assert!(servers.iter().all(|server| !is_running(server.pid.unwrap())));
}

#[tokio::test]
async fn a_drain_that_is_brought_forward_says_so_with_a_second_sigterm() {
    let marks = std::env::temp_dir().join(format!("muster-agones-{}-sigterms", std::process::id()));
    let script = format!(
        "trap 'n=$((n+1)); echo $n >{0}; [ $n -lt 2 ] || exit 0' TERM; echo 0 >{0}; while :; do sleep 0.05; done",
        marks.display()
    );
    let heard = async |times: &str| {
        while std::fs::read_to_string(&marks).unwrap_or_default().trim() != times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let fleet = start(shell_fleet(&script, 1));
    soon(heard("0")).await;
    let patient = fleet.drain(2 * SOON);
    let hurried = async {
        heard("1").await;
        fleet.drain(SOON).await
    };
    let (patient, hurried) = soon(async { tokio::join!(patient, hurried) }).await;
    assert_eq!((patient.killed, hurried.killed), (0, 0), "the second signal ended it");
    std::fs::remove_file(&marks).unwrap();
}

#[tokio::test]
async fn the_shutdown_signal_drains_the_fleet() {
    let (shut_down, shutdown) = tokio::sync::oneshot::channel::<()>();
    let fleet = LocalFleet::start(fleet_of_servers(1, 2), async { drop(shutdown.await) }).unwrap();
    let servers = until(&fleet, |servers| count(servers, State::Reserved) == 1).await;
    drop(shut_down);
    soon(fleet.wait()).await;
    until_gone(&[servers[0].pid.unwrap()]).await;
}

#[tokio::test]
async fn a_dropped_fleet_leaves_no_process() {
    let fleet = start(shell_fleet("trap '' TERM; sleep 1000 & wait", 2));
    let servers = until(&fleet, |servers| servers.iter().filter(|server| server.pid.is_some()).count() == 2).await;
    let pids: Vec<_> = servers.iter().filter_map(|server| server.pid).collect();
    assert!(pids.iter().all(|pid| is_running(*pid)));
    drop(fleet);
    until_gone(&pids).await;
}

async fn kill_the_provider(role: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pids");
    let command = this_program("provider");
    let mut provider = Command::new(&command[0])
        .args(&command[1..])
        .env(ROLE, role)
        .env("AGONES_TEST_PIDS", &path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + SOON;
    let pids: Vec<u32> = loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.ends_with('\n') {
            break text.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_running(*pid)));
    provider.kill().unwrap();
    provider.wait().unwrap();
    until_gone(&pids).await;
}

#[tokio::test]
async fn servers_that_watch_their_lifeline_end_with_a_killed_provider() {
    kill_the_provider("provider").await;
}

#[tokio::test]
async fn supervised_servers_end_with_a_killed_provider() {
    kill_the_provider("supervising provider").await;
}

#[tokio::test]
async fn each_server_gets_its_own_name_and_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = shell_fleet("echo $SAID > \"$0\"; read -r _", 2);
    config.command.push(format!("{}/{{name}}", folder.path().display()));
    config.env.insert("SAID".into(), "{name} {port} {region} {capacity}".into());
    config.ports = Ports::From(27_100);
    config.capacity = 2;
    let fleet = start(config);
    let servers = until(&fleet, |servers| servers.iter().filter(|server| server.pid.is_some()).count() == 2).await;
    assert_ne!(servers[0].port, servers[1].port);
    for server in servers {
        let expected = format!("{} {} local 2\n", server.name, server.port);
        let path = folder.path().join(&server.name);
        let deadline = Instant::now() + SOON;
        while std::fs::read_to_string(&path).unwrap_or_default() != expected {
            assert!(Instant::now() < deadline, "{:?}", std::fs::read_to_string(&path));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let sdk = Sdk::connect(&format!("127.0.0.1:{}", server.sdk_port)).unwrap();
        let mut observed = sdk.observed();
        let seen = soon(observed.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
        assert_eq!((seen.name.as_str(), seen.ports[0].port), (server.name.as_str(), server.port));
    }
}
