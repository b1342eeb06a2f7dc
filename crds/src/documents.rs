//! The CRDs as YAML, for the chart, for `muster crds` and for whoever applies by hand.

use kube::CustomResourceExt;

use crate::{GameFleet, MatchQueue};

/// One CRD, ready to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name, such as `gamefleets.muster.dev`.
    pub name: String,
    /// The whole manifest.
    pub yaml: String,
}

/// Every CRD of Muster, in the order of their names. The text is the same for the same program.
///
/// # Panics
/// Never: the types are fixed, and the tests write each of them.
pub fn documents() -> Vec<Document> {
    [GameFleet::crd(), MatchQueue::crd()]
        .into_iter()
        .map(|crd| {
            let name = crd.metadata.name.clone().unwrap_or_default();
            let yaml = serde_saphyr::to_string(&crd).expect("a CRD is plain data");
            Document { name, yaml }
        })
        .collect()
}
