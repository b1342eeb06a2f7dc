//! Asking metagame how a match stands, for players whose server says nothing.

use std::time::Duration;

use protocol::id::MatchId;
use serde::Deserialize;

/// From one question to the next.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Longest time for one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Knows whom to ask about one match.
#[derive(Debug, Clone)]
pub struct MatchWatch {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl MatchWatch {
    /// Asks the metagame at `base` about this match, as the player whose access token this is.
    pub fn new(http: reqwest::Client, base: &str, token: &str, match_id: MatchId) -> Self {
        Self { http, url: format!("{base}/v1/matches/{match_id}"), token: token.to_owned() }
    }

    /// The match's state now: "placed", "playing", "ended", "lost" or "closed"; none without an answer.
    pub async fn state(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Body {
            state: String,
        }
        let asked = self.http.get(&self.url).bearer_auth(&self.token).timeout(ANSWER_WITHIN).send().await;
        Some(asked.ok()?.json::<Body>().await.ok()?.state)
    }

    /// Resolves with the match's state once it is over, however long that takes.
    pub async fn over(self) -> String {
        loop {
            match self.state().await {
                Some(state) if !matches!(state.as_str(), "placed" | "playing") => return state,
                Some(_) | None => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }
}
