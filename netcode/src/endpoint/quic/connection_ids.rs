//! Connection ids that begin with the routing token, so that a proxy routes QUIC as it routes native packets.

use std::sync::{Mutex, PoisonError};

use protocol::wire::CONNECTION_ID_BYTES;
use quinn_proto::{ConnectionId, ConnectionIdGenerator};

use crate::Entropy;

/// Makes ids of 8 bytes: the routing token, then random bytes.
pub(super) struct RoutedIds {
    token: Vec<u8>,
    entropy: Entropy,
}

impl RoutedIds {
    pub(super) fn new(token: Vec<u8>, entropy: Entropy) -> Self {
        Self { token, entropy }
    }

    /// What quinn-proto asks for: a factory that it may share. It calls it once per endpoint.
    pub(super) fn factory(
        token: Vec<u8>,
        entropy: Entropy,
    ) -> impl Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync {
        let entropy = Mutex::new(entropy);
        move || {
            let entropy = entropy.lock().unwrap_or_else(PoisonError::into_inner).fork();
            Box::new(Self::new(token.clone(), entropy))
        }
    }
}

impl ConnectionIdGenerator for RoutedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id: protocol::wire::ConnectionId = self.entropy.bytes();
        let routed = self.token.len().min(CONNECTION_ID_BYTES);
        id[..routed].copy_from_slice(&self.token[..routed]);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
