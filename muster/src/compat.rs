//! The flags that have metagame serve clients of another backend.

use clap::{Args, ValueEnum};
use metagame::GameMeshSettings;
use serde::{Deserialize, Serialize};

/// A backend whose clients can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    /// GameMesh: `/api/v1` and `/ws`
    Gamemesh,
}

/// Serving clients of another backend.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct CompatOptions {
    /// Answer the addresses of another backend as well, so that its clients and load scripts run.
    #[arg(long, env = "MUSTER_COMPAT", value_enum, value_name = "BACKEND", help_heading = "Parts of metagame")]
    pub(crate) compat: Option<Backend>,
    /// With --compat: the leaderboard of its scores. Players write there if --leaderboards marks it client_writable.
    #[arg(
        long,
        env = "MUSTER_COMPAT_BOARD",
        value_name = "ID",
        requires = "compat",
        help_heading = "Parts of metagame"
    )]
    pub(crate) compat_board: Option<String>,
    /// With --compat: the queue that it joins. Without it, the only one that there is.
    #[arg(
        long,
        env = "MUSTER_COMPAT_QUEUE",
        value_name = "NAME",
        requires = "compat",
        help_heading = "Parts of metagame"
    )]
    pub(crate) compat_queue: Option<String>,
}

impl CompatOptions {
    /// What they say.
    pub(crate) fn read(&self) -> Option<GameMeshSettings> {
        let Backend::Gamemesh = self.compat?;
        let board = self.compat_board.clone().unwrap_or_else(|| "score".to_owned());
        Some(GameMeshSettings { board, queue: self.compat_queue.clone() })
    }
}
