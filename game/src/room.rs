//! One match, one tick at a time.

use std::sync::Arc;
use std::time::Duration;

use netcode::endpoint::UNRELIABLE_BYTES_MAX;
use netcode::replication::{Mismatch, Replicator, SeatId, SnapshotHeader, View, World};
use protocol::schema::Schema;
use protocol::tick::Tick;

use crate::input::{InputPacket, neutral};
use crate::log::InputLog;
use crate::message::{RoomMessage, RosterEntry};
use crate::outbox::{GAME_MESSAGE_BYTES_MAX, MESSAGES_PER_TICK_MAX, To};
use crate::outcome::Outcome;
use crate::play::Play;
use crate::rules::{Game, Leave, StartError};
use crate::seat::Seat;
use crate::setup::{MatchSetup, SEATS_MAX};
use crate::sink::{Phase, RoomSink, StepReport};

/// Most joins, leaves and messages that wait for the next step.
const EVENTS_MAX: usize = 16 * SEATS_MAX;

/// How a room runs its match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomConfig {
    /// Most entities at once.
    pub entities_max: u16,
    /// Longest snapshot.
    pub snapshot_bytes_max: usize,
    /// Whether the inputs are recorded for [`replay`](mod@crate::replay).
    pub record: bool,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self { entities_max: 1_024, snapshot_bytes_max: UNRELIABLE_BYTES_MAX, record: false }
    }
}

/// What happened outside since the last step. What concerns the game takes effect in the next step, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomInput {
    /// A client has a session for this seat: its first, or a new one that takes the seat over.
    Joined {
        /// The seat.
        seat: SeatId,
    },
    /// The player is gone: it left, or its time in Lost is over.
    Left {
        /// The seat.
        seat: SeatId,
        /// Why.
        why: Leave,
    },
    /// Nothing is heard from the seat's client; the player keeps its seat.
    Silent {
        /// The seat.
        seat: SeatId,
    },
    /// The seat's client is heard again.
    Heard {
        /// The seat.
        seat: SeatId,
    },
    /// An unreliable payload: an [`InputPacket`].
    Unreliable {
        /// The seat.
        seat: SeatId,
        /// The payload.
        payload: Vec<u8>,
        /// How long before the next step's deadline it arrived, in microseconds; 0 if that is not known. It makes the
        /// margin in snapshots finer than a tick and has no effect on the match.
        early_us: u32,
    },
    /// A reliable message for [`Game::message`].
    Message {
        /// The seat.
        seat: SeatId,
        /// The message.
        payload: Vec<u8>,
    },
    /// The seat's client has received the snapshot with this tag.
    Delivered {
        /// The seat.
        seat: SeatId,
        /// The tag.
        tag: u32,
    },
}

impl RoomInput {
    /// The seat that it concerns.
    pub fn seat(&self) -> SeatId {
        match self {
            Self::Joined { seat }
            | Self::Left { seat, .. }
            | Self::Silent { seat }
            | Self::Heard { seat }
            | Self::Unreliable { seat, .. }
            | Self::Message { seat, .. }
            | Self::Delivered { seat, .. } => *seat,
        }
    }
}

/// What waits for the next step.
enum Event {
    Joined(SeatId),
    Left(SeatId, Leave),
    Message(SeatId, Vec<u8>),
}

/// One match.
pub struct Room<G: Game> {
    setup: MatchSetup,
    config: RoomConfig,
    play: Play<G>,
    replicator: Replicator,
    seats: Vec<Seat>,
    events: Vec<Event>,
    /// The end has been told.
    is_over: bool,
    /// The tick at which the server has to leave, and whether everyone present has been told.
    drain: Option<(Tick, bool)>,
    log: Option<InputLog>,
    report: StepReport,
    snapshot: Vec<u8>,
}

impl<G: Game> Room<G> {
    /// Begins a match.
    ///
    /// # Errors
    /// [`StartError`] when the schema, the setup or the game refuses.
    pub fn new(setup: MatchSetup, config: RoomConfig) -> Result<Self, StartError> {
        let play = Play::start(&setup, config.entities_max)?;
        Ok(Self {
            replicator: Replicator::new(&play.schema, config.entities_max),
            seats: setup.players.iter().map(|_| Seat::new()).collect(),
            log: config.record.then(|| InputLog::new(&setup, Arc::clone(&play.schema), config.entities_max)),
            events: Vec::new(),
            is_over: false,
            drain: None,
            report: StepReport::default(),
            snapshot: Vec::new(),
            setup,
            config,
            play,
        })
    }

    /// The server has to leave in so long: everyone is told in the next step, newcomers when they join. Saying so again
    /// can only bring it closer.
    pub fn announce_drain(&mut self, left: Duration) {
        let ticks = left.as_millis() * u128::from(self.setup.tick_rate_hz) / 1_000;
        let tick = Tick(self.play.tick.0.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)));
        if self.drain.is_none_or(|(before, _)| tick.0 < before.0) {
            self.drain = Some((tick, false));
        }
    }

    /// Takes what happened outside. Bounded: what breaks a limit is counted in the next [`StepReport`].
    pub fn handle(&mut self, input: RoomInput) {
        let next = self.play.tick.next();
        let Some(place) = self.seats.get_mut(usize::from(input.seat().0)) else {
            self.report.events_refused += 1;
            return;
        };
        match input {
            RoomInput::Joined { seat } => {
                // A new session numbers its inputs anew; they may arrive before the step that lets it join.
                *place = Seat { has_joined: place.has_joined, messages: place.messages, ..Seat::new() };
                self.queue(Event::Joined(seat));
            }
            RoomInput::Left { seat, why } => self.queue(Event::Left(seat, why)),
            RoomInput::Silent { .. } => place.silent = true,
            RoomInput::Heard { .. } => place.silent = false,
            RoomInput::Unreliable { payload, early_us, .. } => match InputPacket::decode(&self.play.schema, &payload) {
                Ok(packet) => {
                    let rate = self.setup.tick_rate_hz;
                    place.inputs.accept(&packet, next, rate, early_us, &mut self.report.inputs);
                }
                Err(_) => self.report.inputs.malformed += 1,
            },
            RoomInput::Message { seat, payload } => {
                place.messages += 1;
                if place.messages > MESSAGES_PER_TICK_MAX || payload.len() > GAME_MESSAGE_BYTES_MAX {
                    self.report.messages_refused += 1;
                } else {
                    self.queue(Event::Message(seat, payload));
                }
            }
            RoomInput::Delivered { seat, tag } => self.replicator.delivered(seat, Tick(tag)),
        }
    }

    /// Runs exactly one tick:
    ///
    /// 1. events: joins, leaves and messages reach the game, in the order in which they came;
    /// 2. inputs: each seat's input for this tick, or its last one for up to a second, or neutral;
    /// 3. step: [`Game::step`], then [`Game::outcome`];
    /// 4. record: the tick joins the hash of the history, the input log and the replication's history;
    /// 5. messages: the game's messages leave, and the end of the match if it has come;
    /// 6. snapshots: per client interest, delta and one payload.
    ///
    /// When the match has ended in an earlier step, only newcomers are told so and no tick passes.
    pub fn step(&mut self, sink: &mut dyn RoomSink) -> StepReport {
        sink.phase(Phase::Events);
        self.run_events(sink);
        if !self.is_over {
            self.tell_drain(sink);
            sink.phase(Phase::Inputs);
            self.take_inputs();
            sink.phase(Phase::Step);
            self.play.step();
            sink.phase(Phase::Record);
            self.play.seal();
            if let Some(log) = &mut self.log {
                log.stepped(self.play.hash);
            }
            self.replicator.record(self.play.tick, &self.play.world);
            sink.phase(Phase::Messages);
            self.send_messages(sink);
            sink.phase(Phase::Snapshots);
            self.send_snapshots(sink);
        }
        let counted = std::mem::take(&mut self.report);
        let (tick, entities) = (self.play.tick, self.play.world.len());
        StepReport { tick, ended: self.is_over, players: self.play.present().count(), entities, ..counted }
    }

    /// The newest tick that was run.
    pub fn tick(&self) -> Tick {
        self.play.tick
    }

    /// How the match ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.play.outcome.as_ref()
    }

    /// Hash of the whole history up to [`tick`](Self::tick): equal hashes mean equal histories.
    ///
    /// xxh3 over the hash before, the tick, the world's hash and the game's digest.
    pub fn state_hash(&self) -> u64 {
        self.play.hash
    }

    /// Ends the match from outside; the next step tells everyone. A match that has ended stays as it ended.
    pub fn abort(&mut self, reason: &str) {
        if self.play.abort(reason)
            && let Some(log) = &mut self.log
        {
            log.aborted(reason);
        }
    }

    /// What the match began with.
    pub fn setup(&self) -> &MatchSetup {
        &self.setup
    }

    /// The game's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.play.schema
    }

    /// The world after the newest tick.
    pub fn world(&self) -> &World {
        &self.play.world
    }

    /// The rules' own state.
    pub fn game(&self) -> &G {
        &self.play.game
    }

    /// Whether the player is on its seat.
    pub fn is_present(&self, seat: SeatId) -> bool {
        self.play.is_present(seat)
    }

    /// Whether the player has ever been on its seat.
    pub fn has_joined(&self, seat: SeatId) -> bool {
        self.seats.get(usize::from(seat.0)).is_some_and(|seat| seat.has_joined)
    }

    /// The input log so far, when the room records.
    pub fn log(&self) -> Option<&InputLog> {
        self.log.as_ref()
    }

    /// Compares a client's view with what the server sent: see [`Replicator::verify`].
    ///
    /// # Errors
    /// The first mismatch.
    pub fn verify(&self, seat: SeatId, view: &View) -> Result<bool, Mismatch> {
        self.replicator.verify(seat, view)
    }

    /// Joins and leaves have room of their own: messages never crowd them out.
    fn queue(&mut self, event: Event) {
        let limit = if matches!(event, Event::Message(..)) { EVENTS_MAX / 2 } else { EVENTS_MAX };
        if self.events.len() < limit {
            self.events.push(event);
        } else {
            self.report.messages_refused += 1;
        }
    }

    /// Phase 1. Of several joins of one seat the last counts, and nobody tells its session anything before its welcome.
    fn run_events(&mut self, sink: &mut dyn RoomSink) {
        let mut events = std::mem::take(&mut self.events);
        for event in &events {
            if let Event::Joined(seat) = event {
                self.seats[usize::from(seat.0)].joins_waiting += 1;
            }
        }
        for event in events.drain(..) {
            match event {
                Event::Joined(seat) => {
                    let place = &mut self.seats[usize::from(seat.0)];
                    place.joins_waiting -= 1;
                    if place.joins_waiting == 0 {
                        self.join(seat, sink);
                    }
                }
                Event::Left(seat, why) => self.leave(seat, why, sink),
                Event::Message(seat, bytes) => {
                    if !self.play.message(seat, &bytes) {
                        self.report.events_refused += 1;
                    } else if let Some(log) = &mut self.log {
                        log.message(seat, &bytes);
                    }
                }
            }
        }
        self.events = events;
        self.seats.iter_mut().for_each(|seat| seat.messages = 0);
    }

    fn join(&mut self, seat: SeatId, sink: &mut dyn RoomSink) {
        self.seats[usize::from(seat.0)].has_joined = true;
        // A new session has a replica of its own, which is empty.
        self.replicator.add_client(seat);
        let is_new = self.play.join(seat);
        if let Some(log) = self.log.as_mut().filter(|_| is_new) {
            log.joined(seat);
        }
        sink.message(seat, &self.welcome(seat).encode());
        let bulk = self.play.game.welcome(seat);
        if !bulk.is_empty() {
            sink.bulk(seat, bulk);
        }
        if is_new {
            self.tell(&RoomMessage::PlayerJoined { seat: seat.0 }, |other| other != seat, sink);
        }
        if let Some((tick, true)) = self.drain {
            self.tell(&RoomMessage::Draining { tick: tick.0 }, |other| other == seat, sink);
        }
        if self.is_over {
            self.tell_end(|other| other == seat, sink);
        }
    }

    fn leave(&mut self, seat: SeatId, why: Leave, sink: &mut dyn RoomSink) {
        if !self.play.leave(seat, why) {
            return;
        }
        self.replicator.remove_client(seat);
        if let Some(log) = &mut self.log {
            log.left(seat, why);
        }
        self.tell(&RoomMessage::PlayerLeft { seat: seat.0, why: why as u8 }, |_| true, sink);
    }

    /// Phase 2.
    fn take_inputs(&mut self) {
        let neutral = neutral(&self.play.schema);
        let (tick, hold_ticks) = (self.play.tick.next(), self.setup.tick_rate_hz);
        for (seat, place) in (0u8..).map(SeatId).zip(&mut self.seats) {
            let is_present = self.play.is_present(seat);
            let taken = is_present.then(|| place.inputs.take(tick, hold_ticks, &mut self.report.inputs)).flatten();
            let raw = taken.unwrap_or(neutral);
            if self.play.set_input(seat, &raw)
                && let Some(log) = &mut self.log
            {
                log.input(seat, &raw);
            }
        }
    }

    /// Phase 5.
    fn send_messages(&mut self, sink: &mut dyn RoomSink) {
        let (messages, refused) = self.play.outbox.take();
        self.report.messages_refused += refused;
        for (to, bytes) in messages {
            let message = RoomMessage::Game(bytes);
            match to {
                To::All => self.tell(&message, |_| true, sink),
                To::Seat(only) => self.tell(&message, |seat| seat == only, sink),
            }
        }
        if self.play.outcome.is_some() {
            self.is_over = true;
            self.tell_end(|_| true, sink);
        }
    }

    /// Phase 6.
    fn send_snapshots(&mut self, sink: &mut dyn RoomSink) {
        let (game, world) = (&self.play.game, &self.play.world);
        for (seat, place) in (0u8..).map(SeatId).zip(&self.seats) {
            if place.silent {
                continue;
            }
            let header = SnapshotHeader { last_input: place.inputs.last_used, margin_ms: place.inputs.margin_ms };
            let mut relevant = |entity| game.relevant(seat, entity, world);
            let (out, bytes_max) = (&mut self.snapshot, self.config.snapshot_bytes_max);
            // Nothing is written for a seat where nobody is.
            if let Some(written) = self.replicator.write_snapshot(seat, header, &mut relevant, out, bytes_max) {
                sink.snapshot(seat, written.tick.0, &self.snapshot);
                self.report.snapshots += 1;
                self.report.snapshot_bytes += self.snapshot.len();
                self.report.mentioned += written.mentioned;
                self.report.deferred += written.deferred;
            }
        }
    }

    fn tell(&self, message: &RoomMessage, to: impl Fn(SeatId) -> bool, sink: &mut dyn RoomSink) {
        let bytes = message.encode();
        let is_welcome = |seat: &SeatId| self.seats[usize::from(seat.0)].joins_waiting == 0;
        self.play.present().filter(|seat| is_welcome(seat) && to(*seat)).for_each(|seat| sink.message(seat, &bytes));
    }

    fn tell_drain(&mut self, sink: &mut dyn RoomSink) {
        if let Some((tick, false)) = self.drain {
            self.drain = Some((tick, true));
            self.tell(&RoomMessage::Draining { tick: tick.0 }, |_| true, sink);
        }
    }

    fn tell_end(&self, to: impl Fn(SeatId) -> bool, sink: &mut dyn RoomSink) {
        if let Some(outcome) = &self.play.outcome {
            self.tell(&RoomMessage::ended(outcome), to, sink);
        }
    }

    fn welcome(&self, seat: SeatId) -> RoomMessage {
        let players = self.setup.players.iter().map(|player| RosterEntry {
            player_id: player.id.to_bytes(),
            seat: player.seat.0,
            team: player.team,
            name: player.name.clone(),
            present: self.play.is_present(player.seat),
        });
        RoomMessage::Welcome {
            match_id: self.setup.match_id.to_bytes(),
            seat: seat.0,
            tick_rate_hz: self.setup.tick_rate_hz,
            tick: self.play.tick.next().0,
            players: players.collect(),
            settings_json: self.setup.settings_json(),
        }
    }
}
