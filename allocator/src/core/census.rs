//! Everything as it stands, for people and for metrics.

use protocol::pb;

use super::link::LinkState;
use super::matches::{Match, MatchState, Phase, Stage};
use super::pool::Server;
use super::state::Core;

/// Counts of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Servers by [`LinkState`], in the order of [`LinkState::ALL`].
    pub servers: [u64; 3],
    /// Rooms that a new match could have now.
    pub free_rooms: u64,
    /// Matches by phase: assigning, joinable, playing, ended.
    pub assigning: u64,
    /// Matches that admit players and have not begun.
    pub joinable: u64,
    /// Matches that are played.
    pub playing: u64,
    /// Matches whose result is being delivered.
    pub ended: u64,
    /// Calls that wait for a room.
    pub waiting: u64,
    /// Matches that wait for the servers of an earlier leader.
    pub held: u64,
    /// Records of matches that are over.
    pub remembered: u64,
    /// Rooms that are taken, for whatever.
    pub rooms_taken: u64,
    /// Calls that have no answer yet.
    pub calls: u64,
    /// Servers that the cluster shows as Allocated although no match is known there.
    pub ghosts: u64,
}

impl Core {
    /// Counts everything.
    pub fn census(&self) -> Census {
        let mut census = Census {
            waiting: self.queue.len() as u64,
            calls: self.calls.len() as u64,
            ghosts: self.ghosts().len() as u64,
            remembered: self.matches.remembered() as u64,
            ..Census::default()
        };
        for server in self.pool.iter() {
            let state = server.link.state();
            if let Some(at) = LinkState::ALL.iter().position(|s| *s == state) {
                census.servers[at] += 1;
            }
            census.rooms_taken += server.rooms.len() as u64;
            if server.takes_matches() {
                census.free_rooms += u64::from(server.free_rooms());
            }
        }
        for known in self.matches.current() {
            match &known.state {
                MatchState::Pending(pending) => match pending.stage {
                    Stage::Held => census.held += 1,
                    Stage::Waiting => {}
                    Stage::Assigning { .. } => census.assigning += 1,
                },
                MatchState::Live(live) => match live.phase {
                    Phase::Joinable => census.joinable += 1,
                    Phase::Playing => census.playing += 1,
                    Phase::Ended => census.ended += 1,
                },
                MatchState::Over(_) => {}
            }
        }
        census
    }

    /// Servers and matches as they stand; of matches those that are on a server.
    pub fn pool_page(&self) -> pb::GetPoolResponse {
        pb::GetPoolResponse {
            epoch: self.epoch,
            servers: self.pool.iter().map(pool_server).collect(),
            matches: self.matches.current().filter_map(pool_match).collect(),
        }
    }
}

fn pool_server(server: &Server) -> pb::PoolServer {
    let facts = &server.facts;
    let leaving = server.leaving || server.standing.is_some();
    let link = match server.link.state() {
        LinkState::Linked if leaving => "leaving",
        state => state.label(),
    };
    pb::PoolServer {
        server_id: facts.server_id.to_string(),
        name: facts.name.clone(),
        fleet: facts.fleet.clone(),
        build: facts.build.clone(),
        region: facts.region.clone(),
        address: facts.address.clone(),
        capacity: facts.capacity,
        matches: u32::try_from(server.rooms.len()).unwrap_or(u32::MAX),
        players: server.players,
        link: link.to_owned(),
        state: server.state.clone(),
        tick_load_permille: server.tick_load_permille,
        admin_address: facts.admin_address.clone(),
        revision: facts.revision.clone(),
        namespace: facts.namespace.clone(),
    }
}

fn pool_match(known: &Match) -> Option<pb::PoolMatch> {
    let live = known.live()?;
    let phase = match live.phase {
        Phase::Joinable => pb::MatchPhase::Joinable,
        Phase::Playing => pb::MatchPhase::Playing,
        Phase::Ended => pb::MatchPhase::Ended,
    };
    Some(pb::PoolMatch {
        match_id: known.request.match_id.to_string(),
        server_id: live.server.server_id.to_string(),
        phase: phase.into(),
        roster: known.request.roster.iter().map(Into::into).collect(),
        attempt: known.attempt,
    })
}
