//! The flags that name the bus to which metagame's events go.

use std::path::PathBuf;

use clap::Args;
use metagame::{BusName, BusPlace, BusSettings, NatsAccess};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::parts::given;

/// Where events go.
#[derive(Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct EventOptions {
    /// Send events of accounts, matches, purchases, progress and parties to a bus: "redis" for a stream in the Redis of --redis, or
    /// a NATS server with JetStream, nats://user:password@host:4222 (tls:// with TLS; several of a cluster with commas). Without
    /// it webhooks alone hear of them.
    #[arg(
        long,
        env = "MUSTER_EVENTS",
        hide_env_values = true,
        value_name = "BUS",
        conflicts_with = "events_file",
        help_heading = "Parts of metagame"
    )]
    pub(crate) events: Option<String>,
    /// File that holds what --events would say: a password is safe there.
    #[arg(long, env = "MUSTER_EVENTS_FILE", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) events_file: Option<PathBuf>,
    /// Credentials of a NATS user (a .creds file).
    #[arg(long, env = "MUSTER_EVENTS_CREDENTIALS", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) events_credentials: Option<PathBuf>,
    /// Certificates (PEM) that a NATS server's is checked against, where the system does not trust its issuer.
    #[arg(long, env = "MUSTER_EVENTS_CA", value_name = "FILE", help_heading = "Parts of metagame")]
    pub(crate) events_ca: Option<PathBuf>,
    /// What the stream of events is called: the key in Redis, the first words of the subjects in NATS [default: muster.events].
    #[arg(long, env = "MUSTER_EVENTS_NAME", value_name = "NAME", help_heading = "Parts of metagame")]
    pub(crate) events_name: Option<String>,
    /// How many events the stream in Redis keeps, roughly: what readers have not read by then is gone [default: 100000].
    #[arg(long, env = "MUSTER_EVENTS_KEEP", value_name = "COUNT", help_heading = "Parts of metagame")]
    pub(crate) events_keep: Option<u64>,
}

/// Addresses may hold passwords.
impl std::fmt::Debug for EventOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventOptions").field("events_file", &self.events_file).finish_non_exhaustive()
    }
}

impl EventOptions {
    /// What they say; `has_redis`: whether there is a Redis.
    pub(crate) fn read(&self, has_redis: bool) -> Result<Option<BusSettings>, Failure> {
        let Some(bus) = given(self.events.as_ref(), "--events-file", self.events_file.as_deref())? else {
            return self.nothing();
        };
        let bus = bus.trim();
        let place = if bus == "redis" {
            if !has_redis {
                return Err(Failure::setup("--events redis, and there is no Redis")
                    .help("give its address: --redis redis://host:6379/0, or --redis-file with a file that holds it"));
            }
            BusPlace::Redis
        } else {
            let access = NatsAccess { credentials: self.events_credentials.clone(), roots: self.events_ca.clone() };
            BusPlace::Nats { url: bus.parse().map_err(Failure::setup)?, access }
        };
        let is_redis = matches!(place, BusPlace::Redis);
        if is_redis && (self.events_credentials.is_some() || self.events_ca.is_some()) {
            return Err(Failure::setup(
                "--events-credentials and --events-ca are for a NATS server, and --events is redis",
            )
            .help("put a user and a password for Redis into the address of --redis-file"));
        }
        if !is_redis && self.events_keep.is_some() {
            return Err(Failure::setup("--events-keep is for a stream in Redis")
                .help("how much a stream of NATS keeps is its own setting: nats stream edit"));
        }
        let keep = self.events_keep.unwrap_or(BusSettings::KEEP);
        if keep == 0 {
            return Err(Failure::setup("--events-keep 0 would keep nothing").help("give a number from 1"));
        }
        let name = self.events_name.as_deref().map(str::parse).transpose().map_err(Failure::setup)?;
        Ok(Some(BusSettings { place, name: name.unwrap_or_else(BusName::default), keep }))
    }

    /// What is meant for a bus is a mistake without one.
    fn nothing(&self) -> Result<Option<BusSettings>, Failure> {
        let files = self.events_credentials.is_some() || self.events_ca.is_some();
        if files || self.events_name.is_some() || self.events_keep.is_some() {
            return Err(Failure::setup(
                "--events-credentials, --events-ca, --events-name and --events-keep need --events",
            )
            .help("name the bus: --events redis, or --events nats://host:4222"));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(events: &str) -> EventOptions {
        EventOptions { events: Some(events.into()), ..EventOptions::default() }
    }

    #[test]
    fn a_bus_is_named_and_its_password_never_shown() {
        assert!(EventOptions::default().read(true).expect("nothing").is_none());
        let redis = options("redis").read(true).expect("a bus").expect("a bus");
        assert!(matches!(redis.place, BusPlace::Redis) && redis.keep == BusSettings::KEEP, "{redis:?}");
        let nats = options("nats://muster:hush@bus.example:4222").read(false).expect("a bus").expect("a bus");
        assert!(!format!("{nats:?}{}", nats.place).contains("hush"), "{nats:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bus");
        std::fs::write(&file, "nats://u:hush@bus.example\n").expect("write");
        let by_file = EventOptions { events_file: Some(file), ..EventOptions::default() };
        assert!(by_file.read(false).expect("a bus").is_some());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        let named = |name: &str| EventOptions { events_name: Some(name.into()), ..options("redis") };
        let creds = Some(PathBuf::from("user.creds"));
        let wrong = [
            (options("redis"), false, "there is no Redis"),
            (options("kafka://hush@x"), true, "cannot be read"),
            (named("a b"), true, "is called by words"),
            (EventOptions { events_keep: Some(0), ..options("redis") }, true, "--events-keep 0"),
            (EventOptions { events_keep: Some(9), ..options("nats://x") }, true, "in Redis"),
            (EventOptions { events_credentials: creds.clone(), ..options("redis") }, true, "--events-credentials"),
            (EventOptions { events_credentials: creds.clone(), ..EventOptions::default() }, true, "need --events"),
            (EventOptions { events_ca: creds.clone(), ..options("redis") }, true, "--events-ca"),
            (EventOptions { events_ca: creds, ..EventOptions::default() }, true, "need --events"),
        ];
        for (options, has_redis, reason) in wrong {
            let fault = format!("{:?}{options:?}", options.read(has_redis).expect_err(reason));
            assert!(fault.contains(reason) && !fault.contains("hush"), "{fault}");
        }
    }
}
