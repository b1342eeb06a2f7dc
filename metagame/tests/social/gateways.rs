//! Two gateways on one PostgreSQL and one Redis, as behind one address.

use metagame::{Config, DatabaseLocation, Running};
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use serde_json::json;
use service::Shutdown;
use testkit::postgres::TestDatabase;
use testkit::redis::RedisServer;

use super::gateway::{chat, chat_to, friends, inbox, presence};
use super::gateway_client::Client;
use super::harness::{Harness, any_port};

struct Both {
    harness: Harness,
    second: Running,
    shutdown: Shutdown,
    redis: RedisServer,
    _database: TestDatabase,
}

impl Both {
    async fn start() -> Self {
        let (database, redis) = (TestDatabase::new(), RedisServer::start());
        let harness = Harness::start_changed(|config, _| {
            config.database = DatabaseLocation::parse(&database.url()).expect("an address");
            config.parts.redis = Some(redis.url().parse().expect("an address"));
        })
        .await;
        let config = Config { api_address: any_port(), admin_address: any_port(), ..harness.config.clone() };
        let shutdown = Shutdown::new();
        let second = metagame::start(config, shutdown.clone()).await.expect("a second metagame");
        testkit::wait::until("both hear", async || {
            let channel = redis.cli(&["PUBSUB", "CHANNELS", "muster:*:gateway"]);
            redis.cli(&["PUBSUB", "NUMSUB", &channel]).ends_with('2').then_some(())
        })
        .await;
        Self { harness, second, shutdown, redis, _database: database }
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.second.wait().await.expect("a clean end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn players_of_two_gateways_hear_of_each_other() {
    let both = Both::start().await;
    let (ada, bob) = friends(&both.harness).await;
    let mut one = Client::hello(both.harness.address(), &ada.access).await;
    assert_eq!(one.until(inbox).await, "friend_accepted");
    let mut two = Client::hello(both.second.address, &bob.access).await;
    assert_eq!(one.until(presence).await, pb::GatewayStatus::Online);
    assert!(matches!(two.ask(chat_to(&ada, 1)).await, Body::Done(_)));
    assert_eq!((one.until(chat).await, two.until(chat).await), ("message 1".into(), "message 1".into()));
    // A ticket that one gateway gave opens a connection to the other, once.
    let ticket = both.harness.post("/v1/auth/ws-ticket", Some(&ada.access), &json!({})).await;
    let hello = || {
        let proof = pb::gateway_hello::Proof::Ticket(ticket.text("ticket").into());
        Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })
    };
    let mut third = Client::connect(both.second.address, "").await.expect("a WebSocket");
    third.send(hello()).await;
    assert!(matches!(third.receive().await, Some(Body::Welcome(_))));
    let mut again = Client::connect(both.harness.address(), "").await.expect("a WebSocket");
    again.send(hello()).await;
    assert!(matches!(again.receive().await, Some(Body::Problem(_))));
    // Ada's last session at the first gateway ends; she is still at the second, and Bob hears so.
    assert_eq!(two.until(presence).await, pb::GatewayStatus::Online, "she has come to the second");
    one.send(Body::Leave(pb::GatewayLeave {})).await;
    assert_eq!(two.until(presence).await, pb::GatewayStatus::Online, "she has not gone");
    both.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_gateway_goes_on_and_with_it_again_nothing_stays_missed() {
    let mut both = Both::start().await;
    let (ada, bob) = friends(&both.harness).await;
    let mut one = Client::hello(both.harness.address(), &ada.access).await;
    let mut two = Client::hello(both.second.address, &bob.access).await;
    both.redis.kill();
    // What the players' own gateway knows comes at once; what the other one says waits.
    assert!(matches!(one.ask(chat_to(&bob, 1)).await, Body::Done(_)));
    assert_eq!(one.until(chat).await, "message 1");
    let id = protocol::id::PartyId::from_entropy([1; 16]);
    assert_eq!(both.harness.post("/v1/parties", Some(&ada.access), &json!({ "party_id": id })).await.status, 201);
    let invite = json!({ "player_id": bob.id });
    assert_eq!(both.harness.post("/v1/parties/me/invites", Some(&ada.access), &invite).await.status, 204);
    both.redis.start_again();
    // The second gateway looks at everything again once it hears: the invitation comes without a request.
    let invited = async { while two.until(inbox).await != "party_invite" {} };
    tokio::time::timeout(testkit::wait::PATIENCE, invited).await.expect("it is found");
    both.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_what_its_role_says() {
    use metagame::Roles;
    let rows = [(Roles { api: true, gateway: false }, 200, 404), (Roles { api: false, gateway: true }, 404, 400)];
    for (roles, keys, gateway) in rows {
        let harness = Harness::start_changed(|config, _| config.parts.roles = roles).await;
        let status = async |path: &str| harness.send(harness.request(reqwest::Method::GET, path, None)).await.status;
        assert_eq!(status("/.well-known/jwks.json").await, keys, "{roles:?}");
        assert_eq!(status("/v1/gateway").await, gateway, "{roles:?}: not a WebSocket, or not here");
    }
}
