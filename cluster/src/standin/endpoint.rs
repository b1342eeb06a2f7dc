//! Where the API server reaches this process: HTTPS on one port.

use std::future::IntoFuture as _;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::allocation;
use super::controller::Config;
use super::error::StandinError;
use super::tls::{Identity, TlsListener};

/// A port with a certificate.
pub(super) struct Endpoint {
    address: SocketAddr,
    identity: Identity,
}

impl Endpoint {
    /// Listens; the listener is for [`serve`].
    pub(super) async fn open(config: &Config, service_namespace: &str) -> Result<(Self, TlsListener), StandinError> {
        let reach = match config.reach {
            Some(reach) => reach,
            None => own_address().await?,
        };
        let service = format!("{}.{service_namespace}.svc", allocation::SERVICE);
        let identity = Identity::new(&[reach.to_string(), service])?;
        let listener = TlsListener::bind(config.webhook_port, &identity).await?;
        Ok((Self { address: SocketAddr::new(reach, listener.port()), identity }, listener))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(super) fn ca_pem(&self) -> &str {
        &self.identity.ca_pem
    }
}

/// Answers until `stop`.
pub(super) fn serve(
    listener: TlsListener,
    router: Router,
    stop: &CancellationToken,
) -> JoinHandle<std::io::Result<()>> {
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future())
}

/// The address that this machine uses towards the API server: there it can be reached, too.
async fn own_address() -> Result<IpAddr, StandinError> {
    let server = kube::Config::infer().await.ok().and_then(|config| {
        let host = config.cluster_url.host()?.trim_matches(['[', ']']).to_owned();
        Some((host, config.cluster_url.port_u16().unwrap_or(443)))
    });
    let unknown = || std::io::Error::other("the cluster's address is unknown");
    let find = async {
        let server = server.ok_or_else(unknown)?;
        // Connecting a UDP socket sends nothing: it only asks for the way.
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(server).await?;
        Ok(socket.local_addr()?.ip())
    };
    find.await.map_err(StandinError::OwnAddress)
}
