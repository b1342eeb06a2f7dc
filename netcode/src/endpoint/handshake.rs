//! Public-key work.
use protocol::token::JoinClaims;
use protocol::wire::Refusal;

/// The public-key half of one handshake, to be run on a bounded worker.
#[derive(Debug)]
pub struct HandshakeJob {}

/// What became of a [`HandshakeJob`].
#[derive(Debug)]
pub struct HandshakeDone {}

impl HandshakeJob {
    /// Decrypts the client's first Noise message, has its token verified and writes the answer.
    pub fn run(self, verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>) -> HandshakeDone {
        let _ = verify;
        HandshakeDone {}
    }
}
