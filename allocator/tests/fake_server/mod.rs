//! A game server on a real control link that does exactly what a test makes it do.

use std::sync::Arc;

use protocol::id::{MatchId, ServerId};
use protocol::jwt::SigningKey;
use protocol::pb::allocator_message::Message as Order;
use protocol::pb::control_link_client::ControlLinkClient;
use protocol::pb::server_message::Message;
use protocol::pb::{self, MatchPhase, RefusalReason};
use protocol::token::ALLOCATOR_AUDIENCE;
use service::token::{ServiceTokens, with_token};
use testkit::wait::PATIENCE;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

pub(crate) struct FakeServer {
    id: String,
    pub(crate) jwks: String,
    send: mpsc::Sender<pb::ServerMessage>,
    orders: Streaming<pb::AllocatorMessage>,
}

pub(crate) fn result_key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&[byte; 32])
}

pub(crate) fn registration(byte: u8, capacity: u32) -> pb::Register {
    pb::Register {
        server_id: ServerId::from_entropy([byte; 16]).to_string(),
        name: format!("server-{byte}"),
        build: "1".into(),
        region: "local".into(),
        fleet: "arena".into(),
        revision: format!("revision{byte}"),
        capacity,
        address: "127.0.0.1:7777".into(),
        admin_address: "127.0.0.1:7778".into(),
        quic_fingerprints: vec![],
        server_key: vec![byte; 32],
        result_key: result_key(byte).public_key().to_vec(),
        routing_token: vec![byte],
        schema_hash: 7,
        tick_rate_hz: 60,
        state: "Reserved".into(),
        // Equal servers are taken in the order of age.
        uptime_ms: 1_000_000 / u64::from(byte),
        ..Default::default()
    }
}

type Link = (mpsc::Sender<pb::ServerMessage>, Result<Streaming<pb::AllocatorMessage>, Status>);

async fn open(url: &str, tokens: ServiceTokens, first: Option<pb::Register>) -> Link {
    let tokens = with_token(tokens, ALLOCATOR_AUDIENCE);
    let channel = service::grpc::channel(url).expect("an address");
    let (send, receive) = mpsc::channel(64);
    if let Some(register) = first {
        send.send(pb::ServerMessage { message: Some(Message::Register(register)) }).await.expect("room");
    }
    let opened = ControlLinkClient::with_interceptor(channel, tokens).link(ReceiverStream::new(receive)).await;
    (send, opened.map(tonic::Response::into_inner))
}

impl FakeServer {
    pub(crate) async fn register(url: &str, key: &Arc<SigningKey>, register: pb::Register) -> Self {
        let tokens = ServiceTokens::new(key.clone(), "gameserver");
        Self::try_register(url, tokens, register).await.expect("registered")
    }

    /// Registers by these tokens, if it is let in.
    pub(crate) async fn try_register(url: &str, tokens: ServiceTokens, register: pb::Register) -> Result<Self, Status> {
        let id = register.server_id.clone();
        let (send, orders) = open(url, tokens, Some(register)).await;
        let mut server = Self { id, jwks: String::new(), send, orders: orders? };
        let first = server.orders.message().await?.expect("an order").message;
        let Some(Order::Registered(registered)) = first else { panic!("expected Registered, got {first:?}") };
        server.jwks = registered.jwks;
        Ok(server)
    }

    /// The code that ends the link of a server that is not let in.
    pub(crate) async fn refused(url: &str, key: &Arc<SigningKey>, caller: &str, register: pb::Register) -> Code {
        let (_send, orders) = open(url, ServiceTokens::new(key.clone(), caller), Some(register)).await;
        match orders {
            Err(status) => status.code(),
            Ok(mut orders) => {
                let first = tokio::time::timeout(PATIENCE, orders.message()).await.expect("an answer");
                first.expect_err("refused").code()
            }
        }
    }

    /// The code that ends the link of a server that says nothing.
    pub(crate) async fn silent(url: &str, key: &Arc<SigningKey>) -> Code {
        let (_send, orders) = open(url, ServiceTokens::new(key.clone(), "gameserver"), None).await;
        let mut orders = orders.expect("the link opens");
        tokio::time::timeout(PATIENCE, orders.message()).await.expect("an end").expect_err("ended").code()
    }

    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    async fn say(&self, message: Message) {
        self.send.send(pb::ServerMessage { message: Some(message) }).await.expect("the link stands");
    }

    /// The next order; pings are answered on the way.
    pub(crate) async fn order(&mut self) -> Order {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.orders.message()).await.expect("an order comes");
            match next.expect("no fault").expect("the link stands").message.expect("an order") {
                Order::Ping(ping) => self.say(Message::Pong(pb::Pong { nonce: ping.nonce })).await,
                order => return order,
            }
        }
    }

    pub(crate) async fn assign(&mut self) -> pb::Assign {
        match self.order().await {
            Order::Assign(assign) => assign,
            other => panic!("expected Assign, got {other:?}"),
        }
    }

    pub(crate) async fn acknowledged(&mut self, number: u64) {
        let order = self.order().await;
        assert!(matches!(order, Order::UpdateAck(pb::UpdateAck { number: n }) if n == number), "{order:?}");
    }

    /// The code that the link ends with; `None` without one.
    pub(crate) async fn ended(&mut self) -> Option<Code> {
        loop {
            match tokio::time::timeout(PATIENCE, self.orders.message()).await.expect("the link ends") {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status.code()),
            }
        }
    }

    pub(crate) async fn joinable(&self, assign: &pb::Assign) {
        self.reply(assign, pb::assign_reply::Reply::Joinable(pb::Joinable {})).await;
    }

    pub(crate) async fn refuse(&self, assign: &pb::Assign, reason: RefusalReason) {
        let refused = pb::Refused { reason: reason.into(), detail: String::new() };
        self.reply(assign, pb::assign_reply::Reply::Refused(refused)).await;
    }

    async fn reply(&self, assign: &pb::Assign, reply: pb::assign_reply::Reply) {
        let (match_id, attempt) = (assign.match_id.clone(), assign.attempt);
        self.say(Message::AssignReply(pb::AssignReply { match_id, attempt, reply: Some(reply) })).await;
    }

    /// How many matches it has, and its Agones state.
    pub(crate) async fn load(&self, matches: u32, state: &str) {
        self.say(Message::Load(pb::Load { matches, state: state.into(), ..Default::default() })).await;
    }

    pub(crate) async fn update(&self, match_id: MatchId, phase: MatchPhase, number: u64) {
        let update =
            pb::MatchUpdate { match_id: match_id.to_string(), phase: phase.into(), number, ..Default::default() };
        self.say(Message::MatchUpdate(update)).await;
    }
}
