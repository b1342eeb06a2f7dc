//! The server's QUIC certificate: made at start, for this process alone, trusted by its fingerprint.

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use ring::digest::{SHA256, digest};
use time::{Duration, OffsetDateTime};

/// How long it is valid. Browsers take a pinned certificate for at most 14 days; a server that lives longer is rare, and
/// clients of ours look at the fingerprint alone.
const LIFE: Duration = Duration::days(13);
/// How far a client's clock may be behind.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A self-signed P-256 certificate.
#[derive(Clone)]
pub struct Certificate {
    /// X.509, DER.
    pub der: Vec<u8>,
    /// Its private key, PKCS #8 in DER.
    pub key: Vec<u8>,
    /// SHA-256 of `der`, for assignments.
    pub fingerprint: [u8; 32],
    /// Until when it is valid.
    pub expires_unix_s: u64,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &hex::encode(self.fingerprint)).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Makes one, from the operating system's randomness.
    ///
    /// # Errors
    /// When the cryptography fails.
    pub fn make(now_unix_s: u64) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["muster".to_owned()])?;
        let now = i64::try_from(now_unix_s).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
        let now = now.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        (params.not_before, params.not_after) = (now - CLOCK_SKEW, now + LIFE);
        params.distinguished_name = DistinguishedName::new();
        let der = params.self_signed(&key)?.der().to_vec();
        let fingerprint = digest(&SHA256, &der).as_ref().try_into().expect("SHA-256 has 32 bytes");
        let expires_unix_s = params.not_after.unix_timestamp().max(0) as u64;
        Ok(Self { der, key: key.serialize_der(), fingerprint, expires_unix_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_share_a_certificate_and_none_outlives_fourteen_days() {
        let (one, two) =
            (Certificate::make(1_800_000_000).expect("made"), Certificate::make(1_800_000_000).expect("made"));
        assert_ne!(one.fingerprint, two.fingerprint);
        assert!(LIFE + CLOCK_SKEW <= Duration::days(14));
        assert!(one.der.len() < 600, "a server's first flight stays within three times the client's");
    }
}
