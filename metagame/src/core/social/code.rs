//! Codes of private lobbies: short enough to be read out, long enough that guessing finds none.

/// Letters and digits that are not taken for each other, by eye or ear, and no vowels: no code is a word.
const ALPHABET: &[u8; 20] = b"CDFGHJKMNPQRTVWXY347";
/// Letters of a code. Of 20^8 codes, with 10,000 lobbies open, one guess in 2.5 million finds one; a player has ten guesses a
/// minute.
pub const CODE_LENGTH: usize = 8;

/// A code of these random bytes.
pub fn code(entropy: [u8; 16]) -> String {
    // 128 bits over 35 bits of codes: no letter is likelier than another by more than 2^-90.
    let mut rest = u128::from_be_bytes(entropy);
    let base = ALPHABET.len() as u128;
    let mut letter = || {
        let index = (rest % base) as usize;
        rest /= base;
        char::from(ALPHABET[index])
    };
    (0..CODE_LENGTH).map(|_| letter()).collect()
}

/// A code as somebody typed it: case, spaces and hyphens do not matter. `None`: no code looks like this.
pub fn read(text: &str) -> Option<String> {
    let letters = text.chars().filter(|c| !matches!(c, ' ' | '-')).take(CODE_LENGTH + 1);
    let code: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    let is_one = code.len() == CODE_LENGTH && code.bytes().all(|letter| ALPHABET.contains(&letter));
    is_one.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let code = code([0xA7; 16]);
        assert_eq!(code.len(), CODE_LENGTH);
        let typed = format!(" {}-{} ", &code[..4].to_lowercase(), &code[4..]);
        assert_eq!(read(&typed), Some(code));
        for wrong in ["", "CDFG", "CDFGHJKMN", "CDFGHJK0", "CDFGHJKÄ"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_code_is_read_back(entropy: [u8; 16]) {
            let made = code(entropy);
            prop_assert_eq!(read(&made), Some(made));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = read(&text);
        }
    }
}
