//! Noise NK: the client proves nothing, the server proves the key that the assignment names; the join token travels
//! in the first message. snow runs the pattern; primitives come from ring and curve25519-dalek, randomness from the
//! caller's [`Entropy`].

use curve25519_dalek::MontgomeryPoint;
use protocol::wire::NOISE_PATTERN;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Entropy;

/// Length of X25519 keys and of session keys.
const KEY_BYTES: usize = 32;
/// What a Noise message adds to its payload: an ephemeral key and a tag.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = KEY_BYTES + 16;

/// The public key of an X25519 secret.
pub(super) fn public_key(secret: &[u8; KEY_BYTES]) -> [u8; KEY_BYTES] {
    MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
}

/// The two keys of a session, one per direction.
pub(super) struct SessionKeys {
    pub(super) client_to_server: Zeroizing<[u8; KEY_BYTES]>,
    pub(super) server_to_client: Zeroizing<[u8; KEY_BYTES]>,
}

impl SessionKeys {
    fn split(state: &mut HandshakeState) -> Self {
        let (initiator, responder) = state.dangerously_get_raw_split();
        Self { client_to_server: Zeroizing::new(initiator), server_to_client: Zeroizing::new(responder) }
    }
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}

/// The client's side of one handshake.
pub(super) struct Initiator(HandshakeState);

impl Initiator {
    /// Begins a handshake and writes message 1; `payload` is told its ephemeral public key.
    pub(super) fn start(
        entropy: &mut Entropy,
        server_key: &[u8; KEY_BYTES],
        prologue: &[u8],
        payload: impl FnOnce([u8; KEY_BYTES]) -> Zeroizing<Vec<u8>>,
    ) -> Result<(Self, Vec<u8>), snow::Error> {
        let resolver = Resolver::boxed(entropy);
        let ephemeral = resolver.ephemeral();
        let builder = Builder::with_resolver(pattern()?, resolver);
        let mut state = builder.prologue(prologue)?.remote_public_key(server_key)?.build_initiator()?;
        let payload = payload(ephemeral);
        let mut message = vec![0; payload.len() + MESSAGE_OVERHEAD_BYTES];
        let length = state.write_message(&payload, &mut message)?;
        message.truncate(length);
        Ok((Self(state), message))
    }

    /// Reads message 2. After an error the handshake goes on: a forged answer must not end it.
    pub(super) fn finish(&mut self, message: &[u8]) -> Result<(Vec<u8>, SessionKeys), snow::Error> {
        let mut payload = vec![0; message.len()];
        let length = self.0.read_message(message, &mut payload)?;
        payload.truncate(length);
        Ok((payload, SessionKeys::split(&mut self.0)))
    }
}

/// The server's side of one handshake.
pub(super) struct Responder(HandshakeState);

impl Responder {
    /// Reads message 1 and returns its payload.
    pub(super) fn read(
        entropy: &mut Entropy,
        static_secret: &[u8; KEY_BYTES],
        prologue: &[u8],
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), snow::Error> {
        let builder = Builder::with_resolver(pattern()?, Resolver::boxed(entropy));
        let mut state = builder.prologue(prologue)?.local_private_key(static_secret)?.build_responder()?;
        let mut payload = vec![0; message.len()];
        let length = state.read_message(message, &mut payload)?;
        payload.truncate(length);
        Ok((Self(state), payload))
    }

    /// Writes message 2, under an ephemeral key made for it: no two sessions share keys.
    pub(super) fn finish(mut self, payload: &[u8]) -> Result<(Vec<u8>, SessionKeys), snow::Error> {
        let mut message = vec![0; payload.len() + MESSAGE_OVERHEAD_BYTES];
        let length = self.0.write_message(payload, &mut message)?;
        message.truncate(length);
        Ok((message, SessionKeys::split(&mut self.0)))
    }
}

fn pattern() -> Result<snow::params::NoiseParams, snow::Error> {
    NOISE_PATTERN.parse()
}

/// Hands snow its primitives.
struct Resolver {
    seed: Zeroizing<[u8; 32]>,
}

impl Resolver {
    fn boxed(entropy: &mut Entropy) -> Box<Self> {
        Box::new(Self { seed: Zeroizing::new(entropy.bytes()) })
    }

    /// The ephemeral public key that the handshake is going to have: its secret is the first thing drawn.
    fn ephemeral(&self) -> [u8; KEY_BYTES] {
        public_key(&Zeroizing::new(Entropy::new(*self.seed).bytes()))
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        // snow asks once per handshake, and each handshake has a resolver and a seed of its own.
        Some(Box::new(GivenEntropy(Entropy::new(*self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

struct GivenEntropy(Entropy);

impl Random for GivenEntropy {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    secret: Zeroizing<[u8; KEY_BYTES]>,
    public: [u8; KEY_BYTES],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, privkey: &[u8]) {
        self.secret.copy_from_slice(privkey);
        self.public = public_key(&self.secret);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        rng.try_fill_bytes(&mut *self.secret)?;
        self.public = public_key(&self.secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.secret
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let point = pubkey.get(..KEY_BYTES).and_then(|bytes| bytes.try_into().ok()).ok_or(snow::Error::Dh)?;
        let shared = MontgomeryPoint(point).mul_clamped(*self.secret).to_bytes();
        // A point of low order would let a stranger choose the secret (RFC 7748, 6.1).
        if bool::from(shared.ct_eq(&[0; KEY_BYTES])) {
            return Err(snow::Error::Dh);
        }
        out[..KEY_BYTES].copy_from_slice(&shared);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(_ephemeral: [u8; KEY_BYTES]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(b"token".to_vec())
    }

    #[test]
    fn a_payload_is_told_the_key_that_its_message_begins_with() {
        let mut told = None;
        let payload = |ephemeral| {
            told = Some(ephemeral);
            Zeroizing::new(Vec::new())
        };
        let server_key = public_key(&[9; 32]);
        let (_, one) = Initiator::start(&mut Entropy::new([1; 32]), &server_key, b"prologue", payload).unwrap();
        assert_eq!(told.as_ref(), one.first_chunk());
    }

    #[test]
    fn both_sides_get_the_same_keys_and_a_forged_answer_does_not_end_the_handshake() {
        let secret = [9; 32];
        let (mut client, one) =
            Initiator::start(&mut Entropy::new([1; 32]), &public_key(&secret), b"prologue", token).unwrap();
        let (server, token) = Responder::read(&mut Entropy::new([2; 32]), &secret, b"prologue", &one).unwrap();
        assert_eq!(token, b"token");
        let (two, server_keys) = server.finish(b"welcome").unwrap();
        for place in [0, 31, 32, two.len() - 1] {
            let mut forged = two.clone();
            forged[place] ^= 1;
            assert!(client.finish(&forged).is_err());
        }
        let (payload, client_keys) = client.finish(&two).unwrap();
        assert_eq!(payload, b"welcome");
        assert_eq!(*client_keys.client_to_server, *server_keys.client_to_server);
        assert_eq!(*client_keys.server_to_client, *server_keys.server_to_client);
        assert_ne!(*client_keys.server_to_client, *client_keys.client_to_server);
    }

    #[test]
    fn another_prologue_another_key_or_a_low_order_point_fails() {
        let secret = [9; 32];
        let entropy = &mut Entropy::new([1; 32]);
        let (_, one) = Initiator::start(entropy, &public_key(&secret), b"prologue", token).unwrap();
        assert!(Responder::read(entropy, &secret, b"Prologue", &one).is_err());
        assert!(Responder::read(entropy, &[8; 32], b"prologue", &one).is_err());
        let mut low = one;
        low[..32].fill(0);
        assert!(Responder::read(entropy, &secret, b"prologue", &low).is_err());
        assert!(Initiator::start(entropy, &[0; 32], b"prologue", token).is_err());
    }

    #[test]
    fn x25519_agrees_with_rfc_7748_section_6_1() {
        let bytes = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
        let mut alice = X25519::default();
        alice.set(&bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let mut bob = X25519::default();
        bob.set(&bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
        assert_eq!(alice.public, bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
        let mut shared = [0; 32];
        alice.dh(bob.pubkey(), &mut shared).unwrap();
        assert_eq!(shared, bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"));
    }

    /// The handshake with every secret fixed, as published for clients in other languages.
    #[test]
    fn the_handshake_is_as_published() {
        let (server, client_e, server_e) = ([0x11; 32], [0x22; 32], [0x33; 32]);
        let prologue =
            hex::decode("6d75737465722d756470010002 00efcdab8967452301 1112131415161718".replace(' ', "")).unwrap();
        let builder = || Builder::with_resolver(pattern().unwrap(), Resolver::boxed(&mut Entropy::new([1; 32])));
        let server_key = public_key(&server);
        let client = builder().prologue(&prologue).unwrap().remote_public_key(&server_key).unwrap();
        let mut client = client.fixed_ephemeral_key_for_testing_only(&client_e).build_initiator().unwrap();
        let responder = builder().prologue(&prologue).unwrap().local_private_key(&server).unwrap();
        let mut responder = responder.fixed_ephemeral_key_for_testing_only(&server_e).build_responder().unwrap();
        let (mut one, mut two, mut payload) = ([0; 58], [0; 55], [0; 100]);
        client.write_message(b"join-token", &mut one).unwrap();
        responder.read_message(&one, &mut payload).unwrap();
        responder.write_message(b"payload", &mut two).unwrap();
        client.read_message(&two, &mut payload).unwrap();
        let keys = SessionKeys::split(&mut client);
        let rows = [
            ("server secret", hex::encode(server)),
            ("server public key", hex::encode(server_key)),
            ("client ephemeral secret", hex::encode(client_e)),
            ("server ephemeral secret", hex::encode(server_e)),
            ("prologue", hex::encode(&prologue)),
            ("message 1, payload \"join-token\"", hex::encode(one)),
            ("message 2, payload \"payload\"", hex::encode(two)),
            ("key client to server", hex::encode(*keys.client_to_server)),
            ("key server to client", hex::encode(*keys.server_to_client)),
        ];
        let rendered: String = rows.iter().map(|(name, hex)| format!("{name} = {hex}\n")).collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/golden/noise.txt");
        if std::env::var_os("MUSTER_BLESS").is_some() {
            std::fs::write(path, &rendered).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), rendered);
    }
}
