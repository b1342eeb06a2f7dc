//! Waiting for something that another task or process does, without guessing how long a slow machine takes.

use std::future::Future;
use std::time::Duration;

/// How long a test waits before it says that something never happened.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `ready` every few milliseconds until it yields a value.
///
/// # Panics
/// With `what` if [`PATIENCE`] runs out.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ready: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Like [`until`], for threads.
///
/// # Panics
/// With `what` if [`PATIENCE`] runs out.
pub fn until_blocking<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(std::time::Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
