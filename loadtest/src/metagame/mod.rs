//! Load on metagame's API: requests one after another over connections that stay open, and what they took.
//!
//! The generator shares a machine with what it measures, so it does as little as it can: a request is bytes, an answer is its
//! status and its body ([`connection`]). [`load`] keeps connections busy or keeps a pace; [`session`] knows the API.
//! [`scenario`] is for any installation, beside everything else that goes on there.

pub mod connection;
pub mod load;
pub mod scenario;
pub mod session;
