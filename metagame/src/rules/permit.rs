//! Whether an act may happen, by the studio's own rules.

use axum::response::Response;
use protocol::id::PlayerId;

use crate::app::App;
use crate::core::live::hook::{Answer, IfDown};
use crate::core::live::rule::{Act, Fact, Facts, Rule, refusal};
use crate::core::name::PlayerName;
use crate::idempotency::{Keyed, Reply};
use crate::metrics;
use crate::problem::{Problem, REQUEST_ID};
use crate::store::StoreError;
use crate::tickets::unknown_player;

/// What of a refusal of a rule is stable.
const REFUSED: &str = "refused-by-rule";
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// Facts of an act; those that are not known are left out.
pub(crate) fn facts<const N: usize>(facts: [(&str, Option<Fact>); N]) -> Facts {
    facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?))).collect()
}

impl App {
    /// Whether anybody is asked about acts of this kind: otherwise they cost nothing more.
    pub(crate) fn has_rules(&self, act: Act) -> bool {
        self.hooks.any(act) || self.live.held().document.rules.iter().any(|rule| rule.act == act)
    }

    /// Asks the studio's rules. `player` is whose act it is; what rules want to know of it is read.
    ///
    /// # Errors
    /// 403 `refused-by-rule`, 503 `rule-unavailable`, or the store's.
    pub(crate) async fn permit(&self, act: Act, player: Option<PlayerId>, facts: Facts) -> Result<(), Problem> {
        let held = self.live.held();
        let rules: Vec<Rule> = held.document.rules.iter().filter(|rule| rule.act == act).cloned().collect();
        if let Some(rule) = self.refused(&rules, act, player, &facts).await? {
            metrics::rule(&rule.id, act.name(), "refused");
            tracing::info!(rule = rule.id, act = act.name(), player_id = ?player, "a rule of the studio refuses");
            return Err(refused(&rule.id, &rule.code, &rule.message));
        }
        self.ask_hooks(act, player, &facts).await
    }

    async fn refused<'r>(
        &self,
        rules: &'r [Rule],
        act: Act,
        player: Option<PlayerId>,
        facts: &Facts,
    ) -> Result<Option<&'r Rule>, Problem> {
        if rules.is_empty() {
            return Ok(None);
        }
        let mut known = facts.clone();
        if let Some(player) = player.filter(|_| rules.iter().any(Rule::asks_of_player)) {
            known.extend(self.facts_of(player).await?);
        }
        Ok(refusal(rules, act, &known))
    }

    /// What is known of a player.
    async fn facts_of(&self, player: PlayerId) -> Result<Facts, Problem> {
        let profile = self.store.profile(player).await?.ok_or_else(unknown_player)?;
        let age_ms = service::clock::unix_ms().saturating_sub(profile.created_at_ms);
        Ok(facts([
            ("level", Some(u64::from(profile.standing.now(&self.progression.xp).level).into())),
            ("prestige", Some(u64::from(profile.standing.prestige).into())),
            ("matches", Some(profile.matches.into())),
            ("wins", Some(profile.wins.into())),
            ("account_hours", Some((age_ms / HOUR_MS).into())),
        ]))
    }

    async fn ask_hooks(&self, act: Act, player: Option<PlayerId>, facts: &Facts) -> Result<(), Problem> {
        let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        let mut problems = Vec::new();
        for (hook, answer, took) in self.hooks.ask(act, player, facts, &request_id).await {
            let outcome = match (&answer, hook.if_down) {
                (Ok(Answer::Allow), _) => "allowed",
                (Ok(Answer::Refuse { .. }), _) => "refused",
                (Err(_), IfDown::Allow) => "down_allowed",
                (Err(_), IfDown::Refuse) => "down_refused",
            };
            metrics::rule(&hook.name, act.name(), outcome);
            match answer {
                Ok(Answer::Allow) => {}
                Ok(Answer::Refuse { code, message }) => problems.push(refused(&hook.name, &code, &message)),
                Err(reason) => {
                    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(
                        hook = hook.name,
                        act = act.name(),
                        reason,
                        took_ms,
                        outcome,
                        "a hook does not answer"
                    );
                    if hook.if_down == IfDown::Refuse {
                        problems.push(unavailable(&hook.name));
                    }
                }
            }
        }
        // A refusal says more than silence; of several the first decides.
        let first = problems.iter().position(is_refusal).unwrap_or(0);
        problems.into_iter().nth(first).map_or(Ok(()), Err)
    }

    /// As [`App::once`], for an act that rules may refuse. What was answered under this key before is answered again whatever
    /// the rules say now; a refusal is an answer, and kept; a hook that is down is none.
    pub(crate) async fn once_permitted<O, F>(
        &self,
        (act, facts): (Act, Facts),
        keyed: Keyed<O>,
        run: impl FnOnce(Keyed<O>) -> F,
    ) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Reply, StoreError>>,
    {
        if !self.has_rules(act) || self.store.is_key_used(keyed.account, &keyed.key).await? {
            return self.once(keyed, run).await;
        }
        match self.permit(act, Some(keyed.account), facts).await {
            Ok(()) => self.once(keyed, run).await,
            Err(problem) if is_refusal(&problem) => {
                let Keyed { account, key, request_hash, expires_at_ms, now_ms, .. } = keyed;
                let render = |problem: &Problem| problem.clone().into_answer();
                let keyed = Keyed { account, key, request_hash, expires_at_ms, now_ms, render };
                self.once(keyed, |keyed| self.store.settle_refusal(keyed, problem)).await
            }
            Err(problem) => Err(problem),
        }
    }

    /// What an account that is being made is called at once, and what it wants to be called later: where rules are asked about
    /// names, it is made first.
    pub(crate) fn name_of_new(&self, wanted: Option<PlayerName>) -> (Option<PlayerName>, Option<PlayerName>) {
        if self.has_rules(Act::Name) { (None, wanted) } else { (wanted, None) }
    }

    /// Gives an account that was made just now the name that it wants, if the rules allow it; otherwise it keeps the one that every
    /// account begins with.
    pub(crate) async fn name_later(&self, player: PlayerId, wanted: Option<PlayerName>) {
        let Some(name) = wanted else { return };
        if self.permit(Act::Name, Some(player), name_facts(&name)).await.is_err() {
            return;
        }
        if let Err(error) = self.store.rename(player, name, None).await {
            tracing::warn!(%player, %error, "a new account has not got its name");
        }
    }
}

/// What is known of a name.
pub(crate) fn name_facts(name: &PlayerName) -> Facts {
    facts([("name", Some(name.as_str().into()))])
}

/// Whether a rule has said no; otherwise one could not be asked, or the store.
pub(crate) fn is_refusal(problem: &Problem) -> bool {
    problem.is(REFUSED)
}

fn unavailable(rule: &str) -> Problem {
    let detail = "a rule of this game cannot be asked now: try again";
    Problem::unavailable("rule-unavailable", detail, 2).with("rule", rule)
}

fn refused(rule: &str, code: &str, message: &str) -> Problem {
    let detail = if message.is_empty() { "a rule of this game does not allow it" } else { message };
    Problem::forbidden(REFUSED, detail).with("rule", rule).with("code", code)
}
