//! What progression needs to run: its rules, kept by version, and the archive of its seasons.

use std::sync::Arc;
use std::time::Duration;

use service::Shutdown;

use crate::core::progression::Progression;
use crate::store::{Store, StoreError};

/// How often it is looked whether a season is over.
const ARCHIVE_EVERY: Duration = Duration::from_secs(60);

/// Why rules cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum ProgressionError {
    /// The levels do not ascend.
    #[error("the progression's levels must ascend: correct the list")]
    Levels,
    /// They have changed and their version has not.
    #[error(
        "the progression of version {0} is not the one that was used before under this number: raise `version` in the \
         file with every change, so that what players have says which rules gave it"
    )]
    Changed(u32),
    /// The database failed.
    #[error("cannot keep the progression in the database: {0}")]
    Store(#[from] StoreError),
}

/// Keeps rules under their version, so that rows that name it can be understood later.
///
/// # Errors
/// [`ProgressionError`].
pub(crate) async fn keep(store: &Store, rules: &Progression) -> Result<(), ProgressionError> {
    if !rules.xp.is_valid() {
        return Err(ProgressionError::Levels);
    }
    let kept = store.keep_progression(rules.version, rules.source.clone(), service::clock::unix_ms()).await?;
    if kept == rules.source { Ok(()) } else { Err(ProgressionError::Changed(rules.version)) }
}

/// Archives seasons that are over, until shutdown.
pub(crate) async fn archive(store: Store, rules: Arc<Progression>, shutdown: Shutdown) {
    loop {
        match store.archive_seasons(Arc::clone(&rules), service::clock::unix_ms()).await {
            Ok(0) => {}
            Ok(seasons) => tracing::info!(seasons, "seasons are over and archived"),
            Err(error) => tracing::warn!(%error, "cannot archive seasons; trying again"),
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(ARCHIVE_EVERY) => {}
        }
    }
}
