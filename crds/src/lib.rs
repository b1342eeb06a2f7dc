//! Muster's custom resources, and as much of Agones' as Muster reads or writes.
//!
//! Types, schemas and their rules, and nothing that talks to a cluster. Each rule is CEL in the CRD itself, so a bad
//! manifest is refused at `kubectl apply` with a sentence, and the tests run the same rules without a cluster.
//! Field names and units follow Kubernetes: camelCase, whole seconds in `…Seconds`.

#![expect(unreachable_pub, reason = "KubeSchema derives a second struct inside a function and copies the visibility")]

pub mod agones;
mod conditions;
mod documents;
mod game_fleet;
mod match_queue;
mod preserved;

pub use conditions::{Condition, ConditionStatus, Conditions};
pub use documents::{Document, documents};
pub use game_fleet::*;
pub use match_queue::*;
pub use preserved::Preserved;

/// API group of Muster's resources, and prefix of its labels and annotations.
pub const GROUP: &str = "muster.dev";

/// Labels and annotations that Muster writes.
pub mod labels {
    /// On a Fleet and its game servers: name of the GameFleet.
    pub const GAME_FLEET: &str = "muster.dev/game-fleet";
    /// On a Fleet and its game servers: revision, eight hexadecimal digits.
    pub const REVISION: &str = "muster.dev/revision";
    /// On a Fleet and its game servers: region.
    pub const REGION: &str = "muster.dev/region";
    /// On a Fleet and its game servers: the game's build.
    pub const BUILD: &str = "muster.dev/build";
    /// On a Fleet and its game servers: `muster` or `agones`, who allocates from it.
    pub const POOL: &str = "muster.dev/pool";
    /// Finalizer of a GameFleet: its matches end before it goes.
    pub const FINALIZER: &str = "muster.dev/drain";
    /// Annotation of a Fleet: the rendered revision as it was frozen, JSON.
    pub const FROZEN: &str = "muster.dev/frozen-revision";
    /// Annotation of a Fleet or a GameServer: until when its matches may run, RFC 3339 in UTC. The operator writes it once
    /// per drain, the allocator obeys; taking it away undoes nothing.
    pub const DRAIN_DEADLINE: &str = "muster.dev/drain-deadline";
    /// Annotation beside [`DRAIN_DEADLINE`]: why, for people.
    pub const DRAIN_REASON: &str = "muster.dev/drain-reason";
}
