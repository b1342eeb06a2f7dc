//! Queues that come, change and go while tickets wait and matches are placed: nothing is lost, nobody ends without a
//! reason. `SEED=…` repeats a run.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{Random, queues, ticket, ticket_id};
use matchmaker::core::matchmaker::{CreateError, Matchmaker};
use matchmaker::core::pass::NewMatch;
use matchmaker::core::placing::Outcome;
use matchmaker::core::reconfigure::Reconfigured;
use matchmaker::core::ticket::State;
use matchmaker::{QueueConfig, Queues};
use protocol::id::TicketId;
use protocol::pb;

fn text(name: &str, rules: &str) -> String {
    format!("[[queue]]\nname = \"{name}\"\nfleet = \"arena\"\n{rules}\n")
}

fn one(name: &str, rules: &str) -> Queues {
    queues(&text(name, rules))
}

const PAIRS: &str = "teams = 2\nplayers_per_team = 2";
const NEAR: &str = "teams = 2\nplayers_per_team = 1\n[queue.rating]\nwindow_start = 1\nwindow_growth_per_s = 0\nwindow_max = 1\npre_expand_wait_s = 0";

fn pass(matchmaker: &mut Matchmaker, now_ms: u64) -> Vec<NewMatch> {
    let mut random = Random(now_ms);
    matchmaker.pass(now_ms, usize::MAX, &mut || random.next())
}

fn reason(matchmaker: &Matchmaker, id: u64) -> String {
    match matchmaker.get(ticket_id(id), 0).expect("known").state() {
        State::Cancelled { reason } => reason.clone(),
        other => other.label().to_owned(),
    }
}

#[test]
fn tickets_that_wait_are_matched_by_the_new_rules_and_keep_their_age() {
    let mut matchmaker = Matchmaker::new(&one("duel", NEAR), 0, 0);
    matchmaker.create(ticket(1, "duel", &[1], 10.0), 0).expect("created");
    matchmaker.create(ticket(2, "duel", &[2], 20.0), 5).expect("created");
    assert!(pass(&mut matchmaker, 1_000).is_empty(), "ratings are too far apart");
    let done = matchmaker.reconfigure(&one("duel", "teams = 2\nplayers_per_team = 1"), 2_000);
    assert_eq!(done, Reconfigured { changed: vec!["duel".into()], ..Default::default() });
    assert_eq!(pass(&mut matchmaker, 3_000).len(), 1, "without a rating rule they meet");
    assert_eq!(matchmaker.get(ticket_id(1), 3_000).expect("known").created_ms, 0);
    let same = matchmaker.reconfigure(&one("duel", "teams = 2\nplayers_per_team = 1"), 4_000);
    assert!(same.is_empty());
}

#[test]
fn who_can_never_be_matched_by_the_new_rules_is_told_so() {
    let mut matchmaker = Matchmaker::new(&one("q", PAIRS), 0, 0);
    matchmaker.create(ticket(1, "q", &[1, 2], 10.0), 0).expect("created");
    matchmaker.create(ticket(2, "q", &[3], 10.0), 0).expect("created");
    let done = matchmaker.reconfigure(&one("q", "teams = 2\nplayers_per_team = 1"), 10);
    assert_eq!(done.ended_tickets, 1);
    assert!(
        reason(&matchmaker, 1).starts_with("queue \"q\" was changed: a ticket of 2 players"),
        "{}",
        reason(&matchmaker, 1)
    );
    assert_eq!(reason(&matchmaker, 2), "queued");
    matchmaker.create(ticket(3, "q", &[1], 10.0), 20).expect("its players are free again");
    assert_eq!(pass(&mut matchmaker, 30).len(), 1);

    let far = "teams = 2\nplayers_per_team = 1\nregions = [\"moon\"]";
    matchmaker.create(ticket(4, "q", &[4], 10.0), 40).expect("created");
    matchmaker.reconfigure(&one("q", far), 50);
    assert!(reason(&matchmaker, 4).contains("no region of queue"), "{}", reason(&matchmaker, 4));
}

#[test]
fn a_removed_queue_ends_who_waits_and_lets_its_matches_be_placed() {
    let duel = "teams = 2\nplayers_per_team = 1";
    let mut matchmaker = Matchmaker::new(&queues(&format!("{}{}", text("duel", duel), text("other", duel))), 0, 0);
    for n in 1..=5 {
        matchmaker.create(ticket(n, "duel", &[n], 10.0), n).expect("created");
    }
    let made = pass(&mut matchmaker, 10);
    assert_eq!(made.len(), 2);
    let done = matchmaker.reconfigure(&one("other", duel), 20);
    assert_eq!((done.removed, done.ended_tickets), (vec!["duel".to_owned()], 1));
    assert_eq!(reason(&matchmaker, 5), "queue \"duel\" was removed");
    let refused = matchmaker.create(ticket(9, "duel", &[9], 10.0), 30).expect_err("removed");
    assert_eq!(refused.to_string(), "there is no queue \"duel\": the queues are other");
    assert_eq!(matchmaker.list(30).len(), 1);

    let assignment = pb::Assignment { match_id: made[0].match_id.to_string(), ..Default::default() };
    let placed = Outcome::Placed(Box::new(assignment));
    matchmaker.settle(made[0].match_id, placed, &made[0].roster, 40, &mut || 0);
    for id in &made[0].tickets {
        assert_eq!(matchmaker.get(*id, 40).expect("known").state().label(), "completed");
    }
    let give_back = Outcome::GiveBack { reason: "no server in time".into() };
    matchmaker.settle(made[1].match_id, give_back, &made[1].roster, 50, &mut || 0);
    for id in &made[1].tickets {
        let ticket = matchmaker.get(*id, 50).expect("known");
        assert!(matches!(ticket.state(), State::Cancelled { reason } if reason == "queue \"duel\" was removed"));
    }
    assert!(pass(&mut matchmaker, 60).is_empty() && matchmaker.live_tickets() == 0);

    let done = matchmaker.reconfigure(&queues(&format!("{}{}", text("other", duel), text("duel", duel))), 70);
    assert_eq!(done.added, ["duel"]);
    matchmaker.create(ticket(9, "duel", &[9], 10.0), 80).expect("it is there again");
}

#[test]
fn without_any_queue_a_ticket_is_refused_with_a_sentence() {
    let mut matchmaker = Matchmaker::new(&one("q", PAIRS), 0, 0);
    matchmaker.reconfigure(&one("r", PAIRS), 0);
    let refused = matchmaker.create(ticket(1, "q", &[1], 0.0), 0);
    assert_eq!(refused.err(), Some(CreateError::UnknownQueue { queue: "q".into(), known: "r".into() }));
}

/// Some set of the queues a, b and c with some rules.
fn some_queues(random: &mut Random) -> Queues {
    let mut all = String::new();
    for name in ["a", "b", "c"] {
        if random.percent(25) {
            continue;
        }
        let (teams, size) = (2 + random.below(2), 1 + random.below(3));
        let mut rules =
            format!("teams = {teams}\nplayers_per_team = {size}\nticket_timeout_s = {}\n", 5 + random.below(40));
        if random.percent(50) {
            rules.push_str(["regions = [\"eu\"]\n", "regions = [\"us\", \"eu\"]\n"][random.below(2) as usize]);
        }
        if random.percent(20) {
            rules.push_str("build = \"1.0\"\n");
        }
        if random.percent(50) {
            rules.push_str("[queue.rating]\nwindow_start = 2\nwindow_growth_per_s = 1\nwindow_max = 30\n");
        }
        all.push_str(&text(name, &rules));
    }
    if all.is_empty() { one("d", PAIRS) } else { queues(&all) }
}

/// A run against a random course of queues, with a model of what must hold beside it.
struct Course {
    random: Random,
    matchmaker: Matchmaker,
    wished: BTreeMap<String, QueueConfig>,
    live: BTreeSet<TicketId>,
    ended: BTreeMap<&'static str, usize>,
    placing: Vec<NewMatch>,
}

impl Course {
    fn step(&mut self, n: u64) {
        let now_ms = n * 50;
        match self.random.below(100) {
            0..=3 => {
                let next = some_queues(&mut self.random);
                self.matchmaker.reconfigure(&next, now_ms);
                self.wished = next.as_slice().iter().map(|queue| (queue.name.clone(), queue.clone())).collect();
                let served: Vec<String> =
                    self.matchmaker.list(now_ms).iter().map(|queue| queue.config.name.clone()).collect();
                assert_eq!(
                    served.iter().collect::<BTreeSet<_>>(),
                    self.wished.keys().collect(),
                    "exactly what is wished"
                );
                for queue in self.matchmaker.list(now_ms) {
                    assert_eq!(*queue.config, self.wished[&queue.config.name]);
                }
            }
            4..=59 => self.create(n, now_ms),
            60..=79 => {
                let random = &mut self.random;
                let made = self.matchmaker.pass(now_ms, 20, &mut || random.next());
                for new in made {
                    let rules = &self.wished[&new.queue.name];
                    assert_eq!(*new.queue, *rules, "a match by rules that are no longer in force");
                    assert_eq!(new.roster.len() as u32, rules.players());
                    self.placing.push(new);
                }
            }
            _ => self.settle(now_ms),
        }
        self.events();
    }

    fn create(&mut self, n: u64, now_ms: u64) {
        let queue = ["a", "b", "c"][self.random.below(3) as usize];
        let first = self.random.below(400);
        let players: Vec<u64> = (first..=first + self.random.below(3)).collect();
        let mut new = ticket(n, queue, &players, self.random.normal(25.0, 8.0));
        new.region_rtts = Arc::from([("eu".to_owned(), 30), ("us".to_owned(), 90)]);
        match self.matchmaker.create(new, now_ms) {
            Ok(ticket) => {
                self.live.insert(ticket.id());
            }
            Err(CreateError::UnknownQueue { .. }) => assert!(!self.wished.contains_key(queue)),
            Err(CreateError::PartyTooLarge { players_max, .. }) => assert!(players.len() > players_max as usize),
            Err(CreateError::HasTicket(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn settle(&mut self, now_ms: u64) {
        if self.placing.is_empty() {
            return;
        }
        let new = self.placing.swap_remove(self.random.below(self.placing.len() as u64) as usize);
        let outcome = match self.random.below(10) {
            0..=5 => Outcome::Placed(Box::default()),
            6..=8 => Outcome::GiveBack { reason: "no server in time".into() },
            _ => Outcome::Failed { reason: "refused".into() },
        };
        for id in &new.tickets {
            let ticket = self.matchmaker.get(*id, now_ms).expect("known");
            assert!(matches!(ticket.state(), State::Placing { match_id } if *match_id == new.match_id));
        }
        let random = &mut self.random;
        self.matchmaker.settle(new.match_id, outcome, &new.roster, now_ms, &mut || random.next());
    }

    fn events(&mut self) {
        for event in self.matchmaker.take_events() {
            let state = event.ticket.state();
            if !state.is_final() {
                continue;
            }
            assert!(self.live.remove(&event.ticket.id()), "an end without a beginning, or a second one");
            let kind = match state {
                State::Cancelled { reason } if reason.ends_with("was removed") => "removed",
                State::Cancelled { reason } if reason.contains("was changed: ") => "changed",
                State::Cancelled { reason } => panic!("nobody cancelled: {reason}"),
                other => other.label(),
            };
            *self.ended.entry(kind).or_default() += 1;
        }
        assert_eq!(self.matchmaker.live_tickets(), self.live.len());
    }
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let first = some_queues(&mut random);
    let mut course = Course {
        matchmaker: Matchmaker::new(&first, 0, 0),
        wished: first.as_slice().iter().map(|queue| (queue.name.clone(), queue.clone())).collect(),
        random,
        live: BTreeSet::new(),
        ended: BTreeMap::new(),
        placing: Vec::new(),
    };
    (1..=6_000).for_each(|n| course.step(n));
    for kind in ["completed", "failed", "timed_out", "removed", "changed"] {
        assert!(course.ended.contains_key(kind), "no ticket {kind}: the course does not reach what it should");
    }
    let end_ms = 6_001 * 50;
    while !course.placing.is_empty() {
        course.settle(end_ms);
    }
    course.matchmaker.reconfigure(&one("d", PAIRS), end_ms);
    course.events();
    assert!(course.live.is_empty(), "tickets are lost");
    assert_eq!(course.matchmaker.list(end_ms).len(), 1);
}

#[test]
fn through_any_course_of_queues_no_ticket_is_lost_and_none_ends_twice() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=20).collect(),
    };
    for seed in seeds {
        assert!(std::panic::catch_unwind(|| check(seed)).is_ok(), "repeat this run with SEED={seed}");
    }
}
