//! MatchQueues of a real API server: served as they come, change and go.
//! `KUBECONFIG=… cargo test -p matchmaker --test cluster_queues -- --ignored`; Muster's CRDs have to be there.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{player_id, ticket_id};
use crds::MatchQueue;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use matchmaker::{Config, QueueSource, Running};
use protocol::jwt::{KeySet, SigningKey};
use protocol::pb;
use protocol::pb::matchmaker_client::MatchmakerClient;
use protocol::token::MATCHMAKER_AUDIENCE;
use serde_json::{Value, json};
use service::Shutdown;
use service::token::{ServiceTokens, TokenInterceptor, with_token};
use testkit::wait::PATIENCE;
use tonic::Streaming;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

type Matchmaker = MatchmakerClient<InterceptedService<Channel, TokenInterceptor>>;

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&[5; 32]))
}

async fn start(client: &Client, namespaces: &[String], shutdown: &Shutdown) -> Running {
    let config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        admin: "127.0.0.1:0".parse().expect("an address"),
        allocator: "http://127.0.0.1:9".into(),
        queues: QueueSource::Kubernetes { client: client.clone(), namespaces: namespaces.to_vec() },
        tokens: ServiceTokens::new(key(), "matchmaker"),
        callers: Arc::new(KeySet::new([key().public_key()])).into(),
        drain: Duration::from_secs(5),
    };
    matchmaker::start(config, shutdown.clone()).await.expect("it starts")
}

fn connect(running: &Running, subject: &str) -> Matchmaker {
    let channel = service::grpc::channel(&format!("http://{}", running.address)).expect("an address");
    MatchmakerClient::with_interceptor(channel, with_token(ServiceTokens::new(key(), subject), MATCHMAKER_AUDIENCE))
}

async fn make_namespace(client: &Client) -> String {
    let name = format!("queues-{:08x}", service::random::u64() as u32);
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.expect("a namespace");
    name
}

fn queue(name: &str, spec: &Value) -> MatchQueue {
    let manifest = json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue", "metadata": { "name": name }, "spec": spec
    });
    serde_json::from_value(manifest).expect("a queue by its types")
}

/// The first picture that `wanted` finds something in.
async fn picture<T>(
    pictures: &mut Streaming<pb::ListQueuesResponse>,
    what: &str,
    wanted: impl Fn(&pb::ListQueuesResponse) -> Option<T>,
) -> T {
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let picture = pictures.next().await.expect("open").expect("a picture");
            if let Some(found) = wanted(&picture) {
                return found;
            }
            last = Some(picture);
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("waited in vain: {what}; last seen: {last:?}"),
    }
}

fn served(picture: &pb::ListQueuesResponse) -> BTreeMap<String, (String, i64)> {
    picture.queues.iter().map(|queue| (queue.name.clone(), (queue.source.clone(), queue.generation))).collect()
}

#[tokio::test]
#[ignore = "needs a cluster: KUBECONFIG"]
async fn queues_come_change_and_go_while_the_matchmaker_runs() {
    let client = Client::try_default().await.expect("a cluster");
    let namespaces = [make_namespace(&client).await, make_namespace(&client).await];
    let outcome = tokio::spawn(course(client.clone(), namespaces.clone())).await;
    for name in &namespaces {
        let all: Api<Namespace> = Api::all(client.clone());
        all.delete(name, &DeleteParams::default()).await.expect("deleted");
    }
    outcome.expect("the course");
}

async fn course(client: Client, namespaces: [String; 2]) {
    let [a, b] = &namespaces;
    let (first, second): (Api<MatchQueue>, Api<MatchQueue>) =
        (Api::namespaced(client.clone(), a), Api::namespaced(client.clone(), b));
    let duel = json!({ "teams": 2, "playersPerTeam": 1, "fleet": "arena" });
    first.create(&PostParams::default(), &queue("duel", &duel)).await.expect("created");

    let shutdown = Shutdown::new();
    let running = start(&client, &namespaces, &shutdown).await;
    let mut pictures =
        connect(&running, "operator").watch_queues(pb::WatchQueuesRequest {}).await.expect("a stream").into_inner();
    picture(&mut pictures, "the first queue", |p| (served(p).get("duel")? == &(format!("{a}/duel"), 1)).then_some(()))
        .await;
    let ready = format!("http://{}/readyz", running.admin_address);
    assert_eq!(status(&ready).await, 200, "ready with the first list");

    let mut metagame = connect(&running, "metagame");
    metagame.create_ticket(request(1)).await.expect("created");
    let longer = json!({ "spec": { "playersPerTeam": 2, "partySizeMaximum": 1 } });
    first.patch("duel", &PatchParams::default(), &Patch::Merge(&longer)).await.expect("patched");
    let changed =
        picture(&mut pictures, "the change", |p| p.queues.iter().find(|queue| queue.generation == 2).cloned());
    let changed = changed.await;
    assert_eq!((changed.players_per_team, changed.waiting_tickets), (2, 1), "the ticket waits on under the new rules");

    // What only the matchmaker can see: settings that no game takes, a name that another serves.
    let large = json!({ "spec": { "settings": { "text": "x".repeat(20_000) } } });
    first.patch("duel", &PatchParams::default(), &Patch::Merge(&large)).await.expect("patched");
    second.create(&PostParams::default(), &queue("duel", &duel)).await.expect("created");
    let faults = picture(&mut pictures, "two faults", |p| (p.faults.len() == 2).then(|| p.faults.clone())).await;
    let told: BTreeMap<&str, (&str, i64)> =
        faults.iter().map(|fault| (fault.source.as_str(), (fault.reason.as_str(), fault.generation))).collect();
    assert_eq!(told[format!("{a}/duel").as_str()], ("Invalid", 3));
    assert_eq!(told[format!("{b}/duel").as_str()], ("NameTaken", 1));

    first.delete("duel", &DeleteParams::default()).await.expect("deleted");
    picture(&mut pictures, "the younger one", |p| {
        (served(p).get("duel")? == &(format!("{b}/duel"), 1) && p.faults.is_empty()).then_some(())
    })
    .await;
    second.delete("duel", &DeleteParams::default()).await.expect("deleted");
    picture(&mut pictures, "no queue", |p| p.queues.is_empty().then_some(())).await;
    let get = pb::GetTicketRequest { ticket_id: ticket_id(1).to_string() };
    let ticket = metagame.get_ticket(get).await.expect("known").into_inner();
    assert_eq!((ticket.state(), ticket.reason.as_str()), (pb::TicketState::Cancelled, "queue \"duel\" was removed"));

    shutdown.trigger();
    running.wait().await.expect("a clean end");
}

fn request(id: u64) -> pb::CreateTicketRequest {
    pb::CreateTicketRequest {
        ticket_id: ticket_id(id).to_string(),
        queue: "duel".into(),
        players: vec![pb::TicketPlayer {
            player_id: player_id(id).to_string(),
            rating: 25.0,
            uncertainty: 8.0,
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn status(url: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (host, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("the admin port");
    let get = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(get.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}
