//! Asks the allocator to put a match on a server. What to do after each answer is decided in
//! [`crate::core::placing`]; here are the calls, their deadlines and their logs.

use std::time::Duration;

use protocol::pb;
use protocol::pb::allocator_client::AllocatorClient;
use protocol::token::ALLOCATOR_AUDIENCE;
use service::Shutdown;
use service::leader::LeaderChannel;
use service::token::{ServiceTokens, TokenInterceptor, with_token};
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Status};

use crate::core::pass::NewMatch;
use crate::core::placing::{Answer, Outcome, Placing, Step};
use crate::metrics;

/// Deadline of one Allocate.
const ALLOCATE_DEADLINE: Duration = Duration::from_secs(10);
/// How long the allocator may wait for a server: short of the deadline, so that its answer is heard.
const SERVER_WAIT: Duration = Duration::from_secs(8);
/// Deadline of one ReleaseMatch.
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);

/// Places matches, one call of [`place`](Placer::place) each.
#[derive(Debug, Clone)]
pub(crate) struct Placer {
    client: AllocatorClient<InterceptedService<LeaderChannel, TokenInterceptor>>,
    /// Triggered when the program is ending.
    hurry: Shutdown,
}

impl Placer {
    pub(crate) fn new(allocator: LeaderChannel, tokens: ServiceTokens, hurry: Shutdown) -> Self {
        let client = AllocatorClient::with_interceptor(allocator, with_token(tokens, ALLOCATOR_AUDIENCE));
        Self { client, hurry }
    }

    /// Places a match.
    pub(crate) async fn place(self, new: NewMatch) -> Outcome {
        let placing = Placing::default();
        let first = placing.first();
        self.run(new, placing, first).await
    }

    /// Releases a match whose placing was lost sight of.
    pub(crate) async fn release(self, new: NewMatch) -> Outcome {
        let mut placing = Placing::default();
        let first = placing.release_first("its placing broke off");
        self.run(new, placing, first).await
    }

    async fn run(mut self, new: NewMatch, mut placing: Placing, mut step: Step) -> Outcome {
        loop {
            let answer = match step {
                Step::End(outcome) => return outcome,
                Step::Allocate { attempt, after } => {
                    tokio::time::sleep(after).await;
                    self.allocate(&new, attempt).await
                }
                Step::Release { after, reason } => {
                    tokio::time::sleep(after).await;
                    self.release_once(&new, &reason).await
                }
            };
            step = placing.next(answer, service::random::u64(), self.hurry.is_triggered());
        }
    }

    async fn allocate(&mut self, new: &NewMatch, attempt: u32) -> Answer {
        let request = pb::AllocateRequest {
            match_id: new.match_id.to_string(),
            attempt,
            fleet: new.queue.fleet.clone(),
            regions: new.regions.clone(),
            build: new.build.clone(),
            roster: new.roster.to_vec(),
            settings_json: new.queue.settings_json.clone(),
            trace_id: new.trace_id.clone(),
            wait_ms: u32::try_from(SERVER_WAIT.as_millis()).expect("seconds fit"),
            queue: new.queue.name.clone(),
            namespace: new.queue.source.namespace().to_owned(),
        };
        let call = self.client.allocate(with_deadline(request, ALLOCATE_DEADLINE));
        let answer = match tokio::time::timeout(ALLOCATE_DEADLINE, call).await {
            Ok(Ok(response)) => match response.into_inner().assignment {
                Some(assignment) if assignment.match_id == new.match_id.to_string() => {
                    Answer::Placed(Box::new(assignment))
                }
                _ => Answer::Unknown("the answer holds no assignment of this match".into()),
            },
            Ok(Err(status)) if status.code() == Code::ResourceExhausted => Answer::NoServer,
            Ok(Err(status)) => fault(&status),
            Err(_) => Answer::Unknown(format!("no answer within {} s", ALLOCATE_DEADLINE.as_secs())),
        };
        note("allocate", new, attempt, &answer);
        answer
    }

    async fn release_once(&mut self, new: &NewMatch, reason: &str) -> Answer {
        let request = pb::ReleaseMatchRequest { match_id: new.match_id.to_string(), reason: reason.to_owned() };
        let call = self.client.release_match(with_deadline(request, RELEASE_DEADLINE));
        let answer = match tokio::time::timeout(RELEASE_DEADLINE, call).await {
            Ok(Ok(_)) => Answer::Released,
            // A match that the allocator does not know needs no release.
            Ok(Err(status)) if status.code() == Code::NotFound => Answer::Released,
            Ok(Err(status)) => fault(&status),
            Err(_) => Answer::Unknown(format!("no answer within {} s", RELEASE_DEADLINE.as_secs())),
        };
        note("release", new, 0, &answer);
        answer
    }
}

fn with_deadline<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// What an error says about the call: refused for certain, or nobody knows.
fn fault(status: &Status) -> Answer {
    let text = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => Answer::Refused(text),
        _ => Answer::Unknown(text),
    }
}

fn note(call: &'static str, new: &NewMatch, attempt: u32, answer: &Answer) {
    let (match_id, trace_id) = (new.match_id, &new.trace_id);
    let outcome = match answer {
        Answer::Placed(_) => "placed",
        Answer::NoServer => "no_server",
        Answer::Refused(_) => "refused",
        Answer::Unknown(_) => "unknown",
        Answer::Released => "released",
    };
    metrics::attempt(call, outcome);
    match answer {
        Answer::Refused(reason) | Answer::Unknown(reason) => {
            tracing::warn!(%match_id, %trace_id, attempt, outcome, reason, "{call} did not succeed");
        }
        Answer::Placed(assignment) => {
            let (server_id, address) = (&assignment.server_id, &assignment.address);
            tracing::info!(%match_id, %trace_id, attempt, %server_id, %address, "match is placed");
        }
        Answer::NoServer | Answer::Released => {
            tracing::info!(%match_id, %trace_id, attempt, outcome, "{call} answered");
        }
    }
}
