//! From one leadership to the next, without a restart of the process.

use cluster::lease::{Epoch, Leadership};
use service::Shutdown;
use tokio::sync::watch;

use super::view::View;
use crate::metrics;
use crate::start::{ServeError, failed};
use crate::term::{Office, OfficeSeen, Surroundings, TermSettings};

/// Leads while the Lease says so.
pub(super) struct Leading {
    pub(super) settings: TermSettings,
    pub(super) leadership: Leadership,
    pub(super) view: View,
    pub(super) office: watch::Sender<Office>,
}

/// An office in which nobody is yet.
pub(super) fn office(leadership: Leadership) -> (watch::Sender<Office>, OfficeSeen) {
    let (office, seen) = watch::channel(Office::Follows(leadership));
    (office, OfficeSeen(seen))
}

impl Leading {
    /// Runs until shutdown.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), ServeError> {
        metrics::standing_by();
        let mut epoch = self.leadership.epoch();
        while !shutdown.is_triggered() {
            epoch = match epoch {
                Some(leads) => self.lead(leads, &shutdown).await?,
                None => tokio::select! {
                    epoch = self.leadership.changed() => epoch,
                    () = shutdown.wait() => None,
                },
            };
        }
        Ok(())
    }

    /// One leadership: the epoch that comes after it.
    async fn lead(&mut self, Epoch(transitions): Epoch, shutdown: &Shutdown) -> Result<Option<Epoch>, ServeError> {
        // What exists has to be known before anything is decided; callers are told to come back meanwhile.
        tokio::select! {
            () = self.view.complete() => {}
            epoch = self.leadership.changed() => return Ok(epoch),
            () = shutdown.wait() => return Ok(None),
        }
        // One more, so that a Lease whose count begins with 0 will do: epoch 0 is obeyed by no server.
        let epoch = transitions + 1;
        let around = Surroundings::Cluster(self.view.pictures());
        let (term, mut actor) = self.settings.begin(epoch, around, shutdown.clone());
        self.office.send_replace(Office::Leads(term));
        tracing::info!(epoch, "this replica leads");
        tokio::select! {
            epoch = self.leadership.changed() => {
                self.office.send_replace(Office::Follows(self.leadership.clone()));
                // At once: whatever it would still decide is the next leader's to decide.
                actor.abort();
                metrics::standing_by();
                tracing::warn!(lost = transitions + 1, "this replica leads no more");
                Ok(epoch)
            }
            ended = &mut actor => {
                self.office.send_replace(Office::Follows(self.leadership.clone()));
                ended.map_err(|error| failed("actor", &error))?;
                Ok(None)
            }
        }
    }
}
