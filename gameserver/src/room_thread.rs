//! A room's own thread: one match from its order to its end, a tick at every deadline.
//!
//! One tick: take what clients and the host said; [`Room::step`]; hand the output to the I/O thread. Before the first
//! player comes, deadlines pass without ticks, so that nobody misses the beginning. A panic loses this match alone.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use game::{Game, MatchSetup, Outcome, Phase, Player, Room, RoomConfig, RoomInput, RoomSink, Settings};
use netcode::Micros;
use netcode::replication::SeatId;
use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use protocol::wire::CloseReason;
use tokio::sync::mpsc;

use crate::io_thread::{IoCommand, IoHandle};
use crate::lifecycle::Pulse;
use crate::match_stats::Statistics;
use crate::notice::Notice;
use crate::queues::{Batch, Out, RoomEvent, Stalled};
use crate::result::{Attendance, EndedMatch};
use crate::room_link::{Directory, RoomLink};
use crate::tick_timer::{Due, Schedule, Sleeper, micros, monotonic_ns};

/// How long the last messages of a match may take to its clients.
const END_LINGER: Duration = Duration::from_secs(2);
/// No match lasts longer, whatever its rules say: a server is not lost to a game that never ends.
const MATCH_TIME_MAX: Duration = Duration::from_secs(6 * 3_600);

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
    let made = catch_unwind(AssertUnwindSafe(|| Room::<G>::new(setup(&order), RoomConfig::default())));
    let room = match made {
        Ok(Ok(room)) => room,
        Ok(Err(error)) => return refuse(shell, id, error.to_string()),
        Err(panic) => return refuse(shell, id, format!("the game panicked while it began: {}", message_of(&*panic))),
    };
    let mut play = Play::new(order, room, shell);
    shell.pulse.add(&play.pulse);
    shell.io.send(IoCommand::Open(play.link.clone()));
    shell.directory.open(play.link.clone());
    tell(shell, Notice::Joinable(id));
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
        return tell(shell, Notice::Ended(Box::new(ended), Box::new(stats)));
    };
    shell.io.send(IoCommand::Close { id, reason: CloseReason::RoomFailed, linger: Duration::ZERO });
    tell(shell, Notice::Failed(id, reason, Box::new(stats)));
    // What a panic left half-done is dropped here; another panic in it must not pass.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(play))) {
        tracing::warn!(match_id = %id, panic = message_of(&*panic), "the failed game panicked again while it was dropped");
    }
}

fn refuse(shell: &RoomShell, id: MatchId, why: String) {
    tell(shell, Notice::Refused(id, why));
}

fn tell(shell: &RoomShell, notice: Notice) {
    // The host outlives its rooms; when it does not, the process is ending.
    let _ = shell.notices.send(notice);
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

/// A match being played.
struct Play<'a, G: Game> {
    order: RoomOrder,
    room: Room<G>,
    link: Arc<RoomLink>,
    shell: &'a RoomShell,
    /// Moves with every deadline.
    pulse: Arc<AtomicU64>,
    stats: Statistics,
    schedule: Schedule,
    events: VecDeque<RoomEvent>,
    batch: Batch,
    opened_at: Micros,
    /// Unix milliseconds of the first tick.
    started_at_ms: Option<u64>,
    dropped_before: (u64, u64),
}

impl<'a, G: Game> Play<'a, G> {
    fn new(order: RoomOrder, room: Room<G>, shell: &'a RoomShell) -> Self {
        let schedule = Schedule::new(monotonic_ns(), order.tick_rate_hz);
        let budget = Duration::from_nanos(schedule.budget_ns());
        Self {
            link: Arc::new(RoomLink::new(order.id, order.players.clone())),
            stats: Statistics::new(order.players.len(), budget, micros()),
            events: VecDeque::with_capacity(order.players.len() * 8),
            batch: Batch::default(),
            pulse: Arc::default(),
            opened_at: micros(),
            started_at_ms: None,
            dropped_before: (0, 0),
            order,
            room,
            shell,
            schedule,
        }
    }

    /// Runs until the match has ended.
    fn run(&mut self) -> Result<(), Stalled> {
        let sleeper = Sleeper::for_this_thread();
        loop {
            match self.schedule.due(monotonic_ns()) {
                Due::WaitUntil(deadline) => sleeper.sleep_until(deadline),
                Due::Run { ticks, skipped } => {
                    if skipped > 0 && self.started_at_ms.is_some() {
                        self.stats.skipped(skipped);
                        crate::metrics::ticks_skipped(skipped);
                    }
                    for _ in 0..ticks {
                        if self.deadline()? {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// One deadline; returns whether the match has ended.
    fn deadline(&mut self) -> Result<bool, Stalled> {
        let start = micros();
        self.pulse.fetch_add(1, Ordering::Relaxed);
        self.take_events(start);
        self.end_if_deserted(start);
        if self.started_at_ms.is_none() {
            if self.stats.anyone_came() {
                tell(self.shell, Notice::Playing(self.order.id));
            } else if self.room.outcome().is_none() {
                return Ok(false);
            }
            self.started_at_ms = Some(service::clock::unix_ms());
        }
        let taken = micros();
        let mut sink = TickSink { batch: &mut self.batch, phase: None, begun: taken };
        let report = self.room.step(&mut sink);
        sink.finish();
        let stepped = micros();
        let bytes = self.batch.snapshot_bytes();
        self.link.outbox.send(&mut self.batch)?;
        self.shell.io.wake();
        self.measure([start, taken, stepped, micros()], bytes);
        Ok(report.ended)
    }

    fn take_events(&mut self, now: Micros) {
        let mut events = std::mem::take(&mut self.events);
        self.link.inbox.take(&mut events);
        for event in events.drain(..) {
            self.take_event(now, event);
        }
        self.events = events;
    }

    fn take_event(&mut self, now: Micros, event: RoomEvent) {
        let input = match event {
            RoomEvent::Joined { seat, again, join } => {
                self.stats.joined(now, seat, again);
                self.batch.entries.push(Out::Begin { seat, join });
                RoomInput::Joined { seat }
            }
            RoomEvent::Lost(seat) => {
                self.stats.lost(now, seat);
                RoomInput::Silent { seat }
            }
            RoomEvent::Heard(seat) => {
                self.stats.heard(now, seat);
                RoomInput::Heard { seat }
            }
            RoomEvent::Gone { seat, why } => {
                self.stats.gone(now, seat);
                RoomInput::Left { seat, why }
            }
            RoomEvent::Unreliable { seat, payload, at } => {
                let early_us = u32::try_from(now.since(at).as_micros()).unwrap_or(u32::MAX);
                RoomInput::Unreliable { seat, payload, early_us }
            }
            RoomEvent::Message { seat, payload } => RoomInput::Message { seat, payload },
            RoomEvent::Delivered { seat, tag } => RoomInput::Delivered { seat, tag },
            RoomEvent::Abort { reason } => return self.room.abort(reason),
        };
        self.room.handle(input);
    }

    /// Ends a match that nobody came to in time, that everyone has left, or that never ends.
    fn end_if_deserted(&mut self, now: Micros) {
        let open_for = now.since(self.opened_at);
        if open_for >= self.order.join_deadline && self.stats.present() == 0 {
            self.room.abort(if self.stats.anyone_came() { "abandoned" } else { "nobody_joined" });
        } else if open_for >= MATCH_TIME_MAX {
            self.room.abort("too_long");
        }
    }

    fn measure(&mut self, [start, taken, stepped, sent]: [Micros; 4], snapshot_bytes: usize) {
        let whole = sent.since(start);
        let overrun = self.stats.tick(whole, snapshot_bytes);
        crate::metrics::tick(whole, overrun);
        crate::metrics::tick_phase("take", taken.since(start));
        crate::metrics::tick_phase("send", sent.since(stepped));
        if let Some(permille) = self.stats.load_permille(sent) {
            self.link.tick_load_permille.store(permille, Ordering::Relaxed);
            let dropped = (self.link.inbox.dropped(), self.link.outbox.dropped());
            crate::metrics::queue_dropped("inbox", dropped.0 - self.dropped_before.0);
            crate::metrics::queue_dropped("outbox", dropped.1 - self.dropped_before.1);
            self.dropped_before = dropped;
        }
    }

    fn ended(&self) -> EndedMatch {
        let now_ms = service::clock::unix_ms();
        let attendance = self.order.players.iter().zip(&self.order.roster).zip(self.stats.participation());
        let players = attendance.map(|((player, entry), participation)| Attendance {
            player: *player,
            team: entry.team,
            participation,
        });
        EndedMatch {
            id: self.order.id,
            game: self.room.schema().game.clone(),
            started_at_ms: self.started_at_ms.unwrap_or(now_ms),
            ended_at_ms: now_ms,
            ticks: self.room.tick().0,
            tick_rate_hz: self.order.tick_rate_hz,
            state_hash: self.room.state_hash(),
            outcome: self.room.outcome().cloned().unwrap_or_else(|| Outcome::aborted("unknown")),
            trace_id: self.order.trace_id.clone(),
            players: players.collect(),
        }
    }
}

/// Takes a step's output into the batch, and the times of its phases.
struct TickSink<'a> {
    batch: &'a mut Batch,
    phase: Option<Phase>,
    begun: Micros,
}

impl TickSink<'_> {
    fn finish(&mut self) {
        let now = micros();
        if let Some(phase) = self.phase.take() {
            crate::metrics::tick_phase(label(phase), now.since(self.begun));
        }
        self.begun = now;
    }
}

impl RoomSink for TickSink<'_> {
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]) {
        self.batch.snapshot(seat, tag, bytes);
    }

    fn message(&mut self, seat: SeatId, bytes: &[u8]) {
        self.batch.message(seat, bytes);
    }

    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>) {
        self.batch.bulk(seat, bytes);
    }

    fn phase(&mut self, phase: Phase) {
        self.finish();
        self.phase = Some(phase);
    }
}

fn label(phase: Phase) -> &'static str {
    match phase {
        Phase::Events => "events",
        Phase::Inputs => "inputs",
        Phase::Step => "step",
        Phase::Record => "record",
        Phase::Messages => "messages",
        Phase::Snapshots => "snapshots",
    }
}
