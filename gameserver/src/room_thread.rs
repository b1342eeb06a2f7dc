//! A room's own thread: one match from its order to its end. A panic loses this match alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use game::{Game, MatchSetup, Player, Room, RoomConfig, Settings};
use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::wire::CloseReason;
use tokio::sync::mpsc;

use crate::io_thread::{IoCommand, IoHandle};
use crate::lifecycle::Pulse;
use crate::notice::Notice;
use crate::room_link::Directory;
use crate::room_play::Play;
use crate::tick_timer::micros;

/// How long the last messages of a match may take to its clients.
const END_LINGER: Duration = Duration::from_secs(2);

/// One match to play.
#[derive(Debug, Clone)]
pub struct RoomOrder {
    /// The match.
    pub id: MatchId,
    /// Seed for the game.
    pub seed: u64,
    /// Simulation steps per second.
    pub tick_rate_hz: u32,
    /// Who plays, in seat order.
    pub roster: Vec<pb::RosterEntry>,
    /// Their ids, in the same order.
    pub players: Vec<PlayerId>,
    /// Settings for the game.
    pub settings: Settings,
    /// The match ends if nobody has joined so long after it became joinable.
    pub join_deadline: Duration,
    /// Trace id of the match.
    pub trace_id: String,
}

/// What rooms need of the process.
#[derive(Debug, Clone)]
pub struct RoomShell {
    /// The I/O thread.
    pub io: IoHandle,
    /// Who is admitted.
    pub directory: Directory,
    /// Where the host listens.
    pub notices: mpsc::UnboundedSender<Notice>,
    /// What health watches.
    pub pulse: Pulse,
}

/// Starts the room's thread. What becomes of the match comes as notices.
pub fn start<G: Game>(order: RoomOrder, shell: RoomShell) {
    let id = order.id;
    let notices = shell.notices.clone();
    let name = format!("room-{}", &id.to_string()[28..]);
    let spawned = std::thread::Builder::new().name(name).spawn(move || run::<G>(order, &shell));
    if let Err(error) = spawned {
        let _ = notices.send(Notice::Refused(id, format!("the system refuses a thread: {error}")));
    }
}

fn run<G: Game>(order: RoomOrder, shell: &RoomShell) {
    let id = order.id;
    let made = catch_unwind(AssertUnwindSafe(|| {
        Room::<G>::new(setup(&order), RoomConfig::default()).map(|room| (room.game().map(), room))
    }));
    let (map, room) = match made {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => return shell.tell(Notice::Refused(id, error.to_string())),
        Err(panic) => {
            let why = format!("the game panicked while it began: {}", message_of(&*panic));
            return shell.tell(Notice::Refused(id, why));
        }
    };
    let mut play = Play::new(order, room, map, shell);
    shell.pulse.add(&play.pulse);
    shell.io.send(IoCommand::Open(play.link.clone()));
    shell.directory.open(play.link.clone());
    shell.tell(Notice::Joinable(id));
    let played = catch_unwind(AssertUnwindSafe(|| play.run()));
    shell.directory.close(id);
    let failure = match played {
        Ok(Ok(())) => None,
        Ok(Err(stalled)) => Some(stalled.to_string()),
        Err(panic) => Some(format!("the game panicked: {}", message_of(&*panic))),
    };
    let stats = play.stats.finish(micros(), play.link.join_failures.load(Ordering::Relaxed));
    let Some(reason) = failure else {
        shell.io.send(IoCommand::Close { id, reason: CloseReason::MatchEnded, linger: END_LINGER });
        let ended = play.ended();
        return shell.tell(Notice::Ended(Box::new(ended), Box::new(stats)));
    };
    shell.io.send(IoCommand::Close { id, reason: CloseReason::RoomFailed, linger: Duration::ZERO });
    shell.tell(Notice::Failed(id, reason, Box::new(stats)));
    // What a panic left half-done is dropped here; another panic in it must not pass.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(play))) {
        tracing::warn!(match_id = %id, panic = message_of(&*panic), "the failed game panicked again while it was dropped");
    }
}

impl RoomShell {
    /// Tells the host. It outlives its rooms; when it does not, the process is ending.
    pub(crate) fn tell(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }
}

fn setup(order: &RoomOrder) -> MatchSetup {
    let players = order.roster.iter().zip(&order.players).enumerate().map(|(n, (entry, id))| Player {
        id: *id,
        seat: crate::seats::seat_id(n),
        team: entry.team,
        name: entry.name.clone(),
    });
    MatchSetup {
        match_id: order.id,
        seed: order.seed,
        tick_rate_hz: order.tick_rate_hz,
        players: players.collect(),
        settings: order.settings.clone(),
    }
}

/// The text of a panic.
fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
