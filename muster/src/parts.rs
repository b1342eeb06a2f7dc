//! Settings of single parts of metagame: flags that name addresses and files, read and checked at the start. A new part is a
//! field here, and one of `metagame::Parts`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use metagame::core::kv::Collections;
use metagame::core::leaderboard::Boards;
use metagame::core::progression::file::parse as progression;
use metagame::core::telemetry::plan::Plan;
use metagame::{Parts, Progression, TelemetrySettings};
use serde::{Deserialize, Serialize};

use crate::compat::CompatOptions;
use crate::economy::EconomyOptions;
use crate::events::EventOptions;
use crate::exit::Failure;
use crate::gateway::GatewayOptions;
use crate::live::LiveOptions;

/// Options of every command that runs metagame.
#[derive(Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct PartOptions {
    /// Keep what can be rebuilt or lost in a Redis: redis://user:password@host:6379/0, or rediss:// with TLS. Without it each
    /// instance keeps that in memory.
    #[arg(
        long,
        env = "MUSTER_REDIS",
        hide_env_values = true,
        value_name = "URL",
        conflicts_with = "redis_file",
        help_heading = "Parts of metagame"
    )]
    pub(crate) redis: Option<String>,
    /// File that holds what --redis would say: a password is safe there.
    #[arg(long, env = "MUSTER_REDIS_FILE", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) redis_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) economy: EconomyOptions,
    #[command(flatten)]
    pub(crate) gateway: GatewayOptions,
    /// File of leaderboards (TOML). Without it there are those of the queues, by rating.
    #[arg(long, env = "MUSTER_LEADERBOARDS", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) leaderboards: Option<PathBuf>,
    /// File of XP curves, seasons, challenges, achievements, unlock trees and prestige (TOML). Without it there are levels, and
    /// the figures of the arena over all matches.
    #[arg(long, env = "MUSTER_PROGRESSION", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) progression: Option<PathBuf>,
    /// File of collections of values that the game keeps per player (TOML). Without it any name is one, which its owner alone
    /// reads and writes; everybody reads "public", and servers alone write "server".
    #[arg(long, env = "MUSTER_COLLECTIONS", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) collections: Option<PathBuf>,
    /// File of what is reported of the game, which of it may be read, and how long it is kept (TOML). Without it anything may be
    /// reported; figures are kept as they are, texts sealed, for 30 days.
    #[arg(long, env = "MUSTER_TELEMETRY", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) telemetry: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) compat: CompatOptions,
    #[command(flatten)]
    pub(crate) live: LiveOptions,
    #[command(flatten)]
    pub(crate) events: EventOptions,
}

/// Addresses may hold passwords.
impl std::fmt::Debug for PartOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PartOptions").field("redis_file", &self.redis_file).finish_non_exhaustive()
    }
}

impl PartOptions {
    /// What they say.
    pub(crate) fn read(&self) -> Result<Parts, Failure> {
        let redis = given(self.redis.as_ref(), "--redis-file", self.redis_file.as_deref())?;
        let redis = redis.map(|url| url.parse().map_err(Failure::setup)).transpose()?;
        let boards = match &self.leaderboards {
            Some(file) => Boards::parse(&read("--leaderboards", file)?)
                .map_err(|fault| Failure::setup(format!("{}: {fault}", file.display())))?,
            None => Boards::default(),
        };
        let collections = match &self.collections {
            Some(file) => Collections::parse(&read("--collections", file)?)
                .map_err(|fault| Failure::setup(format!("{}: {fault}", file.display())))?,
            None => Collections::default(),
        };
        let plan = match &self.telemetry {
            Some(file) => Plan::parse(&read("--telemetry", file)?)
                .map_err(|fault| Failure::setup(format!("{}: {fault}", file.display())))?,
            None => Plan::default(),
        };
        let economy = self.economy.read()?;
        let progression = match &self.progression {
            Some(file) => progression(&read("--progression", file)?, &economy.catalog)
                .map_err(|faults| Failure::setup(format!("{}: {faults}", file.display())))?,
            None => Progression::default(),
        };
        Ok(Parts {
            events: self.events.read(redis.is_some())?,
            redis,
            economy,
            progression: Arc::new(progression),
            boards: Arc::new(boards),
            collections: Arc::new(collections),
            roles: self.gateway.roles(),
            gateway: self.gateway.read()?,
            gamemesh: self.compat.read(),
            live: self.live.read()?,
            telemetry: TelemetrySettings { plan, ..TelemetrySettings::default() },
            ..Parts::default()
        })
    }
}

/// The text of the file that `flag` names.
pub(crate) fn read(flag: &str, file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::setup(format!("cannot read {flag} {}: {error}", file.display()))
            .help("check the path and that this user may read it")
    })
}

/// What was given, or what the file holds that `flag` names, or nothing.
pub(crate) fn given(given: Option<&String>, flag: &str, file: Option<&Path>) -> Result<Option<String>, Failure> {
    match (given, file) {
        (Some(given), _) => Ok(Some(given.clone())),
        (None, Some(file)) => read(flag, file).map(Some),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_file_is_read_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        std::fs::write(&file, "redis://:hush@cache.example:6379/1\n").expect("write");
        let options = PartOptions { redis_file: Some(file), ..PartOptions::default() };
        let url = options.read().expect("parts").redis.expect("an address");
        assert!(url.to_string().contains("cache.example") && !format!("{url:?}").contains("hush"));
        let wrong = PartOptions { redis: Some("redis://:hush@x:y".into()), ..PartOptions::default() };
        let fault = wrong.read().expect_err("no port");
        assert!(!format!("{fault:?}{wrong:?}").contains("hush"));
    }
}
