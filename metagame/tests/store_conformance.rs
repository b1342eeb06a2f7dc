//! What the store must do, on both databases.

#[path = "stores/results.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod results;
mod stores;

use std::collections::BTreeMap;

use metagame::core::device::{DeviceHash, device_hash};
use metagame::core::leaderboard::Board;
use metagame::core::match_event::Placement;
use metagame::core::match_state::{HOLD_MS_MAX, LOST_YIELDS_MS, MatchState, Report};
use metagame::core::page::{BoardCursor, HistoryCursor};
use metagame::core::rating::Rating;
use metagame::core::session::{FAMILY_LIFE_MS, RefreshSecret, RefreshToken, SessionId};
use metagame::ranks::Ranks;
use metagame::store::{
    DeviceLogin, LoggedIn, MatchOpened, MatchReport, Recorded, Renamed, Rotated, Rotation, Seat, Store,
    TicketReadiness, VerifiedResult,
};
use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};
use protocol::certificate::{Participation, PlayerResult};
use protocol::id::{MatchId, PlayerId, TicketId};
use results::{of_match, played, verified};
use stores::stores;
use uuid::Uuid;

const NOW: u64 = 1_700_000_000_000;

fn device(n: u32) -> DeviceHash {
    device_hash(&format!("{:032x}", u128::from(n) << 64 | 0xABCD)).expect("a device id")
}

fn secret() -> RefreshSecret {
    RefreshSecret::new(&[7; 32])
}

fn session(n: u8) -> SessionId {
    SessionId(Uuid::from_bytes([n; 16]))
}

fn first_token(n: u8) -> RefreshToken {
    secret().first(session(n), [n; 32])
}

async fn login(store: &Store, device_n: u32, session_n: u8, now_ms: u64) -> LoggedIn {
    let login = DeviceLogin {
        device: device(device_n),
        new_player: PlayerId::from_entropy((u128::from(device_n) << 64 | u128::from(session_n)).to_be_bytes()),
        name: Some(format!("Player {device_n}").parse().expect("a name")),
        session: session(session_n),
        token: first_token(session_n).hash(),
        sessions_max: 3,
        now_ms,
    };
    store.login_device(login).await.expect("login")
}

async fn rotate(store: &Store, token: &RefreshToken, now_ms: u64) -> Rotated {
    let rotation = Rotation {
        session: token.session,
        presented: token.hash(),
        successor: secret().successor(token).hash(),
        now_ms,
    };
    store.rotate_refresh(rotation).await.expect("rotation")
}

fn match_id(n: u8) -> MatchId {
    MatchId::from_entropy([n; 16])
}

fn part(player_id: PlayerId, team: u32, place: u32, participation: Participation) -> PlayerResult {
    PlayerResult { participation, ..played(player_id, team, place, BTreeMap::from([("kills".into(), 3)])) }
}

fn result(n: u8, ended_at_ms: u64, players: Vec<PlayerResult>) -> VerifiedResult {
    verified(of_match(n, ended_at_ms, players), &Default::default(), NOW)
}

fn opened(n: u8, players: &[PlayerId], placed_at_ms: u64) -> MatchOpened {
    let seat = |(team, player): (usize, &PlayerId)| Seat {
        player_id: *player,
        team: u32::try_from(team).expect("few"),
        name: format!("Name {team}"),
    };
    MatchOpened {
        match_id: match_id(n),
        queue: "duel".into(),
        trace_id: "ticket-trace".into(),
        roster: players.iter().enumerate().map(seat).collect(),
        placement: Placement { build: "1".into(), region: "eu".into(), ..Placement::default() },
        placed_at_ms,
    }
}

fn report(n: u8, report: Report, at_ms: u64) -> MatchReport {
    MatchReport {
        match_id: match_id(n),
        report,
        reason: String::new(),
        trace_id: String::new(),
        queue: String::new(),
        roster: vec![],
        placement: Placement::default(),
        at_ms,
    }
}

async fn ready(store: &Store, player: PlayerId, now_ms: u64) -> TicketReadiness {
    store.prepare_ticket(player, "duel".into(), now_ms).await.expect("readiness")
}

fn is_ready(readiness: &TicketReadiness) -> bool {
    matches!(readiness, TicketReadiness::Ready { .. })
}

#[tokio::test]
async fn a_device_is_one_account_however_often_it_logs_in() {
    for (store, _keep) in stores().await {
        let first = login(&store, 1, 1, NOW).await;
        assert!(first.created && first.expires_at_ms == NOW + FAMILY_LIFE_MS);
        let again = login(&store, 1, 2, NOW + 1).await;
        assert!(!again.created && again.player == first.player);
        assert_ne!(login(&store, 2, 3, NOW).await.player, first.player);
        let profile = store.profile(first.player).await.expect("read").expect("a profile");
        assert_eq!((profile.name.as_str(), profile.xp, profile.version), ("Player 1", 0, 1));
        assert_eq!(store.profile(PlayerId::from_entropy([9; 16])).await.expect("read"), None);
    }
}

#[tokio::test]
async fn the_oldest_sessions_of_a_player_make_room() {
    for (store, _keep) in stores().await {
        for n in 1..=5 {
            login(&store, 1, n, NOW).await;
        }
        assert_eq!(store.stats().await.expect("stats").sessions, 3);
        assert_eq!(rotate(&store, &first_token(2), NOW).await, Rotated::Gone);
        assert!(matches!(rotate(&store, &first_token(5), NOW).await, Rotated::Successor { .. }));
    }
}

#[tokio::test]
async fn refresh_tokens_rotate_repeat_and_die_with_a_copy() {
    for (store, _keep) in stores().await {
        let player = login(&store, 1, 1, NOW).await.player;
        let first = first_token(1);
        let second = secret().successor(&first);
        let given = Rotated::Successor { player, expires_at_ms: NOW + FAMILY_LIFE_MS, strong: None };
        assert_eq!(rotate(&store, &first, NOW + 1).await, given);
        assert_eq!(rotate(&store, &first, NOW + 2).await, given, "the answer was lost");
        assert_eq!(store.session_hash(session(1)).await.expect("read"), Some(second.hash()), "the same successor");
        assert_eq!(rotate(&store, &second, NOW + 3).await, given);
        assert_eq!(rotate(&store, &first, NOW + 4).await, Rotated::Reused);
        assert_eq!(rotate(&store, &secret().successor(&second), NOW + 5).await, Rotated::Gone);
        assert_eq!(store.stats().await.expect("stats").audit_entries, 1);
    }
}

#[tokio::test]
async fn sessions_end_by_logout_and_by_age() {
    for (store, _keep) in stores().await {
        login(&store, 1, 1, NOW).await;
        login(&store, 1, 2, NOW).await;
        store.logout(session(1), NOW).await.expect("logout");
        store.logout(session(1), NOW).await.expect("again");
        assert_eq!(rotate(&store, &first_token(1), NOW).await, Rotated::Gone);
        assert_eq!(store.prune(NOW + FAMILY_LIFE_MS - 1).await.expect("prune"), 0);
        assert_eq!(rotate(&store, &first_token(2), NOW + FAMILY_LIFE_MS).await, Rotated::Gone);
        login(&store, 1, 3, NOW).await;
        assert_eq!(store.prune(NOW + FAMILY_LIFE_MS).await.expect("prune"), 1);
    }
}

#[tokio::test]
async fn a_name_changes_only_for_who_saw_the_newest_profile() {
    for (store, _keep) in stores().await {
        let player = login(&store, 1, 1, NOW).await.player;
        let name = || "Ada".parse().expect("a name");
        let done = store.rename(player, name(), Some(1)).await.expect("rename");
        assert!(matches!(&done, Renamed::Done(profile) if profile.name == "Ada" && profile.version == 2));
        assert_eq!(store.rename(player, name(), Some(1)).await.expect("rename"), Renamed::Stale(2));
        assert!(matches!(store.rename(player, name(), None).await.expect("rename"), Renamed::Done(_)));
        let nobody = PlayerId::from_entropy([9; 16]);
        assert_eq!(store.rename(nobody, name(), None).await.expect("rename"), Renamed::Unknown);
    }
}

#[tokio::test]
async fn a_result_counts_once_and_another_one_is_kept_for_audit() {
    for (store, _keep) in stores().await {
        let (a, b) = (login(&store, 1, 1, NOW).await.player, login(&store, 2, 2, NOW).await.player);
        store.open_match(opened(1, &[a, b], NOW)).await.expect("open");
        let played = Participation::Played;
        let good = result(1, NOW, vec![part(a, 0, 1, played), part(b, 1, 2, played)]);
        let first = store.record_result(good.clone()).await.expect("record");
        assert_eq!(first, Recorded::First { trace_id: "ticket-trace".into() });
        assert_eq!(store.record_result(good).await.expect("record"), Recorded::Again);
        let other = result(1, NOW, vec![part(a, 0, 2, played), part(b, 1, 1, played)]);
        assert_eq!(store.record_result(other.clone()).await.expect("record"), Recorded::Conflict);
        assert_eq!(store.record_result(other).await.expect("record"), Recorded::Conflict);

        let winner = store.profile(a).await.expect("read").expect("a profile");
        assert_eq!((winner.xp, winner.matches, winner.wins), (120, 1, 1));
        assert!(winner.ratings[0].rating.rating > 25.0 && winner.ratings[0].matches == 1);
        let history = store.history(b, None, 10).await.expect("history");
        assert_eq!((history.len(), history[0].place, history[0].xp_gained), (1, 2, 70));
        assert_eq!((history[0].rating_before, history[0].stats["kills"]), (25.0, 3));
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.results_recorded, stats.outbox_events, stats.audit_entries), (1, 2, 1));
        assert_eq!(stats.xp_granted, 190);
        let record = store.find_match(match_id(1)).await.expect("read").expect("a match");
        assert_eq!((record.state, record.reason.as_str()), (MatchState::Ended, "finished"));
        assert!(record.result.is_some());
    }
}

#[tokio::test]
async fn duplicates_that_arrive_at_once_count_once() {
    for (store, _keep) in stores().await {
        let (a, b) = (login(&store, 1, 1, NOW).await.player, login(&store, 2, 2, NOW).await.player);
        let good = result(1, NOW, vec![part(a, 0, 1, Participation::Played), part(b, 1, 2, Participation::Played)]);
        let post = |n: u8| {
            let (store, mut one) = (store.clone(), good.clone());
            if n % 4 == 3 {
                one.body_hash = [n; 32];
            }
            tokio::spawn(async move { store.record_result(one).await.expect("record") })
        };
        let posts: Vec<_> = (0..16).map(post).collect();
        let mut firsts = 0;
        for post in posts {
            firsts += usize::from(matches!(post.await.expect("no panic"), Recorded::First { .. }));
        }
        assert_eq!(firsts, 1);
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.results_recorded, stats.xp_granted, stats.outbox_events), (1, 190, 2));
    }
}

#[tokio::test]
async fn a_result_of_an_unknown_match_and_unknown_players_is_recorded_by_its_certificate() {
    for (store, _keep) in stores().await {
        let known = login(&store, 1, 1, NOW).await.player;
        let stranger = PlayerId::from_entropy([99; 16]);
        let players = vec![part(known, 0, 1, Participation::Played), part(stranger, 1, 2, Participation::Played)];
        let recorded = store.record_result(result(1, NOW, players)).await.expect("record");
        assert_eq!(recorded, Recorded::First { trace_id: "t".repeat(32) });
        let board = store.leaderboard("duel".into(), None, 10).await.expect("board");
        assert_eq!(board.iter().map(|ranked| ranked.player_id).collect::<Vec<_>>(), [known]);
        // The ticket that completed late adds the names and does not open the match again.
        store.open_match(opened(1, &[known, stranger], NOW)).await.expect("open");
        let record = store.find_match(match_id(1)).await.expect("read").expect("a match");
        assert_eq!((record.state, record.roster[0].name.as_str()), (MatchState::Ended, "Name 0"));
        assert!(is_ready(&ready(&store, known, NOW).await));
    }
}

#[tokio::test]
async fn a_match_holds_its_players_until_its_result() {
    for (store, _keep) in stores().await {
        let (a, b) = (login(&store, 1, 1, NOW).await.player, login(&store, 2, 2, NOW).await.player);
        assert!(is_ready(&ready(&store, a, NOW).await));
        store.open_match(opened(1, &[a, b], NOW)).await.expect("open");
        store.open_match(opened(1, &[a, b], NOW)).await.expect("again");
        assert_eq!(ready(&store, a, NOW).await, TicketReadiness::InMatch(match_id(1)));
        assert_eq!(store.held_matches(NOW).await.expect("read"), [match_id(1)]);
        assert_eq!(store.held_matches(NOW + HOLD_MS_MAX).await.expect("read"), [], "for ever would be too long");
        assert!(store.report_match(report(1, Report::Playing, NOW)).await.expect("report"));
        assert!(!store.report_match(report(1, Report::Playing, NOW)).await.expect("old news"));
        assert!(store.report_match(report(1, Report::Ended, NOW)).await.expect("report"));
        assert_eq!(ready(&store, b, NOW).await, TicketReadiness::InMatch(match_id(1)));
        let players = vec![part(a, 0, 1, Participation::Played), part(b, 1, 2, Participation::Absent)];
        store.record_result(result(1, NOW, players)).await.expect("record");
        assert!(is_ready(&ready(&store, a, NOW).await) && is_ready(&ready(&store, b, NOW).await));
        assert_eq!(store.held_matches(NOW).await.expect("read"), []);
        assert!(!store.report_match(report(1, Report::Lost, NOW)).await.expect("later than the result"));
        let record = store.find_match(match_id(1)).await.expect("read").expect("a match");
        assert_eq!(record.state, MatchState::Ended);
        let absent = store.profile(b).await.expect("read").expect("a profile");
        assert_eq!((absent.xp, absent.matches, absent.ratings.len()), (0, 0, 0));
        assert_eq!(ready(&store, PlayerId::from_entropy([9; 16]), NOW).await, TicketReadiness::Unknown);
    }
}

#[tokio::test]
async fn a_lost_match_frees_its_players_and_yields_to_a_result_for_fifteen_minutes() {
    for (store, _keep) in stores().await {
        let (a, b) = (login(&store, 1, 1, NOW).await.player, login(&store, 2, 2, NOW).await.player);
        for n in [1, 2] {
            store.open_match(opened(n, &[a, b], NOW)).await.expect("open");
            assert!(store.report_match(report(n, Report::Lost, NOW)).await.expect("report"));
        }
        assert!(is_ready(&ready(&store, a, NOW).await));
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.xp_granted, stats.matches_lost), (0, 2));
        let players = || vec![part(a, 0, 1, Participation::Played), part(b, 1, 2, Participation::Played)];
        let in_time = VerifiedResult { now_ms: NOW + LOST_YIELDS_MS, ..result(1, NOW, players()) };
        assert!(matches!(store.record_result(in_time).await.expect("record"), Recorded::First { .. }));
        let late = VerifiedResult { now_ms: NOW + LOST_YIELDS_MS + 1, ..result(2, NOW, players()) };
        assert_eq!(store.record_result(late).await.expect("record"), Recorded::TooLate);
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.results_recorded, stats.matches_lost, stats.audit_entries), (1, 1, 1));
    }
}

#[tokio::test]
async fn a_report_can_come_before_the_ticket() {
    for (store, _keep) in stores().await {
        let player = login(&store, 1, 1, NOW).await.player;
        let roster = opened(1, &[player], NOW).roster;
        let joinable = MatchReport { roster, ..report(1, Report::Joinable, NOW) };
        assert!(store.report_match(joinable).await.expect("report"));
        assert_eq!(ready(&store, player, NOW).await, TicketReadiness::InMatch(match_id(1)));
        store.open_match(opened(1, &[player], NOW)).await.expect("open");
        let record = store.find_match(match_id(1)).await.expect("read").expect("a match");
        assert_eq!((record.queue.as_str(), record.trace_id.as_str()), ("duel", "ticket-trace"));
        assert!(store.report_match(report(1, Report::Closed, NOW)).await.expect("report"));
        assert!(is_ready(&ready(&store, player, NOW).await));
    }
}

#[tokio::test]
async fn tickets_and_keys_are_remembered() {
    for (store, _keep) in stores().await {
        let player = login(&store, 1, 1, NOW).await.player;
        assert_eq!(store.last_ticket(player).await.expect("read"), None);
        for n in [1, 2] {
            store.remember_ticket(player, TicketId::from_entropy([n; 16])).await.expect("write");
        }
        assert_eq!(store.last_ticket(player).await.expect("read"), Some(TicketId::from_entropy([2; 16])));
        for n in 0..20_u8 {
            store.retain_allocator_keys(vec![[n; 32]], NOW + u64::from(n)).await.expect("write");
        }
        let keys = store.allocator_keys().await.expect("read");
        assert_eq!((keys.len(), keys[0], keys[15]), (16, [19; 32], [4; 32]));
    }
}

#[tokio::test]
async fn lists_are_read_whole_in_pages() {
    for (store, _keep) in stores().await {
        let mut players = vec![];
        for n in 1..=7 {
            players.push(login(&store, u32::from(n), n, NOW).await.player);
        }
        for n in 1..=6_u8 {
            // Two matches end in the same millisecond.
            let pair = vec![
                part(players[0], 0, 1, Participation::Played),
                part(players[usize::from(n)], 1, 2, Participation::Played),
            ];
            store.record_result(result(n, NOW + u64::from(n / 2), pair)).await.expect("record");
        }
        let (mut seen, mut after) = (vec![], None);
        loop {
            let page = store.history(players[0], after, 2).await.expect("history");
            let Some(last) = page.last() else { break };
            after = Some(HistoryCursor { ended_at_ms: last.ended_at_ms, match_id: last.match_id });
            seen.extend(page.iter().map(|entry| (entry.ended_at_ms, entry.match_id)));
        }
        assert!(seen.len() == 6 && seen.is_sorted_by(|a, b| a > b), "{seen:?}");

        let whole = store.leaderboard("duel".into(), None, 100).await.expect("board");
        let (mut paged, mut after) = (vec![], None);
        loop {
            let page = store.leaderboard("duel".into(), after, 3).await.expect("board");
            let Some(last) = page.last() else { break };
            after = Some(BoardCursor { rank: last.rank, score: last.rating.score(), player_id: last.player_id });
            paged.extend(page);
        }
        assert_eq!(whole, paged);
        assert!(whole.is_sorted_by(|a, b| a.rating.score() >= b.rating.score() && a.rank + 1 == b.rank));
        let shutdown = service::Shutdown::new();
        let patience = std::time::Duration::from_secs(20);
        let (ranks, _tasks) = Ranks::start(&store, Default::default(), None, patience, &shutdown);
        let board = std::sync::Arc::new(Board::of_queue("duel"));
        for ranked in &whole {
            let own = store.rating_of("duel".into(), ranked.player_id).await.expect("rating").expect("rated");
            assert_eq!(own.rating, ranked.rating);
            let rank = testkit::wait::until("the board is read", async || {
                ranks.rank_of(&board, 0, ranked.player_id, 0).await.ok()
            });
            assert_eq!(
                rank.await.map(|found| found.rank),
                Some(ranked.rank),
                "the order of the table is that of the ranks"
            );
        }
        assert_eq!(store.rating_of("other".into(), players[0]).await.expect("rating"), None);
        shutdown.trigger();
    }
}

fn participations() -> impl Strategy<Value = Participation> {
    prop_oneof![Just(Participation::Played), Just(Participation::Abandoned), Just(Participation::Absent)]
}

/// Matches of random players: for each the teams, places and parts.
fn matches() -> impl Strategy<Value = Vec<Vec<(usize, u32, u32, Participation)>>> {
    let player = (0_usize..6, 0_u32..3, 1_u32..4, participations());
    prop::collection::vec(prop::collection::vec(player, 1..6), 1..10)
}

#[test]
fn whatever_is_played_the_xp_journal_adds_up_and_ratings_chain() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(RunnerConfig { cases: 12, failure_persistence: None, ..RunnerConfig::default() });
    let outcome = runner.run(&matches(), |matches| {
        runtime.block_on(async {
            for (store, _keep) in stores().await {
                let mut players = vec![];
                for n in 1..=6 {
                    players.push(login(&store, u32::from(n), n, NOW).await.player);
                }
                for (n, parts) in matches.iter().enumerate() {
                    let unique: BTreeMap<_, _> = parts.iter().map(|one| (one.0, *one)).collect();
                    let part = |one: &(usize, u32, u32, Participation)| part(players[one.0], one.1, one.2, one.3);
                    let one =
                        result(u8::try_from(n).expect("few"), NOW + n as u64, unique.values().map(part).collect());
                    store.record_result(one.clone()).await.expect("record");
                    store.record_result(one).await.expect("again");
                }
                assert_eq!(store.xp_mismatches().await.expect("read"), []);
                for player in &players {
                    let profile = store.profile(*player).await.expect("read").expect("a profile");
                    let history = store.history(*player, None, 100).await.expect("history");
                    assert_eq!(profile.xp, history.iter().map(|entry| entry.xp_gained).sum::<u64>());
                    let counted = history.iter().filter(|entry| entry.participation != Participation::Absent).count();
                    assert_eq!(profile.matches, counted as u64);
                    assert!(profile.wins <= profile.matches);
                    // Newest first: each rating begins where the one before it ended, the first at the start.
                    let mut expected = profile.ratings.first().map_or(Rating::default().rating, |r| r.rating.rating);
                    for entry in &history {
                        assert_eq!(entry.rating_after, expected);
                        expected = entry.rating_before;
                    }
                    assert_eq!(expected, Rating::default().rating);
                }
            }
        });
        Ok(())
    });
    outcome.expect("the rules hold");
}
