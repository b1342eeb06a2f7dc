//! One session over UDP: the socket around the client core, with a brain at the controls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arena::welcome::Welcome;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::{Client, ClientConfig, Ending, Event, Frame};
use game::{Game as _, Schema};
use netcode::replication::SeatId;
use netcode::{Entropy, Micros};
use protocol::wire::{CloseReason, Refusal};
use tokio::net::UdpSocket;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::JoinToken;
use crate::brain::Brain;
use crate::prediction::ArenaPrediction;
use crate::report::Report;
use crate::sight::Sight;

/// Longest session: the longest match, its warm-up, and room.
const SESSION_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a client stays after the outcome for the server to close.
const LINGER: Duration = Duration::from_secs(2);
/// From one sample of the round trip to the next.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Datagrams that are taken at once before anything else is looked at.
const BATCH: usize = 32;

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// The match ended.
    Ended {
        /// The bot's own score, 0 when it was not told.
        score: i64,
    },
    /// The server refused.
    Refused(Refusal),
    /// The session was closed before the match ended.
    Closed(CloseReason),
    /// The server did not answer the handshake.
    TimedOut,
    /// The bot was told to leave.
    Aborted,
}

/// One session while it is played.
struct Session {
    client: Client<ArenaPrediction>,
    brain_seed: u64,
    brain: Option<(Brain, Welcome)>,
    seat: Option<SeatId>,
    frame: Frame,
    ending: Option<(Ending, Instant)>,
    entered: Option<Instant>,
}

/// Plays until the match or the session ends, and adds what it measured to the report. `known` is when the bot learned
/// of the match.
///
/// # Errors
/// When the assignment makes no sense, or the machine has no socket left.
pub async fn play(
    join: &JoinToken,
    brain_seed: u64,
    known: Instant,
    abort: &CancellationToken,
    report: &mut Report,
) -> anyhow::Result<End> {
    let begin = Instant::now();
    let config = config(join).await?;
    let any: SocketAddr = if config.server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.context("failed to open a UDP socket")?;
    let entropy = Entropy::new(service::random::bytes());
    let frame = Frame::new(&config.schema);
    let client = Client::new(config, entropy, Micros::ZERO);
    let mut session = Session { client, brain_seed, brain: None, seat: None, frame, ending: None, entered: None };
    let end = session.run(&socket, begin, abort, report).await;
    session.report(begin, known, report);
    Ok(end)
}

impl Session {
    async fn run(&mut self, socket: &UdpSocket, begin: Instant, abort: &CancellationToken, report: &mut Report) -> End {
        let now = || Micros(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut buffer = vec![0u8; 2_048];
        let mut sample_at = begin + SAMPLE_EVERY;
        loop {
            self.send_inputs(now());
            let end = self.take_events();
            self.transmit(socket);
            if let Some(end) = end.or_else(|| self.lingered()) {
                return end;
            }
            let wake = self.client.poll_timeout().map_or(Duration::from_millis(50), |at| at.since(now()));
            tokio::select! {
                () = abort.cancelled() => return self.abort(socket, now()),
                // An error is a datagram that a closed port sent back; silence says the same.
                received = socket.recv_from(&mut buffer) => if let Ok((bytes, from)) = received {
                    self.client.handle_datagram(now(), from, &buffer[..bytes]);
                    for _ in 1..BATCH {
                        let Ok((bytes, from)) = socket.try_recv_from(&mut buffer) else { break };
                        self.client.handle_datagram(now(), from, &buffer[..bytes]);
                    }
                },
                () = tokio::time::sleep(wake) => self.client.handle_timeout(now()),
            }
            if Instant::now() >= sample_at {
                sample_at += SAMPLE_EVERY;
                let round_trip = self.client.stats(now()).session.rtt;
                if round_trip > Duration::ZERO {
                    report.rtt.add(round_trip);
                }
            }
            if begin.elapsed() > SESSION_MAX {
                return self.abort(socket, now());
            }
        }
    }

    /// Answers every due input with a thought.
    fn send_inputs(&mut self, now: Micros) {
        while self.client.due_input(now).is_some() {
            let mut input = self.client.neutral_input();
            if let (Some((brain, welcome)), Some(seat)) = (&mut self.brain, self.seat) {
                self.client.fill_frame(now, &mut self.frame);
                let own = self.client.own_newest().map(|body| body.position());
                if let Some(sight) = Sight::read(&self.frame, seat, own) {
                    let controls = brain.think(&sight, &welcome.map);
                    for (field, value) in arena::input::values(&controls).into_iter().enumerate() {
                        input.set(field, value);
                    }
                }
            }
            self.client.send_input(now, &input);
        }
    }

    /// Takes the client's events; says how the session ended, if it did.
    fn take_events(&mut self) -> Option<End> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected(welcome) => {
                    self.seat = Some(welcome.seat);
                    self.entered.get_or_insert_with(Instant::now);
                }
                Event::Bulk(bytes) => {
                    if let Ok(welcome) = Welcome::from_bytes(&bytes) {
                        self.client.predict_with(ArenaPrediction { welcome: welcome.clone() });
                        self.brain = Some((Brain::new(self.brain_seed, welcome.rate), welcome));
                    }
                }
                Event::Ended(ending) => self.ending = Some((ending, Instant::now())),
                Event::Refused { refusal, .. } => return Some(End::Refused(refusal)),
                Event::TimedOut => return Some(End::TimedOut),
                Event::Closed { reason, .. } => {
                    // The close may overtake the outcome; the match has ended all the same.
                    let unknown = match reason {
                        CloseReason::MatchEnded => End::Ended { score: 0 },
                        reason => End::Closed(reason),
                    };
                    return Some(self.ended().unwrap_or(unknown));
                }
                Event::PlayerJoined(_) | Event::PlayerLeft { .. } | Event::Game(_) | Event::Silent | Event::Heard => {}
            }
        }
        None
    }

    /// The outcome, once the server has had its time to close.
    fn lingered(&self) -> Option<End> {
        let is_over = self.ending.as_ref().is_some_and(|(_, since)| since.elapsed() > LINGER);
        if is_over { self.ended() } else { None }
    }

    /// That the match has ended, if it has.
    fn ended(&self) -> Option<End> {
        let (ending, _) = self.ending.as_ref()?;
        let own = ending.standings.iter().find(|standing| Some(SeatId(standing.seat)) == self.seat);
        Some(End::Ended { score: own.map_or(0, |standing| standing.score) })
    }

    fn transmit(&mut self, socket: &UdpSocket) {
        while let Some(datagram) = self.client.poll_transmit() {
            // A full or failing socket loses the datagram, as the network may.
            let _lost = socket.try_send_to(&datagram.bytes, datagram.to);
        }
    }

    fn abort(&mut self, socket: &UdpSocket, now: Micros) -> End {
        self.client.leave(now);
        self.transmit(socket);
        self.ended().unwrap_or(End::Aborted)
    }

    /// Adds the session's measurements to the report.
    fn report(&self, begin: Instant, known: Instant, report: &mut Report) {
        let stats = self.client.stats(Micros(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)));
        if let Some(entered) = self.entered {
            report.time_to_enter.add(entered - known);
            report.session_time += entered.elapsed();
        }
        report.bytes_in += stats.session.bytes_in;
        report.bytes_out += stats.session.bytes_out;
        report.snapshots += stats.counts.snapshots;
        report.snapshot_bytes += stats.counts.snapshot_bytes;
        report.inputs_in_time += stats.counts.inputs_in_time;
        report.inputs_late += stats.counts.inputs_late;
        report.predictions += stats.counts.predictions;
        report.mispredictions += stats.counts.mispredictions;
    }
}

/// What the client core needs of an assignment.
async fn config(join: &JoinToken) -> anyhow::Result<ClientConfig> {
    let placed = &join.placed;
    let schema: Schema = arena::Arena::schema();
    let hash = u64::from_str_radix(&placed.schema_hash, 16).context("the assignment's schema_hash is no hex number")?;
    anyhow::ensure!(
        hash == schema.hash(),
        "the match is of another game, or another version: bots play the arena only"
    );
    let key = URL_SAFE_NO_PAD.decode(&placed.server_key).context("the assignment's server_key is not base64url")?;
    let server = tokio::net::lookup_host(&placed.address).await.ok().and_then(|mut found| found.next());
    Ok(ClientConfig {
        server: server.with_context(|| format!("\"{}\" is not a host and port that exist", placed.address))?,
        server_key: key.try_into().ok().context("the assignment's server_key has not 32 bytes")?,
        routing_token: URL_SAFE_NO_PAD.decode(&placed.routing_token).context("the routing_token is not base64url")?,
        join_token: join.join_token.clone(),
        schema: Arc::new(schema),
    })
}
