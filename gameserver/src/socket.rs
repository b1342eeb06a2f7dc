//! The game's UDP socket: never blocks, with buffers for a burst.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use service::BindError;
use socket2::{Domain, Protocol, Socket, Type};

/// Wanted socket buffers: a second of 16 players at their worst. The kernel may give less.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Longest UDP payload there is, so that no datagram is cut and mistaken for a shorter one.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What one attempt to receive brought.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A datagram and where it says it comes from.
    Datagram(SocketAddr, &'a [u8]),
    /// An error of an earlier send, or an interruption: try again.
    Skip,
    /// Nothing is waiting.
    Nothing,
}

/// A bound port.
#[derive(Debug)]
pub struct GameSocket {
    socket: UdpSocket,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl GameSocket {
    /// Binds the port; port 0 lets the system choose.
    ///
    /// # Errors
    /// [`BindError`], which says what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let fault = |error| BindError::new(address, "game UDP port", error);
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP)).map_err(fault)?;
        socket.set_nonblocking(true).map_err(fault)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // One socket for both families; a system without dual stack serves IPv6 alone.
            let _ = socket.set_only_v6(false);
        }
        // A kernel that grants less still works.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        socket.bind(&address.into()).map_err(fault)?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr().map_err(fault)?;
        Ok(Self { socket, address, buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Receives one datagram, if one is waiting.
    pub fn receive(&mut self) -> Incoming<'_> {
        match self.socket.recv_from(&mut self.buffer) {
            Ok((length, from)) => Incoming::Datagram(from, &self.buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Incoming::Nothing,
            Err(error) => {
                if error.kind() != ErrorKind::Interrupted {
                    crate::metrics::socket_error("in");
                }
                Incoming::Skip
            }
        }
    }

    /// Sends one datagram. A full socket buffer or an unreachable peer loses it, as the network would.
    pub fn send(&self, to: SocketAddr, datagram: &[u8]) {
        if self.socket.send_to(datagram, to).is_err() {
            crate::metrics::socket_error("out");
        }
    }
}

impl AsFd for GameSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_and_an_empty_one_does_not_block() {
        let mut first = GameSocket::bind("127.0.0.1:0".parse().expect("address")).expect("a free port");
        assert!(matches!(first.receive(), Incoming::Nothing));
        let error = GameSocket::bind(first.local_addr()).expect_err("taken").to_string();
        assert!(error.contains("game UDP port") && error.contains("in use"), "{error}");
        let second = GameSocket::bind("127.0.0.1:0".parse().expect("address")).expect("a free port");
        second.send(first.local_addr(), b"hello");
        let received = testkit::wait::until_blocking("the datagram", || match first.receive() {
            Incoming::Datagram(from, bytes) => Some((from, bytes.to_vec())),
            _ => None,
        });
        assert_eq!(received, (second.local_addr(), b"hello".to_vec()));
    }
}
