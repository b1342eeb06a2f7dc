//! Service tokens: how one Muster program proves to another which program it is.
//!
//! On one machine they are signed by the installation's service key (a file, mode 0600): whoever can read it is one
//! of Muster's own programs. A caller without a token reaches nothing.

use std::sync::{Arc, Mutex};

use protocol::jwt::{Expect, KeySet, SigningKey};
use protocol::token::{AUTHORIZATION, SERVICE_TYP, ServiceClaims};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Life of a service token in seconds.
pub const LIFE_S: u64 = 300;
/// A token is replaced when less than this many seconds of its life remain.
const RENEW_S: u64 = 60;
/// Calls that were refused.
const REFUSED: &str = "muster_service_calls_refused_total";

/// Mints service tokens for one program.
#[derive(Debug, Clone)]
pub struct ServiceTokens {
    key: Arc<SigningKey>,
    subject: Arc<str>,
}

impl ServiceTokens {
    /// Tokens that say "I am `subject`".
    pub fn new(key: Arc<SigningKey>, subject: &str) -> Self {
        Self { key, subject: subject.into() }
    }

    /// The value of the authorization header for calls to `audience`.
    pub fn bearer(&self, audience: &str) -> String {
        let now = crate::clock::unix_s();
        let claims = ServiceClaims {
            iss: "muster-installation".into(),
            sub: self.subject.to_string(),
            aud: audience.into(),
            iat: now,
            exp: now + LIFE_S,
        };
        format!("Bearer {}", self.key.sign(SERVICE_TYP, &claims))
    }
}

/// Puts a service token on every call; see [`with_token`].
#[derive(Debug, Clone)]
pub struct TokenInterceptor {
    tokens: ServiceTokens,
    audience: &'static str,
    cached: Arc<Mutex<Option<Minted>>>,
}

/// When a token was minted (Unix seconds), and the header's value.
type Minted = (u64, MetadataValue<Ascii>);

/// A client interceptor that puts a token for `audience` on every call and renews it in time.
pub fn with_token(tokens: ServiceTokens, audience: &'static str) -> TokenInterceptor {
    TokenInterceptor { tokens, audience, cached: Arc::default() }
}

impl Interceptor for TokenInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let now = crate::clock::unix_s();
        let mut cached = self.cached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let value = match &*cached {
            Some((made, value)) if now < made + LIFE_S - RENEW_S => value.clone(),
            _ => {
                let value: MetadataValue<Ascii> =
                    self.tokens.bearer(self.audience).parse().expect("a JWT is printable ASCII");
                *cached = Some((now, value.clone()));
                value
            }
        };
        request.metadata_mut().insert(AUTHORIZATION, value);
        Ok(request)
    }
}

/// The program that calls, by its token; found in the extensions of a request that [`RequireToken`] let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

/// Lets only Muster's own programs through; see [`require`].
#[derive(Debug, Clone)]
pub struct RequireToken {
    keys: Arc<KeySet>,
    audience: &'static str,
    callers: &'static [&'static str],
}

/// A server interceptor that answers UNAUTHENTICATED without a good token for `audience`, and PERMISSION_DENIED to
/// programs that are not among `callers`.
///
/// Counts what it refuses in `muster_service_calls_refused_total`, by audience and reason.
pub fn require(keys: Arc<KeySet>, audience: &'static str, callers: &'static [&'static str]) -> RequireToken {
    metrics::describe_counter!(REFUSED, "gRPC calls refused for want of a good service token, by reason");
    RequireToken { keys, audience, callers }
}

impl RequireToken {
    /// The caller of a request with this authorization header.
    ///
    /// # Errors
    /// UNAUTHENTICATED or PERMISSION_DENIED, with a sentence that says why.
    pub fn check(&self, authorization: Option<&str>, now_unix_s: u64) -> Result<Caller, Status> {
        self.judge(authorization, now_unix_s).map_err(|(reason, status)| {
            metrics::counter!(REFUSED, "audience" => self.audience, "reason" => reason).increment(1);
            status
        })
    }

    fn judge(&self, authorization: Option<&str>, now_unix_s: u64) -> Result<Caller, (&'static str, Status)> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| ("no_token", Status::unauthenticated("a service token is required")))?;
        let expect = Expect { typ: SERVICE_TYP, audience: Some(self.audience), now_unix_s };
        let claims: ServiceClaims = self
            .keys
            .verify(token, expect)
            .map_err(|error| ("bad_token", Status::unauthenticated(format!("service token: {error}"))))?;
        if !self.callers.contains(&claims.sub.as_str()) {
            let status = Status::permission_denied(format!("{} may not call {}", claims.sub, self.audience));
            return Err(("not_a_caller", status));
        }
        Ok(Caller(claims.sub))
    }
}

impl Interceptor for RequireToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let caller = self.check(header, crate::clock::unix_s())?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (Arc<SigningKey>, RequireToken) {
        let key = Arc::new(SigningKey::from_seed(&[1; 32]));
        let keys = Arc::new(KeySet::new([key.public_key()]));
        (key, require(keys, "muster-allocator", &["matchmaker"]))
    }

    #[test]
    fn only_named_programs_with_a_fresh_token_pass() {
        let (key, gate) = gate();
        let now = crate::clock::unix_s();
        let bearer = |subject: &str, audience: &str| ServiceTokens::new(key.clone(), subject).bearer(audience);
        let good = bearer("matchmaker", "muster-allocator");
        assert_eq!(gate.check(Some(&good), now).expect("a good token"), Caller("matchmaker".into()));
        let code = |header: Option<&str>, now| gate.check(header, now).expect_err("refused").code();
        assert_eq!(code(None, now), tonic::Code::Unauthenticated);
        assert_eq!(code(Some(&good), now + LIFE_S + 1), tonic::Code::Unauthenticated);
        assert_eq!(code(Some(&bearer("matchmaker", "other")), now), tonic::Code::Unauthenticated);
        assert_eq!(code(Some(&bearer("gameserver", "muster-allocator")), now), tonic::Code::PermissionDenied);
        let stranger = ServiceTokens::new(Arc::new(SigningKey::from_seed(&[2; 32])), "matchmaker");
        assert_eq!(code(Some(&stranger.bearer("muster-allocator")), now), tonic::Code::Unauthenticated);
    }

    #[test]
    fn refused_calls_are_counted_by_reason() {
        let recorder = crate::admin::recorder();
        let key = Arc::new(SigningKey::from_seed(&[1; 32]));
        let gate = require(Arc::new(KeySet::new([key.public_key()])), "counted", &["matchmaker"]);
        let now = crate::clock::unix_s();
        let stranger = ServiceTokens::new(key, "gameserver").bearer("counted");
        for header in [None, Some("Bearer a.b.c"), Some(stranger.as_str())] {
            gate.check(header, now).expect_err("refused");
        }
        let page = recorder.render();
        for reason in ["no_token", "bad_token", "not_a_caller"] {
            let line = format!("muster_service_calls_refused_total{{audience=\"counted\",reason=\"{reason}\"}} 1");
            assert!(page.contains(&line), "{line} in {page}");
        }
    }

    #[test]
    fn the_client_interceptor_satisfies_the_server_interceptor() {
        let (key, mut gate) = gate();
        let mut client = with_token(ServiceTokens::new(key, "matchmaker"), "muster-allocator");
        let request = client.call(Request::new(())).expect("a token is added");
        let request = gate.call(request).expect("the token is good");
        assert_eq!(request.extensions().get::<Caller>(), Some(&Caller("matchmaker".into())));
    }
}
