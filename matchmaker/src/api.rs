//! gRPC in front of the actor. Metagame may call everything; the others may look at the queues.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use protocol::pb;
use protocol::pb::matchmaker_server::Matchmaker;
use service::token::Caller;
use tonic::{Request, Response, Status};

use crate::actor::{Busy, Handle};
use crate::convert::{self, BadRequest};
use crate::core::matchmaker::CreateError;
use crate::core::ticket::Ticket;
use crate::metrics;
use crate::queue_watch::QueueWatch;
use crate::watch::SharedLog;

/// Programs that may call at all.
pub(crate) const CALLERS: &[&str] = &["metagame", "muster", "console", "operator"];
/// The one that speaks for players.
const METAGAME: &str = "metagame";
/// Longest reason of a cancellation in bytes; the rest is cut off.
const REASON_BYTES_MAX: usize = 200;

/// The gRPC service.
pub(crate) struct Api {
    pub(crate) actor: Handle,
    pub(crate) log: Arc<SharedLog>,
    pub(crate) pictures: QueueWatch,
}

type Events = Pin<Box<dyn Stream<Item = Result<pb::TicketEvent, Status>> + Send>>;
type Pictures = Pin<Box<dyn Stream<Item = Result<pb::ListQueuesResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Matchmaker for Api {
    type WatchTicketsStream = Events;
    type WatchQueuesStream = Pictures;

    async fn create_ticket(&self, request: Request<pb::CreateTicketRequest>) -> Result<Response<pb::Ticket>, Status> {
        counted(self.create(request).await)
    }

    async fn get_ticket(&self, request: Request<pb::GetTicketRequest>) -> Result<Response<pb::Ticket>, Status> {
        counted(self.get(request).await)
    }

    async fn cancel_ticket(&self, request: Request<pb::CancelTicketRequest>) -> Result<Response<pb::Ticket>, Status> {
        counted(self.cancel(request).await)
    }

    async fn watch_tickets(&self, request: Request<pb::WatchTicketsRequest>) -> Result<Response<Events>, Status> {
        counted(self.watch(request).await)
    }

    async fn list_queues(
        &self,
        _request: Request<pb::ListQueuesRequest>,
    ) -> Result<Response<pb::ListQueuesResponse>, Status> {
        let queues = counted(self.actor.list().await.map_err(busy))?;
        Ok(Response::new(convert::picture(&queues)))
    }

    async fn watch_queues(&self, _request: Request<pb::WatchQueuesRequest>) -> Result<Response<Pictures>, Status> {
        Ok(Response::new(Box::pin(counted(self.pictures.watch())?)))
    }
}

impl Api {
    async fn create(&self, request: Request<pb::CreateTicketRequest>) -> Result<Response<pb::Ticket>, Status> {
        only_metagame(&request)?;
        let new_trace = || uuid::Uuid::from_bytes(service::random::bytes()).simple().to_string();
        let new = convert::new_ticket(request.into_inner(), new_trace).map_err(|error| invalid(&error))?;
        let created = self.actor.create(new).await.map_err(busy)?;
        created.map(|ticket| answer(&ticket)).map_err(|error| create_status(&error))
    }

    async fn get(&self, request: Request<pb::GetTicketRequest>) -> Result<Response<pb::Ticket>, Status> {
        only_metagame(&request)?;
        let id = convert::ticket_id(&request.get_ref().ticket_id).map_err(|error| invalid(&error))?;
        self.actor
            .get(id)
            .await
            .map_err(busy)?
            .map(|ticket| answer(&ticket))
            .ok_or_else(|| unknown_ticket(&request.get_ref().ticket_id))
    }

    async fn cancel(&self, request: Request<pb::CancelTicketRequest>) -> Result<Response<pb::Ticket>, Status> {
        only_metagame(&request)?;
        let pb::CancelTicketRequest { ticket_id, mut reason } = request.into_inner();
        let id = convert::ticket_id(&ticket_id).map_err(|error| invalid(&error))?;
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        self.actor
            .cancel(id, reason)
            .await
            .map_err(busy)?
            .map(|ticket| answer(&ticket))
            .ok_or_else(|| unknown_ticket(&ticket_id))
    }

    async fn watch(&self, request: Request<pb::WatchTicketsRequest>) -> Result<Response<Events>, Status> {
        only_metagame(&request)?;
        let pb::WatchTicketsRequest { queue, cursor } = request.into_inner();
        let queue = Some(queue).filter(|queue| !queue.is_empty());
        if let Some(name) = &queue {
            let open: Vec<String> =
                self.actor.list().await.map_err(busy)?.queues.iter().map(|queue| queue.config.name.clone()).collect();
            if !open.contains(name) {
                let name: String = name.chars().take(64).collect();
                let text = format!("there is no queue \"{name}\": the queues are {}", open.join(", "));
                return Err(Status::invalid_argument(text));
            }
        }
        Ok(Response::new(Box::pin(self.log.watch(cursor, queue)?)))
    }
}

fn only_metagame<T>(request: &Request<T>) -> Result<(), Status> {
    match request.extensions().get::<Caller>() {
        Some(Caller(name)) if name == METAGAME => Ok(()),
        Some(Caller(name)) => {
            Err(Status::permission_denied(format!("{name} may only call ListQueues and WatchQueues")))
        }
        None => Err(Status::unauthenticated("a service token is required")),
    }
}

fn answer(ticket: &Ticket) -> Response<pb::Ticket> {
    Response::new(convert::ticket(ticket))
}

fn counted<T>(result: Result<T, Status>) -> Result<T, Status> {
    result.inspect_err(|status| metrics::refused(status.code()))
}

fn invalid(error: &BadRequest) -> Status {
    Status::invalid_argument(error.to_string())
}

fn busy(error: Busy) -> Status {
    Status::unavailable(error.to_string())
}

fn unknown_ticket(id: &str) -> Status {
    Status::not_found(format!("there is no ticket {id}, or it ended long ago"))
}

fn create_status(error: &CreateError) -> Status {
    let text = error.to_string();
    match error {
        CreateError::ShuttingDown => Status::unavailable(text),
        CreateError::HasTicket(_) => Status::already_exists(text),
        CreateError::QueueFull { .. } => Status::resource_exhausted(text),
        CreateError::UnknownQueue { .. }
        | CreateError::OtherContent(_)
        | CreateError::PartyTooLarge { .. }
        | CreateError::OtherBuild { .. }
        | CreateError::NoRegion { .. }
        | CreateError::OldParty { .. } => Status::invalid_argument(text),
    }
}
