//! Those whom the sessions are about: players at one gateway or two, a party and its ticket, and somebody who speaks.

use std::collections::BTreeSet;
use std::sync::Arc;

use metagame::{CertificateFiles, Config, DatabaseLocation, Rate, Running, TcpSettings};
use protocol::id::{MatchId, PartyId, PlayerId};
use protocol::pb;
use protocol::pb::gateway_envelope::Body;
use reqwest::Method;
use serde_json::json;
use service::Shutdown;
use testkit::postgres::TestDatabase;
use testkit::redis::RedisServer;

use super::board::{Board, Goal};
use super::chance::Chance;
use super::harness::{Harness, Player, any_port};
use super::line::{Door, Line, NAME};
use super::wire::{Graves, Plan};

/// Players that listen; the first two are a party.
pub(crate) const EARS: usize = 8;
/// How far the slowest may be behind whoever speaks: less than a session keeps.
const BEHIND_MAX: u64 = 32;

/// Where sessions are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateways {
    /// By one process.
    One,
    /// By two, on one PostgreSQL and one Redis.
    Two,
}

pub(crate) struct World {
    pub(crate) harness: Harness,
    second: Option<(Running, Shutdown, RedisServer, TestDatabase)>,
    certificate: String,
    /// Whom all others watch.
    watched: Player,
    ears: Vec<Player>,
    /// Of each ear.
    tickets: Vec<String>,
    pub(crate) board: Arc<Board>,
}

impl World {
    pub(crate) async fn make(gateways: Gateways) -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let shared = (gateways == Gateways::Two).then(|| (RedisServer::start(), TestDatabase::new()));
        let harness = Harness::start_changed(|config, folder| {
            let files = CertificateFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
            std::fs::write(&files.certificate, &certificate).expect("written");
            std::fs::write(&files.key, key).expect("written");
            config.parts.gateway.tcp = Some(TcpSettings { address: any_port(), certificate: Some(files) });
            // All come from one address, and faster than players do.
            let plenty = Rate { per_second: 1e6, burst: 1e6 };
            (config.limits.per_address, config.limits.per_account) = (plenty, plenty);
            if let Some((redis, database)) = &shared {
                config.database = DatabaseLocation::parse(&database.url()).expect("an address");
                config.parts.redis = Some(redis.url().parse().expect("an address"));
            }
        })
        .await;
        let second = match shared {
            None => None,
            Some((redis, database)) => {
                let config = Config { api_address: any_port(), admin_address: any_port(), ..harness.config.clone() };
                let shutdown = Shutdown::new();
                let running = metagame::start(config, shutdown.clone()).await.expect("a second metagame");
                testkit::wait::until("both hear", async || {
                    let channel = redis.cli(&["PUBSUB", "CHANNELS", "muster:*:gateway"]);
                    redis.cli(&["PUBSUB", "NUMSUB", &channel]).ends_with('2').then_some(())
                })
                .await;
                Some((running, shutdown, redis, database))
            }
        };
        let watched = harness.login(200).await;
        let mut ears = Vec::new();
        for n in 0..EARS as u8 {
            ears.push(harness.login(n).await);
        }
        let board = Arc::new(Board::new(watched.id.to_string(), EARS));
        let mut world = Self { harness, second, certificate, watched, ears, tickets: Vec::new(), board };
        world.befriend().await;
        world.queue().await;
        world
    }

    async fn befriend(&self) {
        for ear in &self.ears {
            for (player, other) in [(ear, &self.watched), (&self.watched, ear)] {
                let path = format!("/v1/players/me/friends/{}", other.id);
                let answer = self.harness.send(self.harness.request(Method::PUT, &path, Some(&player.access))).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
    }

    /// The first two queue as a party, the others alone.
    async fn queue(&mut self) {
        let (harness, leader, member) = (&self.harness, &self.ears[0], &self.ears[1]);
        let party = PartyId::from_entropy([1; 16]);
        let made = harness.post("/v1/parties", Some(&leader.access), &json!({ "party_id": party })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let invite = json!({ "player_id": member.id });
        assert_eq!(harness.post("/v1/parties/me/invites", Some(&leader.access), &invite).await.status, 204);
        let accept = format!("/v1/parties/{party}/accept");
        assert_eq!(harness.post(&accept, Some(&member.access), &json!({})).await.status, 200);
        for player in [leader, member] {
            let ready = harness.request(Method::PUT, "/v1/parties/me/ready", Some(&player.access));
            let answer = harness.send(ready.json(&json!({ "ready": true }))).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let ticket = uuid::Uuid::from_u128(0xABCD).to_string();
        let body = json!({ "ticket_id": ticket, "queue": "duel" });
        let queued = harness.post("/v1/parties/me/ticket", Some(&leader.access), &body).await;
        assert_eq!(queued.status, 201, "{queued:?}");
        let mut tickets = vec![ticket.clone(), ticket];
        for player in &self.ears[2..] {
            tickets.push(harness.queue(player).await);
        }
        self.tickets = tickets;
    }

    /// Ways into all gateways for the ear of this number: every other one has TLS.
    pub(crate) fn doors(&self, ear: usize) -> Vec<Door> {
        let first = self.harness.running();
        let all = [Some(first), self.second.as_ref().map(|second| &second.0)];
        let door = |running: &Running| {
            if ear.is_multiple_of(2) {
                Door::Web(running.address)
            } else {
                Door::tls(running.gateway_address.expect("a port of its own"), &self.certificate)
            }
        };
        all.into_iter().flatten().map(door).collect()
    }

    pub(crate) fn access(&self, ear: usize) -> String {
        self.ears[ear].access.clone()
    }

    pub(crate) fn ticket(&self, ear: usize) -> String {
        self.tickets[ear].clone()
    }

    /// Speaks until there were so many cuts, and then says what everyone has heard in the end. Messages of all classes go out
    /// as fast as the slowest hears those that are in order, so that nothing here depends on a clock.
    pub(crate) async fn speak(&self, cuts: u64, chance: &mut Chance) {
        let players: Vec<PlayerId> = self.ears.iter().map(|ear| ear.id).collect();
        let tickets: BTreeSet<&String> = self.tickets.iter().collect();
        let (mut ordered, mut durable) = (0, 0);
        self.board.all_arrived().await;
        while self.board.cuts() < cuts {
            ordered += 1;
            for ticket in &tickets {
                self.harness.matchmaker.change(ticket, |ticket| ticket.estimated_wait_ms = ordered as u32);
            }
            if chance.once_in(4) {
                durable += 1;
                self.make_match(durable, &players);
            }
            if chance.once_in(2) {
                self.be_seen(chance, ordered).await;
            }
            self.board.all_heard(ordered.saturating_sub(BEHIND_MAX)).await;
        }
        let presence = self.be_seen(chance, ordered).await;
        self.board.set_goal(Goal { ordered, durable, presence });
    }

    fn make_match(&self, number: u64, players: &[PlayerId]) {
        let match_id = MatchId::from_entropy(u128::from(number).to_be_bytes());
        self.board.number_match(match_id.to_string(), number);
        let entry = |player: &PlayerId| pb::RosterEntry {
            player_id: player.to_string(),
            name: "n".into(),
            ..pb::RosterEntry::default()
        };
        let roster: Vec<_> = players.iter().map(entry).collect();
        let one = |player: &PlayerId| pb::TicketPlayer { player_id: player.to_string(), ..pb::TicketPlayer::default() };
        let players = players.iter().map(one).collect();
        let ticket_id = uuid::Uuid::from_u128(0xFFFF_0000 + u128::from(number)).to_string();
        self.harness.matchmaker.change(&ticket_id, |ticket| {
            ticket.ticket_id.clone_from(&ticket_id);
            (ticket.players, ticket.roster) = (players, roster);
            ticket.state = pb::TicketState::Completed.into();
            ticket.match_id = match_id.to_string();
        });
    }

    /// The watched player is seen in another way; which.
    async fn be_seen(&self, chance: &mut Chance, number: u64) -> (pb::GatewayStatus, String) {
        let (name, status, text) = if chance.once_in(3) {
            ("offline", pb::GatewayStatus::Offline, String::new())
        } else {
            ("busy", pb::GatewayStatus::Busy, format!("level {number}"))
        };
        let body = json!({ "status": name, "text": text });
        let request = self.harness.request(Method::PUT, "/v1/presence", Some(&self.watched.access));
        let answer = self.harness.send(request.json(&body)).await;
        assert!(answer.status.is_success(), "{answer:?}");
        (status, text)
    }

    /// Listens as the watched player, who sees all others, until `over`; how often somebody was gone.
    pub(crate) async fn watch(&self, over: tokio::sync::oneshot::Receiver<()>) -> impl Future<Output = u64> + use<> {
        let mut line = Line::open(&self.doors(0)[0], Plan::NEVER, &Graves::default()).await.expect("a WebSocket");
        let proof = pb::gateway_hello::Proof::AccessToken(self.watched.access.clone());
        line.send(1, Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })).await.expect("sent");
        async move {
            let (mut over, mut gone) = (over, 0);
            loop {
                let envelope = tokio::select! {
                    _ = &mut over => return gone,
                    envelope = line.receive() => envelope.expect("nobody cuts this one"),
                };
                match envelope.body {
                    Some(Body::Presence(one)) => gone += u64::from(one.status() == pb::GatewayStatus::Offline),
                    Some(Body::Ping(_)) => line.send(2, Body::Pong(pb::GatewayPong {})).await.expect("sent"),
                    _ => {}
                }
            }
        }
    }

    /// Everyone is where they were: in the party, in the queue, and to be seen.
    pub(crate) async fn check(&self) {
        let party = self.harness.get("/v1/parties/me", &self.ears[0]).await;
        assert_eq!(party.body["members"].as_array().map(Vec::len), Some(2), "{party:?}");
        for ticket in &self.tickets {
            let ticket = self.harness.matchmaker.ticket(ticket);
            assert_eq!(ticket.state(), pb::TicketState::Queued, "{ticket:?}");
        }
        let there = self.harness.get("/v1/presence", &self.watched).await;
        assert_eq!(there.body["players"].as_array().map(Vec::len), Some(EARS), "{there:?}");
    }

    pub(crate) async fn end(mut self) {
        if let Some((running, shutdown, ..)) = self.second.take() {
            shutdown.trigger();
            running.wait().await.expect("a clean end");
        }
        self.harness.stop().await;
    }
}
