//! The Agones SDK without Kubernetes: a client that reconnects, an in-process SDK server, a local fleet of processes.
//!
//! Game servers link this crate, so nothing here knows kube. Nothing here decides about matches or players either:
//! a server that Agones calls Allocated is busy, one that it calls Reserved or Ready is idle, and that is all.
//!
//! | module | owns |
//! |---|---|
//! | [`state`], [`observed`] | a GameServer as both sides see it |
//! | [`sdk`] | the client: one actor for all writes, repeated until observed; a watch that resumes; health pings |
//! | [`sdk_server`] | the server, one per game server: Agones' state machine, health timeouts, write lag, faults |
//! | [`local`] | the local provider: a fleet of real game-server processes with minimum, maximum and buffer |
//! | [`lifeline`] | how a game server learns that its provider is gone |
//! | [`metrics`] | every metric of this crate |
//! | [`pb`] | the SDK's gRPC, generated from `proto/sdk.proto` |

mod backoff;
pub mod lifeline;
pub mod local;
pub mod metrics;
pub mod observed;
pub mod sdk;
pub mod sdk_server;
pub mod state;

pub use local::{FleetConfig, LocalFleet, ServerStatus};
pub use observed::{HealthSpec, Observed, Port};
pub use sdk::{HealthGate, Sdk, SdkError};
pub use sdk_server::{SdkServer, SdkServerConfig};
pub use state::State;

/// The SDK's gRPC messages, client and server, generated from `proto/sdk.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod pb {
    tonic::include_proto!("agones.dev.sdk");
}
