//! A platform as its neighbours reach it, in this process or in another one: addresses, and what one asks there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::jwt::SigningKey;
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::{GetPoolRequest, PoolServer};
use protocol::token::ALLOCATOR_AUDIENCE;
use service::Shutdown;
use service::grpc::AddressError;
use service::leader::{LeaderChannel, leader_channel};
use service::token::{ServiceTokens, TokenInterceptor, with_token};
use tonic::service::interceptor::InterceptedService;

use super::ServiceData;
use crate::http;
use crate::observe::Observer;

/// How long a service's answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// How often the pool is looked at until it is warm.
const LOOK: Duration = Duration::from_millis(20);
/// How often the matches and their results are looked at until all is settled.
const LOOK_AT_RESULTS: Duration = Duration::from_millis(100);
/// Name under which this program asks the services.
const SUBJECT: &str = "muster";

/// Where a platform's services are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    pub(crate) metagame: SocketAddr,
    pub(crate) metagame_admin: SocketAddr,
    pub(crate) allocator: SocketAddr,
    pub(crate) matchmaker: SocketAddr,
}

/// What metagame counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Counts {
    pub(crate) accounts: u64,
    pub(crate) results_recorded: u64,
}

/// Reaches a platform's services.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// The metagame API.
    pub(crate) metagame_url: String,
    /// The admin port of metagame.
    pub(crate) admin_url: String,
    /// The allocator's gRPC.
    pub(crate) allocator_url: String,
    /// The matchmaker's gRPC.
    pub(crate) matchmaker_url: String,
    service_key: Arc<SigningKey>,
    allocator: AllocatorClient<InterceptedService<LeaderChannel, TokenInterceptor>>,
    spool: PathBuf,
}

impl Reach {
    /// The services at these addresses, by the key of their data folder.
    pub(crate) fn new(data: &ServiceData, at: At) -> Result<Self, AddressError> {
        let allocator_url = format!("http://{}", at.allocator);
        let service_key = Arc::clone(&data.service_key);
        let tokens = ServiceTokens::new(Arc::clone(&service_key), SUBJECT);
        let channel = leader_channel(&allocator_url)?;
        Ok(Self {
            metagame_url: format!("http://{}", at.metagame),
            admin_url: format!("http://{}", at.metagame_admin),
            matchmaker_url: format!("http://{}", at.matchmaker),
            allocator: AllocatorClient::with_interceptor(channel, with_token(tokens, ALLOCATOR_AUDIENCE)),
            allocator_url,
            service_key,
            spool: data.path(super::data::SPOOL),
        })
    }

    /// Service tokens of this program.
    pub(crate) fn tokens(&self) -> ServiceTokens {
        ServiceTokens::new(Arc::clone(&self.service_key), SUBJECT)
    }

    /// Game servers that are registered and can be given a match; none when the allocator does not answer.
    pub(crate) async fn usable_servers(&self) -> Vec<PoolServer> {
        let mut allocator = self.allocator.clone();
        let asked = tokio::time::timeout(ANSWER, allocator.get_pool(GetPoolRequest {})).await;
        let mut servers = asked.ok().and_then(Result::ok).map(|answer| answer.into_inner().servers).unwrap_or_default();
        servers.retain(|server| server.link == "linked" && ["Reserved", "Allocated"].contains(&server.state.as_str()));
        servers
    }

    /// Waits until so many game servers can be given a match, `patience` at most; whether they can.
    pub(crate) async fn is_warm_within(&self, servers: usize, patience: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while self.usable_servers().await.len() < servers {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    /// What metagame counts; nothing if it does not answer.
    pub(crate) async fn counts(&self) -> Option<Counts> {
        let ask = async {
            let answer = http::client(ANSWER).get(format!("{}/stats", self.admin_url)).send().await?;
            answer.json().await
        };
        match ask.await {
            Ok(counts) => Some(counts),
            Err(error) => {
                tracing::debug!(%error, "metagame's statistics are away");
                None
            }
        }
    }

    /// Results that metagame has booked so far; 0 if it does not answer.
    pub(crate) async fn results_recorded(&self) -> u64 {
        self.counts().await.map_or(0, |counts| counts.results_recorded)
    }

    /// Results that wait in the spool.
    pub(crate) fn results_spooled(&self) -> u64 {
        let files = std::fs::read_dir(&self.spool).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|kind| kind == "json")).count() as u64
    }

    /// Waits until every match that started has ended and every result is booked, `patience` at most, and no longer when
    /// in a `hurry`.
    pub(crate) async fn settled(&self, observer: &Observer, patience: Duration, hurry: &Shutdown) {
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline && !hurry.is_triggered() {
            let (running, completed) = {
                let totals = observer.totals();
                (totals.running(), totals.completed())
            };
            if running == 0 && self.results_spooled() == 0 && self.results_recorded().await >= completed {
                return;
            }
            tokio::time::sleep(LOOK_AT_RESULTS).await;
        }
    }
}
