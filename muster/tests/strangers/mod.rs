//! Strangers: programs that may reach every port of a platform, and know no secret of it.
//!
//! | module | owns |
//! |---|---|
//! | [`ports`] | which ports the platform's processes really listen on, by /proc |
//! | [`udp`] | what strangers send to game servers: noise, handshakes that lead nowhere, replays |
//! | [`tcp`] | what they send to everything that speaks HTTP or gRPC |

pub(crate) mod ports;
mod tcp;
mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use self::ports::{Port, Protocol};

/// Where strangers come from: this machine, but not the players' address.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// A flood that lasts until it is dropped.
pub(crate) struct Flood {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What the flood's threads share.
#[derive(Default)]
struct Shared {
    targets: Mutex<BTreeSet<Port>>,
    /// Datagrams sent and connections made so far, by port and kind.
    strikes: Mutex<BTreeMap<(Port, &'static str), u64>>,
    is_over: AtomicBool,
}

impl Shared {
    fn targets(&self, protocol: Protocol) -> Vec<SocketAddr> {
        let targets = self.targets.lock().expect("no panic with the lock");
        targets.iter().filter(|port| port.protocol == protocol).map(|port| port.address).collect()
    }

    fn count(&self, protocol: Protocol, address: SocketAddr, kind: &'static str) {
        let mut strikes = self.strikes.lock().expect("no panic with the lock");
        *strikes.entry((Port { protocol, address }, kind)).or_default() += 1;
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl Flood {
    /// Begins; the seed decides what is sent.
    pub(crate) fn begin(seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let (to_udp, to_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            std::thread::spawn(move || udp::flood(&to_udp, seed)),
            std::thread::spawn(move || tcp::flood(&to_tcp, seed + 1)),
        ];
        Self { shared, threads }
    }

    /// Floods these ports from now on, and no others.
    pub(crate) fn aim(&self, ports: BTreeSet<Port>) {
        *self.shared.targets.lock().expect("no panic with the lock") = ports;
    }

    /// What each port got so far, by kind.
    pub(crate) fn strikes(&self) -> BTreeMap<(Port, &'static str), u64> {
        self.shared.strikes.lock().expect("no panic with the lock").clone()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A flood that broke is a test that proved nothing; a second panic while one is told would hide the first.
            assert!(thread.join().is_ok() || std::thread::panicking(), "a thread of the flood panicked");
        }
    }
}
