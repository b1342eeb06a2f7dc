//! The client: one session of one player in one match.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use game::{Input, Leave, RoomMessage};
use netcode::endpoint::{
    self, ClientEndpoint, ClientEvent, Credential, QuicClientConfig, Received, Resumption, SendError, Transmit,
};
use netcode::replication::{Replica, SeatId, SnapshotError, View};
use netcode::{Entropy, Micros};
use protocol::id::MatchId;
use protocol::schema::Schema;
use protocol::tick::Tick;
use protocol::wire::CloseReason;

use crate::event::{Ending, Event, Welcome};
use crate::frame::Frame;
use crate::play::Play;
use crate::prediction::Predict;
use crate::stats::{ClientStats, Counts};

/// Unreadable snapshots in a row after which the session is given up: the two sides disagree about the past.
const SNAPSHOTS_BAD_MAX: u32 = 30;
/// Messages before the welcome: all that a server keeps for a seat, and what it says while the welcome is made.
const EARLY_MAX: usize = 1_024;

/// What a client needs to enter a match, from the assignment and the join token of metagame.
#[derive(Clone)]
pub struct ClientConfig {
    /// The server's address.
    pub server: SocketAddr,
    /// The server's public key.
    pub server_key: [u8; 32],
    /// Beginning of every connection id towards the server; may be empty.
    pub routing_token: Vec<u8>,
    /// By what right: a join token, not older than a minute and not used before, or what an earlier client left
    /// ([`Client::resumption`]).
    pub credential: Credential,
    /// The game's schema.
    pub schema: Arc<Schema>,
    /// What QUIC needs, to go by QUIC; `None`: by native UDP.
    pub quic: Option<QuicClientConfig>,
}

/// A player's session in a match. It owns no socket, reads no clock, and calls nobody back.
///
/// The calling contract: hand in every datagram with [`handle_datagram`](Self::handle_datagram) and call
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) has passed. After each call drain
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event), and as long as
/// [`due_input`](Self::due_input) names a tick, answer with [`send_input`](Self::send_input). Extra calls are harmless.
pub struct Client<P: Predict> {
    schema: Arc<Schema>,
    endpoint: ClientEndpoint,
    replica: Replica,
    events: VecDeque<Event>,
    play: Option<Play<P>>,
    /// Rules of prediction that came before the welcome.
    rules: Option<P>,
    counts: Counts,
    bad_in_a_row: u32,
    /// What came before the welcome: messages that an earlier session of the seat had not acknowledged.
    early: VecDeque<Event>,
}

impl<P: Predict> Client<P> {
    /// A client that begins its handshake at once.
    pub fn new(config: ClientConfig, entropy: Entropy, now: Micros) -> Self {
        let ClientConfig { server, server_key, routing_token, credential, schema, quic } = config;
        let schema_hash = schema.hash();
        let endpoint = endpoint::ClientConfig { server, server_key, routing_token, credential, schema_hash, quic };
        Self {
            endpoint: ClientEndpoint::new(endpoint, entropy, now),
            replica: Replica::new(Arc::clone(&schema)),
            schema,
            events: VecDeque::new(),
            play: None,
            rules: None,
            counts: Counts::default(),
            bad_in_a_row: 0,
            early: VecDeque::new(),
        }
    }

    /// Takes one datagram that arrived from `from`.
    pub fn handle_datagram(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Received {
        let received = self.endpoint.handle_datagram(now, from, datagram);
        self.take_events(now);
        received
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Micros) {
        self.endpoint.handle_timeout(now);
        self.take_events(now);
        if let Some(play) = &mut self.play {
            play.advance(now, &mut self.counts);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, for the endpoint or for the next input; `None` when
    /// the client is done.
    pub fn poll_timeout(&self) -> Option<Micros> {
        if self.is_done() {
            return None;
        }
        let input = self.play.as_ref().and_then(Play::due).filter(|_| self.endpoint.is_open());
        [self.endpoint.poll_timeout(), input].into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.endpoint.poll_transmit()
    }

    /// Gives back the bytes of a [`Transmit`] that was sent: their memory is used again.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.endpoint.recycle(bytes);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Predicts the own player by these rules from now on; usually called once the game's initial state has come.
    pub fn predict_with(&mut self, rules: P) {
        match &mut self.play {
            Some(play) => play.predict_with(rules),
            None => self.rules = Some(rules),
        }
    }

    /// The tick for which an input is due now, if one is.
    pub fn due_input(&mut self, now: Micros) -> Option<Tick> {
        if !self.endpoint.is_open() {
            return None;
        }
        let play = self.play.as_mut()?;
        play.advance(now, &mut self.counts);
        play.due_input(now)
    }

    /// A neutral input, to be filled in.
    pub fn neutral_input(&self) -> Input {
        Input::neutral(Arc::clone(&self.schema))
    }

    /// Sends the input for the tick that is due and predicts what it does. Without a due tick nothing happens.
    pub fn send_input(&mut self, now: Micros, input: &Input) {
        let Some(tick) = self.due_input(now) else { return };
        let Some(play) = &mut self.play else { return };
        play.take_input(now, tick, input);
        self.counts.inputs += 1;
        let seen = play.seen();
        // An input that finds no room is repeated by the next packet.
        let _dropped_when_full = self.endpoint.send_unreliable(now, play.pending.payload(&self.schema, seen), None);
        play.advance(now, &mut self.counts);
        self.endpoint.flush(now);
    }

    /// Sends a reliable message to the game on the server.
    ///
    /// # Errors
    /// [`SendError`] when there is no open session, or the message is too long, or the server does not keep up.
    pub fn send_message(&mut self, now: Micros, message: &[u8]) -> Result<(), SendError> {
        self.endpoint.send_message(now, message)?;
        self.endpoint.flush(now);
        Ok(())
    }

    /// What another client can come back with to the same seat, over either carrier and from any address; none before the
    /// server was heard, and once the session has ended for good. [`Resumption::to_bytes`] may be kept in a file that
    /// nobody else can read, for the case that the program is killed.
    ///
    /// Taken from a client that is given up, after its events were polled to the end, it makes reliable messages arrive
    /// exactly once. From an older file the game may hear messages again, but misses none.
    pub fn resumption(&self) -> Option<Resumption> {
        self.endpoint.resumption()
    }

    /// Leaves the match for good.
    pub fn leave(&mut self, now: Micros) {
        self.endpoint.close(now, CloseReason::Left);
        self.take_events(now);
    }

    /// Fills the frame with all entities at the moment to be shown now: a little in the past, between two snapshots.
    /// The own player is in it too, as the server last showed it; [`own`](Self::own) is ahead of that.
    pub fn fill_frame(&mut self, now: Micros, frame: &mut Frame) {
        match &mut self.play {
            Some(play) => {
                play.advance(now, &mut self.counts);
                play.fill(&self.replica, frame);
            }
            None => frame.fill(self.replica.newest(), None, 0.0),
        }
    }

    /// The own player, predicted, as it is to be shown now.
    pub fn own(&self, now: Micros) -> Option<P::State> {
        self.play.as_ref()?.own(now)
    }

    /// The own player after the newest input, without smoothing.
    pub fn own_newest(&self) -> Option<&P::State> {
        self.play.as_ref()?.own_newest()
    }

    /// The newest snapshot's state.
    pub fn newest(&self) -> &View {
        self.replica.newest()
    }

    /// The server's time now, in ticks with fraction; none before the first snapshot.
    pub fn server_ticks(&self, now: Micros) -> Option<f64> {
        self.play.as_ref()?.server_ticks(now)
    }

    /// Whether inputs and messages can be sent.
    pub fn is_open(&self) -> bool {
        self.endpoint.is_open()
    }

    /// Whether the client is done: refused, timed out or closed, with nothing left to send.
    pub fn is_done(&self) -> bool {
        self.endpoint.is_done()
    }

    /// Measurements.
    pub fn stats(&self, now: Micros) -> ClientStats {
        let play = self.play.as_ref();
        ClientStats {
            session: self.endpoint.stats(),
            snapshot_age: play.map(|play| play.age(now, self.replica.newest().tick())).unwrap_or_default(),
            interpolation_delay: play.map(Play::interpolation_delay).unwrap_or_default(),
            input_lead: play.map(Play::lead).unwrap_or_default(),
            counts: self.counts,
        }
    }

    fn take_events(&mut self, now: Micros) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                // The room's welcome says more, and follows at once.
                ClientEvent::Connected { .. } | ClientEvent::Delivered { .. } => {}
                ClientEvent::Unreliable { payload } => {
                    self.take_snapshot(now, &payload);
                    self.endpoint.recycle(payload);
                }
                ClientEvent::Message { payload } => self.take_message(&payload),
                ClientEvent::Bulk { payload } => self.events.push_back(Event::Bulk(payload)),
                ClientEvent::Silent => self.events.push_back(Event::Silent),
                ClientEvent::Heard => self.events.push_back(Event::Heard),
                ClientEvent::Refused { refusal, detail } => self.events.push_back(Event::Refused { refusal, detail }),
                ClientEvent::Closed { reason, by_peer } => {
                    self.events.push_back(Event::Closed { reason, by_server: by_peer });
                }
                ClientEvent::TimedOut => self.events.push_back(Event::TimedOut),
            }
        }
    }

    fn take_snapshot(&mut self, now: Micros, payload: &[u8]) {
        let info = match self.replica.apply(payload) {
            Ok(info) => info,
            Err(SnapshotError::Duplicate | SnapshotError::TooOld) => {
                self.counts.snapshots_stale += 1;
                return;
            }
            Err(SnapshotError::Malformed | SnapshotError::Version(_) | SnapshotError::MissingBaseline) => {
                self.counts.snapshots_bad += 1;
                self.bad_in_a_row += 1;
                if self.bad_in_a_row == SNAPSHOTS_BAD_MAX {
                    self.endpoint.close(now, CloseReason::Protocol);
                }
                return;
            }
        };
        self.bad_in_a_row = 0;
        self.counts.snapshots += 1;
        self.counts.snapshot_bytes += payload.len() as u64;
        if let Some(play) = &mut self.play {
            let path = self.endpoint.stats();
            play.heard(now, &info, &self.replica, (path.rtt_min, path.jitter), &mut self.counts);
        }
    }

    fn take_message(&mut self, payload: &[u8]) {
        let Ok(message) = RoomMessage::decode(payload) else {
            self.counts.messages_bad += 1;
            return;
        };
        let event = match message {
            RoomMessage::Welcome { match_id, seat, tick_rate_hz, tick, players, settings_json } => {
                if self.play.is_some() {
                    // An earlier session of the seat had not acknowledged its own; it said the same.
                    return;
                }
                let seat = SeatId(seat);
                let mut play = Play::new(seat, tick_rate_hz);
                if let Some(rules) = self.rules.take() {
                    play.predict_with(rules);
                }
                self.play = Some(play);
                let match_id = MatchId::from_bytes(match_id);
                let tick = Tick(tick);
                self.events.push_back(Event::Connected(Welcome {
                    match_id,
                    seat,
                    tick_rate_hz,
                    tick,
                    players,
                    settings_json,
                }));
                self.events.append(&mut self.early);
                return;
            }
            RoomMessage::PlayerJoined { seat } => Event::PlayerJoined(SeatId(seat)),
            RoomMessage::PlayerLeft { seat, why } => {
                Event::PlayerLeft { seat: SeatId(seat), why: Leave::from_code(why).unwrap_or(Leave::Lost) }
            }
            RoomMessage::Game(bytes) => Event::Game(bytes),
            RoomMessage::Draining { tick } => Event::Draining(Tick(tick)),
            RoomMessage::Ended { reason, standings } => Event::Ended(Ending { reason, standings }),
        };
        if self.play.is_some() {
            self.events.push_back(event);
        } else if self.early.len() < EARLY_MAX {
            self.early.push_back(event);
        } else {
            self.counts.messages_bad += 1;
        }
    }
}
