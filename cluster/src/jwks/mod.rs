//! Tokens that the cluster mints for service accounts: who bears one, by the cluster's own public keys.
//!
//! [`keys`](self) judges and does no IO. [`ClusterTokens`] fetches the keys from the API server and keeps them; a token of
//! a key that is not known is refused at once, and makes the keys be fetched again.

mod fetch;
mod keys;
mod verified;

pub use fetch::{ClusterTokens, FetchError};
pub use keys::{BadKeys, Callers, Keys, ParseCallerError, TokenError};
