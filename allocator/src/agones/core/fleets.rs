//! Which fleets are not given out here, and which of Muster's fleets are.

use std::collections::BTreeMap;

use super::index::Group;
use super::request::Request;
use super::selector::Selector;
use super::server::{FLEET_LABEL, State};
use crate::core::cluster::FleetRules;

/// Label of a Fleet and its servers: who gives it out.
pub const POOL_LABEL: &str = "muster.dev/pool";
/// Value of [`POOL_LABEL`]: Muster, over its control link.
pub const POOL_MUSTER: &str = "muster";
/// Label of a Fleet and its servers: the GameFleet.
pub const GAME_FLEET_LABEL: &str = "muster.dev/game-fleet";
/// Label of a Fleet and its servers: the region.
pub const REGION_LABEL: &str = "muster.dev/region";
/// Label of a Fleet and its servers: the game's build.
pub const BUILD_LABEL: &str = "muster.dev/build";
/// Label of a Fleet and its servers: the revision.
pub const REVISION_LABEL: &str = "muster.dev/revision";

/// What matters of one of Muster's Fleets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Its servers are assigned over Muster's control link, and by nobody else.
    pub is_muster_pool: bool,
    /// It takes no new matches.
    pub is_draining: bool,
}

/// What matters of a GameFleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GameFleet {
    /// Its servers are given out here.
    pub is_ours: bool,
    /// Which of its revisions get new matches.
    pub rules: FleetRules,
}

/// Namespace and name.
type Name = (String, String);

/// Muster's Fleets and GameFleets. Fleets that are not Muster's are unknown here, and served.
#[derive(Debug, Default)]
pub struct Fleets {
    fleets: BTreeMap<Name, Fleet>,
    game_fleets: BTreeMap<Name, GameFleet>,
}

impl Fleets {
    /// A Fleet as it is now; `None`: gone.
    pub fn set_fleet(&mut self, namespace: &str, name: &str, fleet: Option<Fleet>) {
        set(&mut self.fleets, namespace, name, fleet);
    }

    /// A GameFleet as it is now; `None`: gone.
    pub fn set_game_fleet(&mut self, namespace: &str, name: &str, game_fleet: Option<GameFleet>) {
        set(&mut self.game_fleets, namespace, name, game_fleet);
    }

    /// Which revisions of a GameFleet get new matches.
    pub fn rules(&self, namespace: &str, game_fleet: &str) -> Option<&FleetRules> {
        self.game_fleets.get(&(namespace.to_owned(), game_fleet.to_owned())).map(|known| &known.rules)
    }

    /// Where a group of servers stands in the order of its GameFleet's revisions for a request that would take servers of
    /// any: 0 first; `None`: not at all. Whoever names a Fleet or a revision has chosen, and so has whoever asks for servers
    /// that are Allocated already: for them every group is first.
    pub(super) fn turn(&self, namespace: &str, group: &Group, selector: &Selector, point: u64) -> Option<usize> {
        let chosen = [FLEET_LABEL, REVISION_LABEL].iter().any(|label| selector.picks(label));
        if chosen || selector.state != State::Ready {
            return Some(0);
        }
        let (Some(game_fleet), Some(revision)) = (group.label(GAME_FLEET_LABEL), group.label(REVISION_LABEL)) else {
            return Some(0);
        };
        let Some(rules) = self.rules(namespace, game_fleet).filter(|rules| !rules.revisions.is_empty()) else {
            return Some(0);
        };
        let order = rules.order_at(point, |rule| selector.allows(BUILD_LABEL, &rule.build));
        order.iter().position(|name| *name == revision)
    }

    /// Forgets the Fleets of a namespace that are not among `names`.
    pub fn retain_fleets(&mut self, namespace: &str, names: &std::collections::BTreeSet<String>) {
        self.fleets.retain(|(space, name), _| space != namespace || names.contains(name));
    }

    /// Forgets the GameFleets of a namespace that are not among `names`.
    pub fn retain_game_fleets(&mut self, namespace: &str, names: &std::collections::BTreeSet<String>) {
        self.game_fleets.retain(|(space, name), _| space != namespace || names.contains(name));
    }

    /// Namespace of the GameFleet of this name whose servers are given out here. Where the caller names no namespace, the
    /// first that has one.
    pub fn namespace_of(&self, namespace: &str, game_fleet: &str) -> Option<&str> {
        let in_namespace = |space: &str| namespace.is_empty() || space == namespace;
        self.game_fleets
            .iter()
            .find(|((space, name), it)| name == game_fleet && it.is_ours && in_namespace(space))
            .map(|((space, _), _)| &**space)
    }

    /// Name of a fleet that the request asks for by name and that is not given out here.
    pub fn refused<'a>(&self, request: &'a Request) -> Option<&'a str> {
        let of_pool = |pools: &BTreeMap<String, String>| pools.get(POOL_LABEL).is_some_and(|p| p == POOL_MUSTER);
        request.selectors.iter().find_map(|selector| {
            let fleet = selector.labels.get(FLEET_LABEL);
            let game_fleet = selector.labels.get(GAME_FLEET_LABEL);
            let known = |name: &str| (request.namespace.clone(), name.to_owned());
            let is_fleet = |name: &&String| self.fleets.get(&known(name)).is_some_and(|fleet| fleet.is_muster_pool);
            let is_game_fleet = |name: &&String| self.game_fleets.get(&known(name)).is_some_and(|it| !it.is_ours);
            let by_name = fleet.filter(is_fleet).or_else(|| game_fleet.filter(is_game_fleet));
            by_name.map(String::as_str).or_else(|| of_pool(&selector.labels).then_some(POOL_MUSTER))
        })
    }

    /// Whether a Fleet takes no new matches.
    pub(super) fn is_draining(&self, namespace: &str, fleet: &str) -> bool {
        !fleet.is_empty() && self.fleets.get(&(namespace.to_owned(), fleet.to_owned())).is_some_and(|f| f.is_draining)
    }
}

fn set<T>(known: &mut BTreeMap<Name, T>, namespace: &str, name: &str, value: Option<T>) {
    let name = (namespace.to_owned(), name.to_owned());
    match value {
        Some(value) => known.insert(name, value),
        None => known.remove(&name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_of_musters_pool_is_refused_by_name_and_others_are_not() {
        let mut fleets = Fleets::default();
        fleets.set_fleet("games", "arena-eu-1", Some(Fleet { is_muster_pool: true, is_draining: false }));
        fleets.set_fleet("games", "card-eu-1", Some(Fleet { is_muster_pool: false, is_draining: false }));
        assert_eq!(fleets.refused(&Request::of_fleet("games", "arena-eu-1")), Some("arena-eu-1"));
        assert_eq!(fleets.refused(&Request::of_fleet("other", "arena-eu-1")), None);
        assert_eq!(fleets.refused(&Request::of_fleet("games", "card-eu-1")), None);
        assert_eq!(fleets.refused(&Request::of_fleet("games", "somebody-elses")), None);
        fleets.retain_fleets("games", &["card-eu-1".to_owned()].into());
        assert_eq!(fleets.refused(&Request::of_fleet("games", "arena-eu-1")), None);
    }

    #[test]
    fn a_game_fleet_is_found_where_its_servers_are_given_out_here() {
        let mut fleets = Fleets::default();
        let pool = |is_ours| Some(GameFleet { is_ours, ..GameFleet::default() });
        fleets.set_game_fleet("a", "card", pool(false));
        fleets.set_game_fleet("b", "card", pool(true));
        assert_eq!(fleets.namespace_of("", "card"), Some("b"));
        assert_eq!(fleets.namespace_of("b", "card"), Some("b"));
        assert_eq!(fleets.namespace_of("a", "card"), None, "there it is Muster's");
        fleets.set_game_fleet("b", "card", None);
        assert_eq!(fleets.namespace_of("", "card"), None);
    }
}
