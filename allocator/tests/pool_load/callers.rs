//! Callers that ask for servers as the matchmaker does, at a pace or as fast as answers come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::pb::allocator_client::AllocatorClient;
use service::leader::LeaderChannel;
use service::token::TokenInterceptor;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;

use super::figures::{histogram, micros};
use super::ledger::Ledger;
use super::shown::Shown;

/// Every so manieth match is asked for twice: in turns at once, and again after the answer.
const ASK_AGAIN_EVERY: u64 = 20;
/// An answer that comes so long after its call was due is counted as late.
const LATE: Duration = Duration::from_millis(50);

/// The matchmaker's client.
pub(crate) type Client = AllocatorClient<InterceptedService<LeaderChannel, TokenInterceptor>>;

/// What the callers of a run share.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) shown: Arc<Shown>,
    /// Matches asked for so far.
    pub(crate) numbers: Arc<AtomicU64>,
}

/// What callers saw.
pub(crate) struct Outcome {
    /// From the moment at which a call was due to its answer, in microseconds: what a caller that is busy with its last call
    /// makes the next one wait counts.
    pub(crate) latency: Histogram<u64>,
    /// From the call to its answer.
    pub(crate) call: Histogram<u64>,
    /// Calls without a server, by status.
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) late: u64,
    /// Calls that fell due and were not made: every caller was busy.
    pub(crate) unsent: u64,
    /// Calls for a match that was asked for before.
    pub(crate) retries: u64,
    pub(crate) took: Duration,
}

impl Outcome {
    fn new() -> Self {
        Self {
            latency: histogram(),
            call: histogram(),
            refused: BTreeMap::new(),
            late: 0,
            unsent: 0,
            retries: 0,
            took: Duration::ZERO,
        }
    }

    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("equal bounds");
        self.call.add(&other.call).expect("equal bounds");
        for (status, count) in &other.refused {
            *self.refused.entry(status.clone()).or_default() += count;
        }
        self.late += other.late;
        self.unsent += other.unsent;
        self.retries += other.retries;
    }
}

/// Lets every client call for `length`: together `rate` matches per second, or without a pace.
pub(crate) async fn run(clients: &[Client], desk: &Desk, rate: Option<f64>, length: Duration) -> Outcome {
    let began = Instant::now();
    let pace = rate.map(|rate| Pace { began, each: Duration::from_secs_f64(1.0 / rate), callers: clients.len() });
    let mut tasks = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        let caller = Caller { client: client.clone(), desk: desk.clone(), outcome: Outcome::new() };
        tasks.spawn(caller.run(number, pace, began + length));
    }
    let mut outcome = Outcome::new();
    while let Some(done) = tasks.join_next().await {
        outcome.add(&done.expect("no caller panics"));
    }
    outcome.took = began.elapsed();
    outcome
}

/// Calls at equal distances, dealt out to the callers in turn.
#[derive(Clone, Copy)]
struct Pace {
    began: Instant,
    each: Duration,
    callers: usize,
}

impl Pace {
    fn due(&self, caller: usize, turn: u32) -> Instant {
        let place = u32::try_from(caller).expect("few callers") + turn * u32::try_from(self.callers).expect("few");
        self.began + self.each * place
    }
}

struct Caller {
    client: Client,
    desk: Desk,
    outcome: Outcome,
}

impl Caller {
    async fn run(mut self, number: usize, pace: Option<Pace>, until: Instant) -> Outcome {
        for turn in 0.. {
            let due = pace.map_or_else(Instant::now, |pace| pace.due(number, turn));
            if due >= until {
                break;
            }
            tokio::time::sleep_until(due).await;
            if Instant::now() >= until {
                self.outcome.unsent += 1;
                continue;
            }
            self.ask(due).await;
        }
        self.outcome
    }

    /// One match, and now and then a retry of it.
    async fn ask(&mut self, due: Instant) {
        let number = self.desk.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let (is_again, at_once) = (number.is_multiple_of(ASK_AGAIN_EVERY), number.is_multiple_of(2 * ASK_AGAIN_EVERY));
        let mut twin = self.client.clone();
        let again = async {
            match is_again && at_once {
                true => Some(twin.allocate(request(number, 2)).await),
                false => None,
            }
        };
        let began = Instant::now();
        let first = async {
            let answer = self.client.allocate(request(number, 1)).await;
            (answer, Instant::now())
        };
        let ((answer, at), again) = tokio::join!(first, again);
        let is_placed = answer.is_ok();
        match self.desk.take(number, answer, at) {
            Ok(()) => {
                self.outcome.latency.record(micros(at.duration_since(due))).expect("in range");
                self.outcome.call.record(micros(at.duration_since(began))).expect("in range");
                self.outcome.late += u64::from(at.duration_since(due) > LATE);
            }
            Err(status) => self.refused(&status),
        }
        let again = match again {
            None if is_again && is_placed => Some(self.client.allocate(request(number, 3)).await),
            again => again,
        };
        if let Some(answer) = again {
            self.outcome.retries += 1;
            if let Err(status) = self.desk.take(number, answer, Instant::now()) {
                self.refused(&status);
            }
        }
    }

    fn refused(&mut self, status: &Status) {
        *self.outcome.refused.entry(format!("{:?}", status.code())).or_default() += 1;
    }
}

impl Desk {
    /// Writes down where a match is said to be.
    fn take(
        &self,
        number: u64,
        answer: Result<tonic::Response<pb::AllocateResponse>, Status>,
        at: Instant,
    ) -> Result<(), Status> {
        let assignment = answer?.into_inner().assignment.expect("an assignment");
        let server = assignment.server_id.parse().expect("an id");
        self.ledger.told(match_id(number), server);
        self.shown.acknowledged(server, at.into_std());
        Ok(())
    }
}

fn bytes(kind: u8, seat: u8, number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    (bytes[0], bytes[1]) = (kind, seat);
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn match_id(number: u64) -> MatchId {
    MatchId::from_entropy(bytes(1, 0, number))
}

/// A duel.
fn request(number: u64, attempt: u32) -> pb::AllocateRequest {
    let entry = |team: u8| pb::RosterEntry {
        player_id: PlayerId::from_entropy(bytes(2, team, number)).to_string(),
        team: u32::from(team),
        name: format!("player {team}"),
        party_id: String::new(),
    };
    pb::AllocateRequest {
        match_id: match_id(number).to_string(),
        attempt,
        fleet: "arena".into(),
        roster: (0..2).map(entry).collect(),
        settings_json: r#"{"mode":"duel","seconds":60}"#.into(),
        trace_id: "0123456789abcdef0123456789abcdef".into(),
        wait_ms: 5_000,
        queue: "duel".into(),
        ..Default::default()
    }
}
