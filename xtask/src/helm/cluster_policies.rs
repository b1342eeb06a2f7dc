//! The chart's admission policies, as a real API server applies them.

use std::time::{Duration, Instant};

use super::cluster::{Applied, Namespace, kubectl};

/// How long the API server may take to learn of a new policy.
const LEARNED: Duration = Duration::from_secs(60);

/// The policies, the operator's rights, and the namespaces that they are for. Policies go before namespaces.
struct Stage {
    own: Namespace,
    _applied: Applied,
    games: Namespace,
}

impl Stage {
    fn set() -> Self {
        let own = Namespace::make("policies").expect("a namespace");
        let games = Namespace::make("policies-games").expect("a namespace");
        let files = [
            "templates/policies/fleets.yaml",
            "templates/policies/servers.yaml",
            "templates/policies/queues.yaml",
            "templates/operator/account.yaml",
            "templates/operator/rbac.yaml",
        ];
        let applied = Applied::templates(&own, &games, &files).expect("the chart's policies");
        Self { own, _applied: applied, games }
    }

    fn apply(&self, manifest: &str) {
        self.try_apply(manifest).expect("taken");
    }

    /// The API server's complaint, if it refuses the manifest.
    fn try_apply(&self, manifest: &str) -> Result<(), String> {
        self.run(&["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(manifest))
    }

    /// What a deletion would be told; nothing is deleted.
    fn try_delete(&self, what: &[&str], user: Option<&str>) -> Result<(), String> {
        let user = user.map(|user| format!("--as={user}"));
        let mut arguments = vec!["delete", "--dry-run=server"];
        arguments.extend(what);
        arguments.extend(user.as_deref());
        self.run(&arguments, None)
    }

    fn run(&self, arguments: &[&str], input: Option<&str>) -> Result<(), String> {
        let namespace = ["--namespace", &self.games.name];
        let output = kubectl(&[namespace.as_slice(), arguments].concat(), input).expect("kubectl");
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Asks until the answer is a refusal, which a new policy brings after a while, and gives its words.
    fn refusal(&self, ask: impl Fn(&Self) -> Result<(), String>) -> String {
        let since = Instant::now();
        loop {
            match ask(self) {
                Err(said) => return said,
                Ok(()) if since.elapsed() < LEARNED => std::thread::sleep(Duration::from_millis(200)),
                Ok(()) => panic!("not refused within {LEARNED:?}"),
            }
        }
    }

    fn operator(&self) -> String {
        format!("system:serviceaccount:{}:muster-operator", self.own.name)
    }
}

fn fleet(name: &str) -> String {
    format!(
        "apiVersion: agones.dev/v1\nkind: Fleet\nmetadata: {{ name: {name}, labels: {{ muster.dev/game-fleet: arena }} }}\n\
         spec: {{ replicas: 0, template: {{ spec: {GAME_SERVER} }} }}\n"
    )
}

fn game_server(name: &str, labels: &str, state: &str) -> String {
    format!(
        "apiVersion: agones.dev/v1\nkind: GameServer\nmetadata: {{ name: {name}, labels: {{ {labels} }} }}\n\
         spec: {GAME_SERVER}\nstatus: {{ state: {state} }}\n"
    )
}

const GAME_SERVER: &str = "{ ports: [{ name: game, portPolicy: Dynamic, containerPort: 7777 }], \
     template: { spec: { containers: [{ name: game, image: localhost/game:1 }] } } }";

fn queue(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: muster.dev/v1alpha1\nkind: MatchQueue\nmetadata: {{ name: {name} }}\n\
         spec: {{ fleet: arena, teams: 2, playersPerTeam: 1{spec} }}\n"
    )
}

const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
const NAMESPACE_CONTROLLER: &str = "system:serviceaccount:kube-system:namespace-controller";

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn nobody_but_the_operator_deletes_a_fleet_whose_servers_have_matches() {
    let stage = Stage::set();
    stage.apply(&fleet("busy"));
    stage.apply(&fleet("idle"));
    let status = r#"{"status":{"replicas":3,"readyReplicas":0,"reservedReplicas":1,"allocatedReplicas":2}}"#;
    stage
        .run(&["patch", "fleet", "busy", "--subresource=status", "--type=merge", "--patch", status], None)
        .expect("status");
    let expected = "matches run on 2 servers of Fleet busy, and it would end them: delete GameFleet arena instead";
    let said = stage.refusal(|stage| stage.try_delete(&["fleet", "busy"], None));
    assert!(said.contains(expected), "{said}");
    for user in [GARBAGE_COLLECTOR, NAMESPACE_CONTROLLER] {
        let said = stage.try_delete(&["fleet", "busy"], Some(user)).expect_err("refused");
        assert!(said.contains(expected), "{user}: {said}");
    }
    stage.try_delete(&["fleet", "busy"], Some(&stage.operator())).expect("the operator may");
    stage.try_delete(&["fleet", "idle"], None).expect("nothing runs there");
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn nobody_but_the_operator_deletes_an_allocated_server_of_muster() {
    let stage = Stage::set();
    let of_muster = "muster.dev/game-fleet: arena";
    for state in ["Allocated", "Reserved", "Shutdown", "Unhealthy", "Error"] {
        stage.apply(&game_server(&state.to_lowercase(), of_muster, state));
    }
    stage.apply(&game_server("another", "", "Allocated"));
    let expected = "GameServer allocated is Allocated, a match runs on it: drain it with";
    let said = stage.refusal(|stage| stage.try_delete(&["gameserver", "allocated"], None));
    assert!(said.contains(expected), "{said}");
    for user in [GARBAGE_COLLECTOR, NAMESPACE_CONTROLLER] {
        let said = stage.try_delete(&["gameserver", "allocated"], Some(user)).expect_err("refused");
        assert!(said.contains(expected), "{user}: {said}");
    }
    // As one request for all of them, too.
    let all = format!("/apis/agones.dev/v1/namespaces/{}/gameservers?dryRun=All", stage.games.name);
    let said = stage.run(&["delete", "--raw", &all], None).expect_err("refused");
    assert!(said.contains(expected), "{said}");
    stage.try_delete(&["gameserver", "allocated"], Some(&stage.operator())).expect("the operator may");
    for name in ["reserved", "shutdown", "unhealthy", "error", "another"] {
        stage
            .try_delete(&["gameserver", name], None)
            .unwrap_or_else(|said| panic!("{name} has no match of Muster: {said}"));
    }
}

#[test]
#[ignore = "needs a cluster: KUBECONFIG"]
fn two_queues_of_a_namespace_never_have_one_name() {
    let stage = Stage::set();
    stage.apply(&queue("ranked", ""));
    stage.apply(&queue("evening", ", queue: casual"));
    let said = stage.refusal(|stage| {
        stage.try_apply(&queue("second", ", queue: ranked")).and_then(|()| {
            // Taken before the policy was known: away with it, and once more.
            stage.run(&["delete", "matchqueue", "second"], None)
        })
    });
    let expected = "queue ranked is served by MatchQueue ranked already: give this one another spec.queue";
    assert!(said.contains(expected), "{said}");
    let said = stage.try_apply(&queue("casual", "")).expect_err("refused");
    assert!(said.contains("queue casual is served by MatchQueue evening already"), "{said}");
    let said = stage.try_apply(&queue("ranked", ", queue: casual")).expect_err("a change is refused as well");
    assert!(said.contains("queue casual is served by MatchQueue evening already"), "{said}");
    stage.try_apply(&queue("ranked", ", capacity: 10")).expect("a queue may be changed");
    stage.try_apply(&queue("evening", ", queue: night")).expect("and renamed");
    stage.try_apply(&queue("casual", "")).expect("then the name is free");
}
