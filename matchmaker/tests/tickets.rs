//! What callers can do with tickets: create, cancel, time out, be given back; one ticket per player.

mod common;

use std::sync::Arc;

use common::{DUEL, Random, player_id, queues, ticket, ticket_id};
use matchmaker::core::claims::Held;
use matchmaker::core::matchmaker::{CreateError, Matchmaker};
use matchmaker::core::pass::NewMatch;
use matchmaker::core::placing::Outcome;
use matchmaker::core::ticket::{NewTicket, Party, State};
use matchmaker::core::tickets::FINISHED_MS;
use protocol::id::PartyId;
use protocol::pb;

const TEAMS: &str = r#"
[[queue]]
name = "teams"
teams = 2
players_per_team = 3
fleet = "arena"
party_size_max = 2
capacity = 3
build = "1.0"
regions = ["eu", "us"]
[queue.rating]
window_start = 1
window_growth_per_s = 1
window_max = 10
"#;

fn duel() -> Matchmaker {
    Matchmaker::new(&queues(DUEL), 0, 0)
}

fn teams() -> Matchmaker {
    Matchmaker::new(&queues(&format!("{DUEL}{TEAMS}")), 0, 0)
}

fn near(mut ticket: NewTicket) -> NewTicket {
    ticket.region_rtts = Arc::from([("eu".to_owned(), 20)]);
    ticket
}

fn pass(matchmaker: &mut Matchmaker, now_ms: u64) -> Vec<NewMatch> {
    matchmaker.pass(now_ms, usize::MAX, &mut entropy(now_ms))
}

/// Numbers that differ from each other.
fn entropy(seed: u64) -> impl FnMut() -> u64 {
    let mut random = Random(seed);
    move || random.next()
}

fn settle(matchmaker: &mut Matchmaker, new: &NewMatch, outcome: Outcome, now_ms: u64) {
    matchmaker.settle(new.match_id, outcome, &new.roster, now_ms, &mut || 0);
}

fn label(matchmaker: &Matchmaker, id: u64) -> &'static str {
    matchmaker.get(ticket_id(id), 0).expect("a known ticket").state().label()
}

/// Two duellists in a match that is being placed.
fn placing() -> (Matchmaker, NewMatch) {
    let mut matchmaker = duel();
    matchmaker.create(ticket(1, "duel", &[1], 25.0), 1_000).expect("created");
    matchmaker.create(ticket(2, "duel", &[2], 25.0), 2_000).expect("created");
    let new = pass(&mut matchmaker, 3_000).remove(0);
    (matchmaker, new)
}

#[test]
fn creating_the_same_ticket_again_finds_it_and_other_content_is_refused() {
    let mut matchmaker = duel();
    let first = matchmaker.create(ticket(1, "duel", &[1], 25.0), 1_000).expect("created");
    // Metagame may have learned a new rating, and traces anew.
    let again = NewTicket { trace_id: "f".repeat(32), ..ticket(1, "duel", &[1], 26.0) };
    assert_eq!(matchmaker.create(again, 2_000).expect("found").created_ms, first.created_ms);
    let other = matchmaker.create(ticket(1, "duel", &[2], 25.0), 2_000);
    assert_eq!(other, Err(CreateError::OtherContent(ticket_id(1))));
    assert_eq!(matchmaker.take_events().len(), 1, "finding a ticket is no event");
    matchmaker.cancel(ticket_id(1), "", 3_000);
    let found = matchmaker.create(ticket(1, "duel", &[1], 25.0), 4_000).expect("found");
    assert_eq!(found.state().label(), "cancelled", "a finished ticket does not come back to life");
}

#[test]
fn a_player_is_in_one_ticket_at_a_time() {
    let mut matchmaker = teams();
    matchmaker.create(ticket(1, "duel", &[1], 25.0), 0).expect("created");
    let party = near(ticket(2, "teams", &[7, 1], 25.0));
    let held = Held { player: player_id(1), by: ticket_id(1) };
    assert_eq!(matchmaker.create(party.clone(), 0), Err(CreateError::HasTicket(held)));
    matchmaker.create(ticket(3, "duel", &[7], 25.0), 0).expect("a refused ticket holds nobody");
    matchmaker.cancel(ticket_id(1), "", 0);
    matchmaker.cancel(ticket_id(3), "", 0);
    matchmaker.create(party, 0).expect("both are free again");
}

#[test]
fn what_a_queue_does_not_take_is_refused_with_the_reason() {
    let mut matchmaker = teams();
    let mut refused = |ticket: NewTicket| matchmaker.create(ticket, 0).expect_err("refused").to_string();
    assert!(refused(ticket(1, "chess", &[1], 0.0)).contains("duel, teams"));
    assert!(refused(ticket(1, "duel", &[1, 2], 0.0)).contains("at most 1"));
    assert!(refused(near(ticket(1, "teams", &[1, 2, 3], 0.0))).contains("at most 2"));
    assert!(refused(ticket(1, "teams", &[1], 0.0)).contains("eu, us"));
    let far = NewTicket { region_rtts: Arc::from([("eu".to_owned(), 401)]), ..ticket(1, "teams", &[1], 0.0) };
    assert!(refused(far).contains("400 ms"));
    let build = NewTicket { build: "2.0".into(), ..near(ticket(1, "teams", &[1], 0.0)) };
    assert!(refused(build).contains("1.0"));
    assert!(matchmaker.take_events().is_empty());
}

#[test]
fn a_queue_holds_so_many_live_tickets_and_no_more() {
    let mut matchmaker = teams();
    for n in 1..=3 {
        matchmaker.create(near(ticket(n, "teams", &[n], 25.0)), 0).expect("room");
    }
    let full = matchmaker.create(near(ticket(4, "teams", &[4], 25.0)), 0);
    assert!(matches!(full, Err(CreateError::QueueFull { capacity: 3, .. })), "{full:?}");
    matchmaker.create(ticket(5, "duel", &[5], 25.0), 0).expect("another queue has room");
    matchmaker.cancel(ticket_id(1), "", 0);
    matchmaker.create(near(ticket(4, "teams", &[4], 25.0)), 0).expect("room again");
}

#[test]
fn a_match_commits_all_its_tickets_and_carries_what_the_allocator_needs() {
    let (mut matchmaker, new) = placing();
    assert_eq!((label(&matchmaker, 1), label(&matchmaker, 2)), ("placing", "placing"));
    assert_eq!(new.trace_id, format!("{:032x}", 1), "the trace of the oldest ticket goes on");
    assert_eq!(new.other_traces, [format!("{:032x}", 2)]);
    let teams: Vec<u32> = new.roster.iter().map(|entry| entry.team).collect();
    assert_eq!(teams, [0, 1]);
    let assignment = pb::Assignment { address: "127.0.0.1:7000".into(), ..Default::default() };
    settle(&mut matchmaker, &new, Outcome::Placed(Box::new(assignment)), 4_000);
    let ticket = matchmaker.get(ticket_id(1), 4_000).expect("readable");
    let State::Completed { match_id, placed } = ticket.state() else { panic!("{:?}", ticket.state()) };
    assert_eq!(
        (*match_id, placed.assignment.address.as_str(), placed.roster.len()),
        (new.match_id, "127.0.0.1:7000", 2)
    );
    let status = &matchmaker.list(4_000)[0];
    assert_eq!((status.matches_made, status.placing_matches, status.waiting_tickets), (1, 0, 0));
    assert_eq!((status.wait_ms_p50, status.wait_ms_p95), (2_000, 3_000));
    let states: Vec<_> = matchmaker.take_events().iter().map(|event| event.ticket.state().label()).collect();
    assert_eq!(states, ["queued", "queued", "placing", "placing", "completed", "completed"]);
}

#[test]
fn a_cancel_loses_against_a_commit_and_wins_before_it() {
    let (mut matchmaker, new) = placing();
    let answer = matchmaker.cancel(ticket_id(1), "changed my mind", 3_500).expect("known");
    assert_eq!(answer.state().label(), "placing", "already past cancelling");
    settle(&mut matchmaker, &new, Outcome::Placed(Box::default()), 4_000);
    assert_eq!((label(&matchmaker, 1), label(&matchmaker, 2)), ("completed", "completed"));

    matchmaker.create(ticket(3, "duel", &[3], 25.0), 5_000).expect("created");
    matchmaker.create(ticket(4, "duel", &[4], 25.0), 5_000).expect("created");
    let answer = matchmaker.cancel(ticket_id(3), "changed my mind", 5_001).expect("known");
    assert_eq!(*answer.state(), State::Cancelled { reason: "changed my mind".into() });
    assert!(pass(&mut matchmaker, 6_000).is_empty(), "a cancelled ticket was matched");
    assert_eq!(matchmaker.cancel(ticket_id(99), "", 0), None);
}

#[test]
fn a_match_without_a_server_goes_back_with_its_original_age_after_a_small_hold_off() {
    let (mut matchmaker, new) = placing();
    settle(&mut matchmaker, &new, Outcome::GiveBack { reason: "no server in time".into() }, 10_000);
    let ticket = matchmaker.get(ticket_id(1), 10_000).expect("known");
    assert_eq!((ticket.state().label(), ticket.created_ms, ticket.match_id()), ("queued", 1_000, None));
    assert!(pass(&mut matchmaker, 10_000).is_empty(), "held off");
    let again = pass(&mut matchmaker, 10_500).remove(0);
    assert_ne!(again.match_id, new.match_id, "a match id is never used again");
    settle(&mut matchmaker, &new, Outcome::Placed(Box::default()), 10_600);
    assert_eq!(label(&matchmaker, 1), "placing", "an answer about the old match says nothing about the new one");
    settle(&mut matchmaker, &again, Outcome::GiveBack { reason: String::new() }, 11_000);
    assert!(pass(&mut matchmaker, 60_999).len() == 1 && label(&matchmaker, 1) == "placing");
}

#[test]
fn tickets_time_out_by_their_age_even_after_they_were_given_back() {
    let (mut matchmaker, new) = placing();
    assert!(pass(&mut matchmaker, 100_000).is_empty());
    assert_eq!(label(&matchmaker, 1), "placing", "a match that is being placed is not torn apart");
    settle(&mut matchmaker, &new, Outcome::GiveBack { reason: String::new() }, 61_500);
    pass(&mut matchmaker, 61_500);
    assert_eq!((label(&matchmaker, 1), label(&matchmaker, 2)), ("timed_out", "queued"));
    matchmaker.create(ticket(9, "duel", &[1], 25.0), 61_600).expect("its player is free");
}

#[test]
fn a_match_that_cannot_be_placed_fails_with_the_reason_and_frees_its_players() {
    let (mut matchmaker, new) = placing();
    settle(&mut matchmaker, &new, Outcome::Failed { reason: "no such fleet".into() }, 4_000);
    let ticket = matchmaker.get(ticket_id(2), 4_000).expect("known");
    assert_eq!(*ticket.state(), State::Failed { match_id: new.match_id, reason: "no such fleet".into() });
    matchmaker.create(ticket_of(&[1]), 5_000).expect("free");
}

fn ticket_of(players: &[u64]) -> NewTicket {
    ticket(77, "duel", players, 25.0)
}

#[test]
fn finished_tickets_stay_readable_for_ten_minutes() {
    let mut matchmaker = duel();
    matchmaker.create(ticket(1, "duel", &[1], 25.0), 0).expect("created");
    matchmaker.cancel(ticket_id(1), "", 5_000);
    pass(&mut matchmaker, 5_000 + FINISHED_MS - 1);
    assert_eq!(label(&matchmaker, 1), "cancelled");
    pass(&mut matchmaker, 5_000 + FINISHED_MS);
    assert_eq!(matchmaker.get(ticket_id(1), 0), None);
}

#[test]
fn a_changed_party_replaces_its_ticket_and_an_older_version_is_refused() {
    let mut matchmaker = teams();
    let party = |id: u64, version: u64, players: &[u64]| NewTicket {
        party: Some(Party { id: PartyId::from_entropy([5; 16]), version }),
        ..near(ticket(id, "teams", players, 25.0))
    };
    matchmaker.create(party(1, 1, &[1, 2]), 0).expect("created");
    matchmaker.create(party(2, 2, &[1, 3]), 0).expect("replaces version 1");
    assert_eq!((label(&matchmaker, 1), label(&matchmaker, 2)), ("cancelled", "queued"));
    matchmaker.create(near(ticket(3, "teams", &[2], 25.0)), 0).expect("who left the party is free");
    let old = matchmaker.create(party(4, 1, &[1, 2]), 0);
    assert_eq!(old, Err(CreateError::OldParty { given: 1, live: 2, ticket: ticket_id(2) }));
}

#[test]
fn players_of_different_builds_never_meet() {
    let mut matchmaker = duel();
    let of_build = |id: u64, build: &str| NewTicket { build: build.into(), ..ticket(id, "duel", &[id], 25.0) };
    for (id, build) in [(1, "1.0"), (2, "2.0"), (3, ""), (4, "2.0")] {
        matchmaker.create(of_build(id, build), 0).expect("created");
    }
    let made = pass(&mut matchmaker, 1_000);
    assert_eq!(made.len(), 1);
    assert_eq!((made[0].build.as_str(), made[0].tickets.clone()), ("2.0", vec![ticket_id(2), ticket_id(4)]));
}

#[test]
fn windows_widen_with_waiting_until_distant_ratings_meet() {
    let mut matchmaker = teams();
    for n in 1..=3 {
        matchmaker.create(near(ticket(n, "teams", &[n, n + 100], 20.0 + n as f64 * 2.0)), 0).expect("created");
    }
    // 4 points apart, windows of 1 + 1/s; two teams of three cannot be made of three parties of two.
    assert!(pass(&mut matchmaker, 20_000).is_empty());
    matchmaker.cancel(ticket_id(3), "", 20_000);
    matchmaker.create(near(ticket(4, "teams", &[4], 20.0)), 21_000).expect("created");
    assert!(pass(&mut matchmaker, 21_000).is_empty(), "five players");
    matchmaker.cancel(ticket_id(4), "", 21_000);
}

#[test]
fn a_team_queue_seats_parties_whole_and_even() {
    let text = TEAMS.replace("capacity = 3", "capacity = 9");
    let mut matchmaker = Matchmaker::new(&queues(&text), 0, 0);
    let rows: [(u64, &[u64], f64); 4] = [(1, &[1, 2], 25.0), (2, &[3, 4], 25.5), (3, &[5], 24.5), (4, &[6], 26.0)];
    for (id, players, rating) in rows {
        matchmaker.create(near(ticket(id, "teams", players, rating)), 0).expect("created");
    }
    assert!(pass(&mut matchmaker, 0).is_empty(), "1.5 points apart, windows of 1");
    let new = pass(&mut matchmaker, 1_000).remove(0);
    let team = |n: u64| {
        let id = player_id(n).to_string();
        new.roster.iter().find(|entry| entry.player_id == id).expect("on the roster").team
    };
    assert!(team(1) == team(2) && team(3) == team(4) && team(1) != team(3) && team(5) != team(6));
    assert_eq!(team(1), team(6), "the weaker party gets the stronger single");
    assert_eq!((new.regions.as_slice(), new.build.as_str()), (["eu".to_owned()].as_slice(), "1.0"));
}

#[test]
fn closing_cancels_who_waits_and_lets_a_match_finish() {
    let (mut matchmaker, new) = placing();
    matchmaker.create(ticket(3, "duel", &[3], 25.0), 3_000).expect("created");
    matchmaker.close(4_000);
    let waiting = matchmaker.get(ticket_id(3), 4_000).expect("known");
    assert_eq!(*waiting.state(), State::Cancelled { reason: "shutting down".into() });
    assert_eq!(matchmaker.create(ticket(4, "duel", &[4], 25.0), 4_000), Err(CreateError::ShuttingDown));
    settle(&mut matchmaker, &new, Outcome::GiveBack { reason: String::new() }, 5_000);
    assert_eq!(label(&matchmaker, 1), "cancelled", "given back while closing");
    assert_eq!(matchmaker.placing(), 0);
}

#[test]
fn placings_are_limited_and_the_rest_can_still_be_cancelled() {
    let mut matchmaker = duel();
    for n in 1..=8 {
        matchmaker.create(ticket(n, "duel", &[n], 25.0), n).expect("created");
    }
    assert_eq!(matchmaker.pass(1_000, 3, &mut entropy(1)).len(), 3);
    assert_eq!(matchmaker.pass(2_000, 3, &mut entropy(2)).len(), 0);
    let answer = matchmaker.cancel(ticket_id(8), "", 2_000).expect("known");
    assert_eq!(answer.state().label(), "cancelled");
}
