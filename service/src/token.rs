//! Service tokens: how one Muster program proves to another which program it is.
//!
//! On one machine they are signed by the installation's service key (a file, mode 0600): whoever can read it is one
//! of Muster's own programs. On Kubernetes they are the tokens of service accounts, which the kubelet keeps fresh in files.
//! A caller without a token reaches nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use protocol::jwt::SigningKey;
use protocol::token::{AUTHORIZATION, SERVICE_TYP, ServiceClaims};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::verify::{Proven, Verifier};

/// Life of a service token in seconds.
pub const LIFE_S: u64 = 300;
/// A token is replaced when less than this many seconds of its life remain.
const RENEW_S: u64 = 60;
/// A token file is read again after so many seconds; the kubelet renews it long before it runs out.
const REREAD_S: u64 = 10;
/// Calls that were refused.
const REFUSED: &str = "muster_service_calls_refused_total";

/// Service tokens of one program: minted with a key, or read from files that somebody else renews.
#[derive(Debug, Clone)]
pub struct ServiceTokens(Source);

#[derive(Debug, Clone)]
enum Source {
    Key { key: Arc<SigningKey>, subject: Arc<str> },
    Folder(Arc<Path>),
    File(Arc<Path>),
}

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It cannot be read.
    #[error("cannot read the service token in {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// It holds no token.
    #[error("the file {path} holds no service token")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl ServiceTokens {
    /// Tokens that say "I am `subject`", minted with the installation's key.
    pub fn new(key: Arc<SigningKey>, subject: &str) -> Self {
        Self(Source::Key { key, subject: subject.into() })
    }

    /// Tokens that Kubernetes projects into a folder, one file per audience, named by it.
    pub fn in_folder(folder: &Path) -> Self {
        Self(Source::Folder(folder.into()))
    }

    /// The one token that Kubernetes projects into this file, whatever the audience.
    pub fn in_file(file: &Path) -> Self {
        Self(Source::File(file.into()))
    }

    /// The value of the authorization header for calls to `audience`.
    ///
    /// # Errors
    /// [`TokenFault`]; tokens that a key mints never fail.
    pub fn bearer(&self, audience: &str) -> Result<String, TokenFault> {
        let token = match &self.0 {
            Source::Key { key, subject } => mint(key, subject, audience),
            Source::Folder(folder) => read(&folder.join(audience))?,
            Source::File(file) => read(file)?,
        };
        Ok(format!("Bearer {token}"))
    }

    /// Seconds after which a token is minted or read again.
    fn keep_s(&self) -> u64 {
        match self.0 {
            Source::Key { .. } => LIFE_S - RENEW_S,
            Source::Folder(_) | Source::File(_) => REREAD_S,
        }
    }
}

fn mint(key: &SigningKey, subject: &str, audience: &str) -> String {
    let now = crate::clock::unix_s();
    let claims = ServiceClaims {
        iss: "muster-installation".into(),
        sub: subject.into(),
        aud: audience.into(),
        iat: now,
        exp: now + LIFE_S,
    };
    key.sign(SERVICE_TYP, &claims)
}

fn read(path: &Path) -> Result<String, TokenFault> {
    let text = std::fs::read_to_string(path).map_err(|error| TokenFault::Read { path: path.into(), error })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFault::Malformed { path: path.into() });
    }
    Ok(token.to_owned())
}

/// Puts a service token on every call; see [`with_token`].
#[derive(Debug, Clone)]
pub struct TokenInterceptor {
    tokens: ServiceTokens,
    audience: &'static str,
    cached: Arc<Mutex<Option<Kept>>>,
}

/// Until when a token is used (Unix seconds), and the header's value.
type Kept = (u64, MetadataValue<Ascii>);

/// A client interceptor that puts a token for `audience` on every call and renews it in time. Where there is no token the
/// call fails with UNAVAILABLE and a sentence that names the file.
pub fn with_token(tokens: ServiceTokens, audience: &'static str) -> TokenInterceptor {
    TokenInterceptor { tokens, audience, cached: Arc::default() }
}

impl Interceptor for TokenInterceptor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let now = crate::clock::unix_s();
        let mut cached = self.cached.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let value = match &*cached {
            Some((until, value)) if now < *until => value.clone(),
            _ => {
                let bearer = self.tokens.bearer(self.audience);
                let bearer = bearer.map_err(|fault| Status::unavailable(fault.to_string()))?;
                let value: MetadataValue<Ascii> = bearer.parse().expect("a token is printable ASCII");
                *cached = Some((now + self.tokens.keep_s(), value.clone()));
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
    verifier: Verifier,
    audience: &'static str,
    callers: &'static [&'static str],
}

/// A server interceptor that answers UNAUTHENTICATED without a good token for `audience`, and PERMISSION_DENIED to
/// programs that are not among `callers`.
///
/// Counts what it refuses in `muster_service_calls_refused_total`, by audience and reason.
pub fn require(
    verifier: impl Into<Verifier>,
    audience: &'static str,
    callers: &'static [&'static str],
) -> RequireToken {
    metrics::describe_counter!(REFUSED, "gRPC calls refused for want of a good service token, by reason");
    RequireToken { verifier: verifier.into(), audience, callers }
}

impl RequireToken {
    /// The caller of a request with this authorization header.
    ///
    /// # Errors
    /// UNAUTHENTICATED or PERMISSION_DENIED, with a sentence that says why.
    pub fn check(&self, authorization: Option<&str>, now_unix_s: u64) -> Result<Proven, Status> {
        self.judge(authorization, now_unix_s).map_err(|(reason, status)| {
            metrics::counter!(REFUSED, "audience" => self.audience, "reason" => reason).increment(1);
            status
        })
    }

    fn judge(&self, authorization: Option<&str>, now_unix_s: u64) -> Result<Proven, (&'static str, Status)> {
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| ("no_token", Status::unauthenticated("a service token is required")))?;
        let proven = self
            .verifier
            .judge(token, self.audience, now_unix_s)
            .map_err(|error| ("bad_token", Status::unauthenticated(format!("service token: {error}"))))?;
        if !self.callers.contains(&proven.program.as_str()) {
            let status = Status::permission_denied(format!("{} may not call {}", proven.program, self.audience));
            return Err(("not_a_caller", status));
        }
        Ok(proven)
    }
}

impl Interceptor for RequireToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Proven { program, pod } = self.check(header, crate::clock::unix_s())?;
        request.extensions_mut().insert(Caller(program));
        if let Some(pod) = pod {
            request.extensions_mut().insert(pod);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use protocol::jwt::KeySet;

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
        let bearer =
            |subject: &str, audience: &str| ServiceTokens::new(key.clone(), subject).bearer(audience).expect("a token");
        let good = bearer("matchmaker", "muster-allocator");
        assert_eq!(gate.check(Some(&good), now).expect("a good token").program, "matchmaker");
        let code = |header: Option<&str>, now| gate.check(header, now).expect_err("refused").code();
        assert_eq!(code(None, now), tonic::Code::Unauthenticated);
        assert_eq!(code(Some(&good), now + LIFE_S + 1), tonic::Code::Unauthenticated);
        assert_eq!(code(Some(&bearer("matchmaker", "other")), now), tonic::Code::Unauthenticated);
        assert_eq!(code(Some(&bearer("gameserver", "muster-allocator")), now), tonic::Code::PermissionDenied);
        let stranger = ServiceTokens::new(Arc::new(SigningKey::from_seed(&[2; 32])), "matchmaker");
        assert_eq!(
            code(Some(&stranger.bearer("muster-allocator").expect("a token")), now),
            tonic::Code::Unauthenticated
        );
    }

    #[test]
    fn refused_calls_are_counted_by_reason() {
        let recorder = crate::admin::recorder();
        let key = Arc::new(SigningKey::from_seed(&[1; 32]));
        let gate = require(Arc::new(KeySet::new([key.public_key()])), "counted", &["matchmaker"]);
        let now = crate::clock::unix_s();
        let stranger = ServiceTokens::new(key, "gameserver").bearer("counted").expect("a token");
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

    #[test]
    fn tokens_in_files_are_named_by_audience_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("muster-allocator");
        let tokens = ServiceTokens::in_folder(folder.path());
        let mut client = with_token(tokens.clone(), "muster-allocator");
        let status = client.call(Request::new(())).expect_err("no file yet");
        assert!(status.code() == tonic::Code::Unavailable && status.message().contains("muster-allocator"), "{status}");
        std::fs::write(&path, "first\n").expect("write");
        let sent = client.call(Request::new(())).expect("a token");
        assert_eq!(sent.metadata().get(AUTHORIZATION).expect("a header"), "Bearer first");
        std::fs::write(&path, "second").expect("write");
        assert_eq!(tokens.bearer("muster-allocator").expect("a token"), "Bearer second");
        assert_eq!(ServiceTokens::in_file(&path).bearer("anyone").expect("a token"), "Bearer second");
        std::fs::write(&path, "two words").expect("write");
        assert!(matches!(tokens.bearer("muster-allocator"), Err(TokenFault::Malformed { .. })));
    }
}
