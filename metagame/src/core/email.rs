//! E-mail addresses: what is accepted as one, and when two are the same.

use std::fmt;
use std::str::FromStr;

/// Longest address (RFC 5321: a path of 256 with its brackets).
const BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;

/// An e-mail address in small letters. No system that players use tells addresses apart by case, and a player who types
/// "Ada@" once and "ada@" later is one player. It is personal data, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// A text that is not an e-mail address. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an e-mail address: name@domain in ASCII, at most {BYTES_MAX} characters")]
pub struct EmailError;

impl Email {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is before the @.
    pub fn local(&self) -> &str {
        self.0.split_once('@').map_or("", |(local, _)| local)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email")
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let text = text.trim().to_ascii_lowercase();
        let (local, domain) = text.split_once('@').ok_or(EmailError)?;
        let local_is_good = !local.is_empty()
            && local.len() <= LOCAL_BYTES_MAX
            && local.bytes().all(|one| one.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&one))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|one| one.is_ascii_alphanumeric() || one == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let domain_is_good = domain.contains('.') && domain.split('.').all(label);
        if !local_is_good || !domain_is_good || text.len() > BYTES_MAX {
            return Err(EmailError);
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_accepted_in_small_letters() {
        for good in ["ada@example.org", "a.b+c@x-y.example.co", "o'neil_99@example.museum"] {
            assert_eq!(good.parse::<Email>().expect("an address").as_str(), good);
        }
        assert_eq!(" Ada@Example.ORG ".parse::<Email>(), "ada@example.org".parse());
    }

    #[test]
    fn what_could_be_something_else_to_a_mail_server_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@localhost",
            "a b@example.org",
            "a@b@example.org",
            "ada@example..org",
            "ada@-x.org",
            ".ada@example.org",
            "a..b@example.org",
            "ada@example.org\r\nBcc: x@y.z",
            "<ada@example.org>",
            "\"a\"@example.org",
            "ада@example.org",
            &long,
        ] {
            assert_eq!(bad.parse::<Email>(), Err(EmailError), "{bad}");
        }
    }
}
