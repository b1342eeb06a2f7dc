//! Clients that are polled on one thread: each owns a socket, looks at it often, and sends once per tick.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::Ticks;
use crate::counts::Counts;
use crate::{CLIENTS, INPUT_BYTES};

/// From one look at the sockets to the next.
const LOOK: Duration = Duration::from_millis(4);

/// The protocol of one client.
pub trait Member {
    /// A datagram has arrived.
    fn datagram(&mut self, from: SocketAddr, datagram: &mut [u8], counts: &Counts);
    /// Once per tick: send the input and whatever is due.
    fn tick(&mut self, socket: &UdpSocket, counts: &Counts);
}

/// Starts the clients on a thread of their own.
pub fn start<M: Member>(
    counts: &Arc<Counts>,
    member: impl Fn(usize, SocketAddr) -> M + Send + 'static,
) -> JoinHandle<()> {
    let counts = counts.clone();
    let work = move || {
        let sockets = (0..CLIENTS).map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.set_nonblocking(true).expect("a socket");
            socket
        });
        let mut members: Vec<(UdpSocket, M)> = sockets
            .enumerate()
            .map(|(n, socket)| {
                let address = socket.local_addr().expect("bound");
                (socket, member(n, address))
            })
            .collect();
        let mut buffer = vec![0; 65_535];
        let mut ticks = Ticks::begin();
        let mut due = ticks.next_deadline();
        while !counts.is_over() {
            for (socket, member) in &mut members {
                receive(socket, member, &mut buffer, &counts);
            }
            if Instant::now() >= due {
                due = ticks.next_deadline();
                members.iter_mut().for_each(|(socket, member)| member.tick(socket, &counts));
            }
            std::thread::sleep(LOOK.min(due.saturating_duration_since(Instant::now())));
        }
    };
    std::thread::Builder::new().name("clients".into()).spawn(work).expect("a thread")
}

fn receive(socket: &UdpSocket, member: &mut impl Member, buffer: &mut [u8], counts: &Counts) {
    loop {
        match socket.recv_from(buffer) {
            Ok((length, from)) => {
                counts.datagrams(1, length as u64);
                member.datagram(from, &mut buffer[..length], counts);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("cannot receive: {error}"),
        }
    }
}

/// An input that names the newest tick received.
pub fn input(newest: u32) -> [u8; INPUT_BYTES] {
    let mut bytes = [0; INPUT_BYTES];
    bytes[..4].copy_from_slice(&newest.to_le_bytes());
    bytes
}
