//! A core on virtual time, with servers that say exactly what a test makes them say.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use allocator::core::cluster::ClusterPicture;
use allocator::core::effect::{AllocateError, CallId, Effect, Order, Placed};
use allocator::core::link::LinkId;
use allocator::core::now::Now;
use allocator::core::pool::ServerFacts;
use allocator::core::registration::{Hosted, RegisterError, Registration};
use allocator::core::request::{MatchRequest, Player};
use allocator::core::state::{Core, CoreSettings};
use allocator::core::updates::{FromServer, Update};
use allocator::{Limits, Timing};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::pb::{MatchEventKind, MatchPhase, RefusalReason};

pub(crate) type Answer = Result<Placed, AllocateError>;

pub(crate) struct Harness {
    pub(crate) core: Core,
    now: Duration,
    orders: BTreeMap<LinkId, Vec<Order>>,
    answers: BTreeMap<CallId, Answer>,
    pub(crate) closed: BTreeSet<LinkId>,
    calls: u64,
}

pub(crate) fn match_id(byte: u8) -> MatchId {
    MatchId::from_entropy([byte; 16])
}

pub(crate) fn server_id(byte: u8) -> ServerId {
    ServerId::from_entropy([byte; 16])
}

pub(crate) fn player(byte: u8) -> Player {
    Player {
        player_id: PlayerId::from_entropy([byte; 16]),
        team: 0,
        name: format!("player {byte}"),
        party_id: String::new(),
    }
}

pub(crate) fn request(byte: u8) -> MatchRequest {
    let mut request = MatchRequest::restored(match_id(byte), vec![player(1), player(2)]);
    request.fleet = "arena".into();
    request.trace_id = "0123456789abcdef0123456789abcdef".into();
    request
}

/// Server `byte`, with this many rooms, on link `byte`.
pub(crate) fn registration(byte: u8, capacity: u32) -> Registration {
    let facts = ServerFacts {
        namespace: String::new(),
        server_id: server_id(byte),
        name: format!("server-{byte}"),
        build: "1".into(),
        region: "local".into(),
        fleet: "arena".into(),
        revision: String::new(),
        capacity,
        address: format!("127.0.0.1:{byte}"),
        admin_address: String::new(),
        quic_fingerprints: vec![],
        server_key: [byte; 32],
        is_foreign: false,
        joinable_within: std::time::Duration::ZERO,
        result_key: [byte; 32],
        routing_token: vec![],
        schema_hash: 7,
        tick_rate_hz: 60,
    };
    Registration { facts, hosted: vec![], epoch_seen: 0, state: "Reserved".into(), uptime_ms: 0 }
}

pub(crate) fn hosted(byte: u8, attempt: u32, epoch: u64, phase: MatchPhase) -> Hosted {
    Hosted { match_id: match_id(byte), roster: request(byte).roster, attempt, epoch, phase }
}

impl Harness {
    /// The first leader ever, with these servers of this capacity registered on links of their own number.
    pub(crate) fn new(servers: &[(u8, u32)]) -> Self {
        let mut harness = Self::leader(1, None, Limits::default());
        for (byte, capacity) in servers {
            harness.register(u64::from(*byte), registration(*byte, *capacity)).expect("registered");
        }
        harness
    }

    pub(crate) fn leader(epoch: u64, expected: Option<&[&str]>, limits: Limits) -> Self {
        let expected = expected.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let timing = Timing::default();
        let core = Core::new(CoreSettings { epoch, log_id: format!("log-{epoch}"), expected, timing, limits });
        Self {
            core,
            now: Duration::ZERO,
            orders: BTreeMap::new(),
            answers: BTreeMap::new(),
            closed: BTreeSet::new(),
            calls: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { at: self.now, unix_ms: 1_700_000_000_000 }
    }

    /// Time passes, and the servers on these links are heard all along.
    pub(crate) fn pass(&mut self, ms: u64, alive: &[u64]) {
        let until = self.now + Duration::from_millis(ms);
        while self.now < until {
            self.now = until.min(self.now + Duration::from_millis(500));
            for link in alive {
                self.core.handle(LinkId(*link), FromServer::Alive, self.now());
            }
            self.core.tick(self.now());
            self.collect();
        }
    }

    pub(crate) fn register(&mut self, link: u64, registration: Registration) -> Result<(), RegisterError> {
        let registered = self.core.register(LinkId(link), registration, self.now());
        self.collect();
        registered
    }

    /// The cluster looks like this now.
    pub(crate) fn show(&mut self, picture: ClusterPicture) {
        self.core.set_cluster(&std::sync::Arc::new(picture), self.now());
        self.collect();
    }

    pub(crate) fn call(&mut self, request: MatchRequest, attempt: u32, wait_ms: u64) -> CallId {
        self.calls += 1;
        let call = CallId(self.calls);
        self.core.allocate(call, request, attempt, Duration::from_millis(wait_ms), self.now());
        self.collect();
        call
    }

    pub(crate) fn cancel(&mut self, call: CallId) {
        self.core.cancel(call, self.now());
        self.collect();
    }

    pub(crate) fn says(&mut self, link: u64, message: FromServer) {
        self.core.handle(LinkId(link), message, self.now());
        self.collect();
    }

    pub(crate) fn joinable(&mut self, link: u64, byte: u8, attempt: u32) {
        self.says(link, FromServer::Joinable { match_id: match_id(byte), attempt });
    }

    pub(crate) fn refuses(&mut self, link: u64, byte: u8, attempt: u32, reason: RefusalReason) {
        let detail = "its reason".to_owned();
        self.says(link, FromServer::Refused { match_id: match_id(byte), attempt, reason, detail });
    }

    pub(crate) fn update(&mut self, link: u64, byte: u8, phase: MatchPhase, number: u64) {
        let update = Update { match_id: match_id(byte), phase, reason: "why".into(), stats: None, number };
        self.says(link, FromServer::Update(update));
    }

    pub(crate) fn cut(&mut self, link: u64) {
        self.core.link_cut(LinkId(link), self.now());
        self.collect();
    }

    pub(crate) fn gone(&mut self, name: &str) {
        self.core.server_gone(name, self.now());
        self.collect();
    }

    /// Orders that came on a link since the last look, Registered aside.
    pub(crate) fn orders(&mut self, link: u64) -> Vec<Order> {
        let mut orders = self.orders.remove(&LinkId(link)).unwrap_or_default();
        orders.retain(|order| *order != Order::Registered);
        orders
    }

    /// The number of the one Assign that came on a link since the last look.
    pub(crate) fn assigned(&mut self, link: u64, byte: u8) -> u32 {
        match self.orders(link).as_slice() {
            [Order::Assign { request, attempt, .. }] if request.match_id == match_id(byte) => *attempt,
            other => panic!("expected one Assign of match {byte}, got {other:?}"),
        }
    }

    /// Whether the one order that came on a link since the last look releases the match.
    pub(crate) fn released(&mut self, link: u64, byte: u8) -> bool {
        matches!(self.orders(link).as_slice(), [Order::Release { match_id: id, .. }] if *id == match_id(byte))
    }

    /// The answer to a call, once.
    pub(crate) fn answer(&mut self, call: CallId) -> Option<Answer> {
        self.answers.remove(&call)
    }

    /// The server that a call was answered with.
    pub(crate) fn placed(&mut self, call: CallId) -> ServerId {
        self.answer(call).expect("an answer").expect("a server").server.server_id
    }

    pub(crate) fn events(&self) -> Vec<(u8, MatchEventKind)> {
        let events = self.core.events_after(0, usize::MAX).expect("cursor 0 is good");
        let byte = |text: &str| (0..=255).find(|b| match_id(*b).to_string() == text).expect("a match of the test");
        events.iter().map(|event| (byte(&event.match_id), event.kind())).collect()
    }

    /// A match that is on its server and joinable.
    pub(crate) fn place(&mut self, link: u64, byte: u8) -> ServerId {
        let call = self.call(request(byte), 1, 0);
        let attempt = self.assigned(link, byte);
        self.joinable(link, byte, attempt);
        self.placed(call)
    }

    fn collect(&mut self) {
        for effect in self.core.take_effects() {
            match effect {
                Effect::Send { link, order } => self.orders.entry(link).or_default().push(order),
                Effect::Answer { call, answer } => {
                    assert!(self.answers.insert(call, answer).is_none(), "a call is answered once");
                }
                Effect::CloseLink { link } => {
                    self.closed.insert(link);
                }
            }
        }
    }
}
