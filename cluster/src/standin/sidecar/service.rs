//! The SDK's gRPC methods: writes go into the queue, reads come from the API server's object.

use std::pin::Pin;
use std::sync::Arc;

use agones::pb;
use agones::sdk_server::state::Write;
use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use crate::standin::core::message::message;
use crate::standin::core::sdk::Queue;

pub(super) struct Service {
    shared: Arc<Shared>,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn write(&self, write: Write) -> Result<Response<pb::Empty>, Status> {
        let taken = self.shared.with(|queue, now| queue.write(now, write));
        taken.map_err(|refused| Status::invalid_argument(refused.to_string()))?;
        Ok(Response::new(pb::Empty {}))
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
        // Zero and less mean for ever.
        self.write(Write::Reserve { seconds: u64::try_from(request.into_inner().seconds).unwrap_or(0) })
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
        while pings.message().await?.is_some() {
            self.shared.with(Queue::ping);
        }
        Ok(Response::new(pb::Empty {}))
    }

    async fn get_game_server(&self, _: Request<pb::Empty>) -> Result<Response<pb::GameServer>, Status> {
        Ok(Response::new(message(&self.shared.object.borrow())))
    }

    type WatchGameServerStream = Pin<Box<dyn Stream<Item = Result<pb::GameServer, Status>> + Send>>;

    async fn watch_game_server(&self, _: Request<pb::Empty>) -> Result<Response<Self::WatchGameServerStream>, Status> {
        let mut object = self.shared.object.subscribe();
        // The object as it is goes out first.
        object.mark_changed();
        let stop = self.shared.stop.clone();
        let updates = stream::unfold((object, stop), |(mut object, stop)| async move {
            let changed = stop.run_until_cancelled(object.changed()).await;
            changed.is_some_and(|changed| changed.is_ok()).then_some(())?;
            let server = message(&object.borrow_and_update());
            Some((Ok(server), (object, stop)))
        });
        Ok(Response::new(Box::pin(updates)))
    }
}
