//! Envelopes and their bytes.

use prost::Message as _;
use protocol::pb;
use protocol::pb::gateway_envelope::Body;

use crate::core::gateway::stream::Body as Encoded;
use crate::core::social::chat::Channel;
use crate::store::social::{ChatMessage, InboxMessage, PartyView};

/// A message that is the same for all who get it.
pub(crate) fn shared(body: Body) -> Encoded {
    envelope(0, body).into()
}

/// A message for one connection, which may answer another.
pub(crate) fn envelope(correlation_id: u64, body: Body) -> Vec<u8> {
    pb::GatewayEnvelope { correlation_id, seq: 0, body: Some(body) }.encode_to_vec()
}

/// The bytes of a shared message under a session's own number: fields of a protobuf message may come in any order, so the
/// number goes before what is shared.
pub(crate) fn numbered(seq: u64, shared: &Encoded) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(shared.len() + 11);
    if seq > 0 {
        pb::GatewayEnvelope { seq, ..Default::default() }.encode(&mut bytes).expect("a vector grows");
    }
    bytes.extend_from_slice(shared);
    bytes
}

pub(crate) fn problem(slug: &str, detail: impl Into<String>, retry_after_ms: u32) -> Body {
    let r#type = format!("urn:muster:problem:{slug}");
    Body::Problem(pb::GatewayProblem { r#type, detail: detail.into(), retry_after_ms })
}

pub(crate) fn inbox(message: InboxMessage) -> Body {
    let InboxMessage { seq, kind, body, at_ms } = message;
    Body::Inbox(pb::GatewayInboxMessage { inbox_seq: seq, kind, body, at_ms })
}

pub(crate) fn party(view: Option<&PartyView>) -> Body {
    let Some(PartyView { party, names }) = view else { return Body::Party(pb::GatewayParty::default()) };
    let member = |(member, name): (&crate::core::social::party::Member, &String)| pb::GatewayPartyMember {
        player_id: member.player.to_string(),
        name: name.clone(),
        ready: member.ready,
    };
    Body::Party(pb::GatewayParty {
        party_id: party.id.to_string(),
        version: party.version,
        leader_id: party.leader.to_string(),
        size_max: party.size_max,
        code: party.code.clone().unwrap_or_default(),
        ticket_id: party.ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
        members: party.members.iter().zip(names).map(member).collect(),
    })
}

pub(crate) fn ticket(ticket: &pb::Ticket) -> Body {
    Body::Ticket(pb::GatewayTicket {
        ticket_id: ticket.ticket_id.clone(),
        queue: ticket.queue.clone(),
        state: crate::api::ticket_state_name(ticket.state()).to_owned(),
        reason: ticket.reason.clone(),
        match_id: ticket.match_id.clone(),
        assignment: ticket.assignment.clone(),
        roster: ticket.roster.clone(),
        estimated_wait_ms: ticket.estimated_wait_ms,
        updated_at_ms: ticket.updated_at_ms,
        party_id: ticket.party_id.clone(),
    })
}

pub(crate) fn chat(channel: Channel, message: &ChatMessage) -> Body {
    let kind = match channel {
        Channel::Party(_) => pb::GatewayChannelKind::Party,
        Channel::Match(_) => pb::GatewayChannelKind::Match,
        Channel::Direct(_) => pb::GatewayChannelKind::Direct,
    };
    Body::Chat(pb::GatewayChat {
        channel: kind.into(),
        id: channel.to_string(),
        chat_seq: message.seq,
        message_id: uuid::Uuid::from_bytes(message.message_id).to_string(),
        sender_id: message.sender.to_string(),
        sender_name: message.sender_name.clone(),
        text: message.text.clone(),
        at_ms: message.at_ms,
    })
}

pub(crate) fn resync() -> Vec<u8> {
    envelope(0, Body::Resync(pb::GatewayResync {}))
}

pub(crate) fn ping() -> Vec<u8> {
    envelope(0, Body::Ping(pb::GatewayPing {}))
}

pub(crate) fn closing(reason: &str, resume: bool, retry_after_ms: u32) -> Vec<u8> {
    envelope(0, Body::Closing(pb::GatewayClosing { reason: reason.to_owned(), resume, retry_after_ms }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_shared_message_is_read_with_each_sessions_own_number() {
        let shared: Arc<[u8]> = shared(Body::Presence(pb::GatewayPresence { text: "hi".into(), ..Default::default() }));
        for seq in [0, 1, 300, u64::MAX] {
            let read = pb::GatewayEnvelope::decode(&*numbered(seq, &shared)).expect("an envelope");
            assert_eq!(read.seq, seq);
            assert!(matches!(read.body, Some(Body::Presence(presence)) if presence.text == "hi"));
        }
    }
}
