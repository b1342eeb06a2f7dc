//! Leaders, game servers and callers in one place, on virtual time. Checks after every step what must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use allocator::core::effect::{AllocateError, CallId, Effect, Order, Placed};
use allocator::core::link::LinkId;
use allocator::core::now::Now;
use allocator::core::request::{MatchRequest, Player};
use allocator::core::state::{Core, CoreSettings};
use allocator::{Limits, Timing};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::pb::MatchEventKind;

use crate::random::Random;
use crate::server::FakeServer;

/// What a caller knows of its match.
pub(crate) struct Caller {
    pub(crate) request: MatchRequest,
    pub(crate) attempt: u32,
    /// Its next call is another attempt: it was answered with an error, or its leader went away.
    pub(crate) again: bool,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) core: Core,
    pub(crate) servers: Vec<FakeServer>,
    pub(crate) callers: BTreeMap<MatchId, Caller>,
    pub(crate) open_calls: BTreeMap<CallId, MatchId>,
    pub(crate) answers: BTreeMap<&'static str, u32>,
    /// Names of processes that died and whose death was not told yet.
    pub(crate) untold: Vec<String>,
    epoch: u64,
    started: Duration,
    now: Duration,
    events_seen: u64,
    placed: BTreeMap<MatchId, ServerId>,
    ended: BTreeSet<MatchId>,
    over: BTreeSet<MatchId>,
    history: Vec<String>,
    links_made: u64,
    calls_made: u64,
    servers_made: u64,
}

const REMEMBER: Duration = Duration::from_secs(15 * 60);

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            core: core(1, BTreeSet::new()),
            servers: Vec::new(),
            callers: BTreeMap::new(),
            open_calls: BTreeMap::new(),
            answers: BTreeMap::new(),
            untold: Vec::new(),
            epoch: 1,
            started: Duration::ZERO,
            now: Duration::ZERO,
            events_seen: 0,
            placed: BTreeMap::new(),
            ended: BTreeSet::new(),
            over: BTreeSet::new(),
            history: Vec::new(),
            links_made: 0,
            calls_made: 0,
            servers_made: 0,
        }
    }

    /// The moment, by the clock of the present leader.
    pub(crate) fn now(&self) -> Now {
        let unix_ms = u64::try_from(self.now.as_millis()).expect("a short time");
        Now { at: self.now - self.started, unix_ms: 1_700_000_000_000 + unix_ms }
    }

    /// Notes what happens, for the message of a failure.
    fn note(&mut self, mut what: String) {
        what.insert_str(0, &format!("{} ms: ", self.now.as_millis()));
        self.history.push(what);
    }

    /// What happened to a match, and to everything since it was first heard of.
    fn history_of(&self, match_id: MatchId) -> String {
        let (text, all) = (match_id.to_string(), ["restart", "connect", "cut", "kill"]);
        let first = self.history.iter().position(|line| line.contains(&text)).unwrap_or_default();
        let told = |line: &&String| line.contains(&text) || all.iter().any(|word| line.contains(word));
        self.history[first..].iter().filter(told).cloned().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.tick(self.now());
        self.carry_out();
    }

    pub(crate) fn start_server(&mut self) {
        self.servers_made += 1;
        let capacity = 1 + u32::try_from(self.random.below(3)).expect("small");
        let server = FakeServer::new(self.random.bytes(), format!("server-{}", self.servers_made), capacity);
        self.servers.push(server);
    }

    pub(crate) fn kill_server(&mut self, index: usize) {
        let server = self.servers.remove(index);
        self.note(format!("kill {}", server.id()));
        self.untold.push(server.facts.name);
        if let Some(link) = server.link {
            self.core.link_cut(link, self.now());
        }
        self.carry_out();
    }

    pub(crate) fn connect(&mut self, index: usize) {
        self.links_made += 1;
        let link = LinkId(self.links_made);
        let now = self.now();
        let server = &mut self.servers[index];
        server.cut();
        let rooms: Vec<_> = server.rooms.keys().copied().collect();
        let what = format!("connect {} with {rooms:?}", server.id());
        self.core.register(link, server.registration(), now).expect("nothing stands against it");
        self.servers[index].link = Some(link);
        self.note(what);
        self.carry_out();
        // Updates that wait for a leader come right after Registered: sooner than a new leader places anything.
        let server = &mut self.servers[index];
        while let Some((epoch, order)) = server.orders.pop_front() {
            let registered = order == Order::Registered;
            server.obey(epoch, order, None);
            if registered {
                break;
            }
        }
        for _ in 0..self.servers[index].messages.len() {
            self.deliver_message(index);
        }
    }

    /// The stream breaks, and the allocator may take a while to notice.
    pub(crate) fn cut(&mut self, index: usize, noticed: bool) {
        self.note(format!("cut {}, noticed: {noticed}", self.servers[index].id()));
        if let Some(link) = self.servers[index].link
            && noticed
        {
            self.core.link_cut(link, self.now());
        }
        self.servers[index].cut();
        self.carry_out();
    }

    pub(crate) fn deliver_message(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if let (Some(link), Some(message)) = (server.link, server.messages.pop_front()) {
            let what = format!("{} says {message:?}", server.id());
            self.core.handle(link, message, self.now());
            self.note(what);
            self.carry_out();
        }
    }

    pub(crate) fn new_match(&mut self) -> MatchId {
        let match_id = MatchId::from_entropy(self.random.bytes());
        let player = |byte| Player {
            player_id: PlayerId::from_entropy(byte),
            team: 0,
            name: String::new(),
            party_id: String::new(),
        };
        let roster = vec![player(self.random.bytes()), player(self.random.bytes())];
        let mut request = MatchRequest::restored(match_id, roster);
        request.fleet = "arena".into();
        self.callers.insert(match_id, Caller { request, attempt: 1, again: false });
        match_id
    }

    pub(crate) fn call(&mut self, match_id: MatchId) {
        let wait = Duration::from_millis(self.random.below(12_000));
        let caller = self.callers.get_mut(&match_id).expect("a known match");
        if std::mem::take(&mut caller.again) {
            caller.attempt += 1;
        }
        self.calls_made += 1;
        let call = CallId(self.calls_made);
        self.open_calls.insert(call, match_id);
        let what = format!("call {call:?} for {match_id}, attempt {}", caller.attempt);
        let (request, attempt) = (caller.request.clone(), caller.attempt);
        self.note(what);
        self.core.allocate(call, request, attempt, wait, self.now());
        self.carry_out();
    }

    pub(crate) fn cancel(&mut self, call: CallId) {
        let match_id = self.open_calls.remove(&call).expect("an open call");
        self.callers.get_mut(&match_id).expect("its match").again = true;
        self.core.cancel(call, self.now());
        self.carry_out();
    }

    /// The leader dies; the next one knows which processes exist, and nothing else.
    pub(crate) fn restart(&mut self) {
        for match_id in std::mem::take(&mut self.open_calls).into_values() {
            self.callers.get_mut(&match_id).expect("its match").again = true;
        }
        // A match whose end a leader has recorded is asked for no more: the next leader would not know it. Nor is one
        // that was given out and has ended since: whoever was told where it is has no reason to ask.
        for (match_id, server) in &self.placed {
            if self.servers.iter().any(|s| s.id() == *server && !s.rooms.contains_key(match_id)) {
                self.over.insert(*match_id);
            }
        }
        for match_id in std::mem::take(&mut self.over) {
            self.callers.remove(&match_id);
        }
        // Whoever asks again, even after an answer, does so with a later attempt.
        self.callers.values_mut().for_each(|caller| caller.again = true);
        self.servers.iter_mut().for_each(FakeServer::cut);
        self.epoch += 1;
        self.note(format!("restart as epoch {}", self.epoch));
        self.started = self.now;
        self.events_seen = 0;
        self.ended.clear();
        let mut expected: BTreeSet<String> = self.servers.iter().map(|s| s.facts.name.clone()).collect();
        expected.extend(self.untold.iter().cloned());
        self.core = core(self.epoch, expected);
    }

    pub(crate) fn tell_death(&mut self, index: usize) {
        let name = self.untold.remove(index);
        self.core.server_gone(&name, self.now());
        self.carry_out();
    }

    pub(crate) fn carry_out(&mut self) {
        for effect in self.core.take_effects() {
            match effect {
                Effect::Send { link, order } => self.send(link, order),
                Effect::Answer { call, answer } => self.answered(call, answer),
                Effect::CloseLink { link } => {
                    if let Some(server) = self.servers.iter_mut().find(|s| s.link == Some(link)) {
                        server.cut();
                    }
                }
            }
        }
        self.read_log();
    }

    fn send(&mut self, link: LinkId, order: Order) {
        if let Order::Assign { server, .. } = &order {
            let page = self.core.pool_page();
            let row = page.servers.iter().find(|row| row.server_id == server.server_id.to_string());
            let row = row.expect("an order goes to a known server");
            assert!(row.matches <= row.capacity, "{} matches for {} rooms", row.matches, row.capacity);
        }
        let to = self.servers.iter().find(|s| s.link == Some(link)).map(FakeServer::id);
        match &order {
            Order::Assign { request, attempt, .. } => {
                self.note(format!("assign {} attempt {attempt} to {to:?}", request.match_id));
            }
            Order::Release { match_id, reason } => self.note(format!("release {match_id} to {to:?}: {reason}")),
            _ => {}
        }
        if let Some(server) = self.servers.iter_mut().find(|s| s.link == Some(link)) {
            server.orders.push_back((self.epoch, order));
        }
    }

    fn answered(&mut self, call: CallId, answer: Result<Placed, AllocateError>) {
        let match_id = self.open_calls.remove(&call).expect("every call gets exactly one answer");
        self.note(format!("answer {call:?} for {match_id}: {:?}", answer.as_ref().map(|p| p.server.server_id)));
        *self.answers.entry(answer.as_ref().map_or_else(AllocateError::label, |_| "placed")).or_default() += 1;
        match answer {
            Ok(placed) => {
                assert_eq!(placed.match_id, match_id);
                self.is_playable_on(match_id, placed.server.server_id);
            }
            Err(_) => self.callers.get_mut(&match_id).expect("its match").again = true,
        }
    }

    /// A match is given out on one server only, until the log says that it was lost there.
    fn is_playable_on(&mut self, match_id: MatchId, server: ServerId) {
        let before = *self.placed.entry(match_id).or_insert(server);
        let died = !self.servers.iter().any(|s| s.id() == before);
        assert!(
            before == server || died,
            "{match_id} was on {before}, which lives, and is now given out on {server}:\n{}",
            self.history_of(match_id)
        );
        self.placed.insert(match_id, server);
    }

    fn read_log(&mut self) {
        for event in self.core.events_after(self.events_seen, usize::MAX).expect("no event is missed") {
            assert_eq!(event.cursor, self.events_seen + 1);
            self.events_seen = event.cursor;
            let match_id: MatchId = event.match_id.parse().expect("an id");
            self.note(format!(
                "log {match_id} {} on {}: {}",
                event.kind().as_str_name(),
                event.server_id,
                event.reason
            ));
            match event.kind() {
                MatchEventKind::Lost => {
                    self.placed.remove(&match_id);
                    // Its server may come back with the end: then it is said again, after Lost.
                    self.ended.remove(&match_id);
                    self.over.insert(match_id);
                }
                MatchEventKind::Ended => assert!(self.ended.insert(match_id), "{match_id} ended twice"),
                MatchEventKind::Closed => {
                    assert!(self.ended.contains(&match_id), "{match_id} closed before its end");
                    self.over.insert(match_id);
                }
                _ => {}
            }
        }
    }

    /// A player may enter: the server that the token names is where the match is playable.
    pub(crate) fn player_enters(&mut self, match_id: MatchId) {
        let player = self.callers[&match_id].request.roster[0].player_id;
        let Ok(grant) = self.core.join_grant(match_id, player, self.now()) else { return };
        self.note(format!("player enters {match_id} on {}", grant.server.server_id));
        let id = grant.server.server_id;
        self.is_playable_on(match_id, id);
        if let Some(server) = self.servers.iter_mut().find(|s| s.id() == id)
            && server.rooms.get(&match_id).is_some_and(|r| r.phase == protocol::pb::MatchPhase::Joinable)
        {
            server.advance(match_id);
        }
    }

    /// Longer than anything is remembered.
    pub(crate) fn forget_everything(&mut self) {
        self.pass(REMEMBER);
        self.pass(REMEMBER + Duration::from_secs(61));
    }
}

fn core(epoch: u64, expected: BTreeSet<String>) -> Core {
    Core::new(CoreSettings {
        epoch,
        log_id: format!("log-{epoch}"),
        expected: Some(expected),
        timing: Timing { remember: REMEMBER, ..Timing::default() },
        limits: Limits { waiting_max: 12, calls_per_match_max: 4, ..Limits::default() },
    })
}
