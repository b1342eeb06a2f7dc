//! The flag that says how players prove who they are.

use std::path::PathBuf;

use clap::Args;
use metagame::{IdentitySettings, read_identity};

use crate::exit::Failure;

/// Ways to prove to be a player besides a device.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct IdentityOptions {
    /// File that says how mail is sent, which passwords are refused, and whose accounts players may use. Without it, mail is
    /// written into the folder "mail" of the data folder; on Kubernetes none is sent.
    #[arg(long, env = "MUSTER_IDENTITY", value_name = "FILE", help_heading = "Identity")]
    pub(crate) identity: Option<PathBuf>,
}

impl IdentityOptions {
    /// What the file says, if there is one.
    pub(crate) fn read(&self) -> Result<Option<IdentitySettings>, Failure> {
        self.identity.as_deref().map(read_identity).transpose().map_err(Failure::setup)
    }
}
