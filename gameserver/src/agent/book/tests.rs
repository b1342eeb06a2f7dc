//! The book by itself: deadlines, repetitions, and that each match ends exactly once whatever happens.

use std::time::Duration;

use protocol::id::ServerId;
use protocol::pb;

use super::*;

fn match_id(byte: u8) -> MatchId {
    MatchId::from_entropy([byte; 16])
}

fn player_id(byte: u8) -> PlayerId {
    PlayerId::from_entropy([byte; 16])
}

fn order(byte: u8) -> RoomOrder {
    let players = vec![player_id(1), player_id(2)];
    let entry = |(player, team): (&PlayerId, u32)| pb::RosterEntry {
        player_id: player.to_string(),
        team,
        name: format!("player {team}"),
        ..Default::default()
    };
    RoomOrder {
        id: match_id(byte),
        seed: 5,
        tick_rate_hz: 60,
        roster: players.iter().zip(0..).map(entry).collect(),
        players,
        settings: serde_json::Map::new(),
        join_deadline: Duration::from_secs(30),
        trace_id: String::new(),
    }
}

fn at(ms: u64) -> Now {
    Now { ms, unix_ms: 1_800_000_000_000 + ms }
}

fn claims(id: MatchId, player: PlayerId, jti: &str, now: Now) -> JoinClaims {
    testkit::tokens::join_claims(ServerId::from_entropy([9; 16]), id, player, now.unix_ms / 1_000, jti)
}

fn finished(place: u32) -> Submission {
    let player = |byte: u8, place| SubmittedPlayer {
        player_id: player_id(byte),
        place,
        score: 7,
        stats: BTreeMap::new(),
        participation: None,
    };
    Submission { reason: "finished".into(), ticks: 0, players: vec![player(1, place), player(2, 2)] }
}

/// A book with one match that players may join.
fn joinable() -> Book {
    let mut book = Book::new("clicks", 60);
    assert!(book.start(order(1), at(0)).is_none());
    assert!(matches!(book.joinable(match_id(1), at(0)), Ok(Some(Notice::Joinable(_)))));
    book
}

fn ended(notices: &[Notice]) -> &crate::result::EndedMatch {
    match notices {
        [Notice::Ended(ended, _), Notice::Emptied(_)] => ended,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_lets_its_player_in_once_and_the_first_player_begins_the_match() {
    let mut book = joinable();
    let (id, one) = (match_id(1), player_id(1));
    assert!(matches!(book.joinable(id, at(1)), Ok(None)), "said before");
    let (admitted, began) = book.admit(&claims(id, one, "a", at(1)), at(1)).expect("a good token");
    assert_eq!((admitted.player_id, admitted.team, admitted.again), (one, 0, false));
    assert!(matches!(began, Some(Notice::Playing(_))));
    assert_eq!(book.admit(&claims(id, one, "a", at(1)), at(2)).err(), Some(Refusal::TokenUsed));
    let (again, began) = book.admit(&claims(id, one, "b", at(1)), at(2)).expect("a fresh token");
    assert!(again.again && began.is_none());
    assert_eq!(book.admit(&claims(id, player_id(3), "c", at(1)), at(2)).err(), Some(Refusal::NotOnRoster));
    assert_eq!(book.admit(&claims(match_id(2), one, "d", at(1)), at(2)).err(), Some(Refusal::NoMatch));
    assert!(book.used.len() == 2 && book.admit(&claims(id, one, "e", at(61_000)), at(61_000)).is_ok());
    assert_eq!(book.used.len(), 1, "tokens that have expired are forgotten");
}

#[test]
fn a_result_names_everyone_and_the_same_again_changes_nothing() {
    let mut book = joinable();
    let id = match_id(1);
    book.admit(&claims(id, player_id(1), "a", at(1)), at(1)).expect("a good token");
    let (_, first) = book.player(id, player_id(1), PlayerEvent::Joined, at(2)).expect("on the roster");
    assert!(first.is_none() && book.players() == 1);
    let notices = book.result(id, finished(1), at(9_000)).expect("a good result");
    let ended = ended(&notices);
    let seen: Vec<_> = ended.players.iter().map(|player| player.participation).collect();
    assert_eq!(seen, [Participation::Played, Participation::Absent]);
    assert_eq!((ended.game.as_str(), ended.ended_at_ms - ended.started_at_ms), ("clicks", 8_999));
    assert_eq!(book.result(id, finished(1), at(9_001)).expect("the same").len(), 0);
    assert_eq!(book.result(id, finished(3), at(9_001)).err(), Some(Fault::OtherResult));
    assert_eq!(book.result_at(id), None);
    book.result_step(id, ResultStep::Spooled);
    assert_eq!(book.result_at(id), Some(ResultStep::Spooled));
    assert!(matches!(book.joinable(id, at(9_002)), Err(Fault::Over(_))));
}

#[test]
fn a_document_that_cannot_be_a_result_is_refused_and_costs_nothing() {
    let mut book = joinable();
    let id = match_id(1);
    let mut twice = finished(1);
    twice.players[1].player_id = player_id(1);
    let mut stranger = finished(1);
    stranger.players[1].player_id = player_id(9);
    let mut figures = finished(1);
    figures.players[0].stats = (0..65).map(|n| (n.to_string(), n)).collect();
    let silent = Submission { reason: String::new(), ..finished(1) };
    let released = Submission { reason: "released".into(), ..finished(1) };
    for bad in [finished(0), twice, stranger, figures, silent, released] {
        assert!(book.result(id, bad.clone(), at(1)).is_err(), "{bad:?}");
    }
    assert_eq!(book.result(id, finished(1), at(1)).expect("a good one").len(), 2);
    assert_eq!(book.result(match_id(7), finished(1), at(1)).err(), Some(Fault::UnknownMatch));
}

#[test]
fn a_match_that_nobody_joins_ends_at_its_deadline_and_a_played_one_does_not() {
    let mut book = joinable();
    assert!(book.start(order(2), at(0)).is_none());
    book.joinable(match_id(2), at(0)).expect("assigned");
    book.count(match_id(2), 1, at(1)).expect("joinable");
    assert!(book.count(match_id(2), 3, at(1)).is_err(), "more than the roster");
    assert!(book.look(at(29_999)).is_empty());
    let notices = book.look(at(30_000));
    let ended = ended(&notices);
    assert_eq!((ended.id, ended.outcome.reason.as_str()), (match_id(1), "nobody_joined"));
    assert!(ended.players.iter().all(|player| player.participation == Participation::Absent));
    assert!(book.look(at(MATCH_MS_MAX)).is_empty(), "the game is asked for its last word");
    assert_eq!(book.look(at(MATCH_MS_MAX + LAST_WORD_MS)).len(), 2);
}

#[test]
fn a_drained_match_has_the_games_last_word_or_none() {
    let mut book = joinable();
    assert!(book.start(order(2), at(0)).is_none() && book.start(order(3), at(0)).is_none());
    book.joinable(match_id(2), at(0)).expect("assigned");
    for id in [match_id(1), match_id(2)] {
        book.count(id, 1, at(1)).expect("joinable");
    }
    let notices = book.abort_all("drained", at(10));
    assert!(
        matches!(notices[..], [Notice::Joinable(_), Notice::Ended(..), Notice::Emptied(_)]),
        "the third: {notices:?}"
    );
    assert_eq!(book.matches().filter(|(_, phase)| matches!(phase, Phase::Ending { .. })).count(), 2);
    let said = book.result(match_id(1), Submission { reason: "drained".into(), ..finished(1) }, at(11));
    assert_eq!(ended(&said.expect("in time")).outcome.players.len(), 2);
    let notices = book.look(at(10 + LAST_WORD_MS));
    assert_eq!((ended(&notices).id, ended(&notices).outcome.players.len()), (match_id(2), 0));
}

#[test]
fn a_match_that_is_given_back_ends_at_once_and_its_result_is_not_wanted() {
    let mut book = joinable();
    book.count(match_id(1), 2, at(1)).expect("joinable");
    assert_eq!(ended(&book.abort(match_id(1), "released", at(2))).outcome.reason, "released");
    assert!(matches!(book.result(match_id(1), finished(1), at(3)), Err(Fault::Over(_))));
    assert!(book.abort(match_id(1), "released", at(4)).is_empty());
}

#[test]
fn a_game_that_is_started_anew_has_lost_its_matches_and_may_have_others() {
    let mut book = joinable();
    assert!(book.heard("one", at(1)).is_empty() && book.heard("one", at(2)).is_empty());
    let notices = book.heard("two", at(3));
    assert!(matches!(notices[..], [Notice::Failed(..), Notice::Emptied(_)]), "{notices:?}");
    assert!(matches!(book.result(match_id(1), finished(1), at(4)), Err(Fault::Over(_))), "lost is lost");
    assert!(book.start(order(2), at(5)).is_none());
    let notices = book.game_gone("it ended", at(6));
    assert!(matches!(notices[..], [Notice::Failed(..), Notice::Emptied(_), Notice::Gone(_)]), "{notices:?}");
    assert!(matches!(book.start(order(3), at(7)), Some(Notice::Refused(..))));
    assert!(book.game_gone("again", at(8)).is_empty());
}

#[test]
fn leaving_twice_only_brings_the_end_closer() {
    let mut book = joinable();
    book.leave("retired", None, at(0));
    book.leave("draining", Some(25_000), at(10));
    book.leave("draining", Some(90_000), at(10));
    let leaving = book.leaving().expect("leaving");
    assert_eq!((leaving.reason.as_str(), leaving.until_ms), ("retired", Some(25_010)));
}

#[test]
fn whatever_happens_in_whatever_order_each_match_has_one_end() {
    for seed in 0..300u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let (mut book, mut ends, mut ms) = (Book::new("clicks", 60), BTreeMap::<MatchId, u32>::new(), 0);
        let mut started = 0u8;
        for _ in 0..400 {
            ms += next(4_000);
            let now = at(ms);
            let id = match_id(u8::try_from(next(u64::from(started) + 1)).expect("small"));
            let notices: Vec<Notice> = match next(12) {
                0 if started < 40 => {
                    started += 1;
                    book.start(order(started), now).into_iter().collect()
                }
                1 | 2 => book.joinable(id, now).ok().flatten().into_iter().collect(),
                3 => book.refuse(id, "no").into_iter().collect(),
                4 | 5 => {
                    let claims = claims(id, player_id(1), &ms.to_string(), now);
                    book.admit(&claims, now).ok().and_then(|(_, notice)| notice).into_iter().collect()
                }
                6 => book.result(id, finished(1), now).unwrap_or_default(),
                7 => book.abort(id, if next(2) == 0 { "released" } else { "drained" }, now),
                8 if next(20) == 0 => book.heard(&ms.to_string(), now),
                9 if next(200) == 0 => book.game_gone("gone", now),
                10 if next(50) == 0 => book.abort_all("drained", now),
                _ => book.look(now),
            };
            for notice in notices {
                match notice {
                    Notice::Ended(ended, _) => *ends.entry(ended.id).or_default() += 1,
                    Notice::Failed(id, ..) | Notice::Refused(id, _) => *ends.entry(id).or_default() += 1,
                    Notice::Joinable(_) | Notice::Playing(_) | Notice::Emptied(_) | Notice::Gone(_) => {}
                }
            }
        }
        let twice: Vec<_> = ends.iter().filter(|(_, n)| **n != 1).collect();
        assert!(twice.is_empty(), "seed {seed}: {twice:?}");
        let open = book.matches().count();
        assert_eq!(ends.len() + open, usize::from(started), "seed {seed}: a match vanished without an end");
    }
}
