//! The SDK's gRPC methods on top of the state machine.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use super::state::{Machine, Write};
use crate::observed::Observed;
use crate::pb;

pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    pub(super) resync: Duration,
}

impl Service {
    fn write(&self, write: Write) -> Result<Response<pb::Empty>, Status> {
        match self.shared.write(write) {
            Ok(()) => Ok(Response::new(pb::Empty {})),
            Err(refused) => Err(Status::invalid_argument(refused.to_string())),
        }
    }
}

#[tonic::async_trait]
impl pb::sdk_server::Sdk for Service {
    async fn ready(&self, _: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        self.write(Write::Ready)
    }

    async fn allocate(&self, _: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        self.write(Write::Allocate)
    }

    async fn shutdown(&self, _: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        self.write(Write::Shutdown)
    }

    async fn reserve(&self, request: Request<pb::Duration>) -> Result<Response<pb::Empty>, Status> {
        // Zero and less mean for ever, as in Agones.
        let seconds = u64::try_from(request.into_inner().seconds).unwrap_or(0);
        self.write(Write::Reserve { seconds })
    }

    async fn set_label(&self, request: Request<pb::KeyValue>) -> Result<Response<pb::Empty>, Status> {
        let pb::KeyValue { key, value } = request.into_inner();
        self.write(Write::Label { key, value })
    }

    async fn set_annotation(&self, request: Request<pb::KeyValue>) -> Result<Response<pb::Empty>, Status> {
        let pb::KeyValue { key, value } = request.into_inner();
        self.write(Write::Annotation { key, value })
    }

    async fn health(&self, request: Request<Streaming<pb::Empty>>) -> Result<Response<pb::Empty>, Status> {
        let mut pings = request.into_inner();
        let mut end = StreamEnd::new(&self.shared);
        loop {
            tokio::select! {
                ping = pings.message() => match ping? {
                    Some(pb::Empty {}) => self.shared.with(Machine::ping),
                    None => return Ok(Response::new(pb::Empty {})),
                },
                status = end.wait() => return Err(status),
            }
        }
    }

    async fn get_game_server(&self, _: Request<pb::Empty>) -> Result<Response<pb::GameServer>, Status> {
        Ok(Response::new(pb::GameServer::from(&*self.shared.object.borrow())))
    }

    type WatchGameServerStream = Pin<Box<dyn Stream<Item = Result<pb::GameServer, Status>> + Send>>;

    async fn watch_game_server(&self, _: Request<pb::Empty>) -> Result<Response<Self::WatchGameServerStream>, Status> {
        let mut object = self.shared.object.subscribe();
        // The object as it is goes out first.
        object.mark_changed();
        let watcher = Watcher { object, end: StreamEnd::new(&self.shared), resync: self.resync, over: false };
        Ok(Response::new(Box::pin(stream::unfold(watcher, Watcher::next))))
    }
}

/// One open watch.
struct Watcher {
    object: watch::Receiver<Observed>,
    end: StreamEnd,
    resync: Duration,
    over: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<pb::GameServer, Status>, Self)> {
        if self.over {
            return None;
        }
        tokio::select! {
            _ = tokio::time::timeout(self.resync, self.object.changed()) => {
                let server = pb::GameServer::from(&*self.object.borrow_and_update());
                Some((Ok(server), self))
            }
            status = self.end.wait() => {
                self.over = true;
                Some((Err(status), self))
            }
        }
    }
}

/// When a stream has to end although both sides would go on.
struct StreamEnd {
    shared: Arc<Shared>,
    generation: watch::Receiver<u64>,
}

impl StreamEnd {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), generation: shared.streams.subscribe() }
    }

    async fn wait(&mut self) -> Status {
        tokio::select! {
            _ = self.generation.changed() => Status::unavailable("the stream was cut"),
            () = self.shared.stop.cancelled() => Status::unavailable("the SDK server stops"),
        }
    }
}
