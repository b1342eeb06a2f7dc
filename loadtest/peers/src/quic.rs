//! quinn's datagrams on its own driver: a single-threaded runtime that also runs the tick loop, the defaults throughout.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::clients::input;
use crate::clock::{Ticks, thread_cpu_ns};
use crate::counts::Counts;
use crate::server::{Measured, Meter};
use crate::work::{Work, tick_of, with_tick};
use crate::{CLIENTS, Peer};

const NAME: &str = "peers.test";

/// One run.
pub fn run(entities: u16, length: Duration) -> Measured {
    // An error says that an earlier run has installed it.
    let _ = quinn::rustls::crypto::ring::default_provider().install_default();
    let key = rcgen::generate_simple_self_signed(vec![NAME.into()]).expect("a certificate");
    let certificate = key.cert.der().clone();
    let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
    let runtime = runtime();
    let endpoint = runtime.block_on(async {
        let config = ServerConfig::with_single_cert(vec![certificate.clone()], secret).expect("a config");
        Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port")
    });
    let server = endpoint.local_addr().expect("bound");
    let counts = Arc::new(Counts::default());
    let crowd = {
        let counts = counts.clone();
        let work = move || self::runtime().block_on(clients(server, certificate, counts));
        std::thread::Builder::new().name("clients".into()).spawn(work).expect("a thread")
    };
    let measured = runtime.block_on(serve(endpoint, Work::new(Peer::Quinn, entities), &counts, length));
    crowd.join().expect("no client panics");
    measured
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Connections in the order in which they came, and the newest tick that each client has.
type Connections = Arc<Mutex<Vec<(Connection, Arc<AtomicU32>)>>>;

async fn serve(endpoint: Endpoint, mut work: Work, counts: &Counts, length: Duration) -> Measured {
    let connections = Connections::default();
    let accepting = tokio::spawn(accept(endpoint.clone(), connections.clone()));
    let mut meter = Meter::new(counts, length);
    let mut ticks = Ticks::begin();
    loop {
        tokio::time::sleep_until(Instant::from_std(ticks.next_deadline())).await;
        let connections: Vec<_> = connections.lock().expect("no panic").clone();
        for (client, (_, newest)) in connections.iter().enumerate() {
            work.delivered(client, newest.load(Ordering::Relaxed));
        }
        let before = thread_cpu_ns();
        work.step();
        let work_ns = thread_cpu_ns() - before;
        for (client, (connection, _)) in connections.iter().enumerate() {
            let _ = connection.send_datagram(Bytes::from(with_tick(work.tick(), work.payload(client))));
        }
        if meter.tick(&work, work_ns) {
            accepting.abort();
            return meter.end();
        }
    }
}

async fn accept(endpoint: Endpoint, connections: Connections) {
    while let Some(incoming) = endpoint.accept().await {
        let connections = connections.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let newest = Arc::new(AtomicU32::new(0));
            connections.lock().expect("no panic").push((connection.clone(), newest.clone()));
            while let Ok(datagram) = connection.read_datagram().await {
                newest.fetch_max(tick_of(&datagram), Ordering::Relaxed);
            }
        });
    }
}

/// Every client has an endpoint, and so a socket, of its own.
async fn clients(server: SocketAddr, certificate: CertificateDer<'static>, counts: Arc<Counts>) {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let config = ClientConfig::with_root_certificates(Arc::new(roots)).expect("a config");
    let mut members = Vec::new();
    for _ in 0..CLIENTS {
        let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        endpoint.set_default_client_config(config.clone());
        members.push(tokio::spawn(client(endpoint, server, counts.clone())));
    }
    for member in members {
        member.await.expect("no client panics");
    }
}

async fn client(endpoint: Endpoint, server: SocketAddr, counts: Arc<Counts>) {
    let connection = endpoint.connect(server, NAME).expect("a good name").await.expect("connected");
    counts.connected();
    let newest = Arc::new(AtomicU32::new(0));
    let reading = tokio::spawn(read(connection.clone(), newest.clone(), counts.clone()));
    let mut ticks = Ticks::begin();
    let mut before = connection.stats().udp_rx;
    while !counts.is_over() {
        tokio::time::sleep_until(Instant::from_std(ticks.next_deadline())).await;
        let _ = connection.send_datagram(Bytes::copy_from_slice(&input(newest.load(Ordering::Relaxed))));
        let now = connection.stats().udp_rx;
        counts.datagrams(now.datagrams - before.datagrams, now.bytes - before.bytes);
        before = now;
    }
    reading.abort();
}

async fn read(connection: Connection, newest: Arc<AtomicU32>, counts: Arc<Counts>) {
    while let Ok(datagram) = connection.read_datagram().await {
        newest.fetch_max(tick_of(&datagram), Ordering::Relaxed);
        counts.snapshot(datagram.len() - 4);
    }
}
