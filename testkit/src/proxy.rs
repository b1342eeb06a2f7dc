//! A TCP proxy that misbehaves on command: it cuts, stalls and heals, and cuts a PostgreSQL client off at its COMMIT.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The message that commits, as a client sends it by the simple query protocol.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What the proxy does with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Passes them on.
    Fair,
    /// Holds them back; nobody learns of it.
    Stalled,
    /// Connections break, new ones break at once.
    Cut,
}

/// Where a client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// The server never hears of the COMMIT.
    BeforeCommit,
    /// The server has committed, its answer is lost.
    AfterCommit,
}

/// The proxy. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    /// COMMITs still to be cut off.
    before: AtomicU32,
    after: AtomicU32,
    /// Connections that were opened.
    opened: AtomicU32,
}

impl Proxy {
    /// A proxy in front of `server`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (weather, sky) = watch::channel(Weather::Fair);
        let state = Arc::<State>::default();
        let task = tokio::spawn(listen(listener, server, sky, Arc::clone(&state)));
        Self { address, weather, state, task }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, for connections that stand and for new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Cuts the next `times` clients off that commit.
    pub fn cut_commits(&self, at: CutAt, times: u32) {
        match at {
            CutAt::BeforeCommit => &self.state.before,
            CutAt::AfterCommit => &self.state.after,
        }
        .store(times, Ordering::SeqCst);
    }

    /// COMMITs that are still to be cut off.
    pub fn cuts_left(&self) -> u32 {
        self.state.before.load(Ordering::SeqCst) + self.state.after.load(Ordering::SeqCst)
    }

    /// Connections that were opened so far.
    pub fn opened(&self) -> u32 {
        self.state.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, sky: watch::Receiver<Weather>, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        state.opened.fetch_add(1, Ordering::SeqCst);
        connections.spawn(connect(client, server, sky.clone(), Arc::clone(&state)));
    }
}

async fn connect(client: TcpStream, server: SocketAddr, mut sky: watch::Receiver<Weather>, state: Arc<State>) {
    if *sky.borrow_and_update() == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (muzzle, muzzled) = watch::channel(false);
    // Whoever ends first takes the connection with it.
    tokio::select! {
        () = requests(from_client, to_server, sky.clone(), &state, muzzle) => {}
        () = answers(from_server, to_client, sky.clone(), muzzled) => {}
        _ = sky.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut sky: watch::Receiver<Weather>,
    state: &State,
    muzzle: watch::Sender<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        if bytes.windows(COMMIT.len()).any(|window| window == COMMIT) {
            if take(&state.before) {
                return;
            }
            if take(&state.after) {
                muzzle.send_replace(true);
            }
        }
        if sky.wait_for(|weather| *weather != Weather::Stalled).await.is_err() || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut sky: watch::Receiver<Weather>,
    muzzled: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // The server has answered the COMMIT, so it has happened.
        let cut = *muzzled.borrow();
        if cut
            || sky.wait_for(|weather| *weather != Weather::Stalled).await.is_err()
            || to.write_all(&buffer[..length]).await.is_err()
        {
            return;
        }
    }
}

/// Takes one, if there are any.
fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
