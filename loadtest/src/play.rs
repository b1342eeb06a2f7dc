//! One session over UDP: the socket around the client core, with a brain at the controls.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arena::welcome::Welcome;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::{Client, ClientConfig, Credential, Ending, Event, Frame, Resumption};
use game::{Game as _, Schema};
use netcode::emulator::Conditions;
use netcode::endpoint::{Carrier, QuicClientConfig};
use netcode::replication::SeatId;
use netcode::{Entropy, Micros};
use protocol::wire::{CloseReason, Refusal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{Assignment, JoinToken};
use crate::brain::Brain;
use crate::churn::{Mishap, mishap};
use crate::match_watch::MatchWatch;
use crate::prediction::ArenaPrediction;
use crate::report::Report;
use crate::resume_file::ResumeFile;
use crate::sight::Sight;
use crate::socket::Socket;
use crate::wander::Wanderer;

/// Longest session: the longest match, its warm-up, and room.
const SESSION_MAX: Duration = Duration::from_secs(15 * 60);
/// How long a client stays after the outcome for the server to close.
const LINGER: Duration = Duration::from_secs(2);
/// From one sample of the round trip to the next.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// A server that says nothing for so long may be gone: metagame is asked.
const SILENT: Duration = Duration::from_millis(1_500);
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
    /// Metagame or the server says that the match is lost.
    Lost,
    /// The session was cut on purpose: the client is gone without a word, and its seat waits.
    Cut {
        /// How.
        mishap: Mishap,
        /// What the player can come back with, if it has anything.
        left: Option<Resumption>,
    },
    /// The bot was told to leave.
    Aborted,
}

impl End {
    /// Whether the player had its seat.
    pub fn was_inside(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Closed(_) | Self::Cut { .. })
    }
}

/// What one session is played with.
pub struct Order<'a> {
    /// Where, and by what right.
    pub join: &'a JoinToken,
    /// What an earlier session left, to come back with; otherwise the token counts.
    pub resumption: Option<Resumption>,
    /// The game.
    pub schema: &'a Arc<Schema>,
    /// Seed of how the bot plays, and of the network's moods.
    pub seed: u64,
    /// When the bot learned of the match.
    pub known: Instant,
    /// Leave at once.
    pub abort: &'a CancellationToken,
    /// What to go by; native UDP where the server speaks no QUIC.
    pub carrier: Carrier,
    /// How bad the network is, in each direction.
    pub network: Option<Conditions>,
    /// Whether the bot suffers the mishap that [`mishap`] has for its seat.
    pub churn: bool,
    /// Since when the player has been without its seat, if an earlier session was cut.
    pub away_since: Option<Instant>,
    /// Whom to ask when the server says nothing.
    pub watch: MatchWatch,
}

/// One session while it is played.
struct Session {
    client: Client<ArenaPrediction>,
    server: SocketAddr,
    socket: Socket,
    begin: Instant,
    brain_seed: u64,
    brain: Option<(Brain, Welcome)>,
    /// Plays a game that is not the arena.
    wanderer: Option<Wanderer>,
    seat: Option<SeatId>,
    frame: Frame,
    ending: Option<(Ending, Instant)>,
    entered: Option<Instant>,
    /// When a datagram came last.
    heard: Instant,
    /// Waits for metagame to say that the match is over, while the server is silent.
    asking: Option<AbortOnDropHandle<String>>,
    /// What is going to happen to the bot.
    mishap: Option<(Mishap, Instant)>,
    /// Where the player keeps its resume ticket, if it is going to be killed.
    kept: Option<ResumeFile>,
    away: Option<Away>,
}

/// A player whose way to its seat was cut.
#[derive(Clone, Copy)]
struct Away {
    since: Instant,
    /// Snapshots that had come by then: one more, and the player has its seat again.
    snapshots: u64,
}

/// Plays until the match or the session ends, and adds what it measured to the report: the arena by its rules, any other
/// schema's game at random. `entered` is called when the player has its seat.
///
/// # Errors
/// When the assignment makes no sense, or the machine has no socket left.
pub async fn play(order: Order<'_>, report: &mut Report, entered: &mut (dyn FnMut() + Send)) -> anyhow::Result<End> {
    let begin = Instant::now();
    let config = config(&order).await?;
    let socket = Socket::open(config.server, order.network, order.seed).await.context("failed to open a UDP socket")?;
    let entropy = Entropy::new(service::random::bytes());
    let frame = Frame::new(&config.schema);
    let is_arena = order.schema.hash() == arena::Arena::schema().hash();
    let wanderer = (!is_arena).then(|| Wanderer::new(Arc::clone(order.schema), order.seed));
    let mut session = Session {
        server: config.server,
        client: Client::new(config, entropy, Micros::ZERO),
        socket,
        begin,
        brain_seed: order.seed,
        brain: None,
        wanderer,
        seat: None,
        frame,
        ending: None,
        entered: None,
        heard: begin,
        asking: None,
        mishap: None,
        kept: None,
        away: order.away_since.map(|since| Away { since, snapshots: 0 }),
    };
    let end = session.run(&order, report, entered).await;
    session.report(&order, report);
    Ok(end)
}

impl Session {
    async fn run(&mut self, order: &Order<'_>, report: &mut Report, entered: &mut (dyn FnMut() + Send)) -> End {
        let mut sample_at = self.begin + SAMPLE_EVERY;
        loop {
            let was_inside = self.seat.is_some();
            self.send_inputs(self.now());
            let end = self.take_events(order);
            if !was_inside && self.seat.is_some() {
                entered();
            }
            self.transmit();
            if let Some(end) = end.or_else(|| self.lingered()) {
                return end;
            }
            if let Some(mishap) = self.suffer(report).await {
                return End::Cut { mishap, left: self.left_by(mishap) };
            }
            self.note_return(report);
            self.ask_when_silent(order);
            let due = [self.client.poll_timeout(), self.socket.poll_timeout()].into_iter().flatten().min();
            let wake = due.map_or(Duration::from_millis(50), |at| at.since(self.now())).min(SILENT);
            tokio::select! {
                () = order.abort.cancelled() => return self.abort(),
                state = told(&mut self.asking) => return self.told(&state),
                () = self.socket.readable() => {}
                () = tokio::time::sleep(wake) => {}
            }
            self.receive();
            if Instant::now() >= sample_at {
                sample_at += SAMPLE_EVERY;
                let round_trip = self.client.stats(self.now()).session.rtt;
                if round_trip > Duration::ZERO {
                    report.rtt.add(round_trip);
                }
                self.keep_ticket();
            }
            if self.begin.elapsed() > SESSION_MAX {
                return self.abort();
            }
        }
    }

    /// Time since the session began, as the client core counts it.
    fn now(&self) -> Micros {
        Micros(u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Gives the client what has arrived, and the time.
    fn receive(&mut self) {
        let (now, server) = (self.now(), self.server);
        let (client, heard) = (&mut self.client, &mut self.heard);
        self.socket.receive(now, BATCH, |datagram| {
            *heard = Instant::now();
            client.handle_datagram(now, server, datagram);
        });
        if self.client.poll_timeout().is_some_and(|at| at <= now) {
            self.client.handle_timeout(now);
        }
    }

    /// Lets the mishap happen when it is time for it; says so if it ends the session.
    async fn suffer(&mut self, report: &mut Report) -> Option<Mishap> {
        let (mishap, _) = self.mishap.filter(|(_, at)| Instant::now() >= *at && self.ending.is_none())?;
        self.mishap = None;
        if mishap != Mishap::ChangeAddress {
            return Some(mishap);
        }
        match self.socket.change_address().await {
            Ok(()) => {
                report.reconnects += 1;
                let snapshots = self.client.stats(self.now()).counts.snapshots;
                self.away = Some(Away { since: Instant::now(), snapshots });
            }
            Err(error) => tracing::warn!(%error, "no other address"),
        }
        None
    }

    /// What the mishap leaves of the session.
    fn left_by(&self, mishap: Mishap) -> Option<Resumption> {
        match mishap {
            Mishap::Resume => self.kept.as_ref().and_then(ResumeFile::read),
            Mishap::ChangeCarrier => self.client.resumption(),
            Mishap::ChangeAddress | Mishap::Relaunch => None,
        }
    }

    /// Writes down what the player can come back with, if it is going to be killed.
    fn keep_ticket(&self) {
        if let (Some(file), Some(resumption)) = (&self.kept, self.client.resumption())
            && let Err(error) = file.write(&resumption)
        {
            tracing::warn!(%error, "cannot keep the resume ticket");
        }
    }

    /// Measures how long the player was away, once a snapshot says that it has its seat again.
    fn note_return(&mut self, report: &mut Report) {
        let Some(away) = self.away else { return };
        let has_state = self.seat.is_some() && (self.brain.is_some() || self.wanderer.is_some());
        if has_state && self.client.stats(self.now()).counts.snapshots > away.snapshots {
            report.reconnect.add(away.since.elapsed());
            self.away = None;
        }
    }

    /// Asks metagame about the match for as long as the server is silent.
    fn ask_when_silent(&mut self, order: &Order<'_>) {
        if self.heard.elapsed() < SILENT {
            self.asking = None;
        } else if self.asking.is_none() {
            let watch = order.watch.clone();
            self.asking = Some(AbortOnDropHandle::new(tokio::spawn(watch.over())));
        }
    }

    /// What metagame's word on the match means for the session.
    fn told(&self, state: &str) -> End {
        match state {
            "lost" => End::Lost,
            _ => self.ended().unwrap_or(End::Ended { score: 0 }),
        }
    }

    /// Answers every due input with a thought.
    fn send_inputs(&mut self, now: Micros) {
        while self.client.due_input(now).is_some() {
            let mut input = self.client.neutral_input();
            if let Some(wanderer) = &mut self.wanderer {
                wanderer.think(&mut input);
            }
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
    fn take_events(&mut self, order: &Order<'_>) -> Option<End> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected(welcome) => {
                    self.seat = Some(welcome.seat);
                    let entered = *self.entered.get_or_insert_with(Instant::now);
                    let mishap = mishap(welcome.match_id, welcome.seat.0, welcome.players.len());
                    self.mishap = mishap.filter(|_| order.churn).map(|(mishap, after)| (mishap, entered + after));
                    self.kept = self.mishap.filter(|(mishap, _)| *mishap == Mishap::Resume).map(|_| ResumeFile::new());
                    self.keep_ticket();
                }
                Event::Bulk(_) if self.wanderer.is_some() => {}
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
                        CloseReason::RoomFailed => End::Lost,
                        reason => End::Closed(reason),
                    };
                    return Some(self.ended().unwrap_or(unknown));
                }
                Event::PlayerJoined(_)
                | Event::PlayerLeft { .. }
                | Event::Game(_)
                | Event::Draining(_)
                | Event::Silent
                | Event::Heard => {}
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

    fn transmit(&mut self) {
        let now = self.now();
        while let Some(datagram) = self.client.poll_transmit() {
            self.socket.send(now, &datagram.bytes);
            self.client.recycle(datagram.bytes);
        }
    }

    fn abort(&mut self) -> End {
        self.client.leave(self.now());
        self.transmit();
        self.ended().unwrap_or(End::Aborted)
    }

    /// Adds the session's measurements to the report.
    fn report(&self, order: &Order<'_>, report: &mut Report) {
        let stats = self.client.stats(self.now());
        if let Some(entered) = self.entered {
            if order.away_since.is_none() {
                report.time_to_enter.add(entered - order.known);
            }
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

/// Resolves with the match's state when metagame says that it is over.
async fn told(asking: &mut Option<AbortOnDropHandle<String>>) -> String {
    match asking {
        // A question that fails by a panic has no answer.
        Some(asked) => match asked.await {
            Ok(state) => state,
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// What the client core needs of an assignment.
async fn config(order: &Order<'_>) -> anyhow::Result<ClientConfig> {
    let Order { join, schema, carrier, .. } = *order;
    let placed = &join.placed;
    anyhow::ensure!(
        placed.transport != "foreign",
        "the match is on a server in another language, whose clients speak a protocol of their own: bots cannot play it"
    );
    let hash = u64::from_str_radix(&placed.schema_hash, 16).context("the assignment's schema_hash is no hex number")?;
    anyhow::ensure!(
        hash == schema.hash(),
        "the match is of another game, or of another version, than {}: name its server's program with --game",
        schema.game
    );
    let key = URL_SAFE_NO_PAD.decode(&placed.server_key).context("the assignment's server_key is not base64url")?;
    let server = tokio::net::lookup_host(&placed.address).await.ok().and_then(|mut found| found.next());
    Ok(ClientConfig {
        server: server.with_context(|| format!("\"{}\" is not a host and port that exist", placed.address))?,
        server_key: key.try_into().ok().context("the assignment's server_key has not 32 bytes")?,
        routing_token: URL_SAFE_NO_PAD.decode(&placed.routing_token).context("the routing_token is not base64url")?,
        credential: match &order.resumption {
            Some(resumption) => Credential::Resume(Box::new(resumption.clone())),
            None => join.join_token.clone().into(),
        },
        schema: Arc::clone(schema),
        quic: if carrier == Carrier::Quic { quic(placed)? } else { None },
    })
}

/// What QUIC needs, where the server speaks it.
fn quic(placed: &Assignment) -> anyhow::Result<Option<QuicClientConfig>> {
    let fingerprint = |text: &String| {
        let bytes = URL_SAFE_NO_PAD.decode(text).context("a QUIC fingerprint is not base64url")?;
        <[u8; 32]>::try_from(bytes).ok().context("a QUIC fingerprint has not 32 bytes")
    };
    let fingerprints = placed.quic_fingerprints.iter().map(fingerprint).collect::<anyhow::Result<Vec<_>>>()?;
    let base = std::time::Instant::now();
    Ok((!fingerprints.is_empty()).then_some(QuicClientConfig { fingerprints, base }))
}
