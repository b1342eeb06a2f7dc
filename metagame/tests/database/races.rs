//! What SQLite's one writer hides: the same thing many times at once, on many connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use metagame::args;
use metagame::core::device::device_hash;
use metagame::core::match_state::Report;
use metagame::core::session::{RefreshSecret, RefreshToken, SessionId};
use metagame::db::{Domain, Sql};
use metagame::store::{DeviceLogin, LoggedIn, MatchReport, Recorded, Rotated, Rotation, Store, VerifiedResult};
use protocol::id::{MatchId, PlayerId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::results::{in_order, of_match, verified};
use super::stores::{Keep, stores};

const NOW: u64 = 1_700_000_000_000;
/// Callers at once.
const CALLERS: u8 = 16;

fn secret() -> RefreshSecret {
    RefreshSecret::new(&[7; 32])
}

pub(super) fn first_token(n: u8) -> RefreshToken {
    secret().first(SessionId(Uuid::from_bytes([n; 16])), [n; 32])
}

/// A login of device `device` that would make player and session `n`.
pub(super) fn login(device: u32, n: u8) -> DeviceLogin {
    DeviceLogin {
        device: device_hash(&format!("{:032x}", u128::from(device) << 64 | 0xABCD)).expect("a device id"),
        new_player: PlayerId::from_entropy([n; 16]),
        name: None,
        session: first_token(n).session,
        token: first_token(n).hash(),
        sessions_max: u32::from(CALLERS),
        now_ms: NOW,
    }
}

pub(super) fn result(n: u8, players: &[PlayerId]) -> VerifiedResult {
    let players = in_order(players, &BTreeMap::new());
    verified(of_match(n, NOW, players), &Arc::default(), NOW)
}

fn lost(n: u8) -> MatchReport {
    MatchReport {
        match_id: MatchId::from_entropy([n; 16]),
        report: Report::Lost,
        reason: "gone".into(),
        trace_id: String::new(),
        queue: "duel".into(),
        roster: vec![],
        placement: Default::default(),
        at_ms: NOW,
    }
}

async fn logins(store: &Store, devices: &[(u32, u8)]) -> Vec<LoggedIn> {
    let mut tasks = JoinSet::new();
    for (device, n) in devices.iter().copied() {
        let store = store.clone();
        tasks.spawn(async move { store.login_device(login(device, n)).await.expect("a login") });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_that_logs_in_many_times_at_once_is_one_account() {
    for (store, _keep) in stores().await {
        for device in 1..=4_u8 {
            let all: Vec<_> = (0..CALLERS).map(|n| (u32::from(device), device * 50 + n)).collect();
            let logged_in = logins(&store, &all).await;
            assert_eq!(logged_in.iter().filter(|one| one.created).count(), 1);
            assert!(logged_in.iter().all(|one| one.player == logged_in[0].player));
        }
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.accounts, stats.sessions), (4, 4 * u64::from(CALLERS)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_logins_come_at_once_the_next_one_leaves_each_player_its_newest_sessions_alone() {
    for (store, _keep) in stores().await {
        let devices = 4_u8;
        let at_once: Vec<_> = (0..40 * devices).map(|n| (u32::from(n % devices), n)).collect();
        for part in at_once.chunks(80) {
            logins(&store, part).await;
        }
        for device in 0..devices {
            let next = login(u32::from(device), 200 + device);
            store.login_device(DeviceLogin { now_ms: NOW + 1, ..next }).await.expect("a login");
        }
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.accounts, stats.sessions), (u64::from(devices), u64::from(devices) * u64::from(CALLERS)));
        for device in 0..devices {
            let kept = store.session_hash(first_token(200 + device).session).await.expect("read");
            assert_eq!(kept, Some(first_token(200 + device).hash()), "the newest");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_many_times_at_once_has_one_successor() {
    for (store, _keep) in stores().await {
        store.login_device(login(1, 1)).await.expect("a login");
        let token = first_token(1);
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let (store, successor) = (store.clone(), secret().successor(&token).hash());
            let rotation = Rotation { session: token.session, presented: token.hash(), successor, now_ms: NOW + 1 };
            tasks.spawn(async move { store.rotate_refresh(rotation).await.expect("a rotation") });
        }
        for rotated in tasks.join_all().await {
            assert!(matches!(rotated, Rotated::Successor { .. }), "{rotated:?}: an honest client was logged out");
        }
        let newest = store.session_hash(token.session).await.expect("read");
        assert_eq!(newest, Some(secret().successor(&token).hash()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_and_lost_at_once_are_the_result_and_it_counts_once() {
    for (store, _keep) in stores().await {
        let players: Vec<_> = logins(&store, &[(1, 1), (2, 2)]).await.iter().map(|one| one.player).collect();
        for n in 10..20_u8 {
            let mut tasks = JoinSet::new();
            for caller in 0..8_u8 {
                let (store, verified) = (store.clone(), result(n, &players));
                tasks.spawn(async move {
                    if caller % 2 == 0 {
                        return store.report_match(lost(n)).await.map(|_| false).expect("a report");
                    }
                    matches!(store.record_result(verified).await.expect("a result"), Recorded::First { .. })
                });
            }
            assert_eq!(tasks.join_all().await.into_iter().filter(|first| *first).count(), 1);
        }
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.results_recorded, stats.matches_lost, stats.xp_granted), (10, 0, 10 * 190));
        assert_eq!(store.xp_mismatches().await.expect("read"), []);
    }
}

/// Makes the first `times` writes of a result fail with this SQLSTATE; a sequence is not taken back with its transaction.
fn inject(keep: &Keep, state: &str, times: u32) {
    let Keep::Database(database) = keep else { return };
    database.psql(&format!(
        "CREATE SEQUENCE tries; CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{state}'; END IF;
         RETURN NEW; END $$;
         CREATE TRIGGER fail BEFORE INSERT ON results FOR EACH ROW EXECUTE FUNCTION fail()"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn serialization_failures_and_deadlocks_are_repeated_until_it_counts_once() {
    for state in ["40001", "40P01", "55P03"] {
        for (store, keep) in stores().await {
            let players: Vec<_> = logins(&store, &[(1, 1), (2, 2)]).await.iter().map(|one| one.player).collect();
            inject(&keep, state, 4);
            let recorded = store.record_result(result(1, &players)).await.expect("repeated");
            assert!(matches!(recorded, Recorded::First { .. }));
            assert_eq!(store.stats().await.expect("stats").xp_granted, 190);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_always_meets_others_is_busy_in_the_end_and_nothing_is_written() {
    for (store, keep) in stores().await {
        if matches!(keep, Keep::Folder(_)) {
            continue;
        }
        inject(&keep, "40001", u32::MAX);
        let refused = store.record_result(result(1, &[])).await.expect_err("it never works");
        assert!(matches!(refused, metagame::store::StoreError::Busy), "{refused:?}");
        assert_eq!(store.stats().await.expect("stats").matches, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_lock_in_opposite_orders_all_happen() {
    for (store, _keep) in stores().await {
        let db = store.database().clone();
        let sql = Sql::by_engine(
            "CREATE TABLE pots (pot INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL) STRICT",
            "CREATE TABLE pots (pot BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)",
        );
        db.statement(Domain::Economy, sql, args![]).await.expect("a table");
        db.statement(Domain::Economy, "INSERT INTO pots (pot, n) VALUES (0, 0), (1, 0)", args![]).await.expect("rows");
        let runs = Arc::new(AtomicU32::new(0));
        let mut tasks = JoinSet::new();
        for n in 0..u64::from(CALLERS) {
            let (db, runs) = (db.clone(), Arc::clone(&runs));
            tasks.spawn(async move {
                db.write(Domain::Economy, (n, runs), |tx, (n, runs)| {
                    Box::pin(async move {
                        runs.fetch_add(1, Ordering::Relaxed);
                        for pot in [n % 2, (n + 1) % 2] {
                            tx.execute("UPDATE pots SET n = n + 1 WHERE pot = $1", args![pot]).await?;
                        }
                        Ok(())
                    })
                })
                .await
            });
        }
        let done: u64 = tasks.join_all().await.into_iter().map(|one| u64::from(one.is_ok())).sum();
        let pots: Vec<u64> = db.all(Domain::Economy, "SELECT n FROM pots", args![]).await.expect("read");
        assert_eq!(pots, [done, done], "what was answered with success, and only that, is there");
        assert!(done > 0 && runs.load(Ordering::Relaxed) >= u32::from(CALLERS));
    }
}
