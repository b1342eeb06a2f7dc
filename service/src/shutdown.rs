//! One word to everyone: stop taking work, finish what runs, end.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A shutdown signal that is cheap to clone. Triggering any clone triggers them all, for good.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A signal that has not been given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that is given with this one, but can also be given alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Gives the signal. Giving it again changes nothing.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether it has been given.
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Resolves once it has been given.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Like [`wait`](Self::wait), owning what it needs: for servers that take a `'static` future.
    pub fn wait_owned(&self) -> WaitForCancellationFutureOwned {
        self.0.clone().cancelled_owned()
    }

    /// Gives the signal when the process receives SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// If the operating system refuses the handlers.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = interrupt.recv() => "Ctrl-C",
            };
            tracing::info!(signal = name, "shutting down");
            shutdown.trigger();
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_not_the_other_way_round() {
        let parent = Shutdown::new();
        let (one, two) = (parent.child(), parent.child());
        one.trigger();
        assert!(one.is_triggered() && !parent.is_triggered() && !two.is_triggered());
        parent.trigger();
        two.wait().await;
    }
}
