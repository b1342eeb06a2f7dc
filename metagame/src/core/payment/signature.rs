//! Stripe's signatures: the header `Stripe-Signature: t=<Unix seconds>,v1=<hexadecimal>,…`, HMAC-SHA256 over `<t>.<body>` with the
//! endpoint's secret. While a secret is replaced there are two of either, and one pair that fits is enough.

use ring::hmac;

/// How far the time of a signature may be from now, in seconds: a body that somebody recorded is of no use later.
pub const TOLERANCE_S: u64 = 300;
/// Most signatures of one header that are looked at.
const SIGNATURES_MAX: usize = 16;

/// A secret of the endpoint. Its bytes are never shown.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningSecret")
    }
}

impl SigningSecret {
    /// The secret as Stripe shows it, `whsec_` and all: that text is the key.
    pub fn new(text: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
    }

    /// The header that signs `body` at this time.
    pub fn sign(&self, at_s: u64, body: &[u8]) -> String {
        format!("t={at_s},v1={}", hex::encode(hmac::sign(&self.0, &signed(at_s, body))))
    }
}

/// Why a body is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The header has no time, or no signature of the scheme v1.
    #[error("the header Stripe-Signature is not t=…,v1=…")]
    Form,
    /// The time is too far from now, in either direction.
    #[error("the signature is of another time: more than 300 s from now")]
    Time,
    /// No secret made any of the signatures.
    #[error("no signature is by a secret of this endpoint")]
    Signature,
}

fn signed(at_s: u64, body: &[u8]) -> Vec<u8> {
    [format!("{at_s}.").as_bytes(), body].concat()
}

/// Whether one of the secrets has signed `body`, not long ago. Signatures are compared in constant time.
///
/// # Errors
/// [`SignatureFault`].
pub fn verify(header: &str, body: &[u8], secrets: &[SigningSecret], now_s: u64) -> Result<(), SignatureFault> {
    let (mut at_s, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => at_s = text.parse::<u64>().ok(),
            // Other schemes are for tests of the provider's, or weaker.
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => signatures.extend(hex::decode(text).ok()),
            _ => {}
        }
    }
    let at_s = at_s.ok_or(SignatureFault::Form)?;
    if signatures.is_empty() {
        return Err(SignatureFault::Form);
    }
    let signed = signed(at_s, body);
    let fits = |secret: &SigningSecret| signatures.iter().any(|one| hmac::verify(&secret.0, &signed, one).is_ok());
    if !secrets.iter().any(fits) {
        return Err(SignatureFault::Signature);
    }
    // Last, so that nobody learns from the answer what a good time would be.
    if at_s.abs_diff(now_s) > TOLERANCE_S { Err(SignatureFault::Time) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn secrets() -> Vec<SigningSecret> {
        ["whsec_new", "whsec_old"].map(SigningSecret::new).to_vec()
    }

    #[test]
    fn a_signature_is_that_of_the_documented_scheme() {
        // printf '1800000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_new
        let header = SigningSecret::new("whsec_new").sign(NOW_S, br#"{"id":"evt_1"}"#);
        let signature = header.strip_prefix("t=1800000000,v1=").expect("the scheme");
        assert_eq!(signature, EXPECTED);
    }

    const EXPECTED: &str = "bcd5b8f84c1762e896c564b29f53d2d26064aba6607250fa924f75df06e0f8a4";

    #[test]
    fn each_live_secret_is_good_and_another_is_not() {
        for secret in ["whsec_new", "whsec_old"] {
            let header = SigningSecret::new(secret).sign(NOW_S, b"{}");
            assert_eq!(verify(&header, b"{}", &secrets(), NOW_S), Ok(()));
            assert_eq!(verify(&header, b"{} ", &secrets(), NOW_S), Err(SignatureFault::Signature));
        }
        let header = SigningSecret::new("whsec_other").sign(NOW_S, b"{}");
        assert_eq!(verify(&header, b"{}", &secrets(), NOW_S), Err(SignatureFault::Signature));
        assert_eq!(verify(&header, b"{}", &[], NOW_S), Err(SignatureFault::Signature));
        // Stripe signs with both while one is replaced; the first need not be ours.
        let ours = SigningSecret::new("whsec_old").sign(NOW_S, b"{}");
        let both = format!("{header},{},v0=00", ours.split_once(',').expect("two parts").1);
        assert_eq!(verify(&both, b"{}", &secrets(), NOW_S), Ok(()));
    }

    #[test]
    fn a_recorded_body_is_of_no_use_later_nor_earlier() {
        let header = SigningSecret::new("whsec_new").sign(NOW_S, b"{}");
        for (now_s, good) in [(NOW_S + 300, true), (NOW_S + 301, false), (NOW_S - 300, true), (NOW_S - 301, false)] {
            assert_eq!(verify(&header, b"{}", &secrets(), now_s).is_ok(), good, "{now_s}");
        }
        // Another time in the header is another text.
        let moved = header.replace("1800000000", "1800000400");
        assert_eq!(verify(&moved, b"{}", &secrets(), NOW_S + 400), Err(SignatureFault::Signature));
    }

    #[test]
    fn whatever_is_no_signature_is_refused() {
        for header in ["", "t=1", "v1=00", "t=x,v1=00", "t=1800000000,v1=zz", "t=1800000000,v0=00", ",,=,"] {
            assert!(verify(header, b"{}", &secrets(), NOW_S).is_err(), "{header:?}");
        }
        let bare = format!("t={NOW_S},v1=");
        assert_eq!(verify(&bare, b"{}", &secrets(), NOW_S), Err(SignatureFault::Signature));
    }
}
