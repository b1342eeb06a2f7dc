//! Tickets: metagame in front of the matchmaker. Who the player is, its name and its rating are filled in here and
//! never taken from a client; a match whose ticket completed is stored before anybody hears of it.

mod party;

use std::sync::Arc;

use protocol::id::{PlayerId, TicketId};
use protocol::pb::matchmaker_client::MatchmakerClient;
use protocol::pb::{self, TicketState};
use service::Shutdown;
use service::backoff::Backoff;
use tonic::{Code, Status};

use crate::admission::Gate;
use crate::core::match_event::Placement;
use crate::feed::{Feed, Subscription};
use crate::gateway::fanout::News;
use crate::gateway::hub::Hub;
use crate::gateway::message;
use crate::metrics;
use crate::problem::Problem;
use crate::store::{MatchOpened, Seat, Store, StoreError, TicketReadiness};
use crate::upstream::{Arrival, MATCHMAKER, Position, Upstream, away, backoff, call, pause};

/// What a client may say of a ticket.
#[derive(Debug, Clone)]
pub(crate) struct NewTicket {
    pub(crate) ticket_id: TicketId,
    pub(crate) queue: String,
    pub(crate) region_rtts: Vec<pb::RegionRtt>,
    pub(crate) build: String,
}

/// The matchmaker, as far as clients reach it.
pub(crate) struct Tickets {
    client: MatchmakerClient<Upstream>,
    store: Store,
    gate: Arc<Gate>,
    feed: Feed,
    hub: Arc<Hub>,
}

impl Tickets {
    pub(crate) fn new(channel: Upstream, store: Store, gate: Arc<Gate>, subscribers_max: usize, hub: Arc<Hub>) -> Self {
        Self { client: MatchmakerClient::new(channel), store, gate, feed: Feed::new(subscribers_max), hub }
    }

    /// Makes a ticket for a player; the flag says whether it is new.
    pub(crate) async fn create(&self, player: PlayerId, new: NewTicket) -> Result<(pb::Ticket, bool), Problem> {
        let now_ms = service::clock::unix_ms();
        let ready = self.store.prepare_ticket(player, new.queue.clone(), now_ms).await?;
        let (name, rating) = match ready {
            TicketReadiness::Ready { party: Some(party), .. } => {
                metrics::ticket("in_party");
                let detail = "you are in a party: its leader queues it, or leave it";
                return Err(Problem::conflict("in-party", detail).with("party_id", party.to_string()));
            }
            TicketReadiness::Ready { name, rating, party: None } => (name, rating),
            TicketReadiness::InMatch(match_id) => {
                // A client that repeats its request after the match was made means the ticket that it has.
                if let Some(ticket) = self.made_before(player, new.ticket_id).await? {
                    return Ok((ticket, false));
                }
                metrics::ticket("in_match");
                let detail = "you are in a match: ask for a join token, or wait until it is over";
                return Err(Problem::conflict("in-match", detail).with("match_id", match_id.to_string()));
            }
            TicketReadiness::Unknown => return Err(unknown_player()),
        };
        if let Err(closed) = self.gate.check(&new.queue, &new.build) {
            // Who queued before the maintenance keeps the ticket.
            let made = self.made_before(player, new.ticket_id).await?;
            return made.map(|ticket| (ticket, false)).ok_or(closed);
        }
        let trace_id = hex::encode(service::random::bytes::<16>());
        let request = pb::CreateTicketRequest {
            ticket_id: new.ticket_id.to_string(),
            queue: new.queue,
            players: vec![pb::TicketPlayer {
                player_id: player.to_string(),
                name,
                rating: rating.rating,
                uncertainty: rating.uncertainty,
            }],
            party_id: String::new(),
            party_version: 0,
            region_rtts: new.region_rtts,
            build: new.build,
            trace_id: trace_id.clone(),
        };
        let ticket =
            call(self.client.clone().create_ticket(request)).await.map_err(|status| refused(&status, player))?;
        check_owner(&ticket, player)?;
        self.store.remember_ticket(player, new.ticket_id).await?;
        self.store_match(&ticket).await?;
        // The matchmaker keeps the trace id of the first request.
        let created = ticket.trace_id == trace_id;
        metrics::ticket(if created { "created" } else { "repeated" });
        tracing::info!(ticket_id = %new.ticket_id, player_id = %player, trace_id = ticket.trace_id, created, queue = ticket.queue, "ticket");
        Ok((ticket, created))
    }

    /// The ticket of a request that is repeated: the one that the player made last.
    async fn made_before(&self, player: PlayerId, ticket_id: TicketId) -> Result<Option<pb::Ticket>, StoreError> {
        if self.store.last_ticket(player).await? != Some(ticket_id) {
            return Ok(None);
        }
        Ok(self.get(player, ticket_id).await.ok())
    }

    /// A player's ticket as it stands.
    pub(crate) async fn get(&self, player: PlayerId, ticket_id: TicketId) -> Result<pb::Ticket, Problem> {
        let ticket = self.fetch(ticket_id).await.map_err(|status| missing(&status))?;
        check_owner(&ticket, player)?;
        self.store_match(&ticket).await?;
        Ok(ticket)
    }

    /// The ticket that the player made last.
    pub(crate) async fn last(&self, player: PlayerId) -> Result<pb::Ticket, Problem> {
        let ticket_id = self.store.last_ticket(player).await?;
        let ticket_id = ticket_id.ok_or_else(|| Problem::not_found("no-ticket", "you have made no ticket yet"))?;
        self.get(player, ticket_id).await
    }

    /// Cancels a player's ticket, if it is not too late: the answer is the ticket as it stands then.
    pub(crate) async fn cancel(&self, player: PlayerId, ticket_id: TicketId) -> Result<pb::Ticket, Problem> {
        self.get(player, ticket_id).await?;
        let request =
            pb::CancelTicketRequest { ticket_id: ticket_id.to_string(), reason: "cancelled_by_player".into() };
        let ticket = call(self.client.clone().cancel_ticket(request)).await.map_err(|status| missing(&status))?;
        self.store_match(&ticket).await?;
        metrics::ticket(if ticket.state() == TicketState::Cancelled { "cancelled" } else { "cancelled_too_late" });
        Ok(ticket)
    }

    /// The queues.
    pub(crate) async fn queues(&self) -> Result<Vec<pb::QueueStatus>, Problem> {
        let answer = call(self.client.clone().list_queues(pb::ListQueuesRequest {})).await;
        answer.map(|list| list.queues).map_err(|status| away(MATCHMAKER, &status))
    }

    /// Waits for events of a ticket.
    pub(crate) fn subscribe(&self, ticket_id: TicketId) -> Result<Subscription, Problem> {
        self.feed.subscribe(ticket_id).map_err(|_full| {
            metrics::limited("subscribers");
            Problem::unavailable("too-many-streams", "too many event streams are open; poll the ticket instead", 5)
        })
    }

    async fn fetch(&self, ticket_id: TicketId) -> Result<pb::Ticket, Status> {
        call(self.client.clone().get_ticket(pb::GetTicketRequest { ticket_id: ticket_id.to_string() })).await
    }

    /// Stores the match of a completed ticket, so that nobody learns of a match that metagame does not know.
    async fn store_match(&self, ticket: &pb::Ticket) -> Result<(), StoreError> {
        let Some(opened) = completed_match(ticket) else {
            return Ok(());
        };
        let match_id = opened.match_id;
        self.store.open_match(opened).await?;
        tracing::debug!(%match_id, ticket_id = ticket.ticket_id, trace_id = ticket.trace_id, "match stored");
        Ok(())
    }

    /// Follows the matchmaker's tickets until shutdown.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        let mut position = Position::default();
        let mut backoff = backoff();
        loop {
            let broken = tokio::select! {
                () = shutdown.wait() => return,
                status = self.follow_once(&mut position, &mut backoff) => status,
            };
            if broken.code() == Code::OutOfRange {
                position.reset();
                self.refresh_subscribers().await;
            }
            if !pause(MATCHMAKER, &broken, &mut backoff, &shutdown).await {
                return;
            }
        }
    }

    /// Reads one stream until it breaks, and says why.
    async fn follow_once(&self, position: &mut Position, backoff: &mut Backoff) -> Status {
        let asked = position.cursor();
        let request = pb::WatchTicketsRequest { queue: String::new(), cursor: asked };
        let mut stream = match call(self.client.clone().watch_tickets(request)).await {
            Ok(stream) => stream,
            Err(status) => return status,
        };
        loop {
            let event = match stream.message().await {
                Ok(Some(event)) => event,
                Ok(None) => return Status::unavailable("the stream ended"),
                Err(status) => return status,
            };
            backoff.reset();
            if position.look(asked, &event.log_id) == Arrival::Restarted {
                return Status::out_of_range("the matchmaker started afresh");
            }
            if let Some(ticket) = event.ticket {
                // What is not stored is not passed on, and is read again.
                if let Err(error) = self.store_match(&ticket).await {
                    tracing::error!(ticket_id = ticket.ticket_id, %error, "cannot store a match");
                    return Status::aborted("a match could not be stored");
                }
                self.tell_players(&ticket);
                if let Ok(ticket_id) = ticket.ticket_id.parse() {
                    self.feed.publish(ticket_id, ticket);
                }
            }
            position.advance(&event.log_id, event.cursor);
        }
    }

    /// The ticket's players hear of it over the gateway; each gateway follows all tickets itself.
    fn tell_players(&self, ticket: &pb::Ticket) {
        let players: Vec<PlayerId> = ticket.players.iter().filter_map(|one| one.player_id.parse().ok()).collect();
        self.hub.deliver(&players, &message::shared(message::ticket(ticket)));
        if ticket.state() == TicketState::Completed {
            self.hub.take(&News::Inbox(players));
        }
    }

    /// After a new log: what subscribers wait for may have happened in the old one.
    async fn refresh_subscribers(&self) {
        for ticket_id in self.feed.begin_log() {
            let ticket = match self.fetch(ticket_id).await {
                Ok(ticket) => ticket,
                Err(status) if status.code() == Code::NotFound => forgotten(ticket_id),
                Err(_) => continue,
            };
            if self.store_match(&ticket).await.is_ok() {
                self.feed.publish(ticket_id, ticket);
            }
        }
    }
}

/// A ticket that the matchmaker lost with its memory: the client has to queue again.
fn forgotten(ticket_id: TicketId) -> pb::Ticket {
    pb::Ticket {
        ticket_id: ticket_id.to_string(),
        state: TicketState::Failed.into(),
        reason: "matchmaker_restarted".into(),
        updated_at_ms: service::clock::unix_ms(),
        ..Default::default()
    }
}

/// The match that a completed ticket names.
fn completed_match(ticket: &pb::Ticket) -> Option<MatchOpened> {
    if ticket.state() != TicketState::Completed {
        return None;
    }
    let seat = |entry: &pb::RosterEntry| {
        Some(Seat { player_id: entry.player_id.parse().ok()?, team: entry.team, name: entry.name.clone() })
    };
    Some(MatchOpened {
        match_id: ticket.match_id.parse().ok()?,
        queue: ticket.queue.clone(),
        trace_id: ticket.trace_id.clone(),
        roster: ticket.roster.iter().filter_map(seat).collect(),
        placement: ticket.assignment.as_ref().map(placement).unwrap_or_default(),
        placed_at_ms: if ticket.updated_at_ms == 0 { service::clock::unix_ms() } else { ticket.updated_at_ms },
    })
}

fn placement(assignment: &pb::Assignment) -> Placement {
    Placement {
        server_id: assignment.server_id.clone(),
        server_name: String::new(),
        build: assignment.build.clone(),
        region: assignment.region.clone(),
    }
}

/// The account of a good access token is gone: the database was replaced.
pub(crate) fn unknown_player() -> Problem {
    Problem::unauthenticated("unknown-player", "this account does not exist any more: log in again")
}

fn check_owner(ticket: &pb::Ticket, player: PlayerId) -> Result<(), Problem> {
    let player = player.to_string();
    if ticket.players.iter().any(|one| one.player_id == player) {
        return Ok(());
    }
    Err(Problem::forbidden("not-your-ticket", "this ticket belongs to another player"))
}

fn missing(status: &Status) -> Problem {
    match status.code() {
        Code::NotFound => Problem::not_found("unknown-ticket", "there is no such ticket, or it is long over"),
        _ => away(MATCHMAKER, status),
    }
}

/// What the matchmaker's refusal of a new ticket means.
fn refused(status: &Status, player: PlayerId) -> Problem {
    match status.code() {
        Code::AlreadyExists => {
            metrics::ticket("has_ticket");
            let problem = Problem::conflict("has-ticket", "you have a ticket already: cancel it first");
            match find_ticket(status.message(), player) {
                Some(ticket_id) => problem.with("ticket_id", ticket_id.to_string()),
                None => problem,
            }
        }
        Code::InvalidArgument | Code::NotFound => {
            metrics::ticket("invalid");
            Problem::invalid("invalid-ticket", status.message())
        }
        Code::ResourceExhausted => {
            metrics::ticket("queue_full");
            Problem::unavailable("queue-full", status.message(), 5)
        }
        _ => {
            metrics::ticket("unavailable");
            away(MATCHMAKER, status)
        }
    }
}

/// The ticket that a sentence names ("player … is in ticket …").
fn find_ticket(text: &str, player: PlayerId) -> Option<TicketId> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    let mut ids = words.filter_map(|word| word.parse::<TicketId>().ok());
    ids.rfind(|id| id.to_bytes() != player.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticket_that_a_sentence_names_is_found() {
        let (ticket, player) = (TicketId::from_entropy([1; 16]), PlayerId::from_entropy([2; 16]));
        let text = format!("player {player} is in ticket {ticket}: cancel that first");
        assert_eq!(find_ticket(&text, player), Some(ticket));
        assert_eq!(find_ticket(&format!("player {player} is in another ticket"), player), None);
    }
}
