//! The services of one platform: each can be stopped and started again, and one that ends by itself is noticed.

use std::fmt::Display;

use service::Shutdown;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;

/// All services of a platform.
pub(crate) struct Supervised {
    tasks: TaskTracker,
    ends: mpsc::UnboundedSender<String>,
    ended: Mutex<mpsc::UnboundedReceiver<String>>,
}

/// One service of them.
pub(crate) struct Part {
    stop: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Supervised {
    pub(crate) fn new() -> Self {
        let (ends, ended) = mpsc::unbounded_channel();
        Self { tasks: TaskTracker::new(), ends, ended: Mutex::new(ended) }
    }

    /// Keeps an eye on a running service, which ends when `stop` is given.
    pub(crate) fn keep<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        stop: Shutdown,
        running: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Part {
        let (asked, ends) = (stop.clone(), self.ends.clone());
        let task = self.tasks.spawn(async move {
            let why = match tokio::spawn(running).await {
                Ok(Ok(())) if asked.is_triggered() => return,
                Ok(Ok(())) => format!("{name}: it ended although nobody asked it to"),
                Ok(Err(error)) => format!("{name}: {error}"),
                Err(error) => format!("{name} crashed: {error}"),
            };
            if asked.is_triggered() {
                tracing::warn!(why, "a service did not end cleanly");
            }
            // Nobody listens once the platform drains.
            let _ = ends.send(why);
        });
        Part { stop, task }
    }

    /// Resolves when a service ends by itself, with the reason.
    pub(crate) async fn failed(&self) -> String {
        match self.ended.lock().await.recv().await {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub(crate) async fn wait(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Part {
    /// Ends the service and waits until it has let go of its ports.
    pub(crate) async fn stop(&mut self) {
        self.stop.trigger();
        // What it failed with is in the log.
        let _ = (&mut self.task).await;
    }
}
