//! Settings of the gateway.

use std::time::Duration;

use super::tcp::TcpSettings;
use crate::core::gateway::pulse::Pulse;
use crate::core::gateway::stream::Bounds;

/// What an instance serves on the API's port; what it does in the background does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// The REST API.
    pub api: bool,
    /// The realtime gateway.
    pub gateway: bool,
}

impl Default for Roles {
    /// Both.
    fn default() -> Self {
        Self { api: true, gateway: true }
    }
}

/// How the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Connections at once; more are told to come back.
    pub sockets_max: usize,
    /// Sessions of one player; another one ends the oldest.
    pub sessions_per_player_max: usize,
    /// How long a connection may take to say who it is.
    pub first_message: Duration,
    /// Pings, death and grace.
    pub pulse: Pulse,
    /// What a session keeps for a slow or broken connection.
    pub bounds: Bounds,
    /// Web pages that may connect, as browsers name them in `Origin`: `https://play.example.com`. Pages of the API's own
    /// address always may; clients that are no browsers send no origin.
    pub origins: Vec<String>,
    /// The gateway's own port, besides the WebSocket of the API's.
    pub tcp: Option<TcpSettings>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            sockets_max: 20_000,
            sessions_per_player_max: 4,
            first_message: Duration::from_secs(3),
            pulse: Pulse::default(),
            bounds: Bounds::default(),
            origins: Vec::new(),
            tcp: None,
        }
    }
}
