//! `agones/manifests`: Fleets of Muster's game server without the operator.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::help::Help;

const FOLDER: &str = "agones/manifests";

/// One sentence for each fault.
pub(super) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(root.join(FOLDER)).with_context(|| format!("cannot list {FOLDER}"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Value =
            serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", path.display()))?;
        let found = if manifest["kind"] == "Fleet" { fleet_faults(root, &manifest)? } else { Vec::new() };
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", path.display())));
    }
    Ok(faults)
}

fn fleet_faults(root: &Path, fleet: &Value) -> anyhow::Result<Vec<String>> {
    let pod = &fleet["spec"]["template"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments: Vec<&str> = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let environment: Vec<(&str, &str)> = container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?)))
        .collect();
    let (program, arguments) = arguments.split_first().context("a container without arguments")?;
    let names = environment.iter().map(|(name, _)| *name);
    let mut faults = Help::of(root, program)?.faults(arguments.iter().copied(), names);
    let of = |name: &str| environment.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value);
    let drain: u64 = of("MUSTER_DRAIN_DEADLINE").trim_end_matches('s').parse().unwrap_or(u64::MAX);
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    if drain.saturating_add(5) > grace {
        faults.push(format!("matches may take {drain} s to end, and the pod is killed after {grace} s"));
    }
    let port = &fleet["spec"]["template"]["spec"]["ports"][0]["containerPort"];
    if !of("MUSTER_BIND").ends_with(&format!(":{port}")) {
        faults.push(format!("MUSTER_BIND is not at the first port, {port}"));
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_that_is_killed_before_its_matches_end_is_refused() {
        let fleet = |grace: u64, bind: &str| {
            json!({"spec": {"template": {"spec": {
                "ports": [{"containerPort": 7777}],
                "template": {"spec": {
                    "terminationGracePeriodSeconds": grace,
                    "containers": [{"args": ["gameserver"], "env": [
                        {"name": "MUSTER_DRAIN_DEADLINE", "value": "120s"},
                        {"name": "MUSTER_BIND", "value": bind},
                    ]}],
                }},
            }}}})
        };
        let root = crate::command::root();
        let faults = |grace, bind| fleet_faults(&root, &fleet(grace, bind)).expect("a fleet").len();
        assert_eq!(faults(135, "0.0.0.0:7777"), 0);
        assert_eq!(faults(60, "0.0.0.0:7777"), 1);
        assert_eq!(faults(135, "0.0.0.0:7000"), 1);
    }
}
