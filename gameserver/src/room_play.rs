//! A match being played: what one deadline of its tick thread does.
//!
//! Take what clients and the host said; [`Room::step`]; hand the output to the I/O thread. Before the first player
//! comes, deadlines pass without ticks, so that nobody misses the beginning.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use game::{Game, MapView, Outcome, Phase, Room, RoomInput, RoomSink};
use netcode::Micros;
use netcode::replication::SeatId;

use crate::inbox::RoomEvent;
use crate::match_stats::Statistics;
use crate::notice::Notice;
use crate::outbox::{Batch, Out, Stalled};
use crate::result::{Attendance, EndedMatch};
use crate::room_link::RoomLink;
use crate::room_thread::{RoomOrder, RoomShell};
use crate::tick_timer::{Due, Schedule, Sleeper, micros, monotonic_ns};
use crate::watch::figures::{Figures, TickPhase};
use crate::watch::live::LiveView;

/// No match lasts longer, whatever its rules say: a server is not lost to a game that never ends.
const MATCH_TIME_MAX: Duration = Duration::from_secs(6 * 3_600);

/// A match being played.
pub(crate) struct Play<'a, G: Game> {
    order: RoomOrder,
    room: Room<G>,
    pub(crate) link: Arc<RoomLink>,
    shell: &'a RoomShell,
    /// Moves with every deadline.
    pub(crate) pulse: Arc<AtomicU64>,
    pub(crate) stats: Statistics,
    schedule: Schedule,
    events: VecDeque<RoomEvent>,
    batch: Batch,
    opened_at: Micros,
    /// Unix milliseconds of the first tick.
    started_at_ms: Option<u64>,
    dropped_before: (u64, u64),
}

impl<'a, G: Game> Play<'a, G> {
    pub(crate) fn new(order: RoomOrder, room: Room<G>, map: Option<MapView>, shell: &'a RoomShell) -> Self {
        let schedule = Schedule::new(monotonic_ns(), order.tick_rate_hz);
        let budget = Duration::from_nanos(schedule.budget_ns());
        Self {
            link: Arc::new(RoomLink {
                live: LiveView::new(room.setup(), room.schema(), map),
                ..RoomLink::new(order.id, order.players.clone())
            }),
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
    pub(crate) fn run(&mut self) -> Result<(), Stalled> {
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
                self.shell.tell(Notice::Playing(self.order.id));
            } else if self.room.outcome().is_none() {
                return Ok(false);
            }
            self.started_at_ms = Some(service::clock::unix_ms());
        }
        let taken = micros();
        let mut sink = TickSink { batch: &mut self.batch, figures: &self.link.figures, phase: None, begun: taken };
        let report = self.room.step(&mut sink);
        sink.finish();
        let stepped = micros();
        let bytes = self.batch.snapshot_bytes();
        self.link.outbox.send(&mut self.batch)?;
        self.shell.io.wake();
        self.link.live.publish(stepped, self.room.tick(), self.room.world());
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
            RoomEvent::Joined { seat, again, join, carrier } => {
                self.stats.joined(now, seat, again, Some(carrier));
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
            RoomEvent::Draining { left } => return self.room.announce_drain(left),
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
        let figures = &self.link.figures;
        figures.phase(TickPhase::Take, taken.since(start));
        figures.phase(TickPhase::Send, sent.since(stepped));
        figures.tick(whole, snapshot_bytes);
        if let Some(permille) = self.stats.load_permille(sent) {
            self.link.tick_load_permille.store(permille, Ordering::Relaxed);
            let dropped = (self.link.inbox.dropped(), self.link.outbox.dropped());
            crate::metrics::queue_dropped("inbox", dropped.0 - self.dropped_before.0);
            crate::metrics::queue_dropped("outbox", dropped.1 - self.dropped_before.1);
            self.dropped_before = dropped;
        }
    }

    pub(crate) fn ended(&self) -> EndedMatch {
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
    figures: &'a Figures,
    phase: Option<Phase>,
    begun: Micros,
}

impl TickSink<'_> {
    fn finish(&mut self) {
        let now = micros();
        if let Some(phase) = self.phase.take() {
            crate::metrics::tick_phase(label(phase), now.since(self.begun));
            self.figures.phase(phase.into(), now.since(self.begun));
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
    TickPhase::from(phase).label()
}
