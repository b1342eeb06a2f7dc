//! Sealing and opening packets under session keys.

use protocol::wire::{DATA_HEADER_BYTES, nonce};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// A packet cipher of one direction. A trait, so that another cipher can be negotiated without touching a session.
pub(super) trait PacketCipher: Send {
    /// Encrypts everything after the header in place, with the header as associated data, and appends the tag.
    /// No sequence may be sealed twice.
    fn seal(&self, sequence: u32, packet: &mut Vec<u8>);

    /// Decrypts everything after the header in place and returns it without the tag; `None` if it is not authentic.
    fn open<'a>(&self, sequence: u32, packet: &'a mut [u8]) -> Option<&'a [u8]>;
}

/// AES-256-GCM by ring: 0.2 µs per packet with AES instructions.
pub(super) struct Aes256Gcm(LessSafeKey);

impl Aes256Gcm {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes")))
    }
}

impl PacketCipher for Aes256Gcm {
    fn seal(&self, sequence: u32, packet: &mut Vec<u8>) {
        let (header, plain) = packet.split_at_mut(DATA_HEADER_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce(sequence));
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::from(&*header), plain);
        let tag = sealed.expect("a packet is below the cipher's limit");
        packet.extend_from_slice(tag.as_ref());
    }

    fn open<'a>(&self, sequence: u32, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        let (header, sealed) = packet.split_at_mut_checked(DATA_HEADER_BYTES)?;
        let nonce = Nonce::assume_unique_for_key(nonce(sequence));
        self.0.open_in_place(nonce, Aad::from(&*header), sealed).ok().map(|plain| &*plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_packet_opens() {
        let cipher = Aes256Gcm::new(&[3; 32]);
        let mut packet = b"header-of-13.secret".to_vec();
        cipher.seal(7, &mut packet);
        assert_eq!(packet.len(), 13 + 6 + 16);
        assert_eq!(cipher.open(7, &mut packet.clone()), Some(&b".secret"[1..]));
        assert_eq!(cipher.open(8, &mut packet.clone()), None);
        assert_eq!(Aes256Gcm::new(&[4; 32]).open(7, &mut packet.clone()), None);
        for place in 0..packet.len() {
            let mut forged = packet.clone();
            forged[place] ^= 1;
            assert_eq!(cipher.open(7, &mut forged), None, "byte {place} is not authenticated");
            assert_eq!(cipher.open(7, &mut packet[..place].to_vec()), None);
        }
    }
}
