//! The layers of ARCHITECTURE.md, checked against the dependencies that cargo sees: arrows go down only.

use std::collections::BTreeMap;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::command::root;

/// A crate's layer and its place within it; it may use what has a lower layer, or the same layer and a lower place.
type Rank = (u8, u8);

/// Programs stand side by side in layer 3: all have place 0, so none may use another.
const RANKS: [(&str, Rank); 16] = [
    ("protocol", (0, 0)),
    ("crds", (0, 0)),
    ("netcode", (1, 0)),
    ("game", (1, 1)),
    ("arena", (1, 2)),
    ("agones", (2, 0)),
    ("service", (2, 0)),
    ("cluster", (2, 1)),
    ("gameserver", (3, 0)),
    ("allocator", (3, 0)),
    ("matchmaker", (3, 0)),
    ("metagame", (3, 0)),
    ("operator", (3, 0)),
    ("client", (4, 0)),
    ("loadtest", (4, 1)),
    ("muster", (5, 0)),
];

/// Tools: outside the layers.
const TOOLS: [&str; 3] = ["testkit", "fuzz", "xtask"];

/// What tests may use besides the layers below: fakes, a game to run, a client to run it with.
const FOR_TESTS: [&str; 3] = ["testkit", "arena", "client"];

/// What layer 1 must not contain: clocks, sockets, threads and the system's randomness come as arguments.
const BANNED_IN_PURE: [&str; 8] =
    ["tokio", "rustix", "socket2", "getrandom", "rand", "axum", "tracing-subscriber", "metrics"];

/// The one layer-0 or layer-1 crate that may speak gRPC types: they are words.
const PURE: [&str; 4] = ["netcode", "game", "arena", "client"];

/// One crate's direct dependencies.
#[derive(Debug)]
pub(crate) struct Uses {
    normal: Vec<String>,
    tests: Vec<String>,
}

/// The workspace's crates and what each names in its Cargo.toml.
pub(crate) fn read() -> anyhow::Result<BTreeMap<String, Uses>> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().context("cargo metadata")?;
    let uses = |package: &cargo_metadata::Package, tests: bool| {
        let of_kind = |kind| (kind == DependencyKind::Development) == tests;
        package.dependencies.iter().filter(|d| of_kind(d.kind)).map(|d| d.name.clone()).collect()
    };
    let packages = metadata.packages.iter();
    Ok(packages.map(|p| (p.name.to_string(), Uses { normal: uses(p, false), tests: uses(p, true) })).collect())
}

/// One sentence for each arrow that goes up or across, and for each crate that no layer names.
pub(crate) fn faults(crates: &BTreeMap<String, Uses>) -> Vec<String> {
    let ranks = BTreeMap::from(RANKS);
    let mut faults = Vec::new();
    for (name, uses) in crates {
        if TOOLS.contains(&name.as_str()) {
            continue;
        }
        let Some(rank) = ranks.get(name.as_str()) else {
            faults.push(format!("{name} is in no layer: name it in xtask/src/layers.rs and in ARCHITECTURE.md"));
            continue;
        };
        let is_up = |other: &str| crates.contains_key(other) && ranks.get(other).is_none_or(|below| below >= rank);
        for other in uses.normal.iter().filter(|other| is_up(other)) {
            faults.push(format!("{name} uses {other}: arrows go down only"));
        }
        // A crate may name itself, to have a feature of its own in its tests.
        let for_tests = |other: &str| other == name || FOR_TESTS.contains(&other);
        for other in uses.tests.iter().filter(|other| is_up(other) && !for_tests(other)) {
            faults.push(format!("the tests of {name} use {other}: arrows go down only"));
        }
        if PURE.contains(&name.as_str()) {
            for other in uses.normal.iter().filter(|other| BANNED_IN_PURE.contains(&other.as_str())) {
                faults.push(format!("{name} uses {other}: pure crates get time, bytes and entropy as arguments"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates(list: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, Uses> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        list.iter().map(|(name, n, t)| ((*name).to_owned(), Uses { normal: owned(n), tests: owned(t) })).collect()
    }

    #[test]
    fn the_workspace_has_no_upward_arrow() {
        assert_eq!(faults(&read().expect("cargo metadata")), Vec::<String>::new());
    }

    #[test]
    fn upward_sideways_and_impure_arrows_are_named() {
        let faulty = crates(&[
            ("protocol", &["netcode"], &[]),
            ("netcode", &["protocol", "tokio"], &["game", "testkit"]),
            ("game", &["netcode"], &["arena"]),
            ("allocator", &["matchmaker", "protocol"], &[]),
            ("matchmaker", &[], &[]),
            ("arena", &[], &[]),
            ("testkit", &["protocol"], &[]),
            ("stray", &[], &[]),
        ]);
        let text = faults(&faulty).join("\n");
        for expected in [
            "protocol uses netcode",
            "netcode uses tokio",
            "tests of netcode use game",
            "allocator uses matchmaker",
            "stray is in no layer",
        ] {
            assert!(text.contains(expected), "{expected} is missing in:\n{text}");
        }
        assert_eq!(text.lines().count(), 5, "{text}");
    }
}
