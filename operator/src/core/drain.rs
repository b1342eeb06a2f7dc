//! Whose servers have to leave, and until when.
//!
//! A node is left when it is cordoned, when it has a taint that the server does not tolerate, or when its provider takes it
//! back. What Kubernetes itself says of a node's health (`node.kubernetes.io/…`) comes and goes and moves nobody.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::render::GRACE_MARGIN_SECONDS;

/// Taints by which a provider says that a node goes very soon. They count even for a server that tolerates every taint.
///
/// AWS node termination handler, GKE, Karpenter (its forced disruptions: Agones' disruption budgets stop the voluntary
/// ones), and the cloud controllers. AKS has no such taint: `kubernetes.azure.com/scalesetpriority` marks a spot node from
/// its first day, so that only a cordon tells of its end.
const NOTICES: [&str; 5] = [
    "aws-node-termination-handler/spot-itn",
    "cloud.google.com/impending-node-termination",
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    "node.cloudprovider.kubernetes.io/shutdown",
];
/// What a cordon looks like as a taint.
const CORDON: &str = "node.kubernetes.io/unschedulable";
/// Taints that speak of a node's health or of its start.
const PASSING: [&str; 2] = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];

/// A node, as far as drains need it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// `spec.unschedulable`: cordoned.
    pub cordoned: bool,
    /// Its taints.
    pub taints: Vec<Taint>,
}

/// Why a server has to leave its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// For people.
    pub reason: String,
    /// The provider takes the node back: the short deadline applies.
    pub notice: bool,
}

/// Whether a server with these tolerations has to leave this node. A notice goes before everything else.
pub fn leave(node: &Node, tolerations: &[Toleration]) -> Option<Leave> {
    let notice = node.taints.iter().find(|taint| NOTICES.contains(&taint.key.as_str()));
    if let Some(taint) = notice {
        return Some(Leave { reason: format!("the provider takes its node back ({})", taint.key), notice: true });
    }
    if node.cordoned || node.taints.iter().any(|taint| taint.key == CORDON) {
        return Some(Leave { reason: "its node is cordoned".into(), notice: false });
    }
    let drives_out = |taint: &&Taint| {
        let moves = matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        let passing = PASSING.iter().any(|prefix| taint.key.starts_with(prefix));
        moves && !passing && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    };
    let taint = node.taints.iter().find(drives_out)?;
    Some(Leave { reason: format!("its node has the taint {}:{}", taint.key, taint.effect), notice: false })
}

/// As the scheduler has it: no key with `Exists` is every key, no effect is every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let exists = toleration.operator.as_deref() == Some("Exists");
    let effect = toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
    let key = match toleration.key.as_deref().unwrap_or_default() {
        "" => exists,
        key => key == taint.key,
    };
    let value = exists || toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default();
    effect && key && value
}

/// A drain as the annotations have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Until when matches may run.
    pub deadline: Timestamp,
    /// Why, for people.
    pub reason: String,
}

impl Drain {
    /// A drain that begins now.
    pub fn begin(now: Timestamp, seconds: u32, reason: impl Into<String>) -> Self {
        let deadline = now.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX);
        // To the second, as it is written: what is read again must be the same.
        let deadline = Timestamp::from_second(deadline.as_second()).unwrap_or(deadline);
        Self { deadline, reason: reason.into() }
    }

    /// From the annotations, where they are there and can be read.
    pub fn read(annotations: &std::collections::BTreeMap<String, String>) -> Option<Self> {
        let deadline = annotations.get(crds::labels::DRAIN_DEADLINE)?.parse().ok()?;
        Some(Self { deadline, reason: annotations.get(crds::labels::DRAIN_REASON).cloned().unwrap_or_default() })
    }

    /// The deadline for its annotation.
    pub fn deadline_text(&self) -> String {
        self.deadline.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// When a server that is still there may be deleted: its deadline and the time for result and goodbye are over.
    pub fn over(&self) -> Timestamp {
        let margin = SignedDuration::from_secs(i64::from(GRACE_MARGIN_SECONDS));
        self.deadline.checked_add(margin).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, effect: &str) -> Taint {
        Taint { key: key.into(), effect: effect.into(), ..Taint::default() }
    }

    fn node(taints: &[(&str, &str)]) -> Node {
        Node { cordoned: false, taints: taints.iter().map(|(key, effect)| taint(key, effect)).collect() }
    }

    fn everything() -> Vec<Toleration> {
        vec![Toleration { operator: Some("Exists".into()), ..Toleration::default() }]
    }

    #[test]
    fn a_cordon_a_taint_and_a_notice_move_servers_and_a_sick_node_does_not() {
        assert_eq!(leave(&Node::default(), &[]), None);
        let cordoned = Node { cordoned: true, ..Node::default() };
        assert_eq!(leave(&cordoned, &everything()).expect("leaves").reason, "its node is cordoned");
        let tainted = node(&[("games", "NoSchedule")]);
        assert_eq!(leave(&tainted, &[]).expect("leaves").reason, "its node has the taint games:NoSchedule");
        assert_eq!(leave(&node(&[("games", "PreferNoSchedule")]), &[]), None);
        let sick = node(&[
            ("node.kubernetes.io/memory-pressure", "NoSchedule"),
            ("node.kubernetes.io/not-ready", "NoExecute"),
        ]);
        assert_eq!(leave(&sick, &[]), None);
        let spot = leave(&node(&[("cloud.google.com/impending-node-termination", "NoSchedule")]), &everything());
        assert!(spot.expect("leaves").notice);
        assert_eq!(leave(&node(&[("kubernetes.azure.com/scalesetpriority", "NoSchedule")]), &everything()), None);
    }

    #[test]
    fn a_taint_that_the_server_tolerates_moves_nobody() {
        let tainted = node(&[("games", "NoSchedule")]);
        let toleration = |key: &str, operator: &str, value: Option<&str>, effect: Option<&str>| Toleration {
            key: Some(key.into()),
            operator: Some(operator.into()),
            value: value.map(str::to_owned),
            effect: effect.map(str::to_owned),
            ..Toleration::default()
        };
        for (toleration, stays) in [
            (toleration("games", "Exists", None, None), true),
            (toleration("games", "Exists", None, Some("NoSchedule")), true),
            (toleration("games", "Exists", None, Some("NoExecute")), false),
            (toleration("games", "Equal", Some("yes"), None), false),
            (toleration("other", "Exists", None, None), false),
            (toleration("", "Exists", None, None), true),
        ] {
            assert_eq!(leave(&tainted, std::slice::from_ref(&toleration)).is_none(), stays, "{toleration:?}");
        }
    }

    #[test]
    fn a_drain_that_was_written_reads_as_itself() {
        let drain = Drain::begin(Timestamp::new(1_000, 5).expect("in range"), 60, "fleet deleted");
        let annotations = [
            (crds::labels::DRAIN_DEADLINE.to_owned(), drain.deadline_text()),
            (crds::labels::DRAIN_REASON.to_owned(), drain.reason.clone()),
        ];
        assert_eq!(drain.deadline_text(), "1970-01-01T00:17:40Z");
        assert_eq!(Drain::read(&annotations.into()), Some(drain));
    }
}
