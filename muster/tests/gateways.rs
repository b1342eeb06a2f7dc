//! Two gateways as processes, on one PostgreSQL and one Redis: one is killed, and the sessions that it served go on at the other.

mod common;

use common::instance::Instance;
use prost::Message as _;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use reqwest::Method;
use serde_json::json;
use testkit::postgres::TestDatabase;
use testkit::redis::RedisServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PARTY: &str = "6f1c0b1e-5a1f-4d3a-9c52-0d5f0a7c1e11";

/// A client on one connection after the other.
struct Client {
    stream: TcpStream,
    session: String,
    token: Vec<u8>,
    last_seq: u64,
    last_inbox: u64,
}

impl Client {
    async fn hello(gateway: &Instance, access: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", gateway.tcp)).await.expect("it listens");
        let mut client = Self { stream, session: String::new(), token: Vec::new(), last_seq: 0, last_inbox: 0 };
        let proof = Some(pb::gateway_hello::Proof::AccessToken(access.into()));
        client.send(Body::Hello(pb::GatewayHello { version: 1, proof })).await;
        let Body::Welcome(welcome) = client.receive().await else { panic!("no welcome") };
        (client.session, client.token) = (welcome.session_id, welcome.resume_token);
        client
    }

    /// Goes on with the session at this gateway; the kind of problem where it may not.
    async fn resume(&mut self, gateway: &Instance) -> Result<(), String> {
        self.stream = TcpStream::connect(("127.0.0.1", gateway.tcp)).await.expect("it listens");
        let (token, last_seq, last_inbox_seq) = (self.token.clone(), self.last_seq, self.last_inbox);
        let access_token = String::new();
        let resume = pb::GatewayResume { version: 1, token, last_seq, last_inbox_seq, access_token };
        self.send(Body::Resume(resume)).await;
        match self.receive().await {
            Body::Welcome(welcome) => {
                assert!(welcome.resumed && welcome.session_id == self.session, "{welcome:?}");
                self.token = welcome.resume_token;
                Ok(())
            }
            Body::Problem(problem) => Err(problem.r#type),
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, body: Body) {
        let bytes = pb::GatewayEnvelope { correlation_id: 7, seq: 0, body: Some(body) }.encode_to_vec();
        self.stream.write_all(&protocol::gateway::frame(&bytes)).await.expect("sent");
    }

    async fn receive(&mut self) -> Body {
        let read = async {
            let length = self.stream.read_u32().await.expect("the connection lives");
            let mut bytes = vec![0; length as usize];
            self.stream.read_exact(&mut bytes).await.expect("a whole message");
            pb::GatewayEnvelope::decode(&*bytes).expect("an envelope")
        };
        let envelope = tokio::time::timeout(testkit::wait::PATIENCE, read).await.expect("a message comes");
        assert!(envelope.seq == 0 || envelope.seq > self.last_seq, "{} after {}", envelope.seq, self.last_seq);
        self.last_seq = self.last_seq.max(envelope.seq);
        let body = envelope.body.expect("a body");
        if let Body::Inbox(message) = &body {
            assert!(message.inbox_seq > self.last_inbox, "twice: {message:?}");
            self.last_inbox = message.inbox_seq;
        }
        body
    }

    /// Everything that comes until `wanted` has come.
    async fn until(&mut self, wanted: impl Fn(&Body) -> bool) -> Vec<Body> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.receive().await);
            if heard.last().is_some_and(&wanted) {
                return heard;
            }
        }
    }

    /// Everything that had come before the answer to a ping.
    async fn ping(&mut self) -> Vec<Body> {
        self.send(Body::Ping(pb::GatewayPing {})).await;
        self.until(|body| matches!(body, Body::Pong(_))).await
    }
}

fn is_inbox(kind: &str) -> impl Fn(&Body) -> bool {
    move |body| matches!(body, Body::Inbox(message) if message.kind == kind)
}

fn is_party(body: &Body) -> bool {
    matches!(body, Body::Party(party) if party.party_id == PARTY)
}

fn is_resync(body: &Body) -> bool {
    matches!(body, Body::Resync(_))
}

fn is_seen(player: &str, status: pb::GatewayStatus) -> impl Fn(&Body) -> bool {
    move |body| matches!(body, Body::Presence(seen) if seen.player_id == player && seen.status() == status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_gateway_is_killed_goes_on_at_another_and_nobody_notices() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (database, redis) = (TestDatabase::new(), RedisServer::start());
    let mut first = Instance::start(folder.path(), &database, &redis, &[]).await;
    let second = Instance::start(folder.path(), &database, &redis, &[]).await;
    let (ada, bob, carol) = (first.login(1).await, first.login(2).await, first.login(3).await);
    for (own, other) in [(&ada, &bob), (&bob, &ada)] {
        first.send(Method::PUT, &format!("/v1/players/me/friends/{}", other.0), &own.1, &json!({})).await;
    }
    let mut watching = Client::hello(&second, &bob.1).await;
    let mut client = Client::hello(&first, &ada.1).await;
    watching.until(is_seen(&ada.0, pb::GatewayStatus::Online)).await;
    first.send(Method::POST, "/v1/parties", &ada.1, &json!({ "party_id": PARTY })).await;
    client.until(is_party).await;
    // A client that has spoken has its token, and the note says so.
    client.ping().await;

    first.kill();
    let path = format!("/v1/players/me/friends/{}", ada.0);
    second.send(Method::PUT, &path, &carol.1, &json!({})).await;
    client.resume(&second).await.expect("it goes on");
    let heard = client.until(is_inbox("friend_request")).await;
    assert!(is_resync(&heard[0]), "what was on its way is lost, and that is said first: {heard:?}");
    let rest = client.ping().await;
    let of = |wanted: &dyn Fn(&Body) -> bool| heard.iter().chain(&rest).filter(|body| wanted(body)).count();
    assert!(of(&is_party) > 0 && of(&is_inbox("friend_request")) == 1, "{heard:?} {rest:?}");

    let stale = client.token.clone();
    client.resume(&second).await.expect("and on, at the same one");
    let heard = client.ping().await;
    assert!(
        !heard.iter().any(|body| is_resync(body) || is_inbox("friend_request")(body)),
        "nothing is missing: {heard:?}"
    );

    first.begin().await;
    client.resume(&first).await.expect("the one that was killed is back, and takes it over");
    let heard = client.ping().await;
    assert!(heard.iter().any(is_resync), "{heard:?}");
    let mut thief = Client::hello(&second, &carol.1).await;
    thief.token = stale;
    assert_eq!(thief.resume(&second).await, Err("urn:muster:problem:session-gone".into()), "a token works once");

    let busy = pb::GatewaySetPresence { status: pb::GatewayStatus::Busy.into(), text: "tea".into() };
    client.send(Body::SetPresence(busy)).await;
    let heard = watching.until(is_seen(&ada.0, pb::GatewayStatus::Busy)).await;
    assert!(!heard.iter().any(is_seen(&ada.0, pb::GatewayStatus::Offline)), "she was there all the time: {heard:?}");
    client.send(Body::Leave(pb::GatewayLeave {})).await;
    watching.until(is_seen(&ada.0, pb::GatewayStatus::Offline)).await;
    client.resume(&second).await.expect_err("it is over");
}
