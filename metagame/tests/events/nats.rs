//! Events in a stream of NATS JetStream, which is killed, silent and full, and drops repetitions.

use std::sync::Arc;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, pending};
use metagame::core::event::Event;
use metagame::events::nats::Nats;
use metagame::events::{BusName, Handed, NatsAccess, Sink};
use serde_json::Value;
use testkit::nats::NatsServer;
use testkit::wait::until;

use super::hands::{assert_in_order, backlog, give, player, run, told};

async fn sink(server: &NatsServer) -> Arc<Nats> {
    let url = server.url().parse().expect("an address");
    let access = NatsAccess::default();
    Arc::new(Nats::open(&url, &access, &BusName::default(), "/muster/test".into()).await.expect("a way"))
}

async fn jetstream(server: &NatsServer) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("connected"))
}

/// The messages in the stream, in order: subject, id, event.
async fn messages(server: &NatsServer) -> Vec<(String, String, Value)> {
    let mut stream: Stream = jetstream(server).await.get_stream("muster_events").await.expect("a stream");
    let count = usize::try_from(stream.info().await.expect("told").state.messages).expect("few");
    let config =
        pull::Config { deliver_policy: DeliverPolicy::All, ack_policy: AckPolicy::None, ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut read = consumer.messages().await.expect("messages");
    let mut messages = Vec::new();
    while messages.len() < count {
        let message = read.next().await.expect("there are more").expect("a message");
        let headers = message.headers.as_ref().expect("headers");
        let id = headers.get("Nats-Msg-Id").expect("an id").as_str().to_owned();
        assert_eq!(headers.get("content-type").expect("a type").as_str(), "application/cloudevents+json");
        messages.push((message.subject.to_string(), id, serde_json::from_slice(&message.payload).expect("JSON")));
    }
    messages
}

async fn events(server: &NatsServer) -> Vec<Value> {
    messages(server).await.into_iter().map(|(.., event)| event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_has_a_subject_and_the_stream_is_made_where_there_is_none() {
    for (store, _keep) in told().await {
        let server = NatsServer::start();
        let _relay = run(&store, sink(&server).await);
        let ada = player(&store, 1).await;
        for n in 1..=3 {
            give(&store, ada, n).await;
        }
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let messages = messages(&server).await;
        let (subject, id, event) = &messages[0];
        assert_eq!((subject.as_str(), id), ("muster.events.account.created", &format!("account_created_{ada}")));
        assert_eq!((&event["id"], &event["source"]), (&id.as_str().into(), &"/muster/test".into()));
        assert_eq!(messages[1].0, "muster.events.grant.made");
        let events: Vec<Value> = messages.into_iter().map(|(.., event)| event).collect();
        assert_in_order(&events, &[ada], 3);
        assert_eq!(events.len(), 4);
    }
}

/// Hands everything on and never says that it was taken, once.
struct Forgetful {
    inner: Arc<Nats>,
    handed: tokio::sync::Notify,
}

impl Sink for Forgetful {
    fn hand<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Handed> {
        Box::pin(async move {
            let handed = self.inner.hand(events).await;
            if handed.taken.is_empty() {
                return handed;
            }
            self.handed.notify_one();
            pending().await
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_relay_had_sent_is_in_the_stream_once() {
    for (store, _keep) in told().await {
        let server = NatsServer::start();
        let ada = player(&store, 1).await;
        for n in 1..=50 {
            give(&store, ada, n).await;
        }
        let forgetful = Arc::new(Forgetful { inner: sink(&server).await, handed: tokio::sync::Notify::new() });
        let killed = run(&store, forgetful.clone());
        forgetful.handed.notified().await;
        assert_eq!(backlog(&store).await.pending, 51);
        drop(killed);
        let _next = run(&store, sink(&server).await);
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let events = events(&server).await;
        assert_eq!(events.len(), 51, "the server knows repetitions by their ids");
        assert_in_order(&events, &[ada], 50);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_dead_or_silent_for_a_while_has_everything_afterwards() {
    for (store, _keep) in told().await {
        let mut server = NatsServer::start();
        let _relay = run(&store, sink(&server).await);
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        until("the first are there", async || (backlog(&store).await.pending == 0).then_some(())).await;
        server.kill();
        for n in 1..=60 {
            give(&store, ada, n).await;
            give(&store, bob, n).await;
        }
        assert_eq!(backlog(&store).await.pending, 120, "nobody has waited for it");
        server.start_again();
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        server.freeze();
        for n in 61..=80 {
            give(&store, ada, n).await;
            give(&store, bob, n).await;
        }
        assert_eq!(backlog(&store).await.pending, 40);
        server.thaw();
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let events = events(&server).await;
        assert_eq!(events.len(), 162, "each once, although some were sent again");
        assert_in_order(&events, &[ada, bob], 80);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_full_refuses_and_no_later_event_overtakes() {
    for (store, _keep) in told().await {
        let server = NatsServer::start();
        let full = Config {
            name: "muster_events".into(),
            subjects: vec!["muster.events.>".into()],
            max_messages: 5,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let jetstream = jetstream(&server).await;
        jetstream.create_stream(full.clone()).await.expect("a stream");
        let _relay = run(&store, sink(&server).await);
        let ada = player(&store, 1).await;
        for n in 1..=20 {
            give(&store, ada, n).await;
        }
        until("it is full", async || (backlog(&store).await.taken == 5).then_some(())).await;
        assert_eq!(backlog(&store).await.pending, 16, "its owner's limits are its owner's");
        jetstream.update_stream(Config { max_messages: 1_000, ..full }).await.expect("more room");
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
        let events = events(&server).await;
        assert_eq!(events.len(), 21);
        assert_in_order(&events, &[ada], 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_and_a_password_hears_from_whoever_trusts_it_and_knows_the_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = ["server.crt", "server.key"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let more = format!(
        "tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\nauthorization {{ user: muster, password: \"hu@sh\" }}"
    );
    let trusting = NatsAccess { roots: Some(certificate), credentials: None };
    for (store, _keep) in told().await {
        let server = NatsServer::start_with(&more);
        let open = async |password: &str, access: &NatsAccess| {
            let url = format!("tls://muster:{password}@127.0.0.1:{}", server.port()).parse().expect("an address");
            Arc::new(Nats::open(&url, access, &BusName::default(), "/muster/test".into()).await.expect("a way"))
        };
        player(&store, 1).await;
        for (password, access, says) in
            [("hu%40sh", &NatsAccess::default(), "TLS handshake error"), ("guess", &trusting, "authentication error")]
        {
            let _refused = run(&store, open(password, access).await);
            until(says, async || server.log().contains(says).then_some(())).await;
            assert_eq!((backlog(&store).await.taken, backlog(&store).await.pending), (0, 1));
        }
        let _relay = run(&store, open("hu%40sh", &trusting).await);
        until("everything is taken", async || (backlog(&store).await.pending == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn certificates_that_are_none_are_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("ca.crt");
    for text in [None, Some("nothing"), Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")] {
        if let Some(text) = text {
            std::fs::write(&roots, text).expect("written");
        }
        let access = NatsAccess { roots: Some(roots.clone()), credentials: None };
        let url = "tls://127.0.0.1:1".parse().expect("an address");
        let refused = Nats::open(&url, &access, &BusName::default(), "/muster/test".into()).await.expect_err("none");
        assert!(refused.to_string().contains("ca.crt"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_address_opens_a_server_that_asks_for_one() {
    let [(store, _keep), ..] = &told().await[..] else { panic!("a store on each engine") };
    let server = NatsServer::start_with("authorization { token: hush }");
    let url = format!("nats://hush@127.0.0.1:{}", server.port()).parse().expect("an address");
    let sink = Nats::open(&url, &NatsAccess::default(), &BusName::default(), "/muster/test".into()).await;
    let _relay = run(store, Arc::new(sink.expect("a way")));
    player(store, 1).await;
    until("everything is taken", async || (backlog(store).await.pending == 0).then_some(())).await;
}
