//! `deploy/compose.yaml`.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::help::Help;

const FILE: &str = "deploy/compose.yaml";

/// One sentence for each fault.
pub(super) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    let file: Value = serde_saphyr::from_str(&text).with_context(|| format!("{FILE} is no YAML"))?;
    let file = merged(&file);
    let services = file["services"].as_object().context("compose.yaml has no services")?;
    let mut faults = Vec::new();
    for (name, service) in services {
        let mut found = general_faults(root, &file, service);
        if text_of(&service["image"]).contains("MUSTER_IMAGE") {
            found.extend(muster_faults(root, service)?);
        }
        faults.extend(found.into_iter().map(|fault| format!("{FILE}: {name}: {fault}")));
    }
    Ok(faults)
}

/// The same with every `<<` carried out; what stands beside it wins.
fn merged(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut whole = Map::new();
            if let Some(Value::Object(below)) = map.get("<<").map(merged) {
                whole.extend(below);
            }
            let own = map.iter().filter(|(key, _)| *key != "<<");
            whole.extend(own.map(|(key, value)| (key.clone(), merged(value))));
            Value::Object(whole)
        }
        Value::Array(list) => Value::Array(list.iter().map(merged).collect()),
        plain => plain.clone(),
    }
}

/// What holds for every container: volumes and services that it names exist, and no secret has a value here.
fn general_faults(root: &Path, file: &Value, service: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for volume in texts(&service["volumes"]) {
        let source = volume.split(':').next().unwrap_or_default();
        let exists = match source.strip_prefix("./") {
            Some(path) => root.join("deploy").join(path).exists(),
            None => {
                !file["volumes"][source].is_null()
                    || file["volumes"].as_object().is_some_and(|v| v.contains_key(source))
            }
        };
        if !exists {
            faults.push(format!("there is no volume {source}"));
        }
    }
    for other in service["depends_on"].as_object().into_iter().flat_map(|map| map.keys()) {
        if file["services"][other].is_null() {
            faults.push(format!("depends on {other}, which is no service"));
        }
    }
    for (name, value) in service["environment"].as_object().into_iter().flatten() {
        let is_secret = ["KEY", "SECRET", "PASSWORD", "TOKEN"].iter().any(|word| name.contains(word));
        let value = text_of(value);
        if is_secret && !value.starts_with('/') && !value.contains(":?") {
            faults.push(format!("{name} is a secret with a value"));
        }
    }
    faults
}

/// What holds for Muster's programs: settings that exist, a health check at their own admin port, and one port for players.
fn muster_faults(root: &Path, service: &Value) -> anyhow::Result<Vec<String>> {
    let command = texts(&service["command"]);
    let environment = service["environment"].as_object().cloned().unwrap_or_default();
    let (program, arguments) = command.split_first().context("a service without a command")?;
    let mut faults = Help::of(root, program)?.faults(arguments.iter().copied(), environment.keys().map(String::as_str));
    let of = |name: &str| environment.get(name).map(text_of).unwrap_or_default();
    let admin = [of("MUSTER_ADMIN_LISTEN"), of("MUSTER_ADMIN")].into_iter().find(|address| !address.is_empty());
    let admin = format!("http://127.0.0.1:{}/", admin.map(port).unwrap_or_default());
    match texts(&service["healthcheck"]["test"])[..] {
        ["CMD", "/muster", "probe", url] if url.starts_with(&admin) => {}
        _ => faults.push(format!("has no health check at {admin}")),
    }
    if *program == "gameserver" {
        let port = port(of("MUSTER_BIND"));
        let published = texts(&service["ports"]);
        if port != self::port(of("MUSTER_ADVERTISE")) || published != [format!("{port}:{port}/udp")] {
            faults.push(format!("binds port {port}, and does not advertise and publish the same"));
        }
    }
    Ok(faults)
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').map(|(_, port)| port).unwrap_or_default()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(text_of).collect()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let root = crate::command::root();
        let good = json!({
            "command": ["gameserver"], "ports": ["7001:7001/udp"],
            "environment": {"MUSTER_BIND": "0.0.0.0:7001", "MUSTER_ADVERTISE": "${H:?h}:7001", "MUSTER_ADMIN": "0.0.0.0:7778"},
            "healthcheck": {"test": ["CMD", "/muster", "probe", "http://127.0.0.1:7778/healthz"]},
        });
        assert_eq!(muster_faults(&root, &good).expect("a command"), Vec::<String>::new());
        for (path, value) in [
            ("/environment/MUSTER_ADMIN", "0.0.0.0:7779"),
            ("/environment/MUSTER_ADVERTISE", "${H:?h}:7002"),
            ("/ports/0", "7001:7002/udp"),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(path).expect("a path") = value.into();
            assert_eq!(muster_faults(&root, &bad).expect("a command").len(), 1, "{path}");
        }
    }

    #[test]
    fn volumes_services_and_secrets_are_looked_at() {
        let file = json!({"services": {"a": {}}, "volumes": {"v": null}});
        let service = json!({
            "volumes": ["v:/v", "w:/w", "./nowhere:/x"], "depends_on": {"a": {}, "b": {}},
            "environment": {"X_PASSWORD": "admin", "A_KEY": "/keys/a", "B_TOKEN": "${B:?give one}"},
        });
        let faults = general_faults(&crate::command::root(), &file, &service);
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn merges_are_carried_out_and_what_stands_beside_wins() {
        let value = json!({"a": {"<<": {"x": 1, "<<": {"y": 2}}, "x": 3}});
        assert_eq!(merged(&value), json!({"a": {"x": 3, "y": 2}}));
    }
}
