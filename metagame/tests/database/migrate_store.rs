//! From a SQLite file to PostgreSQL: whole or not at all, to an empty place, from a file that nobody uses.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metagame::args;
use metagame::core::catalog::Catalog;
use metagame::db::Domain;
use metagame::store::economy::{Grant, GrantLine, grant};
use metagame::store::{DeviceLogin, Store};
use metagame::{CopyError, DatabaseLocation, PostgresUrl, StoreCopy, copy_to_postgres};
use protocol::id::PlayerId;
use testkit::postgres::{TestDatabase, shared};
use testkit::proxy::{CutAt, Proxy};
use testkit::wait::until;

use super::races::{login, result};
use super::stores::patient;

const NOW: u64 = 1_800_000_000_000;

async fn open(location: &DatabaseLocation) -> Store {
    Store::open(location, patient()).await.expect("a database").with_catalog(Catalog::starter().into())
}

/// A file with players, a match, money, and events that were pruned again.
async fn filled(folder: &Path) -> PathBuf {
    let file = folder.join("metagame.db");
    let store = open(&DatabaseLocation::File(file.clone())).await;
    let mut players = Vec::new();
    for n in 1..=20_u8 {
        players.push(store.login_device(login(u32::from(n), n)).await.expect("a login").player);
    }
    for n in 1..=5 {
        store.record_result(result(n, &players[..2])).await.expect("a result");
    }
    for (n, player) in players.iter().enumerate() {
        let line = GrantLine::Currency { currency: "gold".into(), amount: 10 + n as u64 };
        let gift = Grant::reward(*player, format!("gift:{n}"), vec![line], NOW);
        let given = store.database().write(Domain::Economy, gift, |tx, gift| Box::pin(grant(tx, gift))).await;
        given.expect("given");
    }
    let sql = "INSERT INTO audit (at_ms, kind, subject, detail) VALUES (1, 'noted', '', 'ä \u{1F3AE} ''')";
    for _ in 0..3 {
        store.database().statement(Domain::Operations, sql, args![]).await.expect("noted");
    }
    // The newest numbers are gone, and must not come again.
    let sql = "DELETE FROM audit WHERE audit_id = (SELECT max(audit_id) FROM audit)";
    store.database().statement(Domain::Operations, sql, args![]).await.expect("pruned");
    store.seal_ledger(NOW + 600_000).await.expect("sealed").expect("a seal");
    store.close().await;
    file
}

fn url(database: &TestDatabase) -> PostgresUrl {
    database.url().parse().expect("an address")
}

async fn copy(file: &Path, url: &PostgresUrl) -> Result<StoreCopy, CopyError> {
    copy_to_postgres(file, url, NOW, |_| {}).await
}

/// How many rows there are of everything; a database without tables has none.
fn rows(database: &TestDatabase) -> u64 {
    let sql =
        "SELECT coalesce(sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I', table_name),
               false, true, '')))[1]::text::bigint), 0) FROM information_schema.tables
               WHERE table_schema = 'public' AND table_name NOT IN ('_sqlx_migrations', 'muster_migrations')";
    database.psql(sql).parse().expect("a number")
}

#[tokio::test]
async fn everything_is_moved_and_the_program_goes_on_there() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), TestDatabase::new());
    let file = filled(folder.path()).await;
    let mut told = Vec::new();
    let moved = copy_to_postgres(&file, &url(&database), NOW, |table| told.push(table.clone())).await.expect("moved");
    assert_eq!((moved.was_before, &moved.tables), (false, &told));
    let of = |name: &str| moved.tables.iter().find(|table| table.name == name).map(|table| table.rows);
    assert_eq!(
        (of("accounts"), of("results"), of("journal"), of("ledger_seals")),
        (Some(20), Some(5), Some(30), Some(1))
    );
    let total: u64 = moved.tables.iter().map(|table| table.rows).sum();
    // And the mark that says so.
    assert_eq!(rows(&database), total + 1);

    let store = open(&DatabaseLocation::Postgres(url(&database))).await;
    let books = store.verify_ledger().await.expect("verified");
    assert_eq!((books.faults.as_slice(), books.entries, books.seals), (&[][..], 30, 1));
    assert_eq!(store.xp_mismatches().await.expect("read"), []);
    // The same device is the same player, and numbers go on where they were, not where rows end.
    let again = DeviceLogin { new_player: PlayerId::from_entropy([99; 16]), ..login(7, 7) };
    assert!(!store.login_device(again).await.expect("a login").created);
    let last: u64 = database.psql("SELECT max(audit_id) FROM audit").parse().expect("a number");
    let sql = "INSERT INTO audit (at_ms, kind, subject, detail) VALUES (1, 'next', '', '')";
    store.database().statement(Domain::Operations, sql, args![]).await.expect("noted");
    let next: u64 = database.psql("SELECT max(audit_id) FROM audit").parse().expect("a number");
    assert_eq!(next, last + 2, "a number that was there before comes again");
    store.close().await;
}

#[tokio::test]
async fn a_file_in_use_or_of_another_version_or_none_at_all_is_left_alone() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), TestDatabase::new());
    let none = copy(&folder.path().join("none.db"), &url(&database)).await.expect_err("no file");
    assert!(matches!(none, CopyError::NoFile(_)), "{none}");
    assert!(!folder.path().join("none.db").exists(), "looking makes no file");
    let file = filled(folder.path()).await;
    let metagame = open(&DatabaseLocation::File(file.clone())).await;
    let used = copy(&file, &url(&database)).await.expect_err("it is in use");
    assert!(matches!(used, CopyError::InUse(_)) && used.to_string().contains("stop metagame"), "{used}");
    let sql = "INSERT INTO muster_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)";
    metagame.database().statement(Domain::Operations, sql, args![]).await.expect("a later migration");
    metagame.close().await;
    let later = copy(&file, &url(&database)).await.expect_err("another version");
    assert!(matches!(&later, CopyError::Schema(what) if what.contains("9999")), "{later}");
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is no database, it is a text".repeat(100)).expect("written");
    let broken = copy(&text, &url(&database)).await.expect_err("no database");
    assert!(matches!(broken, CopyError::Open(_)), "{broken}");
    assert_eq!(database.psql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"), "0");
}

#[tokio::test]
async fn a_database_with_something_in_it_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = filled(folder.path()).await;
    let foreign = TestDatabase::new();
    foreign.psql("CREATE TABLE invoices (a int)");
    let refused = copy(&file, &url(&foreign)).await.expect_err("somebody else's");
    assert!(matches!(&refused, CopyError::Foreign { table, .. } if table == "invoices"), "{refused}");
    assert_eq!(foreign.psql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"), "1");

    let used = TestDatabase::new();
    let store = open(&DatabaseLocation::Postgres(url(&used))).await;
    store.login_device(login(1, 1)).await.expect("a login");
    let before = rows(&used);
    let refused = copy(&file, &url(&used)).await.expect_err("there are players");
    assert!(matches!(&refused, CopyError::NotEmpty { table, .. } if table == "accounts"), "{refused}");
    assert_eq!(rows(&used), before);
    store.close().await;

    let locked = TestDatabase::new();
    open(&DatabaseLocation::Postgres(url(&locked))).await.close().await;
    let holder = locked.url();
    let holding = std::process::Command::new(testkit::postgres::programs().expect("installed").join("psql"))
        .args([
            "-X",
            "-q",
            "-d",
            &holder,
            "-c",
            "BEGIN; LOCK TABLE accounts IN ROW EXCLUSIVE MODE; SELECT pg_sleep(60)",
        ])
        .spawn();
    let mut holding = holding.expect("psql runs");
    let is_held = "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
                   WHERE relname = 'accounts' AND mode = 'RowExclusiveLock'";
    until("the lock is held", async || (locked.psql(is_held) != "0").then_some(())).await;
    let refused = copy(&file, &url(&locked)).await.expect_err("somebody writes there");
    assert!(matches!(refused, CopyError::TargetInUse(_)), "{refused}");
    holding.kill().expect("our child");
    holding.wait().expect("our child");
}

/// A table late in the order gets a trigger before it is filled.
async fn with_trigger(body: &str) -> TestDatabase {
    let database = TestDatabase::new();
    open(&DatabaseLocation::Postgres(url(&database))).await.close().await;
    database.psql(&format!(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$;
         CREATE TRIGGER meddle BEFORE INSERT ON wallets FOR EACH ROW EXECUTE FUNCTION meddle()"
    ));
    database
}

#[tokio::test]
async fn a_run_that_was_cut_short_leaves_nothing_and_begins_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = filled(folder.path()).await;
    let database = Arc::new(with_trigger("PERFORM pg_sleep(600)").await);
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'INSERT INTO \"wallets\"%' AND wait_event = 'PgSleep'";
    // On a thread of its own: psql takes its time.
    let is_over = Arc::new(AtomicBool::new(false));
    let cutting = tokio::task::spawn_blocking({
        let (database, is_over) = (Arc::clone(&database), Arc::clone(&is_over));
        move || while !is_over.load(Ordering::Relaxed) && database.psql(kill) == "0" {}
    });
    let url = url(&database);
    let cut = copy(&file, &url).await;
    is_over.store(true, Ordering::Relaxed);
    cutting.await.expect("no panic");
    let cut = cut.expect_err("it was cut off");
    assert!(matches!(&cut, CopyError::Table { table, .. } if table == "wallets"), "{cut}");
    assert!(cut.to_string().contains("begin again"), "{cut}");
    assert_eq!(rows(&database), 0, "half of it was left behind");
    database.psql("DROP FUNCTION meddle CASCADE");
    assert!(!copy(&file, &url).await.expect("moved").was_before);
    assert!(rows(&database) > 100);
}

#[tokio::test]
async fn what_is_not_the_same_over_there_is_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = filled(folder.path()).await;
    for meddling in ["NEW.balance := NEW.balance + 1", "IF NEW.balance = 15 THEN RETURN NULL; END IF"] {
        let database = with_trigger(meddling).await;
        let differs = copy(&file, &url(&database)).await.expect_err("not the same");
        assert!(matches!(&differs, CopyError::Differs { table, .. } if table == "wallets"), "{differs}");
        assert_eq!(rows(&database), 0);
    }
}

#[tokio::test]
async fn who_was_not_told_of_the_commit_asks_again_and_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = filled(folder.path()).await;
    for (at, was_before) in [(CutAt::BeforeCommit, false), (CutAt::AfterCommit, true)] {
        let database = TestDatabase::new();
        open(&DatabaseLocation::Postgres(url(&database))).await.close().await;
        let port = shared().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
        let proxy = Proxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
        let through = format!("postgres://postgres@{}/{}?sslmode=disable", proxy.address(), database.name());
        let through: PostgresUrl = through.parse().expect("an address");
        proxy.cut_commits(at, 1);
        let unknown = copy(&file, &through).await.expect_err("nobody knows");
        assert!(matches!(unknown, CopyError::Unknown(_)), "{unknown}");
        // The server learns of the cut a moment later.
        let again = until("the broken one is over", async || match copy(&file, &through).await {
            Err(CopyError::TargetInUse(_)) => None,
            other => Some(other),
        });
        let again = again.await.expect("told");
        assert_eq!(again.was_before, was_before, "{at:?}");
        assert_eq!(again.tables, copy(&file, &url(&database)).await.expect("told once more").tables);
        // Once either side has gone on there is no way to say that they are the same.
        let store = open(&DatabaseLocation::Postgres(url(&database))).await;
        store.login_device(login(99, 99)).await.expect("a login");
        store.close().await;
        let refused = copy(&file, &url(&database)).await.expect_err("it is in use there");
        assert!(matches!(refused, CopyError::MovedBefore { .. }), "{refused}");
    }
}
