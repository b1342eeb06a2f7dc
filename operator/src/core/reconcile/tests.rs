//! A small cluster that does what Agones does with the writes, and operators that may end after any of them.

use crds::GameFleetSpec;
use crds::agones::{FleetAutoscaler, FleetStatus};
use serde_json::{Value, json};

use super::*;

struct Cluster {
    game_fleet: Option<GameFleet>,
    fleets: Vec<Fleet>,
    autoscalers: Vec<FleetAutoscaler>,
    servers: Vec<Server>,
    demand: BTreeMap<String, Demand>,
    scores: BTreeMap<String, Score>,
    memory: Memory,
    made: u32,
    blind: Option<Blind>,
    seconds: u64,
    writes: Vec<Write>,
}

impl Cluster {
    fn new(spec: &Value) -> Self {
        let mut manifest = json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet",
            "metadata": { "name": "arena", "namespace": "games", "generation": 1 },
            "spec": { "build": "1", "template": { "image": "a:1" }, "warmPool": { "minimum": 3 } }
        });
        for (key, value) in spec.as_object().expect("an object") {
            manifest["spec"][key] = value.clone();
        }
        Self {
            game_fleet: Some(serde_json::from_value(manifest).expect("a fleet")),
            fleets: Vec::new(),
            autoscalers: Vec::new(),
            servers: Vec::new(),
            demand: BTreeMap::new(),
            scores: BTreeMap::new(),
            memory: Memory::default(),
            made: 0,
            blind: None,
            seconds: 1_000,
            writes: Vec::new(),
        }
    }

    fn look(&mut self) -> Plan {
        let Some(game_fleet) = self.game_fleet.clone() else {
            return Plan::only(Vec::new());
        };
        let world = World {
            game_fleet: &game_fleet,
            fleets: &self.fleets,
            autoscalers: &self.autoscalers,
            servers: &self.servers,
            demand: &self.demand,
            scores: &self.scores,
            blind: self.blind,
            allocator: "http://allocator",
            metagame: "http://metagame",
            autoscale: "http://operator/autoscale",
            now: Timestamp::from_second(self.seconds as i64).expect("in range"),
            elapsed: Duration::from_secs(self.seconds),
        };
        reconcile(&world, &mut self.memory)
    }

    /// Carries out the first `most` writes of a look, as the API server would.
    fn apply(&mut self, plan: &Plan, most: usize) {
        for write in plan.writes.iter().take(most) {
            self.writes.push(write.clone());
            let game_fleet = self.game_fleet.as_mut().expect("there");
            match write {
                Write::AddFinalizer => game_fleet.finalizers_mut().push(labels::FINALIZER.into()),
                Write::RemoveFinalizer => self.game_fleet = None,
                Write::CreateFleet(fleet) => {
                    let mut fleet = (**fleet).clone();
                    assert!(self.fleets.iter().all(|standing| standing.name_any() != fleet.name_any()), "409");
                    fleet.metadata.uid = Some(fleet.name_any());
                    fleet.metadata.resource_version = Some("1".into());
                    self.fleets.push(fleet);
                }
                Write::DrainFleet { fleet, drain, .. } => annotate(self.fleet(fleet).annotations_mut(), drain.as_ref()),
                Write::DrainServer { server, drain, .. } => {
                    let server = self.servers.iter_mut().find(|standing| standing.name == *server).expect("there");
                    server.drain = Some(drain.clone());
                }
                Write::DeleteServer { server, .. } => self.servers.retain(|standing| standing.name != *server),
                Write::Scale { fleet, replicas, .. } => self.fleet(fleet).spec.replicas = Some(*replicas),
                Write::DeleteFleet { fleet, .. } => {
                    let busy = self.servers.iter().any(|server| server.fleet == *fleet && server.busy);
                    assert!(!busy, "an Allocated server would have been ended with {fleet}");
                    self.fleets.retain(|standing| standing.name_any() != *fleet);
                    self.servers.retain(|server| server.fleet != *fleet);
                }
                Write::CreateAutoscaler(autoscaler) => {
                    let mut autoscaler = (**autoscaler).clone();
                    autoscaler.metadata.uid = Some("u".into());
                    self.autoscalers.push(autoscaler);
                }
                Write::ChangeAutoscaler { name, spec, .. } => {
                    let standing = self.autoscalers.iter_mut().find(|it| it.name_any() == *name).expect("there");
                    standing.spec = (**spec).clone();
                }
                Write::DeleteAutoscaler { name, .. } => self.autoscalers.retain(|it| it.name_any() != *name),
                Write::Status(status) => game_fleet.status = Some((**status).clone()),
            }
        }
        self.agones();
    }

    fn fleet(&mut self, name: &str) -> &mut Fleet {
        self.fleets.iter_mut().find(|fleet| fleet.name_any() == name).expect("there")
    }

    /// Servers come, and idle ones go; busy ones never do.
    fn agones(&mut self) {
        for fleet in &mut self.fleets {
            let (name, wanted) = (fleet.name_any(), fleet.spec.replicas.unwrap_or(0) as usize);
            let count = |servers: &[Server]| servers.iter().filter(|server| server.fleet == name).count();
            while count(&self.servers) < wanted {
                self.made += 1;
                let server = Server {
                    name: format!("{name}-{}", self.made),
                    fleet: name.clone(),
                    in_pool: true,
                    free_rooms: 1,
                    ..Server::default()
                };
                self.servers.push(server);
            }
            while count(&self.servers) > wanted {
                let idle = self.servers.iter().position(|server| server.fleet == name && !server.busy);
                let Some(idle) = idle else { break };
                self.servers.remove(idle);
            }
            let replicas = count(&self.servers) as u32;
            fleet.status = Some(FleetStatus { replicas, ..FleetStatus::default() });
        }
        for fleet in &self.fleets {
            let revision = fleet.labels()[labels::REVISION].clone();
            let servers = self.servers.iter().filter(|server| server.fleet == fleet.name_any()).count() as u32;
            self.scores.entry(revision).or_default().servers = servers;
        }
    }

    /// Looks until there is nothing to write; the number of looks that wrote.
    fn settle(&mut self) -> usize {
        for looks in 0..10 {
            let plan = self.look();
            if plan.writes.is_empty() {
                return looks;
            }
            self.apply(&plan, usize::MAX);
        }
        panic!("does not settle: {:?}", self.look());
    }

    fn change(&mut self, change: impl FnOnce(&mut GameFleetSpec)) {
        let game_fleet = self.game_fleet.as_mut().expect("there");
        change(&mut game_fleet.spec);
        *game_fleet.metadata.generation.get_or_insert(1) += 1;
    }

    fn delete(&mut self) {
        let at = Timestamp::from_second(self.seconds as i64).expect("in range");
        self.game_fleet.as_mut().expect("there").metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
    }

    fn play_on(&mut self, nth: usize) {
        let server = &mut self.servers[nth];
        (server.busy, server.free_rooms, server.matches) = (true, 0, 1);
    }

    fn end_matches(&mut self) {
        for server in &mut self.servers {
            (server.busy, server.free_rooms, server.matches) = (false, 1, 0);
        }
        self.agones();
    }

    fn sizes(&self) -> Vec<u32> {
        self.fleets.iter().map(|fleet| fleet.spec.replicas.unwrap_or(0)).collect()
    }

    fn status(&self) -> &GameFleetStatus {
        self.game_fleet.as_ref().expect("there").status.as_ref().expect("written")
    }

    fn condition(&self, type_: &str) -> (bool, String) {
        let conditions = crds::Conditions::new(self.status().conditions.clone());
        (conditions.holds(type_), conditions.get(type_).expect("set").reason.clone())
    }
}

fn annotate(annotations: &mut BTreeMap<String, String>, drain: Option<&Drain>) {
    annotations.remove(labels::DRAIN_DEADLINE);
    if let Some(drain) = drain {
        annotations.insert(labels::DRAIN_DEADLINE.into(), drain.deadline_text());
        annotations.insert(labels::DRAIN_REASON.into(), drain.reason.clone());
    }
}

#[test]
fn a_new_fleet_has_its_finalizer_first_then_its_servers_and_then_rests() {
    let mut cluster = Cluster::new(&json!({ "regions": [{ "name": "eu" }, { "name": "us", "minimum": 1 }] }));
    assert_eq!(cluster.look().writes, [Write::AddFinalizer]);
    assert!(cluster.settle() <= 3);
    assert_eq!(cluster.sizes(), [3, 1]);
    assert_eq!(cluster.condition("Ready"), (true, "ServersInPool".into()));
    assert_eq!((cluster.status().servers, cluster.status().free_rooms), (4, 4));
    cluster.seconds += 1_000;
    assert_eq!(cluster.look().writes, [], "an idle fleet costs no write");
}

#[test]
fn it_grows_at_once_and_shrinks_after_the_delay_never_below_what_plays() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.settle();
    cluster.demand.insert("default".into(), Demand { queued_matches: 6, ..Demand::default() });
    cluster.settle();
    assert_eq!(cluster.sizes(), [7]);
    cluster.demand.clear();
    cluster.seconds += 5;
    let plan = cluster.look();
    assert!(plan.writes.iter().all(|write| matches!(write, Write::Status(_))), "{:?}", plan.writes);
    assert_eq!(plan.again, Some(Duration::from_secs(1_305)));
    cluster.seconds += 301;
    cluster.settle();
    assert_eq!(cluster.sizes(), [3]);
}

#[test]
fn a_changed_template_is_tried_then_promoted_and_the_old_revision_goes_when_its_matches_have_ended() {
    let mut cluster = Cluster::new(&json!({ "rollout": { "steps": [
        { "weight": 10, "pauseSeconds": 10, "minimumSessions": 1 }, { "weight": 50, "pauseSeconds": 10, "minimumSessions": 1 }
    ] } }));
    cluster.settle();
    cluster.play_on(0);
    cluster.change(|spec| spec.build = "2".into());
    cluster.settle();
    let canary = cluster.status().canary.clone().expect("began");
    assert_eq!(cluster.status().rollout, "10%");
    assert_eq!(cluster.condition("Progressing"), (true, "RollingOut".into()));
    assert_eq!(cluster.fleets.len(), 2);
    for weight in ["50%", "done"] {
        cluster.seconds += 11;
        cluster.scores.get_mut(&canary).expect("seen").sessions = 5;
        cluster.settle();
        assert_eq!(cluster.status().rollout, weight);
    }
    assert_eq!(cluster.status().stable.as_ref(), Some(&canary));
    cluster.seconds += 2;
    cluster.settle();
    let old = cluster.status().revisions.iter().find(|revision| revision.name != canary).expect("still plays").clone();
    assert_eq!((old.phase, old.servers, old.busy), (crds::RevisionPhase::Draining, 1, 1));
    cluster.end_matches();
    cluster.settle();
    assert_eq!(cluster.fleets.len(), 1, "gone with its last match");
}

#[test]
fn a_build_that_crashes_is_rolled_back_and_says_so() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.settle();
    cluster.change(|spec| spec.template.image = "broken:1".into());
    cluster.settle();
    let canary = cluster.status().canary.clone().expect("began");
    cluster.scores.get_mut(&canary).expect("seen").crashes_at_start = 3;
    cluster.settle();
    assert_eq!((cluster.status().rollout.as_str(), cluster.fleets.len()), ("rolled back", 1));
    assert_eq!(cluster.condition("Degraded"), (true, "RolloutFailed".into()));
    cluster.change(|spec| spec.template.image = "a:1".into());
    cluster.settle();
    assert!(!cluster.condition("Degraded").0);
}

#[test]
fn a_template_that_is_not_sound_touches_nothing_and_is_named() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.settle();
    cluster.change(|spec| spec.template.volumes = vec![crds::Preserved::default()]);
    cluster.settle();
    assert_eq!((cluster.fleets.len(), cluster.condition("Degraded")), (1, (true, "InvalidTemplate".into())));
}

#[test]
fn a_deleted_fleet_lets_its_matches_end_and_then_goes() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.settle();
    cluster.play_on(1);
    cluster.delete();
    cluster.settle();
    assert_eq!((cluster.sizes(), cluster.condition("Draining")), (vec![0], (true, "Deleted".into())));
    assert_eq!(cluster.servers.len(), 1, "the one that plays");
    let drain = Drain::read(cluster.fleets[0].annotations()).expect("told");
    assert_eq!((drain.deadline.as_second(), drain.reason.as_str()), (1_000 + 1_800, "its GameFleet is deleted"));
    cluster.end_matches();
    cluster.settle();
    assert!(cluster.game_fleet.is_none() && cluster.fleets.is_empty() && cluster.servers.is_empty());
}

/// The whole life of a fleet, with an operator that ends after any one of its writes and is followed by one that remembers
/// nothing: it converges in three looks, and no busy server goes (the cluster above panics if one does).
#[test]
fn an_operator_that_ends_after_any_write_is_followed_by_one_that_finishes_in_three_looks() {
    type Change = fn(&mut Cluster);
    let life: [Change; 6] = [
        |_| {},
        |cluster| {
            cluster.demand.insert("default".into(), Demand { queued_matches: 4, ..Demand::default() });
        },
        |cluster| cluster.play_on(0),
        |cluster| cluster.change(|spec| spec.build = "2".into()),
        |cluster| {
            cluster.seconds += 10_000;
            for score in cluster.scores.values_mut() {
                score.sessions = 100;
            }
        },
        |cluster| cluster.change(|spec| spec.regions = vec![Region { name: "eu".into(), ..Region::default() }]),
    ];
    for ends_in in 0..life.len() {
        for ends_after in 0..6 {
            let mut cluster = Cluster::new(&json!({}));
            for (stage, change) in life.iter().enumerate() {
                change(&mut cluster);
                if stage == ends_in {
                    let plan = cluster.look();
                    cluster.apply(&plan, ends_after);
                    cluster.memory = Memory::default();
                }
                let looks = cluster.settle();
                assert!(looks <= 3, "stage {stage}, ended in {ends_in} after {ends_after}: {looks} looks");
            }
        }
    }
}

#[test]
fn while_a_service_is_silent_nothing_shrinks_and_people_are_told_when_it_lasts() {
    let mut cluster = Cluster::new(&json!({ "scaling": { "scaleDownDelaySeconds": 0 } }));
    cluster.demand.insert("default".into(), Demand { queued_matches: 6, ..Demand::default() });
    cluster.settle();
    cluster.demand.clear();
    cluster.blind = Some(Blind { service: "allocator", lasting: false });
    cluster.seconds += 60;
    cluster.settle();
    assert_eq!((cluster.sizes(), cluster.condition("Degraded").0), (vec![7], false));
    cluster.blind = Some(Blind { service: "allocator", lasting: true });
    cluster.settle();
    assert_eq!((cluster.sizes(), cluster.condition("Degraded")), (vec![7], (true, "AllocatorUnreachable".into())));
    cluster.blind = None;
    cluster.settle();
    assert_eq!((cluster.sizes(), cluster.condition("Degraded").0), (vec![3], false));
}

#[test]
fn counts_alone_are_told_every_two_seconds_and_a_rollout_at_once() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.settle();
    cluster.play_on(0);
    let plan = cluster.look();
    assert_eq!((plan.writes.len(), plan.again), (0, Some(Duration::from_secs(1_002))));
    cluster.change(|spec| spec.build = "2".into());
    assert!(cluster.look().writes.iter().any(|write| matches!(write, Write::Status(_))));
    cluster.seconds += 2;
    cluster.settle();
    assert_eq!(cluster.status().matches, 1);
}

#[test]
fn a_server_whose_node_is_left_is_told_once_and_a_notice_brings_its_deadline_forward() {
    let mut cluster = Cluster::new(&json!({ "drain": { "deadlineSeconds": 600, "spotDeadlineSeconds": 20 } }));
    cluster.settle();
    let cordon = Leave { reason: "its node is cordoned".into(), notice: false };
    cluster.servers[1].leave = Some(cordon);
    cluster.play_on(1);
    let plan = cluster.look();
    let [Write::DrainServer { server, drain, .. }] = &plan.writes[..] else { panic!("{:?}", plan.writes) };
    assert_eq!((server, drain.deadline.as_second()), (&cluster.servers[1].name, 1_600));
    cluster.apply(&plan, usize::MAX);
    cluster.seconds += 60;
    cluster.settle();
    assert_eq!(cluster.servers[1].drain.as_ref().expect("told").deadline.as_second(), 1_600, "once");
    cluster.servers[1].leave = Some(Leave { reason: "the provider takes its node back".into(), notice: true });
    cluster.settle();
    assert_eq!(cluster.servers[1].drain.as_ref().expect("told").deadline.as_second(), 1_080);
    cluster.seconds += 5;
    cluster.settle();
    assert_eq!(cluster.servers[1].drain.as_ref().expect("told").deadline.as_second(), 1_080, "once");
    cluster.seconds = 1_080 + 29;
    assert!(
        !cluster.look().writes.iter().any(|write| matches!(write, Write::DeleteServer { .. })),
        "not a second early"
    );
    let stays = cluster.servers[1].name.clone();
    cluster.seconds += 1;
    cluster.settle();
    assert!(cluster.servers.iter().all(|server| server.name != stays), "it ignored its drain");
}

#[test]
fn a_server_of_a_drained_fleet_that_ignores_the_deadline_is_deleted_and_the_fleet_with_it() {
    let mut cluster = Cluster::new(&json!({ "drain": { "deadlineSeconds": 60 } }));
    cluster.settle();
    cluster.play_on(0);
    cluster.delete();
    cluster.settle();
    cluster.seconds += 60 + 29;
    cluster.settle();
    assert_eq!(cluster.servers.len(), 1);
    cluster.seconds += 1;
    cluster.settle();
    assert!(cluster.game_fleet.is_none() && cluster.servers.is_empty());
}

#[test]
fn a_revision_that_is_wanted_again_starts_servers_that_do_not_drain() {
    let mut cluster = Cluster::new(&json!({ "rollout": { "strategy": "Immediate" } }));
    cluster.settle();
    cluster.play_on(0);
    cluster.change(|spec| spec.build = "2".into());
    for _ in 0..3 {
        cluster.settle();
        cluster.seconds += 5;
    }
    assert!(Drain::read(cluster.fleets[0].annotations()).is_some() && cluster.sizes()[0] == 0, "{:?}", cluster.sizes());
    cluster.change(|spec| spec.build = "1".into());
    for _ in 0..3 {
        cluster.settle();
        cluster.seconds += 5;
    }
    assert_eq!((Drain::read(cluster.fleets[0].annotations()), cluster.sizes()[0]), (None, 3));
}

/// Bounds of the buffer of each autoscaler: fewest, beyond the Allocated, most.
fn buffers(cluster: &Cluster) -> Vec<(i64, String, i64)> {
    let of = |standing: &FleetAutoscaler| {
        let [operator, floor] = &standing.spec.policy.chain[..] else { panic!("{:?}", standing.spec) };
        let asks = operator.webhook.as_ref().and_then(|webhook| webhook.url.as_deref());
        assert_eq!(asks, Some("http://operator/autoscale"), "the operator's wish goes before its floor");
        let buffer = floor.buffer.as_ref().expect("a buffer");
        (buffer.min_replicas, serde_json::to_string(&buffer.buffer_size).expect("a number"), buffer.max_replicas)
    };
    cluster.autoscalers.iter().map(of).collect()
}

#[test]
fn each_fleet_with_a_floor_has_an_autoscaler_that_goes_before_its_fleet_is_emptied() {
    let mut cluster =
        Cluster::new(&json!({ "scaling": { "crashFloor": 4 }, "warmPool": { "minimum": 2, "maximum": 20 } }));
    cluster.settle();
    assert_eq!(buffers(&cluster), [(4, "4".into(), 20)]);
    let owner = &cluster.autoscalers[0].metadata.owner_references.as_ref().expect("owned")[0];
    assert_eq!((owner.kind.as_str(), Some(&owner.uid)), ("Fleet", cluster.fleets[0].metadata.uid.as_ref()));
    assert_eq!(cluster.look().writes, [], "and then it rests");
    cluster.change(|spec| (spec.warm_pool.minimum, spec.scaling.crash_floor) = (6, Some(3)));
    cluster.settle();
    assert_eq!(buffers(&cluster), [(6, "3".into(), 20)]);
    cluster.play_on(0);
    cluster.delete();
    let first = cluster.look().writes.first().cloned();
    assert!(matches!(first, Some(Write::DeleteAutoscaler { .. })), "or it would fill the Fleet again: {first:?}");
    cluster.settle();
    assert_eq!((cluster.sizes(), cluster.autoscalers.len()), (vec![0], 0));
}

#[test]
fn the_floors_of_two_revisions_keep_the_hard_cap_and_a_floor_that_is_taken_away_goes() {
    let mut cluster =
        Cluster::new(&json!({ "scaling": { "crashFloor": 4 }, "warmPool": { "minimum": 2, "maximum": 20 } }));
    cluster.settle();
    cluster.change(|spec| spec.build = "2".into());
    cluster.settle();
    assert_eq!(cluster.status().rollout, "10%");
    assert_eq!(buffers(&cluster), [(4, "4".into(), 18), (2, "2".into(), 2)]);
    cluster.change(|spec| spec.scaling.crash_floor = None);
    cluster.settle();
    assert_eq!(cluster.autoscalers, []);
}

#[test]
fn a_plan_tells_the_size_of_each_fleet_as_it_is_after_its_writes() {
    let mut cluster = Cluster::new(&json!({ "scaling": { "scaleDownDelaySeconds": 60 } }));
    cluster.settle();
    cluster.demand.insert("default".into(), Demand { queued_matches: 6, ..Demand::default() });
    let plan = cluster.look();
    assert_eq!(plan.sizes.values().collect::<Vec<_>>(), [&7]);
    cluster.apply(&plan, usize::MAX);
    cluster.demand.clear();
    assert_eq!(cluster.look().sizes.values().collect::<Vec<_>>(), [&7], "it shrinks later");
}
