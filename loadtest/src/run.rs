//! Many bots at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arena::random::Random;
use game::{Game as _, Schema};
use netcode::emulator::Conditions;
use netcode::endpoint::Carrier;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::bot::Bot;
use crate::history::Recorder;
use crate::report::{Report, count};

/// Most bots of one run: each holds a socket.
pub const BOTS_MAX: usize = 4_000;
/// Over how long the first logins are spread, per bot.
const LOGIN_SPREAD: Duration = Duration::from_millis(15);

/// Which bots play where.
#[derive(Debug, Clone)]
pub struct BotsConfig {
    /// Metagame's base URL, `http://host:port`.
    pub url: String,
    /// Number of bots, 1 to [`BOTS_MAX`].
    pub players: usize,
    /// Seed of the bots' play and of their accounts: the same seed plays with the same accounts again.
    pub seed: u64,
    /// The queue to play in.
    pub queue: String,
    /// The game that is played, as its server's `--print-schema` tells; `None`: the arena. Bots know the arena's rules; any
    /// other game they play by its schema alone.
    pub schema: Option<Schema>,
    /// How bad the network between bots and servers is, in each direction.
    pub network: Option<Conditions>,
    /// Share of bots that begin on native UDP, 0 to 1; the others begin on QUIC.
    pub udp_share: f64,
    /// In every match, one bot is killed and started again, one changes its address, and one its carrier.
    pub churn: bool,
    /// Where the bots write down what they see.
    pub history: Recorder,
    /// Cancelled: no new tickets, tickets that still wait are cancelled, running matches are played to their end.
    pub stop: CancellationToken,
    /// Cancelled: all bots leave at once.
    pub abort: CancellationToken,
}

/// Where all bots stand, for showing while they play.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bots that have logged in.
    pub logged_in: u64,
    /// Bots that wait for a match.
    pub queued: u64,
    /// Bots in a session.
    pub playing: u64,
    /// Times that a bot played a match to its end.
    pub games_ended: u64,
    /// Attempts to enter a match that failed.
    pub join_failures: u64,
    /// Sessions that ended before their match.
    pub disconnects: u64,
}

/// What all bots of a run have in common.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The queue.
    pub queue: String,
    /// The game.
    pub schema: Arc<Schema>,
    /// Its regions.
    pub regions: Vec<String>,
    /// See [`BotsConfig::network`].
    pub network: Option<Conditions>,
    /// See [`BotsConfig::churn`].
    pub churn: bool,
    /// See [`BotsConfig::history`].
    pub history: Recorder,
    /// See [`BotsConfig::stop`].
    pub stop: CancellationToken,
    /// See [`BotsConfig::abort`].
    pub abort: CancellationToken,
    /// Where bots count.
    pub progress: watch::Sender<Progress>,
}

/// Lets bots play until they are stopped; returns what they measured.
///
/// # Errors
/// When the configuration makes no sense, or no bot could log in at all.
pub async fn run(config: BotsConfig, progress: watch::Sender<Progress>) -> anyhow::Result<Report> {
    anyhow::ensure!((1..=BOTS_MAX).contains(&config.players), "the number of bots must be 1 to {BOTS_MAX}");
    // A proxy would be measured as well, and has no way to a platform on this machine.
    let http = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .pool_max_idle_per_host(config.players.min(64))
        .build()
        .context("failed to set up the HTTP client")?;
    let mut seeds = Random::new(config.seed);
    let first_seed = seeds.next_u64();
    let mut first = account(&http, &config, 0, first_seed);
    first.login().await.with_context(|| format!("no bot can log in at {}", config.url))?;
    let queues = first.queues().await.context("failed to list the queues")?;
    let names: Vec<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
    let queue = queues.iter().find(|queue| queue.name == config.queue);
    let queue = queue.with_context(|| format!("there is no queue \"{}\", only: {}", config.queue, names.join(", ")))?;
    let shared = Shared {
        queue: config.queue.clone(),
        schema: Arc::new(config.schema.clone().unwrap_or_else(arena::Arena::schema)),
        regions: queue.regions.clone(),
        network: config.network,
        churn: config.churn,
        history: config.history.clone(),
        stop: config.stop.clone(),
        abort: config.abort.clone(),
        progress,
    };
    let mut bots = JoinSet::new();
    bots.spawn(live(first, (first_seed, carrier(0, config.udp_share)), Duration::ZERO, shared.clone()));
    for number in 1..config.players {
        let seed = seeds.next_u64();
        let wait = LOGIN_SPREAD * u32::try_from(number).unwrap_or(u32::MAX);
        let kind = (seed, carrier(number, config.udp_share));
        bots.spawn(live(account(&http, &config, number, seed), kind, wait, shared.clone()));
    }
    let mut report = Report::default();
    while let Some(ended) = bots.join_next().await {
        report.merge(ended.context("a bot panicked")?);
    }
    Ok(report)
}

/// The account of the bot with this number.
fn account(http: &reqwest::Client, config: &BotsConfig, number: usize, seed: u64) -> Api {
    let mut random = Random::new(seed);
    let device_id = format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
    Api::new(http.clone(), &config.url, device_id, format!("Bot {}", number + 1), random.next_u64())
}

/// What carries the packets of the bot with this number: the share of native UDP is spread evenly over the numbers.
fn carrier(number: usize, udp_share: f64) -> Carrier {
    let over_udp = |bots: usize| (bots as f64 * udp_share).round();
    if over_udp(number + 1) > over_udp(number) { Carrier::Native } else { Carrier::Quic }
}

/// One bot's task: logs in after `wait`, then lives.
async fn live(mut api: Api, (seed, carrier): (u64, Carrier), wait: Duration, shared: Shared) -> Report {
    tokio::select! {
        () = shared.abort.cancelled() => return Report::default(),
        () = tokio::time::sleep(wait) => {}
    }
    let player = match api.login().await {
        Ok(player) => player,
        Err(error) => {
            tracing::error!(%error, "a bot cannot log in");
            let mut report = Report { api_failures: api.failures, ..Report::default() };
            count(&mut report.api_failures, "login");
            return report;
        }
    };
    shared.progress.send_modify(|progress| progress.logged_in += 1);
    Bot::new(api, player, (seed, carrier), &shared).live().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_native_udp_is_kept_by_any_crowd() {
        for (share, expected) in [(0.0, 0), (0.25, 12), (0.5, 24), (1.0, 48)] {
            let carriers: Vec<_> = (0..48).map(|number| carrier(number, share)).collect();
            assert_eq!(carriers.iter().filter(|carrier| **carrier == Carrier::Native).count(), expected);
            assert!(share != 0.5 || carriers.windows(2).all(|pair| pair[0] != pair[1]), "each match has both");
        }
    }
}
