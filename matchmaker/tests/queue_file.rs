//! The queue file: the example is good, and every fault of a bad file is named at once.

use matchmaker::{Queues, QueuesError};

const GOOD: &str = "[[queue]]\nname = \"duel\"\nteams = 2\nplayers_per_team = 1\nfleet = \"arena\"\n";

/// (line, text) of every fault.
fn faults(text: &str) -> Vec<(usize, String)> {
    match Queues::parse("queues.toml", text) {
        Err(QueuesError::Faults { faults, .. }) => faults.into_iter().map(|fault| (fault.line, fault.text)).collect(),
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn the_example_file_is_read_with_all_its_values() {
    let queues = Queues::parse("queues.example.toml", include_str!("../queues.example.toml")).expect("a good example");
    let [arena, ffa] = queues.as_slice() else { panic!("two queues") };
    assert_eq!((arena.name.as_str(), arena.players(), arena.fleet.as_str()), ("arena-4v4", 8, "arena"));
    assert_eq!(arena.regions, ["eu-west", "us-east"]);
    let settings: serde_json::Value = serde_json::from_str(&arena.settings_json).expect("JSON");
    assert_eq!(settings, serde_json::json!({ "mode": "teams", "seconds": 120 }));
    assert_eq!(arena.rating.map(|rule| (rule.window_start, rule.window_max)), Some((4.0, 30.0)));
    assert_eq!((ffa.players(), ffa.party_size_max, ffa.rating), (8, 1, None));
    // What the example says are the defaults are the defaults.
    assert_eq!((arena.rtt, arena.capacity, arena.starving_after_s), (ffa.rtt, ffa.capacity, ffa.starving_after_s));
}

#[test]
fn a_minimal_queue_has_sensible_defaults() {
    let queues = Queues::parse("queues.toml", GOOD).expect("a good file");
    let duel = &queues.as_slice()[0];
    assert_eq!((duel.party_size_max, duel.ticket_timeout_s, duel.settings_json.as_str()), (1, 300, "{}"));
    assert!(duel.rating.is_none() && duel.regions.is_empty() && duel.build.is_empty());
}

#[test]
fn each_fault_is_named_with_its_line_and_what_to_do() {
    let with = |line: &str| format!("{GOOD}{line}\n");
    let check = |text: &str, line: usize, words: &[&str]| {
        let found = faults(text);
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
        assert_eq!(found[0].0, line, "{text}\n{found:?}");
        for word in words {
            assert!(found[0].1.contains(word), "{word} in {found:?}");
        }
    };
    check("", 1, &["[[queue]]"]);
    check("queue = 3", 1, &["[[queue]]"]);
    check("[[queue", 1, &[]);
    check(&with("team = 2"), 6, &["\"duel\"", "unknown key \"team\"", "teams"]);
    check(&with("capacity = 0"), 6, &["capacity", "1 to 1000000"]);
    check(&with("capacity = \"many\""), 6, &["capacity", "whole number"]);
    check(&with("ticket_timeout_s = -1"), 6, &["ticket_timeout_s"]);
    check(&with("party_size_max = 2"), 6, &["party_size_max", "1 to 1"]);
    check(&with("starving_after_s = 1.5"), 6, &["starving_after_s", "whole number"]);
    check(&with("regions = \"eu\""), 6, &["regions", "array"]);
    check(&with("regions = [1]"), 6, &["regions", "array"]);
    check(&with("regions = [\"eu\", \"eu\"]"), 6, &["\"eu\" twice"]);
    check(&with("regions = [\"E U\"]"), 6, &["lower-case"]);
    check(&with("settings = 3"), 6, &["settings", "table"]);
    check(&with("settings = { at = 2026-01-01 }"), 6, &["date", "string"]);
    check(&with("settings = { x = nan }"), 6, &["JSON"]);
    check(&with("capacity ="), 6, &[]);
    check(&with("rating = 3"), 6, &["rating", "table"]);
    check(&with("rating = { window_start = 1, window_growth_per_s = 1 }"), 6, &["window_max is missing"]);
    check(
        &with("rating = { window_start = 9, window_growth_per_s = 1, window_max = 5 }"),
        6,
        &["window_max", "below window_start (9)"],
    );
    check(&with("rtt_ms_max = 200\nrtt_ms_ceiling = 100"), 7, &["rtt_ms_ceiling", "200"]);
    check(&with("build = \"A B\""), 6, &["build", "lower-case"]);
    check(&format!("{GOOD}{GOOD}"), 6, &["\"duel\"", "twice"]);
    check(&GOOD.replace("fleet = \"arena\"\n", ""), 1, &["fleet is missing"]);
    check(&GOOD.replace("teams = 2", "teams = 1"), 1, &["1 players", "2 to 128"]);
    check(&GOOD.replace("= 1", "= 65"), 1, &["130 players"]);
    check(&GOOD.replace("\"duel\"", "\"Duel\""), 2, &["name", "lower-case"]);
    check(&format!("{GOOD}{}", "a = 1\n"), 6, &["unknown key \"a\""]);
}

#[test]
fn all_faults_are_named_at_once_in_the_order_of_their_lines() {
    let text = "limit = 1\n[[queue]]\nname = \"a\"\nteams = 0\n[[queue]]\nname = \"b\"\nteams = 2\nplayers_per_team = 4\nfleet = \"\"\ncapacity = 0\n";
    let found = faults(text);
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert!(lines.is_sorted(), "{found:?}");
    for (line, word) in [
        (1, "limit"),
        (2, "players_per_team is missing"),
        (2, "fleet is missing"),
        (4, "teams"),
        (9, "fleet"),
        (10, "capacity"),
    ] {
        assert!(found.iter().any(|(at, text)| *at == line && text.contains(word)), "{line} {word}: {found:?}");
    }
    let error = Queues::parse("queues.toml", text).expect_err("faults").to_string();
    assert!(error.contains("queues.toml") && error.contains("line 10"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Queues::read(std::path::Path::new("/nowhere/queues.toml")).expect_err("no file");
    assert!(error.to_string().contains("/nowhere/queues.toml"), "{error}");
}
