//! What goes wrong in the stand-in, named by step.

use std::net::SocketAddr;

/// The stand-in cannot go on, or one look at one object failed and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum StandinError {
    /// No kubeconfig and no account of a pod, or an unreadable one.
    #[error("failed to find the cluster (KUBECONFIG, or a pod's service account): {0}")]
    Cluster(#[source] Box<kube::Error>),
    /// The API server refused or did not answer.
    #[error("failed to {step}: {source}")]
    Api {
        /// What was tried.
        step: &'static str,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// A port is taken.
    #[error("failed to listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A server ended that must not.
    #[error("failed to serve {what}: {source}")]
    Serve {
        /// What was served.
        what: &'static str,
        /// Why it ended.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The webhook's certificate could not be made.
    #[error("failed to make a certificate for {host}: {source}")]
    Certificate {
        /// Whom it was for.
        host: String,
        /// What the library says.
        source: rcgen::Error,
    },
    /// The certificate cannot be served.
    #[error("failed to set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The address under which the API server reaches this process is unknown.
    #[error("failed to find the own address towards the API server: {0}; name it with --reach")]
    OwnAddress(#[source] std::io::Error),
    /// All host ports of the range are in use.
    #[error("no host port is free between {0} and {1}: widen the range")]
    NoPort(u16, u16),
}

impl StandinError {
    /// For `map_err` of an API call.
    pub(crate) fn api(step: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { step, source: Box::new(source) }
    }

    /// Whether someone else wrote first, or the object has gone: the next look sees it.
    pub(crate) fn is_overtaken(&self) -> bool {
        let Self::Api { source, .. } = self else { return false };
        matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409 || status.code == 404 || status.code == 422)
    }
}
