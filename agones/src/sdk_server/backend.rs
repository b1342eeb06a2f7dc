//! The state machine behind the SDK's methods, and the streams of it.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Shared;
use super::service::Backend;
use super::state::{Machine, Refused, Write};
use crate::observed::Observed;
use crate::pb;

impl Backend for Shared {
    fn write(&self, write: Write) -> Result<(), Refused> {
        self.with(|machine, now| machine.write(now, write))
    }

    fn ping(&self) {
        self.with(Machine::ping);
    }

    fn game_server(&self) -> pb::GameServer {
        pb::GameServer::from(&*self.object.borrow())
    }

    fn watch(&self) -> BoxStream<'static, Result<pb::GameServer, Status>> {
        let mut object = self.object.subscribe();
        // The object as it is goes out first.
        object.mark_changed();
        let watcher = Watcher { object, end: StreamEnd::new(self), resync: self.resync, over: false };
        Box::pin(stream::unfold(watcher, Watcher::next))
    }

    fn end_of_pings(&self) -> BoxFuture<'static, Status> {
        let mut end = StreamEnd::new(self);
        Box::pin(async move { end.wait().await })
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
    generation: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl StreamEnd {
    fn new(shared: &Shared) -> Self {
        Self { generation: shared.streams.subscribe(), stop: shared.stop.clone() }
    }

    async fn wait(&mut self) -> Status {
        tokio::select! {
            _ = self.generation.changed() => Status::unavailable("the stream was cut"),
            () = self.stop.cancelled() => Status::unavailable("the SDK server stops"),
        }
    }
}
