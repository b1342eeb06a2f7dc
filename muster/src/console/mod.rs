//! The console: pages that show a running platform. It has no login: it listens on loopback, and must not be exposed.
//!
//! | module | owns |
//! |---|---|
//! | `collect` | reading the services once a second, following the match log |
//! | `board` | what is known, as the pages show it |
//! | `interval`, `matchbook` | rates between two readings; matches and their events |
//! | `history`, `queue_history` | ten minutes of the platform, and of each queue |
//! | `state` | what tasks and requests share, and the bounds |
//! | `api`, `pages` | HTTP: JSON and streams; files, headers, who may ask |
//! | `assets` | HTML, CSS and JavaScript, served as they are |

mod api;
mod board;
mod collect;
#[cfg(test)]
mod contrast;
mod history;
mod interval;
mod matchbook;
mod pages;
mod queue_history;
mod state;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use service::{BindError, Listener, Shutdown};

use self::collect::Sources;
use self::state::State;
use crate::exit::Failure;
use crate::platform::Reach;

/// Where the console listens if nobody says otherwise and the port is free.
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7130);

/// A console that runs until it is dropped.
pub(crate) struct Console {
    address: SocketAddr,
    shutdown: Shutdown,
}

impl Console {
    /// Starts the console of a platform. Without an address it takes [`ADDRESS`], or any free port where that is taken.
    pub(crate) async fn start(listen: Option<SocketAddr>, platform: &Reach) -> Result<Self, Failure> {
        let Reach { allocator_url, matchmaker_url, admin_url, .. } = platform;
        let sources = Sources::new(allocator_url, matchmaker_url, admin_url, &platform.tokens());
        let sources = sources.map_err(Failure::setup)?;
        let listener = bind(listen).await.map_err(Failure::setup)?;
        let (address, shutdown) = (listener.local_addr(), Shutdown::new());
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "the console has no login: whoever reaches this address sees players' names and every match; \
                 listen on 127.0.0.1 and forward the port instead (ssh -L)"
            );
        }
        let state = Arc::new(State::new(sources, platform.metagame_url.clone(), shutdown.clone()));
        let tasks =
            [tokio::spawn(collect::read(Arc::clone(&state))), tokio::spawn(collect::follow(Arc::clone(&state)))];
        let app = pages::guarded(Router::new().merge(pages::routes()).merge(api::routes()), state);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            let serve = axum::serve(listener.into_tokio(), app).with_graceful_shutdown(stop.wait_owned());
            if let Err(error) = serve.await {
                tracing::error!(%error, "the console ended");
            }
            tasks.iter().for_each(tokio::task::JoinHandle::abort);
        });
        Ok(Self { address, shutdown })
    }

    /// Where a browser on this machine finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", reachable(self.address))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// An address that listens everywhere is none that a browser could open.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn bind(listen: Option<SocketAddr>) -> Result<Listener, BindError> {
    if let Some(address) = listen {
        return Listener::bind(address, "console").await;
    }
    match Listener::bind(ADDRESS, "console").await {
        Err(BindError::InUse { .. }) => Listener::bind(SocketAddr::new(ADDRESS.ip(), 0), "console").await,
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_printed_is_one_that_a_browser_can_open() {
        let shown = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!((shown("0.0.0.0:7130"), shown("[::]:7130")), ("127.0.0.1:7130".into(), "[::1]:7130".into()));
        assert_eq!(shown("10.0.0.7:7130"), "10.0.0.7:7130");
    }
}
