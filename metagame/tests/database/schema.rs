//! The schema is the same on both engines, and files of earlier versions open.

use std::collections::BTreeMap;

use metagame::DatabaseLocation;
use metagame::args;
use metagame::db::{Domain, Sql};
use metagame::store::Store;

use super::stores::{patient, stores};

/// Tables with their columns, as kinds that both engines have.
const COLUMNS: Sql = Sql::by_engine(
    "SELECT m.name, c.name, CASE c.type WHEN 'INTEGER' THEN 'integer' WHEN 'TEXT' THEN 'text' WHEN 'REAL' THEN 'real'
            WHEN 'BLOB' THEN 'bytes' ELSE c.type END || CASE WHEN c.\"notnull\" = 1 THEN ' not null' ELSE '' END
     FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
     WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '_sqlx%' AND m.name <> 'muster_migrations' ORDER BY m.name, c.name",
    "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CASE data_type WHEN 'bigint' THEN 'integer'
            WHEN 'double precision' THEN 'real' WHEN 'bytea' THEN 'bytes' ELSE data_type END
            || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END
     FROM information_schema.columns WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_sqlx%'
     AND table_name <> 'muster_migrations'
     ORDER BY table_name COLLATE \"C\", column_name COLLATE \"C\"",
);

const INDEXES: Sql = Sql::by_engine(
    "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
    "SELECT CAST(indexname AS TEXT), CAST(tablename AS TEXT) FROM pg_indexes WHERE schemaname = 'public'
     AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key' ORDER BY indexname COLLATE \"C\"",
);

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_and_indexes() {
    let mut schemas = Vec::new();
    for (store, _keep) in stores().await {
        let columns: Vec<(String, String, String)> =
            store.database().all(Domain::Operations, COLUMNS, args![]).await.expect("columns");
        let mut tables = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (table, column, kind) in columns {
            tables.entry(table).or_default().insert(column, kind);
        }
        let indexes: Vec<(String, String)> =
            store.database().all(Domain::Operations, INDEXES, args![]).await.expect("indexes");
        schemas.push((tables, indexes));
    }
    assert!(schemas[0].0.len() > 10 && schemas[0].1.len() > 5, "{schemas:?}");
    assert_eq!(schemas[0], schemas[1]);
}

#[tokio::test]
async fn a_file_of_the_first_version_opens_with_what_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("metagame.db");
    // Files know their migrations by checksum: each is run here as the program before the database layer ran it.
    let whole = sqlx::migrate!("./migrations");
    let first = whole.iter().filter(|migration| migration.version <= 4).cloned().collect();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a file");
    sqlx::migrate::Migrator::with_migrations(first).run(&pool).await.expect("the first version");
    sqlx::query("INSERT INTO accounts VALUES (zeroblob(16), 'Ada', 3, 1, 0, 0, 0)").execute(&pool).await.expect("Ada");
    pool.close().await;
    let store = Store::open(&DatabaseLocation::File(path), patient()).await.expect("it opens");
    let names: Vec<String> =
        store.database().all(Domain::Players, "SELECT name FROM accounts", args![]).await.expect("read");
    assert_eq!(names, ["Ada"]);
    store.close().await;
    // A rollback: the program of the first version looks at its own table of migrations, and refuses one that names more.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("metagame.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("the file");
    let first = whole.iter().filter(|migration| migration.version <= 4).cloned().collect();
    sqlx::migrate::Migrator::with_migrations(first).run(&pool).await.expect("the first version runs again");
}
