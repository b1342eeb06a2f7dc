//! Codes of eight digits that prove somebody reads an address's mail, and how often one may guess.

use std::str::FromStr;

/// Life of a code in milliseconds.
pub const CODE_LIFE_MS: u64 = 10 * 60 * 1_000;
/// Wrong tries after which a code is worth nothing: a guesser succeeds with a probability of 5 in 10^8.
pub const CODE_TRIES: u32 = 5;

const DIGITS: usize = 8;

/// A code. It is a secret for as long as it lives, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; DIGITS]);

/// A text that is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has {DIGITS} digits")]
pub struct CodeError;

impl Code {
    /// The code of this entropy. 10^8 does not divide 2^64, by less than one part in 10^11.
    pub fn from_entropy(entropy: u64) -> Self {
        let text = format!("{:08}", entropy % 100_000_000);
        Self(text.as_bytes().try_into().expect("eight digits"))
    }

    /// Its digits.
    pub fn digits(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits are ASCII")
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Code")
    }
}

impl FromStr for Code {
    type Err = CodeError;

    /// People type codes with spaces and hyphens.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let digits: Vec<u8> = text.bytes().filter(|one| !matches!(one, b' ' | b'-')).take(DIGITS + 1).collect();
        let code: [u8; DIGITS] = digits.try_into().map_err(|_| CodeError)?;
        if code.iter().all(u8::is_ascii_digit) { Ok(Self(code)) } else { Err(CodeError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = Code::from_entropy(1_234);
        assert_eq!(code.digits(), "00001234");
        for text in ["00001234", "0000 1234", " 0000-1234 "] {
            assert_eq!(text.parse(), Ok(code.clone()));
        }
        for text in ["", "1234", "000012345", "0000123x", "٠٠٠٠١٢٣٤"] {
            assert_eq!(text.parse::<Code>(), Err(CodeError), "{text}");
        }
        assert_eq!(Code::from_entropy(u64::MAX).digits().len(), 8);
    }
}
