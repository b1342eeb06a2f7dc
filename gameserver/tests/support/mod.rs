//! A game server in the test's process, and what stands around it: a scripted allocator over real gRPC, a scripted
//! metagame over real HTTP, and players over real UDP.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod allocator;
pub(crate) mod game;
pub(crate) mod metagame;
pub(crate) mod player;

use std::path::PathBuf;
use std::time::Duration;

use gameserver::{Config, Credential, Running};
use protocol::id::{MatchId, PlayerId};
use protocol::jwt::SigningKey;
use protocol::pb;
use service::Shutdown;

use allocator::FakeAllocator;
use game::Race;

/// A server with its surroundings.
pub(crate) struct Stage {
    pub(crate) allocator: FakeAllocator,
    pub(crate) config: Config,
    pub(crate) shutdown: Shutdown,
    pub(crate) hurry: Shutdown,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Settings for a server whose results go to `metagame`.
    pub(crate) async fn new(metagame: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let service_key = folder.path().join("service.key");
        let key = service::key::load_or_create(&service_key).expect("a new key");
        let allocator = FakeAllocator::start(&key).await;
        let config = Config {
            name: "server-1".into(),
            fleet: "test".into(),
            build: "test".into(),
            region: "local".into(),
            capacity: 1,
            bind: "127.0.0.1:0".parse().expect("address"),
            advertise: None,
            tick_rate_hz: 60,
            routing_token: vec![7],
            allocator: allocator.url.clone(),
            metagame: metagame.into(),
            credential: Credential::ServiceKey(service_key),
            revision: "0123abcd".into(),
            admin: "127.0.0.1:0".parse().expect("address"),
            spool: folder.path().join("spool"),
            join_deadline: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(20),
            leave_after: Duration::from_secs(600),
            sdk: None,
        };
        Self { allocator, config, shutdown: Shutdown::new(), hurry: Shutdown::new(), _folder: folder }
    }

    pub(crate) async fn start(&self) -> Running {
        gameserver::start::<Race>(self.config.clone(), self.shutdown.clone(), self.hurry.clone())
            .await
            .expect("started")
    }

    pub(crate) fn spool_file(&self, id: MatchId) -> PathBuf {
        self.config.spool.join(format!("{id}.json"))
    }

    /// Drains the server and waits for its end.
    pub(crate) async fn end(&self, running: Running) {
        self.shutdown.trigger();
        ended(running).await;
    }
}

/// Waits for the end of a server that was told to end.
pub(crate) async fn ended(running: Running) {
    tokio::time::timeout(testkit::wait::PATIENCE, running.wait()).await.expect("the server ends");
}

pub(crate) fn match_id(byte: u8) -> MatchId {
    MatchId::from_entropy([byte; 16])
}

pub(crate) fn player_id(byte: u8) -> PlayerId {
    PlayerId::from_entropy([byte; 16])
}

/// An order for a match of these players, each in a team of its own, with a good certificate for the server that
/// registered.
pub(crate) fn assign(server: &pb::Register, id: MatchId, players: &[u8], settings: &str) -> pb::Assign {
    let roster: Vec<_> = players.iter().zip(0u32..).map(|(byte, team)| (player_id(*byte), team)).collect();
    let key: [u8; 32] = server.result_key.as_slice().try_into().expect("a 32-byte key");
    let entry = |(player, team): &(PlayerId, u32)| pb::RosterEntry {
        player_id: player.to_string(),
        team: *team,
        name: format!("player {team}"),
        ..Default::default()
    };
    pb::Assign {
        match_id: id.to_string(),
        attempt: 1,
        epoch: 1,
        roster: roster.iter().map(entry).collect(),
        settings_json: settings.into(),
        certificate: certificate(id, &roster, &key),
        join_deadline_ms: 30_000,
        seed: 5,
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        queue: "race".into(),
    }
}

fn certificate(id: MatchId, roster: &[(PlayerId, u32)], result_key: &[u8; 32]) -> String {
    let now = service::clock::unix_s();
    let claims = protocol::certificate::CertificateClaims {
        iss: protocol::token::ALLOCATOR_ISSUER.into(),
        mid: id,
        roster: protocol::certificate::roster_hash(roster.iter().copied()),
        queue: "race".into(),
        build: "test".into(),
        jkt: protocol::jwt::thumbprint(result_key),
        iat: now,
        exp: now + 3_600,
    };
    testkit::tokens::allocator_key().sign(protocol::certificate::CERTIFICATE_TYP, &claims)
}

/// A token of `player` for a match on this server, as the allocator would mint it.
pub(crate) fn token(running: &Running, id: MatchId, player: PlayerId) -> String {
    testkit::tokens::join_token(&claims(running, id, player))
}

pub(crate) fn claims(running: &Running, id: MatchId, player: PlayerId) -> protocol::token::JoinClaims {
    let jti = hex::encode(service::random::bytes::<16>());
    testkit::tokens::join_claims(running.server_id, id, player, service::clock::unix_s(), &jti)
}

/// A token that a stranger signed.
pub(crate) fn forged_token(running: &Running, id: MatchId, player: PlayerId) -> String {
    SigningKey::from_seed(&[3; 32]).sign(protocol::token::JOIN_TYP, &claims(running, id, player))
}
