//! Strangers flood every port of a platform while players play on it: nothing changes for the players.

mod common;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{Running, children, is_alive, muster};
use strangers::Flood;
use strangers::ports::{self, Port, Protocol};

const SEED: u64 = 7;
/// Datagrams or connections that each port must have got before its admin page is asked.
const STRIKES_MIN: u64 = 60;
/// Most memory of a process, in KiB. Under this flood a platform of a debug build has 85 MiB, a game server 50 MiB.
const MEMORY_KIB_MAX: u64 = 256 * 1024;
/// How long the demo may take altogether.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn strangers_that_flood_every_port_change_nothing_for_players() {
    eprintln!("seed {SEED}");
    let mut command = muster();
    command.args(["demo", "--players=16", "--seconds=14", "--match-seconds=5", "--seed=7", "--udp-share=0.5"]);
    let demo = Running::start(command.args(["--console=127.0.0.1:0", "-o", "json"]));
    let mut watch = Watch::new(demo.id());
    // A server that is still starting has no ports yet; bots begin only when the first one is ready.
    let admin = testkit::wait::until_blocking("a game server", || watch.admin_ports());
    let flood = Flood::begin(SEED);
    let (begun, mut is_answered) = (Instant::now(), false);
    while is_alive(demo.id()) && begun.elapsed() < PATIENCE {
        watch.look();
        flood.aim(watch.ports.clone());
        if !is_answered && admin.iter().all(|port| strikes_of(&flood, *port) >= STRIKES_MIN) {
            // In the middle of the flood.
            for port in &admin {
                testkit::wait::until_blocking("an admin port that answers", || is_healthy(port.address).then_some(()));
            }
            watch.read_game_servers();
            is_answered = true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let strikes = flood.strikes();
    // Idle connections are held until here: no drain may wait for strangers.
    let output = demo.finish(PATIENCE.saturating_sub(begun.elapsed()));
    drop(flood);

    let stderr = String::from_utf8_lossy(&output.stderr);
    eprintln!("{strikes:?}\n{:?}\n{}", watch.memory_kib, String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{stderr}");
    assert!(is_answered, "the demo was over before the flood had reached every admin port");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    players_noticed_nothing(&report, &stderr);
    // A game server that ended by itself, or that the fleet had to replace.
    assert!(!stderr.contains("ended unexpectedly") && !stderr.contains("is unhealthy"), "{stderr}");
    watch.the_flood_arrived(&strikes);
    let greedy: Vec<_> = watch.memory_kib.iter().filter(|(_, kib)| **kib > MEMORY_KIB_MAX).collect();
    assert!(greedy.is_empty(), "{greedy:?} KiB by process");
}

fn players_noticed_nothing(report: &serde_json::Value, stderr: &str) {
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {report}"));
    assert!(number("matches_started") >= 4, "{report}\n{stderr}");
    for (name, expected) in [
        ("matches_completed", number("matches_started")),
        ("results_recorded", number("matches_started")),
        ("games_in_history", number("matches_started") * 8),
        ("matches_lost", 0),
        ("join_failures", 0),
        ("disconnects", 0),
        ("reconnects", 0),
        ("udp_clients", 8),
        ("quic_clients", 8),
    ] {
        assert_eq!(number(name), expected, "{name} in {report}\n{stderr}");
    }
}

fn strikes_of(flood: &Flood, port: Port) -> u64 {
    flood.strikes().iter().filter(|((of, _), _)| *of == port).map(|(_, times)| times).sum()
}

/// What a test sees of the platform's processes from outside.
struct Watch {
    platform: u32,
    /// Ports of every process that takes what strangers send.
    ports: BTreeSet<Port>,
    /// Most memory that each process has had, in KiB.
    memory_kib: BTreeMap<u32, u64>,
    /// Metrics pages of game servers in the middle of the flood.
    pages: Vec<String>,
}

impl Watch {
    fn new(platform: u32) -> Self {
        Self { platform, ports: BTreeSet::new(), memory_kib: BTreeMap::new(), pages: Vec::new() }
    }

    fn look(&mut self) {
        // The platform's own UDP sockets are the bots'.
        self.ports = ports::of(self.platform).into_iter().filter(|port| port.protocol == Protocol::Tcp).collect();
        let servers = children(self.platform);
        self.ports.extend(servers.iter().flat_map(|server| ports::of(*server)));
        for pid in servers.into_iter().chain([self.platform]) {
            let now = memory_kib(pid);
            let most = self.memory_kib.entry(pid).or_default();
            *most = now.max(*most);
        }
    }

    /// The ports with a health page, once game servers have theirs.
    fn admin_ports(&mut self) -> Option<BTreeSet<Port>> {
        self.look();
        let of_servers = children(self.platform).into_iter().flat_map(ports::of).collect::<BTreeSet<_>>();
        let game_port = |port: &Port| port.protocol == Protocol::Udp;
        let healthy = |port: &&Port| port.protocol == Protocol::Tcp && is_healthy(port.address);
        let found: BTreeSet<_> = self.ports.iter().filter(healthy).copied().collect();
        (of_servers.iter().any(game_port) && !found.is_disjoint(&of_servers)).then_some(found)
    }

    fn read_game_servers(&mut self) {
        let servers = children(self.platform).into_iter().flat_map(ports::of);
        let pages =
            servers.filter(|port| port.protocol == Protocol::Tcp).filter_map(|port| get(port.address, "/metrics"));
        self.pages.extend(pages);
    }

    /// That every kind of strike hit its kind of port, and that game servers counted the datagrams by their faults.
    fn the_flood_arrived(&self, strikes: &BTreeMap<(Port, &'static str), u64>) {
        let kinds = |protocol| {
            let of_protocol = strikes.keys().filter(|(port, _)| port.protocol == protocol);
            of_protocol.map(|(_, kind)| *kind).collect::<BTreeSet<_>>().len()
        };
        assert_eq!((kinds(Protocol::Udp), kinds(Protocol::Tcp)), (11, 10), "kinds of strikes");
        let faults = [
            "datagrams_dropped_total{reason=\"too_short\"}",
            "datagrams_dropped_total{reason=\"too_long\"}",
            "datagrams_dropped_total{reason=\"unknown_type\"}",
            "datagrams_dropped_total{reason=\"wrong_padding\"}",
            "datagrams_dropped_total{reason=\"bad_cookie\"}",
            "datagrams_dropped_total{reason=\"unknown_session\"}",
            "datagrams_dropped_total{reason=\"quic\"}",
            "joins_refused_total{reason=\"server_key\"}",
        ];
        for fault in faults {
            let lines = self.pages.iter().flat_map(|page| page.lines());
            let counted = lines.filter_map(|line| line.strip_prefix(&format!("muster_gameserver_{fault} ")));
            let counted: u64 = counted.map(|number| number.parse::<u64>().expect("a count")).sum();
            assert!(counted > 0, "no game server counted {fault}");
        }
    }
}

/// The most memory that the process has had resident so far; 0 if it is gone.
fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")).map_or(0, |kib| kib.parse().expect("a number"))
}

fn is_healthy(address: SocketAddr) -> bool {
    get(address, "/healthz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"))
}

/// A whole answer; none when the port does not speak HTTP/1 or is busy.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let wait = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    String::from_utf8(answer).ok()
}
