//! What a program that holds a running allocator may ask of it: the local provider, the operator, `muster up`.

use std::time::Duration;

use protocol::pb;

/// Talks to a running allocator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {}

/// The allocator has ended, or there is no such server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// The allocator has ended.
    #[error("the allocator has ended")]
    Ended,
    /// No server of this name has registered.
    #[error("no game server named \"{0}\" has registered")]
    UnknownServer(String),
}

impl Handle {
    /// Says that the process or GameServer `name` is gone: its matches are lost at once.
    pub async fn server_gone(&self, name: &str) {
        let _ = name;
    }

    /// Takes a server out of the pool: no new match, then Shutdown when idle. Repeated to it until it is gone.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn retire(&self, name: &str) -> Result<(), HandleError> {
        Err(HandleError::UnknownServer(name.to_owned()))
    }

    /// Takes a server out of the pool: no new match; those running have `deadline` from now to end.
    ///
    /// # Errors
    /// [`HandleError`].
    pub async fn drain(&self, name: &str, _deadline: Duration, _reason: &str) -> Result<(), HandleError> {
        Err(HandleError::UnknownServer(name.to_owned()))
    }

    /// Servers and matches as the allocator sees them now.
    ///
    /// # Errors
    /// [`HandleError::Ended`].
    pub async fn pool(&self) -> Result<pb::GetPoolResponse, HandleError> {
        Err(HandleError::Ended)
    }
}
