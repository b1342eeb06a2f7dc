//! Reads the services once a second, and follows the allocator's match log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::matchmaker_client::MatchmakerClient;
use protocol::pb::{GetPoolRequest, GetPoolResponse, ListQueuesRequest, WatchMatchesRequest};
use protocol::token::{ALLOCATOR_AUDIENCE, MATCHMAKER_AUDIENCE};
use serde::de::DeserializeOwned;
use serde_json::Value;
use service::backoff::Backoff;
use service::leader::{LeaderChannel, leader_channel};
use service::token::{ServiceTokens, TokenInterceptor, with_token};
use tokio::time::MissedTickBehavior;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::board::{Board, Reading};
use super::interval::ServerReading;
use super::state::State;

/// How often the services are read.
const EVERY: Duration = Duration::from_secs(1);
/// How long one of them may take to answer.
const PATIENCE: Duration = Duration::from_millis(900);
/// Longest answer over HTTP that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Game servers that are asked at once.
const ASKED_AT_ONCE: usize = 16;

type Authorized<C> = InterceptedService<C, TokenInterceptor>;

/// The services, as the console reaches them.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    allocator: AllocatorClient<Authorized<LeaderChannel>>,
    matchmaker: MatchmakerClient<Authorized<Channel>>,
    metagame_admin: String,
    http: reqwest::Client,
}

impl Sources {
    /// The services at these URLs.
    pub(super) fn new(
        allocator: &str,
        matchmaker: &str,
        metagame_admin: &str,
        tokens: &ServiceTokens,
    ) -> Result<Self, service::grpc::AddressError> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Ok(Self {
            allocator: AllocatorClient::with_interceptor(
                leader_channel(allocator)?,
                with_token(tokens.clone(), ALLOCATOR_AUDIENCE),
            ),
            matchmaker: MatchmakerClient::with_interceptor(
                service::grpc::channel(matchmaker)?,
                with_token(tokens.clone(), MATCHMAKER_AUDIENCE),
            ),
            metagame_admin: metagame_admin.to_owned(),
            http: http.connect_timeout(PATIENCE).build().expect("a client without TLS needs nothing of the system"),
        })
    }

    async fn read(&self) -> Reading {
        let (mut allocator, mut matchmaker) = (self.allocator.clone(), self.matchmaker.clone());
        let stats = format!("{}/stats", self.metagame_admin);
        let (pool, queues, stats) = tokio::join!(
            tokio::time::timeout(PATIENCE, allocator.get_pool(GetPoolRequest {})),
            tokio::time::timeout(PATIENCE, matchmaker.list_queues(ListQueuesRequest {})),
            self.get::<Value>(&stats),
        );
        let pool = pool.ok().and_then(Result::ok).map(tonic::Response::into_inner);
        let queues = queues.ok().and_then(Result::ok).map(|answer| answer.into_inner().queues);
        let servers = self.servers(pool.as_ref().unwrap_or(&GetPoolResponse::default())).await;
        Reading { at_ms: service::clock::unix_ms(), pool, queues, stats, servers }
    }

    async fn servers(&self, pool: &GetPoolResponse) -> std::collections::BTreeMap<String, ServerReading> {
        let ask = |(id, address): (String, String)| async move {
            Some((id, self.get::<ServerReading>(&format!("http://{address}/matches")).await?))
        };
        let answers = stream::iter(Board::servers(pool)).map(ask).buffer_unordered(ASKED_AT_ONCE);
        answers.filter_map(|answer| async { answer }).collect().await
    }

    /// Metagame's record of a match, `None` where it has none.
    pub(super) async fn record(&self, match_id: &str) -> Option<Value> {
        self.get(&format!("{}/matches/{match_id}", self.metagame_admin)).await
    }

    /// The live view of a match, straight from its server.
    pub(super) async fn live(&self, admin_address: &str, match_id: &str) -> Option<reqwest::Response> {
        let request = self.http.get(format!("http://{admin_address}/matches/{match_id}/live")).send();
        tokio::time::timeout(PATIENCE, request).await.ok()?.ok()
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Option<T> {
        let ask = async {
            let mut answer = self.http.get(url).send().await.ok()?.error_for_status().ok()?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.ok()? {
                body.extend_from_slice(&chunk);
                if body.len() > ANSWER_BYTES_MAX {
                    return None;
                }
            }
            serde_json::from_slice(&body).ok()
        };
        tokio::time::timeout(PATIENCE, ask).await.ok()?
    }
}

/// Reads once a second, for ever.
pub(super) async fn read(state: Arc<State>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let reading = state.sources.read().await;
        state.publish(reading);
    }
}

/// Follows the match log, for ever.
pub(super) async fn follow(state: Arc<State>) {
    let mut allocator = state.sources.allocator.clone();
    let mut cursor = 0;
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        match allocator.watch_matches(WatchMatchesRequest { cursor }).await {
            Ok(answer) => {
                let mut events = answer.into_inner();
                while let Ok(Some(event)) = events.message().await {
                    backoff.reset();
                    cursor = event.cursor;
                    state.board().event(event);
                }
            }
            Err(status) if status.code() == tonic::Code::OutOfRange => cursor = 0,
            Err(status) => tracing::debug!(%status, "match events are away"),
        }
        tokio::time::sleep(backoff.next(service::random::u64())).await;
    }
}
