//! What was acknowledged is on the disk: as many syncs as commits, counted where they happen.

use std::process::{Command, Stdio};

use metagame::DatabaseLocation;
use metagame::args;
use metagame::db::{Domain, Engine, Sql};
use metagame::store::Store;

use super::races::login;
use super::stores::{patient, stores};

/// Set for the copy of this program that is watched: the folder of its database.
const WATCHED: &str = "MUSTER_TEST_FSYNC_FOLDER";
const LOGINS: u8 = 20;

#[tokio::test]
async fn the_settings_are_those_of_a_database_that_loses_nothing() {
    for (store, _keep) in stores().await {
        let db = store.database();
        let setting =
            |sql: Sql| async move { db.one::<String>(Domain::Operations, sql, args![]).await.expect("a setting") };
        match db.engine() {
            Engine::Sqlite => {
                let synchronous: u64 =
                    db.one(Domain::Operations, "PRAGMA synchronous", args![]).await.expect("a setting");
                assert_eq!(
                    (synchronous, setting("PRAGMA journal_mode".into()).await.as_str()),
                    (2, "wal"),
                    "2 is FULL"
                );
                let temporary: u64 = db.one(Domain::Operations, "PRAGMA temp_store", args![]).await.expect("a setting");
                assert_eq!(temporary, 2, "in memory: a container from scratch has no folder for temporary files");
            }
            Engine::Postgres => {
                assert_eq!(setting("SHOW synchronous_commit".into()).await, "on");
                assert_eq!(setting("SHOW fsync".into()).await, "on");
            }
        }
    }
}

/// Killing a process proves nothing about the disk: the kernel keeps what was written. So the system calls are counted.
#[test]
fn sqlite_syncs_its_file_at_least_once_for_every_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = folder.path().join("calls");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&calls)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "fsync::logins_one_after_another", "--ignored"])
        .env(WATCHED, folder.path())
        .stdout(Stdio::null())
        .status()
        .expect("the tests need strace: install it (Debian: sudo apt-get install strace)");
    assert!(status.success(), "{status}");
    let calls = std::fs::read_to_string(calls).expect("the calls");
    let syncs = calls.lines().filter(|line| line.contains("sync(") && line.ends_with("= 0")).count();
    assert!(syncs >= usize::from(LOGINS), "{syncs} syncs for {LOGINS} commits:\n{calls}");
}

/// Not a test of its own: what the one above watches. One after another, so each is a group by itself.
#[tokio::test]
#[ignore = "run by sqlite_syncs_its_file_at_least_once_for_every_group"]
async fn logins_one_after_another() {
    let folder = std::env::var_os(WATCHED).expect("run by the test above");
    let path = std::path::PathBuf::from(folder).join("metagame.db");
    let store = Store::open(&DatabaseLocation::File(path), patient()).await.expect("a database");
    for n in 0..LOGINS {
        store.login_device(login(u32::from(n), n)).await.expect("a login");
    }
}

#[tokio::test]
async fn postgres_syncs_its_log_for_commits() {
    for (store, _keep) in stores().await {
        if store.database().engine() == Engine::Sqlite {
            continue;
        }
        // Others share the server, which only makes the count higher; that fsync is on is asserted above.
        let syncs = || async {
            let sql = "SELECT wal_sync FROM pg_stat_wal";
            store.database().one::<u64>(Domain::Operations, sql, args![]).await.expect("a count")
        };
        let before = syncs().await;
        for n in 0..LOGINS {
            store.login_device(login(u32::from(n), n)).await.expect("a login");
        }
        // A connection reports its counts when it has been idle for a moment.
        testkit::wait::until("the log was synced", || async { (syncs().await > before).then_some(()) }).await;
    }
}
