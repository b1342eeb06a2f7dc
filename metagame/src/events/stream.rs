//! Redis Streams: each event is an entry, found by its id.

use futures_util::future::BoxFuture;

use super::{BusName, Handed, Sink, SinkFault};
use crate::core::event::Event;
use crate::redis::{Pipeline, Redis, RedisError, Value, pipe};

/// Name of this part in metrics of Redis.
const PART: &str = "events";

/// A stream in Redis.
#[derive(Debug)]
pub struct RedisStream {
    redis: Redis,
    key: BusName,
    keep: u64,
    source: String,
}

impl RedisStream {
    /// A stream under this key that keeps roughly so many entries, the newest. `source` names the installation in events.
    pub fn new(redis: Redis, key: BusName, keep: u64, source: String) -> Self {
        Self { redis, key, keep, source }
    }

    /// All or none of them, whatever happens in between: an entry that was refused is not overtaken by the next one.
    fn entries(&self, events: &[Event]) -> Pipeline {
        let mut entries = pipe();
        entries.atomic();
        for event in events {
            entries.cmd("XADD").arg(self.key.as_str()).arg("MAXLEN").arg("~").arg(self.keep).arg("*");
            entries.arg("id").arg(&event.id).arg("type").arg(event.full_type()).arg("subject").arg(&event.subject);
            entries.arg("event").arg(event.cloud_event(&self.source));
        }
        entries
    }
}

impl Sink for RedisStream {
    fn hand<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Handed> {
        Box::pin(async move {
            match self.redis.pipeline::<Vec<Value>>(PART, &self.entries(events)).await {
                Ok(_) => Handed::all(events),
                Err(RedisError::Away(reason)) => Handed::none(SinkFault::Away(reason)),
                Err(RedisError::Refused(reason)) => Handed::none(SinkFault::Refused(reason)),
            }
        })
    }
}
