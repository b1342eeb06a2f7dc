//! Binding a TCP port, with an error that says what to do.

use std::net::SocketAddr;

/// A port that could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program holds it.
    #[error("{address} ({what}) is in use: stop the program that holds it, or choose another address")]
    InUse {
        /// The address.
        address: SocketAddr,
        /// What it was wanted for.
        what: &'static str,
    },
    /// The operating system refuses it.
    #[error("cannot listen on {address} ({what}): {error}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// What it was wanted for.
        what: &'static str,
        /// The system's reason.
        error: std::io::Error,
    },
}

impl BindError {
    /// The error for `error` at `address`.
    pub fn new(address: SocketAddr, what: &'static str, error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            Self::InUse { address, what }
        } else {
            Self::Refused { address, what, error }
        }
    }
}

/// A bound TCP port.
#[derive(Debug)]
pub struct Listener {
    tcp: tokio::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// [`BindError`], which names the address and what it was wanted for.
    pub async fn bind(address: SocketAddr, what: &'static str) -> Result<Self, BindError> {
        let fault = |error| BindError::new(address, what, error);
        let tcp = tokio::net::TcpListener::bind(address).await.map_err(fault)?;
        let address = tcp.local_addr().map_err(fault)?;
        Ok(Self { tcp, address })
    }

    /// The address that is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The listener, for axum and tonic.
    pub fn into_tokio(self) -> tokio::net::TcpListener {
        self.tcp
    }

    /// Incoming connections with Nagle's algorithm off, for tonic.
    pub fn into_incoming(self) -> tonic::transport::server::TcpIncoming {
        tonic::transport::server::TcpIncoming::from(self.tcp).with_nodelay(Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_purpose() {
        let first = Listener::bind("127.0.0.1:0".parse().expect("address"), "first").await.expect("a free port");
        let error = Listener::bind(first.local_addr(), "metagame API").await.expect_err("the port is taken");
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("metagame API"), "{error}");
    }
}
