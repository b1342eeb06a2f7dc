//! The connection to the SDK server, and one call on it.

use std::future::Future;
use std::time::Duration;

use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::SdkError;
use crate::metrics;
use crate::pb::sdk_client::SdkClient;

pub(super) type Client = SdkClient<Channel>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A silent connection is pinged after this time and given up after as much again.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// An address that cannot be connected to, ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{address}\" is no address of an SDK server: expected host:port, as AGONES_SDK_GRPC_PORT gives it")]
pub struct ConnectError {
    /// The address that was given.
    pub address: String,
}

/// A client whose channel connects when it is first used and again whenever the connection is lost.
pub(super) fn client(address: &str) -> Result<Client, ConnectError> {
    let wrong = || ConnectError { address: address.to_owned() };
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    if !has_port || address.contains('/') {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|_| wrong())?;
    let channel = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy();
    Ok(SdkClient::new(channel))
}

/// Awaits one unary call for at most `timeout`, counts it, and sorts its failure: refused for good, or worth a retry.
pub(super) async fn call<T>(
    name: &'static str,
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, SdkError> {
    let result = match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if matches!(status.code(), Code::InvalidArgument | Code::Unimplemented) => {
            Err(SdkError::Refused { call: name, message: status.message().to_owned() })
        }
        Ok(Err(status)) => Err(SdkError::Unavailable { call: name, message: status.message().to_owned() }),
        Err(_) => Err(SdkError::Unavailable { call: name, message: format!("no answer within {timeout:?}") }),
    };
    let outcome = match &result {
        Ok(_) => "acknowledged",
        Err(SdkError::Refused { .. }) => "refused",
        Err(_) => "unavailable",
    };
    metrics::sdk_call(name, outcome);
    result
}

#[cfg(test)]
mod tests {
    use super::client;

    #[tokio::test]
    async fn only_host_and_port_make_an_address() {
        for good in ["localhost:9357", "127.0.0.1:1", "[::1]:9357"] {
            assert!(client(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost", "localhost:", "localhost:0", "localhost:99999", "http://a:1", "a b:1"] {
            assert!(client(bad).is_err(), "{bad}");
        }
    }
}
