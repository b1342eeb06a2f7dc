//! What a client of the realtime gateway sends over TCP: frames, and the envelopes in them.
//!
//! Case: where the network cuts the stream (1 byte), the stream.

use prost::Message as _;
use protocol::gateway::{FROM_CLIENT_BYTES_MAX, Frames, GatewayReadError, frame, read};
use protocol::pb;
use protocol::pb::gateway_envelope::Body;

use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "gateway",
    what: "the realtime gateway: frames over TCP, however they are cut, and envelopes",
    cases_per_world: 4_096,
    bytes_max: 8_192,
    world: || Box::new(Reader),
    seeds,
};

struct Reader;

/// What came of a stream: whole envelopes, and whether it was refused then.
type Taken = (Vec<Vec<u8>>, bool);

impl Target for Reader {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[cut, ref stream @ ..] = case else { return Ok(0) };
        let whole = taken(stream, stream.len().max(1))?;
        let cut = usize::from(cut).max(1);
        check(taken(stream, cut)? == whole, || format!("cut each {cut} bytes, the stream says something else"))?;
        let mut kinds = 0;
        for envelope in &whole.0 {
            kinds |= 1 << kind(envelope)?;
        }
        Ok((whole.0.len().min(7) as u64) << 40 | u64::from(whole.1) << 32 | kinds)
    }
}

fn taken(stream: &[u8], cut: usize) -> Result<Taken, String> {
    let (mut frames, mut envelopes) = (Frames::default(), Vec::new());
    for some in stream.chunks(cut) {
        frames.push(some);
        loop {
            match frames.take() {
                Ok(Some(envelope)) => {
                    check(envelope.len() <= FROM_CLIENT_BYTES_MAX, || "an envelope is too long".to_owned())?;
                    envelopes.push(envelope);
                }
                Ok(None) => break,
                Err(_) => return Ok((envelopes, true)),
            }
        }
    }
    Ok((envelopes, false))
}

/// The number of the body's kind; what was read is read again from its own bytes.
fn kind(bytes: &[u8]) -> Result<u32, String> {
    let (correlation_id, body) = match read(bytes) {
        Ok(read) => read,
        Err(GatewayReadError::TooLong) => return Err("an envelope that fits its frame is too long".to_owned()),
        Err(GatewayReadError::Malformed) => return Ok(0),
        Err(GatewayReadError::Unknown) => return Ok(1),
    };
    let again = pb::GatewayEnvelope { correlation_id, seq: 0, body: Some(body.clone()) }.encode_to_vec();
    // Unknown fields are not kept, so it can only be shorter; a text is never longer than its bytes were.
    check(again.len() <= bytes.len(), || format!("{body:?} has grown"))?;
    check(read(&again) == Ok((correlation_id, body.clone())), || format!("{body:?} does not survive the wire"))?;
    Ok(match body {
        Body::Hello(hello) => 2 + u32::from(hello.proof.is_some()),
        Body::Resume(_) => 4,
        Body::Ping(_) => 5,
        Body::Pong(_) => 6,
        Body::Ack(_) => 7,
        Body::Reauthenticate(_) => 8,
        Body::SetPresence(_) => 9,
        Body::SendChat(_) => 10,
        Body::Leave(_) => 11,
        _ => 12,
    })
}

/// A client's whole life, and each message by itself.
fn seeds() -> Vec<Entry> {
    let proof = pb::gateway_hello::Proof::AccessToken("header.claims.signature".into());
    let bodies = [
        ("hello", Body::Hello(pb::GatewayHello { version: 1, proof: Some(proof) })),
        (
            "resume",
            Body::Resume(pb::GatewayResume { version: 1, token: vec![7; 48], last_seq: 9, ..Default::default() }),
        ),
        ("ack", Body::Ack(pb::GatewayAck { seq: 300, inbox_seq: 2 })),
        ("reauthenticate", Body::Reauthenticate(pb::GatewayReauthenticate { access_token: "a.b.c".into() })),
        ("presence", Body::SetPresence(pb::GatewaySetPresence { text: "in the lobby".into(), ..Default::default() })),
        ("chat", Body::SendChat(pb::GatewaySendChat { text: "gg".into(), ..Default::default() })),
        ("ping", Body::Ping(pb::GatewayPing {})),
        ("leave", Body::Leave(pb::GatewayLeave {})),
    ];
    let framed = |(number, (_, body)): (usize, &(&str, Body))| {
        let envelope = pb::GatewayEnvelope { correlation_id: number as u64, seq: 0, body: Some(body.clone()) };
        frame(&envelope.encode_to_vec())
    };
    let mut seeds: Vec<Entry> =
        bodies.iter().enumerate().map(|one| (one.1.0.to_owned(), [vec![16], framed(one)].concat())).collect();
    let life: Vec<u8> = bodies.iter().enumerate().flat_map(framed).collect();
    seeds.push(("life".to_owned(), [vec![3], life].concat()));
    seeds
}
