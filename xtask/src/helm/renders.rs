//! Each profile rendered, and compared with its golden render: a change of a template shows in review as what it changes
//! on a cluster.

use anyhow::Context as _;

use super::chart::Chart;
use super::derived;

/// A way to install the chart.
struct Variant {
    /// Its golden file, below `helm`.
    file: &'static str,
    /// What helm is given.
    arguments: &'static [&'static str],
    /// The first lines of the file.
    header: &'static str,
}

/// The CRDs are compared in the plain manifests alone, being the same in all.
const NO_CRDS: &str = "crds.enabled=false";

const VARIANTS: [Variant; 5] = [
    Variant { file: "golden/dev.yaml", arguments: &["--values", "values-dev.yaml", "--set", NO_CRDS], header: "" },
    Variant { file: "golden/ha.yaml", arguments: &["--values", "values-ha.yaml", "--set", NO_CRDS], header: "" },
    Variant {
        file: "golden/restricted.yaml",
        arguments: &["--values", "values-restricted.yaml", "--set", NO_CRDS],
        header: "",
    },
    Variant {
        file: "golden/everything.yaml",
        arguments: &["--values", "../golden/everything.values.yaml", "--set", NO_CRDS],
        header: "",
    },
    Variant {
        file: "rendered/muster.yaml",
        arguments: &["--values", "values-dev.yaml", "--set", "namespace.create=true", "--no-hooks"],
        header: "# Muster without Helm: the chart with values-dev.yaml, written by `UPDATE_GOLDEN=1 cargo xtask helm`.\n\
                 #   kubectl apply --server-side -f muster.yaml\n\
                 # Other settings: helm template muster helm/muster --namespace muster-system --set namespace.create=true …\n",
    },
];

/// One sentence for each render that failed or is not what its golden file says.
pub(super) fn faults(chart: &Chart) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for variant in &VARIANTS {
        let answer = chart.template("muster-system", variant.arguments)?;
        if !answer.is_good {
            faults.push(format!("{}: does not render:\n{}", variant.file, answer.complaint));
            continue;
        }
        let path = chart.root.join("helm").join(variant.file);
        let folder = path.parent().context("a golden file lies in a folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        faults.extend(derived::compare(&path, &format!("{}{}", variant.header, answer.text))?);
    }
    Ok(faults)
}
