//! Both databases, empty, for tests that every use case must pass on each.

use std::path::PathBuf;
use std::time::Duration;

use metagame::store::Store;
use metagame::{DatabaseLimits, DatabaseLocation};
use testkit::postgres::TestDatabase;

/// What keeps a store's data; gone when it is dropped.
pub(crate) enum Keep {
    /// The folder of the SQLite file.
    Folder(tempfile::TempDir),
    /// The database on the tests' PostgreSQL server.
    Database(TestDatabase),
}

impl Keep {
    /// Where the data is.
    pub(crate) fn location(&self) -> DatabaseLocation {
        match self {
            Self::Folder(folder) => DatabaseLocation::File(PathBuf::from(folder.path()).join("metagame.db")),
            Self::Database(database) => DatabaseLocation::parse(&database.url()).expect("an address"),
        }
    }

    /// Opens it, once more if it was open.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.location(), patient()).await.expect("a database")
    }
}

/// Bounds for tests that are not about time: the machine may be busy with others.
pub(crate) fn patient() -> DatabaseLimits {
    DatabaseLimits { patience: Duration::from_secs(30), ..DatabaseLimits::default() }
}

/// A place on each engine.
pub(crate) fn places() -> Vec<Keep> {
    vec![Keep::Folder(tempfile::tempdir().expect("a temporary folder")), Keep::Database(TestDatabase::new())]
}

/// A store on each engine.
pub(crate) async fn stores() -> Vec<(Store, Keep)> {
    let mut stores = Vec::new();
    for place in places() {
        stores.push((place.open().await, place));
    }
    stores
}
