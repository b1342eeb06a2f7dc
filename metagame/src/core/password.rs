//! Passwords: which are accepted, and how they are hashed and checked.
//!
//! New ones are hashed by argon2id with the first of OWASP's recommended parameters; what older systems hashed by bcrypt, or
//! by argon2id with other parameters, is checked and then hashed anew.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Fewest characters (ASVS 6.2.1).
pub const CHARACTERS_MIN: usize = 8;
/// Most bytes of UTF-8. Everything up to here counts; nothing is cut off.
pub const BYTES_MAX: usize = 256;

/// Memory in KiB, passes and lanes of new hashes: 19 MiB, 2, 1.
const COSTS: (u32, u32, u32) = (19 * 1_024, 2, 1);
/// Memory in KiB and passes above which a hash is not checked: it would take the pool for seconds.
const COSTS_MAX: (u32, u32, u32) = (128 * 1_024, 8, 8);
/// Dearest bcrypt that is checked: about a second.
const BCRYPT_COST_MAX: u32 = 14;
/// What bcrypt sees of a password. Longer ones were cut off by the systems that hashed them.
const BCRYPT_BYTES: usize = 72;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// A password in the clear; wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password")
    }
}

/// Why a password is not accepted. It never repeats the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("a password has at least {CHARACTERS_MIN} characters")]
    Short,
    /// Too long.
    #[error("a password has at most {BYTES_MAX} bytes of UTF-8")]
    Long,
    /// Others use it, or it was in a breach.
    #[error("this password is among the most used or was in a breach: choose another one")]
    Common,
    /// It is the player's own name or address.
    #[error("a password may not be or contain your name or e-mail address")]
    Personal,
}

impl Password {
    /// A password as somebody typed it at login: of any length that could be one.
    ///
    /// # Errors
    /// [`PasswordError::Long`].
    pub fn typed(text: String) -> Result<Self, PasswordError> {
        let text = Zeroizing::new(text);
        if text.len() > BYTES_MAX { Err(PasswordError::Long) } else { Ok(Self(text)) }
    }

    /// A new password, if the rules allow it. There are no rules on kinds of characters (ASVS 6.2.5); `personal` are the
    /// player's own name and address.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn chosen(text: String, refused: &Refused, personal: &[&str]) -> Result<Self, PasswordError> {
        let password = Self::typed(text)?;
        if password.0.chars().count() < CHARACTERS_MIN {
            return Err(PasswordError::Short);
        }
        let lower = Zeroizing::new(password.0.to_lowercase());
        let own = |word: &&&str| word.chars().count() >= 4 && lower.contains(&word.to_lowercase());
        if personal.iter().any(|word| own(&word)) {
            return Err(PasswordError::Personal);
        }
        let first = lower.chars().next();
        if lower.chars().all(|one| Some(one) == first) || refused.holds(&lower) || refused.holds(&password.0) {
            return Err(PasswordError::Common);
        }
        Ok(password)
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Passwords that are not accepted: the first eight bytes of each one's SHA-1, sorted. SHA-1 is what lists of breached
/// passwords hold; nothing is protected by it here.
#[derive(Debug, Clone, Default)]
pub struct Refused(Vec<[u8; 8]>);

impl Refused {
    /// Those in texts of one password a line, or one SHA-1 in hex, with or without a colon and a count after it.
    pub fn new<'a>(lists: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = lists.into_iter().flat_map(str::lines).map(str::trim_end).filter(|line| !line.is_empty());
        let mut marks: Vec<[u8; 8]> = lines.map(|line| listed(line).unwrap_or_else(|| mark(line))).collect();
        marks.sort_unstable();
        marks.dedup();
        Self(marks)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn holds(&self, password: &str) -> bool {
        self.0.binary_search(&mark(password)).is_ok()
    }
}

fn mark(password: &str) -> [u8; 8] {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    digest.as_ref()[..8].try_into().expect("SHA-1 gives 20 bytes")
}

/// The mark of a line that is a SHA-1 already.
fn listed(line: &str) -> Option<[u8; 8]> {
    let digits = line.split_once(':').map_or(line, |(digits, _count)| digits);
    let mut hash = [0; 20];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    hash[..8].try_into().ok()
}

/// Memory that argon2 works in; used again and again, so that each hash does not begin with 19 MiB of page faults.
#[derive(Default)]
pub struct Workspace(Vec<Block>);

impl fmt::Debug for Workspace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Workspace")
    }
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It is the password.
    Right,
    /// It is, and its hash is of an older kind: hash it anew.
    RightAndOld,
    /// It is not.
    Wrong,
}

/// The hash of a password, in PHC's form; `salt` is random.
pub fn hash(password: &Password, salt: [u8; SALT_BYTES], workspace: &mut Workspace) -> String {
    let (memory, passes, lanes) = COSTS;
    let hash = derive(password, &salt, COSTS, HASH_BYTES, workspace).expect("the costs are in range");
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
}

/// Whether `password` is what `stored` was made of. What cannot be read is nobody's password.
pub fn check(password: &Password, stored: &str, workspace: &mut Workspace) -> Checked {
    if stored.starts_with("$2") {
        return check_bcrypt(password, stored);
    }
    let Some((costs, salt, expected)) = parse(stored) else { return Checked::Wrong };
    let Some(derived) = derive(password, &salt, costs, expected.len(), workspace) else { return Checked::Wrong };
    if !bool::from(derived.ct_eq(&expected)) {
        Checked::Wrong
    } else if costs == COSTS && expected.len() == HASH_BYTES {
        Checked::Right
    } else {
        Checked::RightAndOld
    }
}

fn check_bcrypt(password: &Password, stored: &str) -> Checked {
    let cost = stored.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
    if cost.is_none_or(|cost| cost > BCRYPT_COST_MAX) {
        return Checked::Wrong;
    }
    let seen = &password.bytes()[..password.bytes().len().min(BCRYPT_BYTES)];
    if bcrypt::verify(seen, stored).unwrap_or(false) { Checked::RightAndOld } else { Checked::Wrong }
}

type Costs = (u32, u32, u32);

/// Costs, salt and hash of a PHC string of argon2id.
fn parse(stored: &str) -> Option<(Costs, Vec<u8>, Vec<u8>)> {
    let parts: Vec<&str> = stored.split('$').collect();
    let ["", "argon2id", "v=19", costs, salt, hash] = parts[..] else { return None };
    let mut values = costs.split(',');
    let mut cost = |name: &str| values.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let costs = (cost("m=")?, cost("t=")?, cost("p=")?);
    let in_range = costs.0 <= COSTS_MAX.0 && costs.1 <= COSTS_MAX.1 && costs.2 <= COSTS_MAX.2;
    let (salt, hash) = (STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?);
    (in_range && (16..=64).contains(&hash.len())).then_some((costs, salt, hash))
}

fn derive(
    password: &Password,
    salt: &[u8],
    (memory, passes, lanes): Costs,
    length: usize,
    workspace: &mut Workspace,
) -> Option<Vec<u8>> {
    let params = Params::new(memory, passes, lanes, Some(length)).ok()?;
    let blocks = params.block_count();
    let mut dear = Vec::new();
    let ours = blocks <= COSTS.0 as usize;
    let room = if ours { &mut workspace.0 } else { &mut dear };
    if room.len() < blocks {
        room.resize(blocks, Block::default());
    }
    let mut derived = vec![0; length];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.bytes(), salt, &mut derived, &mut room[..blocks])
        .ok()?;
    Some(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password::typed(text.to_owned()).expect("short enough")
    }

    fn chosen(text: &str) -> Result<Password, PasswordError> {
        let refused = Refused::new(["password1\ncorrect horse\n", "7C4A8D09CA3762AF61E59520943DC26494F8941B:42"]);
        Password::chosen(text.to_owned(), &refused, &["Ada Lovelace", "countess"])
    }

    #[test]
    fn long_enough_and_not_known_is_all_that_is_asked() {
        for good in ["tenacious", "        x", "пароль-и-ещё", "a 🦀 walks", &"x1".repeat(128)] {
            assert!(chosen(good).is_ok(), "{good}");
        }
        let rows = [
            ("short", PasswordError::Short),
            ("пароль", PasswordError::Short),
            ("Password1", PasswordError::Common),
            ("zzzzzzzzzz", PasswordError::Common),
            ("TheCountess1", PasswordError::Personal),
        ];
        for (bad, error) in rows {
            assert_eq!(chosen(bad), Err(error), "{bad}");
        }
        assert_eq!(chosen(&"x1".repeat(129)), Err(PasswordError::Long));
    }

    #[test]
    fn a_list_may_hold_hashes_with_counts() {
        let refused = Refused::new(["7C4A8D09CA3762AF61E59520943DC26494F8941B:42\r\n"]);
        assert!(refused.holds("123456") && !refused.holds("1234567"));
        assert_eq!(refused.len(), 1);
    }

    #[test]
    fn a_hash_is_of_its_password_and_salt_alone() {
        let mut workspace = Workspace::default();
        let stored = hash(&typed("tenacious"), [1; 16], &mut workspace);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(check(&typed("tenacious"), &stored, &mut workspace), Checked::Right);
        assert_eq!(check(&typed("tenacioux"), &stored, &mut workspace), Checked::Wrong);
        assert_ne!(hash(&typed("tenacious"), [2; 16], &mut workspace), stored);
        let long = "x1".repeat(128);
        let stored = hash(&typed(&long), [1; 16], &mut workspace);
        assert_eq!(check(&typed(&long[..255]), &stored, &mut workspace), Checked::Wrong, "nothing is cut off");
    }

    #[test]
    fn hashes_of_older_systems_are_checked_and_said_to_be_old() {
        let mut workspace = Workspace::default();
        let bcrypt = bcrypt::hash("tenacious", 4).expect("a hash");
        assert_eq!(check(&typed("tenacious"), &bcrypt, &mut workspace), Checked::RightAndOld);
        assert_eq!(check(&typed("tenacioux"), &bcrypt, &mut workspace), Checked::Wrong);
        let long = bcrypt::hash("y".repeat(80), 4).expect("a hash");
        assert_eq!(check(&typed(&"y".repeat(80)), &long, &mut workspace), Checked::RightAndOld);
        let weak = derive(&typed("tenacious"), b"saltsalt", (1_024, 1, 1), 32, &mut workspace).expect("a hash");
        let weak = format!("$argon2id$v=19$m=1024,t=1,p=1${}${}", "c2FsdHNhbHQ", STANDARD_NO_PAD.encode(weak));
        assert_eq!(check(&typed("tenacious"), &weak, &mut workspace), Checked::RightAndOld);
    }

    #[test]
    fn what_is_no_hash_or_too_dear_is_nobodys_password() {
        let mut workspace = Workspace::default();
        for stored in [
            "",
            "$2",
            "$2b$31$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u",
            "$argon2id$v=19$m=9999999,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
            "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$",
            "$argon2i$v=19$m=1024,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
        ] {
            assert_eq!(check(&typed("tenacious"), stored, &mut workspace), Checked::Wrong, "{stored}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert!(!format!("{:?}", typed("tenacious")).contains("ten"));
    }
}
