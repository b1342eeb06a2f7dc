//! Calls that find the leader among replicas of which one leads.
//!
//! A replica that does not lead answers UNAVAILABLE and names the leader in the metadata `muster-leader`. A
//! [`LeaderChannel`] remembers it: the call fails, and the caller's next try goes to the leader. When the leader cannot be
//! reached any more, tries go to the given address again, behind which the replicas are.
//!
//! An answer that no gRPC server would give means that somebody else sits at the other end: a cluster gives the addresses of
//! dead pods to new ones, and a connection made before a Service was known can end anywhere. Such a connection would be kept
//! alive for ever by whoever answers its pings, so it is given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response, StatusCode};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::grpc::{AddressError, channel};

/// Metadata that names the leader as `host:port`.
pub const LEADER: &str = "muster-leader";

/// The answer of a replica that does not lead.
pub fn not_leader(leader: Option<&str>) -> Status {
    let Some((address, value)) = leader.and_then(|address| Some((address, MetadataValue::try_from(address).ok()?)))
    else {
        return Status::unavailable("this replica does not lead, and no leader is known yet: try again");
    };
    let mut status = Status::unavailable(format!("this replica does not lead: ask {address}"));
    status.metadata_mut().insert(LEADER, value);
    status
}

/// A channel that follows the leader. Cheap to clone; clones learn from each other.
#[derive(Debug, Clone)]
pub struct LeaderChannel {
    address: Arc<str>,
    given: Arc<Mutex<Channel>>,
    leader: Arc<Mutex<Option<(String, Channel)>>>,
}

/// Like [`channel`], to a service of which one replica leads.
///
/// # Errors
/// [`AddressError`] if the address is not `http://host:port`.
pub fn leader_channel(address: &str) -> Result<LeaderChannel, AddressError> {
    let given = Arc::new(Mutex::new(channel(address)?));
    Ok(LeaderChannel { address: address.into(), given, leader: Arc::default() })
}

impl LeaderChannel {
    fn current(&self) -> Channel {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let given = || self.given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        leader.as_ref().map_or_else(given, |(_, channel)| channel.clone())
    }

    /// The next try goes to the given address. Whether a leader was known until now.
    fn forget(&self) -> bool {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// The next try makes a new connection, to whichever replica that leads.
    fn connect_anew(&self) {
        if !self.forget()
            && let Ok(channel) = channel(&self.address)
        {
            *self.given.lock().unwrap_or_else(PoisonError::into_inner) = channel;
        }
    }

    fn learn(&self, address: &str) {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        if leader.as_ref().is_none_or(|(known, _)| known != address) {
            *leader = channel(&format!("http://{address}")).ok().map(|channel| (address.to_owned(), channel));
        }
    }

    /// Learns from an answer: where the leader is, or that it is not where it was.
    fn hear<T>(&self, response: &Response<T>) {
        let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
        if response.status() != StatusCode::OK {
            tracing::warn!(address = &*self.address, status = %response.status(), "no gRPC server answers: connecting anew");
            return self.connect_anew();
        }
        match response.headers().get(LEADER).and_then(|address| address.to_str().ok()) {
            Some(address) => self.learn(address),
            None if code == Some(Code::Unavailable) => self.connect_anew(),
            None => {}
        }
    }
}

impl Service<Request<Body>> for LeaderChannel {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Which channel it will be is known only with the call; that one is waited for there.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut channel, this) = (self.current(), self.clone());
        Box::pin(async move {
            let answer = match std::future::poll_fn(|context| channel.poll_ready(context)).await {
                Ok(()) => channel.call(request).await,
                Err(error) => Err(error),
            };
            match &answer {
                Ok(response) => this.hear(response),
                Err(_) => {
                    this.forget();
                }
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::extract::ConnectInfo;

    use super::*;

    fn known(channel: &LeaderChannel) -> Option<String> {
        channel.leader.lock().expect("no panic").as_ref().map(|(address, _)| address.clone())
    }

    #[tokio::test]
    async fn the_leader_is_remembered_until_it_cannot_be_reached() {
        let channel = leader_channel("http://127.0.0.1:9").expect("an address");
        let answer = |status: Status| status.into_http::<Body>();
        channel.hear(&answer(not_leader(Some("10.0.0.7:7110"))));
        assert_eq!(known(&channel).as_deref(), Some("10.0.0.7:7110"));
        channel.hear(&answer(Status::not_found("no such match")));
        assert_eq!(known(&channel).as_deref(), Some("10.0.0.7:7110"), "an answer of the leader");
        channel.hear(&answer(Status::unavailable("shutting down")));
        assert_eq!(known(&channel), None);
        channel.hear(&answer(not_leader(Some("127.0.0.1:1"))));
        let refused = channel.clone().call(Request::new(Body::empty())).await;
        assert!(refused.is_err(), "nobody listens there");
        assert_eq!(known(&channel), None);
        channel.hear(&answer(not_leader(None)));
        assert_eq!(known(&channel), None);
    }

    #[tokio::test]
    async fn a_connection_to_somebody_who_speaks_no_grpc_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let channel = leader_channel(&format!("http://{}", listener.local_addr().expect("bound"))).expect("an address");
        // The first connection reaches a stranger who keeps it open, every later one a gRPC server.
        let first = Arc::new(Mutex::new(None));
        let answer = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
            let stranger = *first.lock().expect("no panic").get_or_insert(peer);
            let status = if peer == stranger { StatusCode::NOT_FOUND } else { StatusCode::OK };
            (status, [("grpc-status", "5")])
        };
        let router = axum::Router::new().fallback(answer).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let answer = channel.clone().call(Request::new(Body::empty())).await.expect("an answer");
            statuses.push(answer.status().as_u16());
        }
        assert_eq!(statuses, [404, 200]);
    }
}
