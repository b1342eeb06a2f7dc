//! The one home of the Kubernetes client: leases, watches, the cluster's keys, and for tests a stand-in for Agones.

pub mod client;
pub mod jwks;
pub mod lease;
#[cfg(feature = "standin")]
pub mod standin;
pub mod watch;
