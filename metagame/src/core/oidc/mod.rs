//! OpenID Connect: what a provider publishes, what is asked of it, and what its word is worth.
//!
//! Follows OpenID Connect Core 1.0 and Discovery 1.0, PKCE (RFC 7636), native apps (RFC 8252) and RFC 9207.

mod flow;
mod id_token;
mod keys;
mod metadata;

pub use flow::{BrowserFlow, Flow, redirect_is_allowed};
pub use id_token::{Expected, Identity, TokenFault, verify};
pub use keys::{Algorithm, ProviderKeys};
pub use metadata::{Metadata, MetadataFault};
