//! All queues together: create, read, cancel. The search pass is in [`super::pass`], what comes of a match in
//! [`super::settle`], other queues in [`super::reconfigure`].

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::id::{MatchId, PlayerId, TicketId};

use super::claims::{Claims, Held};
use super::density::Population;
use super::estimate::Waits;
use super::events::Event;
use super::packing::{Packing, Shape};
use super::pool::{NO_RTT, Pool, Waiting};
use super::queue_config::{QueueConfig, Queues};
use super::ticket::{NewTicket, State, Ticket};
use super::tickets::Tickets;

/// Source of random numbers, given by the caller.
pub type Entropy<'a> = &'a mut dyn FnMut() -> u64;

/// Why a ticket was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The program is ending.
    #[error("the matchmaker is shutting down: try again in a moment")]
    ShuttingDown,
    /// No queue of this name.
    #[error("there is no queue \"{queue}\": {}", known_queues(known))]
    UnknownQueue {
        /// The name.
        queue: String,
        /// The names that exist.
        known: String,
    },
    /// The id is taken by another request.
    #[error("ticket {0} was created with other content: choose a new ticket id for a new request")]
    OtherContent(TicketId),
    /// More players than the queue takes in one ticket.
    #[error("a ticket of {players} players is too large: queue \"{queue}\" takes at most {players_max} together")]
    PartyTooLarge {
        /// Players of the ticket.
        players: usize,
        /// The queue.
        queue: String,
        /// Most players.
        players_max: u32,
    },
    /// The queue runs another build.
    #[error("queue \"{queue}\" runs build {expected}, the ticket has {build}: update the client")]
    OtherBuild {
        /// The queue.
        queue: String,
        /// Its build.
        expected: String,
        /// The ticket's build.
        build: String,
    },
    /// No region of the queue is within reach.
    #[error(
        "no region of queue \"{queue}\" ({regions}) has a round-trip time of {ceiling_ms} ms or less: measure them all"
    )]
    NoRegion {
        /// The queue.
        queue: String,
        /// Its regions.
        regions: String,
        /// Longest round-trip time that it ever accepts.
        ceiling_ms: u32,
    },
    /// A player is in another live ticket.
    #[error("player {} is in ticket {}: cancel that first", .0.player, .0.by)]
    HasTicket(Held),
    /// The party has a newer ticket.
    #[error("party version {given} is older than version {live} of its ticket {ticket}")]
    OldParty {
        /// Version of the request.
        given: u64,
        /// Version of the live ticket.
        live: u64,
        /// The live ticket.
        ticket: TicketId,
    },
    /// As many tickets as the queue holds.
    #[error("queue \"{queue}\" is full with {capacity} tickets: try again later")]
    QueueFull {
        /// The queue.
        queue: String,
        /// Most live tickets.
        capacity: u32,
    },
}

fn known_queues(known: &str) -> String {
    if known.is_empty() { "no queue is open".to_owned() } else { format!("the queues are {known}") }
}

/// One queue at work.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) config: Arc<QueueConfig>,
    pub(super) pool: Pool,
    pub(super) population: Population,
    pub(super) waits: Waits,
    pub(super) packing: Packing,
    pub(super) live_tickets: u32,
    pub(super) placing_matches: u32,
    pub(super) matches_made: u64,
    /// It takes no more tickets, and is forgotten when the last of its matches is placed.
    pub(super) removed: bool,
}

impl Queue {
    pub(super) fn new(config: &QueueConfig, now_ms: u64) -> Self {
        Self {
            config: Arc::new(config.clone()),
            pool: Pool::default(),
            population: Population::new(now_ms),
            waits: Waits::default(),
            packing: Packing::new(shape(config)),
            live_tickets: 0,
            placing_matches: 0,
            matches_made: 0,
            removed: false,
        }
    }
}

/// Teams of a match.
pub(super) fn shape(config: &QueueConfig) -> Shape {
    Shape { teams: config.teams, team_size: config.players_per_team }
}

/// A queue as ListQueues shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueStatus {
    /// Its configuration.
    pub config: Arc<QueueConfig>,
    /// Waiting tickets.
    pub waiting_tickets: u32,
    /// Waiting players.
    pub waiting_players: u32,
    /// Matches that are being placed.
    pub placing_matches: u32,
    /// Matches that were placed since the start.
    pub matches_made: u64,
    /// Median wait of the last 5 minutes in milliseconds.
    pub wait_ms_p50: u32,
    /// 95th percentile of the waits of the last 5 minutes in milliseconds.
    pub wait_ms_p95: u32,
}

/// All queues, tickets and matches in the making. One owner calls it; time never goes back.
#[derive(Debug)]
pub struct Matchmaker {
    /// By a number that no other queue ever has.
    pub(super) queues: BTreeMap<usize, Queue>,
    pub(super) next_number: usize,
    pub(super) tickets: Tickets,
    pub(super) claims: Claims,
    /// Tickets of each match that is being placed.
    pub(super) matches: BTreeMap<MatchId, Vec<TicketId>>,
    pub(super) closing: bool,
    /// The queue that searches first in the next pass.
    pub(super) first_queue: usize,
    cursor: u64,
    events: Vec<Event>,
}

impl Matchmaker {
    /// Empty queues. The first event will have the cursor `first_cursor` + 1.
    pub fn new(queues: &Queues, first_cursor: u64, now_ms: u64) -> Self {
        let mut matchmaker = Self {
            queues: BTreeMap::new(),
            next_number: 0,
            tickets: Tickets::default(),
            claims: Claims::default(),
            matches: BTreeMap::new(),
            closing: false,
            first_queue: 0,
            cursor: first_cursor,
            events: Vec::new(),
        };
        matchmaker.reconfigure(queues, now_ms);
        matchmaker
    }

    /// The number of the queue that takes tickets under this name.
    fn open_queue(&self, name: &str) -> Option<usize> {
        self.queues.iter().find(|(_, queue)| !queue.removed && queue.config.name == name).map(|(number, _)| *number)
    }

    /// A queue that has live tickets or was found a moment ago: it is not forgotten before they end.
    pub(super) fn queue_mut(&mut self, number: usize) -> &mut Queue {
        self.queues.get_mut(&number).expect("a queue stays as long as a ticket of it lives")
    }

    /// Creates a ticket, or finds it again if the same was created before.
    ///
    /// # Errors
    /// [`CreateError`]; nothing has changed then.
    pub fn create(&mut self, new: NewTicket, now_ms: u64) -> Result<Arc<Ticket>, CreateError> {
        if let Some(known) = self.tickets.get(new.id) {
            let same = known.request.same_request(&new);
            return if same { Ok(self.view(known, now_ms)) } else { Err(CreateError::OtherContent(new.id)) };
        }
        if self.closing {
            return Err(CreateError::ShuttingDown);
        }
        let number = self.open_queue(&new.queue).ok_or_else(|| self.unknown_queue(&new.queue))?;
        let rtts = check_request(&self.queues[&number].config, &new)?;
        let older = self.older_party_ticket(&new)?;
        let freed = older.and_then(|id| self.tickets.get(id)).filter(|ticket| ticket.queue == number).is_some();
        let queue = &self.queues[&number];
        if queue.live_tickets - u32::from(freed) >= queue.config.capacity {
            return Err(CreateError::QueueFull { queue: new.queue, capacity: queue.config.capacity });
        }
        let players: Vec<PlayerId> = new.players.iter().map(|player| player.id).collect();
        if let Some(held) = self.claims.held(players.iter().copied(), older) {
            return Err(CreateError::HasTicket(held));
        }
        if let Some(older) = older {
            self.end(older, State::Cancelled { reason: "the party changed".into() }, now_ms);
        }
        self.claims.claim(players, new.id).expect("nobody was held a moment ago");
        let id = new.id;
        let mut ticket = Ticket::new(new, number, now_ms);
        let (rating, size) = (ticket.request.rating(), size(&ticket));
        let queue = self.queue_mut(number);
        queue.live_tickets += 1;
        queue.population.arrived(now_ms, rating, size);
        ticket.estimated_wait_ms = queue.waits.personal_ms(now_ms, rating, size, 0);
        self.wait(&ticket, rtts, now_ms);
        self.tickets.insert(ticket);
        Ok(self.log(id))
    }

    fn unknown_queue(&self, name: &str) -> CreateError {
        let open = self.queues.values().filter(|queue| !queue.removed);
        let known: Vec<&str> = open.map(|queue| queue.config.name.as_str()).collect();
        CreateError::UnknownQueue { queue: name.to_owned(), known: known.join(", ") }
    }

    /// The ticket of an older version of the same party, which a new one replaces.
    fn older_party_ticket(&self, new: &NewTicket) -> Result<Option<TicketId>, CreateError> {
        let Some(party) = new.party else {
            return Ok(None);
        };
        let Some(live) = self.tickets.of_party(party.id) else {
            return Ok(None);
        };
        let live_version = live.request.party.map_or(0, |party| party.version);
        match live.state() {
            _ if live_version > party.version => {
                Err(CreateError::OldParty { given: party.version, live: live_version, ticket: live.id() })
            }
            // A match is not torn apart: the new version has to wait for its end.
            State::Queued if live_version < party.version => Ok(Some(live.id())),
            _ => Ok(None),
        }
    }

    /// Puts a ticket into its queue's pool.
    pub(super) fn wait(&mut self, ticket: &Ticket, rtts: Arc<[u32]>, held_until_ms: u64) {
        let queue = self.queue_mut(ticket.queue);
        let rating = if queue.config.rating.is_some() { ticket.request.rating() } else { 0.0 };
        let build = if ticket.request.build.is_empty() { &queue.config.build } else { &ticket.request.build };
        let waiting = Waiting {
            ticket: ticket.id(),
            rating,
            size: size(ticket),
            created_ms: ticket.created_ms,
            held_until_ms,
            rtts,
        };
        queue.pool.insert(build, waiting);
    }

    /// A ticket, live or finished not long ago.
    pub fn get(&self, id: TicketId, now_ms: u64) -> Option<Arc<Ticket>> {
        self.tickets.get(id).map(|ticket| self.view(ticket, now_ms))
    }

    /// Cancels a ticket that waits; one that is past it is answered as it is.
    pub fn cancel(&mut self, id: TicketId, reason: &str, now_ms: u64) -> Option<Arc<Ticket>> {
        let ticket = self.tickets.get(id)?;
        if *ticket.state() == State::Queued {
            let reason = if reason.is_empty() { "cancelled" } else { reason };
            self.end(id, State::Cancelled { reason: reason.to_owned() }, now_ms);
        }
        self.get(id, now_ms)
    }

    /// How every queue is doing.
    pub fn list(&self, now_ms: u64) -> Vec<QueueStatus> {
        let status = |queue: &Queue| {
            let (wait_ms_p50, wait_ms_p95) = queue.waits.percentiles_ms(now_ms);
            QueueStatus {
                config: queue.config.clone(),
                waiting_tickets: u32::try_from(queue.pool.tickets()).unwrap_or(u32::MAX),
                waiting_players: queue.pool.players(),
                placing_matches: queue.placing_matches,
                matches_made: queue.matches_made,
                wait_ms_p50,
                wait_ms_p95,
            }
        };
        self.queues.values().filter(|queue| !queue.removed).map(status).collect()
    }

    /// Matches that are being placed.
    pub fn placing(&self) -> usize {
        self.matches.len()
    }

    /// Tickets that have not ended.
    pub fn live_tickets(&self) -> usize {
        self.tickets.live()
    }

    /// The events since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Ends a ticket: its players are free, and if it waited it waits no longer.
    pub(super) fn end(&mut self, id: TicketId, state: State, now_ms: u64) {
        let Ok(ticket) = self.tickets.advance(id, state, now_ms) else {
            return;
        };
        let (number, created_ms) = (ticket.queue, ticket.created_ms);
        self.claims.release(ticket.request.players.iter().map(|player| player.id), id);
        let queue = self.queue_mut(number);
        queue.pool.remove(created_ms, id);
        queue.live_tickets -= 1;
        self.log(id);
    }

    /// Logs the ticket as it is now.
    pub(super) fn log(&mut self, id: TicketId) -> Arc<Ticket> {
        self.cursor += 1;
        let ticket = self.tickets.get_mut(id).expect("only tickets in the store are logged");
        ticket.cursor = self.cursor;
        let ticket = Arc::new(ticket.clone());
        self.events.push(Event { cursor: self.cursor, ticket: ticket.clone() });
        ticket
    }

    /// A ticket with its present estimate.
    fn view(&self, ticket: &Ticket, now_ms: u64) -> Arc<Ticket> {
        let mut ticket = ticket.clone();
        if *ticket.state() == State::Queued {
            let waits = &self.queues[&ticket.queue].waits;
            let waited_ms = ticket.waited_ms(now_ms);
            ticket.estimated_wait_ms = waits.personal_ms(now_ms, ticket.request.rating(), size(&ticket), waited_ms);
        }
        Arc::new(ticket)
    }
}

/// Players of a ticket.
pub(super) fn size(ticket: &Ticket) -> u32 {
    u32::try_from(ticket.request.players.len()).expect("a ticket has few players")
}

/// Round-trip times of a ticket by the queue's regions.
pub(super) fn rtts(queue: &QueueConfig, request: &NewTicket) -> Arc<[u32]> {
    let rtt = |region: &String| {
        request.region_rtts.iter().find(|(name, _)| name == region).map_or(NO_RTT, |(_, rtt_ms)| *rtt_ms)
    };
    queue.regions.iter().map(rtt).collect()
}

/// Whether a queue takes a request; its round-trip times by the queue's regions if it does.
pub(super) fn check_request(queue: &QueueConfig, new: &NewTicket) -> Result<Arc<[u32]>, CreateError> {
    if new.players.is_empty() || new.players.len() > queue.party_size_max as usize {
        return Err(CreateError::PartyTooLarge {
            players: new.players.len(),
            queue: queue.name.clone(),
            players_max: queue.party_size_max,
        });
    }
    if !queue.build.is_empty() && !new.build.is_empty() && new.build != queue.build {
        return Err(CreateError::OtherBuild {
            queue: queue.name.clone(),
            expected: queue.build.clone(),
            build: new.build.clone(),
        });
    }
    let rtts = rtts(queue, new);
    if !rtts.is_empty() && rtts.iter().all(|rtt| *rtt > queue.rtt.ceiling_ms) {
        return Err(CreateError::NoRegion {
            queue: queue.name.clone(),
            regions: queue.regions.join(", "),
            ceiling_ms: queue.rtt.ceiling_ms,
        });
    }
    Ok(rtts)
}
