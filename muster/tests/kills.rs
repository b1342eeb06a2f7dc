//! Allocator and game servers are killed, and the history of it makes sense.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{muster, run};

/// Few enough for a machine that runs other tests beside it; `cargo xtask deep --only local` kills 10,000 times.
const KILLS: u32 = 100;

#[test]
fn allocator_and_game_servers_are_killed_and_no_match_is_on_two_servers_or_forgotten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("history.jsonl");
    // Another one each time, which a failure names.
    let seed = service::random::u64() % 1_000_000;
    let mut command = muster();
    command.args(["kills", "--players=16", "--servers=8", "--pause-ms=300", "--patience=5", "-o", "json"]);
    command.arg(format!("--kills={KILLS}")).arg(format!("--seed={seed}")).arg("--history").arg(&file);
    let output = run(&mut command, Duration::from_secs(300));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}\n{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    assert_eq!(report["kills"], KILLS, "{report}");
    for figure in ["killed_allocators", "killed_servers", "rooms", "matches_lost"] {
        assert!(report[figure].as_u64() > Some(0), "{figure} in {report}, seed {seed}\n{stderr}");
    }
    // The checker reads the servers' own words: had a second server opened a room, it would say so.
    let history = std::fs::read_to_string(&file).expect("a history");
    let check = |file: &Path| run(muster().args(["check-history", "--patience=5"]).arg(file), Duration::from_secs(30));
    assert!(check(&file).status.success());
    let mut forged: Vec<String> = history.lines().map(str::to_owned).collect();
    forged.extend(history.lines().filter(|line| line.contains("\"started\"")).map(|line| {
        let mut entry: serde_json::Value = serde_json::from_str(line).expect("an entry");
        entry["server"] = "arena-forged".into();
        entry["at_ms"] = (entry["at_ms"].as_u64().expect("a time") + 1).into();
        entry.to_string()
    }));
    std::fs::write(&file, forged.join("\n")).expect("written");
    let refused = check(&file);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("as well"));
}
