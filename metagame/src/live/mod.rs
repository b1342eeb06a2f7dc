//! Live operations: events and settings that hold now, and vendors that may send verdicts.
//!
//! What holds is the newest version in the database. An instance that publishes knows it at once, the others look every two
//! seconds. Requests are answered from memory.

pub(crate) mod admin;
mod settings;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use service::Shutdown;

use crate::core::live::document::{Document, DocumentForm, LiveFile};
use crate::core::live::verdict::Policy;
use crate::core::webhook::Secret;
use crate::problem::Problem;
use crate::rules::Hook;
use crate::store::{LiveVersion, Published, Store, StoreError};

pub use settings::{IntegrationFaults, read_integrations};

/// How long another instance's version may be unknown here.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What live operations are given.
#[derive(Debug, Clone, Default)]
pub struct LiveSettings {
    /// Events and settings of a file.
    pub file: Option<LiveFile>,
    /// Whose verdicts are taken.
    pub integrations: Integrations,
}

/// Others who may speak to metagame, or are asked by it.
#[derive(Debug, Clone, Default)]
pub struct Integrations {
    /// Vendors of anti-cheat.
    pub anti_cheat: Vec<AntiCheat>,
    /// Services of the studio that are asked before acts.
    pub hooks: Vec<Hook>,
}

/// A vendor of anti-cheat.
#[derive(Debug, Clone)]
pub struct AntiCheat {
    /// Its name in addresses and in the records.
    pub name: String,
    /// What its messages are signed with.
    pub(crate) secrets: Vec<Secret>,
    /// What follows from its verdicts.
    pub(crate) policy: Policy,
}

/// Why live operations do not start.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The file has changed and its version has not.
    #[error(
        "the events and settings of version {0} are not those that were published under this number: raise `version` in the \
         file with every change, above what operators have published meanwhile (GET /live on the admin port)"
    )]
    Changed(u64),
    /// The database failed.
    #[error("cannot keep events and settings in the database: {0}")]
    Store(#[from] StoreError),
}

/// What holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// 0 before the first version.
    pub(crate) version: u64,
    pub(crate) document: Arc<Document>,
}

/// Live operations as handlers use them.
#[derive(Debug)]
pub(crate) struct Live {
    store: Store,
    held: RwLock<Held>,
    pub(crate) integrations: Integrations,
}

impl Live {
    /// Publishes the file, if its version is newer than the database's, and reads what holds.
    pub(crate) async fn start(store: Store, settings: &LiveSettings) -> Result<Self, LiveError> {
        if let Some(file) = &settings.file {
            publish_file(&store, file).await?;
        }
        let live = Self { store, held: RwLock::default(), integrations: settings.integrations.clone() };
        live.look().await?;
        Ok(live)
    }

    /// Learns what other instances were told, until shutdown.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        while tokio::time::timeout(LOOK_EVERY, shutdown.wait()).await.is_err() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "cannot read events and settings; what was known holds");
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        if self.store.live_version().await? == self.held().version {
            return Ok(());
        }
        if let Some(newest) = self.store.live_document().await? {
            self.take(newest.version, read(&newest)?);
        }
        Ok(())
    }

    /// What holds.
    pub(crate) fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A version that is older than what is known changes nothing.
    fn take(&self, version: u64, document: Document) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if version > held.version {
            tracing::info!(
                version,
                events = document.events.len(),
                settings = document.settings.len(),
                rules = document.rules.len(),
                "live operations"
            );
            *held = Held { version, document: Arc::new(document) };
        }
    }

    /// Has a document hold, if `before` is still the version that holds; the new version.
    pub(crate) async fn publish(&self, form: &DocumentForm, before: u64) -> Result<u64, Problem> {
        let document = form.read().map_err(|fault| Problem::invalid("invalid-document", fault.to_string()))?;
        let version = before.saturating_add(1);
        let new = LiveVersion { version, body: text(form), at_ms: service::clock::unix_ms() };
        match self.store.publish_live(new, before).await? {
            Published::Done => {
                self.take(version, document);
                Ok(version)
            }
            Published::Stale(version) => {
                let detail =
                    format!("version {version} holds: look at it, and send this again with If-Match \"{version}\"");
                let status = axum::http::StatusCode::PRECONDITION_FAILED;
                Err(Problem::new(status, "stale", "Changed meanwhile", detail).with("version", version))
            }
        }
    }
}

fn text(form: &DocumentForm) -> String {
    serde_json::to_string(form).expect("a document is plain data")
}

fn read(kept: &LiveVersion) -> Result<Document, StoreError> {
    let unreadable = |what: String| StoreError::Unreadable(format!("live version {}: {what}", kept.version));
    let form: DocumentForm = serde_json::from_str(&kept.body).map_err(|error| unreadable(error.to_string()))?;
    form.read().map_err(|fault| unreadable(fault.to_string()))
}

async fn publish_file(store: &Store, file: &LiveFile) -> Result<(), LiveError> {
    loop {
        let before = store.live_version().await?;
        if file.version < before {
            tracing::info!(
                file = file.version,
                holds = before,
                "operators have published newer events and settings than the file's"
            );
            return Ok(());
        }
        let body = text(&file.form);
        if file.version == before {
            let kept = store.live_document_of(before).await?;
            return if kept.is_none_or(|kept| kept.body == body) { Ok(()) } else { Err(LiveError::Changed(before)) };
        }
        let new = LiveVersion { version: file.version, body, at_ms: service::clock::unix_ms() };
        // Another instance that starts at the same time publishes the same file.
        if store.publish_live(new, before).await? == Published::Done {
            return Ok(());
        }
    }
}
