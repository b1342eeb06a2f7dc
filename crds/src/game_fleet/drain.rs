//! How servers leave.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How long a match may go on when its server has to leave: node cordoned, revision replaced, fleet deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Players are told at once; when this time is over the match is ended and its result, as far as it got, is kept.
    /// It is the pod's grace period too, so it must suit what your nodes grant.
    #[serde(default = "deadline")]
    #[schemars(range(min = 10, max = 86_400))]
    pub deadline_seconds: u32,
    /// The same on a node that the provider takes back (spot notice), where no more time is given than this.
    #[serde(default = "notice")]
    #[schemars(range(min = 5, max = 3_600))]
    pub spot_deadline_seconds: u32,
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline_seconds: deadline(), spot_deadline_seconds: notice() }
    }
}

fn deadline() -> u32 {
    1_800
}

fn notice() -> u32 {
    25
}
