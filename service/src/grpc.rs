//! Channels to Muster's services.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

/// An address that is not usable.
#[derive(Debug, thiserror::Error)]
#[error("\"{address}\" is not the address of a service: expected http://host:port")]
pub struct AddressError {
    address: String,
}

/// A channel that connects when first used, reconnects by itself, and notices a dead peer within seconds.
///
/// # Errors
/// [`AddressError`] if the address is not `http://host:port`.
pub fn channel(address: &str) -> Result<Channel, AddressError> {
    let fault = || AddressError { address: address.to_owned() };
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|_| fault())?;
    if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().port_u16().is_none() {
        return Err(fault());
    }
    Ok(endpoint
        .connect_timeout(Duration::from_secs(2))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn addresses_are_checked_before_use() {
        assert!(super::channel("http://127.0.0.1:7000").is_ok());
        for bad in ["127.0.0.1:7000", "https://localhost:1", "http://localhost", "", "ftp://x:1"] {
            assert!(super::channel(bad).is_err(), "{bad}");
        }
    }
}
