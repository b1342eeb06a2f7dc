//! The other end of a session, written from the wire format alone: it holds real keys and says whatever it likes under
//! them. That is how a fuzzer gets behind the encryption without a back door in the endpoint.

use curve25519_dalek::MontgomeryPoint;
use netcode::Entropy;
use protocol::wire::{Acks, ConnectionId, DATA_HEADER_BYTES, DataHeader, Hello, NOISE_PATTERN, nonce, prologue};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

/// The public key of an X25519 secret.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
}

/// A client's half of the handshake.
pub(crate) struct Initiator(HandshakeState);

impl Initiator {
    /// Message 1 with this payload, for the server of this key.
    pub(crate) fn start(seed: u64, server_key: &[u8; 32], hello: &Hello, payload: &[u8]) -> (Self, Vec<u8>) {
        let prologue = prologue(hello);
        let builder = builder(seed).prologue(&prologue).expect("a prologue");
        let builder = builder.remote_public_key(server_key).expect("a key");
        let mut state = builder.build_initiator().expect("an initiator");
        let message = write(&mut state, payload);
        (Self(state), message)
    }

    /// The payload of message 2, and the keys: towards the server, towards the client.
    pub(crate) fn finish(mut self, message: &[u8]) -> Option<(Vec<u8>, [u8; 32], [u8; 32])> {
        let payload = read(&mut self.0, message)?;
        let (to_server, to_client) = self.0.dangerously_get_raw_split();
        Some((payload, to_server, to_client))
    }
}

/// A server's half: reads message 1 and answers with this payload. Returns message 2 and the keys.
pub(crate) fn respond(
    seed: u64,
    secret: &[u8; 32],
    hello: &Hello,
    message: &[u8],
    payload: &[u8],
) -> Option<(Vec<u8>, [u8; 32], [u8; 32])> {
    let prologue = prologue(hello);
    let builder = builder(seed).prologue(&prologue).ok()?.local_private_key(secret).ok()?;
    let mut state = builder.build_responder().ok()?;
    read(&mut state, message)?;
    let answer = write(&mut state, payload);
    let (to_server, to_client) = state.dangerously_get_raw_split();
    Some((answer, to_server, to_client))
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; payload.len() + 48];
    let length = state.write_message(payload, &mut message).expect("it is this side's turn");
    message.truncate(length);
    message
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Option<Vec<u8>> {
    let mut payload = vec![0; message.len()];
    let length = state.read_message(message, &mut payload).ok()?;
    payload.truncate(length);
    Some(payload)
}

/// One end of a session under its keys.
pub(crate) struct Link {
    outgoing: LessSafeKey,
    incoming: LessSafeKey,
    /// Connection id of the packets that go out.
    pub(crate) peer_id: ConnectionId,
    sequence: u32,
    /// Newest sequence heard.
    heard: u32,
}

impl Link {
    pub(crate) fn new(outgoing: &[u8; 32], incoming: &[u8; 32], peer_id: ConnectionId) -> Self {
        let key = |bytes: &[u8; 32]| {
            LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("an AES-256 key has 32 bytes"))
        };
        Self { outgoing: key(outgoing), incoming: key(incoming), peer_id, sequence: 0, heard: 0 }
    }

    /// Acks of everything heard, as an honest peer says them.
    pub(crate) fn acks(&self) -> [u8; 10] {
        Acks { newest: self.heard, bits: u32::MAX, delay_100us: 0 }.encode()
    }

    /// Seals a plaintext, acks and all, under the next sequence, or one farther on.
    pub(crate) fn seal(&mut self, plain: &[u8], skip: u32) -> Vec<u8> {
        self.sequence = self.sequence.saturating_add(1).saturating_add(skip);
        let header = DataHeader { connection_id: self.peer_id, sequence: self.sequence }.encode();
        let mut packet = header.to_vec();
        packet.extend_from_slice(plain);
        let (header, body) = packet.split_at_mut(DATA_HEADER_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce(self.sequence));
        let tag = self.outgoing.seal_in_place_separate_tag(nonce, Aad::from(&*header), body).expect("a short packet");
        packet.extend_from_slice(tag.as_ref());
        packet
    }

    /// Opens a packet for this end.
    pub(crate) fn open(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let (header, _) = DataHeader::decode(packet).ok()?;
        let mut packet = packet.to_vec();
        let (head, body) = packet.split_at_mut(DATA_HEADER_BYTES);
        let nonce = Nonce::assume_unique_for_key(nonce(header.sequence));
        let plain = self.incoming.open_in_place(nonce, Aad::from(&*head), body).ok()?.to_vec();
        self.heard = self.heard.max(header.sequence);
        Some(plain)
    }
}

fn builder(seed: u64) -> Builder<'static> {
    let pattern = NOISE_PATTERN.parse().expect("the protocol's own pattern");
    Builder::with_resolver(pattern, Box::new(Resolver { seed }))
}

struct Resolver {
    seed: u64,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        let mut seed = [0xF0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        Some(Box::new(Seeded(Entropy::new(seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::<X25519>::default() as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

struct Seeded(Entropy);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        self.secret.copy_from_slice(privkey);
        self.public = public_key(&self.secret);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        rng.try_fill_bytes(&mut self.secret)?;
        self.public = public_key(&self.secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let point: [u8; 32] = pubkey.get(..32).and_then(|bytes| bytes.try_into().ok()).ok_or(snow::Error::Dh)?;
        out[..32].copy_from_slice(&MontgomeryPoint(point).mul_clamped(self.secret).to_bytes());
        Ok(())
    }
}
