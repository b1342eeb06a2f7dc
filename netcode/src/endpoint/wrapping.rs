//! What goes around a session's packets: header and seal on native UDP, a sequence over QUIC.

use protocol::wire::{ConnectionId, DATA_OVERHEAD_BYTES, DataHeader};

use super::noise::SessionKeys;
use super::seal::{Aes256Gcm, PacketCipher};
use super::session::Role;

/// What goes around a packet's acks and frames.
pub(super) enum Wrapping {
    /// Native UDP: the packet's own header and seal.
    Sealed(Sealed),
    /// QUIC seals: there is a sequence and nothing else.
    Quic,
}

/// The keys of a native session.
pub(super) struct Sealed {
    /// Connection id of the packets that go out.
    peer_id: ConnectionId,
    outgoing: Box<dyn PacketCipher>,
    incoming: Box<dyn PacketCipher>,
}

impl Wrapping {
    /// Native packets towards `peer_id`.
    pub(super) fn sealed(role: Role, peer_id: ConnectionId, keys: &SessionKeys) -> Self {
        let (outgoing, incoming) = match role {
            Role::Client => (&keys.client_to_server, &keys.server_to_client),
            Role::Server => (&keys.server_to_client, &keys.client_to_server),
        };
        let (outgoing, incoming) = (Box::new(Aes256Gcm::new(outgoing)), Box::new(Aes256Gcm::new(incoming)));
        Self::Sealed(Sealed { peer_id, outgoing, incoming })
    }

    /// What a native packet holds after its header; `None` if it is not authentic, or not native.
    pub(super) fn open<'a>(&self, sequence: u32, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Sealed(sealed) => sealed.incoming.open(sequence, packet),
            Self::Quic => None,
        }
    }

    /// The packet of these acks and frames.
    pub(super) fn wrap(&self, sequence: u32, acks: &[u8], frames: &[u8]) -> Vec<u8> {
        match self {
            Self::Sealed(sealed) => {
                let header = DataHeader { connection_id: sealed.peer_id, sequence }.encode();
                let mut packet = Vec::with_capacity(DATA_OVERHEAD_BYTES + frames.len());
                packet.extend_from_slice(&header);
                packet.extend_from_slice(acks);
                packet.extend_from_slice(frames);
                sealed.outgoing.seal(sequence, &mut packet);
                packet
            }
            Self::Quic => [&sequence.to_le_bytes()[..], acks, frames].concat(),
        }
    }
}
