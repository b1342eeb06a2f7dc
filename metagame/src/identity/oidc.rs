//! Asking identity providers: what they publish, kept for a while, and what they give for a code.
//!
//! One that is slow or gone costs its own logins alone: at most so many wait for it, and one asks for all. What was
//! published is used for up to a day while it cannot be read anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Uri;
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore};

use super::settings::{OidcSettings, SecretText};
use crate::core::oidc::{BrowserFlow, Expected, Flow, Identity, Metadata, ProviderKeys, TokenFault, verify};
use crate::outgoing::{AddressFault, Answer, Destination, Outgoing, OutgoingError, Request};
use crate::problem::Problem;

/// How long what a provider publishes counts as fresh.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long it is used while it cannot be read anew.
const STALE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often keys are read anew because a token names one that is not among them. Whoever sends tokens with invented names
/// has the provider asked no oftener.
const REFETCH_EVERY: Duration = Duration::from_secs(30);
/// After a failure nobody asks for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// Logins of one provider under way at once.
const AT_ONCE_MAX: usize = 64;
/// When whoever found a provider away may come back, in seconds.
const BACK_S: u64 = 5;

/// An identity provider.
#[derive(Debug)]
pub(crate) struct Provider {
    settings: OidcSettings,
    destination: Destination,
    places: Semaphore,
    known: Mutex<Known>,
}

/// What a provider has published, and when it was read.
#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Instant)>,
    keys: Option<(Arc<ProviderKeys>, Instant)>,
    /// When keys were last read because one was missing.
    refetched: Option<Instant>,
    failed: Option<Instant>,
}

/// What a provider answers to a code.
#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

/// What a provider answers to a code that it refuses (RFC 6749, 5.2).
#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
}

impl Provider {
    /// # Errors
    /// [`AddressFault`] if the issuer's address is not called.
    pub(crate) fn new(settings: OidcSettings, outgoing: &Outgoing) -> Result<Self, AddressFault> {
        let destination = outgoing.destination(format!("oidc-{}", settings.name));
        destination.check(&settings.issuer.parse().map_err(|_| AddressFault::Host)?)?;
        Ok(Self { settings, destination, places: Semaphore::new(AT_ONCE_MAX), known: Mutex::default() })
    }

    pub(crate) fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Where the player logs in.
    pub(crate) async fn authorization_url(&self, flow: &Flow) -> Result<String, Problem> {
        let _place = self.place()?;
        let metadata = self.metadata().await?;
        let url = flow.authorization_url(&metadata, &self.settings.client_id, &self.settings.scopes);
        url.ok_or_else(|| {
            tracing::error!(provider = self.settings.name, "the provider names no authorization_endpoint");
            self.away()
        })
    }

    /// Whom an id token names, that came from the provider by the client's own way.
    pub(crate) async fn verify(&self, token: &str, flow: &Flow, now_s: u64) -> Result<Identity, Problem> {
        let _place = self.place()?;
        self.judge(token, flow, &self.settings.clients(), now_s).await
    }

    /// Whom a code names that came back with the browser. `issuer` is who sent the browser back, if it said so.
    pub(crate) async fn redeem(
        &self,
        code: &str,
        issuer: Option<&str>,
        flow: &Flow,
        browser: &BrowserFlow,
        now_s: u64,
    ) -> Result<Identity, Problem> {
        let _place = self.place()?;
        let metadata = self.metadata().await?;
        let is_named = issuer.is_some() || !metadata.authorization_response_iss_parameter_supported;
        if !is_named || issuer.is_some_and(|issuer| issuer != metadata.issuer) {
            return Err(refused(TokenFault::Issuer));
        }
        let token = self.exchange(&metadata, code, browser).await?;
        self.judge(&token, flow, std::slice::from_ref(&self.settings.client_id), now_s).await
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, browser: &BrowserFlow) -> Result<String, Problem> {
        let url = self.uri(metadata.token_endpoint.as_deref().unwrap_or_default())?;
        let client_id = self.settings.client_id.as_str();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", browser.redirect_uri.as_str()),
            ("code_verifier", browser.verifier.as_str()),
        ];
        let secret = self.settings.client_secret.as_ref().map(SecretText::expose);
        let request = match secret {
            Some(secret) if !metadata.wants_secret_in_form() => Request::form(url, &fields).basic(client_id, secret),
            secret => {
                fields.push(("client_id", client_id));
                fields.extend(secret.map(|secret| ("client_secret", secret)));
                Request::form(url, &fields)
            }
        };
        let answer = self.destination.send(request).await.map_err(|error| self.unanswered(&error))?;
        match answer.status.as_u16() {
            200 => answer.json::<TokenAnswer>().map(|answer| answer.id_token).map_err(|error| {
                tracing::warn!(provider = self.settings.name, %error, "a provider gave no id token for a code");
                self.away()
            }),
            400 | 401 => Err(self.code_refused(&answer)),
            status => {
                tracing::warn!(provider = self.settings.name, status, "a provider is out of order");
                Err(self.away())
            }
        }
    }

    fn code_refused(&self, answer: &Answer) -> Problem {
        let error = answer.json::<TokenRefusal>().map(|refusal| refusal.error).unwrap_or_default();
        if error == "invalid_grant" {
            let detail = "the provider does not take this code, or not any more: begin again";
            return Problem::unauthenticated("code-refused", detail);
        }
        // What it says may be anything; only what RFC 6749 names is shown.
        let known = ["invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type"];
        let error = known.into_iter().find(|one| *one == error).unwrap_or("another error");
        tracing::error!(
            provider = self.settings.name,
            error,
            "a provider refuses this installation: check client_id and secret"
        );
        self.away()
    }

    async fn judge(&self, token: &str, flow: &Flow, clients: &[String], now_s: u64) -> Result<Identity, Problem> {
        let expected = Expected {
            issuer: &self.settings.issuer,
            clients,
            algorithms: &self.settings.algorithms,
            nonce: &flow.nonce,
            begun_at_s: flow.begun_at_s,
            now_s,
        };
        let keys = self.keys(false).await?;
        let mut judged = verify(token, &keys, &expected);
        if judged == Err(TokenFault::UnknownKey) {
            let keys = self.keys(true).await?;
            judged = verify(token, &keys, &expected);
        }
        judged.map_err(refused)
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, Problem> {
        let mut known = self.known.lock().await;
        self.read_metadata(&mut known).await
    }

    async fn read_metadata(&self, known: &mut Known) -> Result<Arc<Metadata>, Problem> {
        let now = Instant::now();
        if let Some((metadata, _)) = known.metadata.as_ref().filter(|(_, at)| now.duration_since(*at) < FRESH) {
            return Ok(Arc::clone(metadata));
        }
        let read = match self.fetch(known, &Metadata::url(&self.settings.issuer)).await {
            Ok(body) => Metadata::parse(&body, &self.settings.issuer).map_err(|fault| {
                tracing::error!(provider = self.settings.name, %fault, "a provider's metadata is not taken");
                known.failed = Some(now);
                self.away()
            }),
            Err(problem) => Err(problem),
        };
        renew(&mut known.metadata, read, now)
    }

    /// The provider's keys; with `is_missing_one` read anew, if that was not done a moment ago.
    async fn keys(&self, is_missing_one: bool) -> Result<Arc<ProviderKeys>, Problem> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        let may_refetch = known.refetched.is_none_or(|at| now.duration_since(at) >= REFETCH_EVERY);
        let is_fresh = |at: &Instant| now.duration_since(*at) < FRESH && !(is_missing_one && may_refetch);
        if let Some((keys, _)) = known.keys.as_ref().filter(|(_, at)| is_fresh(at)) {
            return Ok(Arc::clone(keys));
        }
        if is_missing_one {
            known.refetched = Some(now);
        }
        let read = match self.read_metadata(&mut known).await {
            Ok(metadata) => self.fetch(&mut known, &metadata.jwks_uri).await,
            Err(problem) => Err(problem),
        };
        let read = read.and_then(|body| {
            ProviderKeys::parse(&body).filter(|keys| keys.count() > 0).ok_or_else(|| {
                tracing::error!(provider = self.settings.name, "a provider publishes no key that is taken");
                self.away()
            })
        });
        renew(&mut known.keys, read, now)
    }

    /// Reads something that the provider publishes. Who waited while somebody else failed does not try the same again.
    async fn fetch(&self, known: &mut Known, address: &str) -> Result<axum::body::Bytes, Problem> {
        if known.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(self.away());
        }
        let answer = self.destination.send(Request::get(self.uri(address)?)).await;
        known.failed = None;
        let problem = match answer {
            Ok(answer) if answer.status.as_u16() == 200 => return Ok(answer.body),
            Ok(answer) => {
                let status = answer.status.as_u16();
                tracing::warn!(provider = self.settings.name, status, "a provider does not show what it publishes");
                self.away()
            }
            Err(error) => self.unanswered(&error),
        };
        known.failed = Some(Instant::now());
        Err(problem)
    }

    fn uri(&self, address: &str) -> Result<Uri, Problem> {
        address.parse().map_err(|_| {
            tracing::error!(provider = self.settings.name, "an address in a provider's metadata is none");
            self.away()
        })
    }

    fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.places.try_acquire().map_err(|_| self.away())
    }

    fn unanswered(&self, error: &OutgoingError) -> Problem {
        tracing::debug!(provider = self.settings.name, %error, "a provider does not answer");
        self.away()
    }

    fn away(&self) -> Problem {
        let detail = "this identity provider does not answer now; other ways to log in work";
        Problem::unavailable("provider-unavailable", detail, BACK_S).with("provider", self.settings.name.clone())
    }
}

/// What was read now, or else what was read before, if that is not too old.
fn renew<T>(kept: &mut Option<(Arc<T>, Instant)>, read: Result<T, Problem>, now: Instant) -> Result<Arc<T>, Problem> {
    match read {
        Ok(fresh) => Ok(Arc::clone(&kept.insert((Arc::new(fresh), now)).0)),
        Err(problem) => {
            let old = kept.as_ref().filter(|(_, at)| now.duration_since(*at) < STALE_MAX);
            old.map(|(old, _)| Arc::clone(old)).ok_or(problem)
        }
    }
}

fn refused(fault: TokenFault) -> Problem {
    let problem = Problem::unauthenticated("id-token-refused", format!("the provider's token is refused: {fault}"));
    problem.with("reason", fault.name())
}
