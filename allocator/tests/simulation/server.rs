//! A game server as the control link's contract describes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use allocator::core::effect::Order;
use allocator::core::link::LinkId;
use allocator::core::pool::ServerFacts;
use allocator::core::registration::{Hosted, Registration};
use allocator::core::request::Player;
use allocator::core::updates::{FromServer, Update};
use protocol::id::{MatchId, ServerId};
use protocol::pb::{MatchPhase, RefusalReason};

pub(crate) struct Room {
    pub(crate) roster: Vec<Player>,
    pub(crate) attempt: u32,
    pub(crate) epoch: u64,
    pub(crate) phase: MatchPhase,
}

pub(crate) struct FakeServer {
    pub(crate) facts: ServerFacts,
    pub(crate) link: Option<LinkId>,
    pub(crate) rooms: BTreeMap<MatchId, Room>,
    pub(crate) orders: VecDeque<(u64, Order)>,
    pub(crate) messages: VecDeque<FromServer>,
    pub(crate) leaving: bool,
    ended: BTreeSet<MatchId>,
    epoch_seen: u64,
    updates: BTreeMap<u64, Update>,
    updates_made: u64,
}

impl FakeServer {
    pub(crate) fn new(id: [u8; 16], name: String, capacity: u32) -> Self {
        let facts = ServerFacts {
            namespace: String::new(),
            server_id: ServerId::from_entropy(id),
            name,
            build: "1".into(),
            region: "local".into(),
            fleet: "arena".into(),
            revision: String::new(),
            capacity,
            address: "127.0.0.1:1".into(),
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
        Self {
            facts,
            link: None,
            rooms: BTreeMap::new(),
            orders: VecDeque::new(),
            messages: VecDeque::new(),
            leaving: false,
            ended: BTreeSet::new(),
            epoch_seen: 0,
            updates: BTreeMap::new(),
            updates_made: 0,
        }
    }

    pub(crate) fn id(&self) -> ServerId {
        self.facts.server_id
    }

    /// The stream broke: what was under way on it is lost.
    pub(crate) fn cut(&mut self) {
        self.link = None;
        self.orders.clear();
        self.messages.clear();
    }

    pub(crate) fn registration(&self) -> Registration {
        let hosted = self.rooms.iter().map(|(match_id, room)| Hosted {
            match_id: *match_id,
            roster: room.roster.clone(),
            attempt: room.attempt,
            epoch: room.epoch,
            phase: room.phase,
        });
        Registration {
            facts: self.facts.clone(),
            hosted: hosted.collect(),
            epoch_seen: self.epoch_seen,
            state: "Reserved".into(),
            uptime_ms: 0,
        }
    }

    /// Obeys one order. `refuse` makes it refuse an Assign for no reason of its own.
    pub(crate) fn obey(&mut self, epoch: u64, order: Order, refuse: Option<RefusalReason>) {
        assert!(epoch >= self.epoch_seen, "streams of an older leader are closed");
        self.epoch_seen = epoch;
        match order {
            Order::Registered => {
                self.messages.extend(self.updates.values().cloned().map(FromServer::Update));
                if self.leaving {
                    self.messages.push_back(FromServer::Leaving);
                }
            }
            Order::Assign { request, attempt, .. } => {
                let match_id = request.match_id;
                let refusal = if self.rooms.contains_key(&match_id) {
                    None
                } else if self.ended.contains(&match_id) {
                    Some(RefusalReason::Ended)
                } else if self.rooms.len() >= self.facts.capacity as usize {
                    Some(RefusalReason::Full)
                } else if self.leaving {
                    Some(RefusalReason::Leaving)
                } else {
                    refuse
                };
                self.messages.push_back(match refusal {
                    Some(reason) => FromServer::Refused { match_id, attempt, reason, detail: String::new() },
                    None => {
                        let roster = request.roster.clone();
                        let new = Room { roster, attempt, epoch, phase: MatchPhase::Joinable };
                        self.rooms.entry(match_id).or_insert(new);
                        FromServer::Joinable { match_id, attempt }
                    }
                });
            }
            Order::Release { match_id, .. } => {
                if self.rooms.get(&match_id).is_some_and(|room| room.phase != MatchPhase::Ended) {
                    self.close(match_id);
                }
            }
            Order::UpdateAck { number } => {
                self.updates.remove(&number);
            }
            Order::Retire | Order::Drain { .. } => self.leaving = true,
        }
    }

    /// A room comes one step further.
    pub(crate) fn advance(&mut self, match_id: MatchId) {
        match self.rooms.get(&match_id).map(|room| room.phase) {
            Some(MatchPhase::Joinable) => self.reach(match_id, MatchPhase::Playing),
            Some(MatchPhase::Playing) => self.reach(match_id, MatchPhase::Ended),
            Some(MatchPhase::Ended) => self.close(match_id),
            _ => {}
        }
    }

    pub(crate) fn fail(&mut self, match_id: MatchId) {
        self.rooms.remove(&match_id);
        self.ended.insert(match_id);
        self.update(match_id, MatchPhase::Failed);
    }

    pub(crate) fn close(&mut self, match_id: MatchId) {
        if self.rooms.get(&match_id).is_some_and(|room| room.phase != MatchPhase::Ended) {
            self.reach(match_id, MatchPhase::Ended);
        }
        self.rooms.remove(&match_id);
        self.ended.insert(match_id);
        self.update(match_id, MatchPhase::Closed);
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.updates.len()
    }

    /// Sends again what was not acknowledged: an update may arrive many times.
    pub(crate) fn repeat_updates(&mut self) {
        if self.link.is_some() {
            self.messages.extend(self.updates.values().cloned().map(FromServer::Update));
        }
    }

    fn reach(&mut self, match_id: MatchId, phase: MatchPhase) {
        if let Some(room) = self.rooms.get_mut(&match_id) {
            room.phase = phase;
        }
        self.update(match_id, phase);
    }

    fn update(&mut self, match_id: MatchId, phase: MatchPhase) {
        self.updates_made += 1;
        let number = self.updates_made;
        let update = Update { match_id, phase, reason: String::new(), stats: None, number };
        self.updates.insert(number, update.clone());
        if self.link.is_some() {
            self.messages.push_back(FromServer::Update(update));
        }
    }
}
