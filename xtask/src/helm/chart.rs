//! The chart's folder, and helm's answers about it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::tool;

/// The oldest Kubernetes that the chart is for: rendered for it, so that nothing newer slips in.
const KUBERNETES: &str = "1.34.0";

/// The chart, and the program that reads it.
pub(super) struct Chart {
    /// The repository.
    pub(super) root: PathBuf,
    helm: PathBuf,
}

/// What helm said.
pub(super) struct Answer {
    /// It did what it was told.
    pub(super) is_good: bool,
    /// Its output.
    pub(super) text: String,
    /// Its complaints.
    pub(super) complaint: String,
}

impl Chart {
    /// The chart of a repository; installs helm where it is missing.
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        Ok(Self { root: root.to_path_buf(), helm: tool::helm()? })
    }

    /// `helm/muster`.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join("helm/muster")
    }

    /// Helm's own opinion, strictly.
    pub(super) fn lint(&self) -> anyhow::Result<Option<String>> {
        let answer = self.helm(&["lint", ".", "--strict", "--quiet", "--namespace", "muster-system"])?;
        Ok((!answer.is_good).then(|| format!("helm lint:\n{}{}", answer.text, answer.complaint)))
    }

    /// Renders the release `muster` in a namespace.
    pub(super) fn template(&self, namespace: &str, arguments: &[&str]) -> anyhow::Result<Answer> {
        let release = ["template", "muster", ".", "--namespace", namespace];
        self.helm(&[release.as_slice(), arguments].concat())
    }

    fn helm(&self, arguments: &[&str]) -> anyhow::Result<Answer> {
        let mut helm = Command::new(&self.helm);
        helm.args(arguments).args(["--kube-version", KUBERNETES]).current_dir(self.folder());
        // No cluster has a say in what is rendered.
        helm.env_remove("KUBECONFIG").env_remove("HELM_NAMESPACE");
        let output = helm.output().with_context(|| format!("cannot start {}", self.helm.display()))?;
        Ok(Answer {
            is_good: output.status.success(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaint: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
