//! One client of a simulation: a replica, a bot, and the pace of its inputs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use netcode::Micros;
use netcode::emulator::Random;
use netcode::endpoint::{ClientEndpoint, ClientEvent};
use netcode::replication::{Replica, SeatId, SnapshotError, SnapshotInfo, View};
use protocol::schema::Schema;
use protocol::tick::Tick;
use protocol::wire::INPUTS_REPEATED_MAX;

use super::{BotTurn, Fault};
use crate::input::{Input, InputPacket, Seen};

/// How early inputs should arrive.
const MARGIN_MS: i16 = 40;
/// How long connecting may take: several attempts of five seconds.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// A message goes to the server once in this many ticks.
const MESSAGE_EVERY: u32 = 50;

/// What a client's event asks the simulation to check.
pub(super) enum Outcome<'a> {
    /// Nothing.
    Nothing,
    /// The view that a snapshot left.
    Applied(&'a View),
    /// A reliable message.
    Message(Vec<u8>),
    /// The handshake failed: it must begin again, with another token.
    Again,
}

pub(super) struct SimClient {
    pub(super) seat: SeatId,
    pub(super) replica: Replica,
    /// When it began to connect.
    pub(super) begun_at: Micros,
    /// When the session began; `None`: not connected.
    pub(super) connected_at: Option<Micros>,
    /// When its link is bright again.
    pub(super) dark_until: Micros,
    schema: Arc<Schema>,
    random: Random,
    tick_ms: f64,
    /// Tick of the newest input; 0 before the first snapshot.
    tick: Tick,
    /// When the pace was last corrected.
    paced_at: Tick,
    inputs: VecDeque<Input>,
    messages: u32,
    payload: Vec<u8>,
}

impl SimClient {
    pub(super) fn new(seat: SeatId, schema: Arc<Schema>, tick_rate_hz: u32, seed: u64) -> Self {
        Self {
            seat,
            replica: Replica::new(Arc::clone(&schema)),
            begun_at: Micros::ZERO,
            connected_at: None,
            dark_until: Micros::ZERO,
            schema,
            random: Random::new(seed),
            tick_ms: 1_000.0 / f64::from(tick_rate_hz),
            tick: Tick::ZERO,
            paced_at: Tick::ZERO,
            inputs: VecDeque::new(),
            messages: 0,
            payload: Vec::new(),
        }
    }

    /// Begins anew. A process that was relaunched forgets everything; one that resumes goes on with its messages. An
    /// attempt to connect that failed goes on with the next.
    pub(super) fn restart(&mut self, now: Micros, resumes: bool) {
        if self.connected_at.is_some() {
            self.begun_at = now;
        }
        self.replica = Replica::new(Arc::clone(&self.schema));
        self.connected_at = None;
        self.tick = Tick::ZERO;
        self.inputs.clear();
        if !resumes {
            self.messages = 0;
        }
    }

    pub(super) fn take(&mut self, now: Micros, event: ClientEvent, rtt_ms: f64) -> Result<Outcome<'_>, Fault> {
        let seat = self.seat;
        match event {
            ClientEvent::Connected { .. } => self.connected_at = Some(now),
            ClientEvent::Unreliable { payload } => match self.replica.apply(&payload) {
                Ok(info) => {
                    self.pace(&info, rtt_ms);
                    return Ok(self.replica.at(info.tick).map_or(Outcome::Nothing, Outcome::Applied));
                }
                Err(SnapshotError::TooOld) => {}
                Err(error) => return Err(Fault::Snapshot { seat, error }),
            },
            ClientEvent::Message { payload } => return Ok(Outcome::Message(payload)),
            ClientEvent::TimedOut | ClientEvent::Refused { .. } => return Ok(Outcome::Again),
            ClientEvent::Closed { reason, .. } => {
                return Err(Fault::Disconnected { seat, what: format!("closed by the server ({})", reason.label()) });
            }
            ClientEvent::Bulk { .. } | ClientEvent::Delivered { .. } | ClientEvent::Silent | ClientEvent::Heard => {}
        }
        Ok(Outcome::Nothing)
    }

    /// Makes this tick's input and queues it with those before.
    pub(super) fn play(&mut self, now: Micros, endpoint: &mut ClientEndpoint, bot: &mut dyn FnMut(&mut BotTurn<'_>)) {
        if self.tick == Tick::ZERO {
            return;
        }
        self.tick = self.tick.next();
        let neutral = || Input::neutral(Arc::clone(&self.schema));
        let mut input = self.inputs.back().cloned().unwrap_or_else(neutral);
        let view = self.replica.newest();
        let seen = Seen { tick: view.tick(), fraction: 0 };
        bot(&mut BotTurn { seat: self.seat, tick: self.tick, view, random: &mut self.random, input: &mut input });
        self.inputs.push_back(input);
        if self.inputs.len() > INPUTS_REPEATED_MAX {
            self.inputs.pop_front();
        }
        InputPacket::encode(&self.schema, self.tick, seen, self.inputs.iter(), &mut self.payload);
        // What an endpoint does not take now is repeated by the next payload.
        let _ = endpoint.send_unreliable(now, &self.payload, None);
        if self.tick.0.is_multiple_of(MESSAGE_EVERY) {
            let mut message = self.messages.to_le_bytes().to_vec();
            message.extend_from_slice(&self.random.next_u64().to_le_bytes());
            if endpoint.send_message(now, &message).is_ok() {
                self.messages += 1;
            }
        }
    }

    /// Age of what the client shows, when its link has been good for two seconds. A client that does not connect counts
    /// from then on when it should have.
    pub(super) fn view_age_ms(&self, now: Micros, server_tick: Tick) -> Option<u32> {
        let connected_at = self.connected_at.unwrap_or(self.begun_at + CONNECT_WITHIN);
        let good_since = connected_at.max(self.dark_until);
        let age_ticks = server_tick.since(self.replica.newest().tick());
        (now.since(good_since).as_secs() >= 2).then_some((age_ticks as f64 * self.tick_ms) as u32)
    }

    /// Keeps inputs arriving a little before their ticks: jumps ahead when they are late, waits when they are early.
    fn pace(&mut self, info: &SnapshotInfo, rtt_ms: f64) {
        let rtt_ticks = (rtt_ms / self.tick_ms).ceil() as u32;
        if self.tick == Tick::ZERO || self.tick < info.tick {
            self.restart_inputs(info.tick.plus(rtt_ticks + 3));
        } else if info.tick.since(self.paced_at) > i64::from(rtt_ticks + 10) && info.last_input != Tick::ZERO {
            let off_ms = f64::from(info.margin_ms - MARGIN_MS);
            let off_ticks = (off_ms / self.tick_ms).round();
            if off_ticks < 0.0 {
                self.restart_inputs(self.tick.plus(-off_ticks as u32));
                self.paced_at = info.tick;
            } else if off_ticks > 2.0 {
                self.inputs.pop_back();
                self.tick = Tick(self.tick.0 - 1);
                self.paced_at = info.tick;
            }
        }
    }

    /// Continues at another tick: a payload holds consecutive ticks only.
    fn restart_inputs(&mut self, tick: Tick) {
        self.tick = tick;
        self.inputs.drain(..self.inputs.len().saturating_sub(1));
        self.inputs.pop_back();
    }
}
