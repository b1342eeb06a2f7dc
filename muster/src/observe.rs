//! Follows the allocator's match events and adds up what the matches cost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use loadtest::history::{Event, Recorder};
use protocol::id::MatchId;
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::{MatchEvent, MatchEventKind, MatchStats, WatchMatchesRequest};
use protocol::token::ALLOCATOR_AUDIENCE;
use service::Shutdown;
use service::backoff::Backoff;
use service::token::{ServiceTokens, with_token};

/// How far a match has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Started,
    Ended,
    Lost,
    /// It ran when the platform was killed: there may be a result of it, or nothing.
    Cut,
}

/// A match that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningMatch {
    pub(crate) match_id: MatchId,
    /// Name of its server.
    pub(crate) server: String,
    /// Whether someone has joined it.
    pub(crate) is_playing: bool,
}

/// What all matches so far add up to.
#[derive(Debug)]
pub(crate) struct Totals {
    stages: BTreeMap<String, Stage>,
    /// Matches that are not over.
    running: BTreeMap<String, RunningMatch>,
    /// What was seen is written down here.
    history: Recorder,
    /// Allocate to Joinable, in microseconds.
    pub(crate) allocation_us: Histogram<u64>,
    /// Time of each tick, in microseconds.
    pub(crate) tick_us: Histogram<u64>,
    /// Sums over the matches that ended.
    pub(crate) stats: MatchStats,
}

impl Totals {
    fn new(history: Recorder) -> Self {
        let histogram = || Histogram::new_with_max(60_000_000, 3).expect("three digits up to a minute are valid");
        Self {
            stages: BTreeMap::new(),
            running: BTreeMap::new(),
            history,
            allocation_us: histogram(),
            tick_us: histogram(),
            stats: MatchStats::default(),
        }
    }

    fn count(&self, stage: Stage) -> u64 {
        self.stages.values().filter(|s| **s == stage).count() as u64
    }

    /// Matches that became joinable.
    pub(crate) fn started(&self) -> u64 {
        self.stages.len() as u64
    }

    /// Matches that ended by the game's rules.
    pub(crate) fn completed(&self) -> u64 {
        self.count(Stage::Ended)
    }

    /// Matches whose server was lost.
    pub(crate) fn lost(&self) -> u64 {
        self.count(Stage::Lost)
    }

    /// Matches that neither ended nor were lost.
    pub(crate) fn running(&self) -> u64 {
        self.count(Stage::Started)
    }

    fn add(&mut self, event: &MatchEvent) {
        self.note(event);
        let stage = match event.kind() {
            MatchEventKind::Joinable => {
                // Zero where a new leader learned of a running match.
                if event.allocation_us > 0 {
                    self.allocation_us.saturating_record(event.allocation_us);
                }
                Stage::Started
            }
            MatchEventKind::Ended => Stage::Ended,
            MatchEventKind::Lost => Stage::Lost,
            MatchEventKind::Playing | MatchEventKind::Closed | MatchEventKind::Unspecified => return,
        };
        let before = self.stages.get(&event.match_id).copied();
        // A new allocator tells of its matches from their begin; a match that was lost may end after all.
        if stage == Stage::Started && before.is_some() || before == Some(Stage::Ended) {
            return;
        }
        self.stages.insert(event.match_id.clone(), stage);
        if before != Some(stage)
            && let Some(stats) = &event.stats
        {
            self.add_stats(stats);
        }
    }

    /// Keeps the list of running matches, and writes the history.
    fn note(&mut self, event: &MatchEvent) {
        let Ok(match_id) = event.match_id.parse::<MatchId>() else { return };
        let (key, reason) = (&event.match_id, event.reason.clone());
        let seen = match event.kind() {
            MatchEventKind::Joinable => {
                let server = event.server_name.clone();
                if !self.stages.contains_key(key) {
                    let running = RunningMatch { match_id, server: server.clone(), is_playing: false };
                    self.running.insert(key.clone(), running);
                }
                let players = event.roster.iter().filter_map(|entry| entry.player_id.parse().ok()).collect();
                Event::Started { match_id, server, players }
            }
            MatchEventKind::Playing => {
                if let Some(running) = self.running.get_mut(key) {
                    running.is_playing = true;
                }
                return;
            }
            MatchEventKind::Ended => Event::Ended { match_id, reason },
            MatchEventKind::Lost => Event::Lost { match_id, reason },
            MatchEventKind::Closed | MatchEventKind::Unspecified => return,
        };
        if !matches!(seen, Event::Started { .. }) {
            self.running.remove(key);
        }
        self.history.record_at(event.at_ms, seen);
    }

    fn add_stats(&mut self, stats: &MatchStats) {
        let sum = &mut self.stats;
        sum.ticks += stats.ticks;
        sum.tick_overruns += stats.tick_overruns;
        sum.ticks_skipped += stats.ticks_skipped;
        sum.snapshot_bytes += stats.snapshot_bytes;
        sum.client_ms += stats.client_ms;
        sum.joins += stats.joins;
        sum.join_failures += stats.join_failures;
        sum.disconnects += stats.disconnects;
        sum.reconnects += stats.reconnects;
        sum.udp_clients += stats.udp_clients;
        sum.quic_clients += stats.quic_clients;
        let ticks: Option<Histogram<u64>> = Deserializer::new().deserialize(&mut stats.tick_us.as_slice()).ok();
        if let Some(ticks) = ticks {
            for value in ticks.iter_recorded() {
                self.tick_us.saturating_record_n(value.value_iterated_to(), value.count_at_value());
            }
        }
    }
}

/// Follows match events until shutdown; the totals can be read at any time.
#[derive(Debug, Clone)]
pub(crate) struct Observer {
    totals: Arc<Mutex<Totals>>,
}

impl Observer {
    /// Starts to follow the allocator at `address` (`http://host:port`), and writes what it sees into the history.
    pub(crate) fn start(
        address: &str,
        tokens: ServiceTokens,
        shutdown: Shutdown,
        history: Recorder,
    ) -> Result<Self, service::grpc::AddressError> {
        let channel = service::leader::leader_channel(address)?;
        let client = AllocatorClient::with_interceptor(channel, with_token(tokens, ALLOCATOR_AUDIENCE));
        let observer = Self { totals: Arc::new(Mutex::new(Totals::new(history))) };
        let follower = observer.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = follower.follow(client) => {}
            }
        });
        Ok(observer)
    }

    /// The platform was killed: no match runs any more.
    pub(crate) fn cut_off(&self) {
        let totals = &mut *self.totals();
        totals.running.clear();
        totals.stages.values_mut().filter(|stage| **stage == Stage::Started).for_each(|stage| *stage = Stage::Cut);
    }

    /// Matches that are not over, as far as known.
    pub(crate) fn running(&self) -> Vec<RunningMatch> {
        self.totals().running.values().cloned().collect()
    }

    /// The totals so far.
    pub(crate) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn follow<T>(&self, mut client: AllocatorClient<T>)
    where
        T: tonic::client::GrpcService<tonic::body::Body> + Clone,
        T::Error: Into<tonic::codegen::StdError>,
        T::ResponseBody: tonic::codegen::Body<Data = tonic::codegen::Bytes> + Send + 'static,
        <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
    {
        let (mut cursor, mut log_id) = (0, String::new());
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            match client.watch_matches(WatchMatchesRequest { cursor }).await {
                Ok(answer) => {
                    let mut events = answer.into_inner();
                    loop {
                        let event = match events.message().await {
                            Ok(Some(event)) => event,
                            // A new allocator may find out only now that the cursor is not of its log.
                            Err(status) if status.code() == tonic::Code::OutOfRange => {
                                cursor = 0;
                                break;
                            }
                            Ok(None) | Err(_) => break,
                        };
                        backoff.reset();
                        // Another log: its cursors began again, so what came before this event was skipped.
                        if log_id != event.log_id {
                            let is_first = log_id.is_empty();
                            log_id.clone_from(&event.log_id);
                            if !is_first && cursor > 0 {
                                cursor = 0;
                                break;
                            }
                        }
                        cursor = event.cursor;
                        self.totals().add(&event);
                    }
                }
                Err(status) if status.code() == tonic::Code::OutOfRange => cursor = 0,
                Err(status) => tracing::debug!(%status, "match events are away"),
            }
            tokio::time::sleep(backoff.next(service::random::u64())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};

    use super::*;
    use crate::platform::ServiceData;

    /// An allocator at this address.
    async fn allocator_at(data: &ServiceData, at: std::net::SocketAddr) -> (allocator::Running, Shutdown) {
        let any = "127.0.0.1:0".parse().expect("an address");
        let stop = Shutdown::new();
        let config = allocator::Config { epoch: 1, ..data.allocator(at, any).expect("a folder of its own") };
        (allocator::start(config, stop.clone()).await.expect("the address is free"), stop)
    }

    /// Makes it write into its log that matches are lost: those that a caller believes in and it never knew.
    async fn lose(data: &ServiceData, allocator: &allocator::Running, lost: std::ops::Range<u8>) {
        let channel = service::grpc::channel(&format!("http://{}", allocator.address)).expect("an address");
        let tokens = ServiceTokens::new(Arc::clone(&data.service_key), "metagame");
        let mut client = AllocatorClient::with_interceptor(channel, with_token(tokens, ALLOCATOR_AUDIENCE));
        let match_ids = lost.map(|n| MatchId::from_entropy([n; 16]).to_string()).collect();
        client.audit_matches(protocol::pb::AuditMatchesRequest { match_ids }).await.expect("an answer");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_observer_that_missed_a_restart_reads_the_new_log_from_its_begin() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = ServiceData::open(folder.path()).expect("a folder");
        // The next log is shorter than what was read of the last one, or as long, or longer.
        for next in [1, 3, 5] {
            let (first, stop) = allocator_at(&data, "127.0.0.1:0".parse().expect("an address")).await;
            let (at, url) = (first.address, format!("http://{}", first.address));
            let tokens = ServiceTokens::new(Arc::clone(&data.service_key), "muster");
            let end = Shutdown::new();
            let observer = Observer::start(&url, tokens, end.clone(), Recorder::default()).expect("an address");
            let lost = |count: u8| (observer.totals().lost() == u64::from(count)).then_some(());
            lose(&data, &first, 0..3).await;
            testkit::wait::until("the first log", async || lost(3)).await;
            stop.trigger();
            first.wait().await.expect("a clean end");
            let (second, stop) = allocator_at(&data, at).await;
            lose(&data, &second, 100..100 + next).await;
            // A log of just that length is told from the last one by its next event.
            lose(&data, &second, 200..201).await;
            testkit::wait::until("the second log", async || lost(3 + next + 1)).await;
            end.trigger();
            stop.trigger();
            second.wait().await.expect("a clean end");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_observer_whose_allocator_does_not_lead_follows_the_one_that_does() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = ServiceData::open(folder.path()).expect("a folder");
        let (leader, stop) = allocator_at(&data, "127.0.0.1:0".parse().expect("an address")).await;
        let leads = leader.address.to_string();
        let standby = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", standby.local_addr().expect("bound"));
        let answer = async move || service::leader::not_leader(Some(&leads)).into_http::<axum::body::Body>();
        tokio::spawn(async move { axum::serve(standby, axum::Router::new().fallback(answer)).await });
        let tokens = ServiceTokens::new(Arc::clone(&data.service_key), "muster");
        let observer = Observer::start(&url, tokens, stop.clone(), Recorder::default()).expect("an address");
        lose(&data, &leader, 0..2).await;
        testkit::wait::until("the leader's log", async || (observer.totals().lost() == 2).then_some(())).await;
        stop.trigger();
        leader.wait().await.expect("a clean end");
    }

    fn event(match_id: &str, kind: MatchEventKind, stats: Option<MatchStats>) -> MatchEvent {
        MatchEvent { match_id: match_id.into(), kind: kind.into(), stats, allocation_us: 1_500, ..Default::default() }
    }

    fn stats(ticks: &[u64]) -> MatchStats {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        for tick in ticks {
            histogram.record(*tick).expect("in range");
        }
        let mut tick_us = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut tick_us).expect("to memory");
        MatchStats { ticks: ticks.len() as u64, tick_us, joins: 8, ..Default::default() }
    }

    #[test]
    fn a_match_that_a_new_allocator_tells_of_again_is_still_over_and_a_lost_one_may_end_after_all() {
        let mut totals = Totals::new(Recorder::default());
        let id = MatchId::from_entropy([1; 16]).to_string();
        totals.add(&event(&id, MatchEventKind::Joinable, None));
        totals.add(&event(&id, MatchEventKind::Playing, None));
        assert!(totals.running.values().all(|running| running.is_playing) && totals.running.len() == 1);
        totals.add(&event(&id, MatchEventKind::Lost, None));
        totals.add(&event(&id, MatchEventKind::Joinable, None));
        assert_eq!((totals.lost(), totals.running(), totals.running.len()), (1, 0, 0));
        totals.add(&event(&id, MatchEventKind::Ended, None));
        totals.add(&event(&id, MatchEventKind::Joinable, None));
        assert_eq!((totals.completed(), totals.lost(), totals.running()), (1, 0, 0));
    }

    #[test]
    fn a_repeated_event_counts_once() {
        let mut totals = Totals::new(Recorder::default());
        totals.add(&event("a", MatchEventKind::Joinable, None));
        totals.add(&event("b", MatchEventKind::Joinable, None));
        totals.add(&event("a", MatchEventKind::Ended, Some(stats(&[100, 200, 9_000]))));
        totals.add(&event("a", MatchEventKind::Ended, Some(stats(&[100, 200, 9_000]))));
        assert_eq!((totals.started(), totals.completed(), totals.running(), totals.lost()), (2, 1, 1, 0));
        assert_eq!((totals.stats.ticks, totals.stats.joins, totals.tick_us.len()), (3, 8, 3));
        assert!(totals.tick_us.value_at_quantile(0.99) >= 9_000);
        totals.add(&event("b", MatchEventKind::Lost, None));
        assert_eq!((totals.running(), totals.lost(), totals.allocation_us.len()), (0, 1, 2));
    }
}
