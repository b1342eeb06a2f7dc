//! What allocator and matchmaker say, as it changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::pb;
use protocol::pb::allocator_client::AllocatorClient;
use protocol::pb::matchmaker_client::MatchmakerClient;
use protocol::token::{ALLOCATOR_AUDIENCE, AUTHORIZATION, MATCHMAKER_AUDIENCE};
use service::Shutdown;
use service::backoff::Backoff;
use service::leader::LeaderChannel;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tonic::{Request, Status, Streaming};

/// First and longest wait before a broken stream is opened again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Largest message: 10,000 servers with a match each.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What came.
#[derive(Debug)]
pub(crate) enum Said {
    /// The allocator's whole pool.
    Pool(pb::GetPoolResponse),
    /// The matchmaker's queues.
    Queues(pb::ListQueuesResponse),
    /// One event of the allocator's log.
    Match(Box<pb::MatchEvent>),
    /// The allocator cannot be asked.
    NoPool,
    /// The matchmaker cannot be asked.
    NoQueues,
}

/// Keeps all streams open until shutdown.
pub(crate) fn follow(
    allocator: LeaderChannel,
    matchmaker: LeaderChannel,
    tokens: PathBuf,
    told: &mpsc::Sender<Said>,
    end: &Shutdown,
) {
    let client = AllocatorClient::new(allocator).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (pool, log, folder) = (client.clone(), client, tokens.clone());
    let pool = move || {
        let (mut client, request) = (pool.clone(), with_token(&folder, ALLOCATOR_AUDIENCE, pb::WatchPoolRequest {}));
        async move { client.watch_pool(request).await }
    };
    spawn("the allocator's pool", pool, Said::Pool, Some(|| Said::NoPool), told, end);
    let folder = tokens.clone();
    let log = move || {
        // From the beginning: an end that was told before changes nothing.
        let request = with_token(&folder, ALLOCATOR_AUDIENCE, pb::WatchMatchesRequest { cursor: 0 });
        let mut client = log.clone();
        async move { client.watch_matches(request).await }
    };
    spawn("the allocator's log", log, |event| Said::Match(Box::new(event)), None, told, end);
    let client = MatchmakerClient::new(matchmaker).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let queues = move || {
        let (mut client, request) =
            (client.clone(), with_token(&tokens, MATCHMAKER_AUDIENCE, pb::WatchQueuesRequest {}));
        async move { client.watch_queues(request).await }
    };
    spawn("the matchmaker's queues", queues, Said::Queues, Some(|| Said::NoQueues), told, end);
}

/// Opens a stream again and again. `lost` is told when it breaks off, and when it cannot be opened at first.
fn spawn<T, F>(
    what: &'static str,
    open: impl Fn() -> F + Send + 'static,
    said: fn(T) -> Said,
    lost: Option<fn() -> Said>,
    told: &mpsc::Sender<Said>,
    end: &Shutdown,
) where
    T: Send + 'static,
    F: Future<Output = Result<tonic::Response<Streaming<T>>, Status>> + Send + 'static,
{
    let (told, end) = (told.clone(), end.clone());
    let run = async move {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let ended = match open().await {
                Ok(stream) => read(stream.into_inner(), said, &told, &mut backoff).await,
                Err(status) => status,
            };
            if backoff.tries() == 0 {
                tracing::info!(stream = what, status = %ended.message(), "a stream broke off; it is opened again");
            }
            if let Some(lost) = lost
                && told.send(lost()).await.is_err()
            {
                return;
            }
            tokio::time::sleep(backoff.next(service::random::u64())).await;
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = end.wait() => {}
            () = run => {}
        }
    });
}

async fn read<T>(
    mut stream: Streaming<T>,
    said: fn(T) -> Said,
    told: &mpsc::Sender<Said>,
    backoff: &mut Backoff,
) -> Status {
    while let Some(message) = stream.next().await {
        match message {
            Ok(message) => {
                backoff.reset();
                if told.send(said(message)).await.is_err() {
                    break;
                }
            }
            Err(status) => return status,
        }
    }
    Status::unavailable("it ended")
}

/// A request with the token of its audience, read anew: the kubelet renews the file. Without a file the call goes out without
/// a token, and its answer says that one is required.
fn with_token<T>(folder: &Path, audience: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    match std::fs::read_to_string(folder.join(audience)) {
        Ok(token) => match format!("Bearer {}", token.trim()).parse() {
            Ok(value) => {
                request.metadata_mut().insert(AUTHORIZATION, value);
            }
            Err(_) => tracing::warn!(audience, "the token's file does not hold a token"),
        },
        Err(error) => tracing::debug!(audience, %error, "no token could be read"),
    }
    request
}
