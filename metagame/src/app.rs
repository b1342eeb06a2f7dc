//! What every request handler shares.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::PlayerId;
use service::Shutdown;
use service::verify::Verifier;
use tokio::sync::Semaphore;

use crate::admission::Gate;
use crate::auth::AccessTokens;
use crate::config::Limits;
use crate::core::progression::Progression;
use crate::core::session::RefreshSecret;
use crate::gamemesh::GameMesh;
use crate::gateway::hub::Hub;
use crate::gateway::register::Register;
use crate::gateway::ws_ticket::WsTickets;
use crate::idempotency::InFlight;
use crate::identity::Identity;
use crate::kv::Kv;
use crate::limits::Buckets;
use crate::live::Live;
use crate::matches::Matches;
use crate::metrics;
use crate::privacy::Privacy;
use crate::problem::Problem;
use crate::ranks::Ranks;
use crate::results::Results;
use crate::rules::Hooks;
use crate::social::Social;
use crate::store::Store;
use crate::stripe::Stripe;
use crate::telemetry::Intake;
use crate::tickets::Tickets;
use crate::webhooks::Desks;

/// The state of the API; cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) access: AccessTokens,
    pub(crate) refresh: RefreshSecret,
    pub(crate) progression: Arc<Progression>,
    pub(crate) limits: Limits,
    pub(crate) gate: Arc<Gate>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) matches: Arc<Matches>,
    pub(crate) results: Results,
    pub(crate) webhooks: Desks,
    pub(crate) social: Social,
    pub(crate) ranks: Ranks,
    /// Who takes money of the world, where it is configured.
    pub(crate) stripe: Option<Stripe>,
    pub(crate) kv: Kv,
    pub(crate) privacy: Privacy,
    /// Judges the tokens of servers; without it there are none.
    pub(crate) servers: Option<Verifier>,
    pub(crate) in_flight: InFlight,
    pub(crate) telemetry: Intake,
    /// Who is asked before acts, besides the rules that are data.
    pub(crate) hooks: Hooks,
    pub(crate) live: Arc<Live>,
    /// Where clients of the GameMesh backend are served.
    pub(crate) gamemesh: Option<GameMesh>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) ws_tickets: WsTickets,
    pub(crate) register: Register,
    pub(crate) requests: Semaphore,
    pub(crate) shutdown: Shutdown,
    pub(crate) by_address: Mutex<Buckets<IpAddr>>,
    pub(crate) by_account: Mutex<Buckets<PlayerId>>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Counts a request against its address.
    pub(crate) fn limit_address(&self, address: IpAddr, now_ms: u64) -> Result<(), Problem> {
        let key = network(address);
        let taken = self.by_address.lock().unwrap_or_else(PoisonError::into_inner).take(key, now_ms);
        taken.map_err(|seconds| too_many("address", seconds))
    }

    /// Counts a request against its account.
    pub(crate) fn limit_account(&self, player: PlayerId, now_ms: u64) -> Result<(), Problem> {
        let taken = self.by_account.lock().unwrap_or_else(PoisonError::into_inner).take(player, now_ms);
        taken.map_err(|seconds| too_many("account", seconds))
    }
}

pub(crate) fn too_many(limit: &'static str, seconds: u64) -> Problem {
    metrics::limited(limit);
    let detail = format!("too many requests of this {limit}");
    Problem::new(axum::http::StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests", detail)
        .retry_after(seconds)
}

/// An IPv6 client owns at least its /64, so that is what is counted.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1:2"), network("2001:db8::ffff:3"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
