//! Conditions as `kubectl wait` and Argo CD read them.

use k8s_openapi::jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One statement about a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about: `Ready`, `Progressing`, `Degraded`, `Draining`, …
    #[serde(rename = "type")]
    #[schemars(length(max = 64))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one word for programs.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// Why, as a sentence for people, with what to do.
    #[schemars(length(max = 4096))]
    pub message: String,
    /// When `status` last changed, RFC 3339.
    pub last_transition_time: String,
    /// Generation of the spec that it speaks of.
    pub observed_generation: i64,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A resource's conditions, each type once, in the order in which they first appeared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions(Vec<Condition>);

impl Conditions {
    /// From a status as it stands.
    pub fn new(conditions: Vec<Condition>) -> Self {
        Self(conditions)
    }

    /// Sets one condition; its transition time moves only when its status does, so that writing the same twice is
    /// writing nothing.
    pub fn set(&mut self, now: Timestamp, generation: i64, type_: &str, status: ConditionStatus, why: (&str, String)) {
        let (reason, message) = why;
        let standing = self.0.iter_mut().find(|condition| condition.type_ == type_);
        let since = match &standing {
            Some(old) if old.status == status => old.last_transition_time.clone(),
            _ => now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        };
        let condition = Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message,
            last_transition_time: since,
            observed_generation: generation,
        };
        match standing {
            Some(old) => *old = condition,
            None => self.0.push(condition),
        }
    }

    /// One of them.
    pub fn get(&self, type_: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.type_ == type_)
    }

    /// Whether one holds.
    pub fn holds(&self, type_: &str) -> bool {
        self.get(type_).is_some_and(|condition| condition.status == ConditionStatus::True)
    }

    /// For a status.
    pub fn into_vec(self) -> Vec<Condition> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn the_transition_time_moves_with_the_status_alone() {
        let mut conditions = Conditions::default();
        conditions.set(at(10), 1, "Ready", false.into(), ("Starting", "no server yet".into()));
        conditions.set(at(20), 2, "Ready", false.into(), ("Starting", "still none".into()));
        let waiting = conditions.get("Ready").expect("set").clone();
        assert_eq!((waiting.last_transition_time.as_str(), waiting.observed_generation), ("1970-01-01T00:00:10Z", 2));
        conditions.set(at(30), 2, "Ready", true.into(), ("ServersReady", "2 of 2".into()));
        assert_eq!(conditions.get("Ready").expect("set").last_transition_time, "1970-01-01T00:00:30Z");
        assert!(conditions.holds("Ready") && !conditions.holds("Degraded"));
        assert_eq!(conditions.into_vec().len(), 1);
    }
}
