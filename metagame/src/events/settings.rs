//! Where events go.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

/// The bus outside.
#[derive(Debug, Clone)]
pub struct BusSettings {
    /// Where it is.
    pub place: BusPlace,
    /// What its stream is called there.
    pub name: BusName,
    /// How many events a stream of Redis keeps, roughly. A stream of NATS has limits of its own.
    pub keep: u64,
}

impl BusSettings {
    /// How many events a stream of Redis keeps where nothing is said: some 60 MB.
    pub const KEEP: u64 = 100_000;
}

/// Where the bus is.
#[derive(Debug, Clone)]
pub enum BusPlace {
    /// The Redis of the other parts.
    Redis,
    /// A NATS server with JetStream.
    Nats {
        /// Its address.
        url: NatsUrl,
        /// What lets metagame in, besides a password in the address.
        access: NatsAccess,
    },
}

/// How metagame and a NATS server know each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatsAccess {
    /// File with a user's JWT and seed, as `nsc` writes it.
    pub credentials: Option<PathBuf>,
    /// File with the certificates (PEM) of whoever signed the server's, where that is none of those that the system trusts.
    pub roots: Option<PathBuf>,
}

impl fmt::Display for BusPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis => formatter.write_str("redis"),
            Self::Nats { url, .. } => url.fmt(formatter),
        }
    }
}

/// Where NATS is: `nats://[user:password@]host:4222`, or `tls://`; several servers of a cluster separated by commas. Shown, it has no
/// password.
#[derive(Clone)]
pub struct NatsUrl {
    pub(super) servers: Vec<ServerAddr>,
}

/// An address that is not one. It does not repeat the address, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of the bus cannot be read: write redis, nats://host:4222, or tls://host:4222 where it speaks TLS")]
pub struct BusUrlError;

impl FromStr for NatsUrl {
    type Err = BusUrlError;

    fn from_str(text: &str) -> Result<Self, BusUrlError> {
        let server = |text: &str| {
            let is_known = text.starts_with("nats://") || text.starts_with("tls://");
            let server: ServerAddr = text.parse().ok().filter(|_| is_known)?;
            Some(server).filter(|server| !server.host().is_empty())
        };
        let servers: Option<Vec<ServerAddr>> = text.trim().split(',').map(|one| server(one.trim())).collect();
        servers.map(|servers| Self { servers }).ok_or(BusUrlError)
    }
}

impl NatsUrl {
    /// The user that an address names, with the password; a user without one is a token. The library does not look there.
    pub(super) fn user(&self) -> Option<(String, Option<String>)> {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let server = self.servers.iter().find(|server| server.has_user_pass())?;
        Some((plain(server.username()?), server.password().map(plain)))
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> =
            self.servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect();
        write!(formatter, "nats {}", shown.join(","))
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What the stream of events is called: the key in Redis, the first words of subjects in NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusName(String);

/// A name that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stream of events is called by words of a-z, 0-9, - and _ with dots between them, 64 characters at most, not \"{0}\""
)]
pub struct BusNameError(String);

impl BusName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the stream in NATS, where dots are not allowed.
    pub fn of_stream(&self) -> String {
        self.0.replace('.', "_")
    }
}

impl Default for BusName {
    fn default() -> Self {
        Self("muster.events".to_owned())
    }
}

impl FromStr for BusName {
    type Err = BusNameError;

    fn from_str(text: &str) -> Result<Self, BusNameError> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let is_name = text.len() <= 64 && text.split('.').all(|word| !word.is_empty() && word.bytes().all(good));
        if is_name { Ok(Self(text.to_owned())) } else { Err(BusNameError(text.to_owned())) }
    }
}

impl fmt::Display for BusName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url: NatsUrl = "nats://muster:hush@a.example:4222, tls://b.example".parse().expect("two addresses");
        for shown in [format!("{url}"), format!("{url:?}")] {
            assert_eq!(shown, "nats a.example:4222,b.example:4222");
        }
        for wrong in ["", "a.example:4222", "http://u:hush@x", "ws://x", "nats://u:hush@x:y", "nats://a,", "nats://"] {
            let error = wrong.parse::<NatsUrl>().expect_err(wrong);
            assert!(!format!("{error}{error:?}").contains("hush"));
        }
    }

    #[test]
    fn a_name_fits_both_buses() {
        let name: BusName = "acme.eu-1.events".parse().expect("a name");
        assert_eq!((name.as_str(), name.of_stream().as_str()), ("acme.eu-1.events", "acme_eu-1_events"));
        for wrong in ["", ".", "a..b", "a b", "a.>", "a.*", "Ä", &"x".repeat(65)] {
            assert!(wrong.parse::<BusName>().is_err(), "{wrong}");
        }
        assert_eq!(BusName::default().as_str().parse(), Ok(BusName::default()));
    }
}
