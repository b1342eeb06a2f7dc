//! Forgetting a player on both engines: nothing personal is left in a dump, the books balance, everybody else is whole, and no
//! table is left out.

mod stores;

use std::collections::{BTreeMap, BTreeSet};

use metagame::args;
use metagame::db::{Domain, Sql};
use metagame::store::Store;
use metagame::store::privacy::held::{Erase, HELD, NOTHING};
use stores::stores;

/// Tables and their columns, but for the lists of migrations.
async fn schema(store: &Store) -> BTreeMap<String, BTreeSet<String>> {
    const COLUMNS: Sql = Sql::by_engine(
        "SELECT tables.name, columns.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table'",
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns
         WHERE table_schema = 'public'",
    );
    let rows: Vec<(String, String)> =
        store.database().all(Domain::Operations, COLUMNS, args![]).await.expect("a schema");
    let mut tables = BTreeMap::<String, BTreeSet<String>>::new();
    for (table, column) in rows {
        if !["_sqlx_migrations", "muster_migrations", "sqlite_sequence"].contains(&table.as_str()) {
            tables.entry(table).or_default().insert(column);
        }
    }
    tables
}

/// Whether a column of this name says whose a row is.
fn names_a_player(column: &str) -> bool {
    matches!(
        column,
        "player_id" | "account" | "other_id" | "sender_id" | "leader_id" | "from_id" | "owner" | "subject_id"
    ) || column.ends_with("_player")
        || column.ends_with("player_id")
        || column.ends_with("account_id")
}

#[tokio::test]
async fn every_table_says_what_an_export_and_an_erasure_do_with_it() {
    for (store, _keep) in stores().await {
        let tables = schema(&store).await;
        assert!(tables.len() > 40, "the schema was read: {tables:?}");
        let listed: BTreeSet<&str> = HELD.iter().map(|held| held.table).collect();
        let nothing: BTreeSet<&str> = NOTHING.iter().map(|(table, _)| *table).collect();
        for (table, columns) in &tables {
            assert!(
                listed.contains(table.as_str()) != nothing.contains(table.as_str()),
                "the table {table} needs lines in HELD, or one in NOTHING that says why: metagame/src/store/privacy/held.rs"
            );
            for column in columns.iter().filter(|column| names_a_player(column)) {
                assert!(
                    HELD.iter().any(|held| held.table == table && held.column == column),
                    "the column {column} of {table} names a player: it needs a line in metagame/src/store/privacy/held.rs"
                );
            }
        }
        for held in HELD.iter().filter(|held| held.table != "outbox") {
            let columns = tables.get(held.table).unwrap_or_else(|| panic!("there is no table {}", held.table));
            let sealed = held.sealed.iter().map(|(column, _)| column);
            for column in [&held.column].into_iter().chain(held.key).chain(held.hidden).chain(sealed) {
                let is_joined = held.first.contains(" JOIN ");
                assert!(columns.contains(*column) || is_joined, "{} has no column {column}", held.table);
            }
            if let Erase::Kept(why) = held.erase {
                assert!(!why.is_empty(), "{} is kept and nobody knows why", held.table);
            }
        }
        for (table, why) in NOTHING {
            assert!(tables.contains_key(*table) && !why.is_empty(), "{table}");
        }
    }
}
