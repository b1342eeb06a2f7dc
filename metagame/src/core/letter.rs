//! What players are told by mail: plain text, in few words, without anything that a stranger could have put into it.

use serde::{Deserialize, Serialize};

use super::code::CODE_LIFE_MS;

/// Longer lines would be encoded, which some programs for mail show as it is.
const COLUMNS: usize = 72;

/// A mail that waits to be sent. It is sealed while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The address; none where there is nobody to tell: such a letter is dropped, and exists so that asking about an address
    /// takes as long whether it is known or not.
    pub to: Option<String>,
    /// What it says.
    pub news: News,
}

/// What there is to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// Somebody, probably its reader, wants to register this address.
    Verify {
        /// Shows that the mail is read.
        code: String,
    },
    /// Somebody wanted to register an address that has an account.
    Known,
    /// Somebody has forgotten a password.
    Reset {
        /// Shows that the mail is read.
        code: String,
    },
    /// Somebody logs in in an unusual way.
    Confirm {
        /// Shows that the mail is read.
        code: String,
    },
    /// The password is another one now.
    PasswordChanged,
    /// How the account is reached has changed.
    IdentitiesChanged,
}

impl Letter {
    /// Subject and text in short lines. `game` is what players call the game.
    pub fn text(&self, game: &str) -> (String, String) {
        let (subject, text) = self.words(game);
        (subject, wrapped(&text))
    }

    fn words(&self, game: &str) -> (String, String) {
        let minutes = CODE_LIFE_MS / 60_000;
        let code = |code: &str, what: &str| {
            format!(
                "{code} is your code to {what}.\n\nIt is good for {minutes} minutes. If you did not ask for it, do nothing: \
                 without the code nothing happens. Nobody who works on {game} will ever ask you for it.\n"
            )
        };
        match &self.news {
            News::Verify { code: digits } => {
                (format!("{digits} is your {game} code"), code(digits, "use this address"))
            }
            News::Reset { code: digits } => {
                (format!("{digits} is your {game} code"), code(digits, "choose a new password"))
            }
            News::Confirm { code: digits } => (
                format!("{digits} is your {game} code"),
                code(digits, "log in")
                    + "\nIf it was not you who logs in, somebody knows your password: choose another one.\n",
            ),
            News::Known => (
                format!("Your {game} account"),
                "Somebody, perhaps you, wanted to make an account with this address. There is one already: log in with it, or \
                 have a new password sent if you have forgotten it. If it was not you, do nothing.\n"
                    .to_owned(),
            ),
            News::PasswordChanged => (
                format!("Your {game} password was changed"),
                "The password of your account was changed, and everybody else was logged out. If it was not you, have a new \
                 password sent at once.\n"
                    .to_owned(),
            ),
            News::IdentitiesChanged => (
                format!("Your {game} account was changed"),
                "The ways to log in to your account, or its second factors, were changed. If it was not you, choose a new \
                 password at once and look through what is linked to your account.\n"
                    .to_owned(),
            ),
        }
    }
}

/// The text in lines of at most [`COLUMNS`] characters, where words allow it.
fn wrapped(text: &str) -> String {
    let mut wrapped = String::with_capacity(text.len() + 8);
    for line in text.lines() {
        let mut column = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if column > 0 {
                let breaks = column + 1 + length > COLUMNS;
                wrapped.push(if breaks { '\n' } else { ' ' });
                column = if breaks { 0 } else { column + 1 };
            }
            wrapped.push_str(word);
            column += length;
        }
        wrapped.push('\n');
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_in_the_subject_and_in_the_text() {
        for news in [
            News::Verify { code: "12345678".into() },
            News::Reset { code: "12345678".into() },
            News::Confirm { code: "12345678".into() },
        ] {
            let (subject, text) = Letter { to: None, news }.text("Arena");
            assert!(subject.contains("12345678") && subject.contains("Arena"), "{subject}");
            assert!(text.starts_with("12345678") && text.contains("10 minutes"), "{text}");
        }
        let (subject, text) = Letter { to: None, news: News::Known }.text("Arena");
        assert!(text.lines().all(|line| line.len() <= COLUMNS) && text.contains("\n"), "{text}");
        assert!(!subject.contains(char::is_numeric), "{subject}");
    }
}
