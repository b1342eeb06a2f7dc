//! `muster doctor`: whether an installation on this machine, or with --kubernetes on a cluster, is healthy: one line per
//! check, each with what to do.

mod data;
mod finding;
mod kubernetes;
mod machine;
mod ports;
mod services;

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::cli::DoctorOptions;
use crate::doctor::finding::{Finding, Status};
use crate::exit::{Failure, UNHEALTHY};
use crate::output::{Output, answer};

/// Looks at everything, prints what it found; status 3 when something has failed.
pub(crate) fn run(options: &DoctorOptions) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::setup)?;
    let findings = runtime.block_on(async {
        if options.cluster.kubernetes { kubernetes::examine(options).await } else { Ok(examine(options).await) }
    })?;
    match options.output {
        Output::Json => answer(&finding::json(&findings))?,
        Output::Text => answer(finding::text(&findings).trim_end())?,
    }
    let is_healthy = findings.iter().all(|finding| finding.status != Status::Fail);
    Ok(if is_healthy { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) })
}

async fn examine(options: &DoctorOptions) -> Vec<Finding> {
    let mut findings = machine::examine();
    let holder = data::lock_holder(&options.data.join("platform.lock"));
    findings.extend(data::examine(&options.data, holder).await);
    let is_running = holder.is_some();
    let services = [
        ("metagame", options.listen),
        ("allocator", options.allocator_listen),
        ("matchmaker", options.matchmaker_listen),
    ];
    for (name, address) in services {
        let admin = SocketAddr::new(address.ip(), address.port().saturating_add(1));
        let ready = services::ready(admin).await;
        findings.push(ports::examine(name, address, is_running, &ready));
        findings.push(ports::examine(&format!("{name} admin"), admin, is_running, &ready));
        findings.extend(services::examine(name, admin, is_running, &ready));
        if name == "allocator" {
            findings.extend(services::fleet(admin, &ready).await);
        }
    }
    findings
}
