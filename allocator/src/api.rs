//! The Allocator service: allocate, release, mint join tokens, follow the match log.

use std::pin::Pin;
use std::sync::Arc;

use protocol::pb;
use protocol::pb::allocator_server::Allocator;
use service::token::Caller;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::agones::Backend;
use crate::client::ActorEnded;
use crate::convert::{self, BadMessage};
use crate::core::effect::AllocateError;
use crate::core::updates::JoinGrantError;
use crate::follow::{self, EVENTS_PER_PAGE, WATCHER_PATIENCE};
use crate::metrics;
use crate::mint::Mint;
use crate::term::{OfficeSeen, Term};

/// Programs that may call any method at all; each method narrows them down.
pub(crate) const CALLERS: &[&str] = &["matchmaker", "metagame", "operator", "console", "muster"];
/// Callers of Allocate and ReleaseMatch.
const PLACERS: &[&str] = &["matchmaker"];
/// Callers that act for players.
const MINTERS: &[&str] = &["metagame"];
/// Callers that keep records of matches.
const AUDITORS: &[&str] = &["metagame"];
/// Callers that may follow the match log.
const WATCHERS: &[&str] = &["metagame", "matchmaker", "operator", "console", "muster"];
/// Callers that may look at the pool.
const OBSERVERS: &[&str] = &["operator", "console", "muster"];

/// How long a caller should wait before it tries again, in milliseconds.
const RETRY_MS: &str = "500";

/// Serves the Allocator service: the one who leads answers.
#[derive(Debug, Clone)]
pub(crate) struct AllocatorService {
    office: OfficeSeen,
    mint: Mint,
    watchers: Arc<Semaphore>,
    /// For GameFleets that the control link does not reach.
    agones: Option<Backend>,
}

impl AllocatorService {
    /// A service of whoever is in office.
    pub(crate) fn new(office: OfficeSeen, mint: Mint, watchers_max: usize, agones: Option<Backend>) -> Self {
        Self { office, mint, watchers: Arc::new(Semaphore::new(watchers_max)), agones }
    }

    /// A stream that `follow` fills, one of at most `watchers_max`, until its reader or the leadership ends.
    fn stream<T: Send + 'static, F>(
        &self,
        room: usize,
        follow: impl FnOnce(Term, mpsc::Sender<Result<T, Status>>) -> F,
    ) -> Result<Watched<T>, Status>
    where
        F: Future<Output = Option<Status>> + Send + 'static,
    {
        let term = self.office.term()?;
        let permit = self.watchers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many watchers"))?;
        let (send, receive) = mpsc::channel(room);
        let end = term.end.clone();
        let follow = follow(term, send.clone());
        tokio::spawn(async move {
            let status = tokio::select! {
                status = follow => status,
                () = send.closed() => None,
                () = end.cancelled() => Some(Status::unavailable("the allocator leads no more: watch again")),
            };
            if let Some(status) = status {
                tokio::time::timeout(WATCHER_PATIENCE, send.send(Err(status))).await.ok();
            }
            drop(permit);
        });
        Ok(Box::pin(ReceiverStream::new(receive)))
    }
}

/// What a watcher reads.
type Watched<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Allocator for AllocatorService {
    async fn allocate(&self, request: Request<pb::AllocateRequest>) -> Result<Response<pb::AllocateResponse>, Status> {
        allow(&request, PLACERS)?;
        let seed = service::random::u64();
        let (request, attempt, wait) = convert::match_request(request.into_inner(), seed).map_err(bad)?;
        let (match_id, trace_id) = (request.match_id, request.trace_id.clone());
        if let Some(agones) = &self.agones
            && let Some(namespace) = agones.namespace_of(&request.namespace, &request.fleet)
        {
            let answer = agones.allocate(namespace, &request, wait).await;
            let error = answer.as_ref().err().map(tracing::field::display);
            tracing::info!(%match_id, trace_id, attempt, error, "asked for a server of an Agones fleet");
            return answer.map(Response::new);
        }
        let answer = self.office.term()?.actor.allocate(request, attempt, wait).await.map_err(ended)?;
        match answer {
            Ok(placed) => {
                let took_us = u64::try_from(placed.took.as_micros()).unwrap_or(u64::MAX);
                let server_id = placed.server.server_id;
                tracing::info!(%match_id, trace_id, attempt, %server_id, took_us, "allocated");
                Ok(Response::new(convert::allocate_response(&placed)))
            }
            Err(error) => {
                tracing::warn!(%match_id, trace_id, attempt, %error, "not allocated");
                Err(allocate_status(&error))
            }
        }
    }

    async fn mint_join_token(
        &self,
        request: Request<pb::MintJoinTokenRequest>,
    ) -> Result<Response<pb::MintJoinTokenResponse>, Status> {
        allow(&request, MINTERS)?;
        let request = request.into_inner();
        let match_id = convert::match_id(&request.match_id).map_err(bad)?;
        let player_id = convert::player_id(&request.player_id).map_err(bad)?;
        let grant =
            self.office.term()?.actor.join_grant(match_id, player_id).await.map_err(ended)?.map_err(|error| {
                let (outcome, status) = match error {
                    JoinGrantError::NotLive => ("not_live", Status::not_found(error.to_string())),
                    JoinGrantError::NotSettled => ("not_settled", retry(Status::unavailable(error.to_string()))),
                    JoinGrantError::NotOnRoster => ("not_on_roster", Status::permission_denied(error.to_string())),
                };
                metrics::join_token(outcome);
                status
            })?;
        let now_unix_s = service::clock::unix_s();
        let (join_token, expires_at_s) = self.mint.join_token(&grant, now_unix_s, service::random::bytes());
        metrics::join_token("minted");
        let server_id = grant.server.server_id;
        tracing::info!(%match_id, trace_id = grant.trace_id, %player_id, %server_id, "join token minted");
        let assignment = Some(convert::assignment(match_id, &grant.server));
        Ok(Response::new(pb::MintJoinTokenResponse { join_token, expires_at_s, assignment }))
    }

    async fn release_match(
        &self,
        request: Request<pb::ReleaseMatchRequest>,
    ) -> Result<Response<pb::ReleaseMatchResponse>, Status> {
        allow(&request, PLACERS)?;
        let request = request.into_inner();
        let match_id = convert::match_id(&request.match_id).map_err(bad)?;
        let released =
            self.office.term()?.actor.release(match_id, convert::reason(request.reason)).await.map_err(ended)?;
        released.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(pb::ReleaseMatchResponse {}))
    }

    async fn get_keys(&self, request: Request<pb::GetKeysRequest>) -> Result<Response<pb::GetKeysResponse>, Status> {
        allow(&request, CALLERS)?;
        Ok(Response::new(pb::GetKeysResponse { jwks: self.mint.jwks().to_owned() }))
    }

    type WatchMatchesStream = Watched<pb::MatchEvent>;

    async fn watch_matches(
        &self,
        request: Request<pb::WatchMatchesRequest>,
    ) -> Result<Response<Self::WatchMatchesStream>, Status> {
        allow(&request, WATCHERS)?;
        let cursor = request.into_inner().cursor;
        let follow = |term: Term, send| async move { follow::matches(&term.actor, term.newest, cursor, &send).await };
        self.stream(EVENTS_PER_PAGE, follow).map(Response::new)
    }

    type WatchPoolStream = Watched<pb::GetPoolResponse>;

    async fn watch_pool(
        &self,
        request: Request<pb::WatchPoolRequest>,
    ) -> Result<Response<Self::WatchPoolStream>, Status> {
        allow(&request, OBSERVERS)?;
        let follow = |term: Term, send| async move {
            let pictures = term.pictures.subscribe();
            follow::pool(&term.actor, pictures, &send).await
        };
        self.stream(1, follow).map(Response::new)
    }

    async fn audit_matches(
        &self,
        request: Request<pb::AuditMatchesRequest>,
    ) -> Result<Response<pb::AuditMatchesResponse>, Status> {
        allow(&request, AUDITORS)?;
        let believed = convert::match_ids(&request.into_inner().match_ids).map_err(bad)?;
        let audited = self.office.term()?.actor.audit(believed).await.map_err(ended)?;
        let lost = audited.map_err(|error| retry(Status::unavailable(error.to_string())))?;
        Ok(Response::new(pb::AuditMatchesResponse { lost }))
    }

    async fn get_pool(&self, request: Request<pb::GetPoolRequest>) -> Result<Response<pb::GetPoolResponse>, Status> {
        allow(&request, OBSERVERS)?;
        Ok(Response::new(self.office.term()?.actor.pool().await.map_err(ended)?))
    }
}

/// Refuses a caller that is not among `callers`.
fn allow<T>(request: &Request<T>, callers: &[&str]) -> Result<(), Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller(name)) if callers.contains(&name.as_str()) => Ok(()),
        Some(Caller(name)) => Err(Status::permission_denied(format!("{name} may not call this method"))),
        None => Err(Status::unauthenticated("a service token is required")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn bad(error: BadMessage) -> Status {
    Status::invalid_argument(error.to_string())
}

pub(crate) fn ended(error: ActorEnded) -> Status {
    retry(Status::unavailable(error.to_string()))
}

/// Says when to try again, in the metadata that gRPC clients with a retry policy obey.
fn retry(mut status: Status) -> Status {
    status.metadata_mut().insert("grpc-retry-pushback-ms", tonic::metadata::MetadataValue::from_static(RETRY_MS));
    status
}

fn allocate_status(error: &AllocateError) -> Status {
    let text = error.to_string();
    match error {
        AllocateError::OtherRoster => Status::invalid_argument(text),
        AllocateError::NoServer | AllocateError::QueueFull | AllocateError::TooManyCalls => {
            Status::resource_exhausted(text)
        }
        AllocateError::NotSettled | AllocateError::TimedOut | AllocateError::Stopping => {
            retry(Status::unavailable(text))
        }
        AllocateError::GameRefused(_) | AllocateError::Ended | AllocateError::Released | AllocateError::Lost => {
            Status::failed_precondition(text)
        }
    }
}
