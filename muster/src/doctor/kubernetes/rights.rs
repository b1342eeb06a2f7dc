//! What each program's account may do, asked of the API server itself. Too little and the program stands still.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use super::super::finding::Finding;
use super::{Installation, unseen};

/// Reviews that are asked for at once.
const ASKED_AT_ONCE: usize = 8;
const SECTION: &str = "rights";

/// Where a right is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In Muster's own namespace, on the object of this name (empty: on any).
    Own(&'static str),
    /// In each game namespace.
    Games,
    /// Everywhere.
    Cluster,
}

/// Rights of one program on one resource.
struct Need {
    part: &'static str,
    place: Place,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];

const fn need(
    part: &'static str,
    place: Place,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Need {
    Need { part, place, group, resource, verbs }
}

const LEASES: &str = "coordination.k8s.io";
const AGONES: &str = "agones.dev";

/// What the programs do. The chart's roles say the same, and a test compares them.
const NEEDS: [Need; 24] = [
    need("operator", Place::Own(""), LEASES, "leases", &["create"]),
    need("operator", Place::Own("muster-operator"), LEASES, "leases", &["get", "update"]),
    need("operator", Place::Own(""), "", "secrets", &["create"]),
    need("operator", Place::Own("muster-keys"), "", "secrets", &["get"]),
    need("operator", Place::Own("muster-vault"), "", "secrets", &["get"]),
    need("operator", Place::Own("muster-allocator-tls"), "", "secrets", &["get"]),
    need("operator", Place::Games, crds::GROUP, "gamefleets", &["get", "list", "watch", "patch"]),
    need("operator", Place::Games, crds::GROUP, "matchqueues", READ),
    need("operator", Place::Games, crds::GROUP, "gamefleets/status", &["patch"]),
    need("operator", Place::Games, crds::GROUP, "matchqueues/status", &["patch"]),
    need("operator", Place::Games, AGONES, "fleets", &["get", "list", "watch", "create", "patch", "delete"]),
    need("operator", Place::Games, AGONES, "fleets/scale", &["get", "patch"]),
    need("operator", Place::Games, AGONES, "gameservers", &["get", "list", "watch", "patch", "delete"]),
    need(
        "operator",
        Place::Games,
        "autoscaling.agones.dev",
        "fleetautoscalers",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    need("operator", Place::Games, "events.k8s.io", "events", &["create", "patch"]),
    need("operator", Place::Cluster, "", "nodes", READ),
    need("allocator", Place::Own(""), LEASES, "leases", &["create"]),
    need("allocator", Place::Own("muster-allocator"), LEASES, "leases", &["get", "update"]),
    need("allocator", Place::Games, crds::GROUP, "gamefleets", READ),
    need("allocator", Place::Games, AGONES, "fleets", READ),
    need("allocator", Place::Games, AGONES, "gameservers", &["get", "list", "watch", "patch"]),
    need("allocator", Place::Games, "allocation.agones.dev", "gameserverallocations", &["create"]),
    need("allocator", Place::Games, "", "pods", READ),
    need("matchmaker", Place::Games, crds::GROUP, "matchqueues", READ),
];

/// One question to the API server.
#[derive(Debug, Clone)]
struct Question {
    part: &'static str,
    asked: ResourceAttributes,
}

impl Question {
    /// What it is about: the resource, and where.
    fn object(&self) -> String {
        let resource = self.asked.resource.as_deref().unwrap_or_default();
        let subresource = self.asked.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        let place = self.asked.namespace.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
        format!("{resource}{subresource}{place}")
    }

    fn verb(&self) -> &str {
        self.asked.verb.as_deref().unwrap_or_default()
    }
}

/// Questions in words, those about one object together: `get, list pods in games`.
fn told<'a>(questions: impl Iterator<Item = &'a Question>) -> String {
    let mut objects: Vec<(String, Vec<&str>)> = Vec::new();
    for question in questions {
        let object = question.object();
        match objects.iter_mut().find(|(known, _)| *known == object) {
            Some((_, verbs)) => verbs.push(question.verb()),
            None => objects.push((object, vec![question.verb()])),
        }
    }
    let told = objects.iter().map(|(object, verbs)| format!("{} {object}", verbs.join(", ")));
    told.collect::<Vec<_>>().join("; ")
}

/// One finding for each program.
pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    let reviews = Api::<SubjectAccessReview>::all(installation.client.clone());
    let questions = questions(&installation.namespace, &installation.game_namespaces);
    let ask = |question: Question| {
        let (reviews, user) = (&reviews, user(installation, question.part));
        async move {
            let spec = SubjectAccessReviewSpec {
                user: Some(user),
                resource_attributes: Some(question.asked.clone()),
                ..SubjectAccessReviewSpec::default()
            };
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let answer = reviews.create(&PostParams::default(), &review).await;
            answer.map(|review| (question, review.status.is_some_and(|status| status.allowed)))
        }
    };
    let answers: Vec<_> = stream::iter(questions).map(ask).buffered(ASKED_AT_ONCE).collect().await;
    let mut answered = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => answered.push(answer),
            Err(error) => return vec![unseen("rights of the programs", &error, SECTION)],
        }
    }
    let parts: BTreeSet<&str> = NEEDS.iter().map(|need| need.part).collect();
    parts.into_iter().map(|part| judge(part, &user(installation, part), &answered)).collect()
}

fn user(installation: &Installation, part: &str) -> String {
    format!("system:serviceaccount:{}:{}", installation.namespace, installation.name_of(part))
}

fn questions(own: &str, games: &[String]) -> Vec<Question> {
    let mut questions = Vec::new();
    for Need { part, place, group, resource, verbs } in NEEDS {
        let (resource, subresource) =
            resource.split_once('/').map_or((resource, None), |(resource, sub)| (resource, Some(sub.to_owned())));
        let (namespaces, name): (Vec<Option<String>>, &str) = match place {
            Place::Own(name) => (vec![Some(own.to_owned())], name),
            Place::Games => (games.iter().cloned().map(Some).collect(), ""),
            Place::Cluster => (vec![None], ""),
        };
        for namespace in namespaces {
            questions.extend(verbs.iter().map(|verb| {
                let asked = ResourceAttributes {
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: subresource.clone(),
                    verb: Some((*verb).to_owned()),
                    namespace: namespace.clone(),
                    name: Some(name.to_owned()).filter(|name| !name.is_empty()),
                    ..ResourceAttributes::default()
                };
                Question { part, asked }
            }));
        }
    }
    questions
}

fn judge(part: &str, user: &str, answered: &[(Question, bool)]) -> Finding {
    let check = format!("rights of {part}");
    let own = || answered.iter().filter(|(question, _)| question.part == part);
    let missing = told(own().filter(|(_, allowed)| !allowed).map(|(question, _)| question));
    if missing.is_empty() {
        return Finding::ok(check, format!("all {} that it needs", own().count()));
    }
    let found = format!("{user} may not {missing}");
    let advice = "helm upgrade with every game namespace in gameNamespaces: the chart makes roles and bindings";
    Finding::fail(check, found, advice).more(SECTION)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::PolicyRule;
    use serde_json::Value;

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn each_right_is_asked_for_where_it_is_needed() {
        let questions = questions("own", &["a".into(), "b".into()]);
        let of = |part: &str| told(questions.iter().filter(|question| question.part == part));
        assert_eq!(of("matchmaker"), "get, list, watch matchqueues in a; get, list, watch matchqueues in b");
        let operator = of("operator");
        assert!(operator.contains("; patch gamefleets/status in b; "), "{operator}");
        assert!(operator.ends_with("; get, list, watch nodes"), "{operator}");
        let lease = questions.iter().find(|question| question.asked.name.is_some()).expect("a lease");
        assert_eq!(
            (lease.asked.namespace.as_deref(), lease.asked.name.as_deref()),
            (Some("own"), Some("muster-operator"))
        );
    }

    /// Account, namespace, group, resource, name, verb; nothing where it does not matter.
    type Right = [String; 6];

    /// Every right that the chart gives, as it is rendered for the game namespaces europe and asia.
    fn rights_of_the_chart() -> Vec<Right> {
        let text = include_str!("../../../../helm/golden/everything.yaml");
        let documents = text.split("\n---").map(|document| serde_saphyr::from_str(document).expect("YAML"));
        let documents: Vec<Value> = documents.collect();
        let mut rights = Vec::new();
        for binding in documents.iter().filter(|document| document["roleRef"].is_object()) {
            let (role, namespace) = (&binding["roleRef"], &binding["metadata"]["namespace"]);
            let is_meant = |document: &&Value| {
                let metadata = &document["metadata"];
                document["kind"] == role["kind"]
                    && metadata["name"] == role["name"]
                    && metadata["namespace"] == *namespace
            };
            let rules = documents.iter().find(is_meant).expect("the role of a binding")["rules"].clone();
            let rules: Vec<PolicyRule> = serde_json::from_value(rules).expect("rules");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (account, namespace) = (text(&binding["subjects"][0]["name"]), text(namespace));
            for rule in rules {
                let names = rule.resource_names.unwrap_or_else(|| vec![String::new()]);
                let groups = rule.api_groups.unwrap_or_default();
                for (resource, verb) in product(&rule.resources.unwrap_or_default(), &rule.verbs) {
                    let objects = product(&groups, &names).map(|(group, name)| {
                        [account.clone(), namespace.clone(), group, resource.clone(), name, verb.clone()]
                    });
                    rights.extend(objects);
                }
            }
        }
        rights
    }

    fn product(left: &[String], right: &[String]) -> impl Iterator<Item = (String, String)> {
        left.iter().flat_map(|left| right.iter().map(|right| (left.clone(), right.clone())))
    }

    #[test]
    fn the_chart_gives_each_program_the_rights_that_are_asked_for_and_no_others() {
        let asked = questions("muster-system", &["europe".into(), "asia".into()]).into_iter().map(|question| {
            let asked = question.asked;
            let resource = [asked.resource, asked.subresource].into_iter().flatten().collect::<Vec<_>>().join("/");
            let text = Option::unwrap_or_default;
            [
                format!("muster-{}", question.part),
                text(asked.namespace),
                text(asked.group),
                resource,
                text(asked.name),
                text(asked.verb),
            ]
        });
        let asked: BTreeSet<Right> = asked.collect();
        let accounts: BTreeSet<&String> = asked.iter().map(|right| &right[0]).collect();
        let given = rights_of_the_chart().into_iter().filter(|right| accounts.contains(&right[0]));
        let given: BTreeSet<Right> = given.collect();
        assert!(given.len() > 50, "the chart's roles were not found: {given:?}");
        let (missing, needless): (Vec<_>, Vec<_>) =
            (asked.difference(&given).collect(), given.difference(&asked).collect());
        assert!(missing.is_empty() && needless.is_empty(), "not given: {missing:?}; not asked for: {needless:?}");
    }

    #[test]
    fn a_missing_right_is_named() {
        let questions = questions("own", &["a".into()]);
        let all: Vec<(Question, bool)> = questions.iter().cloned().map(|question| (question, true)).collect();
        assert_eq!(judge("allocator", "u", &all).status, Status::Ok);
        let without: Vec<(Question, bool)> = questions
            .into_iter()
            .map(|question| {
                let allowed = question.asked.resource.as_deref() != Some("pods");
                (question, allowed)
            })
            .collect();
        let finding = judge("allocator", "u", &without);
        assert_eq!((finding.status, finding.found.as_str()), (Status::Fail, "u may not get, list, watch pods in a"));
        assert_eq!(judge("operator", "u", &without).status, Status::Ok);
    }
}
