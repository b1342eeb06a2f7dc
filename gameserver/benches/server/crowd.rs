//! Many clients on one thread: the client core, one UDP socket each, an input every tick.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use client::{Client, ClientConfig, Event, NoPrediction};
use game::Game as _;
use gameserver::tick_timer::micros;
use netcode::Entropy;
use netcode::endpoint::QuicClientConfig;
use service::Shutdown;

use crate::walkers::Walkers;

/// From one look at all sockets to the next.
const TURN: Duration = Duration::from_millis(2);

/// What came from the server.
#[derive(Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) datagrams: u64,
    /// UDP payload.
    pub(crate) bytes: u64,
    pub(crate) snapshots: u64,
}

#[derive(Default)]
struct Counts {
    datagrams: AtomicU64,
    bytes: AtomicU64,
    snapshots: AtomicU64,
    connected: AtomicUsize,
}

/// The clients.
pub(crate) struct Crowd {
    counts: Arc<Counts>,
    thread: JoinHandle<()>,
}

struct Member {
    socket: UdpSocket,
    client: Client<NoPrediction>,
    snapshots: u64,
}

impl Counted {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            datagrams: self.datagrams - before.datagrams,
            bytes: self.bytes - before.bytes,
            snapshots: self.snapshots - before.snapshots,
        }
    }
}

impl Crowd {
    /// One client for each token, over native UDP or QUIC.
    pub(crate) fn start(
        server: SocketAddr,
        server_key: [u8; 32],
        quic: Option<QuicClientConfig>,
        tokens: Vec<String>,
        stop: Shutdown,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        let schema = Arc::new(Walkers::schema());
        let member = move |join_token: String| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.set_nonblocking(true).expect("a socket");
            let config = ClientConfig {
                server,
                server_key,
                routing_token: vec![7],
                credential: join_token.into(),
                schema: schema.clone(),
                quic: quic.clone(),
            };
            let entropy = Entropy::new(service::random::bytes());
            Member { socket, client: Client::new(config, entropy, micros()), snapshots: 0 }
        };
        let work = move || {
            let mut members: Vec<Member> = tokens.into_iter().map(member).collect();
            let mut buffer = vec![0; 2_048];
            while !stop.is_triggered() {
                members.iter_mut().for_each(|member| member.turn(&mut buffer, &shared));
                std::thread::sleep(TURN);
            }
        };
        Self { counts, thread: std::thread::Builder::new().name("crowd".into()).spawn(work).expect("a thread") }
    }

    pub(crate) fn connected(&self) -> usize {
        self.counts.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn counted(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            datagrams: read(&self.counts.datagrams),
            bytes: read(&self.counts.bytes),
            snapshots: read(&self.counts.snapshots),
        }
    }

    pub(crate) fn join(self) {
        self.thread.join().expect("no client panics");
    }
}

impl Member {
    fn turn(&mut self, buffer: &mut [u8], counts: &Counts) {
        loop {
            match self.socket.recv_from(buffer) {
                Ok((length, from)) => {
                    counts.datagrams.fetch_add(1, Ordering::Relaxed);
                    counts.bytes.fetch_add(length as u64, Ordering::Relaxed);
                    self.client.handle_datagram(micros(), from, &buffer[..length]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("cannot receive: {error}"),
            }
        }
        let now = micros();
        self.client.handle_timeout(now);
        while let Some(tick) = self.client.due_input(now) {
            let mut input = self.client.neutral_input();
            input.set(0, f32::from((tick.0 % 100) as u16) / 100.0);
            input.set_int(1, i64::from(tick.0 / 30 % 2));
            self.client.send_input(now, &input);
        }
        while let Some(transmit) = self.client.poll_transmit() {
            let _ = self.socket.send_to(&transmit.bytes, transmit.to);
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected(_) => drop(counts.connected.fetch_add(1, Ordering::Relaxed)),
                Event::Closed { reason, .. } => panic!("a session was closed: {reason:?}"),
                _ => {}
            }
        }
        let snapshots = self.client.stats(now).counts.snapshots;
        counts.snapshots.fetch_add(snapshots - self.snapshots, Ordering::Relaxed);
        self.snapshots = snapshots;
    }
}
