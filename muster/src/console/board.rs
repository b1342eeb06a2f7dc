//! What the console knows, and what it shows of it: readings of the services in, JSON for the pages out.

use std::collections::BTreeMap;

use protocol::pb::{GetPoolResponse, MatchEvent, MatchPhase, PoolMatch, PoolServer, QueueStatus};
use serde_json::{Value, json};

use super::history::{History, Sample};
use super::interval::{Counters, Interval, ServerReading};
use super::matchbook::MatchBook;
use super::queue_history::{QueueHistory, wait_s};

/// Matches that are over, on the overview and on the list.
const RECENT: usize = 8;
const RECENT_ALL: usize = 200;
/// Rows of any other list; what is cut off still counts.
const ROWS_MAX: usize = 200;

/// What one look at the services gave; `None` where one did not answer.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Unix milliseconds.
    pub(super) at_ms: u64,
    pub(super) pool: Option<GetPoolResponse>,
    pub(super) queues: Option<Vec<QueueStatus>>,
    /// Metagame's counts.
    pub(super) stats: Option<Value>,
    /// Game servers' figures, by server id.
    pub(super) servers: BTreeMap<String, ServerReading>,
}

/// Everything that the pages show.
#[derive(Debug, Default)]
pub(super) struct Board {
    history: History,
    queue_history: QueueHistory,
    pub(super) book: MatchBook,
    pool: GetPoolResponse,
    queues: Vec<QueueStatus>,
    /// When each service last answered, Unix milliseconds.
    seen_at_ms: BTreeMap<&'static str, u64>,
    /// Where players reach the platform.
    api: String,
    before: BTreeMap<String, Counters>,
    before_at_ms: u64,
    overview: Value,
}

/// What the last second gave.
#[derive(Default)]
struct Measured {
    all: Interval,
    by_match: BTreeMap<String, Interval>,
    by_server: BTreeMap<String, Interval>,
    ends_us: Vec<f64>,
    phases: Vec<String>,
    tick_rate_hz: Option<u32>,
    seconds: f64,
}

impl Board {
    /// Nothing is known yet of the platform whose players' API is at `api`.
    pub(super) fn new(api: String) -> Self {
        Self { api, ..Self::default() }
    }

    /// Notes an event of a match.
    pub(super) fn event(&mut self, event: MatchEvent) {
        self.book.add(event);
    }

    /// Notes a reading: from now on the pages show it.
    pub(super) fn take(&mut self, reading: Reading) {
        let measured = self.measure(&reading);
        let away = self.away(&reading);
        // What a service told last stays on the pages, marked as old; samples and totals hold only what is known now.
        let knows_pool = reading.pool.is_some();
        if let Some(pool) = reading.pool {
            self.pool = pool;
        }
        if let Some(queues) = &reading.queues {
            self.queue_history.push(reading.at_ms, queues);
            self.queues.clone_from(queues);
        }
        let pool = knows_pool.then_some(&self.pool);
        let sample = self.sample(reading.at_ms, pool, reading.queues.as_deref(), &measured);
        let server = |server: &PoolServer| {
            let is_silent = knows_pool && !reading.servers.contains_key(&server.server_id);
            server_row(server, &measured, is_silent && !server.admin_address.is_empty())
        };
        self.overview = json!({
            "at_ms": reading.at_ms,
            "api": self.api,
            "away": away,
            "epoch": self.pool.epoch,
            "totals": totals(pool, reading.queues.as_deref(), reading.stats.as_ref(), &measured),
            "servers": self.pool.servers.iter().take(ROWS_MAX).map(server).collect::<Vec<_>>(),
            "queues": self.queues.iter().take(ROWS_MAX).map(queue_row).collect::<Vec<_>>(),
            "running": self.pool.matches.iter().take(ROWS_MAX).map(|m| self.match_row(m, &measured)).collect::<Vec<_>>(),
            "recent": self.book.over(RECENT).iter().map(|entry| entry.line()).collect::<Vec<_>>(),
            "sample": sample.to_json(),
        });
        self.history.push(sample);
    }

    /// The services that did not answer, each with when it last did.
    fn away(&mut self, reading: &Reading) -> Vec<Value> {
        let answered = [
            ("allocator", reading.pool.is_some()),
            ("matchmaker", reading.queues.is_some()),
            ("metagame", reading.stats.is_some()),
        ];
        let mut away = Vec::new();
        for (name, has_answered) in answered {
            if has_answered {
                self.seen_at_ms.insert(name, reading.at_ms);
            } else {
                away.push(json!({ "name": name, "seen_at_ms": self.seen_at_ms.get(name) }));
            }
        }
        away
    }

    /// The overview.
    pub(super) fn overview(&self) -> &Value {
        &self.overview
    }

    /// The last ten minutes.
    pub(super) fn history(&self) -> Value {
        let mut history = self.history.to_json();
        history["queues"] = self.queue_history.to_json();
        history
    }

    /// Every match that is known: running ones, then those that are over.
    pub(super) fn matches(&self) -> Value {
        let over = self.book.over(RECENT_ALL);
        json!({
            "at_ms": self.overview["at_ms"],
            "api": self.api,
            "away": self.overview["away"],
            "running": self.overview["running"],
            "recent": over.iter().map(|entry| entry.line()).collect::<Vec<_>>(),
        })
    }

    /// When the services were looked at, and which did not answer: `{at_ms, away}`.
    pub(super) fn looked(&self) -> Value {
        let away = self.overview.get("away").cloned().unwrap_or_else(|| json!([]));
        json!({ "at_ms": self.overview["at_ms"], "away": away })
    }

    /// What is known of one match beside metagame's record.
    pub(super) fn match_page(&self, match_id: &str) -> Option<Value> {
        let running = self.pool.matches.iter().find(|running| running.match_id == match_id);
        let entry = self.book.get(match_id);
        let is_over = entry.is_some_and(super::matchbook::Entry::is_over);
        let mut page = entry.map(super::matchbook::Entry::page).or_else(|| running.map(|_| json!({})))?;
        page["match_id"] = json!(match_id);
        page["is_live"] = json!(!is_over && self.admin_address(match_id).is_some());
        page["phase"] = json!(running.map(|running| phase_name(running.phase())));
        Some(page)
    }

    /// The admin port of the server that runs the match.
    pub(super) fn admin_address(&self, match_id: &str) -> Option<&str> {
        let running = self.pool.matches.iter().find(|running| running.match_id == match_id)?;
        let server = self.pool.servers.iter().find(|server| server.server_id == running.server_id)?;
        Some(server.admin_address.as_str()).filter(|address| !address.is_empty())
    }

    /// Servers to ask for figures: id and admin address.
    pub(super) fn servers(pool: &GetPoolResponse) -> Vec<(String, String)> {
        let named = pool.servers.iter().filter(|server| !server.admin_address.is_empty());
        named.take(ROWS_MAX).map(|server| (server.server_id.clone(), server.admin_address.clone())).collect()
    }

    fn measure(&mut self, reading: &Reading) -> Measured {
        let mut measured = Measured {
            seconds: reading.at_ms.saturating_sub(self.before_at_ms) as f64 / 1_000.0,
            ..Measured::default()
        };
        let mut counters = BTreeMap::new();
        for (server_id, server) in &reading.servers {
            measured.ends_us.clone_from(&server.tick_us_ends);
            measured.phases.clone_from(&server.phases);
            for one in &server.matches {
                measured.tick_rate_hz = one.tick_rate_hz.or(measured.tick_rate_hz);
                // What ran before the first look at a match belongs to no second.
                if let Some(before) = self.before.get(&one.match_id) {
                    let interval = Interval::between(before, &one.figures);
                    measured.all.add(&interval);
                    measured.by_server.entry(server_id.clone()).or_default().add(&interval);
                    measured.by_match.insert(one.match_id.clone(), interval);
                }
                counters.insert(one.match_id.clone(), one.figures.clone());
            }
        }
        self.before = counters;
        self.before_at_ms = reading.at_ms;
        measured
    }

    fn sample(
        &self,
        at_ms: u64,
        pool: Option<&GetPoolResponse>,
        queues: Option<&[QueueStatus]>,
        measured: &Measured,
    ) -> Sample {
        let Measured { all, ends_us, .. } = measured;
        let mut sample = Sample::empty(at_ms);
        sample.set("players", pool.map(|pool| sum(&pool.servers, |server| server.players) as f64));
        sample.set("waiting", queues.map(|queues| sum(queues, |queue| queue.waiting_players) as f64));
        sample.set("matches", pool.map(|pool| pool.matches.len() as f64));
        sample.set("servers", pool.map(|pool| pool.servers.len() as f64));
        sample.set("tick_p50_ms", all.tick_ms(0.5, ends_us));
        sample.set("tick_p99_ms", all.tick_ms(0.99, ends_us));
        sample.set("tick_budget_ms", measured.tick_rate_hz.map(|hz| 1_000.0 / f64::from(hz)));
        for (phase, us) in measured.phases.iter().zip(all.phases_us()) {
            sample.set(&format!("phase_{phase}_us"), Some(us));
        }
        let (bytes_out, bytes_in) = all.bytes_per_client(measured.seconds);
        sample.set("bytes_out_per_client", bytes_out);
        sample.set("bytes_in_per_client", bytes_in);
        sample.set("rtt_p50_ms", all.rtt_ms(0.5));
        sample.set("rtt_p95_ms", all.rtt_ms(0.95));
        sample.set("loss_mean", all.loss_mean());
        sample.set("loss_p95", all.loss(0.95));
        sample.set("allocation_ms", self.book.newest_allocation_us.map(|us| us as f64 / 1_000.0));
        sample
    }

    fn match_row(&self, running: &PoolMatch, measured: &Measured) -> Value {
        let server = self.pool.servers.iter().find(|server| server.server_id == running.server_id);
        let interval = measured.by_match.get(&running.match_id);
        let bytes = interval.and_then(|interval| interval.bytes_per_client(measured.seconds).0);
        json!({
            "match_id": running.match_id,
            "state": phase_name(running.phase()),
            "server": server.map_or("", |server| server.name.as_str()),
            "players": running.roster.len(),
            "connected": interval.map(|interval| interval.clients),
            "began_at_ms": self.book.get(&running.match_id).and_then(super::matchbook::Entry::began_at_ms),
            "tick_p99_ms": interval.and_then(|interval| interval.tick_ms(0.99, &measured.ends_us)),
            "rtt_p50_ms": interval.and_then(|interval| interval.rtt_ms(0.5)),
            "loss": interval.and_then(Interval::loss_mean),
            "bytes_per_client_s": bytes,
        })
    }
}

fn sum<T>(rows: &[T], of: fn(&T) -> u32) -> u64 {
    rows.iter().map(of).map(u64::from).sum()
}

/// The figures of now; null where the service that knows one is away.
fn totals(
    pool: Option<&GetPoolResponse>,
    queues: Option<&[QueueStatus]>,
    stats: Option<&Value>,
    measured: &Measured,
) -> Value {
    let linked = |pool: &GetPoolResponse| pool.servers.iter().filter(|server| server.link == "linked").count();
    json!({
        "servers": pool.map(|pool| pool.servers.len()),
        "servers_linked": pool.map(linked),
        "capacity": pool.map(|pool| sum(&pool.servers, |server| server.capacity)),
        "matches": pool.map(|pool| pool.matches.len()),
        "players": pool.map(|pool| sum(&pool.servers, |server| server.players)),
        "waiting": queues.map(|queues| sum(queues, |queue| queue.waiting_players)),
        "tick_p99_ms": measured.all.tick_ms(0.99, &measured.ends_us),
        "tick_budget_ms": measured.tick_rate_hz.map(|hz| 1_000.0 / f64::from(hz)),
        "rtt_p50_ms": measured.all.rtt_ms(0.5),
        "results": stats.map(|stats| stats["results_recorded"].clone()),
        "lost": stats.map(|stats| stats["matches_lost"].clone()),
        "accounts": stats.map(|stats| stats["accounts"].clone()),
    })
}

/// `is_silent`: its admin port did not answer.
fn server_row(server: &PoolServer, measured: &Measured, is_silent: bool) -> Value {
    let interval = measured.by_server.get(&server.server_id);
    json!({
        "server_id": server.server_id,
        "name": server.name,
        "fleet": server.fleet,
        "build": server.build,
        "region": server.region,
        "address": server.address,
        "state": server.state,
        "link": server.link,
        "matches": server.matches,
        "capacity": server.capacity,
        "players": server.players,
        "is_silent": is_silent,
        "load": (server.matches > 0 && !is_silent).then_some(f64::from(server.tick_load_permille) / 1_000.0),
        "tick_p99_ms": interval.and_then(|interval| interval.tick_ms(0.99, &measured.ends_us)),
    })
}

fn queue_row(queue: &QueueStatus) -> Value {
    json!({
        "name": queue.name,
        "format": vec![queue.players_per_team.to_string(); queue.teams as usize % 65].join(" v "),
        "waiting_players": queue.waiting_players,
        "waiting_tickets": queue.waiting_tickets,
        "placing_matches": queue.placing_matches,
        "matches_made": queue.matches_made,
        "wait_p50_s": wait_s(queue.wait_ms_p50),
        "wait_p95_s": wait_s(queue.wait_ms_p95),
        "fleet": queue.fleet,
        "regions": queue.regions,
    })
}

fn phase_name(phase: MatchPhase) -> &'static str {
    match phase {
        MatchPhase::Joinable | MatchPhase::Unspecified => "joinable",
        MatchPhase::Playing => "playing",
        MatchPhase::Ended => "ended",
        MatchPhase::Closed => "closed",
        MatchPhase::Failed => "lost",
    }
}

#[cfg(test)]
mod tests {
    use protocol::pb::MatchEventKind;

    use super::super::interval::{MatchReading, SeatReading};
    use super::*;

    fn reading(at_ms: u64, ticks: u64) -> Reading {
        let server = PoolServer {
            server_id: "s".into(),
            name: "arena-0".into(),
            link: "linked".into(),
            admin_address: "127.0.0.1:1".into(),
            capacity: 2,
            matches: 1,
            players: 1,
            tick_load_permille: 120,
            ..PoolServer::default()
        };
        let running = PoolMatch {
            match_id: "m".into(),
            server_id: "s".into(),
            phase: MatchPhase::Playing.into(),
            ..PoolMatch::default()
        };
        let seat = SeatReading { connected: true, rtt_ms: 3.0, bytes_out: ticks * 100, ..SeatReading::default() };
        let figures = Counters { ticks, phase_ns: vec![ticks * 2_000], tick_us: vec![0, ticks], seats: vec![seat] };
        let one = MatchReading { match_id: "m".into(), tick_rate_hz: Some(60), figures };
        let figures =
            ServerReading { phases: vec!["step".into()], tick_us_ends: vec![100.0, 200.0], matches: vec![one] };
        Reading {
            at_ms,
            pool: Some(GetPoolResponse { epoch: 3, servers: vec![server], matches: vec![running] }),
            queues: Some(vec![QueueStatus {
                name: "duel".into(),
                teams: 2,
                players_per_team: 1,
                waiting_players: 4,
                ..QueueStatus::default()
            }]),
            stats: Some(json!({ "results_recorded": 7 })),
            servers: BTreeMap::from([("s".into(), figures)]),
        }
    }

    #[test]
    fn two_readings_make_a_second_of_rates() {
        let mut board = Board::default();
        board.take(reading(1_000, 60));
        assert_eq!(board.overview()["running"][0]["tick_p99_ms"], Value::Null, "one reading is no interval");
        board.take(reading(2_000, 120));
        let overview = board.overview();
        assert_eq!((&overview["totals"]["players"], &overview["totals"]["waiting"]), (&json!(1), &json!(4)));
        assert_eq!((&overview["totals"]["results"], &overview["epoch"]), (&json!(7), &json!(3)));
        let running = &overview["running"][0];
        assert_eq!((&running["server"], &running["bytes_per_client_s"]), (&json!("arena-0"), &json!(6_000.0)));
        assert!(running["tick_p99_ms"].as_f64().is_some_and(|ms| (0.19..=0.2).contains(&ms)), "{running}");
        assert_eq!(
            (&overview["servers"][0]["load"], &overview["queues"][0]["format"]),
            (&json!(0.12), &json!("1 v 1"))
        );
        let history = board.history();
        let step = history["names"].as_array().expect("names").iter().position(|name| name == "phase_step_us");
        assert_eq!(history["samples"][1][step.expect("there") + 1], json!(2.0));
    }

    #[test]
    fn a_service_that_is_away_is_named_and_its_last_state_stays() {
        let mut board = Board::default();
        board.take(reading(1_000, 60));
        board.take(Reading { at_ms: 2_000, ..Reading::default() });
        let overview = board.overview();
        let away = |name: &str| json!({ "name": name, "seen_at_ms": 1_000 });
        assert_eq!(overview["away"], json!([away("allocator"), away("matchmaker"), away("metagame")]));
        assert_eq!(
            (&overview["servers"][0]["name"], &overview["queues"][0]["name"]),
            (&json!("arena-0"), &json!("duel"))
        );
        assert_eq!(board.admin_address("m"), Some("127.0.0.1:1"));
        // Old figures are not the figures of now.
        for total in ["players", "waiting", "matches", "servers", "results"] {
            assert_eq!(overview["totals"][total], Value::Null, "{total}");
        }
        let history = board.history();
        assert_eq!((&history["samples"][0][1], &history["samples"][1][1]), (&json!(1.0), &Value::Null));
        assert_eq!(history["queues"]["duel"].as_array().map(Vec::len), Some(1), "{history}");
    }

    #[test]
    fn a_game_server_whose_admin_port_is_silent_is_told_from_one_that_has_no_match() {
        let mut board = Board::default();
        board.take(reading(1_000, 60));
        assert_eq!(board.overview()["servers"][0]["is_silent"], json!(false));
        board.take(Reading { servers: BTreeMap::new(), ..reading(2_000, 120) });
        let overview = board.overview();
        assert_eq!((&overview["servers"][0]["is_silent"], &overview["away"]), (&json!(true), &json!([])));
        assert_eq!(
            (&overview["servers"][0]["load"], &overview["running"][0]["connected"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn a_match_is_live_until_it_has_ended() {
        let mut board = Board::default();
        assert!(board.match_page("m").is_none());
        board.take(reading(1_000, 60));
        let event = |cursor, kind: MatchEventKind| MatchEvent {
            cursor,
            log_id: "log".into(),
            match_id: "m".into(),
            kind: kind.into(),
            ..MatchEvent::default()
        };
        board.event(event(1, MatchEventKind::Joinable));
        assert_eq!(board.match_page("m").expect("known")["is_live"], json!(true));
        board.event(event(2, MatchEventKind::Ended));
        assert_eq!(board.match_page("m").expect("known")["is_live"], json!(false));
        assert_eq!(board.matches()["recent"][0]["match_id"], json!("m"));
    }
}
