//! Personal data at rest: sealed under a key per account, and those keys wrapped by a key file outside the database.
//!
//! A copy of the database without the key file shows no e-mail address; deleting one wrapped key makes everything of that
//! account unreadable, in every backup too. What must be found again (an e-mail address at login) is kept as a blind
//! index: an HMAC that only the holder of the key file can compute.
//!
//! Everything is AES-256-GCM with a random nonce; what it belongs to is authenticated with it, so that nothing sealed
//! can be moved to another account or column.

use protocol::id::PlayerId;
use protocol::jwt::SigningKey;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

/// First byte of everything sealed: the format.
const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;

/// Why something sealed does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed data does not open: it was changed, moved, or sealed under another key file")]
pub struct SealError;

/// The value of a blind index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlindIndex(pub [u8; 32]);

/// An account's key as the database keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(pub Vec<u8>);

impl std::fmt::Debug for WrappedKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WrappedKey")
    }
}

/// What the key file gives.
pub struct Vault {
    /// Wraps the keys of accounts.
    wrap: LessSafeKey,
    /// Seals what belongs to no account, or to none yet.
    system: LessSafeKey,
    index: hmac::Key,
    name: String,
    /// Signs receipts.
    receipts: Zeroizing<[u8; KEY_BYTES]>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Vault").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Vault {
    /// The vault of a key file with these secret bytes.
    pub fn new(master: &[u8; 32]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, master);
        let derived = |label: &str| hmac::sign(&master, label.as_bytes());
        Self {
            wrap: key(derived("muster vault wrap v1").as_ref()),
            system: key(derived("muster vault system v1").as_ref()),
            index: hmac::Key::new(hmac::HMAC_SHA256, derived("muster vault index v1").as_ref()),
            receipts: Zeroizing::new(derived("muster vault receipts v1").as_ref().try_into().expect("32 bytes")),
            name: hex::encode(&derived("muster vault name v1").as_ref()[..8]),
        }
    }

    /// Names the key file, and says nothing about what is in it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Signs receipts of exports and erasures: the same as long as the key file is.
    pub fn receipts(&self) -> SigningKey {
        SigningKey::from_seed(&self.receipts)
    }

    /// A new key for an account, and how it is kept.
    pub fn new_account_key(&self, player: PlayerId) -> (AccountKey, WrappedKey) {
        let bytes = Zeroizing::new(service::random::bytes::<KEY_BYTES>());
        let wrapped = seal(&self.wrap, &[b"account key", &player.to_bytes()], bytes.as_ref());
        (AccountKey::new(bytes.as_ref(), player), WrappedKey(wrapped))
    }

    /// The key of an account, from how it is kept.
    ///
    /// # Errors
    /// [`SealError`] if another key file wrapped it, or it is another account's.
    pub fn account_key(&self, player: PlayerId, wrapped: &WrappedKey) -> Result<AccountKey, SealError> {
        let bytes = open(&self.wrap, &[b"account key", &player.to_bytes()], &wrapped.0)?;
        if bytes.len() != KEY_BYTES {
            return Err(SealError);
        }
        Ok(AccountKey::new(&bytes, player))
    }

    /// Where `value` is found again; values of different kinds never meet.
    pub fn blind_index(&self, kind: &str, value: &[u8]) -> BlindIndex {
        let mut context = hmac::Context::with_key(&self.index);
        context.update(&(kind.len() as u64).to_le_bytes());
        context.update(kind.as_bytes());
        context.update(value);
        BlindIndex(context.sign().as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes"))
    }

    /// Seals what belongs to the installation, or lives for minutes only.
    pub fn seal(&self, purpose: &str, bytes: &[u8]) -> Vec<u8> {
        seal(&self.system, &[b"system", purpose.as_bytes()], bytes)
    }

    /// Opens what [`Vault::seal`] has sealed.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        open(&self.system, &[b"system", purpose.as_bytes()], sealed)
    }
}

/// The key of one account.
pub struct AccountKey {
    key: LessSafeKey,
    pseudonyms: hmac::Key,
    player: PlayerId,
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AccountKey").field("player", &self.player).finish_non_exhaustive()
    }
}

impl AccountKey {
    fn new(bytes: &[u8], player: PlayerId) -> Self {
        let pseudonyms = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), b"muster account pseudonyms v1");
        Self { key: key(bytes), pseudonyms: hmac::Key::new(hmac::HMAC_SHA256, pseudonyms.as_ref()), player }
    }

    /// A name for the account, another one for each purpose. Only who has the key can tell whose it is: with the key the way
    /// from one to the other is gone.
    pub fn pseudonym(&self, purpose: &str) -> [u8; 16] {
        let tag = hmac::sign(&self.pseudonyms, purpose.as_bytes());
        tag.as_ref()[..16].try_into().expect("16 of 32 bytes")
    }

    /// Seals something of this account; `purpose` is where it is kept.
    pub fn seal(&self, purpose: &str, bytes: &[u8]) -> Vec<u8> {
        seal(&self.key, &[&self.player.to_bytes(), purpose.as_bytes()], bytes)
    }

    /// Opens what [`AccountKey::seal`] has sealed for the same purpose.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        open(&self.key, &[&self.player.to_bytes(), purpose.as_bytes()], sealed)
    }
}

fn key(bytes: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key of AES-256"))
}

/// What sealed data belongs to, each part with its length in front.
fn context(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = b"muster sealed v1".to_vec();
    for part in parts {
        context.extend_from_slice(&(part.len() as u64).to_le_bytes());
        context.extend_from_slice(part);
    }
    context
}

fn seal(key: &LessSafeKey, belongs_to: &[&[u8]], bytes: &[u8]) -> Vec<u8> {
    let nonce = service::random::bytes::<NONCE_LEN>();
    let mut body = bytes.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context(belongs_to)), &mut body)
        .expect("what is sealed is shorter than 64 GiB");
    [&[FORMAT], &nonce[..], &body].concat()
}

fn open(key: &LessSafeKey, belongs_to: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (format, rest) = sealed.split_first().ok_or(SealError)?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(SealError)?;
    if *format != FORMAT {
        return Err(SealError);
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = key.open_in_place(nonce, Aad::from(context(belongs_to)), &mut body).map_err(|_| SealError)?.len();
    body.truncate(length);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(n: u8) -> PlayerId {
        PlayerId::from_entropy([n; 16])
    }

    #[test]
    fn what_is_sealed_opens_for_its_account_and_purpose_alone() {
        let vault = Vault::new(&[1; 32]);
        let (ada, wrapped) = vault.new_account_key(player(1));
        let sealed = ada.seal("e-mail", b"ada@example.org");
        assert!(!sealed.windows(3).any(|window| window == b"ada"));
        assert_ne!(sealed, ada.seal("e-mail", b"ada@example.org"), "equal values do not look equal");
        let again = vault.account_key(player(1), &wrapped).expect("the same key file");
        assert_eq!(again.open("e-mail", &sealed).expect("opens").as_slice(), b"ada@example.org");
        assert!(again.open("address", &sealed).is_err());
        let (bob, _) = vault.new_account_key(player(2));
        assert!(bob.open("e-mail", &sealed).is_err());
        assert!(vault.account_key(player(2), &wrapped).is_err(), "a key cannot be moved to another account");
        assert!(Vault::new(&[2; 32]).account_key(player(1), &wrapped).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(again.open("e-mail", &changed).is_err(), "byte {at}");
            assert!(again.open("e-mail", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_pseudonym_is_the_same_for_one_key_and_purpose() {
        let vault = Vault::new(&[1; 32]);
        let (ada, wrapped) = vault.new_account_key(player(1));
        let again = vault.account_key(player(1), &wrapped).expect("the same key file");
        assert_eq!(ada.pseudonym("telemetry"), again.pseudonym("telemetry"));
        assert_ne!(ada.pseudonym("telemetry"), ada.pseudonym("other"));
        let (another, _) = vault.new_account_key(player(1));
        assert_ne!(ada.pseudonym("telemetry"), another.pseudonym("telemetry"), "it is the key's, not the account's");
    }

    #[test]
    fn a_blind_index_is_the_same_for_the_same_and_needs_the_key_file() {
        let vault = Vault::new(&[1; 32]);
        let index = vault.blind_index("e-mail", b"ada@example.org");
        assert_eq!(vault.blind_index("e-mail", b"ada@example.org"), index);
        assert_ne!(vault.blind_index("e-mail", b"bob@example.org"), index);
        assert_ne!(vault.blind_index("steam", b"ada@example.org"), index);
        assert_ne!(vault.blind_index("e-mai", b"lada@example.org"), index);
        assert_ne!(Vault::new(&[2; 32]).blind_index("e-mail", b"ada@example.org"), index);
    }

    #[test]
    fn what_is_the_installations_opens_for_its_purpose_alone() {
        let vault = Vault::new(&[1; 32]);
        let sealed = vault.seal("mail", b"text");
        assert_eq!(vault.open("mail", &sealed).expect("opens").as_slice(), b"text");
        assert!(vault.open("key", &sealed).is_err());
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let vault = Vault::new(&[0xAB; 32]);
        let (key, wrapped) = vault.new_account_key(player(1));
        let shown = format!("{vault:?} {key:?} {wrapped:?}");
        assert!(!shown.contains("abab") && !shown.contains("[171"), "{shown}");
    }
}
