//! Which resume token is good.
//!
//! A token is used once: each connection is offered another. But an answer can get lost with the connection that it came over, so
//! the token that was used stays good until the client has said something over the connection that it opened.

/// SHA-256 of a resume token.
pub type ResumeHash = [u8; 32];

/// The tokens of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeTokens {
    /// The one that the client is known to have.
    held: Option<ResumeHash>,
    /// The one that was offered over the newest connection.
    offered: ResumeHash,
}

impl ResumeTokens {
    /// Of a new session, whose first connection is offered this one.
    pub fn new(offered: ResumeHash) -> Self {
        Self { held: None, offered }
    }

    /// Of a session that goes on elsewhere than where it was: its token was shown there, and the next one offered.
    pub fn taken(shown: ResumeHash, offered: ResumeHash) -> Self {
        Self { held: Some(shown), offered }
    }

    /// The token that the client is known to have, if any is.
    pub fn held(&self) -> Option<&ResumeHash> {
        self.held.as_ref()
    }

    /// The token that was offered last.
    pub fn offered(&self) -> &ResumeHash {
        &self.offered
    }

    /// A connection shows a token; if it is good, `next` is offered to it. Returns whether it was.
    pub fn present(&mut self, shown: ResumeHash, next: ResumeHash) -> bool {
        if shown == self.offered {
            self.held = Some(shown);
        }
        if self.held != Some(shown) {
            return false;
        }
        self.offered = next;
        true
    }

    /// The client has spoken over the newest connection, so it has what was offered there. Returns whether that is news.
    pub fn confirm(&mut self) -> bool {
        self.held.replace(self.offered) != Some(self.offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_works_once_unless_the_answer_was_lost() {
        let mut tokens = ResumeTokens::new([1; 32]);
        assert!(tokens.present([1; 32], [2; 32]));
        assert!(tokens.present([1; 32], [3; 32]), "the answer with the second was lost");
        assert!(!tokens.present([2; 32], [4; 32]), "and that one is nobody's");
        assert!(tokens.present([3; 32], [4; 32]));
        assert!(tokens.confirm() && !tokens.confirm());
        assert!(!tokens.present([3; 32], [5; 32]), "the client has the next one");
        assert!(tokens.present([4; 32], [5; 32]));
        assert!(!tokens.present([9; 32], [6; 32]));
        let mut taken = ResumeTokens::taken([5; 32], [6; 32]);
        assert!(taken.present([5; 32], [7; 32]) && taken.present([7; 32], [8; 32]));
        assert_eq!((taken.held(), taken.offered()), (Some(&[7; 32]), &[8; 32]));
    }
}
