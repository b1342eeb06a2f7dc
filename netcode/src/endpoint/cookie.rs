//! Stateless proof that a client receives what is sent to its address.

use std::net::{IpAddr, SocketAddr};

use protocol::wire::{ConnectionId, Cookie};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use subtle::ConstantTimeEq;

use super::limits::COOKIE_BUCKET;
use crate::{Entropy, Micros};

/// Makes and checks cookies: SipHash-2-4-128 over (address, client id, bucket) under a secret that is replaced in each
/// bucket of time. A cookie is good in its bucket and in the next.
pub(super) struct CookieJar {
    bucket: u64,
    secret: [u8; 16],
    /// Secret of the bucket before.
    previous: [u8; 16],
}

impl CookieJar {
    pub(super) fn new(entropy: &mut Entropy) -> Self {
        Self { bucket: 0, secret: entropy.bytes(), previous: entropy.bytes() }
    }

    /// The cookie for a client at `address`.
    pub(super) fn mint(
        &mut self,
        now: Micros,
        entropy: &mut Entropy,
        address: SocketAddr,
        client: &ConnectionId,
    ) -> Cookie {
        self.rotate(now, entropy);
        cookie(&self.secret, self.bucket, address, client)
    }

    /// Whether `given` was minted for this client at this address, at most two buckets ago.
    pub(super) fn check(
        &mut self,
        now: Micros,
        entropy: &mut Entropy,
        address: SocketAddr,
        client: &ConnectionId,
        given: &Cookie,
    ) -> bool {
        self.rotate(now, entropy);
        let expected = if given[16] == self.bucket as u8 {
            cookie(&self.secret, self.bucket, address, client)
        } else {
            cookie(&self.previous, self.bucket.wrapping_sub(1), address, client)
        };
        expected.ct_eq(given).into()
    }

    fn rotate(&mut self, now: Micros, entropy: &mut Entropy) {
        let bucket = now.0 / COOKIE_BUCKET.as_micros() as u64;
        if bucket <= self.bucket {
            return;
        }
        self.previous = if bucket == self.bucket + 1 { self.secret } else { entropy.bytes() };
        self.secret = entropy.bytes();
        self.bucket = bucket;
    }
}

fn cookie(secret: &[u8; 16], bucket: u64, address: SocketAddr, client: &ConnectionId) -> Cookie {
    let mut hasher = SipHasher24::new_with_key(secret);
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    hasher.write(&ip.octets());
    hasher.write(&address.port().to_le_bytes());
    hasher.write(client);
    hasher.write(&bucket.to_le_bytes());
    let mut cookie = [0; 17];
    cookie[..16].copy_from_slice(&hasher.finish128().as_bytes());
    cookie[16] = bucket as u8;
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_for_one_address_one_client_and_two_buckets() {
        let entropy = &mut Entropy::new([1; 32]);
        let mut jar = CookieJar::new(entropy);
        let home: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let start = Micros::from_millis(25_000);
        let cookie = jar.mint(start, entropy, home, &[1; 8]);
        assert!(jar.check(start, entropy, home, &[1; 8], &cookie));
        assert!(!jar.check(start, entropy, "192.0.2.1:4001".parse().unwrap(), &[1; 8], &cookie));
        assert!(!jar.check(start, entropy, "192.0.2.2:4000".parse().unwrap(), &[1; 8], &cookie));
        assert!(!jar.check(start, entropy, home, &[2; 8], &cookie));
        for place in 0..cookie.len() {
            let mut forged = cookie;
            forged[place] ^= 0x10;
            assert!(!jar.check(start, entropy, home, &[1; 8], &forged));
        }
        assert!(jar.check(Micros::from_millis(39_999), entropy, home, &[1; 8], &cookie));
        assert!(!jar.check(Micros::from_millis(40_000), entropy, home, &[1; 8], &cookie));
    }

    #[test]
    fn a_long_pause_makes_both_secrets_new() {
        let entropy = &mut Entropy::new([1; 32]);
        let mut jar = CookieJar::new(entropy);
        let home: SocketAddr = "[2001:db8::1]:4000".parse().unwrap();
        let cookie = jar.mint(Micros::ZERO, entropy, home, &[1; 8]);
        // 256 buckets later the bucket byte is the same again.
        assert!(!jar.check(Micros::from_millis(2_560_000), entropy, home, &[1; 8], &cookie));
        assert!(!jar.check(Micros::from_millis(2_570_000), entropy, home, &[1; 8], &cookie));
    }
}
