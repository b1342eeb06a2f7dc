//! What the cluster shows and wishes: who exists, who must leave, which revision gets a match. Whole pictures come in;
//! what changed since the last one is found here.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{MatchId, ServerId};

use super::link::LinkState;
use super::now::Now;
use super::pool::{Pool, Server, Standing, qualified};
use super::request::MatchRequest;
use super::state::Core;

/// How often what needs time to show is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A server that the cluster shows as Allocated, and that has had no match here for so long, is reported as a ghost.
const GHOST_AFTER: Duration = Duration::from_secs(20);

/// Everything that the cluster shows at one moment. Names are `namespace/name`, as [`qualified`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterPicture {
    /// Game servers of Muster's pool, by name.
    pub servers: BTreeMap<String, SeenServer>,
    /// Agones Fleets of Muster's pool, by name.
    pub fleets: BTreeMap<String, FleetWish>,
    /// Rules of GameFleets, by name.
    pub rules: BTreeMap<String, FleetRules>,
}

/// A GameServer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenServer {
    /// Agones Fleet that it belongs to.
    pub fleet: String,
    /// Its node.
    pub node: String,
    /// Agones state.
    pub state: String,
    /// Whether it must leave.
    pub drain: Option<DrainWish>,
}

impl SeenServer {
    /// Whether it may have a match.
    fn is_in_use(&self) -> bool {
        matches!(self.state.as_str(), "Reserved" | "Allocated")
    }
}

/// A drain that the operator has announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainWish {
    /// Until when matches may run, Unix milliseconds.
    pub until_unix_ms: u64,
    /// Why, for people.
    pub reason: String,
}

/// An Agones Fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetWish {
    /// Servers that it should have.
    pub replicas: Option<u32>,
    /// Whether all of it must leave.
    pub drain: Option<DrainWish>,
}

/// Where new matches of a GameFleet go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetRules {
    /// Whether the emptiest server and node come first, instead of the fullest.
    pub distributed: bool,
    /// Its revisions; none: every server will do.
    pub revisions: Vec<RevisionRule>,
}

/// A revision's part of new matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRule {
    /// Its name.
    pub name: String,
    /// Its build.
    pub build: String,
    /// Its share, in relation to the others'.
    pub weight: u32,
    /// Whether it stands in where the chosen one has no room.
    pub is_stable: bool,
}

impl FleetRules {
    /// Revisions that may host this match, best first: one by the hash of its id and the weights of those that speak
    /// `build`, then the stable one.
    pub fn order(&self, match_id: MatchId, build: &str) -> Vec<&str> {
        self.order_at(hash(&match_id.to_bytes()), |revision| build.is_empty() || revision.build == build)
    }

    /// The same for something that has no id of Muster's: `point` is any number, as likely as every other.
    pub fn order_at(&self, point: u64, speaks: impl Fn(&RevisionRule) -> bool) -> Vec<&str> {
        let speaking = || self.revisions.iter().filter(|revision| speaks(revision));
        let total: u64 = speaking().map(|revision| u64::from(revision.weight)).sum();
        let mut order = Vec::new();
        if total > 0 {
            let mut point = point % total;
            let chosen = speaking().find(|revision| {
                let inside = point < u64::from(revision.weight);
                point = point.saturating_sub(u64::from(revision.weight));
                inside
            });
            order.extend(chosen.map(|revision| revision.name.as_str()));
        }
        let stable = speaking().filter(|revision| revision.is_stable).map(|revision| revision.name.as_str());
        order.extend(stable.filter(|name| !order.contains(name)).collect::<Vec<_>>());
        order
    }
}

/// The same for every process and every release: a match that is asked for again goes to the same revision. FNV-1a with
/// the finalizer of MurmurHash3, so that ids which differ in a bit differ everywhere.
pub(crate) fn hash(id: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in id {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl ClusterPicture {
    /// Names of the servers that may have a match of an earlier leader.
    pub fn expected(&self) -> BTreeSet<String> {
        self.servers.iter().filter(|(_, server)| server.is_in_use()).map(|(name, _)| name.clone()).collect()
    }

    /// The drain that holds for a server: its own or its Fleet's, whichever ends first.
    fn drain(&self, name: &str) -> Option<&DrainWish> {
        let server = self.servers.get(name)?;
        let of_fleet = self.fleets.get(&server.fleet).and_then(|fleet| fleet.drain.as_ref());
        server.drain.iter().chain(of_fleet).min_by_key(|drain| drain.until_unix_ms)
    }
}

/// What a core remembers of the cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    picture: Arc<ClusterPicture>,
    /// Drains by server, each deadline turned into monotonic time once.
    drains: BTreeMap<String, Standing>,
    /// Since when servers have looked like ghosts.
    ghosts: BTreeMap<String, Duration>,
    looked_at: Duration,
}

impl Core {
    /// The cluster looks like this now. Servers that are no longer there are lost at once; those that must leave are told.
    pub fn set_cluster(&mut self, picture: &Arc<ClusterPicture>, now: Now) {
        let before = self.cluster.get_or_insert_default();
        let before = std::mem::replace(&mut before.picture, picture.clone());
        for name in before.servers.keys().filter(|name| !picture.servers.contains_key(*name)) {
            self.server_gone(name, now);
        }
        self.set_expected(&picture.expected(), now);
        if let Some(cluster) = &mut self.cluster {
            cluster.drains.retain(|name, _| picture.servers.contains_key(name));
        }
        for id in self.pool.iter().map(|server| server.facts.server_id).collect::<Vec<_>>() {
            if self.note_cluster(id, now) {
                self.repeat_standing(id, now);
            }
        }
        self.retire_surplus(now);
    }

    /// Notes what the cluster says of a server. Whether it must leave and was not told so before.
    pub(super) fn note_cluster(&mut self, id: ServerId, now: Now) -> bool {
        let (Some(cluster), Some(server)) = (&mut self.cluster, self.pool.get_mut(id)) else { return false };
        let name = &server.facts.key();
        if let Some(seen) = cluster.picture.servers.get(name) {
            server.node.clone_from(&seen.node);
        }
        if !cluster.drains.contains_key(name) {
            let Some(wish) = cluster.picture.drain(name) else { return false };
            let left = Duration::from_millis(wish.until_unix_ms.saturating_sub(now.unix_ms));
            let standing = Standing::Drain { deadline: now.at + left, reason: wish.reason.clone() };
            cluster.drains.insert(name.clone(), standing);
        }
        let Some(drain) = cluster.drains.get(name) else { return false };
        let news = server.standing.as_ref() != Some(drain);
        if news {
            server.standing = Some(drain.clone());
        }
        news
    }

    /// Rules for new matches of a fleet, where the cluster has any. A caller that names no namespace gets those of the first.
    pub(super) fn fleet_rules(&self, request: &MatchRequest) -> Option<&FleetRules> {
        let rules = &self.cluster.as_ref()?.picture.rules;
        let exact = rules.get(&qualified(&request.namespace, &request.fleet));
        let same_name = |name: &&String| name.rsplit_once('/').is_some_and(|(_, name)| name == request.fleet);
        let any = || rules.iter().find(|(name, _)| request.namespace.is_empty() && same_name(name));
        exact.or_else(|| any().map(|(_, rules)| rules))
    }

    /// Servers that the cluster shows as Allocated although no match is known there.
    pub fn ghosts(&self) -> Vec<&str> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let old = |since: &Duration| cluster.looked_at.saturating_sub(*since) >= GHOST_AFTER;
        cluster.ghosts.iter().filter(|(_, since)| old(since)).map(|(name, _)| name.as_str()).collect()
    }

    /// Lets time pass for what needs time to show.
    pub(super) fn look_at_cluster(&mut self, now: Now) {
        let Some(cluster) = &mut self.cluster else { return };
        if now.at.saturating_sub(cluster.looked_at) < LOOK {
            return;
        }
        cluster.looked_at = now.at;
        let picture = cluster.picture.clone();
        self.find_ghosts(&picture, now);
        self.weigh_nodes();
        self.retire_surplus(now);
    }

    fn find_ghosts(&mut self, picture: &ClusterPicture, now: Now) {
        let hosting = |server: &&Server| !server.rooms.is_empty() && server.link.state() != LinkState::Lost;
        let busy: BTreeSet<String> = self.pool.iter().filter(hosting).map(|s| s.facts.key()).collect();
        let allocated = picture.servers.iter().filter(|(_, server)| server.state == "Allocated");
        let suspects: BTreeSet<&String> =
            allocated.map(|(name, _)| name).filter(|name| !busy.contains(*name)).collect();
        let Some(cluster) = &mut self.cluster else { return };
        cluster.ghosts.retain(|name, _| suspects.contains(name));
        for name in suspects {
            let since = *cluster.ghosts.entry(name.clone()).or_insert(now.at);
            let age = now.at.saturating_sub(since);
            if age >= GHOST_AFTER && age < GHOST_AFTER + LOOK {
                tracing::warn!(server_name = name, "Allocated in the cluster, and no match is known there: a ghost");
            }
        }
    }

    fn weigh_nodes(&mut self) {
        let mut rooms: BTreeMap<String, u32> = BTreeMap::new();
        for server in self.pool.iter().filter(|server| !server.node.is_empty()) {
            *rooms.entry(server.node.clone()).or_default() += u32::try_from(server.rooms.len()).unwrap_or(u32::MAX);
        }
        for server in self.pool.iter_mut() {
            server.node_rooms = rooms.get(&server.node).copied().unwrap_or_default();
        }
    }

    fn retire_surplus(&mut self, now: Now) {
        let Some(cluster) = &self.cluster else { return };
        for id in surplus(&cluster.picture, &self.pool) {
            if let Some(server) = self.pool.get_mut(id) {
                tracing::info!(server_name = server.facts.name, "retiring: its fleet has shrunk");
                server.standing = Some(Standing::Retire);
            }
            self.repeat_standing(id, now);
        }
    }
}

/// Idle servers that their Fleets no longer want: agones' `/scale` does not take Reserved ones. Those on the emptiest
/// nodes go first, so that nodes fall empty.
fn surplus(picture: &ClusterPicture, pool: &Pool) -> Vec<ServerId> {
    let by_name: BTreeMap<String, &Server> = pool.iter().map(|server| (server.facts.key(), server)).collect();
    let stays = |name: &String| by_name.get(name).is_none_or(|server| !server.leaving && server.standing.is_none());
    let mut staying: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, seen) in picture.servers.iter().filter(|(name, seen)| seen.is_in_use() && stays(name)) {
        *staying.entry(&seen.fleet).or_default() += 1;
    }
    let mut node_rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for server in pool.iter() {
        *node_rooms.entry(&server.node).or_default() += server.rooms.len();
    }
    let mut leaving = Vec::new();
    for (fleet, count) in staying {
        let Some(replicas) = picture.fleets.get(fleet).and_then(|wish| wish.replicas) else { continue };
        let is_idle = |(name, server): &(&String, &&Server)| {
            server.rooms.is_empty()
                && server.takes_matches()
                && picture.servers.get(*name).is_some_and(|seen| seen.fleet == fleet)
        };
        let mut idle: Vec<&&Server> = by_name.iter().filter(is_idle).map(|(_, server)| server).collect();
        idle.sort_by_key(|server| (node_rooms.get(server.node.as_str()), &server.node, &server.facts.name));
        let too_many = count.saturating_sub(replicas) as usize;
        leaving.extend(idle.into_iter().take(too_many).map(|server| server.facts.server_id));
    }
    leaving
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, build: &str, weight: u32, is_stable: bool) -> RevisionRule {
        RevisionRule { name: name.into(), build: build.into(), weight, is_stable }
    }

    fn rules(revisions: &[RevisionRule]) -> FleetRules {
        FleetRules { distributed: false, revisions: revisions.to_vec() }
    }

    fn id(number: u32) -> MatchId {
        let mut entropy = [7; 16];
        entropy[12..].copy_from_slice(&number.to_be_bytes());
        MatchId::from_entropy(entropy)
    }

    #[test]
    fn weights_are_shares_of_matches_and_the_stable_one_stands_in() {
        let rules = rules(&[rule("stable", "1", 90, true), rule("canary", "1", 10, false)]);
        let canary = (0..10_000).filter(|n| rules.order(id(*n), "")[0] == "canary").count();
        assert!((850..1_150).contains(&canary), "{canary} of 10,000");
        for n in 0..100 {
            let order = rules.order(id(n), "1");
            assert_eq!(order, rules.order(id(n), "1"), "the same match, the same order");
            assert!(order == ["stable"] || order == ["canary", "stable"], "{order:?}");
        }
    }

    #[test]
    fn only_revisions_that_speak_the_clients_build_and_have_a_share_or_are_stable_are_named() {
        let rules = rules(&[rule("old", "1", 0, false), rule("stable", "1", 50, true), rule("new", "2", 50, false)]);
        for n in 0..100 {
            assert_eq!(rules.order(id(n), "1"), ["stable"]);
            assert_eq!(rules.order(id(n), "2"), ["new"]);
            assert!(rules.order(id(n), "3").is_empty());
        }
    }
}
