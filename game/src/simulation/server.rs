//! The server of a simulation: a room behind an endpoint, as a shell would run it.

use std::collections::BTreeMap;

use netcode::Micros;
use netcode::endpoint::{SendError, ServerEndpoint, ServerEvent, SessionId};
use netcode::replication::SeatId;
use protocol::wire::CloseReason;

use super::{Fault, SimReport};
use crate::room::{Room, RoomInput};
use crate::rules::{Game, Leave};
use crate::sink::{RoomSink, StepReport};

/// What the server knows of a seat.
#[derive(Default)]
struct Line {
    session: Option<SessionId>,
    /// Reliable messages to the client.
    sent: Vec<Vec<u8>>,
    /// Which of them the client may receive next. More than one after it came back with a fresh token: the server sends
    /// again what it does not know to have arrived, and how much that is shows with the first of them.
    next: Vec<usize>,
    /// Number of the next reliable message from the client.
    next_number: u32,
}

impl Line {
    /// The last of the messages that may be next.
    fn newest(&self) -> usize {
        self.next.iter().copied().max().unwrap_or_default()
    }
}

pub(super) struct SimServer<G: Game> {
    pub(super) room: Room<G>,
    lines: Vec<Line>,
    seats: BTreeMap<SessionId, SeatId>,
    messages: u64,
}

impl<G: Game> SimServer<G> {
    pub(super) fn new(room: Room<G>) -> Self {
        let lines = room.setup().players.iter().map(|_| Line { next: vec![0], ..Line::default() }).collect();
        Self { room, lines, seats: BTreeMap::new(), messages: 0 }
    }

    /// Hands what the endpoint said to the room. `early_us`: time until the next step.
    pub(super) fn take(&mut self, event: ServerEvent, early_us: u32) -> Result<(), Fault> {
        match event {
            ServerEvent::Connected { session, claims, resumed, .. } => {
                let player = self.room.setup().players.iter().find(|player| player.id == claims.sub);
                let seat = player.ok_or(Fault::Refused { what: "a player" })?.seat;
                let line = &mut self.lines[usize::from(seat.0)];
                if let Some(older) = line.session {
                    self.seats.remove(&older);
                }
                line.session = Some(session);
                if !resumed {
                    line.next_number = 0;
                    line.next = (0..=line.newest()).collect();
                }
                self.seats.insert(session, seat);
                self.room.handle(RoomInput::Joined { seat });
            }
            ServerEvent::Unreliable { session, payload } => {
                self.with(session, |seat| RoomInput::Unreliable { seat, payload, early_us });
            }
            ServerEvent::Message { session, payload } => self.take_message(session, payload)?,
            ServerEvent::Delivered { session, tag } => self.with(session, |seat| RoomInput::Delivered { seat, tag }),
            ServerEvent::Silent { session } => self.with(session, |seat| RoomInput::Silent { seat }),
            ServerEvent::Heard { session } => self.with(session, |seat| RoomInput::Heard { seat }),
            ServerEvent::Closed { session, reason, .. } => {
                if reason != CloseReason::SeatTaken
                    && let Some(seat) = self.seats.remove(&session)
                {
                    self.lines[usize::from(seat.0)].session = None;
                    let why = if reason == CloseReason::Left { Leave::Left } else { Leave::Lost };
                    self.room.handle(RoomInput::Left { seat, why });
                }
            }
        }
        Ok(())
    }

    /// Runs a tick and queues what it sends.
    pub(super) fn step(&mut self, now: Micros, endpoint: &mut ServerEndpoint) -> Result<StepReport, Fault> {
        let mut sink = Sink { now, endpoint, lines: &mut self.lines, fault: None };
        let report = self.room.step(&mut sink);
        match sink.fault {
            None => Ok(report),
            Some((seat, error)) => Err(Fault::Disconnected { seat, what: error.to_string() }),
        }
    }

    /// A client has received a reliable message.
    pub(super) fn received(&mut self, seat: SeatId, bytes: &[u8]) -> Result<(), Fault> {
        self.messages += 1;
        let Line { sent, next, .. } = &mut self.lines[usize::from(seat.0)];
        next.retain(|place| sent.get(*place).is_some_and(|sent| sent == bytes));
        next.iter_mut().for_each(|place| *place += 1);
        if next.is_empty() { Err(Fault::Order { seat, direction: "to" }) } else { Ok(()) }
    }

    /// The first seat whose client has not received all that was sent to it.
    pub(super) fn unread(&self) -> Option<(SeatId, usize)> {
        let mut lines = (0u8..).map(SeatId).zip(&self.lines);
        lines
            .find(|(_, line)| line.session.is_some() && line.newest() < line.sent.len())
            .map(|(seat, line)| (seat, line.sent.len() - line.newest()))
    }

    /// Adds what happened to a report.
    pub(super) fn report(&self, report: &mut SimReport) {
        report.ticks = self.room.tick().0;
        report.state_hash = self.room.state_hash();
        report.reason = self.room.outcome().map_or_else(String::new, |outcome| outcome.reason.clone());
        report.messages = self.messages;
    }

    fn take_message(&mut self, session: SessionId, payload: Vec<u8>) -> Result<(), Fault> {
        let Some(&seat) = self.seats.get(&session) else { return Ok(()) };
        let line = &mut self.lines[usize::from(seat.0)];
        if payload.first_chunk() != Some(&line.next_number.to_le_bytes()) {
            return Err(Fault::Order { seat, direction: "from" });
        }
        line.next_number += 1;
        self.messages += 1;
        self.room.handle(RoomInput::Message { seat, payload });
        Ok(())
    }

    /// Events of sessions that lost their seat are of no interest.
    fn with(&mut self, session: SessionId, input: impl FnOnce(SeatId) -> RoomInput) {
        if let Some(&seat) = self.seats.get(&session) {
            self.room.handle(input(seat));
        }
    }
}

struct Sink<'a> {
    now: Micros,
    endpoint: &'a mut ServerEndpoint,
    lines: &'a mut [Line],
    fault: Option<(SeatId, SendError)>,
}

impl RoomSink for Sink<'_> {
    fn snapshot(&mut self, seat: SeatId, tag: u32, bytes: &[u8]) {
        if let Some(session) = self.lines[usize::from(seat.0)].session
            && let Err(error) = self.endpoint.send_unreliable(self.now, session, bytes, Some(tag))
        {
            self.fault.get_or_insert((seat, error));
        }
    }

    fn message(&mut self, seat: SeatId, bytes: &[u8]) {
        let line = &mut self.lines[usize::from(seat.0)];
        let Some(session) = line.session else { return };
        match self.endpoint.send_message(self.now, session, bytes) {
            Ok(()) => line.sent.push(bytes.to_vec()),
            Err(error) => {
                self.fault.get_or_insert((seat, error));
            }
        }
    }

    fn bulk(&mut self, seat: SeatId, bytes: Vec<u8>) {
        if let Some(session) = self.lines[usize::from(seat.0)].session
            && let Err(error) = self.endpoint.send_bulk(self.now, session, bytes)
        {
            self.fault.get_or_insert((seat, error));
        }
    }
}
