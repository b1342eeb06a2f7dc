//! What a program that holds a running allocator may ask of it: the local provider, the operator, `muster up`.

use std::time::Duration;

use protocol::pb;

use crate::actor::StandingOrder;
use crate::client::{ActorClient, ActorEnded};
use crate::term::OfficeSeen;

/// Talks to a running allocator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    office: OfficeSeen,
}

/// Why the allocator did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// It has ended, or another replica leads.
    #[error("the allocator has ended")]
    Ended,
    /// No server of this name is known.
    #[error("no game server named \"{0}\" is known")]
    UnknownServer(String),
}

impl From<ActorEnded> for HandleError {
    fn from(_: ActorEnded) -> Self {
        Self::Ended
    }
}

impl Handle {
    pub(crate) fn new(office: OfficeSeen) -> Self {
        Self { office }
    }

    fn actor(&self) -> Result<ActorClient, HandleError> {
        self.office.term().map(|term| term.actor).map_err(|_| HandleError::Ended)
    }

    /// Says that the process or GameServer `name` is gone: its matches are lost at once, and nobody waits for it. An
    /// allocator that has ended no longer cares.
    pub async fn server_gone(&self, name: &str) {
        if let Ok(actor) = self.actor() {
            actor.server_gone(name.to_owned()).await.ok();
        }
    }

    /// Takes a server out of the pool: no new match, then Shutdown when idle. Said again whenever it reconnects.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn retire(&self, name: &str) -> Result<(), HandleError> {
        self.stand(name, StandingOrder::Retire).await
    }

    /// Takes a server out of the pool: no new match; those running have `left` from now to end. Said again, with
    /// what is left by then, whenever it reconnects.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn drain(&self, name: &str, left: Duration, reason: &str) -> Result<(), HandleError> {
        self.stand(name, StandingOrder::Drain { left, reason: reason.to_owned() }).await
    }

    /// Servers and matches as the allocator sees them now.
    ///
    /// # Errors
    /// [`HandleError::Ended`].
    pub async fn pool(&self) -> Result<pb::GetPoolResponse, HandleError> {
        Ok(self.actor()?.pool().await?)
    }

    async fn stand(&self, name: &str, order: StandingOrder) -> Result<(), HandleError> {
        match self.actor()?.stand(name.to_owned(), order).await? {
            true => Ok(()),
            false => Err(HandleError::UnknownServer(name.to_owned())),
        }
    }
}
