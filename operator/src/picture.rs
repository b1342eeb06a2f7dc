//! What allocator and matchmaker said last, and what follows from it over time.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::pb;
use protocol::pb::MatchEventKind;

use crate::core::demand::{Arrivals, Queue, Startups};
use crate::core::queue_status::{Fault, Matchmaker, Seen};
use crate::core::reconcile::Blind;
use crate::core::tally::{End, Ends};
use crate::streams::Said;

/// Silence that people are told of; a restart of a service is shorter.
const LASTING: Duration = Duration::from_secs(10);

/// Whether a service answers.
#[derive(Debug, Clone, Copy)]
enum Voice {
    /// It does.
    Speaks,
    /// Not since then.
    Silent(Duration),
}

/// What the services say.
#[derive(Debug)]
pub(crate) struct Picture {
    allocator: Voice,
    matchmaker: Voice,
    /// Servers that are registered with the allocator.
    pub(crate) pool: BTreeMap<Name, pb::PoolServer>,
    queues: Vec<Queue>,
    seen: BTreeMap<String, (i64, Seen)>,
    faults: BTreeMap<String, Fault>,
    arrivals: Arrivals,
    pub(crate) ends: Ends,
    startups: BTreeMap<Name, Startups>,
}

/// Namespace and name of a server or a GameFleet. An allocator of an earlier release tells no namespace.
pub(crate) type Name = (String, String);

/// What is known of this one.
fn find<'a, T>(known: &'a BTreeMap<Name, T>, namespace: &str, name: &str) -> Option<&'a T> {
    let of = |namespace: &str| known.get(&(namespace.to_owned(), name.to_owned()));
    of(namespace).or_else(|| of(""))
}

impl Picture {
    /// Nothing was said yet; silence counts from now.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            allocator: Voice::Silent(now),
            matchmaker: Voice::Silent(now),
            pool: BTreeMap::new(),
            queues: Vec::new(),
            seen: BTreeMap::new(),
            faults: BTreeMap::new(),
            arrivals: Arrivals::default(),
            ends: Ends::default(),
            startups: BTreeMap::new(),
        }
    }

    /// Takes in what was said. `age` says how old a server is by its creation; for those that are new in the pool.
    pub(crate) fn take(&mut self, now: Duration, said: Said, age: impl Fn(&pb::PoolServer) -> Option<Duration>) {
        match said {
            Said::Pool(pool) => self.pool(pool, age),
            Said::Queues(queues) => self.queues(now, queues),
            Said::Match(event) => self.event(*event),
            Said::NoPool => fall_silent(&mut self.allocator, now),
            Said::NoQueues => fall_silent(&mut self.matchmaker, now),
        }
    }

    fn pool(&mut self, pool: pb::GetPoolResponse, age: impl Fn(&pb::PoolServer) -> Option<Duration>) {
        let known = matches!(self.allocator, Voice::Speaks);
        let key = |server: &pb::PoolServer| (server.namespace.clone(), server.name.clone());
        let pool: BTreeMap<Name, pb::PoolServer> =
            pool.servers.into_iter().map(|server| (key(&server), server)).collect();
        // In the first picture after a silence a server may have been there for long.
        for (_, server) in pool.iter().filter(|(key, _)| known && !self.pool.contains_key(*key)) {
            if let Some(age) = age(server) {
                self.startups.entry((server.namespace.clone(), server.fleet.clone())).or_default().took(age);
            }
        }
        (self.pool, self.allocator) = (pool, Voice::Speaks);
    }

    fn queues(&mut self, now: Duration, said: pb::ListQueuesResponse) {
        self.matchmaker = Voice::Speaks;
        self.seen = said.queues.iter().map(|queue| (key(queue), (queue.generation, seen(queue)))).collect();
        self.queues = said.queues.into_iter().map(load).collect();
        let fault = |fault: pb::QueueFault| {
            let what = Fault { generation: fault.generation, reason: fault.reason, message: fault.message };
            (fault.source, what)
        };
        self.faults = said.faults.into_iter().map(fault).collect();
        self.arrivals.saw(now, &self.queues);
    }

    fn event(&mut self, event: pb::MatchEvent) {
        let kind = event.kind();
        if !matches!(kind, MatchEventKind::Ended | MatchEventKind::Lost) {
            return;
        }
        let stats = event.stats.unwrap_or_default();
        self.ends.saw(End {
            match_id: event.match_id,
            namespace: event.namespace,
            fleet: event.fleet,
            revision: event.revision,
            at_ms: event.at_ms,
            crashed: kind == MatchEventKind::Lost,
            joins: stats.joins.into(),
            join_failures: stats.join_failures.into(),
            tick_us: stats.tick_us,
        });
    }

    /// The service without which nothing is known, if there is one. The allocator is needed for pool `muster` alone.
    pub(crate) fn blind(&self, now: Duration, needs_allocator: bool) -> Option<Blind> {
        let silent = |voice, service| match voice {
            Voice::Speaks => None,
            Voice::Silent(since) => Some(Blind { service, lasting: now.saturating_sub(since) >= LASTING }),
        };
        let allocator = if needs_allocator { silent(self.allocator, "allocator") } else { None };
        allocator.or_else(|| silent(self.matchmaker, "matchmaker"))
    }

    /// What the matchmaker says of a MatchQueue.
    pub(crate) fn matchmaker(&self, now: Duration, source: &str) -> Matchmaker<'_> {
        match self.matchmaker {
            Voice::Speaks => Matchmaker::Serves {
                seen: self.seen.get(source).map(|(generation, seen)| (*generation, seen)),
                fault: self.faults.get(source),
            },
            Voice::Silent(since) if now.saturating_sub(since) >= LASTING => Matchmaker::Silent,
            Voice::Silent(_) => Matchmaker::Unknown,
        }
    }

    /// The queues.
    pub(crate) fn loads(&self) -> &[Queue] {
        &self.queues
    }

    /// Matches per second of a queue.
    pub(crate) fn rate(&mut self, now: Duration, queue: &str) -> f64 {
        self.arrivals.per_second(now, queue)
    }

    /// 95th percentile of a fleet's start-up times in seconds.
    pub(crate) fn startup_s(&self, namespace: &str, game_fleet: &str) -> f64 {
        find(&self.startups, namespace, game_fleet).map_or(0.0, Startups::p95_s)
    }

    /// A server, if it is registered with the allocator.
    pub(crate) fn pooled(&self, namespace: &str, server: &str) -> Option<&pb::PoolServer> {
        find(&self.pool, namespace, server)
    }

    /// Whether each service answers, for metrics.
    pub(crate) fn speaks(&self) -> [(&'static str, bool); 2] {
        let speaks = |voice| matches!(voice, Voice::Speaks);
        [("allocator", speaks(self.allocator)), ("matchmaker", speaks(self.matchmaker))]
    }
}

fn fall_silent(voice: &mut Voice, now: Duration) {
    if matches!(voice, Voice::Speaks) {
        *voice = Voice::Silent(now);
    }
}

/// The MatchQueue that a queue comes from, `namespace/name`, or the name of one from a file.
fn key(queue: &pb::QueueStatus) -> String {
    if queue.source.is_empty() { queue.name.clone() } else { queue.source.clone() }
}

fn seen(queue: &pb::QueueStatus) -> Seen {
    Seen {
        waiting_tickets: queue.waiting_tickets,
        waiting_players: queue.waiting_players,
        placing: queue.placing_matches,
        wait_ms_p50: queue.wait_ms_p50,
        wait_ms_p95: queue.wait_ms_p95,
    }
}

fn load(queue: pb::QueueStatus) -> Queue {
    Queue {
        // A MatchQueue takes its servers from a GameFleet of its own namespace.
        namespace: queue.source.split_once('/').map_or_else(String::new, |(namespace, _)| namespace.to_owned()),
        name: queue.name,
        fleet: queue.fleet,
        regions: queue.regions,
        waiting_players: queue.waiting_players,
        placing: queue.placing_matches,
        players_per_match: queue.teams.saturating_mul(queue.players_per_team),
        made: queue.matches_made,
    }
}
