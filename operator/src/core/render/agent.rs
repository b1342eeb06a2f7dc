//! The sidecar that stands for a game in another language has the settings of a game server of Muster.

use serde_json::{Value, json};

/// Name of the sidecar that runs `muster agent`.
const CONTAINER: &str = "muster-agent";
/// Settings and volumes of Muster begin so.
const VARIABLES: &str = "MUSTER_";
const VOLUMES: &str = "muster-";
/// Where Agones' SDK server listens in every pod. Agones tells the game's container; whether it tells others has changed
/// between its versions.
const SDK_PORT: (&str, &str) = ("AGONES_SDK_GRPC_PORT", "9357");

/// Gives the agent what the game's container was given: its settings, the token that proves the pod, and the spool. What
/// the sidecar says itself comes last, and so wins.
pub(super) fn lend(pod: &mut Value) {
    let of_muster = |list: &Value, name: &str, begin: &str| -> Vec<Value> {
        let items = list.as_array().into_iter().flatten();
        items.filter(|item| item[name].as_str().is_some_and(|text| text.starts_with(begin))).cloned().collect()
    };
    let game = &pod["containers"][0];
    let mut env = of_muster(&game["env"], "name", VARIABLES);
    env.push(json!({ "name": SDK_PORT.0, "value": SDK_PORT.1 }));
    let mounts = of_muster(&game["volumeMounts"], "name", VOLUMES);
    let containers = pod["containers"].as_array_mut().into_iter().flatten();
    for agent in containers.skip(1).filter(|container| container["name"] == CONTAINER) {
        put_before(&mut agent["env"], &env);
        put_before(&mut agent["volumeMounts"], &mounts);
    }
}

/// Puts `lent` before what is in the list already. A path may be mounted once, so there what is there stays alone.
fn put_before(list: &mut Value, lent: &[Value]) {
    let own = list.as_array().cloned().unwrap_or_default();
    let is_own =
        |item: &&Value| own.iter().any(|o| !item["mountPath"].is_null() && o["mountPath"] == item["mountPath"]);
    let mut all: Vec<Value> = lent.iter().filter(|item| !is_own(item)).cloned().collect();
    all.extend(own);
    *list = Value::Array(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_has_the_settings_of_the_game_and_its_own_come_last() {
        let mut pod = json!({ "containers": [
            { "name": "game", "env": [{ "name": "MUSTER_FLEET", "value": "clicks" }, { "name": "MAP", "value": "x" }],
              "volumeMounts": [{ "name": "muster-token", "mountPath": "/token" }, { "name": "maps", "mountPath": "/maps" }] },
            { "name": "muster-agent", "env": [{ "name": "MUSTER_FLEET", "value": "other" }],
              "volumeMounts": [{ "name": "mine", "mountPath": "/token" }] },
            { "name": "logs" },
        ] });
        lend(&mut pod);
        let agent = &pod["containers"][1];
        let env: Vec<_> = agent["env"].as_array().expect("a list").iter().map(|item| item["value"].as_str()).collect();
        assert_eq!(env, [Some("clicks"), Some("9357"), Some("other")]);
        assert_eq!(agent["volumeMounts"], json!([{ "name": "mine", "mountPath": "/token" }]));
        assert_eq!(pod["containers"][2], json!({ "name": "logs" }), "other sidecars are passed on untouched");
        let mut bare = json!({ "containers": [{ "name": "game", "env": [], "volumeMounts": [] }] });
        let before = bare.clone();
        lend(&mut bare);
        assert_eq!(bare, before);
    }
}
