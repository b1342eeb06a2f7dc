//! The control link: one gRPC stream per game server.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::pb;
use protocol::pb::control_link_server::ControlLink;
use service::verify::PodIdentity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::actor::{LinkOut, Outgoing};
use crate::client::ActorClient;
use crate::convert;
use crate::core::link::LinkId;
use crate::core::registration::RegisterError;
use crate::core::settings::{Limits, Timing};
use crate::kubernetes::epochs::Epochs;
use crate::kubernetes::pods::PodBook;
use crate::metrics;
use crate::term::OfficeSeen;

/// Programs that may open a control link.
pub(crate) const CALLERS: &[&str] = &["gameserver"];
/// Orders that wait for a server's stream; one that lets more pile up is dropped.
const ORDERS_MAX: usize = 256;
/// Streams beyond the servers that are registered: those that reconnect while their old stream is still open.
const SPARE_LINKS: usize = 256;

/// Serves control links.
#[derive(Debug, Clone)]
pub(crate) struct ControlService {
    office: OfficeSeen,
    pods: Option<PodBook>,
    epochs: Option<Epochs>,
    timing: Timing,
    limits: Limits,
    links_made: Arc<AtomicU64>,
    links: Arc<Semaphore>,
}

impl ControlService {
    /// A service of whoever is in office. With `pods`, a server has to be the pod of its GameServer; with `epochs`, a leader
    /// learns from servers that have obeyed a later one.
    pub(crate) fn new(
        office: OfficeSeen,
        pods: Option<PodBook>,
        epochs: Option<Epochs>,
        timing: Timing,
        limits: Limits,
    ) -> Self {
        let links = Arc::new(Semaphore::new(limits.servers_max + SPARE_LINKS));
        Self { office, pods, epochs, timing, limits, links_made: Arc::default(), links }
    }
}

#[tonic::async_trait]
impl ControlLink for ControlService {
    type LinkStream = Pin<Box<dyn Stream<Item = Outgoing> + Send>>;

    /// Answers at once with an empty stream: a server may well wait for the headers before it says Register.
    async fn link(&self, request: Request<Streaming<pb::ServerMessage>>) -> Result<Response<Self::LinkStream>, Status> {
        let term = self.office.term().inspect_err(|_| metrics::link_refused("not_leader"))?;
        let proof = match &self.pods {
            None => None,
            Some(book) => {
                let pod = request.extensions().get::<PodIdentity>().cloned();
                let pod = pod.ok_or_else(|| Status::unauthenticated("a game server must prove which pod it is"))?;
                Some((book.clone(), pod))
            }
        };
        let permit = self.links.clone().try_acquire_owned().map_err(|_| {
            metrics::link_refused("too_many");
            Status::resource_exhausted("too many control links")
        })?;
        let (send, receive) = mpsc::channel(ORDERS_MAX);
        let task = LinkTask {
            id: LinkId(self.links_made.fetch_add(1, Ordering::Relaxed)),
            actor: term.actor,
            proof,
            epochs: self.epochs.clone(),
            incoming: request.into_inner(),
            send,
            close: term.end.child_token(),
            _permit: permit,
        };
        tokio::spawn(task.run(self.timing.clone(), self.limits.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}

struct LinkTask {
    id: LinkId,
    actor: ActorClient,
    /// On Kubernetes: who it has proved to be.
    proof: Option<(PodBook, PodIdentity)>,
    epochs: Option<Epochs>,
    incoming: Streaming<pb::ServerMessage>,
    send: mpsc::Sender<Outgoing>,
    close: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl LinkTask {
    async fn run(mut self, timing: Timing, limits: Limits) {
        if let Err((reason, status)) = self.register(timing.register_timeout, &limits).await {
            metrics::link_refused(reason);
            tracing::warn!(reason, status = status.message(), "control link refused");
            self.send.try_send(Err(status)).ok();
            return;
        }
        let status = self.serve(timing.ping_interval).await;
        self.actor.link_cut(self.id).await.ok();
        if let Some(status) = status {
            self.send.try_send(Err(status)).ok();
        }
    }

    /// Waits for Register and hands it on. On failure: the reason for metrics and the status that ends the stream.
    async fn register(&mut self, timeout: Duration, limits: &Limits) -> Result<(), (&'static str, Status)> {
        let first = tokio::select! {
            first = tokio::time::timeout(timeout, self.incoming.message()) => first,
            () = self.close.cancelled() => return Err(("stopping", stopping())),
        };
        let first = match first {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Err(("no_register", Status::invalid_argument("the stream ended before Register"))),
            Ok(Err(status)) => return Err(("broken", status)),
            Err(_) => return Err(("no_register", Status::deadline_exceeded("no Register in time"))),
        };
        let mut registration = convert::registration(first, limits)
            .map_err(|error| ("bad_register", Status::invalid_argument(error.to_string())))?;
        if let Some((book, pod)) = &self.proof {
            book.check(pod, &registration.facts.name).map_err(|error| (error.label(), error.status()))?;
            registration.facts.namespace.clone_from(&pod.namespace);
        }
        let out = LinkOut { send: self.send.clone(), close: self.close.clone() };
        let registered = self.actor.register(self.id, registration, out).await;
        let registered = registered.map_err(|_| ("stopping", stopping()))?;
        registered.map_err(|error| {
            if let (RegisterError::StaleEpoch { seen, .. }, Some(epochs)) = (&error, &self.epochs) {
                epochs.obeyed(*seen);
            }
            (error.label(), register_status(&error))
        })
    }

    /// Carries messages until the stream ends. The status to end it with, if it is the allocator that ends it.
    async fn serve(&mut self, ping_interval: Duration) -> Option<Status> {
        let mut ping = tokio::time::interval(ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut nonce = 0;
        loop {
            tokio::select! {
                message = self.incoming.message() => match message {
                    Ok(Some(message)) => match convert::from_server(message) {
                        Ok(message) => {
                            if self.actor.server_says(self.id, message).await.is_err() {
                                return Some(stopping());
                            }
                        }
                        Err(error) => {
                            metrics::bad_message();
                            tracing::warn!(%error, "a game server's message is ignored");
                        }
                    },
                    Ok(None) | Err(_) => return None,
                },
                _ = ping.tick() => {
                    nonce += 1;
                    let ping = pb::allocator_message::Message::Ping(pb::Ping { nonce });
                    if self.send.try_send(Ok(pb::AllocatorMessage { message: Some(ping) })).is_err() {
                        metrics::link_dropped("slow");
                        return None;
                    }
                }
                () = self.close.cancelled() => {
                    return Some(Status::unavailable("this control link is closed: register again"));
                }
            }
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the allocator is shutting down: register again")
}

fn register_status(error: &RegisterError) -> Status {
    let text = error.to_string();
    match error {
        RegisterError::StaleEpoch { .. } => Status::failed_precondition(text),
        RegisterError::NameTaken(_) => Status::already_exists(text),
        RegisterError::PoolFull => Status::resource_exhausted(text),
        RegisterError::Stopping => Status::unavailable(text),
    }
}
