//! Scripted game servers: each is a real GameServer with the stand-in's SDK server beside it and a control link of its own.
//! It takes what it is assigned, plays for a while, ends, and keeps Agones informed as a real game server does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agones::{Observed, Sdk, SdkError, State};
use cluster::standin::sidecar;
use protocol::id::{MatchId, ServerId};
use protocol::pb::allocator_message::Message as Order;
use protocol::pb::{self, MatchPhase, RefusalReason};
use testkit::wait::until;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use crate::cluster_stage::{AUDIENCE, Stage};
use crate::fake_server::{self, FakeServer};

/// How often a server tells the allocator of its load, as real ones do.
const LOAD_EVERY: Duration = Duration::from_secs(1);
/// When play begins, in parts of a match's length.
const PLAY_BEGINS_AFTER: u32 = 10;

/// What every server of a run shares.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) capacity: u32,
    /// How long a match lasts, give or take a quarter.
    pub(crate) play: Duration,
    pub(crate) ledger: Arc<Ledger>,
    /// Assign orders that servers refused.
    pub(crate) refused: Arc<AtomicU64>,
    pub(crate) end: CancellationToken,
}

/// Name of a server's GameServer.
pub(crate) fn name(number: u8) -> String {
    format!("arena-{number}")
}

/// Id of a server.
pub(crate) fn id(number: u8) -> ServerId {
    fake_server::registration(number, 1).server_id.parse().expect("an id")
}

/// Makes the GameServer and its pod, brings it into the pool, and registers it.
pub(crate) async fn start(stage: &Stage, url: &str, number: u8, rules: Rules) -> PoolServer {
    let object = stage.game_server(&name(number), "Scheduled").await;
    let pod = stage.pod(&object).await;
    let token = stage.token(crds::agones::SERVICE_ACCOUNT, AUDIENCE, Some(&pod)).await;
    let grpc = free_port(number);
    // Nobody asks for its health: there is no node.
    let health = SocketAddr::new(grpc.ip(), 0);
    let config = sidecar::Config { name: name(number), namespace: stage.namespace.clone(), grpc, health };
    let serving = tokio::spawn(sidecar::run(config, stage.client.clone(), rules.end.clone()));
    let sdk = Sdk::connect(&grpc.to_string()).expect("an address");
    tokio::select! {
        reserved = sdk.reserve_until_observed(0) => reserved.expect("in the pool"),
        ended = serving => panic!("the SDK server of {} ended: {ended:?}", name(number)),
    }
    let register = pb::Register { name: name(number), ..fake_server::registration(number, rules.capacity) };
    let link = until("the server may register", async || {
        FakeServer::try_register(url, token.clone(), register.clone()).await.ok()
    })
    .await;
    let (busy, wishes) = watch::channel(false);
    let observed = sdk.observed();
    tokio::spawn(rules.end.clone().run_until_cancelled_owned(follow(sdk, wishes)));
    PoolServer {
        id: id(number),
        link,
        observed,
        busy,
        hosted: BTreeMap::new(),
        agenda: BTreeSet::new(),
        updates: 0,
        rules,
    }
}

/// A port on a loopback address that this run and this server have for themselves.
fn free_port(number: u8) -> SocketAddr {
    let [run, _, _, _] = std::process::id().to_le_bytes();
    let any = SocketAddr::from((Ipv4Addr::new(127, 77, run, number), 0));
    let listener = std::net::TcpListener::bind(any).expect("a free port");
    listener.local_addr().expect("bound")
}

/// Asks the SDK for Allocated while there is a match and for Reserved while there is none, until that is seen.
async fn follow(sdk: Sdk, mut busy: watch::Receiver<bool>) {
    let mut observed = sdk.observed();
    loop {
        let is_busy = *busy.borrow_and_update();
        let state = state(&observed.borrow_and_update());
        let done = async {
            match (is_busy, state) {
                (true, Some(State::Allocated)) | (false, Some(State::Reserved)) => std::future::pending().await,
                (true, _) => sdk.allocate_until_observed().await,
                (false, Some(State::Allocated)) => sdk.free().await,
                (false, _) => sdk.reserve_until_observed(0).await,
            }
        };
        tokio::select! {
            done = done => match done {
                Ok(()) | Err(SdkError::Superseded) => {}
                Err(error) => panic!("the SDK: {error}"),
            },
            changed = busy.changed() => if changed.is_err() { return },
            changed = observed.changed() => if changed.is_err() { return },
        }
    }
}

fn state(observed: &Option<Observed>) -> Option<State> {
    observed.as_ref().map(|server| server.state)
}

/// A server in the pool.
pub(crate) struct PoolServer {
    id: ServerId,
    link: FakeServer,
    observed: watch::Receiver<Option<Observed>>,
    busy: watch::Sender<bool>,
    /// Its matches, and when each ends.
    hosted: BTreeMap<MatchId, Instant>,
    /// What its matches do next.
    agenda: BTreeSet<(Instant, MatchId)>,
    updates: u64,
    rules: Rules,
}

impl PoolServer {
    /// Plays until the run ends.
    pub(crate) async fn serve(mut self) {
        let mut load = tokio::time::interval(LOAD_EVERY);
        let end = self.rules.end.clone();
        loop {
            let next = self.agenda.first().map(|(at, _)| *at);
            tokio::select! {
                order = self.link.order() => self.order(order).await,
                () = sleep_until(next) => self.proceed().await,
                _ = load.tick() => self.tell_load().await,
                changed = self.observed.changed() => {
                    changed.expect("the SDK client lives");
                    self.tell_load().await;
                }
                () = end.cancelled() => return,
            }
            let is_busy = !self.hosted.is_empty();
            self.busy.send_if_modified(|busy| std::mem::replace(busy, is_busy) != is_busy);
        }
    }

    async fn tell_load(&mut self) {
        let state = state(&self.observed.borrow_and_update()).map(|state| state.to_string()).unwrap_or_default();
        let matches = u32::try_from(self.hosted.len()).expect("few rooms");
        self.link.load(matches, &state).await;
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Assign(assign) => self.assign(&assign).await,
            Order::Release(release) => {
                let match_id = release.match_id.parse().expect("an id");
                if self.hosted.remove(&match_id).is_some() {
                    self.agenda.retain(|(_, other)| *other != match_id);
                    self.rules.ledger.released(match_id, self.id);
                }
                self.update(match_id, MatchPhase::Closed).await;
            }
            Order::UpdateAck(_) => {}
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// The server is the arbiter: by room, and by the state that it sees.
    async fn assign(&mut self, assign: &pb::Assign) {
        let match_id: MatchId = assign.match_id.parse().expect("an id");
        if self.hosted.contains_key(&match_id) {
            return self.link.joinable(assign).await;
        }
        let is_open = matches!(state(&self.observed.borrow()), Some(State::Reserved | State::Allocated));
        let is_full = self.hosted.len() >= self.rules.capacity as usize;
        if is_full || !is_open {
            self.rules.refused.fetch_add(1, Ordering::Relaxed);
            let reason = if is_full { RefusalReason::Full } else { RefusalReason::State };
            return self.link.refuse(assign, reason).await;
        }
        self.rules.ledger.took(match_id, self.id);
        self.link.joinable(assign).await;
        // Between three and five quarters, so that matches do not end in step.
        let share = 0.75 + 0.5 * f64::from(service::random::u64() as u32) / f64::from(u32::MAX);
        let (now, play) = (Instant::now(), self.rules.play.mul_f64(share));
        self.hosted.insert(match_id, now + play);
        self.agenda.insert((now + play / PLAY_BEGINS_AFTER, match_id));
    }

    /// Begins and ends what is due.
    async fn proceed(&mut self) {
        let now = Instant::now();
        while let Some((at, match_id)) = self.agenda.pop_first() {
            if at > now {
                self.agenda.insert((at, match_id));
                return;
            }
            let ends_at = self.hosted[&match_id];
            if ends_at > at {
                self.agenda.insert((ends_at, match_id));
                self.update(match_id, MatchPhase::Playing).await;
            } else {
                self.hosted.remove(&match_id);
                self.update(match_id, MatchPhase::Ended).await;
                self.update(match_id, MatchPhase::Closed).await;
            }
        }
    }

    async fn update(&mut self, match_id: MatchId, phase: MatchPhase) {
        self.updates += 1;
        self.link.update(match_id, phase, self.updates).await;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
