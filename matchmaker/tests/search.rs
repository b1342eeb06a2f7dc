//! The search keeps every rule, for any pool; and nobody starves who can be matched.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::ticket_id;
use matchmaker::core::density::Density;
use matchmaker::core::packing::{Packing, Shape, seat};
use matchmaker::core::pool::{NO_RTT, Waiting};
use matchmaker::core::queue_config::{QueueConfig, RatingRule, RttRule};
use matchmaker::core::region::{Reach, rank};
use matchmaker::core::search::{Members, search};
use matchmaker::core::window::Candidate;
use proptest::prelude::*;

const NOW_MS: u64 = 1_000_000;
const STARVING_S: u32 = 30;

fn queue(teams: u32, team_size: u32, regions: usize) -> QueueConfig {
    QueueConfig {
        name: "q".into(),
        teams,
        players_per_team: team_size,
        fleet: "f".into(),
        build: String::new(),
        regions: (0..regions).map(|n| format!("r{n}")).collect(),
        settings_json: "{}".into(),
        rating: Some(RatingRule {
            window_start: 3.0,
            window_growth_per_s: 0.25,
            window_max: 15.0,
            pre_expand_wait_s: 0.0,
        }),
        rtt: RttRule { max_ms: 80, growth_ms_per_s: 1.0, ceiling_ms: 120 },
        ticket_timeout_s: 300,
        party_size_max: team_size,
        capacity: 1_000,
        starving_after_s: STARVING_S,
        source: Default::default(),
    }
}

/// rating, size, age in seconds, round-trip times
type Row = (f64, u32, u64, Vec<u32>);

fn rows(tickets: usize, size_max: u32, regions: usize) -> impl Strategy<Value = Vec<Row>> {
    let rtt = prop_oneof![1 => Just(NO_RTT), 4 => 5u32..140];
    let row = (0.0..40.0f64, 1..=size_max, 0u64..60, proptest::collection::vec(rtt, regions));
    proptest::collection::vec(row, 0..tickets)
}

fn pool(mut rows: Vec<Row>) -> Vec<Waiting> {
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let waiting = |(n, (rating, size, age_s, rtts)): (usize, Row)| Waiting {
        ticket: ticket_id(n as u64),
        rating,
        size,
        created_ms: NOW_MS - age_s * 1_000,
        held_until_ms: 0,
        rtts: Arc::from(rtts),
    };
    rows.into_iter().enumerate().map(waiting).collect()
}

fn candidates<'a>(pool: &'a [Waiting], queue: &QueueConfig) -> Vec<Candidate<'a>> {
    pool.iter().map(|waiting| Candidate::new(waiting, queue, &Density::off(), NOW_MS)).collect()
}

fn run(queue: &QueueConfig, candidates: &[Candidate<'_>]) -> Vec<Members> {
    let mut packing = Packing::new(shape(queue));
    let window_max = queue.rating.map_or(f64::INFINITY, |rule| rule.window_max);
    search(candidates, window_max, &mut packing, usize::MAX)
}

fn shape(queue: &QueueConfig) -> Shape {
    Shape { teams: queue.teams, team_size: queue.players_per_team }
}

/// Whether these tickets may be one match; what is wrong if not.
fn fault(queue: &QueueConfig, members: &[&Candidate<'_>]) -> Option<&'static str> {
    let sizes: Vec<u32> = members.iter().map(|member| member.waiting.size).collect();
    if sizes.iter().sum::<u32>() != queue.players() || seat(shape(queue), &sizes).is_none() {
        return Some("parties cannot be seated whole in full teams");
    }
    let reaches: Vec<Reach<'_>> = members.iter().map(|member| member.reach()).collect();
    if !queue.regions.is_empty() && rank(&reaches).is_empty() {
        return Some("no region suits all");
    }
    let far = |a: &Candidate<'_>| members.iter().map(|b| (a.rating() - b.rating()).abs()).fold(0.0, f64::max);
    let window_max = queue.rating.map_or(f64::INFINITY, |rule| rule.window_max);
    let covers = |member: &&Candidate<'_>| far(member) <= member.window + 1e-9;
    let within_widest = members.iter().all(|member| far(member) <= window_max + 1e-9);
    let picked = within_widest && members.iter().any(|member| member.starving && covers(member));
    if !picked && !members.iter().all(covers) {
        return Some("the ratings are too far apart");
    }
    None
}

fn check_rules(queue: &QueueConfig, candidates: &[Candidate<'_>], found: &[Members]) -> Result<(), TestCaseError> {
    let mut seen = BTreeSet::new();
    for members in found {
        prop_assert!(members.iter().all(|member| seen.insert(*member)), "a ticket is in two matches");
        let members: Vec<&Candidate<'_>> = members.iter().map(|member| &candidates[*member]).collect();
        prop_assert_eq!(fault(queue, &members), None);
    }
    Ok(())
}

/// The tickets that no match took.
fn left<'a, 'c>(candidates: &'c [Candidate<'a>], found: &[Members]) -> Vec<&'c Candidate<'a>> {
    let taken: BTreeSet<usize> = found.iter().flatten().copied().collect();
    (0..candidates.len()).filter(|place| !taken.contains(place)).map(|place| &candidates[place]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn matches_keep_every_rule_and_take_nobody_twice(
        teams in 1u32..4, team_size in 2u32..6, regions in 0usize..4, rows in rows(120, 5, 3),
    ) {
        let queue = queue(teams, team_size, regions);
        let rows = rows.into_iter().map(|(rating, size, age, rtts)| {
            (rating, size.min(team_size), age, rtts[..regions].to_vec())
        });
        let pool = pool(rows.collect());
        let candidates = candidates(&pool, &queue);
        check_rules(&queue, &candidates, &run(&queue, &candidates))?;
    }

    #[test]
    fn in_duels_no_two_tickets_that_may_meet_are_left(rows in rows(60, 1, 2)) {
        let queue = queue(2, 1, 2);
        let pool = pool(rows);
        let candidates = candidates(&pool, &queue);
        let found = run(&queue, &candidates);
        check_rules(&queue, &candidates, &found)?;
        let left = left(&candidates, &found);
        for (n, a) in left.iter().enumerate() {
            for b in &left[n + 1..] {
                prop_assert!(fault(&queue, &[*a, *b]).is_some(), "{} and {} could meet", a.rating(), b.rating());
            }
        }
    }

    /// The bound on starving: a ticket that starves is matched in the next pass if there is any match for it.
    #[test]
    fn a_starving_ticket_is_left_only_if_there_is_no_match_for_it(
        team_size in 1u32..4, rows in rows(14, 3, 2),
    ) {
        let queue = queue(2, team_size, 2);
        let rows = rows.into_iter().map(|(rating, size, age, rtts)| (rating, size.min(team_size), age, rtts));
        let pool = pool(rows.collect());
        let candidates = candidates(&pool, &queue);
        let found = run(&queue, &candidates);
        check_rules(&queue, &candidates, &found)?;
        let left = left(&candidates, &found);
        for code in 1u32..1 << left.len() {
            let chosen: Vec<&Candidate<'_>> =
                left.iter().enumerate().filter(|(n, _)| code & 1 << n != 0).map(|(_, candidate)| *candidate).collect();
            if chosen.iter().any(|candidate| candidate.starving) {
                prop_assert!(fault(&queue, &chosen).is_some(), "a starving ticket could have been matched");
            }
        }
    }
}

#[test]
fn near_ratings_meet_first() {
    let rows = [10.0, 10.2, 12.0, 12.1, 14.0, 14.3].map(|rating| (rating, 1, 0, vec![]));
    let queue = queue(2, 1, 0);
    let pool = pool(rows.to_vec());
    let candidates = candidates(&pool, &queue);
    let mut found = run(&queue, &candidates);
    found.sort();
    assert_eq!(found, [[0, 1], [2, 3], [4, 5]]);
}

#[test]
fn a_fresh_ticket_between_two_patient_ones_does_not_keep_them_apart() {
    // The middle one tolerates 3 points; the outer two have waited and tolerate 10.
    let rows = vec![(10.0, 1, 28, vec![]), (14.0, 1, 0, vec![]), (18.0, 1, 28, vec![])];
    let queue = queue(2, 1, 0);
    let pool = pool(rows);
    let candidates = candidates(&pool, &queue);
    assert_eq!(run(&queue, &candidates), [[0, 2]]);
}

#[test]
fn the_oldest_starving_ticket_at_the_edge_picks_first() {
    let mut rows: Vec<Row> = (0..40).map(|n| (20.0 + f64::from(n) * 0.01, 1, 1, vec![])).collect();
    rows.push((34.0, 1, 59, vec![]));
    let queue = queue(2, 4, 0);
    let pool = pool(rows);
    let candidates = candidates(&pool, &queue);
    let found = run(&queue, &candidates);
    assert!(found.iter().flatten().any(|place| *place == 40), "the edge was passed over: {found:?}");
    assert_eq!(found.len(), 5);
}

#[test]
fn no_more_matches_are_made_than_wanted() {
    let rows: Vec<Row> = (0..40).map(|_| (20.0, 1, 0, vec![])).collect();
    let queue = queue(2, 1, 0);
    let pool = pool(rows);
    let candidates = candidates(&pool, &queue);
    assert_eq!(search(&candidates, 15.0, &mut Packing::new(shape(&queue)), 3).len(), 3);
}
