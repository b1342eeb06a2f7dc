//! Histories made by hand: a good one, and what must be refused.

use super::super::{Recorder, read, tally};
use super::*;

fn player(n: u8) -> PlayerId {
    PlayerId::from_entropy([n; 16])
}

fn id(n: u8) -> MatchId {
    MatchId::from_entropy([n; 16])
}

fn at(at_ms: u64, event: Event) -> Entry {
    Entry { at_ms, event }
}

fn started(n: u8, server: &str) -> Event {
    Event::Started { match_id: id(n), server: server.into(), players: [player(1), player(2)].into() }
}

fn ended(n: u8) -> Event {
    Event::Ended { match_id: id(n), reason: "finished".into() }
}

fn lost(n: u8) -> Event {
    Event::Lost { match_id: id(n), reason: "gone".into() }
}

fn joined(who: u8, n: u8) -> Event {
    Event::Joined { player: player(who), match_id: id(n) }
}

fn told(who: u8, n: u8, state: &str) -> Event {
    Event::Told { player: player(who), match_id: id(n), state: state.into() }
}

fn account(who: u8, counted: u64, listed: &[u8]) -> Event {
    Event::Account { player: player(who), counted, listed: listed.iter().map(|n| id(*n)).collect() }
}

/// Two players play a match to its end, lose the next with its server, and play a third.
fn good() -> Vec<Entry> {
    vec![
        at(1_000, started(1, "a")),
        at(1_100, joined(1, 1)),
        at(1_100, joined(2, 1)),
        at(2_000, Event::Cut { player: player(1), match_id: id(1), why: "relaunch".into() }),
        at(2_100, joined(1, 1)),
        at(5_000, ended(1)),
        at(5_010, told(1, 1, "ended")),
        at(5_010, told(2, 1, "ended")),
        at(5_500, Event::Result { player: player(1), match_id: id(1), times: 1 }),
        at(6_000, started(2, "a")),
        at(6_100, joined(1, 2)),
        at(6_100, joined(2, 2)),
        at(7_000, Event::ServerKilled { server: "a".into() }),
        at(7_010, lost(2)),
        at(8_000, Event::FleetWhole { after_ms: 1_000, servers: 3 }),
        at(8_600, told(1, 2, "lost")),
        at(8_700, told(2, 2, "lost")),
        at(9_000, started(3, "b")),
        at(9_100, joined(1, 3)),
        at(12_000, ended(3)),
        at(12_100, told(1, 3, "ended")),
        at(12_200, account(1, 2, &[3, 1])),
        at(12_300, Event::Finished { results: 2, spooled: 0 }),
    ]
}

/// The good history with something added, and what the one fault must say.
fn refused(more: impl IntoIterator<Item = Entry>, says: &str) {
    let mut history = good();
    history.extend(more);
    let faults = check(&history, 1);
    assert!(faults.iter().any(|fault| fault.contains(says)), "\"{says}\" is not among {faults:?}");
}

/// The good history without the entries at this time.
fn without(at_ms: u64) -> Vec<Entry> {
    good().into_iter().filter(|entry| entry.at_ms != at_ms).collect()
}

#[test]
fn a_good_history_is_good_in_any_order() {
    let mut history = good();
    assert_eq!(check(&history, 1), Vec::<String>::new());
    history.reverse();
    assert_eq!(check(&history, 1), Vec::<String>::new());
}

#[test]
fn a_new_allocator_that_tells_of_a_running_match_again_is_no_fault() {
    let mut history = good();
    let again = Event::Started { match_id: id(1), server: "a".into(), players: BTreeSet::new() };
    history.push(at(3_000, again));
    assert_eq!(check(&history, 1), Vec::<String>::new());
}

#[test]
fn a_player_in_two_matches_at_once_is_refused() {
    refused([at(4_000, started(9, "c")), at(6_000, ended(9))], "at once");
    refused([at(4_000, joined(1, 3))], "sits in the matches");
}

#[test]
fn a_result_that_counts_twice_is_refused() {
    refused([at(6_000, Event::Result { player: player(1), match_id: id(1), times: 2 })], "2 times");
    refused([at(12_250, account(2, 2, &[1, 1]))], "twice");
    refused([at(12_250, account(2, 3, &[1, 3]))], "counts 3 matches");
    refused([at(12_250, account(2, 1, &[7]))], "never ended");
    refused([at(12_400, Event::Finished { results: 3, spooled: 0 })], "3 results");
}

#[test]
fn a_result_that_never_arrives_is_refused() {
    refused([at(12_400, Event::Finished { results: 1, spooled: 0 })], "1 results");
}

#[test]
fn a_result_that_was_spooled_before_its_server_was_killed_may_arrive() {
    let mut history = without(12_300);
    history.push(at(12_250, account(2, 2, &[1, 2])));
    history.push(at(12_300, Event::Finished { results: 3, spooled: 0 }));
    assert_eq!(check(&history, 1), Vec::<String>::new());
}

#[test]
fn a_match_without_an_end_is_refused() {
    let faults = check(&without(12_000), 1);
    assert!(faults.iter().any(|fault| fault.contains("neither ended nor was lost")), "{faults:?}");
    refused([at(7_500, joined(2, 8))], "never started");
}

#[test]
fn a_match_lost_by_nobodys_doing_is_refused() {
    let faults = check(&without(7_000), 1);
    assert!(faults.iter().any(|fault| fault.contains("although nobody broke")), "{faults:?}");
    // A panic in its room explains it as well as a kill of its server.
    let mut history = without(7_000);
    history.push(at(7_000, Event::RoomPanicked { match_id: id(2) }));
    assert_eq!(check(&history, 1), Vec::<String>::new());
}

#[test]
fn a_player_who_is_told_late_or_never_is_refused() {
    let faults = check(&without(8_700), 1);
    assert!(faults.iter().any(|fault| fault.contains("never told")), "{faults:?}");
    let mut history = without(8_700);
    history.push(at(10_001, told(2, 2, "lost")));
    let faults = check(&history, 1);
    assert!(faults.iter().any(|fault| fault.contains("told after 3001 ms")), "{faults:?}");
}

#[test]
fn a_fleet_that_stays_short_and_a_history_that_breaks_off_are_refused() {
    refused([at(9_999, Event::FleetWhole { after_ms: 5_001, servers: 3 })], "short of a server");
    let faults = check(&without(12_300), 1);
    assert_eq!(faults, ["the history does not come to its end"]);
}

#[test]
fn patience_stretches_what_a_slow_machine_may_take() {
    let mut history = without(8_700);
    history.extend([at(10_001, told(2, 2, "lost")), at(9_999, Event::FleetWhole { after_ms: 5_001, servers: 3 })]);
    assert_eq!(check(&history, 1).len(), 2);
    assert_eq!(check(&history, 2), Vec::<String>::new());
}

/// The platform is killed in a fourth match, whose players are told when it is back; its result was spooled.
fn killed(orphans: u64, results: u64, told_ms: u64) -> Vec<Entry> {
    let mut history: Vec<_> = good().into_iter().filter(|entry| entry.at_ms < 12_200).collect();
    history.extend([
        at(13_000, started(4, "b")),
        at(13_100, joined(1, 4)),
        at(14_000, Event::PlatformKilled { accounts: 2, results: 2 }),
        at(16_000, Event::PlatformBack { after_ms: 2_000, orphans, accounts: 2, results }),
        at(told_ms, told(1, 4, "lost")),
        at(30_000, account(1, 3, &[4, 3, 1])),
        at(30_300, Event::Finished { results: 3, spooled: 0 }),
    ]);
    history
}

#[test]
fn a_platform_that_was_killed_may_cut_its_matches_and_nothing_else() {
    assert_eq!(check(&killed(0, 2, 17_000), 1), Vec::<String>::new());
    for (history, says) in [
        (killed(1, 2, 17_000), "1 processes outlived"),
        (killed(0, 1, 17_000), "2 accounts and 2 results, and came back with 2 and 1"),
        (killed(0, 2, 26_001), "told after 10001 ms"),
    ] {
        let faults = check(&history, 1);
        assert!(faults.len() == 1 && faults[0].contains(says), "\"{says}\" is not {faults:?}");
    }
    let gone = killed(0, 2, 17_000).into_iter().filter(|entry| entry.at_ms != 16_000).collect::<Vec<_>>();
    assert!(check(&gone, 1).iter().any(|fault| fault.contains("did not come back")));
    let tally = tally(&killed(0, 2, 17_000), 1);
    assert_eq!((tally.started, tally.completed, tally.lost), (4, 3, 1));
    assert_eq!((tally.told_ms_max, tally.told_after_outage_ms_max), (Some(1_700), Some(1_000)));
    assert_eq!((tally.fleet_whole_ms_max, tally.platform_back_ms_max), (Some(1_000), Some(2_000)));
}

#[test]
fn while_a_service_is_down_nobody_can_be_told_and_afterwards_soon() {
    for (told_ms, is_late) in [(19_000, false), (19_001, true)] {
        let mut history = without(8_700);
        history.push(at(6_900, Event::Stopped { service: "allocator".into() }));
        history.push(at(9_000, Event::Running { service: "allocator".into() }));
        history.push(at(told_ms, told(2, 2, "lost")));
        assert_eq!(check(&history, 1).iter().any(|fault| fault.contains("told after 10001 ms")), is_late);
    }
}

#[test]
fn a_server_that_dies_before_it_can_register_with_a_new_allocator_is_missed_later() {
    // It dies at 7,000.
    for (back_ms, told_ms, is_late) in [(2_001, 16_999, false), (2_001, 17_001, true), (1_999, 10_001, true)] {
        let mut history = without(8_700);
        history.push(at(1_500, Event::Stopped { service: "allocator".into() }));
        history.push(at(back_ms, Event::Running { service: "allocator".into() }));
        history.push(at(told_ms, told(2, 2, "lost")));
        let faults = check(&history, 1);
        assert_eq!(faults.iter().any(|fault| fault.contains("told after")), is_late, "{back_ms} {told_ms}: {faults:?}");
    }
}

#[test]
fn a_server_that_dies_with_a_recorded_result_before_it_can_register_leaves_a_match_that_is_over() {
    // It played a fourth match and dies at 15,000.
    let history = |back_ms: u64, listed: &[u8]| {
        let mut history: Vec<_> = good().into_iter().filter(|entry| entry.at_ms < 12_200).collect();
        history.extend([
            at(13_000, started(4, "d")),
            at(13_100, joined(1, 4)),
            at(14_000, Event::Stopped { service: "allocator".into() }),
            at(back_ms, Event::Running { service: "allocator".into() }),
            at(15_000, Event::ServerKilled { server: "d".into() }),
            at(15_900, told(1, 4, "ended")),
            at(30_000, account(1, listed.len() as u64, listed)),
            at(30_300, Event::Finished { results: listed.len() as u64, spooled: 0 }),
        ]);
        history
    };
    assert_eq!(check(&history(14_900, &[4, 3, 1]), 1), Vec::<String>::new());
    for unexplained in [history(14_100, &[3, 1]), history(14_900, &[3, 1])] {
        let faults = check(&unexplained, 1);
        assert!(faults.iter().any(|fault| fault.contains("neither ended nor was lost")), "{faults:?}");
    }
    // It had the time to register.
    let mut known = history(14_100, &[4, 3, 1]);
    known.retain(|entry| !matches!(entry.event, Event::ServerKilled { .. }));
    known.push(at(19_200, Event::ServerKilled { server: "d".into() }));
    assert!(check(&known, 1).iter().any(|fault| fault.contains("neither ended nor was lost")));
}

#[test]
fn an_outage_after_the_word_excuses_nothing() {
    let mut history = good();
    history.push(at(8_800, Event::Stopped { service: "allocator".into() }));
    history.push(at(9_000, Event::Running { service: "allocator".into() }));
    let tally = tally(&history, 1);
    assert_eq!((tally.told_ms_max, tally.told_after_outage_ms_max), (Some(1_700), None));
}

#[test]
fn a_result_that_vanishes_or_stays_in_the_spool_is_refused() {
    refused([at(12_250, account(1, 1, &[3]))], "no longer has the result");
    refused([at(12_300, Event::Finished { results: 2, spooled: 1 })], "in the spool");
}

#[test]
fn what_is_written_can_be_read_again_and_a_broken_line_is_named() {
    let path = std::env::temp_dir().join(format!("muster-history-{:016x}", service::random::u64()));
    let recorder = Recorder::create(&path).unwrap();
    for entry in good() {
        recorder.record_at(entry.at_ms, entry.event);
    }
    recorder.flush().unwrap();
    assert_eq!(read(&path).unwrap(), good());
    std::fs::write(&path, "\n{\"at_ms\":1}\n").unwrap();
    assert!(read(&path).unwrap_err().to_string().starts_with("line 2"));
    std::fs::remove_file(&path).unwrap();
    Recorder::default().record(Event::Finished { results: 0, spooled: 0 });
}

fn opened(n: u8, server: &str) -> Event {
    Event::RoomOpened { match_id: id(n), server: server.into() }
}

fn closed(n: u8, server: &str) -> Event {
    Event::RoomClosed { match_id: id(n), server: server.into() }
}

#[test]
fn a_match_on_two_servers_is_found_by_the_allocators_word_and_by_the_servers() {
    refused([at(2_000, started(1, "b"))], "is on a and was put on b as well");
    refused([at(1_000, opened(1, "a")), at(1_500, opened(1, "b")), at(1_600, closed(1, "b"))], "both opened a room");
    // The first was killed before.
    let mut history = good();
    history.extend([at(7_001, opened(2, "a")), at(7_005, opened(2, "b")), at(7_009, closed(2, "b"))]);
    assert_eq!(check(&history, 1), Vec::<String>::new());
}

#[test]
fn a_room_that_no_caller_heard_of_may_be_given_back_but_not_kept() {
    let mut history = without(12_300);
    let late = at(90_000, Event::Finished { results: 2, spooled: 0 });
    history.extend([at(8_900, opened(3, "c")), at(8_990, opened(3, "b")), at(12_001, closed(3, "b")), late]);
    let mut given_back = history.clone();
    given_back.push(at(9_500, closed(3, "c")));
    assert_eq!(check(&given_back, 1), Vec::<String>::new());
    let faults = check(&history, 1);
    assert!(faults.iter().any(|fault| fault.contains("c held a room") && fault.contains("for nothing")), "{faults:?}");
}

#[test]
fn servers_that_are_held_in_the_end_are_counted() {
    refused([at(12_250, Event::OrphansGone { after_ms: 30_100, left: 2 })], "2 servers were held");
    let mut history = good();
    history.push(at(12_250, Event::OrphansGone { after_ms: 900, left: 0 }));
    assert_eq!(check(&history, 1), Vec::<String>::new());
}

#[test]
fn a_match_that_is_given_back_needs_no_result_and_one_that_dies_unheard_is_over() {
    let released = Event::Ended { match_id: id(4), reason: "released: the allocator did not answer".into() };
    let mut history = good();
    history.extend([at(9_200, started(4, "d")), at(9_100, opened(4, "d")), at(9_300, closed(4, "d"))]);
    history.push(at(9_300, released));
    assert_eq!(check(&history, 1), Vec::<String>::new());

    let mut unheard = good();
    unheard.extend([at(6_900, opened(5, "a"))]);
    assert_eq!(check(&unheard, 1), Vec::<String>::new());
    let mut alive = good();
    alive.extend([at(6_900, opened(5, "z"))]);
    assert!(check(&alive, 1).iter().any(|fault| fault.contains("neither ended nor was lost")));
}

#[test]
fn a_player_may_be_in_the_next_match_once_the_last_ones_server_is_dead() {
    let mut history = good();
    // Nobody hears of the death before the next match starts.
    history.retain(|entry| {
        entry.event != lost(2) && entry.event != told(1, 2, "lost") && entry.event != told(2, 2, "lost")
    });
    history.extend([at(9_050, lost(2)), at(9_060, told(1, 2, "lost")), at(9_060, told(2, 2, "lost"))]);
    let both = check(&history, 1).into_iter().filter(|fault| fault.contains("matches") && fault.contains("at once"));
    assert_eq!(both.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn outages_in_a_row_excuse_until_the_last_is_over_and_no_longer() {
    let out = |from_ms, until_ms| {
        let service = || "allocator".to_owned();
        [at(from_ms, Event::Stopped { service: service() }), at(until_ms, Event::Running { service: service() })]
    };
    let late = |outages: &[Entry]| {
        let mut history = good();
        history.retain(|entry| entry.event != told(1, 2, "lost") && entry.at_ms < 9_000);
        history.extend(outages.iter().cloned());
        history.extend([at(30_000, told(1, 2, "lost")), at(30_100, Event::Finished { results: 1, spooled: 0 })]);
        check(&history, 1).iter().filter(|fault| fault.contains("was told after")).count()
    };
    let two = [out(6_990, 7_500), out(14_000, 14_500)].concat();
    assert_eq!(late(&two), 1, "fifteen seconds after the last");
    let three = [two.as_slice(), &out(22_000, 22_500)].concat();
    assert_eq!(late(&three), 0, "eight seconds after the last");
    assert_eq!(late(&out(22_000, 22_500)), 1, "an outage long after the fault excuses nothing");
}
