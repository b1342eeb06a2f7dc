//! What a pod says over HTTP, asked through the API server: the right to `get` `pods/proxy` is enough, and nothing of the
//! cluster's network has to be reached from here.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::api::GetParams;
use kube::core::Request;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// There is no answer.
#[derive(Debug)]
pub(crate) enum ProxyError {
    /// It answers with another status than 200.
    Status {
        /// The status.
        status: u16,
        /// What it says with it.
        text: String,
    },
    /// This user may not ask.
    Forbidden,
    /// The API server does not reach it, or there is no such pod.
    Away(String),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, text } => write!(f, "it answers with status {status}: {text}"),
            Self::Forbidden => f.write_str("this user may not get pods/proxy"),
            Self::Away(why) => write!(f, "the API server does not reach it: {why}"),
        }
    }
}

/// Gets `path`, a single word, from a port of a pod.
pub(crate) async fn get(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<String, ProxyError> {
    let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy");
    let away = |error: &dyn std::fmt::Display| ProxyError::Away(error.to_string());
    let request = Request::new(url).get(path, &GetParams::default()).map_err(|error| away(&error))?;
    match tokio::time::timeout(PATIENCE, client.request_text(request)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(kube::Error::Api(status))) => Err(refused(status.code, &status.reason, &status.message)),
        Ok(Err(error)) => Err(away(&error)),
        Err(_) => Err(away(&format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// The API server's own refusals are objects with a reason; what a program answers is passed on as it is.
fn refused(status: u16, reason: &str, message: &str) -> ProxyError {
    match (status, reason) {
        (403, "Forbidden") => ProxyError::Forbidden,
        (_, "NotFound" | "ServiceUnavailable" | "InternalError" | "BadRequest" | "Timeout") => {
            ProxyError::Away(message.trim().to_owned())
        }
        _ => ProxyError::Status { status, text: message.trim().to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_own_refusals_are_told_from_the_programs() {
        assert!(matches!(refused(403, "Forbidden", "pods is forbidden"), ProxyError::Forbidden));
        assert!(matches!(refused(503, "ServiceUnavailable", "error trying to reach service"), ProxyError::Away(_)));
        assert!(matches!(
            refused(503, "Failed to parse error data", "not ready\n"),
            ProxyError::Status { status: 503, text } if text == "not ready"
        ));
    }
}
