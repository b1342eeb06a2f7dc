//! A server and its clients in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::token::JoinClaims;
use protocol::wire::Refusal;

use super::{Conditions, Link};
use crate::Micros;
use crate::endpoint::{ClientEndpoint, ClientEvent, HandshakeJob, ServerEndpoint, ServerEvent};

/// Checks a join token, as the server's shell would.
pub type Verify = Box<dyn Fn(&str) -> Result<JoinClaims, Refusal>>;

/// One server with many clients, each behind two links, in virtual time. [`run_until`](Self::run_until) jumps from event to
/// event and flushes every endpoint once per tick.
pub struct Network {
    /// The current time.
    pub now: Micros,
    /// The server.
    pub server: ServerEndpoint,
    /// Where the server is.
    pub server_address: SocketAddr,
    /// What the server said, oldest first; take from it what you have seen.
    pub server_events: Vec<ServerEvent>,
    /// The clients.
    pub hosts: Vec<Host>,
    /// Time between two flushes of every endpoint.
    pub tick: Duration,
    /// How long the worker takes for a handshake.
    pub handshake_takes: Duration,
    verify: Verify,
    working: Vec<(Micros, HandshakeJob)>,
    next_flush: Micros,
}

/// A client and its two links.
pub struct Host {
    /// The client.
    pub client: ClientEndpoint,
    /// Where it is now; change it and it sends from there.
    pub address: SocketAddr,
    /// What it said, oldest first; take from it what you have seen.
    pub events: Vec<ClientEvent>,
    /// Towards the server.
    pub up: Link,
    /// From the server.
    pub down: Link,
}

impl Network {
    /// A network with a server and no clients.
    pub fn new(server: ServerEndpoint, server_address: SocketAddr, verify: Verify) -> Self {
        Self {
            now: Micros::ZERO,
            server,
            server_address,
            server_events: Vec::new(),
            hosts: Vec::new(),
            tick: Duration::from_micros(16_667),
            handshake_takes: Duration::from_micros(300),
            verify,
            working: Vec::new(),
            next_flush: Micros::ZERO,
        }
    }

    /// Adds a client and returns its place among the hosts. Both its links have these conditions.
    pub fn add(&mut self, client: ClientEndpoint, address: SocketAddr, conditions: Conditions, seed: u64) -> usize {
        let up = Link::new(conditions, seed.wrapping_mul(2));
        let down = Link::new(conditions, seed.wrapping_mul(2).wrapping_add(1));
        self.hosts.push(Host { client, address, events: Vec::new(), up, down });
        self.hosts.len() - 1
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Micros) {
        loop {
            self.exchange();
            let next = self.next_event();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.expire();
        }
    }

    /// Runs for this long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Puts a datagram on the wire towards the server as if it came from `from`, at once.
    pub fn inject(&mut self, from: SocketAddr, datagram: &[u8]) -> crate::endpoint::Received {
        self.server.handle_datagram(self.now, from, datagram)
    }

    /// Moves every datagram that is due, and everything that follows from it at this moment.
    fn exchange(&mut self) {
        loop {
            self.transmit();
            let mut arrived = false;
            for place in 0..self.hosts.len() {
                let host = &mut self.hosts[place];
                while let Some(bytes) = host.up.poll(self.now) {
                    arrived = true;
                    self.server.handle_datagram(self.now, host.address, &bytes);
                }
                while let Some(bytes) = host.down.poll(self.now) {
                    arrived = true;
                    host.client.handle_datagram(self.now, self.server_address, &bytes);
                }
            }
            arrived |= self.work();
            if !arrived {
                return;
            }
        }
    }

    fn transmit(&mut self) {
        for host in &mut self.hosts {
            while let Some(transmit) = host.client.poll_transmit() {
                host.up.send(self.now, &transmit.bytes);
            }
            host.events.extend(std::iter::from_fn(|| host.client.poll_event()));
        }
        while let Some(transmit) = self.server.poll_transmit() {
            // To an address where nobody is, it is lost, as on any network.
            if let Some(host) = self.hosts.iter_mut().find(|host| host.address == transmit.to) {
                host.down.send(self.now, &transmit.bytes);
            }
        }
        self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
    }

    /// Runs the handshakes whose time has come.
    fn work(&mut self) -> bool {
        while let Some(job) = self.server.poll_handshake() {
            self.working.push((self.now + self.handshake_takes, job));
        }
        let (due, waiting) = std::mem::take(&mut self.working).into_iter().partition(|(at, _)| *at <= self.now);
        self.working = waiting;
        let due: Vec<(Micros, HandshakeJob)> = due;
        let worked = !due.is_empty();
        for (_, job) in due {
            let done = job.run(&*self.verify);
            self.server.complete_handshake(self.now, done);
        }
        worked
    }

    fn next_event(&self) -> Micros {
        let hosts = self
            .hosts
            .iter()
            .flat_map(|host| [host.client.poll_timeout(), host.up.poll_timeout(), host.down.poll_timeout()]);
        let working = self.working.iter().map(|(at, _)| Some(*at));
        let all = hosts.chain(working).chain([self.server.poll_timeout()]);
        all.flatten().min().unwrap_or(self.next_flush).min(self.next_flush)
    }

    fn expire(&mut self) {
        self.server.handle_timeout(self.now);
        self.hosts.iter_mut().for_each(|host| host.client.handle_timeout(self.now));
        if self.now >= self.next_flush {
            self.server.flush(self.now);
            self.hosts.iter_mut().for_each(|host| host.client.flush(self.now));
            self.next_flush = self.now + self.tick;
        }
    }
}
