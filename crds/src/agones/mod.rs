//! As much of Agones 1.61's types as Muster reads or writes. Unknown fields are ignored when read, and never written:
//! Muster changes Agones' objects by patches of single fields.

mod fleet;
mod fleet_autoscaler;
mod game_server;

pub use fleet::*;
pub use fleet_autoscaler::*;
pub use game_server::*;

/// Account of every game-server pod.
pub const SERVICE_ACCOUNT: &str = "agones-sdk";
