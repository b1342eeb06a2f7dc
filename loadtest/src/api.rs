//! Metagame's REST API, as a bot uses it: every call has a timeout, and is tried again when that can help.

use std::time::{Duration, Instant};

use arena::random::Random;
use protocol::id::{MatchId, PlayerId, TicketId};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use service::backoff::Backoff;

use crate::match_watch::MatchWatch;
use crate::report::count;

/// Longest time for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call is tried again before it has failed for good.
const RETRY_FOR: Duration = Duration::from_secs(20);
/// Longest `Retry-After` that is honoured to the letter; a longer one is a mistake or means "go away".
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What a login gives.
#[derive(Debug, Clone, Deserialize)]
pub struct Session {
    /// The account.
    pub player_id: PlayerId,
    /// For the `Authorization` header.
    pub access_token: String,
    /// For the next session.
    pub refresh_token: String,
}

/// A ticket as metagame shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Ticket {
    /// The ticket.
    pub ticket_id: TicketId,
    /// "queued", "placing", "completed", "cancelled", "timed_out" or "failed".
    pub state: String,
    /// Where to play, once completed.
    #[serde(rename = "match")]
    pub placed: Option<Assignment>,
}

/// Where a match is played.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Assignment {
    /// The match.
    pub match_id: MatchId,
    /// `ip:port` of the server.
    pub address: String,
    /// "muster", or "foreign" where clients speak the game's own protocol.
    #[serde(default)]
    pub transport: String,
    /// The server's public key, base64url.
    pub server_key: String,
    /// Beginning of connection ids, base64url.
    pub routing_token: String,
    /// Hash of the game's schema, 16 hex digits.
    pub schema_hash: String,
    /// SHA-256 of the server's QUIC certificates, base64url; empty where it speaks no QUIC.
    #[serde(default)]
    pub quic_fingerprints: Vec<String>,
}

/// A join token and what it is for.
#[derive(Debug, Clone, Deserialize)]
pub struct JoinToken {
    /// The token.
    pub join_token: String,
    /// Where to play: the server may have changed since the ticket completed.
    #[serde(rename = "match")]
    pub placed: Assignment,
}

/// A queue's name and regions.
#[derive(Debug, Clone, Deserialize)]
pub struct Queue {
    /// Name.
    pub name: String,
    /// Regions that it places matches in.
    #[serde(default)]
    pub regions: Vec<String>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error("no answer from metagame: {0}")]
    Transport(reqwest::Error),
    /// An answer that says what is wrong.
    #[error("metagame answers {status} {kind}: {detail}")]
    Problem {
        /// HTTP status.
        status: StatusCode,
        /// The end of the problem's type, "in-match" for one; empty when the answer is no problem+json.
        kind: String,
        /// What happened.
        detail: String,
        /// The match that the problem names.
        match_id: Option<MatchId>,
        /// The ticket that the problem names.
        ticket_id: Option<TicketId>,
        /// How long to wait before trying again.
        retry_after: Option<Duration>,
    },
    /// An answer that is not what the API promises.
    #[error("metagame's answer cannot be read: {0}")]
    Unreadable(String),
}

/// One bot's account at metagame.
pub struct Api {
    http: reqwest::Client,
    base: String,
    device_id: String,
    name: String,
    session: Option<Session>,
    random: Random,
    /// Failed calls by kind, since they were taken last.
    pub failures: std::collections::BTreeMap<String, u64>,
}

impl ApiError {
    /// Whether the same call may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Problem { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Unreadable(_) => false,
        }
    }

    /// The status, if there was an answer.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Problem { status, .. } => Some(*status),
            Self::Transport(_) | Self::Unreadable(_) => None,
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Transport(error) if error.is_timeout() => "timeout".to_owned(),
            Self::Transport(error) if error.is_connect() => "connect".to_owned(),
            Self::Transport(_) => "transport".to_owned(),
            Self::Problem { status, .. } => status.as_str().to_owned(),
            Self::Unreadable(_) => "unreadable".to_owned(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem { retry_after, .. } => retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)),
            Self::Transport(_) | Self::Unreadable(_) => None,
        }
    }
}

impl Api {
    /// An account that is made, or found again, at the first login. `url` is metagame's base URL; the device id is the
    /// account's secret.
    pub fn new(http: reqwest::Client, url: &str, device_id: String, name: String, seed: u64) -> Self {
        let base = url.trim_end_matches('/').to_owned();
        Self { http, base, device_id, name, session: None, random: Random::new(seed), failures: Default::default() }
    }

    /// Logs in by device id.
    ///
    /// # Errors
    /// [`ApiError`] when it does not succeed within 20 s.
    pub async fn login(&mut self) -> Result<PlayerId, ApiError> {
        let body = serde_json::json!({ "device_id": self.device_id, "name": self.name });
        let session: Session = self.call(Method::POST, "/v1/auth/device", Some(&body)).await?;
        let player = session.player_id;
        self.session = Some(session);
        Ok(player)
    }

    /// The queues.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn queues(&mut self) -> Result<Vec<Queue>, ApiError> {
        #[derive(Deserialize)]
        struct List {
            queues: Vec<Queue>,
        }
        Ok(self.authorized::<List>(Method::GET, "/v1/queues", None::<&()>).await?.queues)
    }

    /// Creates a ticket; safe to repeat.
    ///
    /// # Errors
    /// [`ApiError`]; 409 "has-ticket" and "in-match" name what is in the way.
    pub async fn create_ticket(
        &mut self,
        ticket_id: TicketId,
        queue: &str,
        region_rtts: &[(String, u32)],
    ) -> Result<Ticket, ApiError> {
        let rtts: Vec<_> =
            region_rtts.iter().map(|(region, ms)| serde_json::json!({ "region": region, "rtt_ms": ms })).collect();
        let body = serde_json::json!({ "ticket_id": ticket_id, "queue": queue, "region_rtts": rtts });
        self.authorized(Method::POST, "/v1/tickets", Some(&body)).await
    }

    /// A ticket.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn ticket(&mut self, ticket_id: TicketId) -> Result<Ticket, ApiError> {
        self.authorized(Method::GET, &format!("/v1/tickets/{ticket_id}"), None::<&()>).await
    }

    /// Cancels a ticket, unless it is placed by now: the answer says.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn cancel_ticket(&mut self, ticket_id: TicketId) -> Result<Ticket, ApiError> {
        self.authorized(Method::DELETE, &format!("/v1/tickets/{ticket_id}"), None::<&()>).await
    }

    /// Opens the stream of a ticket's events.
    ///
    /// # Errors
    /// [`ApiError`]; not tried again, because the ticket can be asked for instead.
    pub async fn ticket_events(
        &mut self,
        ticket_id: TicketId,
        last_event: Option<&str>,
    ) -> Result<reqwest::Response, ApiError> {
        let mut request = self.http.get(format!("{}/v1/tickets/{ticket_id}/events", self.base));
        request = request.header("accept", "text/event-stream");
        if let Some(session) = &self.session {
            request = request.bearer_auth(&session.access_token);
        }
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let answer = tokio::time::timeout(CALL_TIMEOUT, request.send()).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(ApiError::Transport),
            Err(_) => Err(ApiError::Unreadable("the event stream does not begin".to_owned())),
        };
        let answer = match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) => Err(problem(answer).await),
            Err(error) => Err(error),
        };
        answer.inspect_err(|error| count(&mut self.failures, &error.label()))
    }

    /// A join token for a match that the player is in.
    ///
    /// # Errors
    /// [`ApiError`]; 404 and 410 when the match is over.
    pub async fn join_token(&mut self, match_id: MatchId) -> Result<JoinToken, ApiError> {
        self.authorized(Method::POST, &format!("/v1/matches/{match_id}/join-token"), None::<&()>).await
    }

    /// Asks about one match, beside this account's other calls.
    pub fn match_watch(&self, match_id: MatchId) -> MatchWatch {
        let token = self.session.as_ref().map_or("", |session| &session.access_token);
        MatchWatch::new(self.http.clone(), &self.base, token, match_id)
    }

    /// How many matches the account counts.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn matches_counted(&mut self) -> Result<u64, ApiError> {
        #[derive(Deserialize)]
        struct Profile {
            matches: u64,
        }
        Ok(self.authorized::<Profile>(Method::GET, "/v1/players/me", None::<&()>).await?.matches)
    }

    /// The player's newest matches that it came to, out of 200.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn recent_matches(&mut self) -> Result<Vec<MatchId>, ApiError> {
        #[derive(Deserialize)]
        struct Entry {
            match_id: MatchId,
            #[serde(default)]
            participation: String,
        }
        #[derive(Deserialize)]
        struct List {
            matches: Vec<Entry>,
        }
        let list: List = self.authorized(Method::GET, "/v1/players/me/matches?limit=200", None::<&()>).await?;
        let was_there = |entry: &Entry| entry.participation != "absent";
        Ok(list.matches.into_iter().filter(was_there).map(|entry| entry.match_id).collect())
    }

    /// A call with the access token; when that has expired, with a new one.
    async fn authorized<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        match self.call(method.clone(), path, body).await {
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                self.renew().await?;
                self.call(method, path, body).await
            }
            answer => answer,
        }
    }

    /// A new session by refresh token, or by device id when that fails.
    async fn renew(&mut self) -> Result<(), ApiError> {
        if let Some(session) = self.session.take() {
            let body = serde_json::json!({ "refresh_token": session.refresh_token });
            if let Ok(session) = self.call(Method::POST, "/v1/auth/refresh", Some(&body)).await {
                self.session = Some(session);
                return Ok(());
            }
        }
        self.login().await.map(drop)
    }

    /// A call, tried again with growing, jittered waits while that can help.
    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let give_up = Instant::now() + RETRY_FOR;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(4));
        loop {
            let error = match self.call_once(method.clone(), path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            count(&mut self.failures, &error.label());
            let wait = backoff.next(self.random.next_u64());
            let wait = error.retry_after().map_or(wait, |asked| asked + wait / 4);
            if !error.is_passing() || Instant::now() + wait > give_up {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn call_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).timeout(CALL_TIMEOUT);
        if let Some(session) = &self.session {
            request = request.bearer_auth(&session.access_token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(ApiError::Transport)?;
        if !answer.status().is_success() {
            return Err(problem(answer).await);
        }
        let bytes = read(answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| ApiError::Unreadable(error.to_string()))
    }
}

/// The whole body of an answer, unless it is too long.
async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(ApiError::Transport)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ApiError::Unreadable(format!("longer than {ANSWER_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The problem that an answer describes.
async fn problem(answer: reqwest::Response) -> ApiError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        r#type: String,
        detail: String,
        match_id: Option<MatchId>,
        ticket_id: Option<TicketId>,
    }
    let status = answer.status();
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let body: Body = match read(answer).await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => Body::default(),
    };
    let kind = body.r#type.rsplit(':').next().unwrap_or_default().to_owned();
    let Body { detail, match_id, ticket_id, .. } = body;
    let retry_after = retry_after.map(Duration::from_secs);
    ApiError::Problem { status, kind, detail, match_id, ticket_id, retry_after }
}
