//! What each account of the chart may do on a real API server, and what it may not.

use super::cluster::{Applied, Namespace, kubectl};

/// Where an account is asked for a right.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Muster's namespace.
    Own,
    /// A game namespace.
    Games,
    /// A namespace that is neither.
    Elsewhere,
    /// All namespaces, or none.
    Cluster,
}

use Place::{Cluster, Elsewhere, Games, Own};

/// Account, verbs, resource, places.
type Rights = [(&'static str, &'static [&'static str], &'static str, &'static [Place])];

/// Account, verb, resource, place.
type Question = (&'static str, &'static str, &'static str, Place);

const READ: &[&str] = &["get", "list", "watch"];

/// What the programs do.
const MAY: &Rights = &[
    ("operator", READ, "gamefleets.muster.dev", &[Games]),
    ("operator", READ, "matchqueues.muster.dev", &[Games]),
    ("operator", &["patch"], "gamefleets.muster.dev", &[Games]),
    ("operator", &["patch"], "gamefleets.muster.dev/status", &[Games]),
    ("operator", &["patch"], "matchqueues.muster.dev/status", &[Games]),
    ("operator", READ, "fleets.agones.dev", &[Games]),
    ("operator", &["create", "patch", "delete"], "fleets.agones.dev", &[Games]),
    ("operator", &["patch"], "fleets.agones.dev/scale", &[Games]),
    ("operator", READ, "gameservers.agones.dev", &[Games]),
    ("operator", &["patch", "delete"], "gameservers.agones.dev", &[Games]),
    ("operator", &["create", "delete"], "fleetautoscalers.autoscaling.agones.dev", &[Games]),
    ("operator", &["create", "patch"], "events.events.k8s.io", &[Games]),
    ("operator", READ, "nodes", &[Cluster]),
    ("operator", &["get", "update"], "leases.coordination.k8s.io/muster-operator", &[Own]),
    ("operator", &["create"], "leases.coordination.k8s.io", &[Own]),
    ("operator", &["create"], "secrets", &[Own]),
    ("operator", &["get"], "secrets/muster-keys", &[Own]),
    ("operator", &["get"], "secrets/muster-vault", &[Own]),
    ("operator", &["get"], "secrets/muster-allocator-tls", &[Own]),
    ("allocator", READ, "gamefleets.muster.dev", &[Games]),
    ("allocator", READ, "fleets.agones.dev", &[Games]),
    ("allocator", READ, "gameservers.agones.dev", &[Games]),
    ("allocator", &["patch"], "gameservers.agones.dev", &[Games]),
    ("allocator", &["create"], "gameserverallocations.allocation.agones.dev", &[Games]),
    ("allocator", READ, "pods", &[Games]),
    ("allocator", &["get", "update"], "leases.coordination.k8s.io/muster-allocator", &[Own]),
    ("allocator", &["create"], "leases.coordination.k8s.io", &[Own]),
    ("matchmaker", READ, "matchqueues.muster.dev", &[Games]),
    ("uninstall", &["list"], "gameservers.agones.dev", &[Games]),
];

const PROGRAMS: [&str; 5] = ["operator", "allocator", "matchmaker", "metagame", "uninstall"];

/// What no program may do, whichever it is.
const NOBODY_MAY: &[(&[&str], &str, &[Place])] = &[
    (&["*"], "*.*", &[Own, Games, Elsewhere, Cluster]),
    (&["list", "watch", "delete", "patch", "update"], "secrets", &[Own, Games, Elsewhere, Cluster]),
    (&["get"], "secrets/another", &[Own, Games, Elsewhere]),
    (&["create"], "secrets", &[Games, Elsewhere]),
    (&["get"], "configmaps", &[Own, Games, Elsewhere]),
    (&["create", "patch", "delete"], "pods", &[Own, Games, Elsewhere]),
    (&["create"], "pods/exec", &[Own, Games, Elsewhere]),
    (&["create"], "serviceaccounts/token", &[Own, Games, Elsewhere]),
    (&["create", "patch", "bind", "escalate"], "roles.rbac.authorization.k8s.io", &[Own, Games, Elsewhere]),
    (&["create", "patch", "bind", "escalate"], "clusterroles.rbac.authorization.k8s.io", &[Cluster]),
    (&["impersonate"], "users", &[Cluster]),
    (&["patch", "update", "delete"], "nodes", &[Cluster]),
    (&["patch"], "customresourcedefinitions.apiextensions.k8s.io", &[Cluster]),
    (&["delete"], "validatingadmissionpolicybindings.admissionregistration.k8s.io", &[Cluster]),
    (&["list", "patch", "delete"], "gameservers.agones.dev", &[Elsewhere, Cluster]),
    (&["list", "create", "delete"], "fleets.agones.dev", &[Elsewhere, Cluster]),
    (&["list"], "gamefleets.muster.dev", &[Elsewhere, Cluster]),
    (&["delete", "create"], "gamefleets.muster.dev", &[Games]),
    (&["delete", "create", "patch"], "matchqueues.muster.dev", &[Games]),
    (&["update", "delete"], "leases.coordination.k8s.io/another", &[Own]),
    (&["create"], "gameservers.agones.dev", &[Games]),
];

/// What a program may not do though another may.
const MAY_NOT: &Rights = &[
    ("allocator", &["delete"], "gameservers.agones.dev", &[Games]),
    ("allocator", &["create", "patch", "delete"], "fleets.agones.dev", &[Games]),
    ("allocator", &["patch"], "fleets.agones.dev/scale", &[Games]),
    ("allocator", &["get"], "secrets/muster-keys", &[Own]),
    ("allocator", &["get", "update"], "leases.coordination.k8s.io/muster-operator", &[Own]),
    ("operator", &["update"], "leases.coordination.k8s.io/muster-allocator", &[Own]),
    ("operator", &["get"], "pods", &[Games]),
    ("matchmaker", &["get"], "gameservers.agones.dev", &[Games]),
    ("matchmaker", &["get"], "gamefleets.muster.dev", &[Games]),
    ("matchmaker", &["create"], "leases.coordination.k8s.io", &[Own]),
    ("metagame", &["get"], "matchqueues.muster.dev", &[Games]),
    ("metagame", &["get"], "secrets/muster-keys", &[Own]),
    ("metagame", &["get"], "secrets/muster-vault", &[Own]),
    ("metagame", &["create"], "leases.coordination.k8s.io", &[Own]),
    ("uninstall", &["get", "delete"], "gameservers.agones.dev", &[Games]),
];

struct Stage {
    own: Namespace,
    games: Namespace,
    _applied: Applied,
}

impl Stage {
    fn set() -> Self {
        let own = Namespace::make("rights").expect("a namespace");
        let games = Namespace::make("rights-games").expect("a namespace");
        let files = ["operator", "allocator", "matchmaker"].map(|part| format!("templates/{part}/rbac.yaml"));
        let files: Vec<&str> = files.iter().map(String::as_str).chain(["templates/uninstall.yaml"]).collect();
        let applied = Applied::templates(&own, &games, &files).expect("the chart's roles");
        Self { own, games, _applied: applied }
    }

    /// The API server's answers, all of one request.
    fn answers(&self, questions: &[Question]) -> Vec<bool> {
        let reviews: Vec<String> = questions.iter().map(|question| self.review(question)).collect();
        let create = ["create", "--filename", "-", "--output", r#"jsonpath={.status.allowed}{"\n"}"#];
        let output = kubectl(&create, Some(&reviews.join("\n"))).expect("kubectl");
        let answers: Vec<bool> =
            String::from_utf8_lossy(&output.stdout).lines().map(|answer| answer == "true").collect();
        assert_eq!(answers.len(), questions.len(), "{}", String::from_utf8_lossy(&output.stderr));
        answers
    }

    /// `resource` is `name.group`, with `/part` or `/name` of one object behind it.
    fn review(&self, (account, verb, resource, place): &Question) -> String {
        let (whole, part) = resource.split_once('/').unwrap_or((resource, ""));
        let (whole, group) = whole.split_once('.').unwrap_or((whole, ""));
        let is_subresource = ["status", "scale", "exec", "token"].contains(&part);
        let (subresource, name) = if is_subresource { (part, "") } else { ("", part) };
        let namespace = match place {
            Own => &self.own.name,
            Games => &self.games.name,
            Elsewhere => "kube-system",
            Cluster => "",
        };
        let own = &self.own.name;
        format!(
            r#"{{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {{
                "user": "system:serviceaccount:{own}:muster-{account}",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:{own}", "system:authenticated"],
                "resourceAttributes": {{ "verb": "{verb}", "group": "{group}", "resource": "{whole}",
                    "subresource": "{subresource}", "name": "{name}", "namespace": "{namespace}" }} }} }}"#
        )
    }

    /// Each question whose answer is not `expected`.
    fn wrong(&self, rights: &Rights, expected: bool) -> Vec<String> {
        let mut questions = Vec::new();
        for (account, verbs, resource, places) in rights {
            questions
                .extend(verbs.iter().flat_map(|verb| places.iter().map(|place| (*account, *verb, *resource, *place))));
        }
        let answers = self.answers(&questions);
        let wrong = questions.iter().zip(answers).filter(|(_, answer)| *answer != expected);
        wrong.map(|((account, verb, resource, place), _)| format!("{account}: {verb} {resource} ({place:?})")).collect()
    }
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn each_program_may_do_what_it_does() {
    assert_eq!(Stage::set().wrong(MAY, true), Vec::<String>::new(), "must be allowed");
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn no_program_may_do_more() {
    let stage = Stage::set();
    // The roles are in force before their limits say anything.
    assert_eq!(stage.wrong(&MAY[..1], true), Vec::<String>::new(), "must be allowed");
    let mut wrong = stage.wrong(MAY_NOT, false);
    for program in PROGRAMS {
        let each = NOBODY_MAY.iter().map(|(verbs, resource, places)| (program, *verbs, *resource, *places));
        wrong.extend(stage.wrong(&each.collect::<Vec<_>>(), false));
    }
    assert_eq!(wrong, Vec::<String>::new(), "must be refused");
}
