//! A game in another language, the whole way on one machine: `muster up` starts agents, each agent starts the server of
//! `examples/python-server` or `examples/cpp-server`, and players of both queue, play, and find their result booked once.

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{Running, children, free_port_pair, is_alive, muster};
use serde_json::Value;

/// A platform with one game server of one match, whose matches have this length.
struct Platform {
    running: Running,
    port: u16,
    folder: tempfile::TempDir,
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python-server").join(file)
}

/// The example in C++, compiled into this folder: `server`, `player`, and the agent's settings.
fn compile_cpp_example(folder: &Path) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cpp-server");
    std::fs::copy(example.join("agent.toml"), folder.join("agent.toml")).expect("copied");
    for program in ["server", "player"] {
        let mut compiler = Command::new("c++");
        compiler.args(["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o"]);
        compiler.arg(folder.join(program)).arg(example.join(program).with_extension("cpp"));
        assert!(compiler.status().expect("a C++ compiler").success(), "{program} does not compile");
    }
}

impl Platform {
    fn start(match_seconds: u32) -> Self {
        Self::of(&example("agent.toml"), match_seconds)
    }

    /// Of the game whose agent has these settings.
    fn of(agent: &Path, match_seconds: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let queues = std::fs::read_to_string(example("queues.toml")).expect("the example has queues");
        let queues = queues.replace("seconds = 10", &format!("seconds = {match_seconds}"));
        std::fs::write(folder.path().join("queues.toml"), queues).expect("write");
        let (port, ports) = (free_port_pair(), [free_port_pair(), free_port_pair()]);
        let mut command = muster();
        command.arg("up").arg("--data").arg(folder.path().join("data")).arg("--game").arg(agent);
        command.arg("--queues").arg(folder.path().join("queues.toml"));
        command.args([
            "--capacity=1",
            "--servers-min=1",
            "--servers-max=1",
            "--servers-buffer=0",
            "--drain-seconds=30",
        ]);
        command.arg(format!("--listen=127.0.0.1:{port}"));
        command.arg(format!("--allocator-listen=127.0.0.1:{}", ports[0]));
        command.arg(format!("--matchmaker-listen=127.0.0.1:{}", ports[1]));
        command.arg(format!("--console-listen=127.0.0.1:{}", free_port_pair()));
        let running = Running::start(&mut command);
        testkit::wait::until_blocking("the API", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { running, port, folder }
    }

    /// A player who queues for one match.
    fn player(&self) -> Player {
        let mut command = Command::new("python3");
        command.arg(example("client.py")).arg(format!("http://127.0.0.1:{}", self.port)).arg("clicks-1v1");
        Player::start(command)
    }

    /// The same with the player in C++ that was compiled into this folder.
    fn cpp_player(&self, folder: &Path) -> Player {
        let mut command = Command::new(folder.join("player"));
        command.arg(format!("127.0.0.1:{}", self.port)).arg("clicks-1v1");
        Player::start(command)
    }

    /// What metagame's admin port says.
    fn admin(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/{path}", self.port + 1);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async { reqwest::get(url).await.ok()?.json().await.ok() })
    }

    fn results_recorded(&self) -> u64 {
        self.admin("stats").and_then(|stats| stats["results_recorded"].as_u64()).expect("a count")
    }

    fn is_spool_empty(&self) -> bool {
        let spool = std::fs::read_dir(self.folder.path().join("data/spool"));
        spool.is_ok_and(|files| files.flatten().all(|file| !file.file_name().to_string_lossy().ends_with(".json")))
    }

    /// The match, once it is over for metagame: its state, and whether it has a result.
    fn end_of(&self, match_id: &str) -> (String, bool) {
        slowly("the end of the match", || {
            let about = self.admin(&format!("matches/{match_id}"))?;
            let (state, has_result) = (about["state"].as_str()?.to_owned(), !about["result"].is_null());
            (has_result || state == "lost").then_some((state, has_result))
        })
    }

    /// The one agent, and the one game below it, once both are there.
    fn agent_and_game(&self) -> (u32, u32) {
        slowly("an agent and its game", || {
            let agent = children(self.running.id()).into_iter().find(|pid| runs(*pid, "agent"))?;
            let supervisor = children(agent).into_iter().next()?;
            let game =
                children(supervisor).into_iter().find(|pid| runs(*pid, "server.py") || runs(*pid, "./server"))?;
            Some((agent, game))
        })
    }

    fn end(self) {
        let (agent, game) = self.agent_and_game();
        self.running.terminate();
        let output = self.running.finish(Duration::from_secs(90));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!is_alive(agent) && !is_alive(game), "the agent or its game outlived the drain");
    }
}

/// A player in a process of its own, and what it says.
struct Player {
    child: Child,
    said: Receiver<Value>,
}

impl Player {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let (sender, said) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line) {
                    let _ = sender.send(value);
                }
            }
        });
        Self { child, said }
    }

    /// The next thing of this kind that it says.
    fn until(&self, event: &str) -> Value {
        loop {
            let said = self.said.recv_timeout(Duration::from_secs(90)).unwrap_or_else(|_| panic!("never {event}"));
            if said["event"] == event {
                return said;
            }
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits longer than most tests do: crashed servers are replaced after a pause.
fn slowly<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn runs(pid: u32, word: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
}

fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill").arg(signal).arg(pid.to_string()).status().expect("kill runs");
    assert!(status.success(), "kill {signal} {pid}");
}

#[test]
fn a_python_server_plays_a_match_whose_result_is_booked_once() {
    let platform = Platform::start(2);
    let players = [platform.player(), platform.player()];
    let placed = players[0].until("placed");
    assert_eq!(placed["transport"], "foreign");
    let match_id = placed["match_id"].as_str().expect("an id").to_owned();
    let over = [players[0].until("over"), players[1].until("over")];
    assert_eq!(over[0]["places"], over[1]["places"]);
    assert_eq!(platform.end_of(&match_id), ("ended".to_owned(), true));
    let booked = platform.admin(&format!("matches/{match_id}")).expect("the match");
    let scores: Vec<_> = booked["result"]["players"].as_array().expect("players").iter().collect();
    assert!(scores.iter().all(|player| player["score"].as_i64() > Some(0)), "both clicked: {booked}");
    assert!(scores.iter().all(|player| player["participation"] == "played"), "{booked}");
    assert_eq!((booked["result"]["game"].as_str(), platform.results_recorded()), (Some("clicks"), 1));
    platform.end();
}

#[test]
fn a_cpp_server_plays_a_match_of_players_in_cpp_and_python_whose_result_is_booked_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    compile_cpp_example(folder.path());
    let platform = Platform::of(&folder.path().join("agent.toml"), 2);
    let players = [platform.cpp_player(folder.path()), platform.player()];
    let placed = players[0].until("placed");
    assert_eq!(placed["transport"], "foreign");
    let match_id = placed["match_id"].as_str().expect("an id").to_owned();
    let over = [players[0].until("over"), players[1].until("over")];
    assert_eq!(over[0]["places"], over[1]["places"]);
    assert_eq!(players[0].until("recorded")["times"], 1);
    assert_eq!(platform.end_of(&match_id), ("ended".to_owned(), true));
    let booked = platform.admin(&format!("matches/{match_id}")).expect("the match");
    let scores: Vec<_> = booked["result"]["players"].as_array().expect("players").iter().collect();
    assert!(scores.iter().all(|player| player["score"].as_i64() > Some(0)), "both clicked: {booked}");
    assert!(scores.iter().all(|player| player["participation"] == "played"), "{booked}");
    assert_eq!(platform.results_recorded(), 1);
    platform.end();
}

#[test]
fn whoever_is_killed_and_whenever_a_match_is_lost_or_has_a_result_and_never_both() {
    let platform = Platform::start(6);
    let mut results = 0;
    for (stage, victim) in [
        ("placed", "agent"),
        ("placed", "game"),
        ("playing", "agent"),
        ("playing", "game"),
        ("over", "agent"),
        ("over", "game"),
    ] {
        // Whoever was there before is gone for sure, and its successor is loaded.
        let (agent, game) = platform.agent_and_game();
        let players = [platform.player(), platform.player()];
        let match_id = players[0].until("placed")["match_id"].as_str().expect("an id").to_owned();
        if stage != "placed" {
            players.iter().for_each(|player| drop(player.until(stage)));
        }
        signal(if victim == "agent" { agent } else { game }, "-KILL");
        let (state, has_result) = platform.end_of(&match_id);
        drop(players);
        slowly("the end of both processes", || (!is_alive(agent) && !is_alive(game)).then_some(()));
        // A result that the game had handed in survives: the next agent offers it. Only then is it settled.
        slowly("an empty spool", || platform.is_spool_empty().then_some(()));
        let settled = platform.end_of(&match_id);
        assert!((settled.0 == "lost") != settled.1, "{stage} {victim}: {settled:?}");
        assert!(settled == (state, has_result) || settled.1, "{stage} {victim}: a result was taken back");
        if stage == "playing" {
            assert_eq!(settled.0, "lost", "{stage} {victim}: nobody could report it");
        }
        results += u64::from(settled.1);
        assert_eq!(platform.results_recorded(), results, "{stage} {victim}");
    }
    platform.end();
}
