//! What goes around a session's packets: header and seal on native UDP, a sequence over QUIC.

use protocol::wire::{ConnectionId, DATA_HEADER_BYTES, DataHeader, PLAIN_HEADER_BYTES};

use super::noise::SessionKeys;
use super::seal::{Aes256Gcm, PacketCipher};
use super::session::Role;

/// What stands before the acks of a packet over QUIC.
const QUIC_SEQUENCE_BYTES: usize = 4;

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

    /// Bytes of a packet before its frames: header and acks.
    pub(super) fn head_bytes(&self) -> usize {
        let header = match self {
            Self::Sealed(_) => DATA_HEADER_BYTES,
            Self::Quic => QUIC_SEQUENCE_BYTES,
        };
        header + PLAIN_HEADER_BYTES
    }

    /// Makes a packet of frames that follow [`head_bytes`](Self::head_bytes) bytes of room, in place.
    pub(super) fn wrap(&self, sequence: u32, acks: [u8; PLAIN_HEADER_BYTES], packet: &mut Vec<u8>) {
        let header_bytes = self.head_bytes() - PLAIN_HEADER_BYTES;
        packet[header_bytes..][..PLAIN_HEADER_BYTES].copy_from_slice(&acks);
        match self {
            Self::Sealed(sealed) => {
                let header = DataHeader { connection_id: sealed.peer_id, sequence }.encode();
                packet[..header_bytes].copy_from_slice(&header);
                sealed.outgoing.seal(sequence, packet);
            }
            Self::Quic => packet[..header_bytes].copy_from_slice(&sequence.to_le_bytes()),
        }
    }
}
