//! The previous Muster is replaced by this one, program by program, and comes back, while matches run.
//!
//! The previous one knows no Kubernetes, so this is Muster on plain Fleets of Agones; game servers of both versions serve
//! side by side in between.

use std::time::Duration;

use crate::e2e::bots::Crowd;
use crate::e2e::images::{IMAGE, PREVIOUS_IMAGE};
use crate::e2e::kubectl::{apply, items, kubectl, wait};
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::{PATIENCE, Stage, UPGRADE};

/// Services, in the order in which they are replaced.
const SERVICES: [&str; 3] = ["metagame", "matchmaker", "allocator"];
/// Between two steps: matches begin on what was just replaced.
const REST: Duration = Duration::from_secs(10);
/// How long bots queue: six replacements and two fleets.
const SECONDS: u64 = 120;

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    // The node's folder is this run's own: what another has left there may be newer than the previous Muster can read.
    let data = format!("/tmp/{UPGRADE}-{}", stage.seed);
    apply(&filled(include_str!("upgrade.yaml"), PREVIOUS_IMAGE, "", &data))?;
    for service in SERVICES {
        kubectl(&["-n", UPGRADE, "rollout", "status", &format!("deploy/{service}"), "--timeout=90s"])?;
    }
    fleet("previous", PREVIOUS_IMAGE, &data)?;
    let crowd = Crowd {
        namespace: UPGRADE,
        url: "http://platform-metagame:7100".to_owned(),
        ..stage.crowd("upgrade", PLAYERS * 2, SECONDS)
    };
    crowd.start()?;
    std::thread::sleep(REST);
    fleet("present", IMAGE, &data)?;
    for image in [IMAGE, PREVIOUS_IMAGE] {
        for service in SERVICES {
            replace(service, image)?;
            std::thread::sleep(REST);
        }
    }
    stage.played.push(crowd.finish()?);
    Ok(())
}

/// A Fleet whose servers are all in the pool.
fn fleet(name: &str, image: &str, data: &str) -> anyhow::Result<()> {
    apply(&filled(include_str!("upgrade_fleet.yaml"), image, name, data))?;
    let ready = || {
        let servers = items(&["-n", UPGRADE, "gameservers.agones.dev", "-l", &format!("agones.dev/fleet={name}")])?;
        let states: Vec<&str> = servers.iter().filter_map(|server| server["status"]["state"].as_str()).collect();
        let waiting = states.iter().filter(|state| matches!(**state, "Reserved" | "Allocated")).count();
        Ok(if waiting >= 2 { Ok(()) } else { Err(format!("{states:?}")) })
    };
    wait(&format!("the fleet {name}"), PATIENCE, ready).map(drop)
}

fn replace(service: &str, image: &str) -> anyhow::Result<()> {
    eprintln!("   {service}: {image}");
    kubectl(&["-n", UPGRADE, "set", "image", &format!("deploy/{service}"), &format!("program={image}")])?;
    kubectl(&["-n", UPGRADE, "rollout", "status", &format!("deploy/{service}"), "--timeout=90s"]).map(drop)
}

fn filled(manifest: &str, image: &str, name: &str, data: &str) -> String {
    manifest.replace("DATA", data).replace("NAMESPACE", UPGRADE).replace("IMAGE", image).replace("NAME", name)
}
