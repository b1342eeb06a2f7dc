//! Events: told in the transaction of the fact, relayed at least once and in order, to a stream of Redis and to one of NATS.

mod hands;
mod nats;
mod relay;
#[path = "../stores/results.rs"]
mod results;
#[path = "../stores/mod.rs"]
mod stores;
mod stream;
mod told;
