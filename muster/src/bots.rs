//! `muster bots`: bots for a platform that runs already.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use game::Schema;
use loadtest::history::Recorder;
use loadtest::metagame::scenario::{self, ScenarioConfig, StepSummary};
use loadtest::{BotsConfig, Progress as BotsProgress, Report};
use service::Shutdown;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::{BotsOptions, Scenario};
use crate::exit::Failure;
use crate::http;
use crate::output::{Output, answer, remark};
use crate::played::PlayedGame;
use crate::progress::Progress;
use crate::trouble::TroubleOptions;
use crate::witness::Witness;

/// How long the platform may take to answer at the start.
const ANSWER: Duration = Duration::from_secs(5);

/// Runs bots until their time is up or Ctrl-C, and prints what came of it.
pub(crate) fn run(options: &BotsOptions) -> Result<ExitCode, Failure> {
    service::logs::init(&options.log, service::logs::Format::Auto);
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let seed = options.seed.unwrap_or_else(service::random::u64);
    let stop = Shutdown::new();
    if options.scenario == Scenario::Metagame {
        return runtime.block_on(menus(options, seed, &stop));
    }
    let report = runtime.block_on(play(options, seed, &stop))?;
    let mut faults = faults(&report);
    // Who stops the bots need not have waited for a match.
    if report.matches.is_empty() && !stop.is_triggered() {
        faults.push("no match was found: are there players enough for the queue, and game servers?".to_owned());
    }
    match options.output {
        Output::Json => answer(&serde_json::to_string(&report.summary()).expect("a summary is plain data"))?,
        Output::Text => answer(&text_of(&report, seed))?,
    }
    for fault in &faults {
        remark(&format!("fault: {fault}"));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn play(options: &BotsOptions, seed: u64, stop: &Shutdown) -> Result<Report, Failure> {
    answers(&options.url).await?;
    stop.on_signals().map_err(Failure::setup)?;
    let mut progress = Progress::new(options.seconds.unwrap_or(0));
    progress.step(&format!("{} bots (seed {seed}) on {}", options.players, options.url));
    let schema = PlayedGame::of(options.game.as_deref())?.for_bots()?.schema;
    let witness = Witness::start(&options.witness)?;
    let crowd = Crowd::new(&options.url, options.players, seed, &options.queue, schema)
        .witnessed_by(&witness.history)
        .in_trouble(&options.trouble);
    // Nobody breaks anything here.
    let mended = Shutdown::new();
    mended.trigger();
    let report = crowd.follow(stop, options.seconds, &mended, &mut progress).await;
    progress.finish();
    witness.finish().await?;
    report
}

/// Players who never play.
async fn menus(options: &BotsOptions, seed: u64, stop: &Shutdown) -> Result<ExitCode, Failure> {
    answers(&options.url).await?;
    stop.on_signals().map_err(Failure::setup)?;
    let mut progress = Progress::new(options.seconds.unwrap_or(0));
    progress.step(&format!("{} players in the menus (seed {seed}) on {}", options.players, options.url));
    let config = ScenarioConfig {
        url: options.url.clone(),
        players: options.players as usize,
        seed,
        queue: options.queue.clone(),
        pause_max: scenario::PAUSE_MAX,
        stop: CancellationToken::new(),
    };
    let over = config.stop.clone();
    let players = scenario::run(config);
    tokio::pin!(players);
    let length = Duration::from_secs(options.seconds.unwrap_or(u64::from(u32::MAX)));
    let report = tokio::select! {
        report = &mut players => report,
        () = async { tokio::select! { () = stop.wait() => {}, () = tokio::time::sleep(length) => {} } } => {
            over.cancel();
            players.await
        }
    };
    progress.finish();
    let summary = report.map_err(|error| Failure::setup(format!("{error:#}")))?.summary();
    match options.output {
        Output::Json => answer(&serde_json::to_string(&summary).expect("a summary is plain data"))?,
        Output::Text => answer(&table(&summary))?,
    }
    let faults: u64 = summary.values().flat_map(|step| step.wrong.values()).sum();
    if faults > 0 {
        remark(&format!("fault: {faults} requests were answered wrongly, or not at all"));
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn table(summary: &BTreeMap<&'static str, StepSummary>) -> String {
    let mut text = format!(
        "{:<12} {:>8} {:>9} {:>8} {:>8} {:>8}  to wait  wrong",
        "", "done", "per s", "p50 ms", "p95 ms", "p99 ms"
    );
    for (name, step) in summary {
        let wrong: Vec<String> = step.wrong.iter().map(|(status, count)| format!("{count} of {status}")).collect();
        text.push_str(&format!(
            "\n{name:<12} {:>8} {:>9.1} {:>8.1} {:>8.1} {:>8.1} {:>8}  {}",
            step.done,
            step.per_second,
            step.p50_ms,
            step.p95_ms,
            step.p99_ms,
            step.told_to_wait,
            wrong.join(", ")
        ));
    }
    text
}

/// Fails with what to do when no platform answers at the address.
async fn answers(url: &str) -> Result<(), Failure> {
    if reqwest::Url::parse(url).is_ok_and(|url| !url.has_host()) || !url.starts_with("http") {
        return Err(
            Failure::setup(format!("\"{url}\" is no address of a platform")).help("write it as http://host:port")
        );
    }
    let ask = async {
        let answer = http::client(ANSWER).get(format!("{}/.well-known/jwks.json", url.trim_end_matches('/'))).send();
        let answer = answer.await?;
        let is_good = answer.status().is_success();
        let text = answer.text().await?;
        Ok(is_good && serde_json::from_str(&text).is_ok_and(|keys: serde_json::Value| keys["keys"].is_array()))
    };
    match ask.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::setup(format!("what answers at {url} is no metagame API"))
            .help("name the address that `muster up` prints for metagame with --url")),
        Err(error) => {
            let error = anyhow::Error::from(reqwest::Error::without_url(error));
            Err(Failure::setup(format!("no platform answers at {url}: {error:#}"))
                .help("start one with `muster up`, or name another with --url"))
        }
    }
}

/// Bots that are about to play, and how to end them.
pub(crate) struct Crowd {
    config: BotsConfig,
    sender: watch::Sender<BotsProgress>,
    receiver: watch::Receiver<BotsProgress>,
}

impl Crowd {
    /// Bots for the platform at `url`; without a schema they play the reference game.
    pub(crate) fn new(url: &str, players: u32, seed: u64, queue: &str, schema: Option<Schema>) -> Self {
        let (sender, receiver) = watch::channel(BotsProgress::default());
        let config = BotsConfig {
            url: url.to_owned(),
            players: players as usize,
            seed,
            queue: queue.to_owned(),
            schema,
            network: None,
            churn: false,
            udp_share: 1.0,
            history: Recorder::default(),
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        };
        Self { config, sender, receiver }
    }

    /// Bots that write down what they see.
    pub(crate) fn witnessed_by(mut self, history: &Recorder) -> Self {
        self.config.history = history.clone();
        self
    }

    /// Bots that have to put up with this.
    pub(crate) fn in_trouble(mut self, trouble: &TroubleOptions) -> Self {
        self.config.network = trouble.conditions();
        self.config.churn = trouble.churn;
        self.config.udp_share = trouble.udp_share;
        self
    }

    /// Lets them play, showing what they do. They stop queueing after `seconds`, once everything is `mended`, or at `stop`, and play their matches
    /// to the end; a signal after that makes them leave at once.
    pub(crate) async fn follow(
        self,
        stop: &Shutdown,
        seconds: Option<u64>,
        mended: &Shutdown,
        progress: &mut Progress,
    ) -> Result<Report, Failure> {
        let (no_more, abort, receiver) = (self.config.stop.clone(), self.config.abort.clone(), self.receiver);
        let bots = loadtest::run(self.config, self.sender);
        tokio::pin!(bots);
        let hurry = Shutdown::new();
        let start = tokio::time::Instant::now();
        let mut beat = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                // They fail before the first match only: a wrong address, an unknown queue.
                report = &mut bots => return report.map_err(|error| Failure::setup(format!("{error:#}"))),
                () = hurry.wait(), if !abort.is_cancelled() => abort.cancel(),
                _ = beat.tick() => {
                    let second = start.elapsed().as_secs();
                    let has_time_passed = seconds.is_some_and(|seconds| second >= seconds) && mended.is_triggered();
                    let is_over = stop.is_triggered() || has_time_passed;
                    if is_over && !no_more.is_cancelled() {
                        no_more.cancel();
                        hurry.on_signals().map_err(Failure::setup)?;
                        progress.step("queueing is over, matches finish; Ctrl-C ends them now");
                    }
                    progress.update(second, &line(*receiver.borrow(), is_over));
                }
            }
        }
    }
}

fn line(p: BotsProgress, finishing: bool) -> String {
    let mut line = format!("{} queued, {} playing, {} games played", p.queued, p.playing, p.games_ended);
    for (count, what) in [(p.join_failures, "join failures"), (p.disconnects, "disconnects")] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    if finishing {
        line.push_str("; queueing is over, matches finish");
    }
    line
}

fn text_of(report: &Report, seed: u64) -> String {
    format!(
        "{} bots (seed {seed}) played {} games in {} matches\n  time to match  p50 {:.0} ms, p95 {:.0} ms\n  \
         round trip     p50 {:.1} ms, p99 {:.1} ms\n  snapshots      {:.0} bytes per client and second",
        report.players,
        report.games_ended,
        report.matches.len(),
        report.time_to_match.quantile_ms(0.5),
        report.time_to_match.quantile_ms(0.95),
        report.rtt.quantile_ms(0.5),
        report.rtt.quantile_ms(0.99),
        report.snapshot_bytes_per_client_s(),
    )
}

/// What the bots could not do, in words.
pub(crate) fn faults(report: &Report) -> Vec<String> {
    let mut faults: Vec<String> =
        report.join_failures.iter().map(|(reason, count)| format!("{count} joins failed: {reason}")).collect();
    for (count, what) in [
        (report.disconnects, "sessions ended before their match"),
        (report.games_missing, "games are missing in their player's history"),
    ] {
        if count > 0 {
            faults.push(format!("{count} {what}"));
        }
    }
    faults
}
