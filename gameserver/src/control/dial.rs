//! The real stream to the allocator: dials, carries messages, and dials again with jittered pauses, for ever.

use std::time::Duration;

use protocol::pb;
use protocol::pb::control_link_client::ControlLinkClient;
use service::Shutdown;
use service::backoff::Backoff;
use service::leader::LeaderChannel;
use service::token::TokenInterceptor;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::interceptor::InterceptedService;

/// Messages that may wait for a slow stream. A host that finds it full cuts the link; unacknowledged updates are
/// repeated over the next.
pub const MESSAGES_MAX: usize = 256;
/// First and longest pause between two dials.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The client of the control link, with a service token on every call.
pub type Client = ControlLinkClient<InterceptedService<LeaderChannel, TokenInterceptor>>;

/// The host's end of a stream. Dropping it cuts the stream.
#[derive(Debug)]
pub struct Connection {
    /// Messages to the allocator.
    pub messages: mpsc::Sender<pb::ServerMessage>,
    _cut: DropGuard,
}

impl Connection {
    /// No more messages: the stream ends once those before are sent. Dropping the guard cuts it all the same.
    pub fn end(self) -> DropGuard {
        let Self { messages, _cut: cut } = self;
        drop(messages);
        cut
    }
}

/// What happens to the link.
#[derive(Debug)]
pub enum LinkEvent {
    /// A stream is about to open: the first message on it must be Register.
    Opened(Connection),
    /// The allocator says something.
    Message(pb::AllocatorMessage),
    /// The stream has ended, and why.
    Closed(String),
}

/// Keeps one stream open until shutdown, telling `events` what happens.
pub async fn dial(client: Client, events: mpsc::Sender<LinkEvent>, shutdown: Shutdown) {
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    loop {
        let carried = tokio::select! {
            carried = carry(client.clone(), &events) => carried,
            () = shutdown.wait() => return,
        };
        let Ok((why, heard)) = carried else { return };
        if heard {
            backoff.reset();
        }
        crate::metrics::link_closed();
        if events.send(LinkEvent::Closed(why)).await.is_err() {
            return;
        }
        let pause = backoff.next(u64::from_le_bytes(service::random::bytes()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.wait() => return,
        }
    }
}

/// The host has ended.
struct HostGone;

/// Opens one stream and carries its messages until it ends: why, and whether anything was heard on it.
async fn carry(mut client: Client, events: &mpsc::Sender<LinkEvent>) -> Result<(String, bool), HostGone> {
    let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
    let cut = CancellationToken::new();
    let connection = Connection { messages, _cut: cut.clone().drop_guard() };
    events.send(LinkEvent::Opened(connection)).await.map_err(|_| HostGone)?;
    let mut heard = false;
    let stream = tokio::select! {
        stream = client.link(ReceiverStream::new(outgoing)) => stream,
        () = cut.cancelled() => return Ok(("cut by this server".into(), heard)),
    };
    let mut incoming = match stream {
        Ok(stream) => stream.into_inner(),
        Err(status) => return Ok((describe(&status), heard)),
    };
    loop {
        let message = tokio::select! {
            message = incoming.message() => message,
            () = cut.cancelled() => return Ok(("cut by this server".into(), heard)),
        };
        match message {
            Ok(Some(message)) => {
                heard = true;
                events.send(LinkEvent::Message(message)).await.map_err(|_| HostGone)?;
            }
            Ok(None) => return Ok(("ended by the allocator".into(), heard)),
            Err(status) => return Ok((describe(&status), heard)),
        }
    }
}

fn describe(status: &tonic::Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}
