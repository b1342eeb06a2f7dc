//! The layer under the use cases, on both databases: what it keeps together, what it repeats, and how it behaves while
//! the database does not.

mod faults;
mod federation;
mod fsync;
mod layer;
mod migrate_store;
mod races;
#[path = "../stores/results.rs"]
mod results;
mod schema;
#[path = "../stores/mod.rs"]
mod stores;
