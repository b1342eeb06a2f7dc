//! `muster doctor --kubernetes`: whether an installation on a cluster is healthy, as far as the caller's rights reach.

mod agones;
mod places;
mod policies;
mod programs;
mod resources;
mod rights;
mod server;
mod servers;

use kube::Client;

use super::finding::Finding;
use crate::cli::DoctorOptions;
use crate::cluster_options;
use crate::exit::Failure;

/// The installation that is looked at.
struct Installation {
    client: Client,
    /// Muster's own namespace.
    namespace: String,
    /// Name of the Helm release, with which the names of all its objects begin.
    release: String,
    game_namespaces: Vec<String>,
}

impl Installation {
    /// Name of a program's account, deployment and service.
    fn name_of(&self, part: &str) -> String {
        format!("{}-{part}", self.release)
    }
}

/// Looks at everything. Without an API server there is nothing else to look at.
pub(super) async fn examine(options: &DoctorOptions) -> Result<Vec<Finding>, Failure> {
    let installation = Installation {
        client: cluster_options::client().await?,
        namespace: options.namespace.clone(),
        release: options.release.clone(),
        game_namespaces: options.cluster.games.names(),
    };
    let mut findings = Vec::new();
    match server::version(&installation.client).await {
        Ok(finding) => findings.push(finding),
        Err(finding) => return Ok(vec![finding]),
    }
    findings.push(server::clock(&installation.client).await);
    findings.extend(agones::examine(&installation).await);
    findings.extend(resources::crds(&installation).await);
    findings.extend(policies::examine(&installation).await);
    findings.extend(places::examine(&installation).await);
    findings.extend(rights::examine(&installation).await);
    findings.extend(programs::leases(&installation).await);
    findings.extend(programs::pods(&installation).await);
    findings.extend(resources::wishes(&installation).await);
    findings.extend(servers::examine(&installation).await);
    Ok(findings)
}

/// What could not be looked at, as a finding: forbidden is the caller's matter, anything else the cluster's.
fn unseen(check: impl Into<String>, error: &kube::Error, section: &'static str) -> Finding {
    let finding = match error {
        kube::Error::Api(status) if status.code == 403 => {
            let advice = "look with an account that may, or take it as not looked at";
            Finding::warn(check, format!("this user may not look: {}", status.message), advice)
        }
        error => Finding::fail(check, format!("cannot be read: {error}"), "see the message"),
    };
    finding.more(section)
}
