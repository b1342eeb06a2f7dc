//! Options of the realtime gateway's own port.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use metagame::{CertificateFiles, GatewaySettings, Roles, TcpSettings};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// What an instance of metagame serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Role {
    /// The REST API.
    Api,
    /// The realtime gateway.
    Gateway,
}

/// Options of every command that runs the gateway.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub(crate) struct GatewayOptions {
    /// What this instance serves; both where it is not given. Instances of one installation share a database and a Redis.
    #[arg(long, value_delimiter = ',', value_name = "ROLE", help_heading = "Parts of metagame")]
    role: Vec<Role>,
    /// Serve the realtime gateway on a port of its own as well, over TCP with TLS: for clients that have no WebSocket.
    #[arg(long, env = "MUSTER_GATEWAY_TCP", value_name = "ADDRESS", help_heading = "Parts of metagame")]
    gateway_tcp: Option<SocketAddr>,
    /// Certificate of that port, and what leads to its root (PEM). Taken up again when it is replaced.
    #[arg(
        long,
        env = "MUSTER_GATEWAY_CERTIFICATE",
        value_name = "FILE",
        requires = "gateway_key",
        help_heading = "Parts of metagame"
    )]
    gateway_certificate: Option<PathBuf>,
    /// Private key of that certificate (PEM).
    #[arg(
        long,
        env = "MUSTER_GATEWAY_KEY",
        value_name = "FILE",
        requires = "gateway_certificate",
        help_heading = "Parts of metagame"
    )]
    gateway_key: Option<PathBuf>,
    /// Speak no TLS on that port, because something before it does. On 127.0.0.1 that need not be said.
    #[arg(long, conflicts_with = "gateway_certificate", help_heading = "Parts of metagame")]
    gateway_plain: bool,
    /// Web pages that may connect to the gateway besides the API's own, as browsers name them in Origin.
    #[arg(long, value_delimiter = ',', value_name = "ORIGIN", help_heading = "Parts of metagame")]
    gateway_origins: Vec<String>,
}

impl GatewayOptions {
    /// What this instance serves.
    pub(crate) fn roles(&self) -> Roles {
        let has = |role| self.role.is_empty() || self.role.contains(&role);
        Roles { api: has(Role::Api), gateway: has(Role::Gateway) }
    }

    /// How the gateway is served.
    pub(crate) fn read(&self) -> Result<GatewaySettings, Failure> {
        let certificate = match (&self.gateway_certificate, &self.gateway_key) {
            (Some(certificate), Some(key)) => {
                Some(CertificateFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let tcp = self.gateway_tcp.map(|address| TcpSettings { address, certificate });
        if let Some(TcpSettings { address, certificate: None }) = &tcp
            && !address.ip().is_loopback()
            && !self.gateway_plain
        {
            return Err(Failure::setup(format!("--gateway-tcp {address} would show access tokens to the network")).help(
                "give --gateway-certificate and --gateway-key, or --gateway-plain if something before this port ends TLS",
            ));
        }
        Ok(GatewaySettings { tcp, origins: self.gateway_origins.clone(), ..GatewaySettings::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_never_cross_a_network_in_the_clear_by_accident() {
        let read = |address: &str, plain, files: bool| {
            let file = files.then(|| PathBuf::from("tls.pem"));
            let options = GatewayOptions {
                gateway_tcp: Some(address.parse().expect("an address")),
                gateway_certificate: file.clone(),
                gateway_key: file,
                gateway_plain: plain,
                ..GatewayOptions::default()
            };
            options.read()
        };
        assert!(read("127.0.0.1:7100", false, false).is_ok() && read("[::1]:7100", false, false).is_ok());
        assert!(read("0.0.0.0:7100", true, false).is_ok() && read("0.0.0.0:7100", false, true).is_ok());
        let fault = read("0.0.0.0:7100", false, false).expect_err("in the clear");
        assert!(format!("{fault:?}").contains("--gateway-tcp 0.0.0.0:7100"), "{fault:?}");
        assert_eq!(GatewayOptions::default().read().expect("nothing").tcp, None);
    }
}
