//! The SDK's gRPC methods, whoever keeps the GameServer behind them.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::state::{Refused, Write};
use crate::pb;

/// What stands behind the SDK's methods.
pub trait Backend: Send + Sync + 'static {
    /// Takes a wish of the game server; its effect may come later.
    ///
    /// # Errors
    /// If it can never be granted.
    fn write(&self, write: Write) -> Result<(), Refused>;

    /// The game server has said that it is well.
    fn ping(&self);

    /// The GameServer as it is known now.
    fn game_server(&self) -> pb::GameServer;

    /// The GameServer as it is, and after each change.
    fn watch(&self) -> BoxStream<'static, Result<pb::GameServer, Status>>;

    /// Completes when a stream of pings that begins now has to end although its client would go on.
    fn end_of_pings(&self) -> BoxFuture<'static, Status> {
        Box::pin(std::future::pending())
    }
}

/// The SDK's gRPC service in front of a [`Backend`].
#[derive(Debug)]
pub struct SdkService<B>(Arc<B>);

impl<B: Backend> SdkService<B> {
    /// In front of this one.
    pub fn new(backend: Arc<B>) -> Self {
        Self(backend)
    }

    fn write(&self, write: Write) -> Result<Response<pb::Empty>, Status> {
        match self.0.write(write) {
            Ok(()) => Ok(Response::new(pb::Empty {})),
            Err(refused) => Err(Status::invalid_argument(refused.to_string())),
        }
    }
}

#[tonic::async_trait]
impl<B: Backend> pb::sdk_server::Sdk for SdkService<B> {
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
        let mut end = self.0.end_of_pings();
        loop {
            tokio::select! {
                ping = pings.message() => match ping? {
                    Some(pb::Empty {}) => self.0.ping(),
                    None => return Ok(Response::new(pb::Empty {})),
                },
                status = &mut end => return Err(status),
            }
        }
    }

    async fn get_game_server(&self, _: Request<pb::Empty>) -> Result<Response<pb::GameServer>, Status> {
        Ok(Response::new(self.0.game_server()))
    }

    type WatchGameServerStream = Pin<Box<dyn Stream<Item = Result<pb::GameServer, Status>> + Send>>;

    async fn watch_game_server(&self, _: Request<pb::Empty>) -> Result<Response<Self::WatchGameServerStream>, Status> {
        Ok(Response::new(self.0.watch()))
    }
}
