//! The realtime gateway: players hear at once what they would otherwise ask for.
//!
//! A connection ([`socket`], over a [`carrier`]: a WebSocket, or [`framed`] on the gateway's own [`tcp`] port) serves a session ([`session`]) and may break; the session waits for the next
//! one. The [`hub`] knows the sessions of this process; a [`fanout`] brings news to the hubs of all processes,
//! through Redis where there are several ([`relay`]); there a session is noted as well ([`register`]), so that it goes on at
//! whichever its client comes to. What a session
//! has still to hear, and what it hears again, is decided in [`crate::core::gateway`].

pub(crate) mod carrier;
mod commands;
mod entrance;
pub(crate) mod fanout;
mod framed;
pub(crate) mod hub;
pub(crate) mod message;
pub(crate) mod presence;
pub(crate) mod register;
pub(crate) mod relay;
pub(crate) mod rooms;
mod session;
mod settings;
pub(crate) mod socket;
pub(crate) mod sweep;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod ws_ticket;

pub use settings::{GatewaySettings, Roles};
pub use tcp::TcpSettings;
pub use tls::{CertificateError, CertificateFiles};
