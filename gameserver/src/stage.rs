//! Who plays the matches: what the host asks of it, and the rooms of this process as the first answer.
//!
//! What becomes of a match comes back as a [`Notice`](crate::notice::Notice).

use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::id::MatchId;

use crate::inbox::RoomEvent;
use crate::io_thread::{IoCommand, IoHandle};
use crate::room_link::Directory;
use crate::room_thread::RoomOrder;

/// Where a result stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultStep {
    /// On the disk: a kill of this process does not lose it.
    Spooled,
    /// Metagame has it.
    Acknowledged,
    /// Metagame will never take it; the HTTP status says why.
    Rejected(u16),
    /// It counts for nobody: the allocator has taken the match away.
    Released,
}

/// What the host needs of whoever plays the matches.
pub(crate) trait Stage: Send {
    /// Begins a match: [`Joinable`](crate::notice::Notice::Joinable) or
    /// [`Refused`](crate::notice::Notice::Refused) is the answer.
    fn start(&self, order: RoomOrder);

    /// Ends a match before its rules do, if it runs.
    fn abort(&self, id: MatchId, reason: &'static str);

    /// Ends every match, and lets nobody in any more.
    fn abort_all(&self, reason: &'static str);

    /// Players connected.
    fn players(&self) -> usize;

    /// p99 of recent tick times over the budget of the busiest match, in thousandths.
    fn tick_load_permille(&self) -> u32;

    /// No new match comes from now on; those that run have so long, where there is a limit.
    fn leaving(&self, reason: &str, within: Option<Duration>) {
        let _ = (reason, within);
    }

    /// The same for a match that began only then: it has so long.
    fn draining(&self, id: MatchId, left: Duration) {
        let _ = (id, left);
    }

    /// A result has come a step further.
    fn result(&self, id: MatchId, step: ResultStep) {
        let _ = (id, step);
    }
}

/// Rooms of this process: a thread each, behind one I/O thread.
pub(crate) struct Rooms {
    /// Makes a room.
    pub(crate) start_room: Box<dyn Fn(RoomOrder) + Send>,
    /// The I/O thread.
    pub(crate) io: IoHandle,
    /// Rooms that admit players.
    pub(crate) directory: Directory,
}

impl Stage for Rooms {
    fn start(&self, order: RoomOrder) {
        (self.start_room)(order);
    }

    fn abort(&self, id: MatchId, reason: &'static str) {
        if let Some(link) = self.directory.find(id) {
            link.inbox.put(RoomEvent::Abort { reason });
        }
    }

    fn abort_all(&self, reason: &'static str) {
        self.io.send(IoCommand::Refuse);
        for link in self.directory.links() {
            link.inbox.put(RoomEvent::Abort { reason });
        }
    }

    fn leaving(&self, _: &str, within: Option<Duration>) {
        let Some(left) = within else { return };
        for link in self.directory.links() {
            link.inbox.put(RoomEvent::Draining { left });
        }
    }

    fn draining(&self, id: MatchId, left: Duration) {
        if let Some(link) = self.directory.find(id) {
            link.inbox.put(RoomEvent::Draining { left });
        }
    }

    fn players(&self) -> usize {
        self.io.players()
    }

    fn tick_load_permille(&self) -> u32 {
        let links = self.directory.links();
        links.iter().map(|link| link.tick_load_permille.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}
