//! The bytes of every packet and frame, fixed. `tests/golden/wire.txt` is what clients in other languages are checked
//! against: a change there breaks every released client. `MUSTER_BLESS=1 cargo test -p protocol` writes it anew.

use std::fmt::Write;

use protocol::wire::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wire.txt");

fn hello() -> Hello {
    Hello {
        destination: [0xA1, 0xB2, 3, 4, 5, 6, 7, 8],
        client_id: [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18],
        version_min: 1,
        version_max: 2,
        schema_hash: 0x0123_4567_89AB_CDEF,
    }
}

fn cookie() -> Cookie {
    std::array::from_fn(|place| 0xC0 + place as u8)
}

fn connect() -> Connect {
    Connect { hello: hello(), cookie: cookie(), noise: (0..64).collect() }
}

fn offer() -> AcceptPayload {
    AcceptPayload::Offer(SessionOffer {
        session_id: [0xA1, 0xB2, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26],
        version: 1,
        idle_timeout_ms: 65_000,
        packet_bytes_max: 1_140,
        extensions: vec![(0x7F01, vec![1, 2, 3])],
    })
}

fn refuse() -> Refuse {
    Refuse {
        client_id: hello().client_id,
        cookie: cookie(),
        refusal: Refusal::Schema,
        version_min: 1,
        version_max: 1,
        schema_hash: 0xFEDC_BA98_7654_3210,
    }
}

fn ticket() -> ResumeTicket {
    ResumeTicket { id: std::array::from_fn(|n| 0x10 + n as u8), secret: std::array::from_fn(|n| 0x80 + n as u8) }
}

fn offer_with_ticket() -> SessionOffer {
    let AcceptPayload::Offer(offer) = offer() else { unreachable!("it is an offer") };
    SessionOffer { extensions: vec![(EXTENSION_RESUME_TICKET, ticket().encode())], ..offer }
}

fn native_binder() -> ResumeBinder {
    ResumeBinder::Native { ephemeral: std::array::from_fn(|n| 0xE0 ^ n as u8), client_id: hello().client_id }
}

fn quic_binder() -> ResumeBinder {
    ResumeBinder::Quic(std::array::from_fn(|n| 0x40 + n as u8))
}

/// A request for 300 segments received, proved by what the specification says.
fn request(binder: &ResumeBinder) -> ResumeRequest {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &ticket().secret);
    let proof = ring::hmac::sign(&key, &binder.proved(300));
    ResumeRequest { id: ticket().id, received: 300, proof: proof.as_ref().try_into().expect("32 bytes") }
}

fn frames() -> Vec<(&'static str, Frame<'static>)> {
    static CHUNK: [u8; BULK_CHUNK_BYTES] = [0xBB; BULK_CHUNK_BYTES];
    vec![
        ("frame padding", Frame::Padding),
        ("frame ping", Frame::Ping),
        ("frame unreliable", Frame::Unreliable(b"snapshot")),
        ("frame reliable", Frame::Reliable { id: 7, more: false, payload: b"hello" }),
        ("frame reliable part", Frame::Reliable { id: 8, more: true, payload: b"long " }),
        ("frame bulk", Frame::Bulk { transfer: 2, chunk: 0, chunks: 3, payload: &CHUNK }),
        ("frame bulk last", Frame::Bulk { transfer: 2, chunk: 2, chunks: 3, payload: b"end" }),
        ("frame close", Frame::Close(CloseReason::MatchEnded)),
        ("frame path challenge", Frame::PathChallenge([1, 2, 3, 4, 5, 6, 7, 8])),
        ("frame path response", Frame::PathResponse([1, 2, 3, 4, 5, 6, 7, 8])),
        ("frame resumed", Frame::Resumed { next: 12, received: 5 }),
    ]
}

fn header() -> DataHeader {
    DataHeader { connection_id: [0xA1, 0xB2, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26], sequence: 0x0102_0304 }
}

/// The plaintext of the sealed packet: acks, then three frames.
fn plain() -> Vec<u8> {
    let mut plain = Acks { newest: 100, bits: 0b1011, delay_100us: 42 }.encode().to_vec();
    for (_, frame) in frames().into_iter().filter(|(_, frame)| frame.len() < 20).take(4) {
        frame.encode(&mut plain);
    }
    plain
}

/// Sealed with key 00 01 … 1f, by what the specification says and not by the code under test.
fn sealed() -> Vec<u8> {
    let key: [u8; 32] = std::array::from_fn(|place| place as u8);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes"));
    let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, 0x04, 0x03, 0x02, 0x01, 0, 0, 0, 0]);
    let mut body = plain();
    key.seal_in_place_append_tag(nonce, Aad::from(header().encode()), &mut body).expect("a short packet");
    [&header().encode()[..], &body].concat()
}

fn frame_bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn render() -> String {
    let mut rows = vec![
        ("hello", hello().encode()),
        ("cookie", CookieReply { client_id: hello().client_id, cookie: cookie() }.encode()),
        ("connect", connect().encode()),
        ("accept", Accept { client_id: hello().client_id, noise: (0..80).collect() }.encode()),
        ("accept payload: offer", offer().encode()),
        ("accept payload: refused, token expired", AcceptPayload::Refused(Refusal::TokenExpired).encode()),
        ("refuse", refuse().encode()),
        ("noise prologue", prologue(&hello())),
        ("resume ticket", ticket().encode()),
        ("accept payload: offer with the resume ticket", AcceptPayload::Offer(offer_with_ticket()).encode()),
        ("resume, proved on native UDP", native_binder().proved(300)),
        ("resume request on native UDP", request(&native_binder()).encode()),
        ("resume, proved over QUIC", quic_binder().proved(300)),
        ("resume request over QUIC", request(&quic_binder()).encode()),
        ("data header", header().encode().to_vec()),
        ("data plaintext", plain()),
        ("data sealed with key 000102..1f", sealed()),
    ];
    rows.extend(frames().into_iter().map(|(name, frame)| (name, frame_bytes(&frame))));
    let mut text = String::from("# name = hex; \"00*n\" is n bytes of 00, \"bb*n\" n bytes of bb\n");
    for (name, bytes) in rows {
        let _ = writeln!(text, "{name} = {}", shortened(&bytes));
    }
    text
}

/// Hex, with a long run of one byte at the end written as `xx*n`.
fn shortened(bytes: &[u8]) -> String {
    let last = bytes.last().copied().unwrap_or_default();
    let run = bytes.iter().rev().take_while(|byte| **byte == last).count();
    if run < 32 {
        return hex::encode(bytes);
    }
    format!("{} {last:02x}*{run}", hex::encode(&bytes[..bytes.len() - run]))
}

#[test]
fn the_bytes_of_every_packet_are_as_published() {
    if std::env::var_os("MUSTER_BLESS").is_some() {
        std::fs::write(PATH, render()).unwrap();
    }
    let published = std::fs::read_to_string(PATH).unwrap();
    for (published, now) in published.lines().zip(render().lines()) {
        assert_eq!(published, now);
    }
    assert_eq!(published.lines().count(), render().lines().count());
}

#[test]
fn every_packet_reads_back_as_it_was_written() {
    assert_eq!(Hello::decode(&hello().encode()), Ok(hello()));
    let reply = CookieReply { client_id: [1; 8], cookie: cookie() };
    assert_eq!(CookieReply::decode(&reply.encode()), Ok(reply));
    assert_eq!(Connect::decode(&connect().encode()), Ok(connect()));
    let accept = Accept { client_id: [1; 8], noise: vec![5; 99] };
    assert_eq!(Accept::decode(&accept.encode()), Ok(accept));
    assert_eq!(AcceptPayload::decode(&offer().encode()), Ok(offer()));
    for refusal in Refusal::ALL {
        let payload = AcceptPayload::Refused(refusal);
        assert_eq!(AcceptPayload::decode(&payload.encode()), Ok(payload));
    }
    assert_eq!(Refuse::decode(&refuse().encode()), Ok(refuse()));
    assert_eq!(offer_with_ticket().resume_ticket(), Some(ticket()));
    for binder in [native_binder(), quic_binder()] {
        assert_eq!(ResumeRequest::decode(&request(&binder).encode()), Ok(request(&binder)));
    }
    let packet = sealed();
    assert_eq!(DataHeader::decode(&packet), Ok((header(), &packet[DATA_HEADER_BYTES..])));
    let plain = plain();
    let (acks, rest) = Acks::decode(&plain).unwrap();
    assert_eq!(acks.sequences().collect::<Vec<_>>(), [100, 99, 98, 96]);
    assert_eq!(Frames::new(rest).count(), 4);
    for (name, frame) in frames() {
        let bytes = frame_bytes(&frame);
        assert_eq!(bytes.len(), frame.len(), "{name}");
        assert_eq!(Frames::new(&bytes).collect::<Vec<_>>(), [Ok(frame)], "{name}");
        for cut in 1..bytes.len() {
            assert_eq!(Frames::new(&bytes[..cut]).last(), Some(Err(WireError::Malformed)), "{name} cut at {cut}");
        }
    }
}

#[test]
fn reserved_frames_and_values_out_of_range_are_malformed() {
    let malformed = |bytes: &[u8]| assert_eq!(Frames::new(bytes).last(), Some(Err(WireError::Malformed)), "{bytes:?}");
    for reserved in (frame_type::TRANSFER..=u8::MAX).filter(|byte| *byte != frame_type::RESUMED) {
        malformed(&[reserved, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    malformed(&[frame_type::CLOSE, 0, 0]);
    malformed(&frame_bytes(&Frame::Reliable { id: 0, more: false, payload: &[0; RELIABLE_SEGMENT_BYTES_MAX + 1] }));
    let bulk = |chunk, chunks, payload| frame_bytes(&Frame::Bulk { transfer: 0, chunk, chunks, payload });
    malformed(&bulk(0, 0, b""));
    malformed(&bulk(1, 1, b"x"));
    malformed(&bulk(0, 2, b"short"));
    malformed(&bulk(1, 2, b""));
    malformed(&bulk(0, 1_025, &[0; BULK_CHUNK_BYTES]));
    assert!(Frames::new(&bulk(0, 1, b"")).all(|frame| frame.is_ok()));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..1_300), first in 0u8..0x14) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        let _ = (Hello::decode(&bytes), Connect::decode(&bytes), Accept::decode(&bytes), CookieReply::decode(&bytes));
        let _ = (ResumeRequest::decode(&bytes), ResumeTicket::decode(&bytes));
        let _ = (Refuse::decode(&bytes), AcceptPayload::decode(&bytes), DataHeader::decode(&bytes), Acks::decode(&bytes));
        let read: usize = Frames::new(&bytes).map_while(Result::ok).map(|frame| frame.len()).sum();
        proptest::prop_assert!(read <= bytes.len());
    }
}
