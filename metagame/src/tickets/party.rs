//! Tickets of parties: the leader queues all members at once, and a party that changes takes its ticket back.
//!
//! A ticket is noted in the party before the matchmaker hears of it, so there is no moment at which a change would not know
//! what to cancel. What is to be cancelled is kept in the database until the matchmaker has answered.

use std::sync::Arc;
use std::time::Duration;

use protocol::id::{PlayerId, TicketId};
use protocol::pb;
use service::Shutdown;
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::{NewTicket, Tickets, refused, unknown_player};
use crate::core::social::party::{Party, PartyAct};
use crate::metrics;
use crate::problem::Problem;
use crate::store::TicketReadiness;
use crate::store::social::{PartyFault, PartyStep, PartyView};
use crate::upstream::call;

/// How long a ticket that the matchmaker does not know may still be on its way to it.
const ON_THE_WAY_MS: u64 = 15_000;
/// How often is looked for tickets to cancel, besides after each change.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Tickets {
    /// Makes a ticket for the whole party of its leader; the flag says whether it is new.
    pub(crate) async fn create_for_party(
        &self,
        leader: PlayerId,
        new: NewTicket,
    ) -> Result<(pb::Ticket, bool), Problem> {
        let now_ms = service::clock::unix_ms();
        let view = self.store.party_of(leader).await?.ok_or(PartyFault::NoParty)?;
        if view.party.ticket == Some(new.ticket_id)
            && let Ok(ticket) = self.get(leader, new.ticket_id).await
        {
            return Ok((ticket, false));
        }
        let act = PartyAct::Queue(new.ticket_id);
        view.party.clone().act(leader, &act).map_err(PartyFault::from)?;
        let players = self.party_players(&view, &new.queue, now_ms).await?;
        self.gate.check(&new.queue, &new.build)?;
        let step = PartyStep { player: leader, act, version: Some(view.party.version), now_ms };
        let party = self.store.step_party(step).await??.view.party;
        let (ticket, created) = self.send_party(leader, &party, new, players).await?;
        for member in &party.members {
            self.store.remember_ticket(member.player, id_of(&ticket)?).await?;
        }
        self.store_match(&ticket).await?;
        tracing::info!(ticket_id = ticket.ticket_id, party_id = %party.id, members = party.members.len(), created, queue = ticket.queue, "ticket of a party");
        Ok((ticket, created))
    }

    /// What the ticket says of each member; nobody may be in a match.
    async fn party_players(
        &self,
        view: &PartyView,
        queue: &str,
        now_ms: u64,
    ) -> Result<Vec<pb::TicketPlayer>, Problem> {
        let mut players = Vec::with_capacity(view.party.members.len());
        for member in &view.party.members {
            match self.store.prepare_ticket(member.player, queue.to_owned(), now_ms).await? {
                TicketReadiness::Ready { name, rating, .. } => players.push(pb::TicketPlayer {
                    player_id: member.player.to_string(),
                    name,
                    rating: rating.rating,
                    uncertainty: rating.uncertainty,
                }),
                TicketReadiness::InMatch(match_id) => {
                    metrics::ticket("in_match");
                    let problem = Problem::conflict("in-match", "a member of the party is in a match");
                    let problem = problem.with("player_id", member.player.to_string());
                    return Err(problem.with("match_id", match_id.to_string()));
                }
                TicketReadiness::Unknown => return Err(unknown_player()),
            }
        }
        Ok(players)
    }

    async fn send_party(
        &self,
        leader: PlayerId,
        party: &Party,
        new: NewTicket,
        players: Vec<pb::TicketPlayer>,
    ) -> Result<(pb::Ticket, bool), Problem> {
        let trace_id = hex::encode(service::random::bytes::<16>());
        let rtts = party.common_rtts().into_iter();
        let request = pb::CreateTicketRequest {
            ticket_id: new.ticket_id.to_string(),
            queue: new.queue,
            players,
            party_id: party.id.to_string(),
            party_version: party.version,
            region_rtts: rtts.map(|(region, rtt_ms)| pb::RegionRtt { region, rtt_ms }).collect(),
            build: new.build,
            trace_id: trace_id.clone(),
        };
        let ticket = match call(self.client.clone().create_ticket(request)).await {
            Ok(ticket) => ticket,
            Err(status) => {
                self.take_back(leader, new.ticket_id, &status).await?;
                return Err(refused(&status, leader));
            }
        };
        super::check_owner(&ticket, leader)?;
        let created = ticket.trace_id == trace_id;
        metrics::ticket(if created { "created" } else { "repeated" });
        // Whoever left while the matchmaker was asked has cancelled a ticket that it may not have known yet.
        let now = self.store.party_of(leader).await?;
        if now.is_none_or(|view| view.party.ticket != Some(new.ticket_id)) {
            return Ok((self.cancel(leader, new.ticket_id).await?, created));
        }
        Ok((ticket, created))
    }

    /// The party has no ticket after all, where the matchmaker has said so.
    async fn take_back(&self, leader: PlayerId, ticket_id: TicketId, status: &Status) -> Result<(), Problem> {
        let is_told = matches!(
            status.code(),
            Code::InvalidArgument | Code::NotFound | Code::AlreadyExists | Code::ResourceExhausted
        );
        if is_told {
            let now_ms = service::clock::unix_ms();
            let step = PartyStep { player: leader, act: PartyAct::Unqueue(ticket_id), version: None, now_ms };
            // A leader that has left meanwhile has no party, and its ticket is cancelled already.
            let _ = self.store.step_party(step).await?;
        }
        Ok(())
    }

    /// Cancels the tickets of changed parties until shutdown: after each change, as `changed` tells, and what was left.
    pub(crate) async fn cancel_outgrown(self: Arc<Self>, changed: Arc<Notify>, shutdown: Shutdown) {
        loop {
            match self.store.party_cancels().await {
                Ok(cancels) => {
                    for (ticket_id, at_ms) in cancels {
                        self.cancel_one(ticket_id, at_ms).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot read which tickets of parties to cancel; trying again"),
            }
            tokio::select! {
                () = shutdown.wait() => return,
                () = changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn cancel_one(&self, ticket_id: TicketId, at_ms: u64) {
        let request = pb::CancelTicketRequest { ticket_id: ticket_id.to_string(), reason: "party_changed".into() };
        let is_over = match call(self.client.clone().cancel_ticket(request)).await {
            Ok(ticket) => {
                metrics::ticket("party_changed");
                tracing::info!(%ticket_id, state = ticket.state().as_str_name(), "the party of a ticket has changed");
                self.store_match(&ticket).await.is_ok()
            }
            Err(status) if status.code() == Code::NotFound => {
                service::clock::unix_ms().saturating_sub(at_ms) > ON_THE_WAY_MS
            }
            Err(status) => {
                tracing::debug!(%ticket_id, code = ?status.code(), "a ticket cannot be cancelled yet");
                false
            }
        };
        if is_over && let Err(error) = self.store.party_cancelled(ticket_id).await {
            tracing::warn!(%ticket_id, %error, "a cancelled ticket stays noted; it is cancelled again");
        }
    }
}

fn id_of(ticket: &pb::Ticket) -> Result<TicketId, Problem> {
    ticket.ticket_id.parse().map_err(|_| Problem::internal())
}
