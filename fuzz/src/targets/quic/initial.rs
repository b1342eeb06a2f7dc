//! First packets of QUIC, whose keys follow from the connection id that they name: anybody can make them.

use protocol::wire::{DATAGRAM_BYTES_MAX, QUIC_ALPN};
use rustls::quic::{Keys, Version};

/// What the client calls itself.
const SOURCE: [u8; 8] = [6; 8];
const TAG_BYTES: usize = 16;

/// The first eight bytes of the case as the destination, the others as frames, padded and sealed (RFC 9001, 5).
pub(super) fn sealed(case: &[u8]) -> Vec<u8> {
    let mut destination = [0; 8];
    let named = case.len().min(8);
    destination[..named].copy_from_slice(&case[..named]);
    // Type Initial with a packet number of four bytes; no token.
    let mut header = [&[0xC3, 0, 0, 0, 1, 8], &destination[..], &[8], &SOURCE, &[0]].concat();
    let payload_bytes = DATAGRAM_BYTES_MAX - header.len() - 2 - 4;
    header.extend_from_slice(&(0x4000 | (payload_bytes + 4) as u16).to_be_bytes());
    let number_at = header.len();
    header.extend_from_slice(&[0, 0, 0, 0]);
    let mut frames = case[named..].to_vec();
    // PADDING is zeros.
    frames.resize(payload_bytes - TAG_BYTES, 0);

    let Keys { local, .. } = keys(&destination);
    let tag = local.packet.encrypt_in_place(0, &header, &mut frames).expect("a packet that is not too long");
    let mut datagram = [&header[..], &frames, tag.as_ref()].concat();
    let (head, sample) = datagram.split_at_mut(number_at + 4);
    let (first, rest) = head.split_at_mut(1);
    let number = &mut rest[number_at - 1..];
    let sample = &sample[..local.header.sample_len()];
    local.header.encrypt_in_place(sample, &mut first[0], number).expect("a sample of the right length");
    datagram
}

fn keys(destination: &[u8]) -> Keys {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let quic = suite.tls13().and_then(rustls::Tls13CipherSuite::quic_suite).expect("the suite that QUIC begins with");
    quic.keys(destination, rustls::Side::Client, Version::V1)
}

/// A CRYPTO frame.
pub(super) fn crypto(offset: u32, bytes: &[u8]) -> Vec<u8> {
    let length = 0x4000 | bytes.len() as u16;
    [&[0x06][..], &(0x8000_0000 | offset).to_be_bytes(), &length.to_be_bytes(), bytes].concat()
}

/// A ClientHello that a server goes on with (RFC 8446, 4.1.2); its key share is nobody's.
pub(super) fn client_hello() -> Vec<u8> {
    let alpn = [&[QUIC_ALPN.len() as u8], QUIC_ALPN].concat();
    // initial_source_connection_id, initial_max_data, initial_max_streams_bidi, max_datagram_frame_size.
    let parameters = [&[0x0F, 8][..], &SOURCE, &[0x04, 2, 0x50, 0, 0x08, 1, 1, 0x20, 4, 0x80, 0, 0xFF, 0xFF]].concat();
    let extensions = [
        extension(43, &[2, 3, 4]),
        extension(10, &[0, 2, 0, 0x1D]),
        extension(13, &[0, 2, 4, 3]),
        extension(51, &[&[0, 36, 0, 0x1D, 0, 32][..], &[9; 32]].concat()),
        extension(16, &counted(&alpn)),
        extension(57, &parameters),
    ];
    let body = [&[3, 3][..], &[7; 32], &[0], &counted(&[0x13, 0x01]), &[1, 0], &counted(&extensions.concat())].concat();
    [&[1, 0][..], &counted(&body)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &counted(body)].concat()
}

/// The bytes behind their length.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}
