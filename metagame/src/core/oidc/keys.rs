//! The keys by which a provider signs (RFC 7517, 7518, 8037): read leniently, used strictly.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// Most keys of one provider that are looked at.
const KEYS_MAX: usize = 64;

/// How an id token is signed. There is no `none`, and nothing with a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with PKCS #1 1.5 and SHA-256, 2,048 to 8,192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// A name that is none of an algorithm that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an algorithm is RS256, ES256 or EdDSA")]
pub struct AlgorithmError;

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its name in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    fn from_str(text: &str) -> Result<Self, AlgorithmError> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or(AlgorithmError)
    }
}

#[derive(Debug, Clone)]
enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Debug, Clone)]
struct ProviderKey {
    kid: Option<String>,
    key: PublicKey,
}

/// What became of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Good,
    Bad,
    /// No key of this name and kind: the provider may have a new one.
    Unknown,
}

/// The keys of a provider.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys(Vec<ProviderKey>);

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl ProviderKeys {
    /// The keys of a JWK set that are for signatures that are taken; all others are passed over. `None`: it is no JWK set.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let set: Set = serde_json::from_slice(json).ok()?;
        let read = |value| serde_json::from_value::<Jwk>(value).ok().and_then(|jwk| read(&jwk));
        Some(Self(set.keys.into_iter().take(KEYS_MAX).filter_map(read).collect()))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Checks a signature. Where the token names no key, all of the algorithm's kind are tried.
    pub(super) fn check(&self, kid: Option<&str>, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Checked {
        let named = |one: &&ProviderKey| kid.is_none() || one.kid.as_deref() == kid;
        let mut found = Checked::Unknown;
        for one in self.0.iter().filter(named).filter(|one| one.key.algorithm() == algorithm) {
            if one.key.verifies(message, signature) {
                return Checked::Good;
            }
            found = Checked::Bad;
        }
        found
    }
}

impl PublicKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Self::Ed25519(point) => UnparsedPublicKey::new(&ED25519, point).verify(message, signature).is_ok(),
        }
    }
}

fn read(jwk: &Jwk) -> Option<ProviderKey> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    // ring takes numbers without leading zeros.
    let number =
        |text: &Option<String>| Some(bytes(text)?.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
    let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => PublicKey::Rsa { n: number(&jwk.n)?, e: number(&jwk.e)? },
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            PublicKey::P256([&[4_u8][..], &x, &y].concat())
        }
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes(&jwk.x).filter(|x| x.len() == 32)?),
        _ => return None,
    };
    if jwk.alg.as_deref().is_some_and(|alg| alg != key.algorithm().name()) {
        return None;
    }
    Some(ProviderKey { kid: jwk.kid.clone(), key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_of_rfc_7515_is_good_and_a_changed_one_is_not() {
        // Appendix A.2: RS256.
        let set = r#"{"keys":[{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;
        let message = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = URL_SAFE_NO_PAD.decode("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw").expect("base64");
        let keys = ProviderKeys::parse(set.as_bytes()).expect("a set");
        assert_eq!(keys.check(None, Algorithm::Rs256, message, &signature), Checked::Good);
        assert_eq!(keys.check(None, Algorithm::Rs256, &message[1..], &signature), Checked::Bad);
        assert_eq!(keys.check(None, Algorithm::Es256, message, &signature), Checked::Unknown, "a key of another kind");
        assert_eq!(keys.check(Some("other"), Algorithm::Rs256, message, &signature), Checked::Unknown);
    }

    #[test]
    fn the_other_algorithms_verify_what_others_signed() {
        // RFC 7515 A.3 and RFC 8037 A.4.
        let set = r#"{"keys":[
            {"kty":"EC","crv":"P-256","kid":"a3","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
            {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let keys = ProviderKeys::parse(set.as_bytes()).expect("a set");
        let message = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = URL_SAFE_NO_PAD
            .decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
        assert_eq!(keys.check(Some("a3"), Algorithm::Es256, message, &signature.expect("base64")), Checked::Good);
        let signature = URL_SAFE_NO_PAD
            .decode("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        assert_eq!(keys.check(None, Algorithm::EdDsa, message, &signature.expect("base64")), Checked::Good);
    }

    #[test]
    fn keys_that_are_not_for_this_are_passed_over() {
        let set = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"EC","crv":"P-384","x":"AA","y":"AA"},
            {"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"},
            {"kty":"RSA","alg":"RS512","n":"AQAB","e":"AQAB"},{"kty":7},"text",
            {"kty":"RSA","alg":"RS256","use":"sig","n":"AQAB","e":"AQAB"}]}"#;
        assert_eq!(ProviderKeys::parse(set.as_bytes()).expect("a set").count(), 1);
        assert!(ProviderKeys::parse(b"[]").is_none() && ProviderKeys::parse(b"{}").is_none());
    }

    #[test]
    fn only_three_algorithms_have_names() {
        for one in Algorithm::ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        for other in ["none", "None", "HS256", "RS512", "PS256", "eddsa", ""] {
            assert_eq!(other.parse::<Algorithm>(), Err(AlgorithmError), "{other}");
        }
    }
}
