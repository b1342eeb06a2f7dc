//! The admission policies that keep matches alive when somebody deletes the wrong thing.

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use kube::Api;
use kube::api::ListParams;

use super::super::finding::Finding;
use super::{Installation, unseen};

/// Last part of each policy's name, and what happens without it.
const POLICIES: [(&str, &str); 3] = [
    ("fleets-with-matches", "whoever deletes an Agones Fleet ends its matches"),
    ("servers-with-matches", "whoever deletes a game server ends its matches"),
    ("queues-overlap", "two MatchQueues may claim one name; the younger is not served"),
];
const SECTION: &str = "policies";

/// Each policy, and whether it is bound.
pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    let policies = Api::<ValidatingAdmissionPolicy>::all(installation.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(installation.client.clone());
    let all = ListParams::default();
    let (policies, bindings) = match tokio::try_join!(policies.list(&all), bindings.list(&all)) {
        Ok(lists) => lists,
        Err(error) => return vec![unseen("admission policies", &error, SECTION)],
    };
    let names: Vec<String> = policies.items.into_iter().filter_map(|policy| policy.metadata.name).collect();
    let bound: Vec<String> = bindings.items.into_iter().filter_map(|binding| binding.spec?.policy_name).collect();
    let prefix = format!("{}.{}.", installation.release, installation.namespace);
    POLICIES.iter().map(|(name, without)| judge(&prefix, name, without, &names, &bound)).collect()
}

fn judge(prefix: &str, name: &str, without: &str, names: &[String], bound: &[String]) -> Finding {
    let (check, full) = (format!("policy {name}"), format!("{prefix}{name}"));
    let advice = "helm upgrade with policies.enabled=true";
    match (names.contains(&full), bound.contains(&full)) {
        (true, true) => Finding::ok(check, "in force"),
        (true, false) => Finding::warn(check, format!("{full} is bound to nothing: {without}"), advice).more(SECTION),
        (false, _) => Finding::warn(check, format!("{full} is not there: {without}"), advice).more(SECTION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_policy_counts_only_when_it_is_bound() {
        let full = vec!["muster.muster-system.x".to_owned()];
        let of = |names: &[String], bound: &[String]| judge("muster.muster-system.", "x", "…", names, bound).status;
        assert_eq!((of(&full, &full), of(&full, &[]), of(&[], &full)), (Status::Ok, Status::Warn, Status::Warn));
    }
}
