//! A session's address and its change. Nothing is keyed by address: it is only where packets are sent, and a new one is
//! used once the client has proved that it receives there.

use std::net::SocketAddr;

use super::limits::{AMPLIFICATION_MAX, CHALLENGE_INTERVAL, CHALLENGE_LIFE};
use crate::{Entropy, Micros};

/// Where a session's packets go, and where they may go next.
#[derive(Debug)]
pub(super) struct Path {
    remote: SocketAddr,
    candidate: Option<Candidate>,
}

/// An address that authentic packets came from and that is not validated yet.
#[derive(Debug)]
struct Candidate {
    address: SocketAddr,
    challenge: [u8; 8],
    since: Micros,
    /// When the challenge was last sent.
    sent_at: Option<Micros>,
    bytes_in: u64,
    bytes_out: u64,
}

impl Path {
    pub(super) fn new(remote: SocketAddr) -> Self {
        Self { remote, candidate: None }
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Notes the address of an authentic packet; `is_newest`: it has the highest sequence so far. Only such a packet
    /// can begin a change: an old one, delayed or copied, says nothing about where the client is.
    pub(super) fn note(&mut self, now: Micros, from: SocketAddr, bytes: usize, is_newest: bool, entropy: &mut Entropy) {
        if from == self.remote {
            // The client is back, or never left: whoever copied its packets gets nothing more.
            if is_newest {
                self.candidate = None;
            }
            return;
        }
        match &mut self.candidate {
            Some(candidate) if candidate.address == from && now.since(candidate.since) < CHALLENGE_LIFE => {
                candidate.bytes_in += bytes as u64;
            }
            _ if is_newest => {
                self.candidate = Some(Candidate {
                    address: from,
                    challenge: entropy.bytes(),
                    since: now,
                    sent_at: None,
                    bytes_in: bytes as u64,
                    bytes_out: 0,
                });
            }
            _ => {}
        }
    }

    /// The challenge to send now and where to, if one is due and a packet of `bytes` keeps within three times what came
    /// from there. It counts as sent.
    pub(super) fn take_challenge(&mut self, now: Micros, bytes: usize) -> Option<(SocketAddr, [u8; 8])> {
        let candidate = self.candidate.as_mut()?;
        let is_due = candidate.sent_at.is_none_or(|at| now >= at + CHALLENGE_INTERVAL);
        if !is_due || candidate.bytes_out + bytes as u64 > candidate.bytes_in * AMPLIFICATION_MAX {
            return None;
        }
        candidate.sent_at = Some(now);
        candidate.bytes_out += bytes as u64;
        Some((candidate.address, candidate.challenge))
    }

    /// Takes an answer to a challenge. Returns whether the session has moved. The answer must come from the new
    /// address: who copies packets between two addresses does not move a session.
    pub(super) fn validate(&mut self, from: SocketAddr, response: [u8; 8]) -> bool {
        match &self.candidate {
            Some(candidate) if candidate.address == from && candidate.challenge == response => {
                self.remote = from;
                self.candidate = None;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_path_moves_only_after_the_answer_from_the_new_address() {
        let entropy = &mut Entropy::new([1; 32]);
        let mut path = Path::new(address(1));
        path.note(Micros(0), address(2), 60, true, entropy);
        assert_eq!(path.remote(), address(1));
        let (to, challenge) = path.take_challenge(Micros(0), 48).unwrap();
        assert_eq!(to, address(2));
        assert!(!path.validate(address(1), challenge) && !path.validate(address(3), challenge));
        assert!(!path.validate(address(2), [0; 8]));
        assert!(path.validate(address(2), challenge));
        assert_eq!(path.remote(), address(2));
        assert!(!path.validate(address(2), challenge), "an answer counts once");
    }

    #[test]
    fn an_unvalidated_address_gets_three_times_what_it_sent() {
        let entropy = &mut Entropy::new([1; 32]);
        let mut path = Path::new(address(1));
        path.note(Micros(0), address(2), 48, true, entropy);
        let mut sent = 0;
        for ms in 0..1_000 {
            sent += path.take_challenge(Micros::from_millis(ms), 48).map_or(0, |_| 48);
        }
        assert_eq!(sent, 3 * 48);
        path.note(Micros::from_millis(1_000), address(2), 48, false, entropy);
        assert!(path.take_challenge(Micros::from_millis(1_000), 48).is_some());
    }

    #[test]
    fn an_old_packet_begins_nothing_and_a_newer_from_home_ends_it() {
        let entropy = &mut Entropy::new([1; 32]);
        let mut path = Path::new(address(1));
        path.note(Micros(0), address(2), 60, false, entropy);
        assert_eq!(path.take_challenge(Micros(0), 48), None);
        path.note(Micros(0), address(2), 60, true, entropy);
        path.note(Micros(0), address(1), 60, true, entropy);
        assert_eq!(path.take_challenge(Micros(0), 48), None);
    }
}
