//! Messages of the wire into the core's words and back. Whatever comes from outside is checked here, whole, before
//! the core sees it.

use std::time::Duration;

use protocol::id::{MatchId, PlayerId};
use protocol::pb;

use crate::core::effect::{Order, Placed};
use crate::core::pool::ServerFacts;
use crate::core::registration::{Hosted, Registration};
use crate::core::request::{MatchRequest, Player};
use crate::core::settings::Limits;
use crate::core::updates::{FromServer, Update};

/// Longest name of a fleet, build, region or queue in bytes: builds and regions go into join tokens.
const LABEL_BYTES_MAX: usize = 64;
/// Longest name of a GameServer: that of a Kubernetes object.
const NAME_BYTES_MAX: usize = 253;
/// Longest reason or detail that is kept; the rest is cut off.
const REASON_BYTES_MAX: usize = 512;
/// Most players of a match.
const ROSTER_MAX: usize = 256;
/// Longest settings document in bytes.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;
/// Most regions that a request may prefer.
const REGIONS_MAX: usize = 64;
/// Most matches of one audit.
const AUDIT_MAX: usize = 1_000;
/// QUIC certificates of one server: the one in use, and a next.
const FINGERPRINTS_MAX: usize = 4;
/// Longest histogram of tick times that is kept, in bytes.
const TICK_US_BYTES_MAX: usize = 64 * 1024;
/// Longest time that a server may ask for to answer Assign: the matchmaker waits ten seconds for a server.
const JOINABLE_WITHIN_MAX: Duration = Duration::from_secs(8);

/// A message that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub(crate) struct BadMessage {
    field: &'static str,
    fault: String,
}

fn bad(field: &'static str, fault: impl Into<String>) -> BadMessage {
    BadMessage { field, fault: fault.into() }
}

fn id<T: std::str::FromStr<Err = protocol::id::ParseIdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, BadMessage> {
    text.parse().map_err(|error: protocol::id::ParseIdError| bad(field, error.to_string()))
}

/// Checks the id of a match.
pub(crate) fn match_id(text: &str) -> Result<MatchId, BadMessage> {
    id("match_id", text)
}

/// Checks the id of a player.
pub(crate) fn player_id(text: &str) -> Result<PlayerId, BadMessage> {
    id("player_id", text)
}

/// Text for people, cut to a length that is kept.
pub(crate) fn reason(mut text: String) -> String {
    let mut end = REASON_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn label(field: &'static str, text: String) -> Result<String, BadMessage> {
    if text.len() > LABEL_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(bad(
            field,
            format!("expected at most {LABEL_BYTES_MAX} printable ASCII characters without spaces"),
        ));
    }
    Ok(text)
}

fn required(field: &'static str, text: String) -> Result<String, BadMessage> {
    if text.is_empty() { Err(bad(field, "must not be empty")) } else { Ok(text) }
}

fn key(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], BadMessage> {
    bytes.try_into().map_err(|_| bad(field, format!("expected 32 bytes, got {}", bytes.len())))
}

fn roster(entries: Vec<pb::RosterEntry>) -> Result<Vec<Player>, BadMessage> {
    if entries.len() > ROSTER_MAX {
        return Err(bad("roster", format!("{} players, at most {ROSTER_MAX}", entries.len())));
    }
    let mut players = Vec::with_capacity(entries.len());
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries {
        let player_id: PlayerId = id("roster.player_id", &entry.player_id)?;
        if !seen.insert(player_id) {
            return Err(bad("roster", format!("player {player_id} is on it twice")));
        }
        if entry.name.len() > 2 * LABEL_BYTES_MAX || entry.party_id.len() > LABEL_BYTES_MAX {
            return Err(bad("roster", "a name or party id is too long"));
        }
        players.push(Player { player_id, team: entry.team, name: entry.name, party_id: entry.party_id });
    }
    Ok(players)
}

/// Checks the matches of an audit.
pub(crate) fn match_ids(texts: &[String]) -> Result<Vec<MatchId>, BadMessage> {
    if texts.len() > AUDIT_MAX {
        return Err(bad("match_ids", format!("{} matches, at most {AUDIT_MAX}", texts.len())));
    }
    texts.iter().map(|text| match_id(text)).collect()
}

/// Checks an Allocate call: the match, the attempt, how long it waits.
pub(crate) fn match_request(
    request: pb::AllocateRequest,
    seed: u64,
) -> Result<(MatchRequest, u32, Duration), BadMessage> {
    let match_id = match_id(&request.match_id)?;
    if request.attempt == 0 {
        return Err(bad("attempt", "attempts are counted from 1"));
    }
    if request.roster.is_empty() {
        return Err(bad("roster", "must not be empty"));
    }
    if request.regions.len() > REGIONS_MAX {
        return Err(bad("regions", format!("at most {REGIONS_MAX}")));
    }
    let regions = request.regions.into_iter().map(|r| required("regions", label("regions", r)?));
    let trace_id = request.trace_id;
    if !trace_id.is_empty() && (trace_id.len() != 32 || !trace_id.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(bad("trace_id", "expected 32 hex digits"));
    }
    let checked = MatchRequest {
        match_id,
        fleet: required("fleet", label("fleet", request.fleet)?)?,
        namespace: label("namespace", request.namespace)?,
        regions: regions.collect::<Result<_, _>>()?,
        build: label("build", request.build)?,
        roster: roster(request.roster)?,
        settings_json: settings(request.settings_json)?,
        trace_id,
        queue: label("queue", request.queue)?,
        seed,
    };
    Ok((checked, request.attempt, Duration::from_millis(request.wait_ms.into())))
}

fn settings(text: String) -> Result<String, BadMessage> {
    if text.is_empty() {
        return Ok("{}".to_owned());
    }
    if text.len() > SETTINGS_BYTES_MAX {
        return Err(bad("settings_json", format!("at most {SETTINGS_BYTES_MAX} bytes")));
    }
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(bad("settings_json", format!("expected a JSON object: {error}"))),
    }
}

fn fingerprints(given: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, BadMessage> {
    if given.len() > FINGERPRINTS_MAX {
        return Err(bad("quic_fingerprints", format!("at most {FINGERPRINTS_MAX}")));
    }
    given.iter().map(|print| key("quic_fingerprints", print)).collect()
}

/// Checks a server's first message.
pub(crate) fn registration(message: pb::ServerMessage, limits: &Limits) -> Result<Registration, BadMessage> {
    let Some(pb::server_message::Message::Register(register)) = message.message else {
        return Err(bad("message", "the first message must be Register"));
    };
    if register.capacity == 0 || register.capacity > limits.capacity_max {
        return Err(bad("capacity", format!("expected 1 to {}", limits.capacity_max)));
    }
    if register.hosted.len() > limits.capacity_max as usize {
        return Err(bad("hosted", "more matches than any server may have"));
    }
    if register.name.len() > NAME_BYTES_MAX || register.address.len() > NAME_BYTES_MAX {
        return Err(bad("name", "name or address is too long"));
    }
    if register.routing_token.len() > protocol::wire::ROUTING_TOKEN_BYTES_MAX {
        return Err(bad("routing_token", "too long"));
    }
    let is_foreign = register.transport() == pb::Transport::Foreign;
    if is_foreign && !(register.server_key.is_empty() && register.quic_fingerprints.is_empty()) {
        return Err(bad("server_key", "a server whose clients speak a protocol of their own has no keys for them"));
    }
    let joinable_within = Duration::from_millis(register.joinable_within_ms.into());
    if joinable_within > JOINABLE_WITHIN_MAX {
        return Err(bad("joinable_within_ms", format!("at most {} ms", ms(JOINABLE_WITHIN_MAX))));
    }
    let facts = ServerFacts {
        server_id: id("server_id", &register.server_id)?,
        name: required("name", register.name)?,
        // Not a server's to say: on Kubernetes its pod proves it.
        namespace: String::new(),
        build: required("build", label("build", register.build)?)?,
        region: required("region", label("region", register.region)?)?,
        fleet: required("fleet", label("fleet", register.fleet)?)?,
        revision: label("revision", register.revision)?,
        capacity: register.capacity,
        address: required("address", register.address)?,
        admin_address: label("admin_address", register.admin_address)?,
        server_key: if is_foreign { [0; 32] } else { key("server_key", &register.server_key)? },
        is_foreign,
        joinable_within,
        quic_fingerprints: fingerprints(&register.quic_fingerprints)?,
        result_key: key("result_key", &register.result_key)?,
        routing_token: register.routing_token,
        schema_hash: register.schema_hash,
        tick_rate_hz: register.tick_rate_hz,
    };
    let hosted = register.hosted.into_iter().map(|hosted| {
        let (match_id, phase) = (match_id(&hosted.match_id)?, hosted.phase());
        Ok(Hosted { match_id, phase, roster: roster(hosted.roster)?, attempt: hosted.attempt, epoch: hosted.epoch })
    });
    Ok(Registration {
        facts,
        hosted: hosted.collect::<Result<_, _>>()?,
        epoch_seen: register.epoch_seen,
        state: label("state", register.state)?,
        uptime_ms: register.uptime_ms,
    })
}

/// Checks any later message of a server.
pub(crate) fn from_server(message: pb::ServerMessage) -> Result<FromServer, BadMessage> {
    use pb::server_message::Message;
    let Some(message) = message.message else { return Ok(FromServer::Alive) };
    Ok(match message {
        Message::Register(_) => return Err(bad("message", "Register comes once per stream")),
        Message::AssignReply(reply) => assign_reply(reply)?,
        Message::MatchUpdate(update) => {
            let (match_id, phase) = (match_id(&update.match_id)?, update.phase());
            let mut stats = update.stats;
            if let Some(stats) = stats.as_mut().filter(|stats| stats.tick_us.len() > TICK_US_BYTES_MAX) {
                stats.tick_us = Vec::new();
            }
            FromServer::Update(Update { match_id, phase, reason: reason(update.reason), stats, number: update.number })
        }
        Message::Load(load) => FromServer::Load {
            players: load.players,
            tick_load_permille: load.tick_load_permille,
            state: label("state", load.state)?,
        },
        Message::Leaving(_) => FromServer::Leaving,
        Message::PlayerUpdate(_) | Message::Pong(_) => FromServer::Alive,
    })
}

fn assign_reply(reply: pb::AssignReply) -> Result<FromServer, BadMessage> {
    use pb::assign_reply::Reply;
    let (match_id, attempt) = (match_id(&reply.match_id)?, reply.attempt);
    match reply.reply {
        Some(Reply::Joinable(_)) => Ok(FromServer::Joinable { match_id, attempt }),
        Some(Reply::Refused(refused)) => {
            let (reason_code, detail) = (refused.reason(), reason(refused.detail));
            Ok(FromServer::Refused { match_id, attempt, reason: reason_code, detail })
        }
        None => Err(bad("reply", "neither Joinable nor Refused")),
    }
}

/// Where a match is, for its clients.
pub(crate) fn assignment(match_id: MatchId, server: &ServerFacts) -> pb::Assignment {
    pb::Assignment {
        match_id: match_id.to_string(),
        address: server.address.clone(),
        server_key: if server.is_foreign { Vec::new() } else { server.server_key.to_vec() },
        transport: if server.is_foreign { pb::Transport::Foreign } else { pb::Transport::Muster }.into(),
        routing_token: server.routing_token.clone(),
        server_id: server.server_id.to_string(),
        build: server.build.clone(),
        region: server.region.clone(),
        schema_hash: server.schema_hash,
        tick_rate_hz: server.tick_rate_hz,
        quic_fingerprints: server.quic_fingerprints.iter().map(|print| print.to_vec()).collect(),
    }
}

/// The answer to Allocate.
pub(crate) fn allocate_response(placed: &Placed) -> pb::AllocateResponse {
    pb::AllocateResponse {
        assignment: Some(assignment(placed.match_id, &placed.server)),
        allocation_us: u64::try_from(placed.took.as_micros()).unwrap_or(u64::MAX),
    }
}

/// What orders need beside what the core says.
pub(crate) struct OrderContext<'a> {
    /// The leader's epoch, in every order that a server must not take from an older leader.
    pub(crate) epoch: u64,
    /// Keys that verify join tokens and certificates.
    pub(crate) jwks: &'a str,
    /// Interval of pings.
    pub(crate) ping_interval: Duration,
    /// Time that the first player has to come.
    pub(crate) join_deadline: Duration,
    /// Makes the certificate of a match.
    pub(crate) certify: &'a dyn Fn(&MatchRequest, &ServerFacts) -> String,
}

/// An order as it goes over a control link.
pub(crate) fn order(order: Order, context: &OrderContext<'_>) -> pb::AllocatorMessage {
    use pb::allocator_message::Message;
    let epoch = context.epoch;
    let message = match order {
        Order::Registered => Message::Registered(pb::Registered {
            epoch,
            jwks: context.jwks.to_owned(),
            ping_interval_ms: u32::try_from(ms(context.ping_interval)).unwrap_or(u32::MAX),
        }),
        Order::Assign { request, attempt, server } => Message::Assign(pb::Assign {
            match_id: request.match_id.to_string(),
            attempt,
            epoch,
            roster: request.roster.iter().map(Into::into).collect(),
            settings_json: request.settings_json.clone(),
            certificate: (context.certify)(&request, &server),
            join_deadline_ms: u32::try_from(ms(context.join_deadline)).unwrap_or(u32::MAX),
            seed: request.seed,
            trace_id: request.trace_id.clone(),
            queue: request.queue.clone(),
        }),
        Order::Release { match_id, reason } => {
            Message::Release(pb::Release { match_id: match_id.to_string(), epoch, reason })
        }
        Order::Retire => Message::Retire(pb::Retire { epoch }),
        Order::Drain { left, reason } => Message::Drain(pb::Drain { epoch, deadline_ms: ms(left), reason }),
        Order::UpdateAck { number } => Message::UpdateAck(pb::UpdateAck { number }),
    };
    pb::AllocatorMessage { message: Some(message) }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
