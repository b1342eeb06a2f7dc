//! How both ends set quinn-proto up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use ring::{hkdf, hmac};

use super::connection_ids::RoutedIds;
use crate::Entropy;
use crate::endpoint::limits::{
    QUIC_IDLE_MAX, QUIC_KEEP_ALIVE, QUIC_RTT_INITIAL, QUIC_SEND_BUFFER_BYTES, QUIC_STREAM_WINDOW,
};

/// What a server needs to speak QUIC beside native UDP.
#[derive(Clone)]
pub struct QuicServerConfig {
    /// The certificate, X.509 in DER; its SHA-256 is what assignments name. P-256, so that every TLS stack knows it.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS #8 in DER.
    pub key: Vec<u8>,
    /// The instant that `Micros(0)` stands for: taken once by the shell.
    pub base: Instant,
}

impl std::fmt::Debug for QuicServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuicServerConfig(..)")
    }
}

/// What a client needs to speak QUIC instead of native UDP.
#[derive(Debug, Clone)]
pub struct QuicClientConfig {
    /// SHA-256 of the certificates that the server may show, from the assignment.
    pub fingerprints: Vec<[u8; 32]>,
    /// The instant that `Micros(0)` stands for: taken once by the shell.
    pub base: Instant,
}

/// Why QUIC cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum QuicConfigError {
    /// TLS does not take the certificate or its key.
    #[error("TLS refuses the QUIC certificate or its key: {0}")]
    Tls(#[from] rustls::Error),
    /// The cryptography lacks the cipher of QUIC's first packets.
    #[error("the TLS provider lacks TLS_AES_128_GCM_SHA256, which QUIC begins with")]
    CipherSuite,
}

/// How connections of both ends behave. `streams`: how many bidirectional ones the peer may open.
pub(super) fn transport(streams: u32) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let idle = u32::try_from(QUIC_IDLE_MAX.as_millis()).expect("seconds");
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
        .keep_alive_interval(Some(QUIC_KEEP_ALIVE))
        .initial_rtt(QUIC_RTT_INITIAL)
        .stream_receive_window(VarInt::from_u32(QUIC_STREAM_WINDOW))
        .receive_window(VarInt::from_u32(QUIC_STREAM_WINDOW))
        .datagram_send_buffer_size(QUIC_SEND_BUFFER_BYTES)
        // No packet is larger than 1,200 bytes on any carrier.
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false);
    Arc::new(config)
}

/// The part of an endpoint's settings that both ends share.
pub(super) fn endpoint(entropy: &mut Entropy, routing_token: Vec<u8>) -> Arc<EndpointConfig> {
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, &entropy.bytes::<64>());
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config
        .cid_generator(RoutedIds::factory(routing_token, entropy.fork()))
        .grease_quic_bit(false)
        .supported_versions(vec![1]);
    Arc::new(config)
}

/// A server's settings: streams for one request, Retry tokens under a key of this process.
pub(super) fn server(
    config: &QuicServerConfig,
    clock: super::time::RetryClock,
    entropy: &mut Entropy,
) -> Result<Arc<quinn_proto::ServerConfig>, QuicConfigError> {
    let crypto = super::tls::server(&config.certificate, &config.key)?;
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&entropy.bytes::<64>());
    let mut server = quinn_proto::ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    let mut validation = quinn_proto::ValidationTokenConfig::default();
    validation.sent(0);
    server
        .transport_config(transport(1))
        .validation_token_config(validation)
        .retry_token_lifetime(Duration::from_secs(5))
        .time_source(Arc::new(clock));
    Ok(Arc::new(server))
}
