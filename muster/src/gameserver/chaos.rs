//! A game whose rooms can be made to panic and tell of themselves, for `muster demo --chaos` and `muster kills` alone.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use game::{
    EntityId, Game, Inputs, Leave, MapView, MatchSetup, Outbox, Outcome, Schema, SeatId, StartError, Tick, World,
};
use loadtest::history::{Entry, Event};
use protocol::id::MatchId;

/// Names the folder in which a file with a match's id makes that match's room panic. Only `demo --chaos` and `kills` set it.
pub(crate) const VARIABLE: &str = "MUSTER_CHAOS";
/// Name of the server whose rooms write down in that folder when they open and close. Only `kills` sets it.
pub(crate) const SERVER: &str = "MUSTER_CHAOS_SERVER";

/// The file that makes a room panic.
pub(crate) fn trigger(folder: &Path, match_id: MatchId) -> PathBuf {
    folder.join(match_id.to_string())
}

/// The file in which a server writes down its rooms, one [`Entry`] per line.
pub(crate) fn rooms_of(folder: &Path, server: &str) -> PathBuf {
    folder.join(format!("{server}.rooms"))
}

/// A room's own word that it is open, and when it is dropped that it is closed.
struct RoomNote {
    file: PathBuf,
    match_id: MatchId,
    server: String,
}

impl RoomNote {
    fn open(folder: &Path, match_id: MatchId) -> Option<Self> {
        let server = std::env::var(SERVER).ok()?;
        let note = Self { file: rooms_of(folder, &server), match_id, server };
        note.tell(Event::RoomOpened { match_id, server: note.server.clone() });
        Some(note)
    }

    /// One write per line: it is whole even if the process is killed right after.
    fn tell(&self, event: Event) {
        let entry = Entry { at_ms: service::clock::unix_ms(), event };
        let line = format!("{}\n", serde_json::to_string(&entry).expect("an entry is plain data"));
        let file = OpenOptions::new().create(true).append(true).open(&self.file);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            tracing::error!(%error, "the history of this room has a hole");
        }
    }
}

impl Drop for RoomNote {
    fn drop(&mut self) {
        self.tell(Event::RoomClosed { match_id: self.match_id, server: self.server.clone() });
    }
}

/// A game that panics in its step once its [`trigger`] exists; otherwise the game that it wraps.
pub(crate) struct Fragile<G> {
    game: G,
    trigger: Option<PathBuf>,
    _note: Option<RoomNote>,
}

impl<G: Game> Game for Fragile<G> {
    fn schema() -> Schema {
        G::schema()
    }

    fn start(setup: &MatchSetup, world: &mut World) -> Result<Self, StartError> {
        let folder = std::env::var_os(VARIABLE).map(PathBuf::from);
        let game = G::start(setup, world)?;
        let note = folder.as_ref().and_then(|folder| RoomNote::open(folder, setup.match_id));
        Ok(Self { game, trigger: folder.map(|folder| trigger(&folder, setup.match_id)), _note: note })
    }

    fn join(&mut self, seat: SeatId, world: &mut World) {
        self.game.join(seat, world);
    }

    fn leave(&mut self, seat: SeatId, why: Leave, world: &mut World) {
        self.game.leave(seat, why, world);
    }

    fn step(&mut self, tick: Tick, inputs: &Inputs<'_>, world: &mut World, outbox: &mut Outbox) {
        let is_due = self.trigger.as_ref().is_some_and(|trigger| trigger.exists());
        assert!(!is_due, "chaos asked this room to panic");
        self.game.step(tick, inputs, world, outbox);
    }

    fn outcome(&self) -> Option<Outcome> {
        self.game.outcome()
    }

    fn message(&mut self, seat: SeatId, bytes: &[u8], world: &mut World) {
        self.game.message(seat, bytes, world);
    }

    fn welcome(&self, seat: SeatId) -> Vec<u8> {
        self.game.welcome(seat)
    }

    fn relevant(&self, seat: SeatId, entity: EntityId, world: &World) -> bool {
        self.game.relevant(seat, entity, world)
    }

    fn map(&self) -> Option<MapView> {
        self.game.map()
    }

    fn digest(&self) -> u64 {
        self.game.digest()
    }
}
