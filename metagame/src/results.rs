//! Results: what a game server signed is checked against what the allocator certified, then recorded once.

use std::sync::Arc;
use std::time::Instant;

use protocol::certificate::{CertificateClaims, MatchResult, ResultError, SignedResult};
use protocol::jwt::JwtError;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::core::live::rule::{Act, Fact, Facts};
use crate::core::progression::Progression;
use crate::core::settlement::{RELEASED, validate};
use crate::keys::AllocatorKeys;
use crate::metrics;
use crate::problem::Problem;
use crate::rules::{facts, is_refusal};
use crate::store::{Recorded, Store, VerifiedResult};

/// What became of a believed result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It counts from now on.
    First,
    /// It was recorded before.
    Again,
    /// It is of a match that was given back: it counts for nobody.
    NotRecorded,
}

/// Takes results in.
pub(crate) struct Results {
    store: Store,
    keys: Arc<AllocatorKeys>,
    progression: Arc<Progression>,
}

impl Results {
    pub(crate) fn new(store: Store, keys: Arc<AllocatorKeys>, progression: Arc<Progression>) -> Self {
        Self { store, keys, progression }
    }

    /// Records a result, if the studio's rules allow it.
    pub(crate) async fn record(
        &self,
        app: &App,
        match_id: protocol::id::MatchId,
        signed: SignedResult,
    ) -> Result<Outcome, Problem> {
        let now_ms = service::clock::unix_ms();
        let (claims, result) = self.verify(&signed, now_ms / 1_000).await?;
        if result.match_id != match_id {
            metrics::result("wrong_match");
            return Err(Problem::forbidden("result-match", "the result is of another match than the address names"));
        }
        validate(&result, now_ms).map_err(|fault| {
            metrics::result("impossible");
            Problem::invalid("impossible-result", fault.to_string())
        })?;
        if result.reason == RELEASED {
            metrics::result("released");
            tracing::info!(%match_id, "the result of a match that was given back is not recorded");
            return Ok(Outcome::NotRecorded);
        }
        let players = result.players.len();
        let (reason, queue) = (result.reason.clone(), claims.queue.clone());
        let body_hash = Sha256::digest(signed.result.as_bytes()).into();
        let progression = Arc::clone(&self.progression);
        let verified = VerifiedResult { claims, result, body: signed.result, body_hash, progression, now_ms };
        self.permit(app, &verified).await?;
        match self.store.record_result(verified).await? {
            Recorded::First { trace_id } => {
                metrics::result("first");
                tracing::info!(%match_id, trace_id, queue, reason, players, "result recorded");
                Ok(Outcome::First)
            }
            Recorded::Again => {
                metrics::result("again");
                Ok(Outcome::Again)
            }
            Recorded::Conflict => {
                metrics::result("conflict");
                tracing::error!(%match_id, "another result than the recorded one came in; see the audit log");
                Err(Problem::conflict(
                    "result-conflict",
                    "another result is recorded for this match; this one is kept for audit",
                ))
            }
            Recorded::TooLate => {
                metrics::result("too_late");
                tracing::warn!(%match_id, "a result came more than 15 minutes after its match was lost");
                Err(Problem::gone(
                    "match-lost",
                    "the match was lost more than 15 minutes ago; this result is kept for audit",
                ))
            }
        }
    }

    /// Asks the studio's rules about a result that would be the first of its match: what is recorded is not judged again.
    async fn permit(&self, app: &App, verified: &VerifiedResult) -> Result<(), Problem> {
        let match_id = verified.result.match_id;
        if !app.has_rules(Act::Result) || self.store.has_result(match_id).await? {
            return Ok(());
        }
        let asked = app.permit(Act::Result, None, facts_of(verified)).await;
        if let Err(problem) = &asked {
            if is_refusal(problem) {
                metrics::result("refused_by_rule");
                self.store.note_refused_result(verified.clone()).await?;
                tracing::warn!(%match_id, "a rule of the studio refuses a result; see the audit log");
            } else {
                metrics::result("rule_unavailable");
            }
        }
        asked
    }

    /// The result, if everything fits. A key that is not known yet is asked for.
    async fn verify(&self, signed: &SignedResult, now_s: u64) -> Result<(CertificateClaims, MatchResult), Problem> {
        let begun = Instant::now();
        let mut verdict = signed.verify(&self.keys.current(), now_s);
        if verdict == Err(ResultError::Certificate(JwtError::UnknownKey)) {
            let refreshed = self.keys.refresh(begun).await;
            verdict = signed.verify(&self.keys.current(), now_s);
            // Somebody else's question may have brought the key; otherwise its absence is a verdict only once the
            // allocator was asked for this result.
            if verdict == Err(ResultError::Certificate(JwtError::UnknownKey)) {
                refreshed.inspect_err(|_| metrics::result("keys_unavailable"))?;
            }
        }
        verdict.map_err(|error| {
            let slug = slug(error);
            metrics::result(slug);
            tracing::warn!(%error, "a result is not believed");
            Problem::forbidden(slug, error.to_string())
        })
    }
}

/// What rules are told of a result: of figures and scores the ends, among all players.
fn facts_of(verified: &VerifiedResult) -> Facts {
    let VerifiedResult { claims, result, .. } = verified;
    let scores = || result.players.iter().map(|player| player.score);
    let mut known = facts([
        ("queue", Some(claims.queue.as_str().into())),
        ("reason", Some(result.reason.as_str().into())),
        ("seconds", Some((result.ended_at_ms.saturating_sub(result.started_at_ms) / 1_000).into())),
        ("players", Some((result.players.len() as u64).into())),
        ("score_max", scores().max().map(Fact::Number)),
        ("score_min", scores().min().map(Fact::Number)),
    ]);
    for (figure, value) in result.players.iter().flat_map(|player| &player.stats) {
        let most = known.entry(format!("stat.{figure}")).or_insert(Fact::Number(*value));
        if let Fact::Number(most) = most {
            *most = (*most).max(*value);
        }
    }
    known
}

/// The stable name of what does not fit.
fn slug(error: ResultError) -> &'static str {
    match error {
        ResultError::Certificate(JwtError::Malformed) => "certificate-malformed",
        ResultError::Certificate(JwtError::WrongType) => "certificate-wrong-type",
        ResultError::Certificate(JwtError::UnknownKey) => "certificate-unknown-key",
        ResultError::Certificate(JwtError::BadSignature) => "certificate-bad-signature",
        ResultError::Certificate(JwtError::WrongAudience) => "certificate-wrong-audience",
        ResultError::Certificate(JwtError::Expired) => "certificate-expired",
        ResultError::Certificate(JwtError::BadClaims) => "certificate-bad-claims",
        ResultError::Key => "result-key",
        ResultError::Signature => "result-signature",
        ResultError::Malformed => "result-malformed",
        ResultError::Match => "result-match",
        ResultError::Roster => "result-roster",
    }
}
