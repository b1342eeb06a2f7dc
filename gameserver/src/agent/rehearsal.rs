//! The agent's API without a socket and without a platform: for hostile input, which wants many thousands of answers.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use protocol::id::ServerId;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::codegen::Service as _;

use super::book::Book;
use super::desk::Desk;
use super::http;
use crate::handshake_worker::TokenKeys;
use crate::notice::Notice;
use crate::room_thread::RoomOrder;
use crate::stage::{ResultStep, Stage};

/// Ticks per second that the matches have.
const TICK_RATE_HZ: u32 = 60;

/// An agent that hosts what it is told, whose results are always on the disk at once, and that lets nobody in: it knows no
/// key of an allocator.
#[derive(Debug)]
pub struct Rehearsal {
    runtime: Runtime,
    desk: Desk,
    router: Router,
}

impl Rehearsal {
    /// An agent with these matches assigned.
    ///
    /// # Errors
    /// If the system gives no runtime.
    pub fn new(orders: Vec<RoomOrder>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (notices, told) = mpsc::unbounded_channel();
        // News of players are for watchers; there are none.
        let (players, _) = mpsc::channel(1);
        let book = Book::new("rehearsal", TICK_RATE_HZ);
        let desk = Desk::new(book, ServerId::from_entropy([7; 16]), TokenKeys::default(), notices, players);
        desk.heard("rehearsal");
        orders.into_iter().for_each(|order| desk.start(order));
        runtime.spawn(keep_results(desk.clone(), told));
        let router = http::router(desk.clone(), service::Shutdown::new());
        Ok(Self { runtime, desk, router })
    }

    /// Posts a body that is declared as JSON. The status and the body of the answer.
    ///
    /// # Panics
    /// If `path` is no path of a URL.
    pub fn post(&self, path: &str, body: &[u8]) -> (u16, Bytes) {
        let request =
            Request::post(path).header(header::HOST, "127.0.0.1").header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(Bytes::copy_from_slice(body))).expect("a path of a URL");
        let mut router = self.router.clone();
        self.runtime.block_on(async move {
            let response = router.call(request).await.unwrap_or_else(|never| match never {});
            let status = response.status().as_u16();
            // An answer of the agent is in memory already.
            (status, axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default())
        })
    }

    /// Matches that are not over.
    pub fn matches(&self) -> usize {
        self.desk.read(|book, _| book.matches().count())
    }
}

/// Plays the host: every result is safe at once.
async fn keep_results(desk: Desk, mut told: mpsc::UnboundedReceiver<Notice>) {
    while let Some(notice) = told.recv().await {
        if let Notice::Ended(ended, _) = notice {
            Stage::result(&desk, ended.id, ResultStep::Spooled);
        }
    }
}
