//! Access tokens: who a request comes from.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use protocol::id::PlayerId;
use protocol::jwt::{Expect, JwtError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::core::factor::{STRONG_LIFE_MS, StrongBy};
use crate::core::session::SessionId;
use crate::identity::keyring::Keyring;
use crate::problem::Problem;

/// `typ` of an access token.
pub const ACCESS_TYP: &str = "muster-access+jwt";
/// Issuer and audience of access tokens.
pub const ACCESS_ISSUER: &str = "muster-metagame";
/// `acr` of an access token in whose session a second factor was shown.
pub const ACR_STRONG: &str = "urn:muster:acr:2fa";
/// Life of an access token in seconds.
pub const ACCESS_LIFE_S: u64 = 15 * 60;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer: [`ACCESS_ISSUER`].
    pub iss: String,
    /// Audience: [`ACCESS_ISSUER`].
    pub aud: String,
    /// The player.
    pub sub: PlayerId,
    /// The session.
    pub sid: Uuid,
    /// Unix seconds.
    pub iat: u64,
    /// Unix seconds.
    pub exp: u64,
    /// [`ACR_STRONG`] where a second factor was shown in this session (RFC 9470).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Which one (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When; Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
}

/// What an access token says of how its session was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strong {
    /// The second factor.
    pub(crate) by: StrongBy,
    /// Unix milliseconds at which it was shown.
    pub(crate) at_ms: u64,
}

/// Makes and checks access tokens.
#[derive(Debug, Clone)]
pub(crate) struct AccessTokens {
    keyring: Keyring,
}

impl AccessTokens {
    pub(crate) fn new(keyring: Keyring) -> Self {
        Self { keyring }
    }

    /// Who keeps the keys.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The public keys, for everyone who wants to check a token.
    pub(crate) fn jwks(&self) -> String {
        self.keyring.keys().published.to_json()
    }

    /// A token, and the Unix milliseconds at which it expires.
    pub(crate) fn mint(
        &self,
        player: PlayerId,
        session: SessionId,
        strong: Option<Strong>,
        now_s: u64,
    ) -> (String, u64) {
        let claims = claims(player, session, strong, now_s);
        (self.keyring.keys().signing.sign(ACCESS_TYP, &claims), claims.exp * 1_000)
    }

    pub(crate) fn verify(&self, token: &str, now_s: u64) -> Result<AccessClaims, JwtError> {
        let expect = Expect { typ: ACCESS_TYP, audience: Some(ACCESS_ISSUER), now_unix_s: now_s };
        let claims: AccessClaims = self.keyring.keys().published.verify(token, expect)?;
        if claims.iss == ACCESS_ISSUER { Ok(claims) } else { Err(JwtError::BadClaims) }
    }
}

fn claims(player: PlayerId, session: SessionId, strong: Option<Strong>, now_s: u64) -> AccessClaims {
    AccessClaims {
        iss: ACCESS_ISSUER.into(),
        aud: ACCESS_ISSUER.into(),
        sub: player,
        sid: session.0,
        iat: now_s,
        exp: now_s + ACCESS_LIFE_S,
        acr: strong.map(|_| ACR_STRONG.to_owned()),
        amr: strong.map(|strong| vec![strong.by.amr().to_owned()]).unwrap_or_default(),
        auth_time: strong.map(|strong| strong.at_ms / 1_000),
    }
}

/// One of the studio's own servers, by a service token.
#[derive(Debug, Clone)]
pub(crate) struct ServerCaller;

impl FromRequestParts<App> for ServerCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let servers = app.servers.as_ref().ok_or_else(|| {
            Problem::forbidden("no-server-calls", "this installation takes no calls of servers over HTTP")
        })?;
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
            Problem::unauthenticated("unauthenticated", "send a service token as \"Authorization: Bearer …\"")
        })?;
        let proven = servers.judge(token.trim(), ACCESS_ISSUER, service::clock::unix_s());
        let proven = proven.map_err(|error| Problem::unauthenticated("token-invalid", error.to_string()))?;
        tracing::debug!(program = proven.program, "a server calls");
        Ok(Self)
    }
}

/// The player that sends the request, by its access token. Counts against the account's rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) player_id: PlayerId,
    pub(crate) session: SessionId,
    /// When a second factor was shown in this session; Unix milliseconds.
    pub(crate) strong_at_ms: Option<u64>,
    /// Unix milliseconds at which the access token expires.
    pub(crate) expires_at_ms: u64,
}

/// Refuses what a second factor has to be shown for, if the account has one and it was not shown in the last minutes.
pub(crate) async fn require_strong(app: &App, caller: &Caller) -> Result<(), Problem> {
    let now_ms = service::clock::unix_ms();
    if caller.strong_at_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= STRONG_LIFE_MS) {
        return Ok(());
    }
    if !app.store.asks_for_factor(caller.player_id).await? {
        return Ok(());
    }
    let detail = "show a second factor with POST /v1/auth/mfa, and send this again with the access token of its answer";
    let problem = Problem::unauthenticated("step-up-required", detail);
    Err(problem.with("acr_values", ACR_STRONG).with("max_age_s", STRONG_LIFE_MS / 1_000))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
            Problem::unauthenticated("unauthenticated", "send the access token as \"Authorization: Bearer …\"")
        })?;
        let now_ms = service::clock::unix_ms();
        let claims = app.access.verify(token.trim(), now_ms / 1_000).map_err(|error| match error {
            JwtError::Expired => {
                Problem::unauthenticated("token-expired", "the access token has expired: refresh the session")
            }
            error => Problem::unauthenticated("token-invalid", error.to_string()),
        })?;
        let session = SessionId(claims.sid);
        if app.identity.revoked.holds(claims.sub, session) {
            return Err(Problem::unauthenticated("session-ended", "the session has ended: log in again"));
        }
        app.limit_account(claims.sub, now_ms)?;
        Ok(Self {
            player_id: claims.sub,
            session,
            strong_at_ms: claims.auth_time.map(|at_s| at_s * 1_000),
            expires_at_ms: claims.exp.saturating_mul(1_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_name_the_session_and_a_second_factor_where_one_was_shown() {
        let player = PlayerId::from_entropy([2; 16]);
        let session = SessionId(Uuid::from_bytes([3; 16]));
        let plain = claims(player, session, None, 1_000);
        assert_eq!((plain.exp, plain.sid), (1_900, session.0));
        let text = serde_json::to_string(&plain).expect("plain data");
        assert!(!text.contains("acr") && !text.contains("auth_time"), "{text}");
        let strong = claims(player, session, Some(Strong { by: StrongBy::Totp, at_ms: 999_500 }), 1_000);
        assert_eq!((strong.acr.as_deref(), strong.auth_time), (Some(ACR_STRONG), Some(999)));
        assert_eq!(strong.amr, ["otp"]);
    }
}
