//! How much a server sends over QUIC to addresses that proved nothing: at most three bytes for each that came
//! (RFC 9000, 8.1), at every moment, whatever they send.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netcode::Micros;
use netcode::emulator::Random;
use netcode::endpoint::{ServerConfig, ServerEndpoint};
use protocol::wire::DATAGRAM_BYTES_MAX;

use crate::world::*;

const HALF_OPEN_MAX: usize = 64;
/// Half-open handshakes from which on newcomers must prove their address.
const RETRY_FROM: usize = 32;

/// A server with what each address sent and got.
struct Ledger {
    server: ServerEndpoint,
    now: Micros,
    bytes: BTreeMap<SocketAddr, (usize, usize)>,
}

impl Ledger {
    fn new() -> Self {
        let config = ServerConfig { half_open_max: HALF_OPEN_MAX, ..config() };
        Self { server: quic_server_of(config), now: Micros(0), bytes: BTreeMap::new() }
    }

    /// Gives a datagram and returns the bytes that it was answered with at once.
    fn give(&mut self, from: SocketAddr, datagram: &[u8]) -> usize {
        self.bytes.entry(from).or_default().0 += datagram.len();
        let before = self.bytes[&from].1;
        let _ = self.server.handle_datagram(self.now, from, datagram);
        self.collect();
        self.bytes[&from].1 - before
    }

    /// Lets time pass, a millisecond at a time at first, as resent handshakes become due.
    fn pass(&mut self, ms: u64) {
        let end = self.now.0 + ms * 1_000;
        while self.now.0 < end {
            self.now = Micros(self.now.0 + 1_000);
            self.server.handle_timeout(self.now);
            self.collect();
        }
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.server.poll_transmit() {
            let (heard, said) = self.bytes.get_mut(&transmit.to).expect("nobody is addressed who said nothing");
            *said += transmit.bytes.len();
            assert!(*said <= 3 * *heard, "{said} bytes to {} for {heard}, at {:?}", transmit.to, self.now);
        }
        assert!(self.server.half_open() <= HALF_OPEN_MAX);
        assert_eq!((self.server.sessions(), self.server.poll_handshake().is_some()), (0, false));
    }
}

/// The first datagram of a client that never goes on.
fn first_packet(seed: u64) -> Vec<u8> {
    quic_client(token(1, 1), seed, Micros(0)).poll_transmit().unwrap().bytes
}

#[test]
fn first_packets_that_never_go_on_get_three_times_their_bytes_at_most() {
    let mut ledger = Ledger::new();
    for number in 0..20u16 {
        let packet = first_packet(u64::from(number));
        assert!(ledger.give(address(number), &packet) > 0, "a first packet is answered");
        ledger.pass(3);
        // Half of them are sent twice, which proves nothing either.
        if number % 2 == 0 {
            ledger.give(address(number), &packet);
        }
    }
    assert_eq!(ledger.server.half_open(), 20);
    // Until the last resend of the server's side of the handshake.
    ledger.pass(10_000);
    assert_eq!(ledger.server.half_open(), 0);
    let most = ledger.bytes.values().map(|(heard, said)| said * 100 / heard).max().unwrap();
    assert!((100..=300).contains(&most), "a server that resends comes near its limit: {most} %");
}

#[test]
fn the_same_first_packet_from_many_addresses_is_answered_to_the_first_alone() {
    let mut ledger = Ledger::new();
    let packet = first_packet(1);
    ledger.give(address(0), &packet);
    for number in 1..50 {
        ledger.give(address(number), &packet);
    }
    ledger.pass(10_000);
    assert_eq!(ledger.server.half_open(), 0);
}

#[test]
fn once_many_are_half_open_a_first_packet_gets_one_short_retry() {
    let mut ledger = Ledger::new();
    for number in 0..150u16 {
        let packet = first_packet(u64::from(number));
        let answer = ledger.give(address(number), &packet);
        if usize::from(number) >= RETRY_FROM {
            assert!(answer > 0 && answer * 4 < packet.len(), "{answer} bytes for {}", packet.len());
        }
    }
    assert_eq!((ledger.server.half_open(), ledger.server.counters().retries), (RETRY_FROM, 150 - RETRY_FROM as u64));
    let told: Vec<_> = ledger.bytes.clone().into_iter().skip(RETRY_FROM).collect();
    ledger.pass(10_000);
    for (address, bytes) in told {
        assert_eq!(ledger.bytes[&address], bytes, "a Retry is not sent again");
    }
    assert_eq!(ledger.server.half_open(), 0);
}

#[test]
fn other_versions_and_unknown_connections_are_answered_with_less_than_came() {
    let mut ledger = Ledger::new();
    let mut random = Random::new(5);
    let (mut negotiated, mut resets) = (0, 0);
    for case in 0..2_000u16 {
        let length = random.below(1_500) as usize + 1;
        let mut datagram: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        let is_long = case % 2 == 0;
        if is_long {
            // A long header of a version that nobody speaks, with ids of 8 bytes.
            let head = [0xC0, 0x1A, 0x2A, 0x3A, 0x4A, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1];
            let most = head.len().min(length);
            datagram[..most].copy_from_slice(&head[..most]);
        } else {
            datagram[0] = 0x40 | datagram[0] & 0x3F;
        }
        let answer = ledger.give(address(case), &datagram);
        assert!(answer < length && answer <= DATAGRAM_BYTES_MAX, "{answer} bytes for {length}");
        *(if is_long { &mut negotiated } else { &mut resets }) += u32::from(answer > 0);
        ledger.pass(25);
    }
    assert!(negotiated > 50 && resets > 500, "{negotiated} negotiations, {resets} resets");
    assert_eq!(ledger.server.half_open(), 0);
}

#[test]
fn first_packets_whole_broken_and_repeated_stay_within_the_limit_together() {
    let mut ledger = Ledger::new();
    let mut random = Random::new(6);
    let packets: Vec<_> = (0..120).map(first_packet).collect();
    let mut most = 0;
    for _ in 0..4_000 {
        let mut packet = packets[random.below(packets.len() as u64) as usize].clone();
        match random.below(4) {
            0 => {}
            1 => packet.truncate(random.below(packet.len() as u64) as usize),
            _ => {
                let place = random.below(packet.len() as u64) as usize;
                packet[place] ^= 1 << random.below(8);
            }
        }
        ledger.give(address(random.below(300) as u16), &packet);
        most = most.max(ledger.server.half_open());
        if random.below(4) == 0 {
            ledger.pass(2);
        }
    }
    assert_eq!(most, RETRY_FROM);
    ledger.pass(10_000);
    assert_eq!(ledger.server.half_open(), 0);
}
