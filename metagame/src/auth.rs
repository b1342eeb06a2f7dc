//! Access tokens: who a request comes from.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use protocol::id::PlayerId;
use protocol::jwt::{Expect, JwtError, KeySet, SigningKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::core::session::SessionId;
use crate::problem::Problem;

/// `typ` of an access token.
pub const ACCESS_TYP: &str = "muster-access+jwt";
/// Issuer and audience of access tokens.
pub const ACCESS_ISSUER: &str = "muster-metagame";
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
}

/// Makes and checks access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    key: Arc<SigningKey>,
    keys: KeySet,
}

impl AccessTokens {
    pub(crate) fn new(key: Arc<SigningKey>) -> Self {
        let keys = KeySet::new([key.public_key()]);
        Self { key, keys }
    }

    /// The public keys, for everyone who wants to check a token.
    pub(crate) fn jwks(&self) -> String {
        self.keys.to_json()
    }

    /// A token, and the Unix milliseconds at which it expires.
    pub(crate) fn mint(&self, player: PlayerId, session: SessionId, now_s: u64) -> (String, u64) {
        let exp = now_s + ACCESS_LIFE_S;
        let claims = AccessClaims {
            iss: ACCESS_ISSUER.into(),
            aud: ACCESS_ISSUER.into(),
            sub: player,
            sid: session.0,
            iat: now_s,
            exp,
        };
        (self.key.sign(ACCESS_TYP, &claims), exp * 1_000)
    }

    pub(crate) fn verify(&self, token: &str, now_s: u64) -> Result<AccessClaims, JwtError> {
        let expect = Expect { typ: ACCESS_TYP, audience: Some(ACCESS_ISSUER), now_unix_s: now_s };
        let claims: AccessClaims = self.keys.verify(token, expect)?;
        if claims.iss == ACCESS_ISSUER { Ok(claims) } else { Err(JwtError::BadClaims) }
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
        app.limit_account(claims.sub, now_ms)?;
        Ok(Self { player_id: claims.sub, session: SessionId(claims.sid) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_lives_fifteen_minutes_and_names_its_session() {
        let tokens = AccessTokens::new(Arc::new(SigningKey::from_seed(&[1; 32])));
        let player = PlayerId::from_entropy([2; 16]);
        let session = SessionId(Uuid::from_bytes([3; 16]));
        let (token, expires_at_ms) = tokens.mint(player, session, 1_000);
        assert_eq!(expires_at_ms, 1_900_000);
        let claims = tokens.verify(&token, 1_899).expect("a good token");
        assert_eq!((claims.sub, claims.sid), (player, session.0));
        assert_eq!(tokens.verify(&token, 1_900), Err(JwtError::Expired));
        let other = AccessTokens::new(Arc::new(SigningKey::from_seed(&[9; 32])));
        assert_eq!(other.verify(&token, 1_000), Err(JwtError::UnknownKey));
    }
}
