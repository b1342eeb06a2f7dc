//! Keeping connections busy, and counting what came of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::connection::{Answer, Connection};

/// Makes requests: the number of the connection, and of the request on it.
pub type Script = Arc<dyn Fn(usize, u64) -> Vec<u8> + Send + Sync>;

/// What came of a load.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How long each good answer took, in microseconds.
    pub latency: Histogram<u64>,
    /// Answers outside 200–299 by status; 0 stands for connections that broke.
    pub wrong: BTreeMap<u16, u64>,
    /// What the first of them said.
    pub first_wrong: Option<String>,
    /// Seconds that were measured.
    pub seconds: f64,
}

/// Longest latency that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;

/// A histogram of microseconds, up to a minute. One without bounds takes everything for the 2 ms that it begins with.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order and three digits are allowed")
}

/// Counts what something took.
pub fn record(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record((took.as_micros() as u64).max(1));
}

impl Default for Outcome {
    fn default() -> Self {
        Self { latency: latencies(), wrong: BTreeMap::new(), first_wrong: None, seconds: 0.0 }
    }
}

impl Outcome {
    /// Good answers per second.
    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.latency.len() as f64 / self.seconds } else { 0.0 }
    }

    /// The latency that this share of the good answers did not exceed, in milliseconds.
    pub fn ms(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1_000.0
    }

    /// Answers that were not good.
    pub fn failed(&self) -> u64 {
        self.wrong.values().sum()
    }

    fn count(&mut self, answer: std::io::Result<Answer>, took: Duration) {
        let (status, said) = match answer {
            Ok(answer) if (200..300).contains(&answer.status) => {
                record(&mut self.latency, took);
                return;
            }
            Ok(answer) => (answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
            Err(error) => (0, error.to_string()),
        };
        *self.wrong.entry(status).or_default() += 1;
        self.first_wrong.get_or_insert(said);
    }

    /// Adds what another connection saw in the same time.
    pub fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("both have three digits and no bounds");
        for (status, count) in &other.wrong {
            *self.wrong.entry(*status).or_default() += count;
        }
        if self.first_wrong.is_none() {
            self.first_wrong.clone_from(&other.first_wrong);
        }
        self.seconds = self.seconds.max(other.seconds);
    }
}

/// How much, for how long.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// What goes before and is not counted.
    pub warm_up: Duration,
    /// What is measured.
    pub length: Duration,
}

/// Every connection sends its next request as soon as it has its answer.
pub async fn flat_out(address: SocketAddr, load: Load, script: Script) -> Outcome {
    let start = Instant::now() + load.warm_up;
    let mut tasks = JoinSet::new();
    for number in 0..load.connections {
        let script = Arc::clone(&script);
        tasks.spawn(async move {
            let (mut connection, mut outcome) = (Connection::new(address), Outcome::default());
            for round in 0.. {
                let begun = Instant::now();
                if begun >= start + load.length {
                    break;
                }
                let answer = connection.send(&script(number, round)).await;
                if begun >= start {
                    outcome.count(answer, begun.elapsed());
                }
            }
            outcome
        });
    }
    all(tasks, load.length).await
}

/// So many requests a second in all, whatever the answers take: a request that has to wait for its connection took that
/// time, too.
pub async fn paced(address: SocketAddr, load: Load, per_second: f64, script: Script) -> Outcome {
    let start = Instant::now() + load.warm_up;
    let gap = Duration::from_secs_f64(load.connections as f64 / per_second);
    let mut tasks = JoinSet::new();
    for number in 0..load.connections {
        let script = Arc::clone(&script);
        let mut due = Instant::now() + gap.mul_f64(number as f64 / load.connections as f64);
        tasks.spawn(async move {
            let (mut connection, mut outcome) = (Connection::new(address), Outcome::default());
            for round in 0.. {
                if due >= start + load.length {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                let answer = connection.send(&script(number, round)).await;
                if due >= start {
                    outcome.count(answer, due.elapsed());
                }
                due += gap;
            }
            outcome
        });
    }
    all(tasks, load.length).await
}

async fn all(mut tasks: JoinSet<Outcome>, length: Duration) -> Outcome {
    let mut whole = Outcome { seconds: length.as_secs_f64(), ..Outcome::default() };
    while let Some(one) = tasks.join_next().await {
        whole.add(&one.expect("a connection's task does not panic"));
    }
    whole
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::super::connection::request;
    use super::*;

    async fn server() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = axum::Router::new()
            .route("/good", get(async || "fine"))
            .route("/bad", get(async || (StatusCode::CONFLICT, "no")));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }

    #[test]
    fn latencies_are_told_apart_up_to_a_minute() {
        let mut outcome = Outcome::default();
        for took in [Duration::from_micros(300), Duration::from_millis(25), Duration::from_secs(7)] {
            outcome.count(Ok(Answer { status: 200, body: Vec::new() }), took);
        }
        let near = |ms: f64, expected: f64| (ms - expected).abs() < expected / 500.0;
        assert!(
            near(outcome.ms(0.1), 0.3) && near(outcome.ms(0.5), 25.0) && near(outcome.ms(1.0), 7_000.0),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn good_answers_are_timed_and_others_counted_by_status() {
        let address = server().await;
        let load = Load { connections: 4, warm_up: Duration::from_millis(50), length: Duration::from_millis(300) };
        let script: Script = Arc::new(|number, round| {
            let path = if number == 0 && round % 2 == 0 { "/bad" } else { "/good" };
            request("GET", path, &[], b"")
        });
        let outcome = flat_out(address, load, Arc::clone(&script)).await;
        assert!(!outcome.latency.is_empty() && outcome.per_second() > 0.0);
        assert_eq!(outcome.wrong.keys().collect::<Vec<_>>(), [&409]);
        assert_eq!(outcome.first_wrong.as_deref(), Some("no"));
        let slow = paced(address, load, 100.0, script).await;
        assert!(slow.latency.len() + slow.failed() <= 35, "{slow:?}");
    }
}
