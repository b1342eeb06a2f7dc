//! Services that are stopped and started again while matches are played, as an update or a crash does it.

use super::{Failure, Platform};

impl Platform {
    /// Stops the allocator. Until [`start_allocator`](Self::start_allocator) no match is placed, and play goes on.
    pub(crate) async fn stop_allocator(&self) {
        self.allocator.lock().await.stop().await;
    }

    /// Starts the allocator again on the same addresses, with the next epoch and nothing in memory: game servers register
    /// again and tell it of their matches.
    pub(crate) async fn start_allocator(&self) -> Result<(), Failure> {
        let mut part = self.allocator.lock().await;
        let stop = self.serving.child();
        let config = self.data.allocator(self.at.allocator, self.allocator_admin)?;
        let config = allocator::Config { expected: Some(self.expected.subscribe()), ..config };
        let allocator = allocator::start(config, stop.clone()).await.map_err(Failure::run)?;
        self.handle.send_replace(allocator.handle());
        *part = self.services.keep("allocator", stop, allocator.wait());
        Ok(())
    }

    /// Stops metagame and starts it again on the same addresses and the same database.
    pub(crate) async fn restart_metagame(&self) -> Result<(), Failure> {
        let mut part = self.metagame.lock().await;
        part.stop().await;
        let stop = self.serving.child();
        let (at, reach) = (&self.at, &self.reach);
        let (allocator, matchmaker) = (&reach.allocator_url, &reach.matchmaker_url);
        let database = self.database.clone();
        let config = self.data.metagame(at.metagame, at.metagame_admin, allocator, matchmaker, database);
        let (webhooks, parts) = (self.webhooks.clone(), self.parts.clone());
        let config = metagame::Config { webhooks, parts, ..config };
        let metagame = metagame::start(config, stop.clone()).await.map_err(Failure::run)?;
        *part = self.services.keep("metagame", stop, metagame.wait());
        Ok(())
    }

    /// The game servers' processes now.
    pub(crate) fn servers(&self) -> Vec<agones::local::ServerStatus> {
        self.fleet.servers()
    }
}
