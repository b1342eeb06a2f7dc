//! One match, one tick at a time.

use std::sync::Arc;

use netcode::endpoint::UNRELIABLE_BYTES_MAX;
use netcode::replication::{Replicator, SeatId, SnapshotHeader, View, World};
use protocol::schema::Schema;
use protocol::tick::Tick;
use xxhash_rust::xxh3::xxh3_64;

use crate::input::{Input, InputPacket, Inputs, neutral};
pub use crate::input_buffer::InputCounts;
use crate::message::{RoomMessage, RosterEntry};
use crate::outbox::{GAME_MESSAGE_BYTES_MAX, MESSAGES_PER_TICK_MAX, Outbox, To};
use crate::outcome::Outcome;
use crate::replay::InputLog;
use crate::rules::{Game, Leave, StartError};
use crate::seat::Seat;
use crate::setup::{MatchSetup, PLAYER_NAME_BYTES_MAX, SEATS_MAX, SETTINGS_BYTES_MAX};

/// Slowest and fastest tick rate.
pub const TICK_RATES_HZ: std::ops::RangeInclusive<u32> = 20..=128;
/// Most joins, leaves and messages that wait for the next step.
const EVENTS_MAX: usize = SEATS_MAX * MESSAGES_PER_TICK_MAX;

/// How a room runs its match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomConfig {
    /// Most entities at once.
    pub entities_max: u16,
    /// Longest snapshot.
    pub snapshot_bytes_max: usize,
    /// Whether the inputs are recorded for [`replay`](crate::replay).
    pub record: bool,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self { entities_max: 1_024, snapshot_bytes_max: UNRELIABLE_BYTES_MAX, record: false }
    }
}

/// What happened outside since the last step. Everything takes effect in the next step, in the order given.
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

/// Takes what a step sends.
pub trait RoomSink {
    /// A snapshot, to be sent unreliably; its delivery is reported with the tag.
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]);
    /// A reliable message.
    fn message(&mut self, seat: SeatId, bytes: &[u8]);
    /// A bulk transfer.
    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>);
    /// A phase of the step begins, for measuring.
    fn phase(&mut self, _phase: Phase) {}
}

/// The phases of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Joins, leaves and messages reach the game.
    Events,
    /// Each seat's input for this tick is taken from its buffer.
    Inputs,
    /// The game advances.
    Step,
    /// The world is hashed and recorded.
    Record,
    /// Reliable messages leave.
    Messages,
    /// Interest is asked and snapshots are written.
    Snapshots,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepReport {
    /// The tick that was run; unchanged when the match had ended before.
    pub tick: Tick,
    /// Whether the match has ended: in this step or before.
    pub ended: bool,
    /// Players on their seats.
    pub players: usize,
    /// Living entities.
    pub entities: usize,
    /// Snapshots written.
    pub snapshots: usize,
    /// Their bytes.
    pub snapshot_bytes: usize,
    /// Entities that snapshots mentioned, over all clients.
    pub mentioned: usize,
    /// Entities that did not fit into a snapshot, over all clients.
    pub deferred: usize,
    /// What became of inputs since the step before.
    pub inputs: InputCounts,
    /// Messages of clients or the game that broke a limit since the step before.
    pub messages_refused: u64,
    /// Events since the step before for seats where nobody is.
    pub events_refused: u64,
}

enum Event {
    Joined(SeatId),
    Left(SeatId, Leave),
    Message(SeatId, Vec<u8>),
}

/// One match.
pub struct Room<G: Game> {
    setup: MatchSetup,
    config: RoomConfig,
    schema: Arc<Schema>,
    game: G,
    world: World,
    replicator: Replicator,
    tick: Tick,
    seats: Vec<Seat>,
    /// Per seat, as the game sees it.
    inputs: Vec<(bool, Input)>,
    events: Vec<Event>,
    outbox: Outbox,
    outcome: Option<Outcome>,
    hash: u64,
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
        let schema = G::schema();
        schema.validate().map_err(StartError::Schema)?;
        check(&setup)?;
        let schema = Arc::new(schema);
        let mut world = World::new(Arc::clone(&schema), config.entities_max);
        let game = G::start(&setup, &mut world)?;
        let hash =
            xxh3_64(&[schema.hash().to_le_bytes(), setup.seed.to_le_bytes(), world.hash().to_le_bytes()].concat());
        Ok(Self {
            replicator: Replicator::new(&schema, config.entities_max),
            seats: setup.players.iter().map(|_| Seat::new()).collect(),
            inputs: setup.players.iter().map(|_| (false, Input::neutral(Arc::clone(&schema)))).collect(),
            log: config.record.then(|| InputLog::new(&setup, &schema, config.entities_max)),
            events: Vec::new(),
            outbox: Outbox::new(),
            outcome: None,
            tick: Tick::ZERO,
            report: StepReport::default(),
            snapshot: Vec::new(),
            setup,
            config,
            schema,
            game,
            world,
            hash,
        })
    }

    /// Takes what happened outside. Bounded: what breaks a limit is counted in the next [`StepReport`].
    pub fn handle(&mut self, input: RoomInput) {
        let (RoomInput::Joined { seat }
        | RoomInput::Left { seat, .. }
        | RoomInput::Silent { seat }
        | RoomInput::Heard { seat }
        | RoomInput::Unreliable { seat, .. }
        | RoomInput::Message { seat, .. }
        | RoomInput::Delivered { seat, .. }) = input;
        let next = self.tick.next();
        let Some(place) = self.seats.get_mut(usize::from(seat.0)) else {
            self.report.events_refused += 1;
            return;
        };
        match input {
            RoomInput::Joined { seat } => self.queue(Event::Joined(seat)),
            RoomInput::Left { seat, why } => self.queue(Event::Left(seat, why)),
            RoomInput::Silent { .. } => place.silent = true,
            RoomInput::Heard { .. } => place.silent = false,
            RoomInput::Unreliable { payload, early_us, .. } => match InputPacket::decode(&self.schema, &payload) {
                Ok(packet) => {
                    place.inputs.accept(&packet, next, self.setup.tick_rate_hz, early_us, &mut self.report.inputs);
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
            RoomInput::Delivered { tag, .. } => self.replicator.delivered(seat, Tick(tag)),
        }
    }

    /// Runs exactly one tick:
    ///
    /// 1. events: joins, leaves and messages reach the game, in the order in which they came;
    /// 2. inputs: each seat's input for this tick, or its last one for up to a second, or neutral;
    /// 3. step: [`Game::step`], then [`Game::outcome`];
    /// 4. record: the world joins the hash chain and the history;
    /// 5. messages: the game's messages leave, and the end of the match if it has come;
    /// 6. snapshots: per client interest, delta and one payload.
    ///
    /// When the match has ended before, only newcomers are told so.
    pub fn step(&mut self, sink: &mut dyn RoomSink) -> StepReport {
        let is_over = self.outcome.is_some() && self.report.ended;
        sink.phase(Phase::Events);
        if !is_over {
            self.tick = self.tick.next();
        }
        self.run_events(sink);
        if !is_over {
            self.advance(sink);
        }
        let ended = self.outcome.is_some();
        let report = StepReport {
            tick: self.tick,
            ended,
            players: self.seats.iter().filter(|seat| seat.present).count(),
            entities: self.world.len(),
            ..self.report
        };
        self.report = StepReport { ended, ..StepReport::default() };
        report
    }

    /// The newest tick that was run.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// How the match ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Hash of the whole history up to [`tick`](Self::tick): equal hashes mean equal histories.
    ///
    /// xxh3 over the hash of the tick before, the tick, the world's hash and the game's digest.
    pub fn state_hash(&self) -> u64 {
        self.hash
    }

    /// Ends the match from outside; the next step tells everyone. A match that has ended stays as it ended.
    pub fn abort(&mut self, reason: &str) {
        if self.outcome.is_none() {
            self.outcome = Some(Outcome::aborted(reason).bounded());
        }
    }

    /// What the match began with.
    pub fn setup(&self) -> &MatchSetup {
        &self.setup
    }

    /// The game's schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The world after the newest tick.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The rules' own state.
    pub fn game(&self) -> &G {
        &self.game
    }

    /// Whether the player is on its seat.
    pub fn is_present(&self, seat: SeatId) -> bool {
        self.seats.get(usize::from(seat.0)).is_some_and(|seat| seat.present)
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
    pub fn verify(&self, seat: SeatId, view: &View) -> Result<bool, netcode::replication::Mismatch> {
        self.replicator.verify(seat, view)
    }

    fn queue(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        } else {
            self.report.messages_refused += 1;
        }
    }

    /// Phase 1.
    fn run_events(&mut self, sink: &mut dyn RoomSink) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                Event::Joined(seat) => self.join(seat, sink),
                Event::Left(seat, why) => self.leave(seat, why, sink),
                Event::Message(seat, bytes) if self.is_present(seat) && self.outcome.is_none() => {
                    if let Some(log) = &mut self.log {
                        log.message(seat, &bytes);
                    }
                    self.game.message(seat, &bytes, &mut self.world);
                }
                Event::Message(..) => self.report.events_refused += 1,
            }
        }
        self.events = events;
        self.seats.iter_mut().for_each(|seat| seat.messages = 0);
    }

    fn join(&mut self, seat: SeatId, sink: &mut dyn RoomSink) {
        let place = &mut self.seats[usize::from(seat.0)];
        let is_new = !place.present;
        *place = Seat { present: true, has_joined: true, ..Seat::new() };
        self.replicator.add_client(seat);
        if is_new && self.outcome.is_none() {
            if let Some(log) = &mut self.log {
                log.joined(seat);
            }
            self.game.join(seat, &mut self.world);
        }
        sink.message(seat, &self.welcome(seat).encode());
        let bulk = self.game.welcome(seat);
        if !bulk.is_empty() {
            sink.bulk(seat, bulk);
        }
        if is_new {
            self.tell_others(seat, &RoomMessage::PlayerJoined { seat: seat.0 }, sink);
        }
        if self.report.ended {
            sink.message(seat, &self.ended().encode());
        }
    }

    fn leave(&mut self, seat: SeatId, why: Leave, sink: &mut dyn RoomSink) {
        let place = &mut self.seats[usize::from(seat.0)];
        if !std::mem::take(&mut place.present) {
            return;
        }
        self.replicator.remove_client(seat);
        if self.outcome.is_none() {
            if let Some(log) = &mut self.log {
                log.left(seat, why);
            }
            self.game.leave(seat, why, &mut self.world);
        }
        self.tell_others(seat, &RoomMessage::PlayerLeft { seat: seat.0, why: why as u8 }, sink);
    }

    /// Phases 2 to 6.
    fn advance(&mut self, sink: &mut dyn RoomSink) {
        sink.phase(Phase::Inputs);
        self.take_inputs();
        sink.phase(Phase::Step);
        if self.outcome.is_none() {
            self.game.step(self.tick, &Inputs::new(&self.inputs), &mut self.world, &mut self.outbox);
            self.outcome = self.game.outcome().map(Outcome::bounded);
        }
        sink.phase(Phase::Record);
        let parts = [self.hash, u64::from(self.tick.0), self.world.hash(), self.game.digest()];
        self.hash = xxh3_64(parts.map(u64::to_le_bytes).as_flattened());
        if let Some(log) = &mut self.log {
            log.stepped(self.hash);
        }
        self.replicator.record(self.tick, &self.world);
        sink.phase(Phase::Messages);
        self.send_messages(sink);
        sink.phase(Phase::Snapshots);
        self.send_snapshots(sink);
    }

    fn take_inputs(&mut self) {
        let neutral = neutral(&self.schema);
        let hold_ticks = self.setup.tick_rate_hz;
        for (seat, (place, (present, input))) in (0u8..).zip(self.seats.iter_mut().zip(&mut self.inputs)) {
            let raw = if place.present {
                place.inputs.take(self.tick, hold_ticks, &mut self.report.inputs).unwrap_or(neutral)
            } else {
                neutral
            };
            *present = place.present;
            if let Some(log) = &mut self.log
                && input.raw() != &raw
            {
                log.input(SeatId(seat), &raw);
            }
            input.replace(&raw);
        }
    }

    fn send_messages(&mut self, sink: &mut dyn RoomSink) {
        let (messages, refused) = self.outbox.take();
        self.report.messages_refused += refused;
        for (to, bytes) in messages {
            let bytes = RoomMessage::Game(bytes).encode();
            match to {
                To::All => self.send(|_| true, &bytes, sink),
                To::Seat(only) => self.send(|seat| seat == only, &bytes, sink),
            }
        }
        if self.outcome.is_some() {
            self.send(|_| true, &self.ended().encode(), sink);
        }
    }

    fn send_snapshots(&mut self, sink: &mut dyn RoomSink) {
        let (game, world) = (&self.game, &self.world);
        for (seat, place) in (0u8..).map(SeatId).zip(&self.seats) {
            if !place.present || place.silent {
                continue;
            }
            let header = SnapshotHeader { last_input: place.inputs.last_used, margin_ms: place.inputs.margin_ms };
            let mut relevant = |entity| game.relevant(seat, entity, world);
            let bytes_max = self.config.snapshot_bytes_max;
            let written = self.replicator.write_snapshot(seat, header, &mut relevant, &mut self.snapshot, bytes_max);
            if let Some(written) = written {
                sink.snapshot(seat, written.tick.0, &self.snapshot);
                self.report.snapshots += 1;
                self.report.snapshot_bytes += self.snapshot.len();
                self.report.mentioned += written.mentioned;
                self.report.deferred += written.deferred;
            }
        }
    }

    fn tell_others(&self, seat: SeatId, message: &RoomMessage, sink: &mut dyn RoomSink) {
        self.send(|other| other != seat, &message.encode(), sink);
    }

    fn send(&self, to: impl Fn(SeatId) -> bool, bytes: &[u8], sink: &mut dyn RoomSink) {
        for (seat, place) in (0u8..).map(SeatId).zip(&self.seats) {
            if place.present && to(seat) {
                sink.message(seat, bytes);
            }
        }
    }

    fn welcome(&self, seat: SeatId) -> RoomMessage {
        let players = self.setup.players.iter().zip(&self.seats).map(|(player, place)| RosterEntry {
            player_id: player.id.to_bytes(),
            seat: player.seat.0,
            team: player.team,
            name: player.name.clone(),
            present: place.present,
        });
        RoomMessage::Welcome {
            match_id: self.setup.match_id.to_bytes(),
            seat: seat.0,
            tick_rate_hz: self.setup.tick_rate_hz,
            tick: self.tick.0,
            players: players.collect(),
            settings_json: settings_json(&self.setup),
        }
    }

    fn ended(&self) -> RoomMessage {
        self.outcome.as_ref().map_or_else(|| RoomMessage::ended(&Outcome::aborted("")), RoomMessage::ended)
    }
}

/// The settings as a JSON text.
pub(crate) fn settings_json(setup: &MatchSetup) -> String {
    serde_json::Value::Object(setup.settings.clone()).to_string()
}

fn check(setup: &MatchSetup) -> Result<(), StartError> {
    let faulty = |what: String| Err(StartError::Setup(what));
    if !TICK_RATES_HZ.contains(&setup.tick_rate_hz) {
        return faulty(format!("{} Hz is not a tick rate from 20 to 128", setup.tick_rate_hz));
    }
    if setup.players.is_empty() || setup.players.len() > SEATS_MAX {
        return faulty(format!("{} players are not 1 to {SEATS_MAX}", setup.players.len()));
    }
    if let Some((place, player)) =
        setup.players.iter().enumerate().find(|(place, player)| *place != usize::from(player.seat.0))
    {
        return faulty(format!("player {} has {:?}, but seats are numbered in roster order", place, player.seat));
    }
    if let Some(player) = setup.players.iter().find(|player| player.name.len() > PLAYER_NAME_BYTES_MAX) {
        return faulty(format!("the name of player {} is longer than {PLAYER_NAME_BYTES_MAX} bytes", player.id));
    }
    let settings = settings_json(setup).len();
    if settings > SETTINGS_BYTES_MAX {
        return faulty(format!("the settings have {settings} bytes as JSON, at most {SETTINGS_BYTES_MAX} are allowed"));
    }
    Ok(())
}
