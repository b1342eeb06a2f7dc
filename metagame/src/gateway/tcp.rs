//! The gateway's own port: TCP with TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service::Listener;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::framed::Framed;
use super::socket;
use super::tls::CertificateFiles;
use crate::app::App;
use crate::connections::prompt;
use crate::metrics;

/// How long a handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// Handshakes under way at once: they cost more than anything else here, and strangers begin them.
const HANDSHAKES_MAX: usize = 256;
/// Pause after a connection that the system could not hand over, which is mostly one for which there is no file left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The gateway over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSettings {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What clients are shown. Without it the port speaks no TLS, which is for one's own machine, and for a network where
    /// something before it ends TLS.
    pub certificate: Option<CertificateFiles>,
}

/// Serves connections until shutdown.
pub(crate) async fn serve(app: App, listener: Listener, tls: Option<TlsAcceptor>) {
    let tcp = listener.into_tokio();
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            () = app.shutdown.wait() => return,
            accepted = tcp.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the gateway's port cannot take a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&app.hub.places).try_acquire_owned() else {
            // A client takes a connection that closes at once for one to try again later.
            metrics::gateway_refused("full");
            continue;
        };
        prompt(&stream);
        tokio::spawn(one(app.clone(), stream, peer, tls.clone(), Arc::clone(&handshakes), place));
    }
}

async fn one(
    app: App,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    handshakes: Arc<Semaphore>,
    place: OwnedSemaphorePermit,
) {
    let Some(tls) = tls else {
        socket::serve(app, Framed::new(stream), peer.ip()).await;
        return drop(place);
    };
    let shaken = tokio::time::timeout(HANDSHAKE_PATIENCE, async {
        let _turn = handshakes.acquire().await.ok()?;
        tls.accept(stream).await.ok()
    });
    match shaken.await {
        Ok(Some(stream)) => socket::serve(app, Framed::new(stream), peer.ip()).await,
        Ok(None) | Err(_) => metrics::gateway_refused("handshake"),
    }
    drop(place);
}
