//! The one task that owns the core. Everything else sends it commands by one bounded channel and waits: when it is
//! busy, callers feel it as backpressure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::id::{MatchId, PlayerId};
use protocol::pb;
use service::Shutdown;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::convert::{self, OrderContext};
use crate::core::audit::NotSettled;
use crate::core::cluster::ClusterPicture;
use crate::core::effect::{AllocateError, CallId, Effect, Order, Placed};
use crate::core::events::CursorOutOfRange;
use crate::core::link::LinkId;
use crate::core::now::Now;
use crate::core::pool::Standing;
use crate::core::registration::{RegisterError, Registration};
use crate::core::request::MatchRequest;
use crate::core::settings::Timing;
use crate::core::state::Core;
use crate::core::updates::{FromServer, JoinGrant, JoinGrantError, ReleaseError};
use crate::follow::Pictures;
use crate::metrics;
use crate::mint::Mint;

/// How often the core is told that time passes.
const TICK: Duration = Duration::from_millis(20);
/// How often the gauges are set.
const CENSUS: Duration = Duration::from_millis(500);
/// Least time between two pictures of the pool for those who watch it.
const PICTURE: Duration = Duration::from_millis(100);
/// Commands that wait for the actor.
pub(crate) const COMMANDS_MAX: usize = 1_024;

/// What arrives on a control stream's sending half.
pub(crate) type Outgoing = Result<pb::AllocatorMessage, Status>;
/// The answer to an Allocate call.
pub(crate) type AllocateAnswer = Result<Placed, AllocateError>;
/// A page of the match log.
pub(crate) type EventPage = Result<Vec<Arc<pb::MatchEvent>>, CursorOutOfRange>;

/// Something for the actor to do.
pub(crate) enum Command {
    Allocate { request: MatchRequest, attempt: u32, wait: Duration, answer: oneshot::Sender<AllocateAnswer> },
    Release { match_id: MatchId, reason: String, answer: oneshot::Sender<Result<(), ReleaseError>> },
    JoinGrant { match_id: MatchId, player_id: PlayerId, answer: oneshot::Sender<Result<JoinGrant, JoinGrantError>> },
    Events { cursor: u64, events_max: usize, answer: oneshot::Sender<EventPage> },
    Audit { believed: Vec<MatchId>, answer: oneshot::Sender<Result<u32, NotSettled>> },
    Pool { answer: oneshot::Sender<pb::GetPoolResponse> },
    Register { link: LinkId, registration: Box<Registration>, out: LinkOut, answer: oneshot::Sender<Registered> },
    FromServer { link: LinkId, message: FromServer },
    LinkCut { link: LinkId },
    ServerGone { name: String },
    Stand { name: String, order: StandingOrder, answer: oneshot::Sender<bool> },
}

/// Whether a server may stay.
pub(crate) type Registered = Result<(), RegisterError>;

/// An order that takes servers out of the pool.
#[derive(Debug)]
pub(crate) enum StandingOrder {
    Retire,
    Drain { left: Duration, reason: String },
}

/// The actor's end of a control stream.
pub(crate) struct LinkOut {
    /// Bounded: a server that does not read is dropped.
    pub(crate) send: mpsc::Sender<Outgoing>,
    /// Ends the stream's task.
    pub(crate) close: CancellationToken,
}

/// The actor and what it owns.
pub(crate) struct Actor {
    core: Core,
    links: BTreeMap<LinkId, LinkOut>,
    answers: BTreeMap<CallId, oneshot::Sender<AllocateAnswer>>,
    calls_made: u64,
    mint: Mint,
    epoch: u64,
    timing: Timing,
    newest: watch::Sender<u64>,
    pictures: Pictures,
    /// Whether anything has happened since the last picture that may show in it.
    touched: bool,
    started: Instant,
    census_at: Instant,
    picture_at: Instant,
}

impl Actor {
    /// An actor around `core`; `newest` tells watchers the cursor of the newest event, `pictures` how the pool looks.
    pub(crate) fn new(
        core: Core,
        epoch: u64,
        timing: Timing,
        mint: Mint,
        newest: watch::Sender<u64>,
        pictures: Pictures,
    ) -> Self {
        let started = Instant::now();
        Self {
            core,
            links: BTreeMap::new(),
            answers: BTreeMap::new(),
            calls_made: 0,
            mint,
            epoch,
            timing,
            newest,
            pictures,
            touched: false,
            started,
            census_at: started,
            picture_at: started,
        }
    }

    /// Runs until shutdown: then calls that wait are answered at once, and those whose server is deciding get the
    /// time that a decision may take.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut expected: Option<watch::Receiver<BTreeSet<String>>>,
        mut cluster: Option<watch::Receiver<Arc<ClusterPicture>>>,
        shutdown: Shutdown,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop_by: Option<Instant> = None;
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                _ = tick.tick() => self.tick(),
                names = changed(&mut expected) => self.core.set_expected(&names, self.now()),
                picture = changed(&mut cluster) => {
                    self.touched = true;
                    self.core.set_cluster(&picture, self.now());
                }
                () = shutdown.wait(), if stop_by.is_none() => {
                    self.core.stop(self.now());
                    stop_by = Some(Instant::now() + self.timing.assign_timeout + Duration::from_millis(500));
                }
            }
            self.carry_out();
            if stop_by.is_some_and(|by| !self.core.has_calls() || Instant::now() >= by) {
                break;
            }
        }
        for link in self.links.into_values() {
            link.close.cancel();
        }
    }

    fn now(&self) -> Now {
        Now { at: self.started.elapsed(), unix_ms: service::clock::unix_ms() }
    }

    fn tick(&mut self) {
        let now = self.now();
        let gone: Vec<_> = self.answers.iter().filter(|(_, answer)| answer.is_closed()).map(|(id, _)| *id).collect();
        for call in gone {
            self.answers.remove(&call);
            self.core.cancel(call, now);
            metrics::allocation("cancelled");
        }
        self.core.tick(now);
        if self.census_at.elapsed() >= CENSUS {
            self.census_at = Instant::now();
            metrics::census(self.epoch, &self.core.census());
            // Silence shows too: servers that fall suspect.
            self.touched = true;
        }
        self.publish_picture();
    }

    fn publish_picture(&mut self) {
        if self.pictures.receiver_count() == 0 || !self.touched || self.picture_at.elapsed() < PICTURE {
            return;
        }
        (self.picture_at, self.touched) = (Instant::now(), false);
        self.pictures.send_replace(Arc::new(self.core.pool_page()));
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        self.touched |= !matches!(
            command,
            Command::Pool { .. }
                | Command::Events { .. }
                | Command::JoinGrant { .. }
                | Command::FromServer { message: FromServer::Alive, .. }
        );
        // A receiver that has gone away no longer wants its answer: a failed send is no fault.
        match command {
            Command::Allocate { request, attempt, wait, answer } => {
                self.calls_made += 1;
                let call = CallId(self.calls_made);
                self.answers.insert(call, answer);
                self.core.allocate(call, request, attempt, wait, now);
            }
            Command::Release { match_id, reason, answer } => {
                answer.send(self.core.release_match(match_id, &reason, now)).ok();
            }
            Command::JoinGrant { match_id, player_id, answer } => {
                answer.send(self.core.join_grant(match_id, player_id, now)).ok();
            }
            Command::Events { cursor, events_max, answer } => {
                answer.send(self.core.events_after(cursor, events_max)).ok();
            }
            Command::Audit { believed, answer } => {
                answer.send(self.core.audit(&believed, now)).ok();
            }
            Command::Pool { answer } => {
                answer.send(self.core.pool_page()).ok();
            }
            Command::Register { link, registration, out, answer } => {
                let registered = self.core.register(link, *registration, now);
                if registered.is_ok() {
                    self.links.insert(link, out);
                }
                answer.send(registered).ok();
            }
            Command::FromServer { link, message } => {
                if let FromServer::Refused { reason, .. } = &message {
                    metrics::assign_refused(reason.as_str_name());
                }
                self.core.handle(link, message, now);
            }
            Command::LinkCut { link } => {
                self.links.remove(&link);
                self.core.link_cut(link, now);
            }
            Command::ServerGone { name } => self.core.server_gone(&name, now),
            Command::Stand { name, order, answer } => {
                let standing = match order {
                    StandingOrder::Retire => Standing::Retire,
                    StandingOrder::Drain { left, reason } => Standing::Drain { deadline: now.at + left, reason },
                };
                answer.send(self.core.order_standing(&name, &standing, now)).ok();
            }
        }
    }

    /// Does what the core wants done. A link that breaks on the way may make the core want more.
    fn carry_out(&mut self) {
        loop {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                match effect {
                    Effect::Send { link, order } => self.send(link, order),
                    Effect::Answer { call, answer } => self.answer(call, answer),
                    Effect::CloseLink { link } => self.close(link),
                }
            }
        }
        self.publish_events();
    }

    fn send(&mut self, link: LinkId, order: Order) {
        let Some(out) = self.links.get(&link) else { return };
        let mint = &self.mint;
        let context = OrderContext {
            epoch: self.epoch,
            jwks: mint.jwks(),
            ping_interval: self.timing.ping_interval,
            join_deadline: self.timing.join_deadline,
            certify: &|request, server| mint.certificate(request, server, service::clock::unix_s()),
        };
        let message = convert::order(order, &context);
        if out.send.try_send(Ok(message)).is_err() {
            // Its queue is full or its stream is gone: either way it no longer hears us.
            metrics::link_dropped("slow");
            self.close(link);
            self.core.link_cut(link, self.now());
        }
    }

    fn close(&mut self, link: LinkId) {
        if let Some(out) = self.links.remove(&link) {
            out.close.cancel();
        }
    }

    fn answer(&mut self, call: CallId, answer: AllocateAnswer) {
        metrics::allocation(answer.as_ref().map_or_else(AllocateError::label, |_| "placed"));
        if let Ok(placed) = &answer {
            metrics::placed(placed.took);
        }
        if let Some(waiting) = self.answers.remove(&call) {
            waiting.send(answer).ok();
        }
    }

    fn publish_events(&mut self) {
        let (before, newest) = (*self.newest.borrow(), self.core.newest_event());
        if before == newest {
            return;
        }
        for event in self.core.events_after(before, usize::MAX).unwrap_or_default() {
            metrics::event(event.kind().as_str_name());
        }
        self.newest.send_replace(newest);
    }
}

/// The next value; never, once its source is gone.
async fn changed<T: Clone>(source: &mut Option<watch::Receiver<T>>) -> T {
    if let Some(values) = source {
        if values.changed().await.is_ok() {
            return values.borrow_and_update().clone();
        }
        *source = None;
    }
    std::future::pending().await
}
