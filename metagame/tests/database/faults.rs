//! A PostgreSQL that is cut off, silent, away or back again: callers hear within a second, nothing counts twice, and
//! nobody has to restart anything.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use metagame::args;
use metagame::db::{Database, Domain, StoreError};
use metagame::store::{Recorded, Store};
use metagame::{DatabaseLimits, DatabaseLocation};
use testkit::postgres::{Server, TestDatabase, shared};
use testkit::proxy::{CutAt, Proxy, Weather};

use super::races::{login, result};
use super::stores::patient;

/// Longer than any use case's patience, on a machine that is busy; shorter than any timeout of the network.
const HEARD: Duration = Duration::from_secs(20);

/// Shorter than [`HEARD`] by far, and long enough for an honest use case on a machine that is busy.
fn limits() -> DatabaseLimits {
    DatabaseLimits { patience: Duration::from_secs(3), ..DatabaseLimits::default() }
}

fn address(url: &str) -> SocketAddr {
    let port = url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn through(proxy: &Proxy, name: &str) -> Store {
    let url = format!("postgres://postgres@{}/{name}?sslmode=disable", proxy.address());
    Store::open(&DatabaseLocation::parse(&url).expect("an address"), limits()).await.expect("a database")
}

/// A store behind a proxy.
async fn behind() -> (Store, Proxy, TestDatabase) {
    let database = TestDatabase::new();
    let proxy = Proxy::start(address(shared())).await;
    (through(&proxy, database.name()).await, proxy, database)
}

async fn one(db: &Database, domain: Domain) -> Result<u64, StoreError> {
    tokio::time::timeout(HEARD, db.one(domain, "SELECT 1", args![])).await.expect("an answer in time")
}

fn is_away(outcome: &Result<u64, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::Busy))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_cut_off_is_found_out_and_counts_once() {
    for at in [CutAt::BeforeCommit, CutAt::AfterCommit] {
        let (store, proxy, _database) = behind().await;
        let mut players = Vec::new();
        for n in [1, 2] {
            proxy.cut_commits(at, 1);
            let logged_in = store.login_device(login(u32::from(n), n)).await.expect("found out");
            assert!(logged_in.created, "whoever asks is told of the account that was made for it");
            players.push(logged_in.player);
        }
        proxy.cut_commits(at, 2);
        let recorded = store.record_result(result(1, &players)).await.expect("found out");
        let expected = if at == CutAt::BeforeCommit {
            matches!(recorded, Recorded::First { .. })
        } else {
            recorded == Recorded::Again
        };
        assert!(expected, "{at:?}: {recorded:?}");
        assert_eq!(proxy.cuts_left(), 0);
        let stats = store.stats().await.expect("stats");
        assert_eq!((stats.accounts, stats.sessions, stats.results_recorded, stats.xp_granted), (2, 2, 1, 190));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_out_is_said_to_be_unknown() {
    let (store, proxy, _database) = behind().await;
    let player = store.login_device(login(1, 1)).await.expect("a login").player;
    proxy.cut_commits(CutAt::AfterCommit, 1);
    let renamed = store.rename(player, "Ada".parse().expect("a name"), Some(1)).await;
    assert!(matches!(renamed, Err(StoreError::Unknown)), "{renamed:?}");
    assert_eq!(store.profile(player).await.expect("read").expect("a profile").name, "Ada", "it had happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_is_heard_of_in_time_and_found_again() {
    let (store, proxy, _database) = behind().await;
    let db = store.database();
    assert!(one(db, Domain::Identity).await.is_ok());
    for weather in [Weather::Stalled, Weather::Cut, Weather::Stalled] {
        proxy.set(weather);
        for domain in [Domain::Identity, Domain::Matches] {
            let outcome = one(db, domain).await;
            assert!(is_away(&outcome), "{weather:?}: {outcome:?}");
        }
        let write = tokio::time::timeout(HEARD, store.login_device(login(1, 1))).await.expect("an answer in time");
        assert!(write.is_err(), "{weather:?}: {write:?}");
        proxy.set(Weather::Fair);
        // The connections that died are found out one by one, by whoever takes them.
        for domain in Domain::ALL {
            assert!(recovers(db, domain).await, "{weather:?}: {domain:?}");
        }
    }
}

/// Whether a domain answers again, within the time that its broken connections may take to be given up.
async fn recovers(db: &Database, domain: Domain) -> bool {
    for _ in 0..20 {
        if one(db, domain).await.is_ok() {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_died_cost_nobody_an_error() {
    let (store, proxy, database) = behind().await;
    let db = store.database();
    for domain in Domain::ALL {
        one(db, domain).await.expect("fair weather");
    }
    let opened = proxy.opened();
    database.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    for domain in Domain::ALL {
        assert!(one(db, domain).await.is_ok(), "{domain:?}");
    }
    store.login_device(login(1, 1)).await.expect("a write as well");
    assert!(proxy.opened() > opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_crashes_and_starts_again_loses_nothing_acknowledged() {
    let mut server = Server::start().expect("a server");
    let database = TestDatabase::on(&server.url());
    let location = DatabaseLocation::parse(&database.url()).expect("an address");
    let store = Store::open(&location, limits()).await.expect("a database");
    let mut acknowledged = 0;
    for (round, crash) in [(1_u8, false), (2, true), (3, true)] {
        for n in 0..10 {
            store.login_device(login(u32::from(round * 10 + n), round * 10 + n)).await.expect("a login");
            acknowledged += 1;
        }
        let mut server_now = server;
        server = tokio::task::spawn_blocking(move || {
            server_now.stop(crash);
            server_now
        })
        .await
        .expect("stopped");
        assert!(is_away(&one(store.database(), Domain::Identity).await));
        let login = tokio::time::timeout(HEARD, store.login_device(login(99, 99))).await.expect("an answer in time");
        assert!(login.is_err());
        let mut server_now = server;
        server = tokio::task::spawn_blocking(move || {
            server_now.start_again();
            server_now
        })
        .await
        .expect("started");
        assert!(recovers(store.database(), Domain::Identity).await);
        assert_eq!(store.stats().await.expect("stats").accounts, acknowledged);
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_whose_connections_are_all_taken_stops_no_other() {
    let (store, _proxy, _database) = behind().await;
    let db = store.database().clone();
    let slow = (0..40).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            db.write(Domain::Economy, (), |tx, ()| {
                Box::pin(async move { tx.execute("SELECT pg_sleep(1)", args![]).await })
            })
            .await
        })
    });
    let slow: Vec<_> = slow.collect();
    for _ in 0..5 {
        assert!(one(&db, Domain::Identity).await.is_ok(), "logins go on while the shop is slow");
    }
    let mut busy = 0;
    for task in slow {
        let outcome = tokio::time::timeout(HEARD, task).await.expect("an answer in time").expect("no panic");
        busy += usize::from(matches!(outcome, Err(StoreError::Busy)));
    }
    assert!(busy > 0, "those for whom there was no room were told so");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_instances_that_start_at_once_make_one_schema() {
    let database = TestDatabase::new();
    let location = DatabaseLocation::parse(&database.url()).expect("an address");
    let starts = (0..6).map(|_| Store::open(&location, patient()));
    for started in futures_util::future::join_all(starts).await {
        started.expect("each of them starts");
    }
}
