//! The one task that owns all queues. Commands come in through a bounded channel, search passes run shortly after
//! new tickets and in any case every quarter of a second, and each match is placed by a task of its own whose
//! outcome comes back here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::id::TicketId;
use service::Shutdown;
use service::admin::Ready;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::core::matchmaker::{CreateError, Matchmaker, QueueStatus};
use crate::core::pass::NewMatch;
use crate::core::placing::Outcome;
use crate::core::queue_config::{QueueFault, Queues};
use crate::core::reconfigure::Reconfigured;
use crate::core::ticket::{NewTicket, State, Ticket};
use crate::metrics;
use crate::placement::Placer;
use crate::watch::SharedLog;

/// Commands that may wait for the actor.
const COMMANDS_MAX: usize = 1_024;
/// How long a command may wait to be taken, before its caller hears "busy".
const BUSY_AFTER: Duration = Duration::from_secs(1);
/// Matches that may be placed at once. While they are, tickets stay in the queue, where they can be cancelled.
const PLACING_MAX: usize = 256;
/// From a new ticket to the next pass: enough for the tickets of one moment to be searched together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Between passes without new tickets: windows widen, hold-offs end.
const PASS_EVERY: Duration = Duration::from_millis(250);

/// The actor does not take commands: too many wait, or it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matchmaker is busy or ending: try again in a moment")]
pub(crate) struct Busy;

enum Command {
    Create(Box<NewTicket>, oneshot::Sender<Result<Arc<Ticket>, CreateError>>),
    Get(TicketId, oneshot::Sender<Option<Arc<Ticket>>>),
    Cancel(TicketId, String, oneshot::Sender<Option<Arc<Ticket>>>),
    List(oneshot::Sender<Picture>),
    Reconfigure(Queues, Vec<QueueFault>, oneshot::Sender<()>),
}

/// How every queue is doing, and what cannot be served.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) queues: Vec<QueueStatus>,
    pub(crate) faults: Vec<QueueFault>,
}

/// Sends commands to the actor.
#[derive(Debug, Clone)]
pub(crate) struct Handle(mpsc::Sender<Command>);

impl Handle {
    /// Creates a ticket; see [`Matchmaker::create`].
    pub(crate) async fn create(&self, new: NewTicket) -> Result<Result<Arc<Ticket>, CreateError>, Busy> {
        self.ask(|reply| Command::Create(Box::new(new), reply)).await
    }

    /// Reads a ticket.
    pub(crate) async fn get(&self, id: TicketId) -> Result<Option<Arc<Ticket>>, Busy> {
        self.ask(|reply| Command::Get(id, reply)).await
    }

    /// Cancels a ticket; see [`Matchmaker::cancel`].
    pub(crate) async fn cancel(&self, id: TicketId, reason: String) -> Result<Option<Arc<Ticket>>, Busy> {
        self.ask(|reply| Command::Cancel(id, reason, reply)).await
    }

    /// How every queue is doing.
    pub(crate) async fn list(&self) -> Result<Picture, Busy> {
        self.ask(Command::List).await
    }

    /// Serves other queues from now on; see [`Matchmaker::reconfigure`].
    pub(crate) async fn reconfigure(&self, queues: Queues, faults: Vec<QueueFault>) -> Result<(), Busy> {
        self.ask(|reply| Command::Reconfigure(queues, faults, reply)).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Busy> {
        let (reply, answer) = oneshot::channel();
        self.0.send_timeout(command(reply), BUSY_AFTER).await.map_err(|_| Busy)?;
        answer.await.map_err(|_| Busy)
    }
}

/// Unix milliseconds of the start, counted on by the monotonic clock: they never go back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    unix_ms: u64,
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { unix_ms: service::clock::unix_ms(), start: Instant::now() }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.unix_ms + u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What the actor works with.
pub(crate) struct Actor {
    pub(crate) core: Matchmaker,
    /// Queues that cannot be served as they are written.
    pub(crate) faults: Vec<QueueFault>,
    pub(crate) clock: Clock,
    pub(crate) log: Arc<SharedLog>,
    /// Marked whenever a queue has changed.
    pub(crate) changes: watch::Sender<()>,
    pub(crate) placer: Placer,
    pub(crate) ready: Ready,
    /// How long matches may take to be placed after the shutdown signal.
    pub(crate) drain: Duration,
}

/// The tasks that place matches.
#[derive(Default)]
struct Placements {
    tasks: JoinSet<Outcome>,
    matches: HashMap<Id, NewMatch>,
}

impl Placements {
    fn spawn(&mut self, new: NewMatch, place: impl Future<Output = Outcome> + Send + 'static) {
        let task = self.tasks.spawn(place);
        self.matches.insert(task.id(), new);
    }
}

impl Actor {
    /// Starts the actor's task; it ends after the shutdown signal, when all matches are placed or `drain` is over.
    pub(crate) fn spawn(self, shutdown: Shutdown) -> (Handle, tokio::task::JoinHandle<()>) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        (Handle(sender), tokio::spawn(self.run(commands, shutdown)))
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>, shutdown: Shutdown) {
        let mut placements = Placements::default();
        let mut next_pass = Instant::now() + PASS_EVERY;
        let mut ends_at: Option<Instant> = None;
        while ends_at.is_none_or(|at| Instant::now() < at && !placements.tasks.is_empty()) {
            tokio::select! {
                () = shutdown.wait(), if ends_at.is_none() => {
                    tracing::info!(placing = self.core.placing(), "taking no more tickets");
                    self.ready.set(false);
                    self.core.close(self.clock.now_ms());
                    ends_at = Some(Instant::now() + self.drain);
                }
                Some(command) = commands.recv() => {
                    if self.handle(command) {
                        next_pass = next_pass.min(Instant::now() + DEBOUNCE);
                    }
                }
                Some(done) = placements.tasks.join_next_with_id() => self.placed(&mut placements, done),
                () = sleep_until(next_pass), if ends_at.is_none() => {
                    self.pass(&mut placements);
                    next_pass = Instant::now() + PASS_EVERY;
                }
                () = sleep_until(ends_at.unwrap_or(next_pass)), if ends_at.is_some() => {}
            }
            self.publish();
        }
        for new in placements.matches.values() {
            let (match_id, trace_id) = (new.match_id, &new.trace_id);
            tracing::warn!(%match_id, %trace_id, "was still being placed: its server ends it when nobody joins");
        }
        self.log.close();
    }

    /// Answers a command; true if there is something new to search for.
    fn handle(&mut self, command: Command) -> bool {
        let now_ms = self.clock.now_ms();
        // A caller that has gone away needs no answer.
        match command {
            Command::Create(new, reply) => {
                let created = self.core.create(*new, now_ms);
                let is_new = created.is_ok();
                let _ = reply.send(created);
                return is_new;
            }
            Command::Get(id, reply) => {
                let _ = reply.send(self.core.get(id, now_ms));
            }
            Command::Cancel(id, reason, reply) => {
                let _ = reply.send(self.core.cancel(id, &reason, now_ms));
            }
            Command::List(reply) => {
                let _ = reply.send(Picture { queues: self.core.list(now_ms), faults: self.faults.clone() });
            }
            Command::Reconfigure(queues, faults, reply) => {
                self.reconfigure(&queues, faults, now_ms);
                let _ = reply.send(());
                return true;
            }
        }
        false
    }

    fn reconfigure(&mut self, queues: &Queues, faults: Vec<QueueFault>, now_ms: u64) {
        let done = self.core.reconfigure(queues, now_ms);
        done.removed.iter().for_each(|queue| metrics::queue_removed(queue));
        if !done.is_empty() {
            let Reconfigured { added, changed, removed, ended_tickets } = &done;
            tracing::info!(?added, ?changed, ?removed, ended_tickets, "serving other queues");
        }
        if self.faults != faults {
            for QueueFault { source, queue, reason, message } in &faults {
                tracing::warn!(
                    resource = source.resource,
                    queue,
                    reason,
                    message,
                    "a MatchQueue is not served as written"
                );
            }
            self.faults = faults;
        }
        self.changes.send_replace(());
    }

    fn pass(&mut self, placements: &mut Placements) {
        let began = Instant::now();
        let now_ms = self.clock.now_ms();
        let made = self.core.pass(now_ms, PLACING_MAX, &mut service::random::u64);
        metrics::pass(began.elapsed(), &self.core.list(now_ms));
        for new in made {
            metrics::match_made(&new);
            let (match_id, trace_id) = (new.match_id, &new.trace_id);
            let (players, queue, others) = (new.roster.len(), &new.queue.name, &new.other_traces);
            let (spread, difference) = (new.rating_spread, new.team_difference);
            tracing::info!(%match_id, %trace_id, queue, players, spread, difference, ?others, "match is found");
            placements.spawn(new.clone(), self.placer.clone().place(new));
        }
    }

    fn placed(&mut self, placements: &mut Placements, done: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match done {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) => (error.id(), None),
        };
        let Some(new) = placements.matches.remove(&id) else {
            return;
        };
        match outcome {
            Some(outcome) => {
                let now_ms = self.clock.now_ms();
                self.core.settle(new.match_id, outcome, &new.roster, now_ms, &mut service::random::u64);
            }
            // A panic: nobody knows how far it got, so the match is released before its players are given back.
            None => placements.spawn(new.clone(), self.placer.clone().release(new)),
        }
    }

    /// Logs the events since the last call and shows them to the watchers.
    fn publish(&mut self) {
        let events = self.core.take_events();
        if !events.is_empty() {
            self.changes.send_replace(());
        }
        for event in &events {
            let ticket = &event.ticket;
            let (ticket_id, trace_id, state) = (ticket.id(), &ticket.request.trace_id, ticket.state().label());
            let queue = &ticket.request.queue;
            if let Some(match_id) = ticket.match_id() {
                tracing::info!(%ticket_id, %trace_id, %match_id, queue, state, "ticket");
            } else {
                tracing::info!(%ticket_id, %trace_id, queue, state, "ticket");
            }
            if ticket.state().is_final() {
                metrics::ticket_ended(ticket);
            } else if *ticket.state() == State::Queued && ticket.given_back == 0 {
                metrics::ticket_created(ticket);
            }
        }
        self.log.append(events);
    }
}
