//! A bot's UDP socket, with a bad network between it and the server where that is wanted.

use std::io;
use std::net::SocketAddr;

use netcode::Micros;
use netcode::emulator::{Conditions, Link};
use tokio::net::UdpSocket;

/// Longest datagram that is received.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// A socket that speaks with one server. Both directions pass an emulated link each, if there are conditions.
#[derive(Debug)]
pub struct Socket {
    udp: UdpSocket,
    server: SocketAddr,
    links: Option<Links>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Links {
    up: Link,
    down: Link,
}

impl Socket {
    /// A socket on a free port. `conditions` hold for each direction; the seed decides which datagrams they hit.
    ///
    /// # Errors
    /// If the machine has no socket left.
    pub async fn open(server: SocketAddr, conditions: Option<Conditions>, seed: u64) -> io::Result<Self> {
        let links = conditions.map(|conditions| Links {
            up: Link::new(conditions, seed),
            down: Link::new(conditions, seed.wrapping_add(1)),
        });
        Ok(Self { udp: bind(server).await?, server, links, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Goes on from another port of this machine, as a phone that changes its network does. What was on its way to the
    /// old one is lost.
    ///
    /// # Errors
    /// If the machine has no socket left; the old one stays then.
    pub async fn change_address(&mut self) -> io::Result<()> {
        self.udp = bind(self.server).await?;
        if let Some(links) = &mut self.links {
            while links.down.poll(Micros(u64::MAX)).is_some() {}
        }
        Ok(())
    }

    /// Sends a datagram to the server. A full or failing socket loses it, as the network may.
    pub fn send(&mut self, now: Micros, bytes: &[u8]) {
        match &mut self.links {
            Some(links) => links.up.send(now, bytes),
            None => drop(self.udp.try_send_to(bytes, self.server)),
        }
    }

    /// Waits until something may have arrived at the socket; [`receive`](Self::receive) then takes it.
    pub async fn readable(&self) {
        // An error shows again at the next receive, and is lost there like a datagram.
        let _ = self.udp.readable().await;
    }

    /// Moves what the links hold and calls `take` for every datagram that has arrived, `most` at most from the socket.
    pub fn receive(&mut self, now: Micros, most: usize, mut take: impl FnMut(&[u8])) {
        for _ in 0..most {
            // An error is a datagram that a closed port sent back; silence says the same.
            let (bytes, from) = match self.udp.try_recv_from(&mut self.buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            if from != self.server {
                continue;
            }
            match &mut self.links {
                Some(links) => links.down.send(now, &self.buffer[..bytes]),
                None => take(&self.buffer[..bytes]),
            }
        }
        let Some(links) = &mut self.links else { return };
        while let Some(bytes) = links.up.poll(now) {
            drop(self.udp.try_send_to(&bytes, self.server));
        }
        while let Some(bytes) = links.down.poll(now) {
            take(&bytes);
        }
    }

    /// When a link has something next.
    pub fn poll_timeout(&self) -> Option<Micros> {
        let links = self.links.as_ref()?;
        [links.up.poll_timeout(), links.down.poll_timeout()].into_iter().flatten().min()
    }
}

/// A socket on a free port, of the server's family, ready to send.
async fn bind(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let udp = UdpSocket::bind(any).await?;
    // Until the runtime has seen that it is writable, every send would fail.
    udp.writable().await?;
    Ok(udp)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Receives until `wanted` datagrams came, at given times that advance by a millisecond.
    async fn carry(conditions: Option<Conditions>, datagrams: u8, wanted: usize) -> Vec<(u8, u64)> {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let mut socket = Socket::open(server.local_addr().expect("bound"), conditions, 1).await.expect("a socket");
        let (mut came, mut buffer) = (Vec::new(), [0; 16]);
        for number in 0..datagrams {
            socket.send(Micros(0), &[number]);
        }
        for ms in 0..20_000 {
            socket.receive(Micros::from_millis(ms), 64, |bytes| came.push((bytes[0], ms)));
            while let Ok((bytes, from)) = server.try_recv_from(&mut buffer) {
                server.send_to(&buffer[..bytes], from).await.expect("sent");
            }
            if came.len() >= wanted {
                return came;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        panic!("only {} of {wanted} datagrams came back", came.len());
    }

    #[tokio::test]
    async fn latency_counts_in_both_directions() {
        let came = carry(Some(Conditions::latency_ms(30)), 5, 5).await;
        assert!(came.iter().all(|(_, ms)| *ms >= 60), "{came:?}");
        assert_eq!(carry(None, 5, 5).await.len(), 5);
    }

    #[tokio::test]
    async fn duplicates_and_loss_hit_both_directions() {
        let conditions = Conditions { duplicate: 1.0, ..Conditions::PERFECT };
        assert_eq!(carry(Some(conditions), 3, 12).await.len(), 12, "doubled on the way there and on the way back");
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let lost = Conditions { loss: 1.0, ..Conditions::PERFECT };
        let mut socket = Socket::open(server.local_addr().expect("bound"), Some(lost), 1).await.expect("a socket");
        socket.send(Micros(0), b"gone");
        assert_eq!(socket.poll_timeout(), None);
    }

    #[tokio::test]
    async fn another_address_is_another_port() {
        let server = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let mut socket = Socket::open(server.local_addr().expect("bound"), None, 1).await.expect("a socket");
        let before = socket.udp.local_addr().expect("bound");
        socket.change_address().await.expect("changed");
        assert_ne!(socket.udp.local_addr().expect("bound"), before);
    }
}
