//! As much of Agones 1.61's types as Muster reads or writes. Unknown fields are ignored when read, and never written:
//! Muster changes Agones' objects by patches of single fields.

mod autoscaler;
mod fleet;
mod game_server;

pub use autoscaler::*;
pub use fleet::*;
pub use game_server::*;

/// Labels, annotations and finalizers that Agones writes.
pub mod names {
    /// On a game server: its Fleet.
    pub const FLEET: &str = "agones.dev/fleet";
    /// On a game server: its GameServerSet.
    pub const GAME_SERVER_SET: &str = "agones.dev/gameserverset";
    /// On a pod: its game server.
    pub const GAME_SERVER: &str = "agones.dev/gameserver";
    /// On a pod: `gameserver`.
    pub const ROLE: &str = "agones.dev/role";
    /// On an allocated game server: when, RFC 3339 with nanoseconds.
    pub const LAST_ALLOCATED: &str = "agones.dev/last-allocated";
    /// On a game server that needs no pod: the address where it is.
    pub const DEV_ADDRESS: &str = "agones.dev/dev-address";
    /// Account of every game-server pod.
    pub const SERVICE_ACCOUNT: &str = "agones-sdk";
}
