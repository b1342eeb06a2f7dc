//! renet with its netcode transport, as its documentation uses it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use renet::{ConnectionConfig, DefaultChannel, RenetClient, RenetServer};
use renet_netcode::{NetcodeServerTransport, ServerAuthentication, ServerConfig};
use renetcode::{ClientAuthentication, NetcodeClient};

use crate::clients::{self, Member, input};
use crate::counts::Counts;
use crate::server::{Carrier, Measured, drive};
use crate::work::{Work, tick_of, with_tick};
use crate::{CLIENTS, Peer};

const PROTOCOL: u64 = 7;

struct Server {
    server: RenetServer,
    transport: NetcodeServerTransport,
    last: Instant,
}

/// The client's transport is written out here, because renet's own owns the socket and does not count its bytes.
struct Client {
    client: RenetClient,
    netcode: NetcodeClient,
    last: Instant,
    newest: u32,
    is_counted: bool,
}

/// One run, with the payloads of `peer`.
pub fn run(peer: Peer, entities: u16, length: Duration) -> Measured {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("bound");
    let config = ServerConfig {
        current_time: unix_time(),
        max_clients: CLIENTS,
        protocol_id: PROTOCOL,
        public_addresses: vec![address],
        // Only the token's key is public then; packets are sealed all the same.
        authentication: ServerAuthentication::Unsecure,
    };
    let transport = NetcodeServerTransport::new(config, socket).expect("a server");
    let server = RenetServer::new(ConnectionConfig::default());
    let mut carrier = Server { server, transport, last: Instant::now() };
    let counts = Arc::new(Counts::default());
    let crowd = clients::start(&counts, move |n, _| Client::new(n as u64, address));
    let measured = drive(&mut Work::new(peer, entities), &mut carrier, &counts, length);
    crowd.join().expect("no client panics");
    measured
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}

impl Carrier for Server {
    fn receive(&mut self, delivered: &mut dyn FnMut(usize, u32)) {
        let passed = self.last.elapsed();
        self.last += passed;
        self.server.update(passed);
        self.transport.update(passed, &mut self.server).expect("a working socket");
        while self.server.get_event().is_some() {}
        for id in self.server.clients_id() {
            while let Some(message) = self.server.receive_message(id, DefaultChannel::Unreliable) {
                delivered(usize::try_from(id).expect("few clients"), tick_of(&message));
            }
        }
    }

    fn send(&mut self, work: &Work) {
        if let Some(payload) = work.broadcast() {
            self.server.broadcast_message(DefaultChannel::Unreliable, payload.to_vec());
        } else {
            for id in self.server.clients_id() {
                let payload = work.payload(usize::try_from(id).expect("few clients"));
                self.server.send_message(id, DefaultChannel::Unreliable, with_tick(work.tick(), payload));
            }
        }
        self.transport.send_packets(&mut self.server);
    }
}

impl Client {
    fn new(client_id: u64, server_addr: SocketAddr) -> Self {
        let authentication =
            ClientAuthentication::Unsecure { protocol_id: PROTOCOL, client_id, server_addr, user_data: None };
        Self {
            client: RenetClient::new(ConnectionConfig::default()),
            netcode: NetcodeClient::new(unix_time(), authentication).expect("a token"),
            last: Instant::now(),
            newest: 0,
            is_counted: false,
        }
    }
}

impl Member for Client {
    fn datagram(&mut self, _from: SocketAddr, datagram: &mut [u8], counts: &Counts) {
        if let Some(payload) = self.netcode.process_packet(datagram) {
            self.client.process_packet(payload);
        }
        if self.netcode.is_connected() && !self.is_counted {
            self.is_counted = true;
            self.client.set_connected();
            counts.connected();
        }
        while let Some(message) = self.client.receive_message(DefaultChannel::Unreliable) {
            self.newest = self.newest.max(tick_of(&message));
            counts.snapshot(message.len() - 4);
        }
    }

    fn tick(&mut self, socket: &UdpSocket, _counts: &Counts) {
        let passed = self.last.elapsed();
        self.last += passed;
        self.client.update(passed);
        if let Some((packet, to)) = self.netcode.update(passed) {
            let _ = socket.send_to(packet, to);
        }
        if !self.netcode.is_connected() {
            return;
        }
        self.client.send_message(DefaultChannel::Unreliable, input(self.newest).to_vec());
        for packet in self.client.get_packets_to_send() {
            let (to, sealed) = self.netcode.generate_payload_packet(&packet).expect("connected");
            let _ = socket.send_to(sealed, to);
        }
    }
}
