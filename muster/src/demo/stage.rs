//! Where a demo plays: on a platform in its own process, or on one apart that chaos can kill.

use std::path::PathBuf;
use std::time::Duration;

use service::Shutdown;

use crate::chaos::{self, Begin, PlatformApart};
use crate::cli::DemoOptions;
use crate::exit::Failure;
use crate::platform::{FleetSize, Platform, PlatformConfig, Reach};

/// A platform for one demo.
pub(super) enum Stage {
    Within(Box<Platform>),
    Apart(Box<PlatformApart>),
}

impl Stage {
    /// Starts the platform that the options need.
    pub(super) async fn start(
        options: &DemoOptions,
        config: PlatformConfig,
        triggers: PathBuf,
    ) -> Result<Self, Failure> {
        let Some(seed) = options.chaos else {
            return Ok(Self::Within(Box::new(Platform::start(config).await?)));
        };
        let [metagame, allocator, matchmaker] = chaos::addresses(seed)?;
        let begin = Begin {
            data: config.data,
            metagame,
            allocator,
            matchmaker,
            queues: options.queues.clone(),
            match_seconds: options.match_seconds,
            fleet: config.fleet,
            database: options.database.clone(),
            webhooks: options.webhooks.clone(),
            parts: options.parts.clone(),
            drain_seconds: config.drain.as_secs(),
        };
        Ok(Self::Apart(Box::new(PlatformApart::start(begin, &options.log, triggers).await?)))
    }

    /// The platform as its neighbours reach it.
    pub(super) fn reach(&self) -> &Reach {
        match self {
            Self::Within(platform) => platform.reach(),
            Self::Apart(platform) => platform.reach(),
        }
    }

    /// The platform that can be killed.
    pub(super) fn apart(&self) -> Option<&PlatformApart> {
        match self {
            Self::Within(_) => None,
            Self::Apart(platform) => Some(platform),
        }
    }

    /// Resolves when the platform or a service of it ends by itself, with the reason.
    pub(super) async fn failed(&self) -> Failure {
        match self {
            Self::Within(platform) => platform.failed().await,
            Self::Apart(platform) => platform.failed().await,
        }
    }

    /// Most game-server processes at once so far.
    pub(super) async fn server_processes_max(&self) -> u64 {
        match self {
            Self::Within(platform) => platform.server_processes_max(),
            Self::Apart(platform) => {
                if let Err(failure) = platform.servers().await {
                    tracing::warn!(reason = failure.message(), "the platform does not say what runs");
                }
                platform.server_processes_max()
            }
        }
    }

    /// Ends everything in the order that loses nothing.
    pub(super) async fn drain(self, patience: Duration, hurry: &Shutdown) -> Result<(), Failure> {
        match self {
            Self::Within(platform) => platform.drain(patience, hurry).await,
            Self::Apart(platform) => platform.drain(hurry).await,
        }
    }
}

/// A fleet that chaos can measure: of one size, so that it is whole only with every server.
pub(super) fn fixed(fleet: FleetSize) -> FleetSize {
    let size = fleet.minimum + fleet.buffer;
    FleetSize { minimum: size, maximum: size, ..fleet }
}
