//! Values that the chart must refuse, and what it must say: a typo that is taken is a setting that somebody believes in.

use super::chart::Chart;

/// What is set, and what the refusal says.
const REFUSED: &[(&[&str], &str)] = &[
    (&["replicaCount=2"], "additional properties 'replicaCount' not allowed"),
    (&["metagame.replica=1"], "at '/metagame': additional properties 'replica' not allowed"),
    (&["operator.resources.limits.memroy=1Gi"], "at '/operator/resources/limits': additional properties 'memroy'"),
    (&["networkPolicy.enable=true"], "at '/networkPolicy': additional properties 'enable' not allowed"),
    (&["allocator.dropIn.tls.sorce=existing"], "at '/allocator/dropIn/tls': additional properties 'sorce'"),
    (&["allocator.nodeSelector.disk=2"], "at '/allocator/nodeSelector/disk': got number, want string"),
    (&["metagame.replicas=2"], "metagame has more than one replica, and SQLite one writer"),
    (&["metagame.autoscaling.enabled=true"], "metagame has more than one replica, and SQLite one writer"),
    (
        &[
            "metagame.autoscaling.enabled=true",
            "metagame.autoscaling.minReplicas=11",
            "metagame.database.secretName=pg",
        ],
        "metagame.autoscaling.minReplicas is above maxReplicas",
    ),
    (&["metagame.database.secretName=pg"], "networkPolicy.database.cidrs is empty, so that the database could not be"),
    (&["matchmaker.replicas=2"], "at '/matchmaker/replicas': maximum: got 2, want 1"),
    (&["operator.replicas=0"], "at '/operator/replicas': minimum: got 0, want 1"),
    (&["operator.replicas=two"], "at '/operator/replicas': got string, want integer"),
    (&["spread.nodes=maybe"], "at '/spread/nodes': value must be one of 'off', 'preferred', 'required'"),
    (&["gameNamespaces=default"], "at '/gameNamespaces': got string, want array"),
    (&["gameNamespaces={Default}"], "at '/gameNamespaces/0': 'Default' does not match pattern"),
    (&["gameNamespaces={games,games}"], "at '/gameNamespaces': items at 0 and 1 are equal"),
    (&["image.digest=3f1c"], "at '/image/digest': '3f1c' does not match pattern"),
    (&["image.repository=localhost/muster@sha256:00"], "at '/image/repository'"),
    (&["image.tag=latest"], "image.tag is latest, and what that means changes: name a version, or image.digest"),
    (&["gameNamespaces={muster-system}"], "\"muster-system\", Muster's own namespace"),
    (&["demo.namespace=elsewhere"], "demo.namespace is \"elsewhere\", which is none of gameNamespaces"),
    (&["allocator.dropIn.tls.source=certManager"], "allocator.dropIn.tls.issuer.name is empty: name an Issuer"),
    (&["allocator.dropIn.tls.source=existing"], "allocator.dropIn.tls.secretName is empty: name your Secret"),
    (&["allocator.dropIn.tls.secretName=mine"], "leave it empty, or say source: existing"),
    (
        &["metagame.webhooks.secretName=hooks"],
        "networkPolicy.webhooks.cidrs is empty, so that nothing could be delivered",
    ),
];

/// One sentence for each that is taken, or refused with other words.
pub(super) fn faults(chart: &Chart) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for (settings, expected) in REFUSED {
        let flags: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let answer = chart.template("muster-system", &flags)?;
        if answer.is_good {
            faults.push(format!("--set {}: taken, and must be refused: {expected}", settings.join(" --set ")));
        } else if !answer.complaint.contains(expected) {
            faults.push(format!("--set {}: expected {expected:?}, got:\n{}", settings.join(" "), answer.complaint));
        }
    }
    Ok(faults)
}
