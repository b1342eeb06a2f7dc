//! Candidates with clocks that run apart, an API server that is slow, loses requests and answers, people who delete the
//! Lease, and processes that stand still for any time. Every failure prints its seed.

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::*;

const CANDIDATES: usize = 3;
const TICK: Duration = Duration::from_millis(50);
/// After this the network is whole and everybody runs.
const CALM: Duration = Duration::from_secs(300);
const END: Duration = Duration::from_secs(360);

/// Nobody can tell two deletions between two of its looks from one; looks are as slow as the network and its candidate.
const DELETED_AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// The API server's one object.
#[derive(Default)]
struct Store {
    record: Option<Record>,
    writes: u64,
}

impl Store {
    fn write(&mut self, holder: &str, step: &Step) -> Option<Record> {
        let transitions = match (step, &self.record) {
            (Step::Create { transitions }, None) => *transitions,
            (Step::Replace { version, transitions }, Some(record)) if record.version == *version => *transitions,
            _ => return None,
        };
        self.writes += 1;
        self.record = Some(Record { version: self.writes.to_string(), holder: holder.to_owned(), transitions });
        self.record.clone()
    }
}

/// A request that its candidate waits for.
struct Request {
    id: u64,
    step: Step,
    began: Instant,
    /// When the client has the answer, or gives up.
    answered: Duration,
    answer: Option<Option<Record>>,
    answer_lost: bool,
}

/// A request on its way to the server; it arrives even when its candidate has given it up.
struct Flight {
    arrives: Duration,
    candidate: usize,
    id: u64,
    step: Step,
}

struct Candidate {
    election: Election,
    name: String,
    offset: Duration,
    /// Its clock's speed in thousandths.
    speed: u64,
    stands_until: Duration,
    request: Option<Request>,
}

impl Candidate {
    fn clock(&self, now: Duration) -> Instant {
        self.offset + Duration::from_nanos((now.as_nanos() as u64 / 1_000) * self.speed)
    }

    fn leads(&self, now: Duration) -> Option<Epoch> {
        self.election.leads(self.clock(now))
    }
}

struct World {
    random: TestRng,
    store: Store,
    candidates: Vec<Candidate>,
    flights: Vec<Flight>,
    requests: u64,
    /// Who led in which epoch, as those saw it who obey.
    epochs: Vec<(Epoch, usize)>,
    /// Leaders that were told of a higher epoch by those who had obeyed one.
    taught: usize,
    deletions: usize,
    deleted: Duration,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let candidates = (0..CANDIDATES)
            .map(|n| Candidate {
                election: Election::new(format!("candidate-{n}"), Timing::default()),
                name: format!("candidate-{n}"),
                offset: Duration::from_secs(random.next_u64() % 1_000_000),
                speed: 950 + random.next_u64() % 101,
                stands_until: Duration::ZERO,
                request: None,
            })
            .collect();
        Self {
            random,
            store: Store::default(),
            candidates,
            flights: Vec::new(),
            requests: 0,
            epochs: Vec::new(),
            taught: 0,
            deletions: 0,
            deleted: Duration::ZERO,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    fn run(&mut self) {
        let mut now = Duration::ZERO;
        while now < END {
            self.deliver(now);
            self.delete_by_hand(now);
            for n in 0..CANDIDATES {
                self.live(now, n);
            }
            self.check(now);
            now += TICK;
        }
        assert!(self.candidates.iter().any(|candidate| candidate.leads(now).is_some()), "nobody leads in the calm");
    }

    /// Somebody deletes the Lease, now and then, once every candidate has seen one: who never did knows of nobody to wait for.
    fn delete_by_hand(&mut self, now: Duration) {
        let known = self.candidates.iter().all(|candidate| candidate.election.highest > 0);
        let rested = now >= self.deleted + DELETED_AT_MOST_EVERY;
        if now < CALM && known && rested && self.below(500) == 0 && self.store.record.take().is_some() {
            (self.deletions, self.deleted) = (self.deletions + 1, now);
        }
    }

    /// The server handles what arrives.
    fn deliver(&mut self, now: Duration) {
        let (arrived, flying) = self.flights.drain(..).partition(|flight| flight.arrives <= now);
        self.flights = flying;
        let mut arrived: Vec<Flight> = arrived;
        arrived.sort_by_key(|flight| flight.arrives);
        for flight in arrived {
            let candidate = &mut self.candidates[flight.candidate];
            let answer = match &flight.step {
                Step::Read => self.store.record.clone(),
                step => self.store.write(&candidate.name, step),
            };
            if let Some(request) = candidate.request.as_mut().filter(|r| r.id == flight.id && !r.answer_lost) {
                request.answer = Some(answer);
            }
        }
    }

    /// One candidate takes an answer, or its next step, unless it stands still.
    fn live(&mut self, now: Duration, n: usize) {
        let troubled = now < CALM;
        if troubled && self.below(2_000) == 0 {
            self.candidates[n].stands_until = now + Duration::from_millis(self.below(40_000));
        }
        if self.candidates[n].stands_until > now {
            return;
        }
        let clock = self.candidates[n].clock(now);
        match self.candidates[n].request.take() {
            Some(request) if request.answered > now => self.candidates[n].request = Some(request),
            Some(request) => {
                let election = &mut self.candidates[n].election;
                match (request.step, request.answer) {
                    (Step::Read, Some(record)) => election.observed(clock, record),
                    (Step::Read, None) => election.unreadable(clock),
                    (_, answer) => election.written(request.began, clock, answer.flatten()),
                }
            }
            None => {
                let step = self.candidates[n].election.step(clock);
                if !matches!(step, Step::Wait(_)) {
                    self.candidates[n].request = Some(self.send(now, n, clock, step));
                }
            }
        }
    }

    fn send(&mut self, now: Duration, candidate: usize, began: Instant, step: Step) -> Request {
        let troubled = now < CALM;
        let there = Duration::from_millis(self.below(if troubled { 6_000 } else { 50 }));
        let back = Duration::from_millis(self.below(if troubled { 6_000 } else { 50 }));
        let lost = troubled && self.below(5) == 0;
        let answer_lost = troubled && self.below(5) == 0;
        self.requests += 1;
        let id = self.requests;
        if !lost {
            self.flights.push(Flight { arrives: now + there, candidate, id, step: step.clone() });
        }
        // Given up after five seconds, whatever becomes of it.
        let gives_up = Duration::from_secs(5);
        let takes = if lost || answer_lost { gives_up } else { (there + back + TICK).min(gives_up) };
        Request { id, step, began, answered: now + takes, answer: None, answer_lost }
    }

    fn check(&mut self, now: Duration) {
        let leaders: Vec<(Epoch, usize)> =
            (0..CANDIDATES).filter_map(|n| Some((self.candidates[n].leads(now)?, n))).collect();
        assert!(leaders.len() <= 1, "two lead at {now:?}: {leaders:?}");
        for leader in leaders {
            match self.epochs.last() {
                Some(last) if *last == leader => {}
                // Whoever obeyed a higher one refuses, and says so.
                Some((epoch, _)) if *epoch > leader.0 && self.deletions > 0 => {
                    let election = &mut self.candidates[leader.1].election;
                    election.learn(*epoch);
                    assert_eq!(self.candidates[leader.1].leads(now), None, "it has learned that it is late");
                    self.taught += 1;
                }
                Some((epoch, _)) if *epoch >= leader.0 => {
                    panic!("epoch {epoch:?} is followed by {leader:?} at {now:?}")
                }
                _ => self.epochs.push(leader),
            }
        }
    }
}

#[test]
fn never_two_leaders_epochs_that_only_grow_and_somebody_leads_in_the_end() {
    let (mut leaderships, mut deletions) = (0, 0);
    for seed in 0..200 {
        let world = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            (world.epochs.len(), world.deletions)
        });
        let (led, deleted) = world.unwrap_or_else(|_| panic!("seed {seed}"));
        (leaderships, deletions) = (leaderships + led, deletions + deleted);
    }
    assert!(deletions > 200, "{deletions} deletions in 200 runs");
    assert!(leaderships > 800, "the trouble was too small: {leaderships} leaderships in 200 runs");
}
