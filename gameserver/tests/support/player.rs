//! A player: the client core on a real UDP socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, ClientConfig, Credential, Event, NoPrediction, Resumption};
use game::Game as _;
use gameserver::Running;
use netcode::{Entropy, Micros};
use protocol::wire::{CloseReason, Refusal};
use testkit::wait::PATIENCE;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::game::Race;

/// A player at play; ends by itself when its session does.
pub(crate) struct Player {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<u64>,
}

enum Command {
    Leave,
    Vanish,
    GoAway(oneshot::Sender<Option<Resumption>>),
}

/// How a player plays.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    pub(crate) goes: bool,
}

impl Player {
    pub(crate) async fn join(running: &Running, credential: impl Into<Credential>, style: Style) -> Self {
        Self::join_at(running.udp, running.server_key, credential, style).await
    }

    pub(crate) async fn join_at(
        server: SocketAddr,
        server_key: [u8; 32],
        credential: impl Into<Credential>,
        style: Style,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let schema = Arc::new(Race::schema());
        let credential = credential.into();
        let config = ClientConfig { server, server_key, routing_token: vec![7], credential, schema, quic: None };
        let (event_sender, events) = mpsc::unbounded_channel();
        let (commands, command_receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(pump(socket, config, style, event_sender, command_receiver));
        Self { events, commands, task }
    }

    pub(crate) fn leave(&self) {
        self.commands.send(Command::Leave).expect("still playing");
    }

    /// Falls silent for ever, as a crashed client does.
    pub(crate) fn vanish(&self) {
        self.commands.send(Command::Vanish).expect("still playing");
    }

    /// Falls silent, and keeps what it can come back with. What it heard before stays in its events.
    pub(crate) async fn go_away(&self) -> Resumption {
        let (left, receiver) = oneshot::channel();
        self.commands.send(Command::GoAway(left)).expect("still playing");
        receiver.await.expect("the client ends").expect("the server was heard")
    }

    /// The number in the game's next message.
    pub(crate) async fn told(&mut self) -> u32 {
        self.until_some("a message with a number", |event| match event {
            Event::Game(bytes) => bytes.try_into().map(u32::from_le_bytes).ok(),
            _ => None,
        })
        .await
    }

    /// The first event that `wanted` makes something of; others are skipped.
    pub(crate) async fn until_some<T>(&mut self, what: &str, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("the client ended before {what}"));
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }

    pub(crate) async fn connected(&mut self) -> client::Welcome {
        self.until_some("the welcome", |event| match event {
            Event::Connected(welcome) => Some(welcome),
            Event::Refused { refusal, .. } => panic!("refused: {refusal:?}"),
            _ => None,
        })
        .await
    }

    pub(crate) async fn refused(&mut self) -> Refusal {
        let refused = |event| if let Event::Refused { refusal, .. } = event { Some(refusal) } else { None };
        self.until_some("a refusal", refused).await
    }

    pub(crate) async fn ended(&mut self) -> client::Ending {
        let ended = |event| if let Event::Ended(ending) = event { Some(ending) } else { None };
        self.until_some("the end of the match", ended).await
    }

    pub(crate) async fn closed(&mut self) -> CloseReason {
        let closed = |event| if let Event::Closed { reason, .. } = event { Some(reason) } else { None };
        self.until_some("the end of the session", closed).await
    }

    /// Snapshots that arrived, once the client is done.
    pub(crate) async fn snapshots(self) -> u64 {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the client ends").expect("no panic")
    }
}

async fn pump(
    socket: UdpSocket,
    config: ClientConfig,
    style: Style,
    events: mpsc::UnboundedSender<Event>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) -> u64 {
    let start = Instant::now();
    let now = || Micros(u64::try_from(start.elapsed().as_micros()).expect("short") + 1_000_000);
    let entropy = Entropy::new(service::random::bytes());
    let mut client: Client<NoPrediction> = Client::new(config, entropy, now());
    let mut buffer = vec![0; 2_048];
    loop {
        client.handle_timeout(now());
        while client.due_input(now()).is_some() {
            let mut input = client.neutral_input();
            input.set_int(0, i64::from(style.goes));
            client.send_input(now(), &input);
        }
        while let Some(transmit) = client.poll_transmit() {
            let _ = socket.send_to(&transmit.bytes, transmit.to).await;
        }
        while let Some(event) = client.poll_event() {
            let _ = events.send(event);
        }
        let Some(at) = client.poll_timeout() else { break };
        let wait = at.since(now()).clamp(Duration::from_micros(200), Duration::from_millis(50));
        tokio::select! {
            received = tokio::time::timeout(wait, socket.recv_from(&mut buffer)) => {
                if let Ok(Ok((length, from))) = received {
                    client.handle_datagram(now(), from, &buffer[..length]);
                }
            }
            Some(command) = commands.recv() => match command {
                Command::Leave => client.leave(now()),
                Command::Vanish => break,
                Command::GoAway(left) => {
                    let _ = left.send(client.resumption());
                    break;
                }
            },
        }
    }
    client.stats(now()).counts.snapshots
}
