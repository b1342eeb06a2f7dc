//! What metagame keeps, as use cases: each method of [`Store`] is one thing that happens, whole or not at all.
//!
//! One file per part of metagame, each with an `impl Store` of its own; a use case decides by the rules of
//! [`crate::core`], loads what the rule asks for and writes what it says, over [`crate::db`]. All of them pass the same
//! tests on both databases (`tests/store_conformance.rs`). A new part is a new file here and one line below.

mod accounts;
mod acts;
mod audit;
mod boards;
mod codes;
pub mod economy;
pub(crate) mod events;
mod factors;
mod federation;
pub mod gamemesh;
mod guard;
pub mod inventory;
mod keys;
mod kv;
mod leaderboards;
mod links;
mod live;
mod loadouts;
mod logins;
mod matches;
mod operations;
mod outbox;
mod passkeys;
mod passwords;
mod players;
pub mod privacy;
pub mod progression;
mod proofs;
mod results;
mod rules;
mod sanctions;
mod sessions;
mod settings;
mod signing_keys;
pub mod social;
pub mod telemetry;
mod tickets;
mod types;
mod vault;
mod webhook_types;
mod webhooks;

use std::sync::Arc;

use tokio::sync::watch;

use crate::core::catalog::Catalog;
use crate::db::{Database, DatabaseLimits, DatabaseLocation, OpenError};

pub use crate::db::StoreError;
pub use acts::{ActFilter, Order};
pub use codes::*;
pub use events::{BACKLOG_MAX, EventBacklog, Wants};
pub use factors::{Shown, StoredTotp, TotpConfirmation};
pub use federation::{FederatedLink, FederatedLoggedIn, FederatedLogin};
pub use guard::GuardKeys;
pub use kv::ListedValue;
pub use leaderboards::{Changed, Changes, EntryRow, ScoreSet, ScoreWrite};
pub use links::{Linked, ListedIdentity, NewLink, PasswordLink, Unlinked};
pub use live::{KeptVerdict, LiveVersion, NewVerdict, Published};
pub use loadouts::{Loadout, LoadoutSaved};
pub use passkeys::{NewPasskey, PasskeyAdded, PasskeyUse, StoredPasskey};
pub use passwords::*;
pub use players::{FoundPlayer, Movement};
pub use proofs::{BegunProof, ProofId, UsedProof};
pub(crate) use sanctions::subject;
pub use sanctions::{NewSanction, Sanction, Sanctioned};
pub use sessions::{ListedSession, NewSession, Revocation};
pub use signing_keys::{NewSigningKey, StoredSigningKey};
pub use types::*;
pub use webhook_types::*;

/// The use cases; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Database,
    /// Changes when deliveries may have become due.
    news: watch::Sender<()>,
    catalog: Arc<Catalog>,
    logins: logins::Logins,
    profiles: accounts::Profiles,
    values: kv::Values,
    /// Hears of changed entries of leaderboards.
    entries: leaderboards::EntryObserver,
}

impl Store {
    /// Opens the database; see [`Database::open`].
    ///
    /// # Errors
    /// [`OpenError`], which names the database and what to do.
    pub async fn open(location: &DatabaseLocation, limits: DatabaseLimits) -> Result<Self, OpenError> {
        let store = Self::new(Database::open(location, limits).await?);
        if let Err(error) = store.look_for_listeners().await {
            tracing::warn!(%error, "cannot ask who takes events; they are written as if somebody did");
        }
        Ok(store)
    }

    /// The use cases over a database that is open.
    pub fn new(db: Database) -> Self {
        Self {
            logins: logins::logins(&db),
            profiles: accounts::profiles(&db),
            values: kv::values(&db),
            db,
            news: watch::Sender::new(()),
            entries: leaderboards::EntryObserver::default(),
            catalog: Arc::default(),
        }
    }

    /// The same, with what is sold and what matches give.
    pub fn with_catalog(self, catalog: Arc<Catalog>) -> Self {
        Self { catalog, ..self }
    }

    /// What is sold and what matches give.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// What they are written over.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// Closes the database, after the use cases under way.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
