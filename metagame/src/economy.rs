//! What the economy needs to run: its catalog, and the work that goes on in the background.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use service::Shutdown;

use crate::core::catalog::{Catalog, CatalogFaults, file};
use crate::store::{Store, StoreError};
use crate::stripe::settings::StripeSettings;

/// How often the books are sealed.
const SEAL_EVERY: Duration = Duration::from_secs(10);
/// Largest catalog that is read.
const CATALOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Settings of the economy.
#[derive(Debug, Clone)]
pub struct Economy {
    /// Currencies, items, offers, recipes, rewards.
    pub catalog: Arc<Catalog>,
    /// Who takes money of the world; without it nothing is sold for that.
    pub stripe: Option<StripeSettings>,
}

impl Default for Economy {
    fn default() -> Self {
        Self { catalog: Arc::new(Catalog::starter()), stripe: None }
    }
}

/// Reads a catalog file.
///
/// # Errors
/// [`CatalogFaults`], all at once.
pub fn read_catalog(path: &Path) -> Result<Catalog, CatalogFaults> {
    let fault = |what: String| CatalogFaults { faults: vec![format!("  {}: {what}", path.display())] };
    let meta = std::fs::metadata(path).map_err(|error| fault(format!("cannot read it: {error}")))?;
    if meta.len() > CATALOG_BYTES_MAX {
        return Err(fault(format!("it has more than {CATALOG_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot read it: {error}")))?;
    file::parse(&text)
}

/// Keeps the catalog under its version, so that the books' entries can be understood later.
///
/// # Errors
/// [`CatalogError`].
pub(crate) async fn keep_catalog(store: &Store, catalog: &Catalog) -> Result<(), CatalogError> {
    let kept = store.keep_catalog(catalog.version, catalog.source.clone(), service::clock::unix_ms()).await?;
    if kept == catalog.source { Ok(()) } else { Err(CatalogError::Changed(catalog.version)) }
}

/// Why a catalog cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It has changed and its version has not.
    #[error(
        "the catalog of version {0} is not the one that was used before under this number: raise `version` in the file \
         with every change, so that the books say what was sold"
    )]
    Changed(u32),
    /// The database failed.
    #[error("cannot keep the catalog in the database: {0}")]
    Store(#[from] StoreError),
}

/// Seals the books until shutdown. The log gets every seal: whoever keeps logs elsewhere can prove later that the books are
/// those of then.
pub(crate) async fn seal(store: Store, shutdown: Shutdown) {
    loop {
        let wait = match store.seal_ledger(service::clock::unix_ms()).await {
            Ok(Some(seal)) => {
                let (hash, root) = (hex::encode(seal.hash), hex::encode(seal.root));
                tracing::info!(number = seal.number, entries = seal.entries, hash, root, "the books are sealed");
                Duration::ZERO
            }
            Ok(None) => SEAL_EVERY,
            Err(error) => {
                tracing::warn!(%error, "cannot seal the books; trying again");
                SEAL_EVERY
            }
        };
        if let Err(error) = store.end_trades(service::clock::unix_ms()).await {
            tracing::warn!(%error, "cannot end trades whose time is over; trying again");
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
