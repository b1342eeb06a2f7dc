//! Which server gets a match: the right fleet and build, the best region, the revision whose turn it is, then the fullest
//! server with room, or the emptiest where the fleet says so.

use std::collections::BTreeSet;

use protocol::id::ServerId;

use super::cluster::FleetRules;
use super::pool::{Pool, Server};
use super::request::MatchRequest;

/// A match that wants a server.
#[derive(Debug)]
pub struct Wanted<'a> {
    request: &'a MatchRequest,
    excluded: &'a BTreeSet<ServerId>,
    /// Revisions that will do, best first; `None`: all.
    revisions: Option<Vec<&'a str>>,
    distributed: bool,
}

/// How well a server fits: by region, then by revision, 0 best.
pub type Rank = (usize, usize);

impl<'a> Wanted<'a> {
    /// What a request wants by the rules of its fleet, where there are any. `excluded` servers are not tried.
    pub fn new(request: &'a MatchRequest, excluded: &'a BTreeSet<ServerId>, rules: Option<&'a FleetRules>) -> Self {
        let named = rules.filter(|rules| !rules.revisions.is_empty());
        let revisions = named.map(|rules| rules.order(request.match_id, &request.build));
        Self { request, excluded, revisions, distributed: rules.is_some_and(|rules| rules.distributed) }
    }

    /// Rank of the server for this match; `None` if it will not do or takes no match now.
    pub fn rank(&self, server: &Server) -> Option<Rank> {
        let (facts, request) = (&server.facts, self.request);
        let fits = facts.fleet == request.fleet
            && (request.namespace.is_empty() || facts.namespace == request.namespace)
            && (request.build.is_empty() || facts.build == request.build)
            && server.takes_matches()
            && server.free_rooms() > 0
            && !self.excluded.contains(&facts.server_id);
        if !fits {
            return None;
        }
        let revision = match &self.revisions {
            None => 0,
            Some(revisions) => revisions.iter().position(|revision| *revision == facts.revision)?,
        };
        let region = match request.regions.is_empty() {
            true => 0,
            false => request.regions.iter().position(|region| *region == facts.region)?,
        };
        Some((region, revision))
    }

    /// Among servers of one rank: what comes first. Packed: the fullest server on the fullest node, so that others run
    /// empty and can be taken away. Distributed: the emptiest.
    fn fill(&self, server: &Server) -> (u32, u32) {
        if self.distributed {
            (u32::try_from(server.rooms.len()).unwrap_or(u32::MAX), server.node_rooms)
        } else {
            (server.free_rooms(), u32::MAX - server.node_rooms)
        }
    }

    /// The best server for this match, if any has room.
    pub fn choose(&self, pool: &Pool) -> Option<ServerId> {
        let ranked = pool.iter().filter_map(|server| Some((self.rank(server)?, server)));
        // Among equals the one that has run longest: its caches are warm and it has proved itself. Then any fixed order.
        let key = |(rank, s): &(Rank, &Server)| (*rank, self.fill(s), s.started_unix_ms, s.facts.server_id);
        ranked.min_by_key(key).map(|(_, server)| server.facts.server_id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use protocol::id::MatchId;

    use super::super::link::LinkId;
    use super::super::now::Now;
    use super::super::pool::{Room, ServerFacts};
    use super::*;

    struct Row {
        fleet: &'static str,
        build: &'static str,
        region: &'static str,
        used: u8,
        uptime_ms: u64,
    }

    const PLAIN: Row = Row { fleet: "arena", build: "1", region: "eu", used: 0, uptime_ms: 0 };

    fn check(rows: &[Row], regions: &[&str], build: &str, expected: Option<usize>) {
        let mut pool = Pool::default();
        let id = |index: usize| ServerId::from_bytes([u8::try_from(index).expect("few rows") + 1; 16]);
        for (index, row) in rows.iter().enumerate() {
            let facts = ServerFacts {
                server_id: id(index),
                name: String::new(),
                namespace: String::new(),
                build: row.build.into(),
                region: row.region.into(),
                fleet: row.fleet.into(),
                revision: String::new(),
                capacity: 4,
                address: String::new(),
                admin_address: String::new(),
                quic_fingerprints: vec![],
                server_key: [0; 32],
                is_foreign: false,
                joinable_within: std::time::Duration::ZERO,
                result_key: [0; 32],
                routing_token: vec![],
                schema_hash: 0,
                tick_rate_hz: 60,
            };
            let now = Now { at: Duration::ZERO, unix_ms: 1_000_000 };
            let mut server = Server::new(Arc::new(facts), LinkId(index as u64), "Reserved".into(), row.uptime_ms, now);
            server.rooms = (0..row.used).map(|n| (MatchId::from_entropy([n; 16]), Room::Hosted)).collect();
            pool.insert(server);
        }
        let mut request = MatchRequest::restored(MatchId::from_entropy([99; 16]), vec![]);
        request.fleet = "arena".into();
        request.build = build.into();
        request.regions = regions.iter().map(|&r| r.to_owned()).collect();
        assert_eq!(Wanted::new(&request, &BTreeSet::new(), None).choose(&pool), expected.map(id));
        let excluded = (0..rows.len()).map(id).collect();
        assert_eq!(Wanted::new(&request, &excluded, None).choose(&pool), None);
    }

    #[test]
    fn fleet_and_build_and_region_must_fit() {
        check(&[], &[], "", None);
        check(&[Row { fleet: "other", ..PLAIN }], &[], "", None);
        check(&[Row { build: "2", ..PLAIN }, PLAIN], &[], "1", Some(1));
        check(&[PLAIN], &["us"], "", None);
        check(&[PLAIN], &[], "", Some(0));
    }

    #[test]
    fn the_preferred_region_comes_before_packing() {
        check(&[Row { used: 3, ..PLAIN }, Row { region: "us", ..PLAIN }], &["us", "eu"], "", Some(1));
        check(&[PLAIN, Row { region: "us", used: 4, ..PLAIN }], &["us", "eu"], "", Some(0));
    }

    #[test]
    fn the_fullest_server_with_room_is_taken_then_the_oldest_then_the_first() {
        check(&[PLAIN, Row { used: 3, ..PLAIN }, Row { used: 4, ..PLAIN }], &[], "", Some(1));
        check(&[PLAIN, Row { uptime_ms: 5, ..PLAIN }], &[], "", Some(1));
        check(&[PLAIN, PLAIN], &[], "", Some(0));
    }
}
