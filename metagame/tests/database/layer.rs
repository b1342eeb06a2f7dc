//! What holds on both engines in fair weather.

use metagame::args;
use metagame::db::{Database, Domain, List, Sql, StoreError};
use protocol::id::PlayerId;

use super::stores::{Keep, stores};

/// Databases with a table of numbers.
async fn databases() -> Vec<(Database, Keep)> {
    let mut databases = Vec::new();
    for (store, keep) in stores().await {
        let db = store.database().clone();
        let sql = Sql::by_engine(
            "CREATE TABLE numbers (id BLOB NOT NULL PRIMARY KEY, n INTEGER, t TEXT, r REAL) STRICT",
            "CREATE TABLE numbers (id BYTEA NOT NULL PRIMARY KEY, n BIGINT, t TEXT, r DOUBLE PRECISION)",
        );
        db.statement(Domain::Operations, sql, args![]).await.expect("a table");
        databases.push((db, keep));
    }
    databases
}

fn id(n: u8) -> PlayerId {
    PlayerId::from_entropy([n; 16])
}

/// Id, integer, text, real, whether the integer is NULL.
type NumberRow = (PlayerId, Option<u64>, Option<String>, Option<f64>, bool);

const INSERT: &str = "INSERT INTO numbers (id, n, t, r) VALUES ($1, $2, $3, $4)";

#[tokio::test]
async fn every_type_comes_back_as_it_went() {
    for (db, _keep) in databases().await {
        let args = args![id(1), u64::MAX, "päd", 0.5_f64];
        assert_eq!(db.statement(Domain::Players, INSERT, args).await.expect("written"), 1);
        let args = args![id(2), None::<u64>, None::<String>, None::<f64>];
        db.statement(Domain::Players, INSERT, args).await.expect("written");
        let sql = "SELECT id, n, t, r, n IS NULL FROM numbers WHERE id IN blobs($1) ORDER BY id = $2";
        let rows: Vec<NumberRow> =
            db.all(Domain::Players, sql, args![List(&[id(1), id(2), id(3)]), id(2)]).await.expect("read");
        let (one, two) = (&rows[0], &rows[1]);
        assert_eq!(*one, (id(1), Some(i64::MAX as u64), Some("päd".into()), Some(0.5), false));
        assert_eq!(*two, (id(2), None, None, None, true));
        let wrong = db.one::<[u8; 32]>(Domain::Players, "SELECT id FROM numbers", args![]).await;
        assert!(matches!(wrong, Err(StoreError::Unreadable(_))), "{wrong:?}");
        let sql = "SELECT n FROM numbers WHERE t IN texts($1) OR n IN ints($2)";
        let none: Option<u64> =
            db.optional(Domain::Players, sql, args![List(&["x"]), List(&[7_u64])]).await.expect("read");
        assert_eq!(none, None);
    }
}

#[tokio::test]
async fn an_error_takes_back_its_use_case_and_no_other() {
    for (db, _keep) in databases().await {
        let mut writes = Vec::new();
        for n in 0..40_u8 {
            let db = db.clone();
            writes.push(tokio::spawn(async move {
                db.write(Domain::Economy, n, |tx, n| {
                    Box::pin(async move {
                        tx.execute(INSERT, args![id(*n), u64::from(*n), "", 0.0_f64]).await?;
                        if n % 4 == 0 { Err(StoreError::Failed("refused".into())) } else { Ok(*n) }
                    })
                })
                .await
            }));
        }
        for (n, write) in writes.into_iter().enumerate() {
            assert_eq!(write.await.expect("no panic").is_ok(), n % 4 != 0);
        }
        let kept: u64 = db.one(Domain::Economy, "SELECT count(*) FROM numbers", args![]).await.expect("read");
        assert_eq!(kept, 30);
    }
}

#[tokio::test]
async fn a_use_case_that_swallows_an_error_is_not_answered_with_success() {
    for (db, _keep) in databases().await {
        db.statement(Domain::Economy, INSERT, args![id(1), 1_u64, "", 0.0_f64]).await.expect("written");
        let done = db
            .write(Domain::Economy, (), |tx, ()| {
                Box::pin(async move {
                    tx.execute(INSERT, args![id(2), 2_u64, "", 0.0_f64]).await?;
                    let _ = tx.execute("INSERT INTO nowhere (a) VALUES ($1)", args![1_u64]).await;
                    Ok(())
                })
            })
            .await;
        let kept: u64 = db.one(Domain::Economy, "SELECT count(*) FROM numbers", args![]).await.expect("read");
        assert!(done.is_err() && kept == 1, "{done:?}, {kept}");
    }
}

#[tokio::test]
async fn a_panic_takes_back_its_use_case_and_the_next_one_works() {
    for (db, _keep) in databases().await {
        let panicking = db.clone();
        let done = tokio::spawn(async move {
            panicking
                .write(Domain::Economy, (), |tx, ()| {
                    Box::pin(async move {
                        tx.execute(INSERT, args![id(1), 1_u64, "", 0.0_f64]).await?;
                        if tx.optional::<u64>("SELECT 1", args![]).await?.is_some() {
                            panic!("on purpose");
                        }
                        Ok(())
                    })
                })
                .await
        });
        assert!(!matches!(done.await, Ok(Ok(()))));
        db.statement(Domain::Economy, INSERT, args![id(2), 2_u64, "", 0.0_f64]).await.expect("the next one");
        let kept: Vec<u64> = db.all(Domain::Economy, "SELECT n FROM numbers", args![]).await.expect("read");
        assert_eq!(kept, [2]);
    }
}

#[tokio::test]
async fn a_read_of_several_statements_sees_one_moment_and_cannot_write() {
    for (db, _keep) in databases().await {
        let other = db.clone();
        let seen = db
            .read(Domain::Players, other, |tx, other| {
                Box::pin(async move {
                    let before: u64 = tx.one("SELECT count(*) FROM numbers", args![]).await?;
                    other.statement(Domain::Economy, INSERT, args![id(1), 1_u64, "", 0.0_f64]).await?;
                    let after: u64 = tx.one("SELECT count(*) FROM numbers", args![]).await?;
                    Ok((before, after))
                })
            })
            .await;
        assert_eq!(seen.expect("read"), (0, 0));
        let written = db
            .read(Domain::Players, (), |tx, ()| {
                Box::pin(async move { tx.execute("DELETE FROM numbers", args![]).await })
            })
            .await;
        assert!(written.is_err());
        let kept: u64 = db.one(Domain::Players, "SELECT count(*) FROM numbers", args![]).await.expect("read");
        assert_eq!(kept, 1);
    }
}

#[tokio::test]
async fn what_begins_with_a_caller_that_goes_away_ends_all_the_same() {
    for (db, _keep) in databases().await {
        for n in 0..20_u8 {
            let write = db.statement(Domain::Social, INSERT, args![id(n), u64::from(n), "", 0.0_f64]);
            // Polled once, then dropped.
            let _ = tokio::time::timeout(std::time::Duration::ZERO, write).await;
        }
        db.statement(Domain::Social, INSERT, args![id(99), 99_u64, "", 0.0_f64]).await.expect("it works on");
        db.close().await;
        let after = db.one::<u64>(Domain::Social, "SELECT 1", args![]).await;
        assert!(after.is_err(), "closed is closed");
    }
}
