//! The one thread that owns the UDP port: socket, endpoint, and which session sits where.
//!
//! One turn, in this order, each part bounded:
//! 1. receive at most [`DATAGRAMS_PER_TURN`] datagrams;
//! 2. take commands (after receiving: a room is known here before its first player can be);
//! 3. handshakes: finished ones in, new ones out to the worker;
//! 4. timers, then events: to seats and into the rooms' inboxes;
//! 5. the rooms' output into the endpoint, one flush, and everything to the socket;
//! 6. sleep until a datagram, a wake-up or the next timer.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use netcode::Micros;
use netcode::endpoint::ServerEndpoint;
use protocol::id::MatchId;
use protocol::wire::CloseReason;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::Timespec;
use tokio::sync::mpsc;

use crate::handshake_worker::HandshakeWorker;
use crate::io_rooms::{IoRooms, PlayerNews};
use crate::notice::Notice;
use crate::room_link::RoomLink;
use crate::socket::{GameSocket, Incoming};
use crate::tick_timer::micros;

/// Datagrams that one turn receives before it looks after everything else.
pub const DATAGRAMS_PER_TURN: usize = 256;
/// Commands that may wait: rooms are opened and closed a few times a minute.
const COMMANDS_MAX: usize = 1_024;
/// Longest sleep, so that the pulse shows a living thread.
const SLEEP_MAX: Duration = Duration::from_millis(200);
/// How often seats are checked and counters published.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// Time that close packets have to leave when the thread stops.
const STOP_LINGER: Duration = Duration::from_millis(50);

/// What other threads ask of the I/O thread.
#[derive(Debug)]
pub enum IoCommand {
    /// A room admits players.
    Open(Arc<RoomLink>),
    /// A room is over. Its sessions are closed once everything was delivered, or after `linger`.
    Close {
        /// The match.
        id: MatchId,
        /// What its clients are told.
        reason: CloseReason,
        /// How long the last messages may take.
        linger: Duration,
    },
    /// Refuse new clients from now on.
    Refuse,
    /// Close everything and end.
    Stop,
}

/// Wakes the I/O thread out of its sleep.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Wakes the thread, or makes its next sleep end at once.
    pub fn wake(&self) {
        // Fails only when the counter is full: then the thread is about to wake anyway.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    fn reset(&self) {
        let _ = rustix::io::read(&*self.0, &mut [0u8; 8]);
    }
}

/// The other threads' end of the I/O thread.
#[derive(Debug, Clone)]
pub struct IoHandle {
    commands: SyncSender<IoCommand>,
    waker: Waker,
    players: Arc<AtomicUsize>,
    /// Held so that health still watches it when the thread has died.
    _pulse: Arc<AtomicU64>,
}

impl IoHandle {
    /// Gives a command. Waits only if a thousand of them wait already; does nothing once the thread has ended.
    pub fn send(&self, command: IoCommand) {
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Players connected, as last counted.
    pub fn players(&self) -> usize {
        self.players.load(Ordering::Relaxed)
    }

    /// Says that a room's outbox has something.
    pub fn wake(&self) {
        self.waker.wake();
    }
}

/// What the I/O thread is made of, before it starts.
pub struct IoParts {
    /// The bound port.
    pub socket: GameSocket,
    /// Its endpoint.
    pub endpoint: ServerEndpoint,
    /// Moves with every turn.
    pub pulse: Arc<AtomicU64>,
    /// Where the host learns that a room's last session is closed.
    pub notices: mpsc::UnboundedSender<Notice>,
    /// Where the host learns what becomes of players; news that do not fit are dropped.
    pub players: mpsc::Sender<PlayerNews>,
}

/// Starts the thread, and by `worker` its handshake worker.
///
/// # Errors
/// If the system refuses an event descriptor or a thread.
pub fn start(
    parts: IoParts,
    worker: impl FnOnce(Waker) -> std::io::Result<HandshakeWorker>,
) -> std::io::Result<(IoHandle, JoinHandle<()>)> {
    let (sender, commands) = sync_channel(COMMANDS_MAX);
    let waker = Waker::new()?;
    let worker = worker(waker.clone())?;
    let players = Arc::new(AtomicUsize::new(0));
    let rooms = IoRooms::new(parts.players, parts.notices, players.clone());
    let pulse = parts.pulse.clone();
    let thread = IoThread {
        socket: parts.socket,
        endpoint: parts.endpoint,
        pulse: parts.pulse,
        commands,
        waker: waker.clone(),
        worker,
        rooms,
        housekeeping_at: Micros::ZERO,
    };
    let join = std::thread::Builder::new().name("game-io".into()).spawn(move || thread.run())?;
    Ok((IoHandle { commands: sender, waker, players, _pulse: pulse }, join))
}

struct IoThread {
    socket: GameSocket,
    endpoint: ServerEndpoint,
    pulse: Arc<AtomicU64>,
    commands: Receiver<IoCommand>,
    waker: Waker,
    worker: HandshakeWorker,
    rooms: IoRooms,
    housekeeping_at: Micros,
}

impl IoThread {
    fn run(mut self) {
        loop {
            self.pulse.fetch_add(1, Ordering::Relaxed);
            let more = self.receive();
            if self.take_commands().is_break() {
                return self.stop();
            }
            self.handshakes();
            let now = micros();
            self.endpoint.handle_timeout(now);
            self.rooms.events(now, &mut self.endpoint);
            self.rooms.send(now, &mut self.endpoint);
            self.transmit();
            self.housekeeping(now);
            if !more {
                self.sleep();
            }
        }
    }

    /// Whether more may be waiting.
    fn receive(&mut self) -> bool {
        let now = micros();
        for _ in 0..DATAGRAMS_PER_TURN {
            match self.socket.receive() {
                // One bad datagram never ends the batch: the endpoint counts it.
                Incoming::Datagram(from, datagram) => drop(self.endpoint.handle_datagram(now, from, datagram)),
                Incoming::Skip => {}
                Incoming::Nothing => return false,
            }
        }
        true
    }

    fn take_commands(&mut self) -> std::ops::ControlFlow<()> {
        loop {
            match self.commands.try_recv() {
                Ok(IoCommand::Open(link)) => self.rooms.open(link),
                Ok(IoCommand::Close { id, reason, linger }) => self.rooms.close(micros() + linger, id, reason),
                Ok(IoCommand::Refuse) => self.endpoint.drain(micros()),
                Ok(IoCommand::Stop) | Err(TryRecvError::Disconnected) => return std::ops::ControlFlow::Break(()),
                Err(TryRecvError::Empty) => return std::ops::ControlFlow::Continue(()),
            }
        }
    }

    fn handshakes(&mut self) {
        while let Some(done) = self.worker.finished() {
            self.endpoint.complete_handshake(micros(), done);
        }
        self.worker.feed(|| self.endpoint.poll_handshake());
    }

    fn transmit(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.socket.send(transmit.to, &transmit.bytes);
            self.endpoint.recycle(transmit.bytes);
        }
    }

    fn housekeeping(&mut self, now: Micros) {
        if now < self.housekeeping_at {
            return;
        }
        self.housekeeping_at = now + HOUSEKEEPING;
        self.rooms.handle_timeout(now, &mut self.endpoint);
        self.transmit();
        crate::metrics::endpoint(self.endpoint.counters(), self.endpoint.sessions() + self.endpoint.half_open());
    }

    fn sleep(&mut self) {
        let now = micros();
        let timer = self.endpoint.poll_timeout().map_or(SLEEP_MAX, |at| at.since(now));
        let wait = timer.min(SLEEP_MAX).min(self.housekeeping_at.since(now));
        let timeout = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).expect("below a second"),
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut sources = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.waker.0.as_fd(), PollFlags::IN),
        ];
        // An interrupted wait is a short one.
        let _ = poll(&mut sources, Some(&timeout));
        if !sources[1].revents().is_empty() {
            self.waker.reset();
        }
    }

    fn stop(mut self) {
        let now = micros();
        self.rooms.close_all(now, &mut self.endpoint, CloseReason::Draining);
        self.endpoint.flush(now);
        self.transmit();
        std::thread::sleep(STOP_LINGER);
        self.receive();
        self.transmit();
    }
}

/// The address of a bound port as other machines of this one reach it: an unspecified address becomes loopback.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if bound.ip().is_unspecified() {
        address.set_ip(match bound {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
