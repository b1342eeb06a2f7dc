//! Where metagame keeps its data: a file in the data folder, or a database on a PostgreSQL server.

use std::path::{Path, PathBuf};

use clap::Args;
use metagame::store::Store;
use metagame::{DatabaseLimits, DatabaseLocation};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::parts::given;

/// The file in the data folder, where nothing else is said.
const FILE: &str = "metagame.db";

/// Options of every command that runs metagame.
#[derive(Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct DatabaseOptions {
    /// Keep accounts, matches and results there: postgres://user:password@host:5432/database, or a SQLite file. Without it
    /// metagame.db in the data folder.
    #[arg(
        long,
        env = "MUSTER_DATABASE",
        hide_env_values = true,
        value_name = "URL",
        conflicts_with = "database_file",
        help_heading = "Database"
    )]
    pub(crate) database: Option<String>,
    /// File that holds what --database would say: a password is safe there.
    #[arg(long, env = "MUSTER_DATABASE_FILE", value_name = "FILE", help_heading = "Database")]
    pub(crate) database_file: Option<PathBuf>,
}

/// The address may hold a password.
impl std::fmt::Debug for DatabaseOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DatabaseOptions").field("database_file", &self.database_file).finish_non_exhaustive()
    }
}

impl DatabaseOptions {
    /// Where it is; `data` is the data folder.
    pub(crate) fn location(&self, data: &Path) -> Result<DatabaseLocation, Failure> {
        let Some(given) = given(self.database.as_ref(), "--database-file", self.database_file.as_deref())? else {
            return Ok(DatabaseLocation::File(data.join(FILE)));
        };
        DatabaseLocation::parse(&given).map_err(Failure::setup)
    }

    /// Opens it for one look at it, and closes it again.
    pub(crate) fn look<T>(
        &self,
        data: &Path,
        look: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let location = self.location(data)?;
        let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
        runtime.block_on(async {
            let store = Store::open(&location, DatabaseLimits::default()).await.map_err(Failure::setup)?;
            let seen = look(&store).await?;
            store.close().await;
            Ok(seen)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_it_is_a_file_in_the_data_folder() {
        let location = DatabaseOptions::default().location(Path::new("here")).expect("a place");
        assert_eq!(location.to_string(), "here/metagame.db");
    }

    #[test]
    fn a_password_in_a_file_is_read_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://muster:hush@db.example/game\n").expect("write");
        let options = DatabaseOptions { database: None, database_file: Some(file) };
        let location = options.location(Path::new("here")).expect("a place");
        assert_eq!(location.to_string(), "postgres://db.example:5432/game");
        let given = DatabaseOptions { database: Some("postgres://muster:hush@x:y/game".into()), database_file: None };
        let fault = given.location(Path::new("here")).expect_err("no port");
        assert!(!format!("{fault:?}{given:?}").contains("hush"));
    }
}
