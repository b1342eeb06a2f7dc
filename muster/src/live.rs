//! The flags that name events, settings and rules of the game, and who may say something of players.

use std::path::PathBuf;

use clap::Args;
use metagame::core::live::document::LiveFile;
use metagame::{LiveSettings, read_integrations};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::parts::read;

/// Live operations.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct LiveOptions {
    /// File of events, remote settings and the studio's own rules (TOML), published at start if its version is the newest. Operators publish others on
    /// the admin port.
    #[arg(long, env = "MUSTER_LIVE", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) live: Option<PathBuf>,
    /// File of integrations (TOML): vendors of anti-cheat and what follows from their verdicts, and hooks that are asked before
    /// players act.
    #[arg(long, env = "MUSTER_INTEGRATIONS", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) integrations: Option<PathBuf>,
}

impl LiveOptions {
    /// What they say.
    pub(crate) fn read(&self) -> Result<LiveSettings, Failure> {
        let file = match &self.live {
            Some(path) => {
                let text = read("--live", path)?;
                let fault = |fault| Failure::setup(format!("{}: {fault}", path.display()));
                Some(LiveFile::parse(&text).map_err(fault)?)
            }
            None => None,
        };
        let integrations = self.integrations.as_deref().map(read_integrations).transpose().map_err(Failure::setup)?;
        Ok(LiveSettings { file, integrations: integrations.unwrap_or_default() })
    }
}
