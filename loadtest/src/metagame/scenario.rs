//! Players in the menus of a game: they log in, look around, and never play. For any installation, over TLS too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::{Client, Method, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::load::{latencies, record};
use super::session::device;

/// Longest pause between two things that a player does; on average it is half of that.
pub const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Longest pause that a server may ask for and get.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Who does what, and where.
#[derive(Debug, Clone)]
pub struct ScenarioConfig {
    /// The metagame API.
    pub url: String,
    /// Players at once.
    pub players: usize,
    /// Decides their devices and what they do.
    pub seed: u64,
    /// A queue, whose leaderboard they look at.
    pub queue: String,
    /// Longest pause of a player, such as [`PAUSE_MAX`].
    pub pause_max: Duration,
    /// Ends the scenario.
    pub stop: CancellationToken,
}

/// What players do besides logging in: method, path, and how often, of 100 times.
const STEPS: [(&str, Method, &str, u64); 9] = [
    ("account", Method::GET, "/v1/players/me", 25),
    ("leaderboard", Method::GET, "/v1/leaderboards/{queue}", 15),
    ("wallet", Method::GET, "/v1/players/me/wallet", 12),
    ("inventory", Method::GET, "/v1/players/me/inventory?limit=100", 12),
    ("offers", Method::GET, "/v1/store/offers", 10),
    ("inbox", Method::GET, "/v1/players/me/inbox", 10),
    ("friends", Method::GET, "/v1/players/me/friends", 6),
    ("presence", Method::PUT, "/v1/presence", 6),
    ("sessions", Method::GET, "/v1/auth/sessions", 4),
];

/// What came of it, by step.
#[derive(Debug, Clone, Default)]
pub struct ScenarioReport {
    /// Answers by step.
    pub steps: BTreeMap<&'static str, StepReport>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What came of one kind of request.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// What good answers took, in microseconds.
    pub latency: Histogram<u64>,
    /// Answers that said to come back later, which is no fault.
    pub told_to_wait: u64,
    /// Other answers by status; 0 stands for connections that broke.
    pub wrong: BTreeMap<u16, u64>,
}

impl Default for StepReport {
    fn default() -> Self {
        Self { latency: latencies(), told_to_wait: 0, wrong: BTreeMap::new() }
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepSummary {
    /// Good answers.
    pub done: u64,
    /// Good answers per second.
    pub per_second: f64,
    /// Latency of the good answers in milliseconds.
    pub p50_ms: f64,
    /// Latency of the good answers in milliseconds.
    pub p95_ms: f64,
    /// Latency of the good answers in milliseconds.
    pub p99_ms: f64,
    /// Answers that said to come back later.
    pub told_to_wait: u64,
    /// Other answers by status; 0 stands for connections that broke.
    pub wrong: BTreeMap<u16, u64>,
}

impl ScenarioReport {
    /// The figures.
    pub fn summary(&self) -> BTreeMap<&'static str, StepSummary> {
        let line = |(name, step): (&&'static str, &StepReport)| {
            let ms = |share| step.latency.value_at_quantile(share) as f64 / 1_000.0;
            let summary = StepSummary {
                done: step.latency.len(),
                per_second: (step.latency.len() as f64 / self.seconds.max(0.001) * 10.0).round() / 10.0,
                p50_ms: ms(0.5),
                p95_ms: ms(0.95),
                p99_ms: ms(0.99),
                told_to_wait: step.told_to_wait,
                wrong: step.wrong.clone(),
            };
            (*name, summary)
        };
        self.steps.iter().map(line).collect()
    }

    fn add(&mut self, other: Self) {
        for (name, step) in other.steps {
            let own = self.steps.entry(name).or_default();
            own.latency.add(&step.latency).expect("both have three digits and no bounds");
            own.told_to_wait += step.told_to_wait;
            for (status, count) in step.wrong {
                *own.wrong.entry(status).or_default() += count;
            }
        }
    }
}

/// Lets players come and go until they are told to stop.
///
/// # Errors
/// When the address is none.
pub async fn run(config: ScenarioConfig) -> anyhow::Result<ScenarioReport> {
    reqwest::Url::parse(&config.url)?;
    let begun = Instant::now();
    let mut players = JoinSet::new();
    for number in 0..config.players {
        players.spawn(Player::new(&config, number as u64)?.live(config.stop.clone()));
    }
    let mut report = ScenarioReport::default();
    while let Some(one) = players.join_next().await {
        report.add(one?);
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

struct Player {
    http: Client,
    url: String,
    queue: String,
    device_id: String,
    pause_max: Duration,
    access: Option<String>,
    random: u64,
    report: ScenarioReport,
}

impl Player {
    fn new(config: &ScenarioConfig, number: u64) -> anyhow::Result<Self> {
        // Each has connections of its own, as each has a machine of its own.
        let http = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self {
            http,
            url: config.url.trim_end_matches('/').to_owned(),
            queue: config.queue.clone(),
            device_id: device(config.seed, number),
            pause_max: config.pause_max,
            access: None,
            random: config.seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1,
            report: ScenarioReport::default(),
        })
    }

    async fn live(mut self, stop: CancellationToken) -> ScenarioReport {
        while !stop.is_cancelled() {
            let pause = Duration::from_micros(self.next(self.pause_max.as_micros().max(1) as u64));
            let wait = match self.access.clone() {
                None => self.login().await,
                Some(access) => self.look(&access).await,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause + wait) => {}
            }
        }
        self.report
    }

    /// A number below `of` (xorshift64: what players do next need not be better than that).
    fn next(&mut self, of: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % of
    }

    async fn login(&mut self) -> Duration {
        let body = json!({ "device_id": self.device_id });
        let (answer, wait) = self.ask("login", Method::POST, "/v1/auth/device", None, Some(&body)).await;
        self.access = answer.and_then(|body| Some(body["access_token"].as_str()?.to_owned()));
        wait
    }

    async fn look(&mut self, access: &str) -> Duration {
        let mut ticket = self.next(STEPS.iter().map(|(_, _, _, weight)| weight).sum());
        let step = STEPS.iter().find(|(_, _, _, weight)| {
            let is_it = ticket < *weight;
            ticket = ticket.saturating_sub(*weight);
            is_it
        });
        let (name, method, path, _) = step.expect("the number is below the sum of the weights");
        let path = path.replace("{queue}", &self.queue);
        let body = (*method == Method::PUT).then(|| json!({ "status": "online" }));
        self.ask(name, method.clone(), &path, Some(access), body.as_ref()).await.1
    }

    /// Asks, and counts. Returns the good answer's body, and how long the server wants to be left alone.
    async fn ask(
        &mut self,
        step: &'static str,
        method: Method,
        path: &str,
        access: Option<&str>,
        body: Option<&Value>,
    ) -> (Option<Value>, Duration) {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(access) = access {
            request = request.bearer_auth(access);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let begun = Instant::now();
        let answer = request.send().await;
        let took = begun.elapsed();
        let report = self.report.steps.entry(step).or_default();
        let Ok(answer) = answer else {
            *report.wrong.entry(0).or_default() += 1;
            return (None, Duration::from_secs(1));
        };
        let (status, wait) = (answer.status(), wait_of(&answer));
        if status.is_success() {
            record(&mut report.latency, took);
            return (answer.json().await.ok(), Duration::ZERO);
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => report.told_to_wait += 1,
            // Tokens expire: it logs in again.
            StatusCode::UNAUTHORIZED => self.access = None,
            other => *report.wrong.entry(other.as_u16()).or_default() += 1,
        }
        (None, wait)
    }
}

fn wait_of(answer: &Response) -> Duration {
    let seconds = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::{get, post};

    use super::*;

    async fn server() -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let busy = async || (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")]);
        let routes = axum::Router::new()
            .route("/v1/auth/device", post(async || axum::Json(json!({ "access_token": "t" }))))
            .route("/v1/players/me", get(async || "{}"))
            .route("/v1/players/me/wallet", get(busy));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }

    #[tokio::test]
    async fn players_log_in_look_around_and_are_counted() {
        let stop = CancellationToken::new();
        let config = ScenarioConfig {
            url: format!("http://{}", server().await),
            players: 8,
            seed: 7,
            queue: "q".into(),
            pause_max: Duration::from_millis(2),
            stop: stop.clone(),
        };
        let scenario = tokio::spawn(run(config));
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.cancel();
        let summary = scenario.await.expect("no panic").expect("an address").summary();
        assert_eq!(summary["login"].done, 8);
        assert!(summary["account"].p50_ms > 0.0 && summary["account"].done > 0 && summary["account"].wrong.is_empty());
        assert!(
            summary["wallet"].done == 0 && summary["wallet"].told_to_wait > 0 && summary["wallet"].wrong.is_empty()
        );
        assert_eq!(summary["offers"].wrong.keys().collect::<Vec<_>>(), [&404]);
    }

    #[test]
    fn the_weights_are_of_100() {
        assert_eq!(STEPS.iter().map(|(_, _, _, weight)| weight).sum::<u64>(), 100);
    }
}
