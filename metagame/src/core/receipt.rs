//! Receipts of exports and erasures: what was done, signed by the installation, so that it can be shown years later to somebody
//! who trusts its public key alone.
//!
//! The signature is Ed25519 over `muster-receipt-1`, a zero byte, and the body as it stands. The key is made of the vault's key
//! file and is not rotated: receipts outlive every key of access tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::jwt::{SigningKey, verify_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

const DOMAIN: &[u8] = b"muster-receipt-1\0";
/// What stands in an export between what is signed and the receipt.
pub const BEFORE_RECEIPT: &str = ",\n\"receipt\":";

/// A signed receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedReceipt {
    /// JSON, byte for byte as it was signed.
    pub body: String,
    /// The installation's key of receipts: 32 bytes, base64url. Compare it with the one that you know.
    pub public_key: String,
    /// 64 bytes, base64url.
    pub signature: String,
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// It is no receipt.
    #[error("this is no receipt of Muster: {0}")]
    Malformed(String),
    /// Another installation's, or somebody's own.
    #[error("it was signed by the key {0}, which is not that of this installation")]
    OtherKey(String),
    /// It was changed.
    #[error("its signature does not fit: it was changed")]
    Signature,
    /// What it is about was changed.
    #[error("the data is not what the receipt was given for: it was changed")]
    Data,
}

/// Signs a receipt.
pub fn sign(key: &SigningKey, body: String) -> SignedReceipt {
    let signature = key.sign_bytes(&[DOMAIN, body.as_bytes()].concat());
    of(body, &key.public_key(), &signature)
}

/// A receipt that was signed before.
pub fn of(body: String, public_key: &[u8; 32], signature: &[u8]) -> SignedReceipt {
    let (public_key, signature) = (URL_SAFE_NO_PAD.encode(public_key), URL_SAFE_NO_PAD.encode(signature));
    SignedReceipt { body, public_key, signature }
}

/// What a receipt says, if this key has signed it.
///
/// # Errors
/// [`ReceiptFault`].
pub fn verify(receipt: &SignedReceipt, trusted: &[u8; 32]) -> Result<Value, ReceiptFault> {
    let malformed = |what: &str| ReceiptFault::Malformed(what.to_owned());
    let public_key = URL_SAFE_NO_PAD.decode(&receipt.public_key).map_err(|_| malformed("its key"))?;
    if public_key != trusted {
        return Err(ReceiptFault::OtherKey(receipt.public_key.clone()));
    }
    let signature = URL_SAFE_NO_PAD.decode(&receipt.signature).map_err(|_| malformed("its signature"))?;
    if !verify_bytes(trusted, &[DOMAIN, receipt.body.as_bytes()].concat(), &signature) {
        return Err(ReceiptFault::Signature);
    }
    serde_json::from_str(&receipt.body).map_err(|error| malformed(&error.to_string()))
}

/// What the receipt in a file says: one that stands alone, or an export, whose data must be what the receipt is about.
///
/// # Errors
/// [`ReceiptFault`].
pub fn verify_file(file: &str, trusted: &[u8; 32]) -> Result<Value, ReceiptFault> {
    let read = |text: &str| serde_json::from_str(text).map_err(|error| ReceiptFault::Malformed(error.to_string()));
    let Some(at) = file.rfind(BEFORE_RECEIPT) else { return verify(&read(file)?, trusted) };
    let (data, rest) = (&file[..at], file[at + BEFORE_RECEIPT.len()..].trim_end());
    let receipt = rest.strip_suffix('}').ok_or_else(|| ReceiptFault::Malformed("it is cut off".into()))?;
    let said = verify(&read(receipt)?, trusted)?;
    if said["sha256"] != hex::encode(Sha256::digest(data)) {
        return Err(ReceiptFault::Data);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[3; 32])
    }

    #[test]
    fn a_receipt_is_believed_as_it_was_signed_and_by_its_key_alone() {
        let receipt = sign(&key(), r#"{"kind":"erasure"}"#.into());
        let trusted = key().public_key();
        assert_eq!(verify(&receipt, &trusted).expect("good")["kind"], "erasure");
        let changed = SignedReceipt { body: r#"{"kind":"export"}"#.into(), ..receipt.clone() };
        assert_eq!(verify(&changed, &trusted), Err(ReceiptFault::Signature));
        let forged = sign(&SigningKey::from_seed(&[4; 32]), receipt.body.clone());
        assert!(matches!(verify(&forged, &trusted), Err(ReceiptFault::OtherKey(_))));
        let renamed = SignedReceipt { public_key: receipt.public_key, ..forged };
        assert_eq!(verify(&renamed, &trusted), Err(ReceiptFault::Signature));
    }

    #[test]
    fn an_export_is_believed_with_the_data_that_its_receipt_is_about() {
        let data = "{\"tables\":{\"accounts\":[{\"name\":\"Ada\"}]}";
        let receipt = sign(&key(), format!("{{\"sha256\":\"{}\"}}", hex::encode(Sha256::digest(data))));
        let receipt = serde_json::to_string(&receipt).expect("plain data");
        let (file, trusted) = (format!("{data}{BEFORE_RECEIPT}{receipt}}}\n"), key().public_key());
        assert!(verify_file(&file, &trusted).is_ok());
        assert_eq!(verify_file(&file.replace("Ada", "Eve"), &trusted), Err(ReceiptFault::Data));
        assert!(matches!(verify_file(&file[..file.len() - 2], &trusted), Err(ReceiptFault::Malformed(_))));
        assert!(serde_json::from_str::<Value>(&file).is_ok(), "and it is JSON");
    }
}
