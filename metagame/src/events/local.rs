//! The bus within this process: webhooks hear of whatever their settings name.
//!
//! Events of matches reach them without it, in the transaction of the match. The others come this way, so that no use case waits for
//! who listens: what is acknowledged here is in the webhooks' own outbox, from which it is delivered and sent again.

use futures_util::future::BoxFuture;

use super::{Handed, Sink, SinkFault};
use crate::core::event::Event;
use crate::store::Store;

/// Hands events to webhooks.
#[derive(Debug)]
pub struct ToWebhooks {
    store: Store,
}

impl ToWebhooks {
    /// To the webhooks of this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl Sink for ToWebhooks {
    fn hand<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Handed> {
        Box::pin(async move {
            match self.store.hand_to_webhooks(events.to_vec(), service::clock::unix_ms()).await {
                Ok(()) => Handed::all(events),
                Err(error) => Handed::none(SinkFault::Away(error.to_string())),
            }
        })
    }
}
