//! Stands between programs and the API server, so that the connections of one program can be cut and heal again.
//!
//! It carries bytes: TLS goes through from end to end, and each program has a port of its own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::kubectl::kubectl;

/// How often an idle direction looks whether it is cut.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that were on their way when the cut began may still arrive within this time.
const SETTLED: Duration = Duration::from_millis(100);
/// How long the API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// What a port does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Way {
    /// Bytes go through.
    Open,
    /// Every connection is ended, and new ones at once.
    Severed,
    /// Connections stand, and nothing goes through: what a lost network looks like.
    Stalled,
}

/// What a cut did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Connections that stood when it began.
    pub(crate) stood: u64,
    /// Connections that were tried meanwhile.
    pub(crate) tried: u64,
    /// Bytes that went through meanwhile.
    pub(crate) bytes: u64,
}

/// One port of the proxy.
#[derive(Debug)]
pub(crate) struct Line {
    /// The port.
    pub(crate) port: u16,
    upstream: SocketAddr,
    way: AtomicU8,
    standing: AtomicU64,
    tried: AtomicU64,
    bytes: AtomicU64,
}

impl Line {
    /// A port of this machine that leads to `upstream`.
    pub(crate) fn open(upstream: SocketAddr) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind("0.0.0.0:0").context("cannot bind a port for the API proxy")?;
        let line = Arc::new(Self {
            port: listener.local_addr()?.port(),
            upstream,
            way: AtomicU8::new(Way::Open as u8),
            standing: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&line);
        // It ends with the process: a handful of threads for one run of tests.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let line = Arc::clone(&accepting);
                std::thread::spawn(move || line.carry(&client));
            }
        });
        Ok(line)
    }

    /// Cuts for so long, and heals.
    pub(crate) fn cut(&self, way: Way, time: Duration) -> Cut {
        let stood = self.standing.load(Ordering::SeqCst);
        self.way.store(way as u8, Ordering::SeqCst);
        std::thread::sleep(SETTLED);
        let (bytes, tried) = (self.bytes.load(Ordering::SeqCst), self.tried.load(Ordering::SeqCst));
        std::thread::sleep(time.saturating_sub(SETTLED));
        let cut = Cut {
            stood,
            tried: self.tried.load(Ordering::SeqCst) - tried,
            bytes: self.bytes.load(Ordering::SeqCst) - bytes,
        };
        self.way.store(Way::Open as u8, Ordering::SeqCst);
        cut
    }

    /// Whether a connection stands.
    pub(crate) fn stands(&self) -> bool {
        self.standing.load(Ordering::SeqCst) > 0
    }

    /// Whether it is cut at this very moment.
    pub(crate) fn is_cut(&self) -> bool {
        !self.is(Way::Open)
    }

    fn is(&self, way: Way) -> bool {
        self.way.load(Ordering::SeqCst) == way as u8
    }

    fn carry(&self, client: &TcpStream) {
        self.tried.fetch_add(1, Ordering::SeqCst);
        self.wait_while_stalled();
        if self.is(Way::Severed) {
            return;
        }
        let Ok(server) = TcpStream::connect_timeout(&self.upstream, CONNECT) else { return };
        for stream in [client, &server] {
            // Without a timeout an idle connection would never see that it is cut.
            let set = stream.set_read_timeout(Some(LOOK)).and_then(|()| stream.set_nodelay(true));
            if set.is_err() {
                return;
            }
        }
        self.standing.fetch_add(1, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| self.pump(client, &server));
            self.pump(&server, client);
        });
        self.standing.fetch_sub(1, Ordering::SeqCst);
    }

    /// One direction, until either end or a cut ends the connection.
    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = [0; 16 << 10];
        while !self.is(Way::Severed) {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) => break,
            };
            self.wait_while_stalled();
            if self.is(Way::Severed) || to.write_all(&buffer[..read]).is_err() {
                break;
            }
            self.bytes.fetch_add(read as u64, Ordering::SeqCst);
        }
        for stream in [from, to] {
            // An error means that it has ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn wait_while_stalled(&self) {
        while self.is(Way::Stalled) {
            std::thread::sleep(LOOK);
        }
    }
}

/// The API server that `kubectl` talks to.
pub(crate) fn api_server() -> anyhow::Result<SocketAddr> {
    let url = kubectl(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])?;
    let host = url.trim().trim_start_matches("https://").trim_end_matches('/');
    ensure!(!host.contains('/'), "the API server {url} is behind a path, which the API proxy cannot carry");
    let host = if host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:443")
    };
    let address = host.to_socket_addrs().with_context(|| format!("cannot resolve {host}"))?.next();
    address.with_context(|| format!("{host} has no address"))
}

/// The address that this machine uses towards a node: from there it can be reached, too.
pub(crate) fn reach(node: IpAddr) -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((node, 9)).with_context(|| format!("no way to the node {node}"))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn until(what: &str, holds: impl Fn() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(20), "never so: {what}");
            std::thread::sleep(LOOK);
        }
    }

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut writer = client.try_clone().expect("a clone");
                    std::io::copy(&mut client, &mut writer).ok();
                });
            }
        });
        address
    }

    fn ask(client: &mut TcpStream, word: [u8; 4]) -> std::io::Result<[u8; 4]> {
        client.write_all(&word)?;
        let mut answer = [0; 4];
        client.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn connected(line: &Line) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", line.port)).expect("a connection");
        assert_eq!(ask(&mut client, *b"ping").expect("carried"), *b"ping");
        client
    }

    #[test]
    fn a_severed_line_ends_what_stands_and_refuses_what_comes_until_it_heals() {
        let line = Line::open(echo()).expect("a line");
        let mut client = connected(&line);
        let cut = std::thread::scope(|scope| {
            let cutting = scope.spawn(|| line.cut(Way::Severed, Duration::from_millis(600)));
            until("the cut", || line.is(Way::Severed));
            assert!(ask(&mut client, *b"pong").is_err(), "it stands on");
            std::thread::sleep(SETTLED * 2);
            let mut late = TcpStream::connect(("127.0.0.1", line.port)).expect("accepted");
            assert!(ask(&mut late, *b"late").is_err(), "it is carried");
            cutting.join().expect("no panic")
        });
        assert_eq!(cut, Cut { stood: 1, tried: 1, bytes: 0 });
        connected(&line);
    }

    #[test]
    fn a_stalled_line_carries_nothing_and_everything_afterwards() {
        let line = Line::open(echo()).expect("a line");
        let mut client = connected(&line);
        let cut = std::thread::scope(|scope| {
            let cutting = scope.spawn(|| line.cut(Way::Stalled, Duration::from_millis(400)));
            until("the cut", || line.is(Way::Stalled));
            let answer = ask(&mut client, *b"wait").expect("it stands");
            assert_eq!(answer, *b"wait");
            cutting.join().expect("no panic")
        });
        assert_eq!((cut.stood, cut.bytes), (1, 0));
    }
}
