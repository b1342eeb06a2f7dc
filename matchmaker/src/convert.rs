//! gRPC messages in the core's words and back. Whatever comes from outside is checked here, for form and bounds.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::id::{PartyId, PlayerId, TicketId};
use protocol::pb;

use crate::actor::Picture;
use crate::core::matchmaker::QueueStatus;
use crate::core::queue_config::{NAME_BYTES_MAX, PLAYERS_MAX, QueueFault};
use crate::core::ticket::{NewTicket, Party, Player, State, Ticket};

/// Most regions that a ticket may name.
const RTTS_MAX: usize = 64;
/// Longest round-trip time that a ticket may name, in milliseconds.
const RTT_MS_MAX: u32 = 60_000;
/// Longest player name in bytes.
const PLAYER_NAME_BYTES_MAX: usize = 32;
/// Largest rating and uncertainty.
const RATING_MAX: f64 = 1e6;

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadRequest(String);

fn bad<T>(text: impl Into<String>) -> Result<T, BadRequest> {
    Err(BadRequest(text.into()))
}

/// A ticket id from its text.
pub(crate) fn ticket_id(text: &str) -> Result<TicketId, BadRequest> {
    text.parse().map_err(|error| BadRequest(format!("ticket_id: {error}")))
}

/// The ticket that a request asks for. `new_trace` makes a trace id for a request that has none.
pub(crate) fn new_ticket(
    request: pb::CreateTicketRequest,
    new_trace: impl FnOnce() -> String,
) -> Result<NewTicket, BadRequest> {
    let id = ticket_id(&request.ticket_id)?;
    name("queue", &request.queue, false)?;
    name("build", &request.build, true)?;
    let players = players(request.players)?;
    let party = match request.party_id.as_str() {
        "" => None,
        text => {
            let id: PartyId = text.parse().map_err(|error| BadRequest(format!("party_id: {error}")))?;
            Some(Party { id, version: request.party_version })
        }
    };
    let region_rtts = region_rtts(&request.region_rtts)?;
    let trace_id = match request.trace_id.as_str() {
        "" => new_trace(),
        text if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => text.to_ascii_lowercase(),
        _ => return bad("trace_id must be 32 hex digits"),
    };
    Ok(NewTicket { id, queue: request.queue, players, party, region_rtts, build: request.build, trace_id })
}

fn players(players: Vec<pb::TicketPlayer>) -> Result<Arc<[Player]>, BadRequest> {
    if players.is_empty() || players.len() > PLAYERS_MAX as usize {
        return bad(format!("a ticket has 1 to {PLAYERS_MAX} players, not {}", players.len()));
    }
    let mut seen = BTreeSet::new();
    let player = |player: pb::TicketPlayer| {
        let id: PlayerId = player.player_id.parse().map_err(|error| BadRequest(format!("player_id: {error}")))?;
        if !seen.insert(id) {
            return bad(format!("player {id} is in the ticket twice"));
        }
        if player.name.len() > PLAYER_NAME_BYTES_MAX {
            return bad(format!("the name of player {id} is longer than {PLAYER_NAME_BYTES_MAX} bytes"));
        }
        // The range also excludes NaN and infinities.
        if !(-RATING_MAX..=RATING_MAX).contains(&player.rating) || !(0.0..=RATING_MAX).contains(&player.uncertainty) {
            return bad(format!("rating and uncertainty of player {id} must be finite, at most {RATING_MAX}"));
        }
        Ok(Player { id, name: player.name, rating: player.rating, uncertainty: player.uncertainty })
    };
    players.into_iter().map(player).collect()
}

fn region_rtts(rtts: &[pb::RegionRtt]) -> Result<Arc<[(String, u32)]>, BadRequest> {
    if rtts.len() > RTTS_MAX {
        return bad(format!("{} region_rtts: at most {RTTS_MAX}", rtts.len()));
    }
    let mut seen = BTreeSet::new();
    for rtt in rtts {
        name("region", &rtt.region, false)?;
        if rtt.rtt_ms > RTT_MS_MAX {
            return bad(format!("rtt_ms of region {} is above {RTT_MS_MAX}", rtt.region));
        }
        if !seen.insert(&rtt.region) {
            return bad(format!("region {} is there twice", rtt.region));
        }
    }
    Ok(rtts.iter().map(|rtt| (rtt.region.clone(), rtt.rtt_ms)).collect())
}

fn name(what: &str, text: &str, may_be_empty: bool) -> Result<(), BadRequest> {
    if text.len() > NAME_BYTES_MAX || (text.is_empty() && !may_be_empty) || text.chars().any(char::is_control) {
        return bad(format!("{what} must be a name of 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// A ticket as it is told to callers.
pub(crate) fn ticket(ticket: &Ticket) -> pb::Ticket {
    let request = &ticket.request;
    let (state, reason, placed) = match ticket.state() {
        State::Queued => (pb::TicketState::Queued, "", None),
        State::Placing { .. } => (pb::TicketState::Placing, "", None),
        State::Completed { placed, .. } => (pb::TicketState::Completed, "", Some(placed)),
        State::Cancelled { reason } => (pb::TicketState::Cancelled, reason.as_str(), None),
        State::TimedOut { reason } => (pb::TicketState::TimedOut, reason.as_str(), None),
        State::Failed { reason, .. } => (pb::TicketState::Failed, reason.as_str(), None),
    };
    let player = |player: &Player| pb::TicketPlayer {
        player_id: player.id.to_string(),
        name: player.name.clone(),
        rating: player.rating,
        uncertainty: player.uncertainty,
    };
    pb::Ticket {
        ticket_id: request.id.to_string(),
        queue: request.queue.clone(),
        state: state.into(),
        players: request.players.iter().map(player).collect(),
        party_id: request.party.map(|party| party.id.to_string()).unwrap_or_default(),
        party_version: request.party.map(|party| party.version).unwrap_or_default(),
        created_at_ms: ticket.created_ms,
        reason: reason.to_owned(),
        match_id: ticket.match_id().map(|id| id.to_string()).unwrap_or_default(),
        assignment: placed.map(|placed| placed.assignment.clone()),
        roster: placed.map(|placed| placed.roster.to_vec()).unwrap_or_default(),
        estimated_wait_ms: ticket.estimated_wait_ms,
        trace_id: request.trace_id.clone(),
        cursor: ticket.cursor,
        updated_at_ms: ticket.updated_ms,
    }
}

/// All queues as they are told to callers.
pub(crate) fn picture(picture: &Picture) -> pb::ListQueuesResponse {
    pb::ListQueuesResponse {
        queues: picture.queues.iter().map(queue_status).collect(),
        faults: picture.faults.iter().map(queue_fault).collect(),
    }
}

fn queue_fault(fault: &QueueFault) -> pb::QueueFault {
    pb::QueueFault {
        source: fault.source.resource.clone(),
        generation: fault.source.generation,
        queue: fault.queue.clone(),
        reason: fault.reason.to_owned(),
        message: fault.message.clone(),
    }
}

fn queue_status(queue: &QueueStatus) -> pb::QueueStatus {
    pb::QueueStatus {
        name: queue.config.name.clone(),
        waiting_tickets: queue.waiting_tickets,
        waiting_players: queue.waiting_players,
        placing_matches: queue.placing_matches,
        matches_made: queue.matches_made,
        wait_ms_p50: queue.wait_ms_p50,
        wait_ms_p95: queue.wait_ms_p95,
        teams: queue.config.teams,
        players_per_team: queue.config.players_per_team,
        fleet: queue.config.fleet.clone(),
        regions: queue.config.regions.clone(),
        source: queue.config.source.resource.clone(),
        generation: queue.config.source.generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> pb::CreateTicketRequest {
        let player = |n: u8| pb::TicketPlayer {
            player_id: PlayerId::from_entropy([n; 16]).to_string(),
            name: format!("player {n}"),
            rating: 25.0,
            uncertainty: 8.0,
        };
        pb::CreateTicketRequest {
            ticket_id: TicketId::from_entropy([1; 16]).to_string(),
            queue: "duel".into(),
            players: vec![player(1), player(2)],
            party_id: PartyId::from_entropy([2; 16]).to_string(),
            party_version: 3,
            region_rtts: vec![pb::RegionRtt { region: "eu".into(), rtt_ms: 20 }],
            build: "1.0.0+abc".into(),
            trace_id: "0123456789ABCDEF0123456789abcdef".into(),
        }
    }

    #[test]
    fn a_good_request_is_read_whole() {
        let ticket = new_ticket(request(), String::new).expect("a good request");
        assert_eq!(ticket.players.len(), 2);
        assert_eq!(ticket.party.map(|party| party.version), Some(3));
        assert_eq!(*ticket.region_rtts, [("eu".to_owned(), 20)]);
        assert_eq!(ticket.trace_id, "0123456789abcdef0123456789abcdef");
        let alone = pb::CreateTicketRequest { trace_id: String::new(), ..request() };
        assert_eq!(new_ticket(alone, || "made".into()).expect("a good request").trace_id, "made");
    }

    /// Spoils a good request.
    type Spoil = fn(&mut pb::CreateTicketRequest);

    #[test]
    fn every_bad_value_is_refused_by_name() {
        let rows: [(&str, Spoil); 16] = [
            ("ticket_id", |r| r.ticket_id = "1".into()),
            ("queue", |r| r.queue.clear()),
            ("queue", |r| r.queue = "q".repeat(64)),
            ("build", |r| r.build = "\n".into()),
            ("players", |r| r.players.clear()),
            ("players", |r| r.players = vec![r.players[0].clone(); 129]),
            ("twice", |r| r.players[1] = r.players[0].clone()),
            ("player_id", |r| r.players[0].player_id.clear()),
            ("name", |r| r.players[0].name = "n".repeat(33)),
            ("rating", |r| r.players[0].rating = f64::NAN),
            ("rating", |r| r.players[0].uncertainty = f64::INFINITY),
            ("rating", |r| r.players[0].rating = -1e7),
            ("party_id", |r| r.party_id = "x".into()),
            ("region_rtts", |r| r.region_rtts = vec![r.region_rtts[0].clone(); 65]),
            ("rtt_ms", |r| r.region_rtts[0].rtt_ms = 60_001),
            ("trace_id", |r| r.trace_id = "zz".into()),
        ];
        for (word, spoil) in rows {
            let mut request = request();
            spoil(&mut request);
            let error = new_ticket(request, String::new).expect_err(word);
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        let mut twice = request();
        twice.region_rtts.push(twice.region_rtts[0].clone());
        assert!(new_ticket(twice, String::new).is_err());
    }
}
