//! A new game, from an empty folder: written, tested, built, and played by bots on the whole platform.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{muster, run};

/// Longest build: the first one compiles what the new game depends on, maybe behind another build's lock.
const BUILD_MAX: Duration = Duration::from_secs(900);

/// The workspace's target folder, whose dependencies are built already.
fn target() -> PathBuf {
    let inside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    inside.parent().expect("the folder for tests' files lies in the target folder").to_owned()
}

fn cargo(folder: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).args(["--quiet", "--offline"]).current_dir(folder).stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", target());
    // What Cargo tells this test's own crate is not for the new one.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_")) {
        command.env_remove(name);
    }
    let output = run(&mut command, BUILD_MAX);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "cargo {args:?}:\n{}", String::from_utf8_lossy(&said));
}

#[test]
fn a_new_game_is_tested_built_and_played_from_an_empty_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let game = folder.path().join("coin-rush");
    let written = run(muster().arg("new").arg(&game), Duration::from_secs(30));
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert!(String::from_utf8_lossy(&written.stdout).contains("muster demo --game"), "it says how to go on");

    cargo(&game, &["test"]);
    cargo(&game, &["build"]);
    let program = target().join("debug/coin-rush");
    let queues = std::fs::read_to_string(game.join("queues.toml")).expect("written");
    std::fs::write(game.join("queues.toml"), queues.replace("seconds = 20", "seconds = 3")).expect("write");
    let mut demo = muster();
    demo.args(["demo", "--players=4", "--seconds=4", "--seed=7", "-o=json"]);
    demo.arg("--game").arg(&program).arg("--queues").arg(game.join("queues.toml"));
    let output = run(&mut demo, Duration::from_secs(180));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {report}"));
    assert!(number("matches_started") >= 2, "{report}");
    assert_eq!(number("results_recorded"), number("matches_started"), "{report}\n{stderr}");
    assert_eq!(
        (number("join_failures"), number("disconnects"), number("matches_lost")),
        (0, 0, 0),
        "{report}\n{stderr}"
    );
    // Two players of each match found the match in their history.
    assert_eq!(number("games_in_history"), 2 * number("matches_started"), "{report}");
    assert!(report["snapshot_bytes_per_client_s"].as_f64() > Some(100.0), "bots stand still: {report}");
}

#[test]
fn names_and_folders_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |args: &[&str], said: &str| {
        let output = run(muster().arg("new").args(args).current_dir(folder.path()), Duration::from_secs(30));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    };
    refused(&["My-Game"], "cannot be a game's name");
    refused(&["match"], "keyword");
    refused(&["fine", "--muster-path=/proc"], "no checkout");
    assert!(!folder.path().join("fine").exists(), "nothing is left of a game that could not be written");
    std::fs::create_dir(folder.path().join("taken")).expect("mkdir");
    refused(&["taken"], "exists already");
    std::fs::write(folder.path().join("file"), "mine").expect("write");
    refused(&["file"], "exists already");
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).expect("still there"), "mine");
}

#[test]
fn a_program_that_is_no_game_server_is_refused() {
    let output = run(muster().args(["demo", "--game=/bin/true"]), Duration::from_secs(30));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("no game server") && stderr.contains("gameserver::main"), "{stderr}");
}
