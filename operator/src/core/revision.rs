//! A revision: one template, frozen.
//!
//! Its name is a hash of what the user wrote, without what equals a default: so neither the order of keys, nor a default
//! written out, nor a new Muster release that knows more fields makes a new one. What is frozen is kept as an annotation
//! of the Fleets that were made from it, and a Fleet is only ever rendered from its own frozen copy.

use crds::{GameFleetSpec, GameServerTemplate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// A template, its build and its capacity, as they were when the revision came into being.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Eight hexadecimal digits.
    pub name: String,
    /// The game's build.
    pub build: String,
    /// Matches per server.
    pub capacity: u32,
    /// Seconds that its pods are granted to end their matches.
    pub grace_seconds: u32,
    /// The game server.
    pub template: GameServerTemplate,
}

/// An annotation that is no frozen revision.
#[derive(Debug, thiserror::Error)]
#[error("the annotation {key} cannot be read: {0}", key = crds::labels::FROZEN)]
pub struct FrozenError(#[from] serde_json::Error);

impl Revision {
    /// The revision that a spec asks for now.
    pub fn of(spec: &GameFleetSpec) -> Self {
        Self {
            name: name(spec),
            build: spec.build.clone(),
            capacity: spec.capacity,
            grace_seconds: spec.drain.deadline_seconds,
            template: spec.template.clone(),
        }
    }

    /// For the annotation.
    ///
    /// # Panics
    /// Never: a template is plain data.
    pub fn freeze(&self) -> String {
        serde_json::to_string(self).expect("a template is plain data")
    }

    /// From the annotation.
    ///
    /// # Errors
    /// [`FrozenError`] if somebody else wrote it.
    pub fn thaw(annotation: &str) -> Result<Self, FrozenError> {
        Ok(serde_json::from_str(annotation)?)
    }
}

fn name(spec: &GameFleetSpec) -> String {
    let value = |of: &GameServerTemplate| serde_json::to_value(of).expect("a template is plain data");
    let template = without(value(&spec.template), &value(&GameServerTemplate::default()));
    let mut hash = Sha256::new();
    hash.update(b"muster revision 1\0");
    for part in [&spec.build, &spec.capacity.to_string(), &canonical(&template).to_string()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..4])
}

/// A value without the fields that equal the default's. Lists stay whole.
fn without(value: Value, default: &Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let kept = fields.into_iter().filter_map(|(key, value)| match default.get(&key) {
        Some(default) if *default == value => None,
        Some(default) => Some((key, without(value, default))),
        None => Some((key, value)),
    });
    Value::Object(kept.collect())
}

/// Keys in order, whatever map serde_json was built with.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            Value::Object(sorted.into_iter().map(|(key, value)| (key.clone(), canonical(value))).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.iter().map(canonical).collect()),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crds::GameFleet;
    use serde_json::json;

    use super::*;

    fn spec(template: &Value) -> GameFleetSpec {
        serde_json::from_value::<GameFleet>(json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet", "metadata": { "name": "arena" },
            "spec": { "build": "1", "template": template }
        }))
        .expect("a fleet")
        .spec
    }

    #[test]
    fn defaults_written_out_and_the_order_of_keys_make_no_new_revision() {
        let short = spec(&json!({ "image": "a:1" }));
        let long = spec(&json!({
            "health": { "failureThreshold": 3, "periodSeconds": 5, "initialDelaySeconds": 5 },
            "ports": [{ "containerPort": 7777, "name": "game", "portPolicy": "Dynamic", "protocol": "UDP" }],
            "image": "a:1", "env": []
        }));
        assert_eq!(Revision::of(&short).name, Revision::of(&long).name);
        assert_eq!(Revision::of(&short).name.len(), 8);
    }

    #[test]
    fn what_runs_in_the_pod_makes_a_new_revision_and_the_size_of_the_fleet_does_not() {
        let before = spec(&json!({ "image": "a:1" }));
        let name = Revision::of(&before).name;
        for template in [
            json!({ "image": "a:2" }),
            json!({ "image": "a:1", "env": [{ "name": "A", "value": "b" }] }),
            json!({ "image": "a:1", "health": { "periodSeconds": 6 } }),
            json!({ "image": "a:1", "sidecars": [{ "name": "logs" }] }),
        ] {
            assert_ne!(Revision::of(&spec(&template)).name, name);
        }
        let mut sized = before.clone();
        sized.warm_pool.maximum = 99;
        sized.drain.deadline_seconds = 60;
        assert_eq!(Revision::of(&sized).name, name);
        let mut capable = before.clone();
        capable.capacity = 2;
        assert_ne!(Revision::of(&capable).name, name);
    }

    #[test]
    fn the_name_is_the_same_in_every_release() {
        let spec = spec(&json!({ "image": "registry.example/arena:1.4.2" }));
        assert_eq!(Revision::of(&spec).name, "44807d36", "a changed hash would roll out every fleet of every user");
    }

    #[test]
    fn a_frozen_revision_thaws_to_itself() {
        let revision = Revision::of(&spec(&json!({ "image": "a:1", "sidecars": [{ "name": "logs" }] })));
        assert_eq!(Revision::thaw(&revision.freeze()).expect("its own"), revision);
        assert!(Revision::thaw("{}").is_err());
    }
}
