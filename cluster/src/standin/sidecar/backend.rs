//! Behind the SDK's methods: writes go into the queue, reads come from the API server's object.

use agones::pb;
use agones::sdk_server::service::Backend;
use agones::sdk_server::state::{Refused, Write};
use futures_util::stream::{self, BoxStream};
use tonic::Status;

use super::Shared;
use crate::standin::core::message::message;
use crate::standin::core::sdk::Queue;

impl Backend for Shared {
    fn write(&self, write: Write) -> Result<(), Refused> {
        self.with(|queue, now| queue.write(now, write))
    }

    fn ping(&self) {
        self.with(Queue::ping);
    }

    fn game_server(&self) -> pb::GameServer {
        message(&self.object.borrow())
    }

    fn watch(&self) -> BoxStream<'static, Result<pb::GameServer, Status>> {
        let mut object = self.object.subscribe();
        // The object as it is goes out first.
        object.mark_changed();
        let updates = stream::unfold((object, self.stop.clone()), |(mut object, stop)| async move {
            let changed = stop.run_until_cancelled(object.changed()).await;
            changed.is_some_and(|changed| changed.is_ok()).then_some(())?;
            let server = message(&object.borrow_and_update());
            Some((Ok(server), (object, stop)))
        });
        Box::pin(updates)
    }
}
