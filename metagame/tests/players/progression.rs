//! Progress on both databases: counted with results, fetched once, and kept when the rules change.

use std::collections::BTreeMap;
use std::sync::Arc;

use metagame::core::catalog::{Catalog, Part, file as catalog_file};
use metagame::core::progression::claim::NoTerms;
use metagame::core::progression::file::parse;
use metagame::core::progression::{Claim, Progression, SEASON_LATE_MS, Track};
use metagame::db::Domain;
use metagame::store::economy::{Grant, GrantLine, grant};
use metagame::store::progression::{Claimed, Prestiged, Unlocked};
use metagame::store::{Recorded, Store, VerifiedResult};
use protocol::id::PlayerId;
use testkit::proxy::CutAt;
use tokio::task::JoinSet;

use super::hands::{NOW, STATES, behind, inject, player};
use super::results::{in_order, of_match, verified};
use super::stores::{Keep, stores};

const CATALOG: &str = r#"
    version = 1
    [[currency]]
    id = "gold"
    kind = "soft"
    [[item]]
    id = "pass"
    stacks = true
    [[item]]
    id = "sword"
    tradable = true
"#;

fn catalog() -> Arc<Catalog> {
    Arc::new(catalog_file::parse(CATALOG).expect("a catalog"))
}

fn rules() -> Arc<Progression> {
    Arc::new(parse(include_str!("progression.toml"), &catalog()).expect("rules"))
}

async fn worlds() -> Vec<(Store, Keep)> {
    let with = |(store, keep): (Store, Keep)| (store.with_catalog(catalog()), keep);
    stores().await.into_iter().map(with).collect()
}

/// A match that the first player won, with so many kills for each.
fn result(n: u8, players: &[PlayerId], kills: i64, rules: &Arc<Progression>) -> VerifiedResult {
    let stats = BTreeMap::from([("kills".to_owned(), kills), ("longest_streak".to_owned(), kills)]);
    verified(of_match(n, NOW, in_order(players, &stats)), rules, NOW)
}

async fn play(store: &Store, n: u8, players: &[PlayerId], kills: i64) {
    let recorded = store.record_result(result(n, players, kills, &rules())).await.expect("recorded");
    assert!(matches!(recorded, Recorded::First { .. }));
}

async fn counts(store: &Store, player: PlayerId, sort: &'static str) -> BTreeMap<String, u64> {
    let reached = store.reached(player, sort, sort, None, NOW).await.expect("read");
    reached.counts.into_iter().map(|row| (row.id, row.count)).collect()
}

async fn claim(store: &Store, player: PlayerId, claim: Claim) -> Claimed {
    store.claim(player, claim, rules(), NOW).await.expect("an answer")
}

async fn gold(store: &Store, player: PlayerId) -> i64 {
    store.wallet(player).await.expect("a wallet").iter().map(|one| one.balance).sum()
}

async fn give(store: &Store, player: PlayerId, cause: &str, line: GrantLine) {
    let gift = Grant::reward(player, format!("test:{cause}"), vec![line], NOW);
    store.database().write(Domain::Economy, gift, |tx, gift| Box::pin(grant(tx, gift))).await.expect("given");
}

fn gold_of(amount: u64) -> Vec<Part> {
    vec![Part::Currency { currency: "gold".into(), amount }]
}

fn day() -> u64 {
    NOW / 86_400_000
}

fn tier(tier: u32, track: Track) -> Claim {
    Claim::Tier { season: "s1".into(), tier, track }
}

fn map(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
    rows.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect()
}

#[tokio::test]
async fn results_count_for_levels_seasons_challenges_achievements_and_figures() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let stranger = PlayerId::from_entropy([77; 16]);
        for (n, kills) in [(1, 2), (2, 3), (3, 1)] {
            play(&store, n, &[ada, bob, stranger], kills).await;
        }
        let again = store.record_result(result(3, &[ada, bob, stranger], 1, &rules())).await.expect("an answer");
        assert_eq!(again, Recorded::Again);
        assert_eq!(counts(&store, ada, "season").await, map(&[("s1", 300)]));
        assert_eq!(counts(&store, ada, "stat").await, map(&[("kills", 6), ("longest_streak", 3)]));
        assert_eq!(counts(&store, ada, "achievement").await, map(&[("spree", 3), ("veteran", 3)]));
        assert_eq!(counts(&store, ada, "challenge").await, map(&[("kill", 6), ("win", 3)]));
        assert_eq!(counts(&store, bob, "challenge").await, map(&[("kill", 6)]));
        let standing = store.standing(ada).await.expect("read").expect("Ada");
        assert_eq!((standing.xp, standing.level, standing.level_max), (300, 3, 3));
        let profile = store.profile(ada).await.expect("read").expect("Ada");
        assert_eq!((profile.standing, profile.ratings.len()), (standing, 1));
        assert!(counts(&store, stranger, "stat").await.is_empty(), "nothing without an account");
    }
}

#[tokio::test]
async fn what_is_reached_is_fetched_once_and_nothing_before() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let win = |period| Claim::Challenge { id: "win".into(), period };
        assert_eq!(claim(&store, ada, win(day())).await, Claimed::NotReached { count: 0, goal: 2 });
        for n in 1..=3 {
            play(&store, n, &[ada, bob], 2).await;
        }
        let claims = [
            (Claim::Level(2), 5),
            (win(day()), 20),
            (Claim::Achievement("veteran".into()), 7),
            (tier(1, Track::Free), 10),
            (tier(2, Track::Free), 0),
        ];
        let mut sum = 0;
        for (one, amount) in claims {
            let gave = if amount > 0 { gold_of(amount) } else { Vec::new() };
            sum += i64::try_from(amount).expect("small");
            assert_eq!(claim(&store, ada, one.clone()).await, Claimed::Given { gave: gave.clone(), first: true });
            assert_eq!(claim(&store, ada, one).await, Claimed::Given { gave, first: false });
            assert_eq!(gold(&store, ada).await, sum);
        }
        assert_eq!(counts(&store, ada, "season").await, map(&[("s1", 330)]), "the challenge gave XP of the season");
        assert_eq!(claim(&store, ada, win(day() - 1)).await, Claimed::NotReached { count: 0, goal: 2 });
        assert_eq!(claim(&store, ada, win(day() - 31)).await, Claimed::NoTerms(NoTerms::Over));
        assert_eq!(claim(&store, ada, Claim::Level(4)).await, Claimed::NoTerms(NoTerms::Unknown));
        assert_eq!(claim(&store, bob, Claim::Level(2)).await, Claimed::Given { gave: gold_of(5), first: true });
        assert_eq!(claim(&store, ada, tier(1, Track::Paid)).await, Claimed::NoPass("pass".into()));
        let pass = catalog().goods("pass", 1, NOW).expect("a pass");
        give(&store, ada, "pass", GrantLine::Goods(pass)).await;
        let paid = Claimed::Given { gave: gold_of(1_000), first: true };
        assert_eq!(claim(&store, ada, tier(1, Track::Paid)).await, paid);
        let reached = store.reached(ada, "season", "tier", Some("pass".into()), NOW).await.expect("read");
        assert!(reached.has_pass && reached.claims.len() == 3, "{reached:?}");
        assert!(store.verify_ledger().await.expect("verified").faults.is_empty());
    }
}

#[tokio::test]
async fn unlocks_cost_once_and_come_after_what_they_need() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let unlock = async |node: &str| store.unlock(ada, node.into(), rules(), NOW).await.expect("an answer");
        assert_eq!(unlock("nothing").await, Unlocked::Unknown);
        assert_eq!(unlock("rifle").await, Unlocked::Needs(vec!["pistol".into()]));
        assert!(matches!(unlock("pistol").await, Unlocked::Money(_)));
        give(&store, ada, "gold", GrantLine::Currency { currency: "gold".into(), amount: 15 }).await;
        for first in [true, false] {
            assert_eq!(unlock("pistol").await, Unlocked::Done { first });
            assert_eq!(gold(&store, ada).await, 10);
        }
        assert_eq!(unlock("rifle").await, Unlocked::Level { level: 1, needed: 2 });
        play(&store, 1, &[ada, bob], 0).await;
        assert_eq!(unlock("rifle").await, Unlocked::Done { first: true });
        assert_eq!(unlock("cannon").await, Unlocked::Done { first: true });
        let items = store.inventory(ada, None, 10, NOW).await.expect("items");
        assert_eq!(items.iter().map(|item| item.definition.as_str()).collect::<Vec<_>>(), ["sword"]);
        assert_eq!(store.unlocked(ada).await.expect("read"), ["cannon", "pistol", "rifle"]);
        assert!(store.verify_ledger().await.expect("verified").faults.is_empty());
    }
}

#[tokio::test]
async fn prestige_begins_anew_and_loses_no_xp() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let prestige = async |from| store.prestige(ada, from, rules(), NOW).await.expect("an answer");
        assert!(matches!(prestige(0).await, Prestiged::NotPossible(_)));
        for n in 1..=4 {
            play(&store, n, &[ada, bob], 0).await;
        }
        for expected in [true, false] {
            let Prestiged::Done { standing, first } = prestige(0).await else { panic!("400 XP are level 3") };
            assert_eq!((standing.prestige, standing.level, standing.level_max, first), (1, 2, 3, expected));
            assert_eq!((standing.xp, standing.spent_xp, gold(&store, ada).await), (400, 300, 100));
        }
        assert!(matches!(prestige(7).await, Prestiged::Elsewhere(_)));
        play(&store, 5, &[ada, bob], 0).await;
        let standing = store.standing(ada).await.expect("read").expect("Ada");
        assert_eq!((standing.xp, standing.prestige, standing.level), (500, 1, 2));
        assert_eq!(store.xp_mismatches().await.expect("read"), []);
    }
}

#[tokio::test]
async fn other_rules_take_nothing_away() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        for n in 1..=3 {
            play(&store, n, &[ada, bob], 2).await;
        }
        let mut harder = Progression::clone(&rules());
        harder.version = 4;
        harder.xp.levels = vec![10_000];
        harder.achievements.entry("veteran".into()).and_modify(|one| one.goal = 1_000);
        harder.challenges.entry("kill".into()).and_modify(|one| one.goal = 1_000);
        let harder = Arc::new(harder);
        let recorded = store.record_result(result(9, &[ada, bob], 0, &harder)).await.expect("recorded");
        assert!(matches!(recorded, Recorded::First { .. }));
        let standing = store.standing(ada).await.expect("read").expect("Ada").now(&harder.xp);
        assert_eq!((standing.xp, standing.level), (400, 3), "what was reached stays");
        for one in [Claim::Achievement("veteran".into()), Claim::Level(2)] {
            let given = store.claim(ada, one.clone(), Arc::clone(&harder), NOW).await.expect("an answer");
            assert!(matches!(given, Claimed::Given { first: true, .. }), "{one:?}: {given:?}");
        }
        assert_eq!(store.keep_progression(3, "a".into(), NOW).await.expect("kept"), "a");
        assert_eq!(store.keep_progression(3, "b".into(), NOW).await.expect("kept"), "a");
    }
}

#[tokio::test]
async fn a_season_that_is_over_is_archived_once_as_it_was() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        play(&store, 1, &[ada, bob], 0).await;
        let end_ms = rules().seasons["s1"].until_ms;
        assert_eq!(store.archive_seasons(rules(), end_ms + SEASON_LATE_MS - 1).await.expect("archived"), 0);
        assert_eq!(store.archive_seasons(rules(), end_ms + SEASON_LATE_MS).await.expect("archived"), 1);
        assert_eq!(store.archive_seasons(rules(), end_ms + SEASON_LATE_MS).await.expect("archived"), 0);
        let archived = store.archived_seasons().await.expect("read");
        assert_eq!((archived.len(), archived[0].players, &archived[0].season), (1, 2, &rules().seasons["s1"]));
        let mut late = result(2, &[ada, bob], 0, &rules());
        late.now_ms = end_ms + SEASON_LATE_MS;
        store.record_result(late).await.expect("recorded");
        assert_eq!(counts(&store, ada, "season").await, map(&[("s1", 100)]), "it does not change any more");
        let over = store.claim(ada, tier(1, Track::Free), rules(), end_ms + 15 * 86_400_000).await.expect("an answer");
        assert_eq!(over, Claimed::NoTerms(NoTerms::Over));
        let month_ms = 31 * 86_400_000;
        store.prune(NOW + month_ms + 7 * 86_400_000).await.expect("pruned");
        assert_eq!(counts(&store, ada, "challenge").await, map(&[]));
        assert_eq!(counts(&store, ada, "achievement").await, map(&[("veteran", 2)]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_results_and_claims_at_once_all_count_and_each_once() {
    for (store, _keep) in worlds().await {
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        let mut results = JoinSet::new();
        for caller in 0..16_u8 {
            // Every result comes twice.
            let (store, verified) = (store.clone(), result(caller % 8, &[ada, bob], 1, &rules()));
            results.spawn(async move { matches!(store.record_result(verified).await, Ok(Recorded::First { .. })) });
        }
        assert_eq!(results.join_all().await.into_iter().filter(|first| *first).count(), 8);
        assert_eq!(counts(&store, ada, "season").await, map(&[("s1", 800)]));
        assert_eq!(counts(&store, bob, "stat").await, map(&[("kills", 8), ("longest_streak", 1)]));
        assert_eq!(store.standing(ada).await.expect("read").expect("Ada").level_max, 4);
        let mut claims = JoinSet::new();
        for n in 0..16_u8 {
            let store = store.clone();
            let one = if n % 2 == 0 { tier(1, Track::Free) } else { Claim::Level(2) };
            claims.spawn(async move { claim(&store, ada, one).await });
        }
        let given = claims.join_all().await;
        assert_eq!(given.iter().filter(|one| matches!(one, Claimed::Given { first: true, .. })).count(), 2);
        assert!(given.iter().all(|one| matches!(one, Claimed::Given { .. })), "{given:?}");
        assert_eq!(gold(&store, ada).await, 15);
        let mut steps = JoinSet::new();
        for n in 0..12_u8 {
            let store = store.clone();
            steps.spawn(async move {
                if n % 2 == 0 {
                    let unlocked = store.unlock(ada, "pistol".into(), rules(), NOW).await.expect("an answer");
                    return (unlocked == Unlocked::Done { first: true }, false);
                }
                let done = store.prestige(ada, 0, rules(), NOW).await.expect("an answer");
                (false, matches!(done, Prestiged::Done { first: true, .. }))
            });
        }
        let steps = steps.join_all().await;
        assert_eq!(steps.iter().filter(|(unlocked, _)| *unlocked).count(), 1);
        assert_eq!(steps.iter().filter(|(_, prestiged)| *prestiged).count(), 1);
        assert_eq!(gold(&store, ada).await, 15 - 5 + 100);
        assert!(store.verify_ledger().await.expect("verified").faults.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_fails_half_way_is_repeated_until_it_counts_once() {
    for state in STATES {
        for (store, keep) in worlds().await {
            let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
            play(&store, 1, &[ada, bob], 1).await;
            inject(&keep, "claims", state, 4);
            assert_eq!(claim(&store, ada, Claim::Level(2)).await, Claimed::Given { gave: gold_of(5), first: true });
            assert_eq!(gold(&store, ada).await, 5);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_at_its_commit_counts_once() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let store = store.with_catalog(catalog());
        let (ada, bob) = (player(&store, 1).await, player(&store, 2).await);
        proxy.cut_commits(at, 1);
        store.record_result(result(1, &[ada, bob], 1, &rules())).await.expect("found out");
        assert_eq!(counts(&store, ada, "season").await, map(&[("s1", 100)]));
        proxy.cut_commits(at, 1);
        let given = claim(&store, ada, Claim::Level(2)).await;
        assert_eq!(given, Claimed::Given { gave: gold_of(5), first: at == CutAt::BeforeCommit });
        proxy.cut_commits(at, 1);
        let unlocked = store.unlock(ada, "pistol".into(), rules(), NOW).await.expect("found out");
        assert_eq!(unlocked, Unlocked::Done { first: at == CutAt::BeforeCommit });
        assert_eq!((gold(&store, ada).await, proxy.cuts_left()), (0, 0));
    }
}
