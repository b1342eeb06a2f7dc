//! What is shown on the cluster, one after the other. Each leaves the fleet as the next one expects it: at rest, at its
//! smallest size, one revision.

mod agent;
mod delete;
mod drain;
mod failover;
mod ha;
mod helm_test;
mod install;
mod kills;
mod play;
mod rollout;
mod scale;
mod state;
mod upgrade;

use anyhow::bail;

use super::stage::Stage;

/// One scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) about: &'static str,
    /// Shows it.
    pub(crate) run: fn(&mut Stage) -> anyhow::Result<()>,
}

/// The one that starts from the previous Muster.
const UPGRADE: &str = "upgrade";

/// Every scenario. `install` comes first whatever is chosen.
pub(crate) const ALL: [Scenario; 13] = [
    Scenario {
        name: "install",
        about: "the chart, a GameFleet, a MatchQueue, and servers in the pool",
        run: install::run,
    },
    Scenario { name: "play", about: "bots play over UDP and QUIC, every result is recorded once", run: play::run },
    Scenario {
        name: "helm-test",
        about: "`helm test` plays a match in the cluster, and fails where none can be played",
        run: helm_test::run,
    },
    Scenario {
        name: "agent",
        about: "a game server in C++ that knows nothing of Muster but its agent's HTTP",
        run: agent::run,
    },
    Scenario {
        name: "canary",
        about: "a new revision takes over at 10, 50, 100 % while bots play",
        run: rollout::canary,
    },
    Scenario { name: "rollback", about: "a build that crashes is taken back by itself", run: rollout::rollback },
    Scenario { name: "scale", about: "the fleet grows with its queue and shrinks again", run: scale::run },
    Scenario {
        name: "drain",
        about: "a node is cordoned: matches end, servers leave, others come later",
        run: drain::run,
    },
    Scenario {
        name: "failover",
        about: "allocator and operator die while bots play, and nobody notices",
        run: failover::run,
    },
    Scenario {
        name: "ha",
        about: "two allocators and two operators: leaders die while bots play, and the others take over",
        run: ha::run,
    },
    Scenario {
        name: "kills",
        about: "allocator, operator and game servers are killed, API connections cut at random; a checker reads the history",
        run: kills::run,
    },
    Scenario {
        name: UPGRADE,
        about: "the previous Muster, this one, and the previous again, while bots play",
        run: upgrade::run,
    },
    Scenario { name: "delete", about: "a GameFleet is deleted while matches run on it", run: delete::run },
];

/// The chosen ones, or all.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|scenario| scenario.name != **name)) {
        bail!("no scenario is called {unknown:?}; `cargo xtask e2e --list` names them");
    }
    let wanted = |scenario: &&Scenario| {
        scenario.name == "install" || names.is_empty() || names.iter().any(|n| n == scenario.name)
    };
    Ok(ALL.iter().filter(wanted).collect())
}

/// Whether one of these starts from the previous Muster.
pub(crate) fn need_previous(chosen: &[&Scenario]) -> bool {
    chosen.iter().any(|scenario| scenario.name == UPGRADE)
}
