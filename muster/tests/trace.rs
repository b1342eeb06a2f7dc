//! One trace id goes from ticket to result, through every program's log.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{muster, run};

#[test]
fn one_trace_id_leads_from_ticket_to_result() {
    let args = ["demo", "--players=8", "--seconds=4", "--match-seconds=5", "--seed=3", "--log=info", "-o", "json"];
    let output = run(muster().args(args), Duration::from_secs(120));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");

    // Which programs spoke of which trace; game servers' lines are forwarded by the fleet.
    let mut programs: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for line in log.lines() {
        for trace in traces(line) {
            let spoke = programs.entry(trace).or_default();
            for program in ["metagame", "matchmaker", "allocator", "gameserver"] {
                if line.contains(&format!("{program}::")) {
                    spoke.insert(program);
                }
            }
        }
    }
    let whole = programs.values().filter(|spoke| spoke.len() == 4).count();
    assert!(whole >= 1, "no trace id appears in all four programs' logs: {programs:#?}\n{log}");
    let result =
        log.lines().any(|line| line.contains("metagame::") && line.contains("result") && !traces(line).is_empty());
    assert!(result, "the result's log line has no trace id:\n{log}");
}

/// Every trace id (32 hex digits after the field's name) in a line.
fn traces(line: &str) -> Vec<String> {
    let parts = line.split("trace_id").skip(1);
    let digits = |part: &str| -> String {
        let start = part.trim_start_matches(|c: char| !c.is_ascii_hexdigit());
        start.chars().take_while(char::is_ascii_hexdigit).collect()
    };
    parts.map(digits).filter(|id| id.len() == 32).collect()
}
