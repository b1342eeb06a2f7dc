//! The thin metagame API: accounts, profiles, ratings, results, tickets.
//!
//! Clients speak REST to it ([`openapi`]); it speaks gRPC to matchmaker and allocator and keeps what lasts in a
//! database. Decisions are made in [`core`], which knows no clock, network or database; [`store`] keeps; the rest is
//! the shell that joins them. A request comes in through `request` (limits, log, metrics), reaches a handler in
//! `api/`, which asks `tickets`, `matches`, `results` or the store. Events of matches go out by `webhooks`;
//! `outgoing` is how anybody else is called.

mod admin;
mod admission;
mod api;
mod app;
mod auth;
mod config;
mod connections;
pub mod core;
pub mod db;
mod economy;
pub mod events;
mod extract;
mod feed;
mod gamemesh;
mod gateway;
pub mod idempotency;
mod identity;
mod keys;
mod kv;
mod limits;
mod live;
mod matches;
mod metrics;
mod outgoing;
mod privacy;
mod problem;
mod progression;
pub mod ranks;
pub mod redis;
mod request;
mod results;
mod rules;
mod social;
mod start;
pub mod store;
mod stripe;
mod telemetry;
mod tickets;
mod upstream;
pub mod vault;
mod webhooks;

pub use crate::core::progression::Progression;
pub use crate::core::rotation::Schedule;
pub use admin::operator::{OPERATOR, OPERATOR_AUDIENCE};
pub use api::openapi;
pub use auth::{ACCESS_ISSUER, ACCESS_LIFE_S, ACCESS_TYP, ACR_STRONG, AccessClaims};
pub use config::{Config, Limits, Parts, Rate};
pub use db::{
    CopiedTable, CopyError, DatabaseLimits, DatabaseLocation, PostgresUrl, StoreCopy, check_database, copy_to_postgres,
};
pub use economy::{CatalogError, Economy, read_catalog};
pub use events::{BusName, BusNameError, BusPlace, BusSettings, BusUrlError, EventsError, NatsAccess, NatsUrl};
pub use gamemesh::GameMeshSettings;
pub use gateway::{CertificateError, CertificateFiles, GatewaySettings, Roles, TcpSettings};
pub use identity::IdentityError;
pub use identity::federation::VoucherError;
pub use identity::hashing::HashingLimits;
pub use identity::postman::MailError;
pub use identity::settings::{
    IdentityFaults, IdentitySettings, MailSettings, MailWay, OidcSettings, PasskeySettings, SecretText, SmtpSettings,
    SmtpTls, SteamSettings, read_identity,
};
pub use live::{AntiCheat, IntegrationFaults, Integrations, LiveError, LiveSettings, read_integrations};
pub use outgoing::{AddressFault, OutgoingSettings, TlsError};
pub use progression::ProgressionError;
pub use redis::{RedisUrl, RedisUrlError};
pub use rules::{Hook, HookAddress};
pub use start::{Running, ServeError, StartError, serve, start};
pub use stripe::settings::{StripeFaults, StripeSettings, read_stripe};
pub use telemetry::TelemetrySettings;
pub use webhooks::{
    Endpoint, EndpointSettings, StartFault, WebhookFaults, WebhookTiming, Webhooks, endpoints, read_endpoints,
};
