//! Counts orders that do not go their way, so that somebody is told of them.

use std::time::Duration;

use service::Shutdown;

use crate::metrics;
use crate::store::Store;

/// How often they are counted.
const EVERY: Duration = Duration::from_secs(60);

/// Counts until shutdown. A count that cannot be had stays as it was: the database has alarms of its own.
pub(crate) async fn run(store: Store, shutdown: Shutdown) {
    loop {
        match store.troubled_orders(service::clock::unix_ms()).await {
            Ok(troubled) => {
                metrics::payment_orders("overdue", troubled.overdue);
                metrics::payment_orders("pending", troubled.pending);
                metrics::payment_orders("mismatched", troubled.mismatched);
            }
            Err(error) => tracing::debug!(%error, "cannot count orders"),
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
