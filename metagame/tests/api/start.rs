//! What keeps metagame from starting, and what it says then.

use std::path::PathBuf;

use metagame::{DatabaseLocation, StartError, start};
use service::Shutdown;

use super::harness::Harness;

/// The error's text when metagame starts on the stopped harness's files.
async fn start_error(harness: &Harness) -> StartError {
    start(harness.config.clone(), Shutdown::new()).await.expect_err("it does not start")
}

fn file(harness: &Harness) -> PathBuf {
    match &harness.config.database {
        DatabaseLocation::File(path) => path.clone(),
        DatabaseLocation::Postgres(url) => panic!("{url} is no file"),
    }
}

#[tokio::test]
async fn a_damaged_database_is_named_with_the_way_out() {
    let mut harness = Harness::start().await;
    harness.login(1).await;
    harness.stop().await;
    let path = file(&harness);
    for wal in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{wal}", path.display()));
    }
    let whole = std::fs::read(&path).expect("the database");
    let mut torn = whole.clone();
    torn[4_096..12_288].fill(0xA5);
    for damaged in [b"this is not a database, it is a text".repeat(200), torn] {
        std::fs::write(&path, damaged).expect("write");
        let error = start_error(&harness).await;
        let text = error.to_string();
        assert!(matches!(error, StartError::Database(_)), "{text}");
        assert!(text.contains(&path.display().to_string()) && text.contains("restore it from a backup"), "{text}");
    }
    std::fs::write(&path, whole).expect("write");
    assert!(start(harness.config.clone(), harness.shutdown.clone()).await.is_ok(), "the backup works");
}

#[tokio::test]
async fn a_database_that_cannot_be_written_is_named_with_the_way_out() {
    let mut harness = Harness::start().await;
    harness.stop().await;
    let folder = harness.folder.path().to_owned();
    harness.config.database = DatabaseLocation::File(folder.clone());
    let text = start_error(&harness).await.to_string();
    assert!(text.contains("cannot open the database") && text.contains("choose another place"), "{text}");
    harness.config.database = DatabaseLocation::File(folder.join("service.key").join("metagame.db"));
    let text = start_error(&harness).await.to_string();
    assert!(text.contains("cannot make the folder of the database"), "{text}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let mut harness = Harness::start().await;
    harness.stop().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file(&harness));
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("open");
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&pool)
        .await
        .expect("write");
    pool.close().await;
    let text = start_error(&harness).await.to_string();
    assert!(text.contains("does not fit this version"), "{text}");
}

#[tokio::test]
async fn a_database_sealed_under_another_key_file_is_left_alone() {
    let mut harness = Harness::start().await;
    harness.stop().await;
    let kept = harness.config.vault_key_file.clone();
    harness.config.vault_key_file = harness.folder.path().join("another.key");
    let text = start_error(&harness).await.to_string();
    assert!(text.contains("another.key") && text.contains("restore the key file"), "{text}");
    harness.config.vault_key_file = kept;
    assert!(start(harness.config.clone(), harness.shutdown.clone()).await.is_ok(), "with its own it starts");
}

#[tokio::test]
async fn ports_addresses_and_figures_are_checked() {
    let mut harness = Harness::start().await;
    let taken = harness.url("").trim_start_matches("http://").parse().expect("an address");
    let good = harness.config.clone();
    harness.config.api_address = taken;
    let text = start_error(&harness).await.to_string();
    assert!(text.contains("metagame API") && text.contains("in use"), "{text}");
    harness.config = metagame::Config { matchmaker_url: "localhost".into(), ..good.clone() };
    let text = start_error(&harness).await.to_string();
    assert!(text.contains("matchmaker") && text.contains("http://host:port"), "{text}");
    harness.config = good;
    let mut rules = metagame::Progression::default();
    rules.xp.levels = vec![5, 5];
    harness.config.parts.progression = rules.into();
    assert!(matches!(start_error(&harness).await, StartError::Progression(_)));
}
