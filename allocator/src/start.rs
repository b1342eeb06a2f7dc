//! Binds the ports, runs the tasks, ends them in order.

use std::net::SocketAddr;

use service::{Listener, Shutdown};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::handle::Handle;
use crate::http;

/// Why the allocator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error(transparent)]
    Bind(#[from] service::BindError),
    /// The epoch is 0, which servers never obey.
    #[error("the allocator's epoch must be at least 1")]
    Epoch,
}

/// Why the allocator ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A listener failed.
    #[error("the allocator's {what} failed: {detail}")]
    Listener {
        /// Which.
        what: &'static str,
        /// The reason.
        detail: String,
    },
}

/// A running allocator.
#[derive(Debug)]
pub struct Running {
    /// Where gRPC is served.
    pub address: SocketAddr,
    /// Where the admin pages are served.
    pub admin_address: SocketAddr,
    handle: Handle,
    admin: JoinHandle<std::io::Result<()>>,
}

impl Running {
    /// For the provider and the operator in this process.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Resolves when the allocator has ended: after shutdown, or because a listener failed.
    ///
    /// # Errors
    /// [`ServeError::Listener`].
    pub async fn wait(self) -> Result<(), ServeError> {
        let fault = |detail| ServeError::Listener { what: "admin port", detail };
        self.admin.await.map_err(|e| fault(e.to_string()))?.map_err(|e| fault(e.to_string()))
    }
}

/// Binds both ports and starts to serve.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, StartError> {
    let jwks = protocol::jwt::KeySet::new([config.signing_key.public_key()]).to_json();
    let grpc = Listener::bind(config.address, "allocator gRPC").await?;
    let listener = Listener::bind(config.admin_address, "allocator admin").await?;
    let (address, admin_address) = (grpc.local_addr(), listener.local_addr());
    let admin = service::admin::Admin::new("allocator").route(http::routes(&jwks));
    let admin = tokio::spawn(admin.serve(listener, shutdown));
    Ok(Running { address, admin_address, handle: Handle {}, admin })
}

/// Starts and runs until shutdown.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(config: Config, shutdown: Shutdown) -> Result<(), ServeError> {
    start(config, shutdown).await?.wait().await
}
