//! Muster's own Allocate for GameFleets of pool `Agones`: there is no control link, so Joinable is Allocated.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use protocol::pb;
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Status;

use super::core::fleets::{BUILD_LABEL, GAME_FLEET_LABEL, REGION_LABEL, REVISION_LABEL};
use super::core::request::Request;
use super::core::selector::Selector;
use super::core::server::{MATCH, Server, State};
use super::engine::{Engine, lock};
use super::error::AllocateError;
use super::grpc;
use crate::core::cluster::FleetRules;
use crate::core::request::MatchRequest;

/// Annotation of a game server: the match's settings, a JSON object.
const SETTINGS: &str = "muster.dev/settings";
/// Pause before the API is asked again for a server.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Who gives the servers out.
#[derive(Clone)]
pub enum Mode {
    /// This allocator, by its own watch and write.
    Direct,
    /// Agones, by `GameServerAllocation`s of its aggregated API: for clusters where Agones' own allocator gives servers
    /// of the same Fleets to others as well.
    GameServerAllocation(Client),
}

/// Allocates matches on Agones' terms. Cheap to clone.
#[derive(Clone)]
pub struct Backend {
    engine: Engine,
    mode: Mode,
    /// Matches that Agones is being asked for.
    asking: Arc<Mutex<BTreeSet<String>>>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if matches!(self.mode, Mode::Direct) { "direct" } else { "gameserverallocation" };
        write!(f, "Backend({mode})")
    }
}

impl Backend {
    /// A backend over the engine that watches the game servers.
    pub fn new(engine: Engine, mode: Mode) -> Self {
        Self { engine, mode, asking: Arc::default() }
    }

    /// Namespace of the GameFleet of this name in this namespace (empty: any), if it is of pool `Agones`.
    pub fn namespace_of(&self, namespace: &str, game_fleet: &str) -> Option<String> {
        self.engine.book(|book| book.fleets.namespace_of(namespace, game_fleet).map(str::to_owned))
    }

    /// Puts a match on a server: the same one for every call with this match.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED without a server, or without a revision of the wanted build; UNAVAILABLE: try again.
    pub async fn allocate(
        &self,
        namespace: String,
        request: &MatchRequest,
        wait: Duration,
    ) -> Result<pb::AllocateResponse, Status> {
        let began = Instant::now();
        let rules = self.engine.book(|book| book.fleets.rules(&namespace, &request.fleet).cloned());
        let wanted = wanted(namespace, request, rules.as_ref());
        if wanted.selectors.is_empty() {
            let (fleet, build) = (&request.fleet, &request.build);
            return Err(Status::resource_exhausted(format!("no revision of GameFleet {fleet} has build {build}")));
        }
        let server = match &self.mode {
            Mode::Direct => self.engine.allocate(wanted, wait).await.map_err(|error| retryable(&error))?.server,
            Mode::GameServerAllocation(client) => self.ask_once(client, &wanted, wait).await?,
        };
        let allocation_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(pb::AllocateResponse { assignment: Some(assignment(request, &server)?), allocation_us })
    }

    /// One question at a time for one match: Agones knows nothing of matches.
    async fn ask_once(&self, client: &Client, wanted: &Request, wait: Duration) -> Result<Arc<Server>, Status> {
        let id = wanted.match_id().unwrap_or_default().to_owned();
        if !lock(&self.asking).insert(id.clone()) {
            return Err(Status::unavailable("the match is being allocated: try again"));
        }
        let answer = self.ask(client, wanted, &id, wait).await;
        lock(&self.asking).remove(&id);
        answer
    }

    async fn ask(&self, client: &Client, wanted: &Request, id: &str, wait: Duration) -> Result<Arc<Server>, Status> {
        let until = Instant::now() + wait;
        self.engine.0.leads().map_err(|error| grpc::status(&error))?;
        // The watch may lag behind an earlier answer that its caller never got.
        self.engine.read(&wanted.namespace).await.map_err(|error| grpc::status(&error))?;
        if let Some(known) = self.engine.book(|book| book.given_out_for(&wanted.namespace, id)) {
            return Ok(known);
        }
        let kind = GroupVersionKind::gvk("allocation.agones.dev", "v1", "GameServerAllocation");
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &wanted.namespace, &ApiResource::from_gvk(&kind));
        let object = serde_json::from_value(question(wanted)).map_err(|e| Status::internal(e.to_string()))?;
        loop {
            let answer = api.create(&PostParams::default(), &object).await;
            let answer = answer.map_err(|error| Status::unavailable(format!("Agones did not allocate: {error}")))?;
            let status = &answer.data["status"];
            let name = status["gameServerName"].as_str().filter(|name| !name.is_empty());
            match (status["state"].as_str(), name) {
                (Some("Allocated"), Some(name)) => {
                    let server = self.engine.read_one(&wanted.namespace, name).await;
                    return server.map_err(|error| Status::unavailable(error.to_string()));
                }
                _ if Instant::now() + ASK_EVERY < until => tokio::time::sleep(ASK_EVERY).await,
                (Some("Contention"), _) => return Err(Status::unavailable("Agones says: Contention")),
                _ => return Err(Status::resource_exhausted("Agones has no game server to allocate")),
            }
        }
    }
}

/// Muster's callers know UNAVAILABLE as the one code that asks for another attempt.
fn retryable(error: &AllocateError) -> Status {
    match error {
        AllocateError::Contention => Status::unavailable(error.to_string()),
        other => grpc::status(other),
    }
}

/// One selector for each region, in the caller's order, and for each revision that may host the match there: the one whose
/// turn it is, then the stable one. None, if none may.
fn wanted(namespace: String, request: &MatchRequest, rules: Option<&FleetRules>) -> Request {
    let selector = |region: Option<&String>, revision: Option<&str>| {
        let mut selector = Selector::any(State::Ready);
        selector.labels.insert(GAME_FLEET_LABEL.to_owned(), request.fleet.clone());
        if !request.build.is_empty() {
            selector.labels.insert(BUILD_LABEL.to_owned(), request.build.clone());
        }
        if let Some(region) = region {
            selector.labels.insert(REGION_LABEL.to_owned(), region.clone());
        }
        if let Some(revision) = revision {
            selector.labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
        }
        selector
    };
    let revisions: Vec<Option<&str>> = match rules.filter(|rules| !rules.revisions.is_empty()) {
        None => vec![None],
        Some(rules) => rules.order(request.match_id, &request.build).into_iter().map(Some).collect(),
    };
    let regions: Vec<Option<&String>> = match request.regions.is_empty() {
        true => vec![None],
        false => request.regions.iter().map(Some).collect(),
    };
    let mut selectors = Vec::new();
    for region in regions {
        selectors.extend(revisions.iter().map(|revision| selector(region, *revision)));
    }
    let mut annotations = std::collections::BTreeMap::from([(MATCH.to_owned(), request.match_id.to_string())]);
    if !request.settings_json.is_empty() {
        annotations.insert(SETTINGS.to_owned(), request.settings_json.clone());
    }
    Request { namespace, selectors, annotations, ..Request::default() }
}

fn question(wanted: &Request) -> Value {
    let selectors: Vec<_> = wanted.selectors.iter().map(|s| json!({ "matchLabels": s.labels })).collect();
    json!({
        "apiVersion": "allocation.agones.dev/v1",
        "kind": "GameServerAllocation",
        "metadata": { "namespace": wanted.namespace },
        "spec": {
            "scheduling": "Packed",
            "selectors": selectors,
            "metadata": { "annotations": wanted.annotations },
        },
    })
}

/// Where clients go. Keys are missing: the server is a stranger to Muster's handshake.
fn assignment(request: &MatchRequest, server: &Server) -> Result<pb::Assignment, Status> {
    let Some((_, port)) = server.ports.first() else {
        return Err(Status::failed_precondition(format!("game server {} has no port", server.key)));
    };
    let label = |name: &str| server.labels.get(name).cloned().unwrap_or_default();
    let address = if server.address.contains(':') { format!("[{}]", server.address) } else { server.address.clone() };
    Ok(pb::Assignment {
        match_id: request.match_id.to_string(),
        address: format!("{address}:{port}"),
        server_id: server.uid.clone(),
        build: label(BUILD_LABEL),
        region: label(REGION_LABEL),
        transport: pb::Transport::Foreign.into(),
        ..pb::Assignment::default()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http;
    use kube::client::Body;
    use protocol::id::MatchId;
    use service::Shutdown;

    use super::super::core::fleets::GameFleet;
    use super::super::core::server::fixtures::ready;
    use super::super::fake_cluster::{FakeCluster, engine, leads};
    use super::*;
    use crate::core::cluster::RevisionRule;

    fn server(name: &str, region: &str) -> Server {
        let mut server = ready(name, "card-fleet", "n1");
        for (label, value) in [(GAME_FLEET_LABEL, "card"), (REGION_LABEL, region), (BUILD_LABEL, "1.0")] {
            Arc::make_mut(&mut server.labels).insert(label.into(), value.into());
        }
        server
    }

    fn request(byte: u8, regions: &[&str], build: &str) -> MatchRequest {
        let mut request = MatchRequest::restored(MatchId::from_entropy([byte; 16]), vec![]);
        (request.fleet, request.build) = ("card".into(), build.into());
        request.regions = regions.iter().map(|&region| region.to_owned()).collect();
        request
    }

    #[tokio::test(start_paused = true)]
    async fn a_match_gets_a_server_of_its_fleet_in_the_best_region_and_keeps_it() {
        let cluster = Arc::new(FakeCluster::default());
        for (name, region) in [("a", "us"), ("b", "eu"), ("c", "us")] {
            cluster.put(server(name, region));
        }
        let backend = Backend::new(engine(&cluster, leads(), &Shutdown::new()), Mode::Direct);
        assert_eq!(backend.namespace_of("", "card"), None);
        backend.engine.book(|book| book.fleets.set_game_fleet("games", "card", Some(ours(&[]))));
        assert_eq!(backend.namespace_of("", "card").as_deref(), Some("games"));
        let place = async |request: &MatchRequest| backend.allocate("games".into(), request, Duration::ZERO).await;
        let first = place(&request(1, &["eu", "us"], "1.0")).await.expect("placed").assignment.expect("assigned");
        assert_eq!(
            (first.region.as_str(), first.address.as_str(), first.server_id.as_str()),
            ("eu", "10.0.0.1:7000", "uid-b")
        );
        let again = place(&request(1, &["eu", "us"], "1.0")).await.expect("placed").assignment.expect("assigned");
        assert_eq!(again, first);
        let second = place(&request(2, &["eu", "us"], "")).await.expect("placed").assignment.expect("assigned");
        assert_eq!(second.region, "us");
        let none = place(&request(3, &["us"], "2.0")).await.expect_err("no such build");
        assert_eq!(none.code(), tonic::Code::ResourceExhausted);
    }

    fn ours(revisions: &[(&str, &str, u32, bool)]) -> GameFleet {
        let rule = |&(name, build, weight, is_stable): &(&str, &str, u32, bool)| RevisionRule {
            name: name.into(),
            build: build.into(),
            weight,
            is_stable,
        };
        let rules = FleetRules { distributed: false, revisions: revisions.iter().map(rule).collect() };
        GameFleet { is_ours: true, rules }
    }

    #[test]
    fn each_region_is_asked_for_the_revision_whose_turn_it_is_and_then_for_the_stable_one() {
        let fleet = ours(&[("old", "1.0", 70, true), ("new", "1.0", 30, false)]);
        let mut canary = 0;
        for byte in 0..=255 {
            let request = request(byte, &["eu", "us"], "1.0");
            let wanted = wanted("games".into(), &request, Some(&fleet.rules));
            let asked: Vec<_> =
                wanted.selectors.iter().map(|s| (&*s.labels[REGION_LABEL], &*s.labels[REVISION_LABEL])).collect();
            if asked.len() == 4 {
                assert_eq!(asked, [("eu", "new"), ("eu", "old"), ("us", "new"), ("us", "old")]);
                canary += 1;
            } else {
                assert_eq!(asked, [("eu", "old"), ("us", "old")]);
            }
        }
        assert!((50..105).contains(&canary), "{canary} of 256");
        let stranger = request(1, &[], "2.0");
        assert!(
            wanted("games".into(), &stranger, Some(&fleet.rules)).selectors.is_empty(),
            "no revision has that build"
        );
    }

    /// An API server whose Agones gives out the servers of `cluster`, and how often it was asked.
    fn agones(cluster: &Arc<FakeCluster>) -> (Client, Arc<AtomicUsize>) {
        let (cluster, asked) = (cluster.clone(), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (cluster, count) = (cluster.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                assert!(request.uri().path().ends_with("/namespaces/games/gameserverallocations"));
                let body = request.into_body().collect_bytes().await?;
                let mut answer: Value = serde_json::from_slice(&body).expect("JSON");
                answer["status"] = match cluster.allocated().is_empty() {
                    true => {
                        let mark = answer["spec"]["metadata"]["annotations"][MATCH].as_str().expect("a match");
                        let mut given = Server { state: State::Allocated, ..server("a", "eu") };
                        given.annotations.insert(MATCH.into(), mark.into());
                        cluster.put(given);
                        json!({ "state": "Allocated", "gameServerName": "a" })
                    }
                    false => json!({ "state": "UnAllocated", "gameServerName": "" }),
                };
                Ok::<_, kube::Error>(http::Response::new(Body::from(answer.to_string().into_bytes())))
            }
        });
        (Client::new(service, "games"), asked)
    }

    #[tokio::test]
    async fn agones_is_asked_once_for_a_match_and_a_retry_finds_its_server() {
        let cluster = Arc::new(FakeCluster::default());
        cluster.put(server("a", "eu"));
        let (client, asked) = agones(&cluster);
        let engine = engine(&cluster, leads(), &Shutdown::new());
        let backend = Backend::new(engine, Mode::GameServerAllocation(client));
        let place = async |request: &MatchRequest| backend.allocate("games".into(), request, Duration::ZERO).await;
        let first = place(&request(1, &["eu"], "1.0")).await.expect("placed").assignment.expect("assigned");
        assert_eq!((first.region.as_str(), first.address.as_str()), ("eu", "10.0.0.1:7000"));
        assert_eq!(place(&request(1, &["eu"], "1.0")).await.expect("placed").assignment, Some(first));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let none = place(&request(2, &[], "")).await.expect_err("none is left");
        assert_eq!(none.code(), tonic::Code::ResourceExhausted);
        assert_eq!(cluster.writes(), Vec::<String>::new(), "it writes nothing by itself");
    }

    #[test]
    fn agones_is_asked_with_the_same_selectors() {
        let asked = question(&wanted("games".into(), &request(1, &["eu", "us"], "1.0"), None));
        let labels = &asked["spec"]["selectors"][1]["matchLabels"];
        assert_eq!(labels, &json!({ GAME_FLEET_LABEL: "card", REGION_LABEL: "us", BUILD_LABEL: "1.0" }));
        assert!(asked["spec"]["metadata"]["annotations"][MATCH].is_string());
        assert_eq!(asked["spec"]["selectors"].as_array().map(Vec::len), Some(2));
    }
}
