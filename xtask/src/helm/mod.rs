//! `cargo xtask helm`: the chart is linted, rendered with each profile and compared with its golden renders; bad values
//! are refused; a cluster, where there is one, takes what is rendered. `UPDATE_GOLDEN=1` writes what is derived.

mod chart;
mod cluster;
#[cfg(test)]
mod cluster_policies;
#[cfg(test)]
mod cluster_rights;
mod derived;
mod refusals;
mod renders;
pub(crate) mod tool;
mod values;

use anyhow::bail;

use crate::command::root;

/// What a look at the chart costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Seconds, and no cluster.
    Offline,
    /// The API server looks at it too.
    Cluster,
}

/// Everything, with the API server's dry run where KUBECONFIG names a cluster.
pub(crate) fn run() -> anyhow::Result<()> {
    let reach = if std::env::var_os("KUBECONFIG").is_some() { Reach::Cluster } else { Reach::Offline };
    look(reach)?;
    if reach == Reach::Offline {
        println!("KUBECONFIG is not set: no API server looked at what was rendered");
    }
    Ok(())
}

/// The part that needs no cluster, for `cargo xtask check`.
pub(crate) fn check() -> anyhow::Result<()> {
    look(Reach::Offline)
}

fn look(reach: Reach) -> anyhow::Result<()> {
    println!("== chart");
    let chart = chart::Chart::open(&root())?;
    let mut faults = derived::faults(&chart)?;
    faults.extend(chart.lint()?);
    faults.extend(renders::faults(&chart)?);
    faults.extend(refusals::faults(&chart)?);
    if reach == Reach::Cluster {
        faults.extend(cluster::faults(&chart)?);
    }
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("the chart has {} faults", faults.len());
    }
    Ok(())
}
