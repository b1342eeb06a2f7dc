//! Second factors: what there is to show besides the first proof.

use std::str::FromStr;

/// How a second factor was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrongBy {
    /// A code of an authenticator app.
    Totp,
    /// A passkey or security key.
    Webauthn,
    /// One of the codes that a player keeps on paper.
    Recovery,
    /// A code sent by mail.
    Mail,
}

/// A text that names no second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such second factor")]
pub struct FactorError;

impl StrongBy {
    /// The name in the database and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
            Self::Recovery => "recovery",
            Self::Mail => "mail",
        }
    }

    /// What RFC 8176 calls it in `amr`.
    pub fn amr(self) -> &'static str {
        match self {
            Self::Totp | Self::Recovery | Self::Mail => "otp",
            Self::Webauthn => "hwk",
        }
    }
}

impl FromStr for StrongBy {
    type Err = FactorError;

    fn from_str(text: &str) -> Result<Self, FactorError> {
        [Self::Totp, Self::Webauthn, Self::Recovery, Self::Mail]
            .into_iter()
            .find(|one| one.name() == text)
            .ok_or(FactorError)
    }
}

/// How long a second factor counts where one is asked for, in milliseconds.
pub const STRONG_LIFE_MS: u64 = 10 * 60_000;
/// Codes on paper of one account.
pub const RECOVERY_CODES: usize = 10;
/// Length of a step in seconds, and how many steps before and after now are accepted (RFC 6238, 5.2).
const STEP_S: u64 = 30;
const SKEW: u16 = 1;
const DIGITS: u8 = 6;

/// The secret of an authenticator app: 160 bits (RFC 4226, 4).
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(pub [u8; 20]);

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TotpSecret")
    }
}

impl TotpSecret {
    /// The step whose code this is, if it is one of now.
    pub fn step_of(&self, code: &str, now_s: u64) -> Option<u64> {
        self.totp().check(code.trim(), now_s)
    }

    /// The code of now.
    pub fn code(&self, now_s: u64) -> String {
        self.totp().generate(now_s).to_string()
    }

    /// In base32, for typing.
    pub fn base32(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        // 160 bits are 32 digits of five.
        let bit = |index: usize| usize::from(self.0[index / 8] >> (7 - index % 8) & 1);
        let digit = |at: usize| (0..5).fold(0, |value, offset| value << 1 | bit(at * 5 + offset));
        (0..32).map(|at| char::from(ALPHABET[digit(at)])).collect()
    }

    /// For a QR code. Names hold what could not stand in a URL as little as possible.
    pub fn url(&self, issuer: &str, account: &str) -> String {
        let plain = |text: &str| -> String {
            text.bytes()
                .map(|one| {
                    if one.is_ascii_alphanumeric() || one == b'-' {
                        char::from(one).to_string()
                    } else {
                        format!("%{one:02X}")
                    }
                })
                .collect()
        };
        let (issuer, account) = (plain(issuer), plain(account));
        format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}",
            self.base32()
        )
    }

    fn totp(&self) -> totp_rs::Totp {
        totp_rs::Builder::new()
            .with_algorithm(totp_rs::Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(SKEW)
            .with_step_duration(STEP_S)
            .with_secret(self.0)
            .build_noncompliant()
    }
}

/// A code to keep on paper: nearly 50 bits in letters and digits that are not taken for each other.
pub fn recovery_code(entropy: [u8; 10]) -> String {
    const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let letters: Vec<char> = entropy.iter().map(|one| char::from(ALPHABET[usize::from(one % 31)])).collect();
    let (first, second) = letters.split_at(5);
    format!("{}-{}", first.iter().collect::<String>(), second.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for one in [StrongBy::Totp, StrongBy::Webauthn, StrongBy::Recovery, StrongBy::Mail] {
            assert_eq!(one.name().parse(), Ok(one));
        }
        assert_eq!("".parse::<StrongBy>(), Err(FactorError));
    }

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        let secret = TotpSecret(*b"12345678901234567890");
        assert_eq!(secret.base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        // Appendix B has eight digits; ours are the last six.
        for (now_s, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(secret.code(now_s), code);
            assert_eq!(secret.step_of(code, now_s), Some(now_s / 30));
            assert_eq!(secret.step_of(code, now_s + 30), Some(now_s / 30), "a clock that is slow");
            assert_eq!(secret.step_of(code, now_s + 90), None);
        }
        assert_eq!(secret.step_of("nonsense", 59), None);
        assert!(!format!("{secret:?}").contains("49"));
    }

    #[test]
    fn a_url_names_issuer_and_account() {
        let url = TotpSecret([0; 20]).url("My Game", "ada:1");
        assert!(url.starts_with("otpauth://totp/My%20Game:ada%3A1?secret=AAAA"), "{url}");
        assert!(url.ends_with("&issuer=My%20Game&algorithm=SHA1&digits=6&period=30"), "{url}");
    }

    #[test]
    fn codes_on_paper_have_no_letter_that_looks_like_another() {
        let code = recovery_code([0, 7, 8, 22, 23, 30, 31, 255, 100, 50]);
        assert_eq!((code.len(), code.find('-')), (11, Some(5)));
        assert!(!code.contains(['i', 'l', 'o', '0', '1']), "{code}");
    }
}
