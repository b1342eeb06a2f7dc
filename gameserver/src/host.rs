//! The host: the one task that decides. It hears the allocator, the rooms, Agones and the signals, and keeps the
//! arbiter, the link, the drain and what this server wants to be in Agones consistent with each other.
//!
//! | file | what the host does there |
//! |---|---|
//! | this one | hears everything, in one place |
//! | `host_orders` | orders of the allocator |
//! | `host_matches` | what becomes of matches and their results |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agones::{Observed, State};
use protocol::id::MatchId;
use protocol::jwt::SigningKey;
use protocol::pb;
use protocol::pb::server_message::Message as ToAllocator;
use service::Shutdown;
use service::admin::Ready;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::control::dial::{Connection, LinkEvent};
use crate::control::link::Link;
use crate::control::to_allocator;
use crate::drain::{Drain, Step};
use crate::handshake_worker::TokenKeys;
use crate::host_matches::Errand;
use crate::io_rooms::PlayerNews;
use crate::lifecycle::{self, Want};
use crate::notice::Notice;
use crate::result::Courier;
use crate::rooms::Arbiter;
use crate::spool::Spool;
use crate::stage::Stage;

/// How often deadlines are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often the allocator hears of this server's load.
const LOAD_MS: u64 = 1_000;
/// Time that Agones has to show the end, once everything else is done: a real SDK server needs a second or two.
const END_OBSERVED_MAX: Duration = Duration::from_secs(5);
/// Time that the allocator has to acknowledge the last updates.
const LAST_ACKS_MAX: Duration = Duration::from_secs(1);
/// Time that the allocator has to hear what was said last.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// What the host is told at its start.
pub(crate) struct HostParts {
    /// What Register says, but for what changes.
    pub(crate) identity: pb::Register,
    /// Rooms at once.
    pub(crate) capacity: usize,
    /// Where the allocator names no time.
    pub(crate) join_deadline: Duration,
    /// How long running matches have at shutdown.
    pub(crate) drain_deadline: Duration,
    /// Without an allocator for so long, the server leaves the pool.
    pub(crate) leave_after: Duration,
    /// Who plays the matches.
    pub(crate) stage: Box<dyn Stage>,
    /// Keys that verify join tokens.
    pub(crate) keys: TokenKeys,
    /// The GameServer as Agones shows it.
    pub(crate) observed: watch::Receiver<Option<Observed>>,
    /// What this server wants to be in Agones.
    pub(crate) want: watch::Sender<Want>,
    /// Signs results.
    pub(crate) result_key: Arc<SigningKey>,
    /// Brings results to metagame.
    pub(crate) courier: Courier,
    /// Keeps results meanwhile.
    pub(crate) spool: Spool,
    /// The switch behind `/readyz`.
    pub(crate) ready: Ready,
}

/// What the host hears.
pub(crate) struct Ears {
    /// The control link.
    pub(crate) link: mpsc::Receiver<LinkEvent>,
    /// Rooms and the I/O thread.
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    /// News of players.
    pub(crate) players: mpsc::Receiver<PlayerNews>,
    /// Drain.
    pub(crate) shutdown: Shutdown,
    /// Drain at once.
    pub(crate) hurry: Shutdown,
}

/// What the host keeps about a match beside the arbiter's entry.
pub(crate) struct Hosting {
    pub(crate) certificate: String,
    pub(crate) trace_id: String,
    /// Attempts that wait for the room.
    pub(crate) unanswered: BTreeSet<u32>,
    /// Why it is to be aborted as soon as it is there.
    pub(crate) abort: Option<&'static str>,
    pub(crate) has_ended: bool,
    /// Its end, until the allocator may hear of it.
    pub(crate) unreported_end: Option<End>,
    /// The allocator has given the match up and may place it elsewhere: no result of it may leave this server.
    pub(crate) is_released: bool,
}

/// How a match ended.
pub(crate) struct End {
    pub(crate) reason: String,
    pub(crate) stats: pb::MatchStats,
}

/// The task's state.
pub(crate) struct Host {
    pub(crate) parts: HostParts,
    pub(crate) arbiter: Arbiter,
    pub(crate) link: Link,
    pub(crate) connection: Option<Connection>,
    pub(crate) matches: BTreeMap<MatchId, Hosting>,
    /// Rooms whose sessions are not all closed.
    pub(crate) open_rooms: BTreeSet<MatchId>,
    /// Results on their way to disk and metagame.
    pub(crate) errands: JoinSet<Errand>,
    pub(crate) stop_deliveries: Shutdown,
    pub(crate) drain: Drain,
    hurried: bool,
    started: Instant,
    load_at_ms: u64,
    /// Until then the log says no more that there is no allocator.
    pub(crate) silent_until_ms: u64,
}

impl Host {
    pub(crate) fn new(parts: HostParts) -> Self {
        let entropy = u64::from_le_bytes(service::random::bytes());
        // A tenth either way: a fleet that lost its allocator must not leave the pool in one moment.
        let jitter = 0.9 + 0.2 * (entropy as f64 / u64::MAX as f64);
        Self {
            arbiter: Arbiter::new(parts.capacity),
            link: Link::new(0, parts.leave_after.mul_f64(jitter)),
            connection: None,
            matches: BTreeMap::new(),
            open_rooms: BTreeSet::new(),
            errands: JoinSet::new(),
            stop_deliveries: Shutdown::new(),
            drain: Drain::default(),
            hurried: false,
            started: Instant::now(),
            load_at_ms: 0,
            silent_until_ms: 0,
            parts,
        }
    }

    /// Runs until the server has drained, or has retired and is idle.
    pub(crate) async fn run(mut self, mut ears: Ears) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut observed = self.parts.observed.clone();
        let offering = self.offer_spooled();
        while !self.is_done() {
            tokio::select! {
                Some(event) = ears.link.recv() => self.link_event(event),
                Some(notice) = ears.notices.recv() => self.notice(notice),
                Some(news) = ears.players.recv() => self.player(&news),
                Some(done) = self.errands.join_next() => self.errand(done),
                Ok(()) = observed.changed() => self.observe(),
                () = ears.shutdown.wait(), if !self.drain.has_begun() => {
                    self.leave("draining", Some(self.parts.drain_deadline));
                }
                () = ears.hurry.wait(), if !self.hurried => {
                    self.hurried = true;
                    self.leave("draining at once", Some(Duration::ZERO));
                    self.drain.hurry(self.now_ms());
                    self.look();
                }
                _ = look.tick() => self.look(),
            }
            self.refresh();
        }
        self.stop_deliveries.trigger();
        let _ = offering.await;
        self.farewell(&mut ears).await;
    }

    /// Milliseconds since the host began.
    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn is_done(&self) -> bool {
        let is_leaving = self.arbiter.leaving().is_some();
        let is_idle = self.arbiter.is_empty() && self.open_rooms.is_empty();
        self.errands.is_empty() && (self.drain.is_over() || (is_leaving && is_idle))
    }

    /// Looks at every deadline.
    fn look(&mut self) {
        let now_ms = self.now_ms();
        if let Err(fault) = self.link.check(now_ms) {
            self.cut(&fault.to_string());
        }
        let playing = self.matches.values().filter(|hosting| !hosting.has_ended).count();
        match self.drain.step(now_ms, playing) {
            Step::Nothing => {}
            Step::Abort => self.abort_all("drained"),
            Step::Spool => self.stop_deliveries.trigger(),
        }
        if now_ms >= self.load_at_ms {
            self.report_load();
        }
    }

    /// Keeps everything that follows from the state in step with it.
    fn refresh(&mut self) {
        let now_ms = self.now_ms();
        for message in self.link.due(now_ms) {
            self.send(message);
        }
        let want = if !self.arbiter.is_empty() {
            Want::Busy
        } else if self.link.is_forsaken(now_ms) && self.arbiter.leaving().is_none() {
            Want::Out
        } else {
            Want::Pool
        };
        let changed = self.parts.want.send_if_modified(|before| std::mem::replace(before, want) != want);
        if changed && want == Want::Out {
            tracing::warn!("no allocator for too long: leaving the pool until one is back");
        }
        let open = lifecycle::closed(self.parts.observed.borrow().as_ref()).is_none();
        self.parts.ready.set(open && self.link.is_up() && self.arbiter.leaving().is_none());
        crate::metrics::matches(self.arbiter.len());
        crate::metrics::link_up(self.link.is_up());
        crate::metrics::results_pending(self.errands.len());
        let drain_ends =
            self.drain.deadline_ms().map(|until_ms| service::clock::unix_ms() + until_ms.saturating_sub(now_ms));
        crate::metrics::drain_deadline(drain_ends);
    }

    /// Agones shows another state.
    fn observe(&mut self) {
        let ends = self.parts.observed.borrow().as_ref().is_some_and(Observed::is_over);
        if ends && !self.drain.has_begun() {
            self.leave("Agones ends this server", Some(self.parts.drain_deadline));
        }
        self.report_load();
    }

    fn report_load(&mut self) {
        self.load_at_ms = self.now_ms() + LOAD_MS;
        if !self.link.is_up() {
            return;
        }
        let load = pb::Load {
            matches: count(self.arbiter.len()),
            players: count(self.parts.stage.players()),
            tick_load_permille: self.parts.stage.tick_load_permille(),
            state: self.state_name(),
        };
        self.send(to_allocator(ToAllocator::Load(load)));
    }

    /// No new match from now on, for good. Those that run have so long, where there is a limit.
    pub(crate) fn leave(&mut self, reason: &str, within: Option<Duration>) {
        if let Some(within) = within {
            self.drain.begin(self.now_ms() + millis(within));
        }
        self.parts.stage.leaving(reason, within);
        if self.arbiter.leaving().is_some() {
            return;
        }
        tracing::info!(reason, matches = self.arbiter.len(), "leaving: no new match");
        self.arbiter.leave(reason);
        if self.link.is_up() {
            self.send(to_allocator(ToAllocator::Leaving(pb::Leaving { reason: reason.into() })));
        }
    }

    /// Ends every match that still runs.
    fn abort_all(&mut self, reason: &'static str) {
        tracing::warn!(reason, "ending the matches that still run");
        for hosting in self.matches.values_mut() {
            hosting.abort.get_or_insert(reason);
        }
        self.parts.stage.abort_all(reason);
    }

    /// The state as last observed, by its Agones name.
    pub(crate) fn state_name(&self) -> String {
        let state = lifecycle::state(&self.parts.observed);
        state.map_or(String::new(), |state: State| state.to_string())
    }

    /// Everything is done: the last updates, and the end in Agones.
    async fn farewell(&mut self, ears: &mut Ears) {
        self.parts.ready.set(false);
        self.parts.want.send_replace(Want::End);
        let deadline = tokio::time::Instant::now() + LAST_ACKS_MAX;
        while self.link.is_up() && !self.link.is_settled() {
            for message in self.link.due(self.now_ms()) {
                self.send(message);
            }
            match tokio::time::timeout_at(deadline, ears.link.recv()).await {
                Ok(Some(event)) => self.link_event(event),
                Ok(None) | Err(_) => break,
            }
        }
        let mut observed = self.parts.observed.clone();
        let is_over = |server: &Option<Observed>| server.as_ref().is_some_and(Observed::is_over);
        if tokio::time::timeout(END_OBSERVED_MAX, observed.wait_for(is_over)).await.is_err() {
            tracing::warn!("Agones does not show the end of this server; ending all the same");
        }
        self.end_link(ears).await;
    }

    /// Ends the stream behind the last message: an allocator that does not hear Leaving takes the end for a loss.
    async fn end_link(&mut self, ears: &mut Ears) {
        if !self.link.is_up() {
            // Register is not answered yet, so this was not said either.
            let reason = self.arbiter.leaving().unwrap_or_default().to_owned();
            self.send(to_allocator(ToAllocator::Leaving(pb::Leaving { reason })));
        }
        let Some(connection) = self.connection.take() else { return };
        let _cut = connection.end();
        let closed = async {
            while let Some(event) = ears.link.recv().await {
                if matches!(event, LinkEvent::Closed(_)) {
                    return;
                }
            }
        };
        if tokio::time::timeout(LAST_WORDS_MAX, closed).await.is_err() {
            tracing::debug!("the allocator does not end the stream");
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
