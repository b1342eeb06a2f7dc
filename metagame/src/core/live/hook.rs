//! A studio's own service that is asked before an act: what its answers are worth, and what happens without one.

use serde::Deserialize;

use super::rule::{CODE_BYTES_MAX, MESSAGE_BYTES_MAX};

/// What happens where a hook does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfDown {
    /// The act.
    Allow,
    /// Nothing: the client is told to come back.
    Refuse,
}

/// What a hook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The act may happen, as far as this hook is concerned.
    Allow,
    /// It may not.
    Refuse {
        /// For the client's program.
        code: String,
        /// For the player.
        message: String,
    },
}

#[derive(Deserialize)]
struct AnswerForm {
    allow: bool,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads an answer: 200 and `{"allow": true}` or `{"allow": false, "code", "message"}`.
///
/// # Errors
/// Why it is none, in a few words that do not repeat it.
pub fn read(status: u16, body: &[u8]) -> Result<Answer, String> {
    if status != 200 {
        return Err(format!("it answered {status}"));
    }
    let form: AnswerForm = serde_json::from_slice(body).map_err(|_| "its answer is not {\"allow\": …}".to_owned())?;
    if form.allow {
        return Ok(Answer::Allow);
    }
    let code: String =
        form.code.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    let message: String = form.message.chars().filter(|c| !c.is_control()).collect();
    let cut = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
    Ok(Answer::Refuse { code: cut(&code, CODE_BYTES_MAX), message: cut(&message, MESSAGE_BYTES_MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_one() {
        assert_eq!(read(200, b"{\"allow\": true}"), Ok(Answer::Allow));
        let refused = Answer::Refuse { code: "rude".into(), message: "No.".into() };
        assert_eq!(read(200, br#"{"allow": false, "code": "ru de", "message": "No\n.", "more": 1}"#), Ok(refused));
        for (status, body) in
            [(204, "{\"allow\": true}"), (500, "{\"allow\": true}"), (200, ""), (200, "{}"), (200, "true")]
        {
            assert!(read(status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn what_is_passed_on_is_short() {
        let long = format!("{{\"allow\": false, \"message\": \"{}\"}}", "ä".repeat(200));
        let Ok(Answer::Refuse { message, .. }) = read(200, long.as_bytes()) else { panic!("refused") };
        assert_eq!(message.len(), MESSAGE_BYTES_MAX);
    }
}
