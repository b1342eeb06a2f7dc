//! A scripted allocator: the test reads what the server says and answers as it likes.

use std::pin::Pin;
use std::sync::Arc;

use protocol::jwt::{KeySet, SigningKey};
use protocol::pb;
use protocol::pb::allocator_message::Message as FromAllocator;
use protocol::pb::control_link_server::{ControlLink, ControlLinkServer};
use protocol::pb::server_message::Message as ToAllocator;
use protocol::pb::{AllocatorMessage, MatchPhase, ServerMessage};
use testkit::wait::PATIENCE;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

pub(crate) struct FakeAllocator {
    pub(crate) url: String,
    links: mpsc::Receiver<FakeLink>,
}

/// One stream. Dropping it cuts it.
pub(crate) struct FakeLink {
    outgoing: mpsc::Sender<Result<AllocatorMessage, Status>>,
    incoming: mpsc::Receiver<ServerMessage>,
}

struct Service(mpsc::Sender<FakeLink>);

#[tonic::async_trait]
impl ControlLink for Service {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<AllocatorMessage, Status>> + Send>>;

    async fn link(&self, request: Request<Streaming<ServerMessage>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut stream = request.into_inner();
        let (outgoing, answers) = mpsc::channel(64);
        let (messages, incoming) = mpsc::channel(1_024);
        let gone = outgoing.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = stream.message() => {
                        let Ok(Some(message)) = message else { return };
                        if messages.send(message).await.is_err() {
                            return;
                        }
                    }
                    () = messages.closed() => {
                        let _ = gone.send(Err(Status::unavailable("cut by the test"))).await;
                        return;
                    }
                }
            }
        });
        self.0.send(FakeLink { outgoing, incoming }).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

impl FakeAllocator {
    /// Serves on a port of the system's choice; only game servers with a token of `service_key` may call.
    pub(crate) async fn start(service_key: &SigningKey) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (sender, links) = mpsc::channel(16);
        let keys = Arc::new(KeySet::new([service_key.public_key()]));
        let gate = service::token::require(keys, protocol::token::ALLOCATOR_AUDIENCE, &["gameserver"]);
        let service = ControlLinkServer::with_interceptor(Service(sender), gate);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url, links }
    }

    /// The next stream that a server opens.
    pub(crate) async fn link(&mut self) -> FakeLink {
        tokio::time::timeout(PATIENCE, self.links.recv()).await.expect("a server dials").expect("serving")
    }

    /// The next stream, registered by the leader of epoch 1 and ready for matches.
    pub(crate) async fn registered(&mut self) -> (FakeLink, pb::Register) {
        let mut link = self.link().await;
        let mut register = link.register().await;
        if register.state != "Reserved" && register.state != "Allocated" {
            let ready = |load: &pb::Load| load.state == "Reserved" || load.state == "Allocated";
            register.state = link
                .until_some("a state that takes matches", |message| match message {
                    ToAllocator::Load(load) if ready(&load) => Some(load.state),
                    _ => None,
                })
                .await;
        }
        (link, register)
    }
}

impl FakeLink {
    /// Reads Register and answers it.
    pub(crate) async fn register(&mut self) -> pb::Register {
        let Some(ToAllocator::Register(register)) = self.next().await else { panic!("Register comes first") };
        let jwks = testkit::tokens::allocator_keys().to_json();
        self.send(FromAllocator::Registered(pb::Registered { epoch: 1, jwks, ping_interval_ms: 60_000 })).await;
        register
    }

    pub(crate) async fn send(&self, message: FromAllocator) {
        self.outgoing.send(Ok(AllocatorMessage { message: Some(message) })).await.expect("the stream stands");
    }

    pub(crate) async fn next(&mut self) -> Option<ToAllocator> {
        let message = tokio::time::timeout(PATIENCE, self.incoming.recv()).await.expect("the server says something");
        message.expect("the stream stands").message
    }

    /// The first message that `wanted` makes something of; others are skipped.
    pub(crate) async fn until_some<T>(&mut self, what: &str, mut wanted: impl FnMut(ToAllocator) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = self.next().await.and_then(&mut wanted) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }

    /// The answer to Assign.
    pub(crate) async fn reply(&mut self) -> pb::AssignReply {
        let reply = |message| if let ToAllocator::AssignReply(reply) = message { Some(reply) } else { None };
        self.until_some("an answer to Assign", reply).await
    }

    /// Assigns a match and waits until it is joinable.
    pub(crate) async fn assign(&mut self, assign: pb::Assign) {
        self.send(FromAllocator::Assign(assign)).await;
        let reply = self.reply().await;
        assert!(is_joinable(&reply), "{reply:?}");
    }

    /// The next match update, not acknowledged.
    pub(crate) async fn update(&mut self) -> pb::MatchUpdate {
        let update = |message| if let ToAllocator::MatchUpdate(update) = message { Some(update) } else { None };
        self.until_some("a match update", update).await
    }

    /// Acknowledges updates until one of this phase comes.
    pub(crate) async fn until_phase(&mut self, phase: MatchPhase) -> pb::MatchUpdate {
        loop {
            let update = self.update().await;
            self.send(FromAllocator::UpdateAck(pb::UpdateAck { number: update.number })).await;
            if update.phase() == phase {
                return update;
            }
        }
    }
}

pub(crate) fn is_joinable(reply: &pb::AssignReply) -> bool {
    matches!(reply.reply, Some(pb::assign_reply::Reply::Joinable(_)))
}

pub(crate) fn refusal(reply: &pb::AssignReply) -> Option<pb::RefusalReason> {
    match &reply.reply {
        Some(pb::assign_reply::Reply::Refused(refused)) => Some(refused.reason()),
        _ => None,
    }
}
