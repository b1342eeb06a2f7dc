//! A simulated match from its first handshake to its last message.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use netcode::emulator::{Conditions, Network};
use netcode::endpoint::{ClientConfig, ClientEndpoint, Credential, Resumption, ServerConfig, ServerEndpoint};
use netcode::replication::SeatId;
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::{ALLOCATOR_ISSUER, JoinClaims};
use protocol::wire::Refusal;

use super::client::{Outcome, SimClient};
use super::plan::{Mishap, Plan};
use super::server::SimServer;
use super::{BotTurn, Fault, SimConfig, SimFailure, SimReport};
use crate::replay::replay;
use crate::room::{Room, RoomConfig};
use crate::rules::Game;
use crate::setup::{MatchSetup, Player};

/// Oldest view that a client with a good link may show.
const VIEW_AGE_MS_MAX: u32 = 2_000;
/// How long reliable messages may take after the end of the match.
const LAST_MESSAGES_S: u32 = 20;

const PORT: u16 = 7_777;

/// Plays the match of a seed.
///
/// `bot` makes the input of every player in every tick; it must be deterministic.
///
/// # Errors
/// [`SimFailure`] with the first check that failed.
pub fn simulate<G: Game>(
    seed: u64,
    config: &SimConfig,
    bot: &mut dyn FnMut(&mut BotTurn<'_>),
) -> Result<SimReport, SimFailure> {
    let fails = |tick, fault| SimFailure { seed, tick, fault };
    let room_config = RoomConfig { entities_max: config.entities_max, record: true, ..RoomConfig::default() };
    let room: Room<G> = Room::new(setup(seed, config), room_config).map_err(|error| fails(0, Fault::Start(error)))?;
    let mut run = Run::new(seed, config, room);
    match run.play(bot) {
        Ok(()) => Ok(run.report),
        Err(fault) => Err(fails(run.server.room.tick().0, fault)),
    }
}

struct Run<'a, G: Game> {
    config: &'a SimConfig,
    seed: u64,
    plan: Plan,
    network: Network,
    server: SimServer<G>,
    clients: Vec<SimClient>,
    /// Number of the next join token.
    tokens: u64,
    /// When the next step is due.
    next_step: Micros,
    report: SimReport,
}

impl<'a, G: Game> Run<'a, G> {
    fn new(seed: u64, config: &'a SimConfig, room: Room<G>) -> Self {
        let plan = Plan::new(seed, config);
        let schema = Arc::clone(room.schema());
        let server_config = ServerConfig {
            static_secret: [0x42; 32],
            routing_token: Vec::new(),
            server_id: server_id(),
            schema_hash: schema.hash(),
            sessions_max: usize::from(config.players),
            half_open_max: 4 * usize::from(config.players),
        };
        let endpoint = ServerEndpoint::new(server_config, entropy(seed, 0));
        let match_id = room.setup().match_id;
        let verify = Box::new(move |token: &str| claims(match_id, token).ok_or(Refusal::TokenMalformed));
        let mut network = Network::new(endpoint, address(Ipv4Addr::LOCALHOST, PORT), verify);
        // Endpoints are flushed by the run itself, right after they have something to say.
        network.tick = Duration::from_secs(1 << 30);
        let client =
            |seat| SimClient::new(SeatId(seat), Arc::clone(&schema), config.tick_rate_hz, seed ^ u64::from(seat));
        let clients = (0..config.players).map(client).collect();
        let report = report(seed, plan.conditions);
        let server = SimServer::new(room);
        let mut run = Self { config, seed, plan, network, server, clients, tokens: 1, next_step: Micros::ZERO, report };
        for place in 0..run.clients.len() {
            let endpoint = run.endpoint(place, None);
            let address = run.client_address(place);
            run.network.add(endpoint, address, run.plan.conditions, seed.wrapping_add(place as u64));
        }
        run
    }

    /// The match, then what is left of its messages.
    fn play(&mut self, bot: &mut dyn FnMut(&mut BotTurn<'_>)) -> Result<(), Fault> {
        let ticks = self.config.seconds * self.config.tick_rate_hz;
        for tick in 0..ticks + LAST_MESSAGES_S * self.config.tick_rate_hz {
            if tick == ticks {
                self.server.room.abort("out of time");
            }
            self.next_step = self.moment(tick, 0);
            self.run_until(self.next_step)?;
            self.next_step = self.moment(tick + 1, 0);
            let is_over = self.step()?;
            if is_over && self.server.unread().is_none() {
                break;
            }
            for place in 0..self.clients.len() {
                self.run_until(self.moment(tick, place as u32 + 1))?;
                self.befall(place, tick);
                self.turn(place, is_over, bot)?;
            }
        }
        if let Some((seat, count)) = self.server.unread() {
            return Err(Fault::Undelivered { seat, count });
        }
        self.server.report(&mut self.report);
        let log = self.server.room.log().expect("the room records");
        match replay::<G>(log) {
            Ok(_) => Ok(()),
            Err(error) => Err(Fault::Replay(error)),
        }
    }

    /// One step of the server; whether the match is over.
    fn step(&mut self) -> Result<bool, Fault> {
        let now = self.network.now;
        let step = self.server.step(now, &mut self.network.server)?;
        self.network.server.flush(now);
        if step.messages_refused > 0 || step.inputs.malformed > 0 {
            return Err(Fault::Refused { what: "messages or inputs" });
        }
        let report = &mut self.report;
        report.snapshot_bytes += step.snapshot_bytes as u64;
        report.entities_most = report.entities_most.max(step.entities);
        report.inputs.accepted += step.inputs.accepted;
        report.inputs.late += step.inputs.late;
        report.inputs.ahead += step.inputs.ahead;
        report.inputs.missing += step.inputs.missing;
        Ok(step.ended)
    }

    /// One tick of a client.
    fn turn(&mut self, place: usize, is_over: bool, bot: &mut dyn FnMut(&mut BotTurn<'_>)) -> Result<(), Fault> {
        let now = self.network.now;
        let (client, host) = (&mut self.clients[place], &mut self.network.hosts[place]);
        client.play(now, &mut host.client, bot);
        host.client.flush(now);
        // After the end no snapshots come any more.
        if let Some(age_ms) = client.view_age_ms(now, self.server.room.tick()).filter(|_| !is_over) {
            self.report.view_age_ms_max = self.report.view_age_ms_max.max(age_ms);
            if age_ms > VIEW_AGE_MS_MAX {
                return Err(Fault::Stuck { seat: client.seat, age_ms });
            }
        }
        Ok(())
    }

    /// Lets time pass and takes all that happened.
    fn run_until(&mut self, end: Micros) -> Result<(), Fault> {
        self.network.run_until(end);
        let early_us = self.next_step.since(end).as_micros() as u32;
        for event in std::mem::take(&mut self.network.server_events) {
            self.server.take(event, early_us)?;
        }
        for place in 0..self.clients.len() {
            for event in std::mem::take(&mut self.network.hosts[place].events) {
                let rtt_ms = self.network.hosts[place].client.stats().rtt.as_secs_f64() * 1_000.0;
                let seat = self.clients[place].seat;
                match self.clients[place].take(end, event, rtt_ms)? {
                    Outcome::Nothing => {}
                    Outcome::Applied(view) => {
                        let verified = self.server.room.verify(seat, view).map_err(Fault::Mismatch)?;
                        self.report.snapshots_verified += u64::from(verified);
                    }
                    Outcome::Message(bytes) => self.server.received(seat, &bytes)?,
                    Outcome::Again => self.connect_again(place),
                }
            }
        }
        Ok(())
    }

    /// What the plan holds for this client in this tick.
    fn befall(&mut self, place: usize, tick: u32) {
        let dark = Conditions { loss: 1.0, ..self.plan.conditions };
        for mishap in self.plan.mishaps.clone() {
            match mishap {
                Mishap::Crash { client, at } if (client, at) == (place, tick) => self.connect_again(place),
                Mishap::Dark { client, from, until } if client == place && (tick == from || tick == until) => {
                    let host = &mut self.network.hosts[place];
                    let conditions = if tick == from { dark } else { self.plan.conditions };
                    host.up.set_conditions(conditions);
                    host.down.set_conditions(conditions);
                    // A handshake in the dark may need its five seconds and another attempt.
                    self.clients[place].dark_until = self.moment(until + 5 * self.config.tick_rate_hz, 0);
                }
                _ => {}
            }
        }
    }

    /// The client begins anew, at another address: with odd seeds by its resume ticket, if it has a good one.
    fn connect_again(&mut self, place: usize) {
        let resumption = self.network.hosts[place].client.resumption().filter(|_| self.seed % 2 == 1);
        self.clients[place].restart(self.network.now, resumption.is_some());
        self.network.hosts[place].client = self.endpoint(place, resumption);
        self.network.hosts[place].address = self.client_address(place);
        self.network.hosts[place].events.clear();
    }

    /// An endpoint that resumes, or has a fresh token.
    fn endpoint(&mut self, place: usize, resumption: Option<Resumption>) -> ClientEndpoint {
        self.tokens += 1;
        self.report.sessions += 1;
        let token = || format!("{place} {}", self.tokens).into();
        let config = ClientConfig {
            server: self.network.server_address,
            server_key: self.network.server.public_key(),
            routing_token: Vec::new(),
            credential: resumption.map_or_else(token, |resumption| Credential::Resume(Box::new(resumption))),
            schema_hash: self.server.room.schema().hash(),
            quic: None,
        };
        ClientEndpoint::new(config, entropy(self.seed, self.tokens), self.network.now)
    }

    fn client_address(&self, place: usize) -> SocketAddr {
        address(Ipv4Addr::new(10, 0, 0, place as u8), 10_000 + self.tokens as u16)
    }

    /// The moment of a turn within a tick: the server first, then each client.
    fn moment(&self, tick: u32, turn: u32) -> Micros {
        let turns = u64::from(self.config.players) + 1;
        let place = u64::from(tick) * turns + u64::from(turn);
        Micros(place * 1_000_000 / (u64::from(self.config.tick_rate_hz) * turns))
    }
}

fn setup(seed: u64, config: &SimConfig) -> MatchSetup {
    let player = |seat: u8| Player {
        id: player_id(usize::from(seat)),
        seat: SeatId(seat),
        team: u32::from(seat) % config.teams.max(1),
        name: format!("player {seat}"),
    };
    MatchSetup {
        match_id: MatchId::from_time(seed, [0; 10]),
        seed,
        tick_rate_hz: config.tick_rate_hz,
        players: (0..config.players).map(player).collect(),
        settings: config.settings.clone(),
    }
}

fn report(seed: u64, conditions: Conditions) -> SimReport {
    SimReport {
        seed,
        conditions,
        ticks: 0,
        state_hash: 0,
        reason: String::new(),
        snapshots_verified: 0,
        snapshot_bytes: 0,
        entities_most: 0,
        messages: 0,
        inputs: crate::sink::InputCounts::default(),
        sessions: 0,
        view_age_ms_max: 0,
    }
}

/// The claims of the simulation's own tokens: "place number".
fn claims(match_id: MatchId, token: &str) -> Option<JoinClaims> {
    let (place, _) = token.split_once(' ')?;
    Some(JoinClaims {
        iss: ALLOCATOR_ISSUER.to_owned(),
        aud: server_id(),
        sub: player_id(place.parse().ok()?),
        mid: match_id,
        team: 0,
        build: String::new(),
        region: String::new(),
        jti: token.to_owned(),
        iat: 0,
        exp: 60,
    })
}

fn player_id(place: usize) -> PlayerId {
    PlayerId::from_entropy([place as u8; 16])
}

fn entropy(seed: u64, number: u64) -> Entropy {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    Entropy::new(bytes)
}

fn address(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

fn server_id() -> ServerId {
    ServerId::from_bytes([0x5e; 16])
}
